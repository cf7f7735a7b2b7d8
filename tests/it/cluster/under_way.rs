//! Clients that do not go on with what is carried for them: what that costs whom.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, service::Service as _};
use lapwing::{
    Lapwing, cluster::Hub, metrics::Value as Counted, testing::TestServer, transports::body::Body,
};
use lapwing_engine_contract::eventually;
use serde_json::json;

use super::{
    carriers::{meet, node},
    rooms,
};
use crate::support::{
    PATIENCE, http, lab,
    longpoll::{JSON, LongPoll},
    sessions::{BEAT, Session, Transport, upgrade},
    websocket::{self, Event},
};

/// As many requests of a session are carried at a time.
const OF_A_SESSION_MAX: usize = 16;

/// Two nodes that know each other, and where they listen.
async fn two() -> ([TestServer; 2], [SocketAddr; 2]) {
    let hub = Hub::new();
    let nodes = [node(&hub, "one", rooms().0).await, node(&hub, "two", rooms().0).await];
    meet(&[&nodes[0], &nodes[1]]).await;
    let addresses = [lab::serve(&nodes[0]).await, lab::serve(&nodes[1]).await];
    (nodes, addresses)
}

/// A session of the first node, in the room.
async fn joined(address: SocketAddr) -> Session {
    let mut session = Session::open(address, "/socket", Transport::Longpoll).await;
    session.send_json(json!(["1", "1", "room:1", "phx_join", {}])).await;
    for _ in 0..2 {
        session.next_json().await;
    }
    session
}

/// A body of which no more comes than this.
struct Endless(Option<Bytes>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Poll::Pending,
        }
    }
}

/// The answer of a node, of which nothing is read.
async fn answer<B>(node: &Lapwing, path: &str, body: B) -> Response<Body>
where
    B: http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let request = Request::post(path).header("host", "localhost").body(body).unwrap();
    node.service().call(request).await.unwrap()
}

/// A stream of a session by way of a node, of which nothing is read.
async fn stream(node: &Lapwing, session: &Session) -> Response<Body> {
    let resume = format!("!resume {} {} {BEAT}", session.token, session.received);
    answer(node, &Transport::Sse.path("/socket"), Full::new(Bytes::from(resume))).await
}

/// Requests under way: carried by the second node, at the first.
fn carried(nodes: &[TestServer; 2]) -> (usize, usize) {
    let relays = |node: &TestServer| node.stats().cluster.unwrap().relays;
    (relays(&nodes[1]).carrying, relays(&nodes[0]).carried)
}

#[tokio::test]
async fn a_stream_that_is_not_read_ends_when_its_session_is_carried_otherwise() {
    let (nodes, addresses) = two().await;
    for text in [100, 3_000, 8_000] {
        let session = joined(addresses[0]).await;
        let sent =
            || match nodes[0].metrics().value("lapwing_frame_bytes_total", &["/socket", "sse", "transmit"]) {
                Some(Counted::Count(bytes)) => *bytes,
                other => panic!("{other:?}"),
            };
        let before = sent();
        let unread = stream(&nodes[1], &session).await;
        assert_eq!(unread.status(), 200);
        let payload = json!({"text": "x".repeat(text)});
        for _ in 0..200_000 / text {
            nodes[0].broadcast("room:1", "said", payload.clone()).unwrap();
        }
        // As much is on its way as the other node takes.
        eventually("there is no room", || sent() - before >= 64 * 1024).await;
        assert_eq!(carried(&nodes), (1, 1));
        assert_eq!(session.poll(0, "").await.status, 200, "it is carried by a poll at its node");
        eventually("its node has let the stream go", || carried(&nodes).1 == 0).await;
        assert_eq!(carried(&nodes).0, 1, "what came of it is not read");
        drop(unread);
        eventually("nor does the other one hold it", || carried(&nodes).0 == 0).await;
        session.post("!close").await;
    }
}

#[tokio::test]
async fn a_websocket_that_is_not_read_is_let_go_when_its_session_is_over() {
    let (nodes, addresses) = two().await;
    let session = joined(addresses[0]).await;
    let mut unread = upgrade(addresses[1], &Transport::Websocket.path("/socket")).await;
    unread
        .send(websocket::Frame::text(format!("!resume {} {} {BEAT}", session.token, session.received)))
        .await;
    eventually("it is carried", || carried(&nodes) == (1, 1)).await;
    // More than the sockets between the client and the second node take.
    for _ in 0..24 {
        nodes[0].broadcast("room:1", "said", json!({"text": "x".repeat(500_000)})).unwrap();
    }
    assert_eq!(session.post("!close").await.status, 200);
    eventually("neither node has it", || carried(&nodes) == (0, 0)).await;
    drop(unread);
}

