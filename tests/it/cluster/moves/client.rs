//! A client that comes back to any node, and remembers all that it has heard.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lapwing::{Broadcast, testing::TestServer};
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::support::{
    PATIENCE,
    events::EventStream,
    http::{self, Response},
    sessions::{Attachment, BEAT, Line, Session, Transport, lines_of},
    websocket::{Frame, RawSocket},
};

/// What was said, by whom, and whether that was all.
#[derive(Default)]
pub(super) struct Said {
    last: Mutex<BTreeMap<u64, u64>>,
    /// How many speakers there are.
    speakers: u64,
    is_over: AtomicBool,
}

impl Said {
    pub(super) fn by(speakers: u64) -> Arc<Self> {
        Arc::new(Self { speakers, ..Self::default() })
    }

    /// Has a speaker say numbers on a topic again and again, until everything is over, or this is.
    pub(super) fn speak(
        self: &Arc<Self>,
        node: &TestServer,
        from: u64,
        (topic, event): (&'static str, &'static str),
        is_over: Arc<AtomicBool>,
    ) -> JoinHandle<()> {
        let (node, said) = (node.clone(), self.clone());
        tokio::spawn(async move {
            let mut n = 0;
            while !is_over.load(Ordering::Relaxed) && !said.is_over.load(Ordering::Relaxed) {
                n += 1;
                node.publish(Broadcast::new(topic, event, json!({"from": from, "n": n}))).unwrap();
                sleep(Duration::from_millis(1)).await;
            }
            said.last.lock().unwrap().insert(from, n);
        })
    }

    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// The last that each has said, once that is known.
    fn last(&self) -> Option<BTreeMap<u64, u64>> {
        let last = self.last.lock().unwrap();
        (last.len() as u64 == self.speakers).then(|| last.clone())
    }
}

/// A client that comes back when its connection is cut, to the next node each time.
pub(super) struct Restless {
    session: Session,
    topic: &'static str,
    transport: Transport,
    addresses: Vec<SocketAddr>,
    at: usize,
    /// What each publisher has said to it, in order.
    heard: BTreeMap<u64, Vec<u64>>,
    /// What it was answered.
    answers: Vec<Value>,
    pub(super) returns: usize,
}

impl Restless {
    /// Opens a session at the first of these addresses, and joins.
    pub(super) async fn join(
        addresses: &[SocketAddr],
        transport: Transport,
        topic: &'static str,
        params: Value,
    ) -> Self {
        let mut session = Session::open(addresses[0], "/socket", transport).await;
        session.send_json(json!(["1", "1", topic, "phx_join", params])).await;
        assert_eq!(session.next_json().await[4]["status"], "ok");
        session.expect_json(json!(["1", null, topic, "joined", {}])).await;
        let (heard, answers) = (BTreeMap::new(), Vec::new());
        Self { session, topic, transport, addresses: addresses.to_vec(), at: 0, heard, answers, returns: 0 }
    }

    /// Takes what comes until it has heard all that was said; says something itself now and then.
    pub(super) async fn hear(mut self, said: Arc<Said>) -> Self {
        let end = Instant::now() + PATIENCE;
        let mut spoke = Instant::now();
        while said.last() != Some(self.last()) {
            let seen = (self.returns, self.at, self.session.received);
            assert!(Instant::now() < end, "{:?}: heard {:?}, {seen:?}", self.transport, self.last());
            let speaks = matches!(self.session.attachment, Attachment::Websocket(_));
            if speaks && spoke.elapsed() > Duration::from_millis(20) {
                spoke = Instant::now();
                let reference = (self.session.sent.len() + 1).to_string();
                self.session.send_json(json!(["1", reference, self.topic, "say", {"n": reference}])).await;
            }
            // A poll that is given up again and again is never answered where the way to the owner is long.
            let patience = if self.transport == Transport::Longpoll { 1_000 } else { 50 };
            match timeout(Duration::from_millis(patience), self.next()).await {
                Ok(Some(line)) => {
                    self.take(line);
                    self.acknowledge().await;
                }
                Ok(None) => self.come_back().await,
                Err(_) => {}
            }
        }
        self
    }

    /// Everything was heard once, and in the order in which each has said it; and answered likewise.
    pub(super) fn assert_missed_nothing(&self) {
        for (from, heard) in &self.heard {
            let wanted: Vec<u64> = (1..=heard.last().copied().unwrap_or(0)).collect();
            assert_eq!(heard, &wanted, "{:?} from {from}", self.transport);
        }
        let wanted: Vec<Value> = (2..2 + self.answers.len()).map(|n| Value::from(n.to_string())).collect();
        assert_eq!(self.answers, wanted, "{:?}", self.transport);
    }

    fn last(&self) -> BTreeMap<u64, u64> {
        self.heard.iter().filter_map(|(from, heard)| Some((*from, *heard.last()?))).collect()
    }

