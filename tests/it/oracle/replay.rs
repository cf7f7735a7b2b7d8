//! Plays one recorded case: does what its clients did, and compares what comes back, step by step.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{
    compare::{Opaque, brief, shortened},
    deviations::Deviation,
    judge::{self, Answer, Got},
    recording::{Case, Op, Sent, Step, unhex},
};
use crate::support::{
    SILENCE,
    http::{self, Response},
    lateness::Lateness,
    longpoll,
    websocket::{BINARY, Event, Frame, PING, RawSocket, TEXT},
};

/// A pause that the recorder made for its own sake is not repeated; one of this length is what the case is about.
const PAUSE_MS_MIN: u64 = 500;

/// With a poll under way the recorder waited so that it was parked when the next thing happened; this long suffices.
const PARK_MS_MAX: u64 = 100;

/// How long a channel may take to act on a message, on a busy machine.
const SETTLE_MS: u64 = 20;

struct Replay<'a> {
    case: &'a Case,
    address: SocketAddr,
    sockets: HashMap<&'a str, RawSocket>,
    /// What the last handshake of each client led to, until its next step asks.
    handshakes: HashMap<&'a str, Got>,
    /// Requests under way, by their step, and the bytes of raw ones.
    requests: HashMap<usize, JoinHandle<Answered>>,
    /// Phoenix's tokens and what we use in their place: always our latest of that session.
    tokens: HashMap<String, String>,
    opaque: Opaque,
    /// The answer to the last oversized `ping`, which the recording abbreviates.
    big_reply: Value,
    /// How many messages the last poll had, and the last of them.
    last_messages: Option<(usize, Value)>,
}

type Answered = (std::io::Result<Response>, Duration);