#[tokio::test]
async fn an_answer_that_is_read_after_a_while_is_whole() {
    let (nodes, addresses) = two().await;
    let mut session = joined(addresses[0]).await;
    let poll = async |session: &Session| {
        let resume = format!("!resume {} {} 0", session.token, session.received);
        answer(&nodes[1], &Transport::Longpoll.path("/socket"), Full::new(Bytes::from(resume))).await
    };
    for n in 0..40 {
        nodes[0].broadcast("room:1", "said", json!({"n": n, "text": "x".repeat(4_000)})).unwrap();
    }
    let mut heard = 0;
    while heard < 40 {
        let unread = poll(&session).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (mut body, mut text) = (unread.into_body(), Vec::new());
        while let Some(frame) = body.frame().await {
            // Each piece is dropped as it is had.
            text.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        let said = std::str::from_utf8(&text).unwrap().lines().filter(|line| line.contains("said")).count();
        heard += said;
        session.received += said as u64;
        assert!(said > 0);
    }
    eventually("nothing is left", || carried(&nodes) == (0, 0)).await;
}

#[tokio::test]
async fn one_session_has_so_many_requests_under_way_at_another_node_and_no_more() {
    let (nodes, addresses) = two().await;
    let (mut session, mut other) = (joined(addresses[0]).await, joined(addresses[0]).await);
    (session.address, other.address) = (addresses[1], addresses[1]);
    let path = Transport::Sse.path("/socket");
    let first = Bytes::from(format!("!send {}\n", session.token));
    let endless = || {
        let (node, path, body) = (Lapwing::clone(&nodes[1]), path.clone(), Endless(Some(first.clone())));
        tokio::spawn(async move { answer(&node, &path, body).await })
    };
    let unfinished: Vec<_> = (0..OF_A_SESSION_MAX).map(|_| endless()).collect();
    eventually("all are under way", || carried(&nodes) == (OF_A_SESSION_MAX, OF_A_SESSION_MAX)).await;
    let refused = session.post("!ack 0").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(session.poll(0, "").await.status, 503);
    let mut socket = upgrade(addresses[1], &Transport::Websocket.path("/socket")).await;
    socket.send(websocket::Frame::text(format!("!resume {} 0 {BEAT}", session.token))).await;
    assert_eq!(socket.next_but_pongs().await, Event::Close(1012, String::new()));
    assert_eq!(carried(&nodes).0, OF_A_SESSION_MAX);
    assert_eq!(other.post("!ack 0").await.status, 200, "it is one session's bound");
    session.address = addresses[0];
    assert_eq!(session.post("!ack 0").await.status, 200, "and none at its own node");
    unfinished.into_iter().for_each(|request| request.abort());
    eventually("they are given up", || carried(&nodes) == (0, 0)).await;
    session.address = addresses[1];
    assert_eq!(session.post("!ack 0").await.status, 200);
}

#[tokio::test]
async fn a_stock_client_has_as_many_under_way() {
    let (nodes, addresses) = two().await;
    let client = LongPoll::open(addresses[0], "/socket").await;
    let path = format!("/socket/longpoll?vsn=2.0.0&token={}", client.token);
    let endless = || {
        let (node, path) = (Lapwing::clone(&nodes[1]), path.clone());
        tokio::spawn(async move { answer(&node, &path, Endless(None)).await })
    };
    let unfinished: Vec<_> = (0..OF_A_SESSION_MAX).map(|_| endless()).collect();
    eventually("all are under way", || carried(&nodes) == (OF_A_SESSION_MAX, OF_A_SESSION_MAX)).await;
    let refused = http::request(addresses[1], "POST", &path, &[], Some(b"[]")).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    unfinished.into_iter().for_each(|request| request.abort());
    eventually("they are given up", || carried(&nodes) == (0, 0)).await;
}

/// Each of what it says is a request, and none of them waits for another.
#[tokio::test]
async fn a_stock_client_that_says_much_at_once_is_heard() {
    let (nodes, addresses) = two().await;
    let mut client = LongPoll::open(addresses[0], "/socket").await;
    client.send(json!(["1", "1", "room:1", "phx_join", {}])).await;
    client.address = addresses[1];
    let shared = Arc::new(client);
    let say = |n: usize| {
        let (client, message) = (shared.clone(), json!(["1", n.to_string(), "room:1", "say", {"n": n}]));
        async move { client.post(JSON, message.to_string().as_bytes()).await }
    };
    let said: tokio::task::JoinSet<_> = (0..100).map(say).collect();
    assert_eq!(said.join_all().await, [200; 100]);
    eventually("none is under way", || carried(&nodes) == (0, 0)).await;
    let mut client = Arc::into_inner(shared).unwrap();
    let heard = async {
        let mut replies = 0;
        while replies < 101 {
            let messages = client.poll().await.messages;
            replies += messages.iter().filter(|message| message[3] == "phx_reply").count();
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("all is answered");
}
