//! Sessions that go from one node to another, with clients on real sockets: each frame comes once and in order, both ways, whatever carried the
//! session and wherever its client comes back.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

mod client;
mod cluster;

use std::{net::SocketAddr, sync::Arc};

use lapwing_transports::{
    close::CloseReason, endpoint::Endpoint, frame::Frame, live::LiveSession, session::Pushed,
};

use self::{
    client::{By, Came, PATIENCE, Wire, send},
    cluster::{Cluster, Noting},
};

type Session = Arc<LiveSession<()>>;

/// A client with a session at a node, and what it knows.
struct Client {
    by: By,
    wire: Wire,
    token: String,
    /// The token with which it was opened.
    first_token: String,
    /// Frames that came.
    received: usize,
    /// Frames that were sent.
    sent: usize,
}

impl Client {
    async fn open(address: SocketAddr, by: By) -> Self {
        let mut wire = Wire::attach(address, by, "!open 30000").await;
        let Came::Line(opened) = wire.next().await else { panic!("it is opened") };
        let token = opened.strip_prefix("!opened ").unwrap().split(' ').next().unwrap().to_owned();
        if by == By::Longpoll {
            wire = Wire::attach(address, by, &format!("!resume {token} 0 30000")).await;
        }
        Self { by, wire, first_token: token.clone(), token, received: 0, sent: 0 }
    }

    /// Comes back: the lines until the first frame, or until there is none.
    async fn resume(&mut self, address: SocketAddr, wait: bool) -> Vec<Came> {
        let beat = if wait { 30_000 } else { 0 };
        let line = format!("!resume {} {} {beat}", self.token, self.received);
        self.wire = Wire::attach(address, self.by, &line).await;
        let Came::Line(resumed) = self.wire.next().await else { panic!("it goes on") };
        let taken: usize = resumed.strip_prefix("!resumed ").unwrap().parse().unwrap();
        assert!(taken <= self.sent, "{resumed}");
        self.sent = taken;
        vec![Came::Line(resumed)]
    }