    /// Says what it has, now and then.
    async fn acknowledge(&mut self) {
        if !self.session.received.is_multiple_of(64) {
            return;
        }
        let line = format!("!ack {}", self.session.received);
        match &mut self.session.attachment {
            Attachment::Websocket(socket) => socket.send(Frame::text(&line)).await,
            // It may be on its way to another node, and it is said again.
            Attachment::Sse(_) => {
                let Session { token, address, mount, .. } = &self.session;
                let body = format!("!send {token}\n{line}");
                drop(try_post(*address, &Transport::Sse.path(mount), &body).await);
            }
            Attachment::Longpoll(_) => {}
        }
    }

    /// What comes next; none if it has to come back.
    async fn next(&mut self) -> Option<Line> {
        while let Attachment::Longpoll(lines) = &self.session.attachment
            && lines.is_empty()
        {
            // A node that carries it may lose it on the way.
            let answer = self.poll(BEAT).await.filter(|answer| answer.status == 200)?;
            self.session.attachment = Attachment::Longpoll(lines_of(&answer).into());
        }
        let line = self.session.attachment.next().await;
        match line {
            Line::Close(code) => {
                assert_eq!(code, 1012);
                None
            }
            Line::End => None,
            line => Some(line),
        }
    }

    async fn poll(&self, beat: u64) -> Option<Response> {
        let Session { token, received, address, mount, .. } = &self.session;
        let line = format!("!resume {token} {received} {beat}");
        try_post(*address, &Transport::Longpoll.path(mount), &line).await
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Text(text) => {
                self.session.received += 1;
                let message: Value = serde_json::from_str(&text).unwrap();
                match message[3].as_str().unwrap() {
                    "said" => {
                        let from = message[4]["from"].as_u64().unwrap();
                        self.heard.entry(from).or_default().push(message[4]["n"].as_u64().unwrap());
                    }
                    "phx_reply" => self.answers.push(message[1].clone()),
                    other => panic!("{other}: {message}"),
                }
            }
            Line::Control(line) => {
                if let Some(token) = line.strip_prefix("!token ") {
                    self.session.token = token.to_owned();
                }
                let is_over = ["!refused", "!closed"].iter().any(|word| line.starts_with(word));
                assert!(!is_over, "{:?}: {line}", self.transport);
            }
            line => panic!("{line:?}"),
        }
    }

    /// Goes to the next node, until one lets it in.
    pub(super) async fn come_back(&mut self) {
        let end = Instant::now() + PATIENCE;
        self.returns += 1;
        loop {
            self.at = (self.at + 1) % self.addresses.len();
            self.session.address = self.addresses[self.at];
            match self.attempt().await {
                Ok(()) => return,
                Err(word) => assert!(Instant::now() < end, "{:?}: {word}", self.transport),
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Comes to the node that it is at.
    async fn attempt(&mut self) -> Result<(), String> {
        let session = &mut self.session;
        let path = self.transport.path(&session.mount);
        let line = format!("!resume {} {} {BEAT}", session.token, session.received);
        let attachment = match self.transport {
            Transport::Websocket => {
                let offer = [("sec-websocket-protocol", "phoenix, lapwing.1")];
                let socket = RawSocket::handshake(session.address, &path, &offer).await;
                let mut socket = socket.map_err(|refusal| refusal.status.to_string())?;
                socket.send(Frame::text(&line)).await;
                Attachment::Websocket(socket)
            }
            Transport::Sse => {
                let events = EventStream::request(session.address, "POST", &path, &[], Some(&line)).await;
                if !events.has_events() {
                    return Err(events.status().to_string());
                }
                Attachment::Sse(events)
            }
            Transport::Longpoll => {
                let answer = self.poll(0).await.ok_or("no answer")?;
                if answer.status != 200 {
                    return Err(answer.status.to_string());
                }
                Attachment::Longpoll(lines_of(&answer).into())
            }
        };
        let session = &mut self.session;
        session.attachment = attachment;
        let taken = match session.attachment.next().await {
            Line::Control(line) => match line.strip_prefix("!resumed ") {
                Some(taken) => taken.parse::<usize>().unwrap(),
                None => {
                    assert_eq!(line, "!refused full", "{:?}", self.transport);
                    return Err(line);
                }
            },
            other => return Err(format!("{other:?}")),
        };
        let missing = session.sent.split_off(taken);
        for frame in missing {
            session.send(frame).await;
        }
        Ok(())
    }
}

/// None if there is no answer to its end.
async fn try_post(address: SocketAddr, path: &str, body: &str) -> Option<Response> {
    let request = http::encode(address, "POST", path, &[], Some(body.as_bytes()));
    http::exchange(address, &request, false).await.ok()
}
