//! Streams that somebody does not read: each costs itself, and no other on its connection.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::observed;
use crate::support::{
    PATIENCE,
    channels::{Client, Vsn},
    frames::{DATA, INITIAL_WINDOW_SIZE, Raw, SETTINGS, WINDOW_UPDATE, encode},
    http2::{Connection, Stream},
    testbed::Testbed,
    websocket::{Frame, TEXT},
};

const PATH: &str = "/socket/websocket?vsn=2.0.0";
const BROADCASTS: usize = 150;
const PAYLOAD: usize = 2_000;

/// A client whose connection has room for what its streams do not read.
async fn roomy(testbed: &Testbed) -> Connection {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(16 * 1024).initial_connection_window_size(8 << 20);
    Connection::connect_as(testbed.address(), &builder).await
}

async fn joined(connection: &Connection, topic: &str) -> Stream {
    let mut stream = connection.websocket(PATH).await;
    stream.send(&json!(["1", "1", topic, "phx_join", {}]).to_string());
    assert!(stream.next_text().await.contains("ok"));
    stream
}

async fn broadcast(testbed: &Testbed, topic: &str) {
    let mut speaker = Client::joined(testbed.address(), Vsn::V2, topic).await;
    for n in 0..BROADCASTS {
        let payload = json!({"n": n, "text": "x".repeat(PAYLOAD)});
        speaker.send(json!(["1", "2", topic, "shout_from", payload])).await;
    }
    speaker.expect_heartbeat().await;
}

#[tokio::test]
async fn a_websocket_that_is_not_read_holds_up_no_other_on_its_connection() {
    let testbed = Testbed::start();
    let connection = roomy(&testbed).await;
    let mut unread = Vec::new();
    for _ in 0..50 {
        unread.push(joined(&connection, "room:hol").await);
    }
    let mut read = joined(&connection, "room:hol").await;
    let reads = async {
        for n in 0..BROADCASTS {
            let message: Value = serde_json::from_str(&read.next_text().await).unwrap();
            assert_eq!(message[4]["n"], n);
        }
    };
    let both = async { tokio::join!(broadcast(&testbed, "room:hol"), reads) };
    timeout(PATIENCE, both).await.expect("what is read is not held up");
    // Their windows are full, and they are still there for whoever reads again.
    let behind: Value = serde_json::from_str(&unread[0].next_text().await).unwrap();
    assert_eq!(behind[4]["n"], 0);
}

#[tokio::test]
async fn a_connection_that_is_not_read_costs_a_bounded_amount_for_each_stream() {
    let testbed = Testbed::start();
    let mut raw = Raw::connect(testbed.address()).await;
    // Windows that hold nothing back, so that the server's own buffers have to.
    let settings = [&INITIAL_WINDOW_SIZE[..], &(1_u32 << 20).to_be_bytes()].concat();
    assert!(raw.send(&encode(SETTINGS, 0, 0, &settings)).await);
    assert!(raw.send(&encode(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes())).await);
    let join = Frame::new(TEXT, json!(["1", "1", "room:unread", "phx_join", {}]).to_string()).encode();
    for id in (1..200).step_by(2) {
        raw.websocket(id, PATH).await;
        assert!(raw.send(&encode(DATA, 0, id, &join)).await);
        raw.expect(DATA, id).await;
    }
    let before = testbed.rss();
    for _ in 0..2 {
        broadcast(&testbed, "room:unread").await;
    }
    // 60 MB for all of them, which they share in their outboxes; HTTP/2 copies 32 KiB for each stream.
    let grown = testbed.rss().saturating_sub(before);
    assert!(grown < 20 << 20, "{grown} bytes");
}

#[tokio::test]
async fn an_event_stream_that_is_not_read_holds_up_neither_requests_nor_websockets() {
    let testbed = Testbed::start();
    let connection = roomy(&testbed).await;
    let sse = "/socket/sse?lapwing=1&vsn=2.0.0";
    let mut unread = Vec::new();
    for _ in 0..20 {
        let mut events = connection.open(Method::POST, sse, "!open 30000").await;
        let greeting = events.next_event().await.unwrap();
        let token = greeting.split(' ').nth(1).unwrap();
        let up = format!("!send {token}\n!from 1\n[\"1\",\"1\",\"room:hol\",\"phx_join\",{{}}]");
        assert_eq!(connection.request(Method::POST, sse, &up).await.text(), "!ack 1\n");
        unread.push(events);
    }
    let mut read = joined(&connection, "room:hol").await;
    broadcast(&testbed, "room:hol").await;
    for n in 0..BROADCASTS {
        let message: Value = serde_json::from_str(&read.next_text().await).unwrap();
        assert_eq!(message[4]["n"], n);
    }
    assert_eq!(connection.get("/health").await.text(), "ok");
}

#[tokio::test]
async fn a_client_too_slow_for_its_outbox_is_closed_alone() {
    let testbed = Testbed::start();
    let connection = roomy(&testbed).await;
    let slow = joined(&connection, "room:flood").await;
    let mut bystander = joined(&connection, "room:quiet").await;
    let mut speaker = Client::joined(testbed.address(), Vsn::V2, "room:flood").await;
    // More than an outbox holds, 16 MiB, on top of what the windows take.
    let text = "x".repeat(60_000);
    for n in 0..350 {
        speaker.send(json!(["1", "2", "room:flood", "shout_from", {"n": n, "text": text}])).await;
    }
    testbed.wait_for_stat("connections", 2, PATIENCE).await;
    bystander.send(r#"["1","2","room:quiet","ping",{}]"#);
    assert!(bystander.next_text().await.contains("ok"));
    drop(slow);
}

#[tokio::test]
async fn sessions_that_the_server_does_not_read_hold_up_no_other_on_their_connection() {
    let (address, _ended) = observed().await;
    let connection = Connection::connect(address).await;
    let mut deaf = Vec::new();
    // Six megabytes that nobody takes: each stream is held back by its own window.
    for _ in 0..100 {
        let mut stream = connection.websocket("/websocket?deaf=1").await;
        for _ in 0..60 {
            stream.send(&"x".repeat(1_000));
        }
        deaf.push(stream);
    }
    let mut heard = connection.websocket("/websocket").await;
    for n in 0..100 {
        heard.send(&n.to_string());
        assert_eq!(heard.next_text().await, n.to_string());
    }
}

#[tokio::test]
async fn a_stream_takes_no_more_than_its_window_while_the_server_does_not_read_it() {
    let (address, _ended) = observed().await;
    let connection = Connection::connect(address).await;
    let mut deaf = connection.websocket("/websocket?deaf=1").await;
    deaf.up.reserve_capacity(1 << 20);
    let mut taken = 0;
    loop {
        // What does not come is waited for only when nothing more should.
        let max = if taken < 64 * 1024 { PATIENCE } else { Duration::from_millis(300) };
        let Ok(capacity) = timeout(max, std::future::poll_fn(|cx| deaf.up.poll_capacity(cx))).await else {
            break;
        };
        let bytes = capacity.expect("the stream is open").expect("the stream is open");
        deaf.up.send_data(vec![0; bytes].into(), false).unwrap();
        taken += bytes;
        deaf.up.reserve_capacity(1 << 20);
        assert!(taken <= 64 * 1024, "{taken} bytes");
    }
    assert_eq!(taken, 64 * 1024);
    let mut heard = connection.websocket("/websocket").await;
    heard.send("on");
    assert_eq!(heard.next_text().await, "on");
}