    /// Takes frames until the last one of so many has come, and the new token if one is given.
    async fn take(&mut self, address: SocketAddr, until: usize) {
        while self.received < until {
            match self.wire.next().await {
                Came::Line(line) if line.starts_with("down ") => {
                    self.received += 1;
                    assert_eq!(line, format!("down {}", self.received));
                }
                Came::Line(line) => self.hear(&line),
                Came::End if self.by == By::Longpoll => {
                    self.resume(address, true).await;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn hear(&mut self, line: &str) {
        match line.strip_prefix("!token ") {
            Some(token) => token.clone_into(&mut self.token),
            None => assert!(!line.starts_with("!closed") && !line.starts_with("!refused"), "{line}"),
        }
    }

    /// Sends the next frames; a POST is given back to be waited for.
    async fn send(
        &mut self,
        address: SocketAddr,
        count: usize,
    ) -> Option<tokio::task::JoinHandle<Vec<Came>>> {
        let frames: Vec<String> = (self.sent + 1..=self.sent + count).map(|n| format!("up {n}")).collect();
        let from = self.sent + 1;
        self.sent += count;
        if self.by == By::Websocket {
            for frame in &frames {
                self.wire.say(frame).await;
            }
            return None;
        }
        let token = self.token.clone();
        Some(tokio::spawn(async move { send(address, &token, from, &frames).await }))
    }

    /// What comes when it is decided where the session goes on: the client is to come again.
    async fn expect_cut(&mut self) {
        loop {
            match (self.by, self.wire.next().await) {
                (By::Websocket, Came::Close(code)) => return assert_eq!(code, 1012),
                // A WebSocket, too, that was just writing a frame: of one that is gone it is not known whether all of it is out, and nothing may follow
                // half of one.
                (_, Came::End) => return,
                // A poll that came when it was not known yet that the other node has the session.
                (By::Longpoll, Came::Status(503)) => return,
                // The last that was pushed may still have come.
                (_, Came::Line(line)) if line.starts_with("down ") => {
                    self.received += 1;
                    assert_eq!(line, format!("down {}", self.received));
                }
                // A poll that came late was answered by the other node.
                (_, Came::Line(line)) => self.hear(&line),
                (_, other) => panic!("{other:?}"),
            }
        }
    }
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let so = async {
        while !is_so() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, so).await.unwrap_or_else(|_| panic!("{what}"));
}

fn push(session: &Session, numbers: std::ops::RangeInclusive<usize>) {
    for number in numbers {
        assert_eq!(session.push(Frame::text(format!("down {number}"))), Pushed::Queued);
    }
}

/// A session with frames of both directions, frozen while its client goes on sending.
async fn frozen(
    cluster: &Cluster,
    (one, address): (&Endpoint<Noting>, SocketAddr),
    by: By,
) -> (Client, Session, bytes::Bytes, Option<tokio::task::JoinHandle<Vec<Came>>>) {
    let mut client = Client::open(address, by).await;
    let session = one.sessions().remove(0);
    push(&session, 1..=3);
    client.take(address, 3).await;
    if by == By::Longpoll {
        // The poll was answered: another one waits.
        client.resume_held(address).await;
    }
    if let Some(answer) = client.send(address, 2).await {
        assert_eq!(answer.await.unwrap(), [Came::Line("!ack 2".to_owned())]);
    }
    until("the first frames are handed on", || cluster.diary.notes().len() == 2).await;
    assert!(session.hold_still());
    let under_way = client.send(address, 2).await;
    // Frames flow down while it is held still. A poll is answered with the first that comes, and a newer one waits.
    push(&session, 4..=4);
    client.take(address, 4).await;
    if by == By::Longpoll {
        client.resume_held(address).await;
    }
    tokio::time::timeout(PATIENCE, session.settled()).await.unwrap();
    push(&session, 5..=5);
    let bytes = one.freeze(&session).unwrap();
    assert_eq!(cluster.diary.notes(), ["1: up 1", "1: up 2"], "nothing was taken since it was held still");
    (client, session, bytes, under_way)
}

impl Client {
    /// Polls, and does not wait for the answer.
    async fn resume_held(&mut self, address: SocketAddr) {
        while self.wire.next().await != Came::End {}
        let line = format!("!resume {} {} 30000", self.token, self.received);
        self.wire = Wire::attach(address, self.by, &line).await;
    }
}

const ALL: [By; 3] = [By::Websocket, By::Sse, By::Longpoll];

/// The client comes back, by its old token, at the node that had the session or at the one that has it; then by its new one.
async fn comes_back(cluster: &Cluster, client: &mut Client, session: &Session, at: SocketAddr, node: u64) {
    client.resume(at, true).await;
    assert_eq!(client.sent, cluster.diary.notes().len(), "what was counted is what was handed on");
    push(session, 6..=7);
    client.take(at, 7).await;
    if let Some(answer) = client.send(at, 6 - client.sent).await {
        assert_eq!(answer.await.unwrap(), [Came::Line("!ack 6".to_owned())]);
    }
    until("all is handed on", || cluster.diary.notes().len() == 6).await;
    let expected = (3..=6).map(|n| format!("{node}: up {n}"));
    assert_eq!(cluster.diary.notes()[2..], expected.collect::<Vec<_>>());
    assert_ne!(client.token, client.first_token, "the other node gives one of its own");
}

/// What was under way was not refused: it comes later, was told how far the session has come, or got to the other node.
async fn came_later(under_way: Option<tokio::task::JoinHandle<Vec<Came>>>) {
    let Some(under_way) = under_way else { return };
    for came in under_way.await.unwrap() {
        let is_later = came == Came::Status(503)
            || matches!(&came, Came::Line(line) if ["!ack 2", "!busy 2", "!ack 4"].contains(&line.as_str()));
        assert!(is_later, "{came:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_comes_back_to_the_node_that_has_its_session_and_nothing_is_lost_or_doubled() {
    for by in ALL {
        for is_at_the_old_node in [true, false] {
            let cluster = Cluster::new();
            let (one, address) = cluster.start(1).await;
            let (two, other) = cluster.start(2).await;
            let (mut client, session, bytes, under_way) = frozen(&cluster, (&one, address), by).await;
            let reserved = two.reserve(()).unwrap();
            two.thaw(&reserved, &bytes, &|_, _| None).unwrap();
            assert!(two.adopt(&reserved));
            assert_eq!(one.release(&session, 2), None);
            client.expect_cut().await;
            came_later(under_way).await;
            let at = if is_at_the_old_node { address } else { other };
            comes_back(&cluster, &mut client, &reserved, at, 2).await;
            assert_eq!((one.session_count(), two.session_count()), (0, 1));
            // The new token needs no other node.
            cluster.part();
            client.resume(other, false).await;
            if by == By::Longpoll {
                assert_eq!(client.wire.next().await, Came::End, "no token is given again");
            }
            reserved.close(CloseReason::Disconnected);
            until("the handler hears of the end, once", || cluster.diary.notes().len() == 7).await;
            assert_eq!(cluster.diary.notes()[6], "2: closed disconnected");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_comes_back_to_a_session_that_was_taken_back() {
    for by in ALL {
        let cluster = Cluster::new();
        let (one, address) = cluster.start(1).await;
        let (mut client, session, _, under_way) = frozen(&cluster, (&one, address), by).await;
        one.take_back(&session);
        client.expect_cut().await;
        // A POST that waited may go on, as far as it comes.
        if let Some(under_way) = under_way {
            let _ = under_way.await.unwrap();
            client.sent = cluster.diary.notes().len();
        }
        let taken = cluster.diary.notes().len();
        client.sent = client.sent.max(taken);
        client.resume(address, true).await;
        assert_eq!(client.sent, taken);
        push(&session, 6..=7);
        client.take(address, 7).await;
        if let Some(answer) = client.send(address, 6 - taken).await {
            assert_eq!(answer.await.unwrap(), [Came::Line("!ack 6".to_owned())]);
        }
        until("all is handed on", || cluster.diary.notes().len() == 6).await;
        assert_eq!(cluster.diary.notes(), (1..=6).map(|n| format!("1: up {n}")).collect::<Vec<_>>());
    }
}

/// Requests that come in the midst of it wait, at whichever node, and are answered by the node that has the session then.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_while_it_is_undecided_is_answered_by_the_node_that_gets_the_session() {
    for by in ALL {
        let cluster = Cluster::new();
        let (one, address) = cluster.start(1).await;
        let (two, other) = cluster.start(2).await;
        let (client, session, bytes, _) = frozen(&cluster, (&one, address), by).await;
        let ask = |at: SocketAddr| {
            let line = format!("!resume {} {} 0", client.token, client.received);
            tokio::spawn(async move {
                let mut wire = Wire::attach(at, by, &line).await;
                wire.next().await
            })
        };
        let (here, there) = (ask(address), ask(other));
        let reserved = two.reserve(()).unwrap();
        two.thaw(&reserved, &bytes, &|_, _| None).unwrap();
        // In this order, as nodes do it: at any time one of them knows it.
        assert!(two.adopt(&reserved));
        one.release(&session, 2);
        for asked in [here, there] {
            match asked.await.unwrap() {
                // What was under way may have got to the other node by now.
                Came::Line(line) => {
                    // Of the two that ask at once the older may be told that the newer carries the session.
                    let answers = ["!resumed 2", "!resumed 3", "!resumed 4", "!superseded"];
                    assert!(answers.contains(&&*line), "{line}")
                }
                // What was carried to the first node goes no further, and what comes to the other one before that has the session comes again.
                Came::Status(503) | Came::Close(1012) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Nobody is told that there is no such session, before and after, wherever it asks.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_when_the_other_node_cannot_be_reached_yet_is_not_told_that_its_session_is_unknown() {
    for by in ALL {
        let cluster = Cluster::new();
        let (one, address) = cluster.start(1).await;
        let (client, session, ..) = frozen(&cluster, (&one, address), by).await;
        let line = format!("!resume {} {} 30000", client.token, client.received);
        let undecided = Wire::attach(address, by, &line).await.next().await;
        let later = if by == By::Websocket { Came::Close(1012) } else { Came::Status(503) };
        assert_eq!(undecided, later);
        one.take_back(&session);
        let answer = Wire::attach(address, by, &line).await.next().await;
        assert!(matches!(answer, Came::Line(line) if line.starts_with("!resumed ")));
    }
}