/// Cases that differed, each with its difference.
pub(crate) type Failures = Vec<(&'static Case, String)>;

/// Plays what differed once more, alone, if this machine was late meanwhile: a recording has times, and a channel that was given
/// its turn too late answers in another order. The differences that are left.
pub(crate) async fn again(
    failures: Failures,
    deviations: &[Deviation],
    address: SocketAddr,
    lateness: &Lateness,
) -> Vec<String> {
    let was_late = lateness.worst() > Duration::from_millis(SETTLE_MS) / 2;
    let mut left = Vec::new();
    for (case, difference) in failures {
        if !was_late {
            left.push(difference);
        } else if let Err(difference) = run(case, deviations, address).await {
            left.push(difference);
        }
    }
    left
}

/// Plays the case; the error is a readable difference.
pub(crate) async fn run(case: &Case, deviations: &[Deviation], address: SocketAddr) -> Result<(), String> {
    let mut replay = Replay {
        case,
        address,
        sockets: HashMap::new(),
        handshakes: HashMap::new(),
        requests: HashMap::new(),
        tokens: HashMap::new(),
        opaque: Opaque::default(),
        big_reply: Value::Null,
        last_messages: None,
    };
    let mut index = 0;
    while index < case.steps.len() {
        let step = &case.steps[index];
        let deviation = deviations.iter().find(|deviation| deviation.applies_to(case, index));
        replay.pace(index).await;
        if let Some(race) = judge::race_at(case, index) {
            replay.run_race(&race).await.map_err(|why| replay.failure(index, "any legal order", &why))?;
            index += race.len();
            continue;
        }
        replay.act(index, step);
        replay.perform(step).await;
        if let Some(got) = replay.observe(step).await {
            replay.judge(index, step, deviation, got)?;
        }
        index += 1;
    }
    replay.end().await
}

impl<'a> Replay<'a> {
    async fn pace(&self, index: usize) {
        let steps = &self.case.steps;
        let acts = matches!(steps[index].op, Op::Connect | Op::Send(_) | Op::ClientClose | Op::Request);
        let pause_ms = steps[index].at_ms - steps[index.saturating_sub(1)].at_ms;
        let wait_ms = match (acts, pause_ms) {
            (false, _) => 0,
            (true, PAUSE_MS_MIN..) => pause_ms,
            (true, _) if !self.requests.is_empty() => pause_ms.min(PARK_MS_MAX),
            // What a POST set off in a channel comes before what the next POST does.
            (true, _) if self.case.transport == "longpoll" => SETTLE_MS,
            (true, _) => 0,
        };
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    }

    /// Starts an HTTP request, which goes on while other steps run.
    fn act(&mut self, index: usize, step: &Step) {
        if step.op != Op::Request {
            return;
        }
        let method = step.str("method");
        let body = step.raw["body"].as_str().map(|body| self.full_body(body));
        let path = self.with_our_token(step.path());
        let request =
            http::encode(self.address, method, &path, &step.headers(), body.as_deref().map(str::as_bytes));
        let (address, bodyless) = (self.address, method == "HEAD");
        let task = async move {
            let started = Instant::now();
            let response = http::exchange(address, &request, bodyless).await;
            (response, started.elapsed())
        };
        self.requests.insert(index, tokio::spawn(task));
    }

    /// What a client does at this step, if it does anything.
    async fn perform(&mut self, step: &'a Step) {
        match &step.op {
            Op::Connect => self.connect(step).await,
            Op::RawSend => self.send_raw(step).await,
            Op::Send(Sent::Big(size)) => {
                let reference = "2";
                let payload = json!({"s": "x".repeat(*size)});
                let ping = json!(["1", reference, "room:lobby", "ping", payload]).to_string();
                if let Some(socket) = self.sockets.get_mut(step.client.as_str()) {
                    // Clients of one thread read nothing before all is written: the server has to take it.
                    let written = socket.send_bytes(&Frame::text(ping).encode()).await;
                    written.unwrap_or_else(|error| panic!("cut off within {size} bytes: {error}"));
                }
                let reply = json!({"status": "ok", "response": payload});
                self.big_reply = json!(["1", reference, "room:lobby", "phx_reply", reply]);
            }
            Op::Send(Sent::Text(text)) => self.send(step, Frame::text(text)).await,
            Op::Send(Sent::NotText(bytes)) => self.send(step, Frame::new(TEXT, bytes)).await,
            Op::Send(Sent::Binary(bytes)) => self.send(step, Frame::new(BINARY, bytes)).await,
            Op::Send(Sent::Ping(bytes)) => self.send(step, Frame::new(PING, bytes)).await,
            Op::ClientClose => self.send(step, Frame::close(1000, "")).await,
            // `ws` tears the connection down itself here.
            Op::Close if step.raw["code"] == 1006 => drop(self.sockets.remove(step.client.as_str())),
            _ => {}
        }
    }

    async fn connect(&mut self, step: &'a Step) {
        let mut headers = step.headers();
        let protocols = step.raw["protocols"].as_array().into_iter().flatten();
        let protocols = protocols.filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
        if !protocols.is_empty() {
            headers.push(("Sec-WebSocket-Protocol", &protocols));
        }
        let client = step.client.as_str();
        let got = match RawSocket::handshake(self.address, step.path(), &headers).await {
            Ok(mut socket) => {
                let answer = Answer::new(judge::copied(&socket.response), Duration::ZERO);
                if self.sends_big(client) {
                    // The recorder left this join out.
                    socket.send(Frame::text(r#"["1","1","room:lobby","phx_join",{}]"#)).await;
                }
                self.sockets.insert(client, socket);
                Got::Answer(answer)
            }
            Err(refusal) => Got::Answer(Answer::new(refusal, Duration::ZERO)),
        };
        self.handshakes.insert(client, got);
    }

    fn sends_big(&self, client: &str) -> bool {
        self.case.steps.iter().any(|step| step.client == client && matches!(step.op, Op::Send(Sent::Big(_))))
    }

    /// Raw bytes: a handshake as text, or frames after an ordinary one.
    async fn send_raw(&mut self, step: &'a Step) {
        let client = step.client.as_str();
        if let Some(text) = step.raw["text"].as_str() {
            let got = http::exchange(self.address, text.as_bytes(), false).await.map_or_else(
                |error| Got::Nothing(error.to_string()),
                |response| Got::Answer(Answer::new(response, Duration::ZERO)),
            );
            self.handshakes.insert(client, got);
            return;
        }
        let mut socket = RawSocket::connect(self.address, "/socket/websocket?vsn=2.0.0").await;
        // A server that closes at once may refuse the last bytes; what it says is compared.
        let _ = socket.send_bytes(&unhex(step.str("hex"))).await;
        self.sockets.insert(client, socket);
    }

    async fn send(&mut self, step: &Step, frame: Frame) {
        if let Some(socket) = self.sockets.get_mut(step.client.as_str()) {
            socket.send(frame).await;
        }
    }

    /// What arrives at this step, if the step is about something that arrives.
    async fn observe(&mut self, step: &'a Step) -> Option<Got> {
        let client = step.client.as_str();
        match &step.op {
            Op::Open | Op::Refused | Op::ClientError => self.handshakes.get(client).map(Got::copied),
            Op::RawRecv if step.raw["text"].is_string() => self.handshakes.remove(client),
            Op::Recv | Op::Pong | Op::RawRecv => Some(self.next_event(client).await),
            Op::TcpEnd => {
                let got = self.next_event(client).await;
                self.sockets.remove(client);
                Some(got)
            }
            Op::Close if step.raw["code"] == 1006 => None,
            Op::Close => {
                let got = self.next_event(client).await;
                Some(self.finish_close(client, got).await)
            }
            Op::Response { request } => {
                let task = self.requests.remove(request).expect("the request was started");
                let (response, took) = task.await.expect("a request does not panic");
                Some(match response {
                    Ok(response) => Got::Answer(self.note_answer(step, Answer::new(response, took))),
                    Err(error) => Got::Nothing(error.to_string()),
                })
            }
            Op::Summary => Some(match self.last_messages.take() {
                Some((count, last)) => Got::Messages(count, last),
                None => Got::Nothing("no poll was answered".to_owned()),
            }),
            _ => None,
        }
    }

    async fn next_event(&mut self, client: &str) -> Got {
        let Some(socket) = self.sockets.get_mut(client) else {
            return Got::Nothing("there is no connection".to_owned());
        };
        match socket.next_within(crate::support::PATIENCE).await {
            Some(event) => Got::Event(event),
            None => Got::Nothing("nothing arrived".to_owned()),
        }
    }

    /// After the server's close frame the client answers, and the server ends the stream.
    async fn finish_close(&mut self, client: &str, got: Got) -> Got {
        let Some(mut socket) = self.sockets.remove(client) else { return got };
        let Got::Event(Event::Close(code, _)) = got else { return got };
        socket.send(Frame::close(if code == 1005 { 1000 } else { code }, "")).await;
        match socket.next_within(crate::support::PATIENCE).await {
            Some(Event::End) => got,
            other => Got::Nothing(format!("close {code}, but then {other:?} and no end of the stream")),
        }
    }

    /// Learns our token for the session that Phoenix's token stood for, and the messages of a poll.
    fn note_answer(&mut self, step: &Step, answer: Answer) -> Answer {
        let theirs = step.raw["body"].as_str().unwrap_or_default();
        let theirs = serde_json::from_str::<Value>(theirs).unwrap_or_default();
        if let (Some(theirs), Some(ours)) = (theirs["token"].as_str(), answer.json["token"].as_str()) {
            self.tokens.insert(theirs.to_owned(), ours.to_owned());
        }
        if let Some(messages) = answer.json["messages"].as_array() {
            self.last_messages = Some((messages.len(), messages.last().cloned().unwrap_or_default()));
        }
        answer
    }

    fn judge(
        &mut self,
        index: usize,
        step: &Step,
        deviation: Option<&Deviation>,
        got: Got,
    ) -> Result<(), String> {
        let mut opaque = self.opaque.clone();
        let Some(deviation) = deviation else {
            let verdict = judge::compare(&step.raw, &got, &mut opaque, &self.big_reply);
            self.opaque = opaque;
            return verdict
                .map_err(|why| self.failure(index, &brief(&step.raw), &format!("{why}\n  got: {got}")));
        };
        let ours = deviation.apply(step);
        judge::compare(&ours, &got, &mut opaque, &self.big_reply).map_err(|why| {
            self.failure(index, &brief(&ours), &format!("{why} (a listed deviation)\n  got: {got}"))
        })?;
        if let (Some(max), Got::Answer(answer)) = (deviation.took_ms_max(), &got)
            && answer.took.as_millis() as u64 > max
        {
            return Err(self.failure(
                index,
                &format!("an answer within {max} ms"),
                &format!("took {:?}", answer.took),
            ));
        }
        let as_recorded = judge::compare(&step.raw, &got, &mut self.opaque.clone(), &self.big_reply).is_ok();
        self.opaque = opaque;
        if as_recorded && deviation.changes_content() {
            return Err(self.failure(
                index,
                "the listed deviation",
                "it no longer deviates: take it off the list",
            ));
        }
        Ok(())
    }

    /// Frames whose order Phoenix itself does not fix.
    async fn run_race(&mut self, race: &[&'a Step]) -> Result<(), String> {
        let mut got = Vec::new();
        while !judge::race_is_over(&got) {
            match self.next_event(race[0].client.as_str()).await {
                Got::Event(Event::Text(text)) => {
                    got.push(serde_json::from_str(&text).map_err(|e| e.to_string())?)
                }
                other => return Err(format!("{other} after {}", brief(&json!(got)))),
            }
        }
        judge::judge_race(race, &got)
    }

    /// The recording is over: nothing more may arrive, and no request may be left unanswered.
    async fn end(&mut self) -> Result<(), String> {
        let index = self.case.steps.len() - 1;
        let mut sockets = std::mem::take(&mut self.sockets);
        let listen =
            sockets.iter_mut().map(async |(client, socket)| (*client, socket.next_within(SILENCE).await));
        let heard = join_all(listen).await;
        match heard.into_iter().find(|(_, event)| event.is_some()) {
            Some((client, event)) => Err(self.failure(
                index,
                "silence from then on",
                &shortened(&format!("{client} got {event:?}")),
            )),
            None => Ok(()),
        }
    }

    fn failure(&self, index: usize, wanted: &str, why: &str) -> String {
        format!("{} step {index}:\n  wanted: {wanted}\n  but: {why}", self.case.title())
    }

    fn with_our_token(&self, path: &str) -> String {
        let known = self.tokens.iter().find(|(theirs, _)| path.contains(theirs.as_str()));
        match known {
            Some((theirs, ours)) => path.replace(theirs.as_str(), &longpoll::percent_encoded(ours)),
            None => path.to_owned(),
        }
    }

    /// A recorded body; where it is abbreviated, `PREFIXxxx...(N chars)`, in its full length.
    fn full_body(&mut self, body: &str) -> String {
        let Some((prefix, count)) = judge::abbreviated(body) else { return body.to_owned() };
        let head = prefix.trim_end_matches('x');
        let tail = match head.starts_with('[') {
            true => r#""}]"#.to_owned(),
            // V1 was written with its ref last: "2" for the first big body, "3" for the second.
            false => format!(r#""}},"ref":"{}"}}"#, if self.big_reply.is_null() { 2 } else { 3 }),
        };
        let text = "x".repeat(count - head.len() - tail.len());
        let message = serde_json::from_str(&format!("{head}{tail}")).expect("the body is JSON");
        self.big_reply = judge::reply_to(&message, &json!({"s": text}));
        format!("{head}{text}{tail}")
    }
}
