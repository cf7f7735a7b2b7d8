//! Clients that do not read: their outbox has a bound, and its end is theirs alone.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use tokio::net::TcpSocket;

use super::MIB;
use crate::support::{
    bystander::Bystander,
    channels::{Client, Vsn},
    longpoll::LongPoll,
    testbed::Testbed,
    websocket::{Event, RawSocket, SAMPLE_KEY},
};

/// How many broadcasts of 1 MiB: far more than any bound and the kernel's buffers.
const BROADCASTS: usize = 100;

/// What the server may grow by while it holds the same megabytes for all who wait for them.
const GROWTH_MAX: u64 = 64 * MIB as u64;

/// Joined to a topic, with a small receive buffer, and never reading again.
async fn deaf_client(address: SocketAddr, topic: &str) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let stream = socket.connect(address).await.unwrap();
    let request = format!(
        "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {SAMPLE_KEY}\r\n\r\n"
    );
    let socket = RawSocket::from_stream(stream, request.as_bytes()).await.expect("it opens");
    let mut client = Client { socket, vsn: Vsn::V2 };
    client.join("1", topic).await;
    client
}

/// Broadcasts a megabyte again and again and reads each one back, as does the other.
async fn broadcast_megabytes(
    sender: &mut Client,
    reader: &mut Client,
    topic: &str,
    peak: &mut u64,
    testbed: &Testbed,
) {
    let text = "x".repeat(MIB);
    for number in 0..BROADCASTS {
        sender.send(json!(["1", "2", topic, "shout", {"n": number, "text": text}])).await;
        for client in [&mut *sender, &mut *reader] {
            let message = client.next_message().await;
            assert_eq!(message[4]["n"], number, "a client that reads gets everything, in order");
        }
        *peak = (*peak).max(testbed.rss());
    }
}

#[tokio::test]
async fn a_client_that_never_reads_is_closed_so_that_it_comes_back_and_costs_a_bounded_amount() {
    const TOPIC: &str = "room:deaf";
    let testbed = Testbed::start();
    let bystander = Bystander::start(&testbed).await;
    let mut sender = Client::joined(testbed.address(), Vsn::V2, TOPIC).await;
    let mut reader = Client::joined(testbed.address(), Vsn::V2, TOPIC).await;
    let mut deaf = Vec::new();
    for _ in 0..5 {
        deaf.push(deaf_client(testbed.address(), TOPIC).await);
    }
    let before = testbed.rss();
    let mut peak = before;
    broadcast_megabytes(&mut sender, &mut reader, TOPIC, &mut peak, &testbed).await;
    assert!(peak - before < GROWTH_MAX, "the server grew by {} bytes", peak - before);
    for client in &mut deaf {
        let code = client.close_code_within(Duration::from_secs(20)).await;
        let code = code.expect("a client that does not read is closed");
        assert_ne!(code, 1000, "stock clients do not come back after 1000");
    }
    // The bystander, the sender and the reader are left.
    testbed.wait_for_stat("joins", 3, Duration::from_secs(20)).await;
    bystander.finish().await;
}

/// It never reads again at all: even then its connection goes.
#[tokio::test]
async fn a_client_that_never_reads_not_even_its_close_is_dropped() {
    const TOPIC: &str = "room:stone-deaf";
    let testbed = Testbed::start();
    let mut sender = Client::joined(testbed.address(), Vsn::V2, TOPIC).await;
    let mut reader = Client::joined(testbed.address(), Vsn::V2, TOPIC).await;
    let deaf = deaf_client(testbed.address(), TOPIC).await;
    let mut peak = 0;
    broadcast_megabytes(&mut sender, &mut reader, TOPIC, &mut peak, &testbed).await;
    testbed.wait_for_stat("joins", 2, Duration::from_secs(40)).await;
    drop(deaf);
}

#[tokio::test]
async fn a_long_poll_session_that_does_not_poll_costs_a_bounded_amount_and_says_so() {
    const TOPIC: &str = "room:deaf-lp";
    let testbed = Testbed::start();
    let bystander = Bystander::start(&testbed).await;
    let mut sender = Client::joined(testbed.address(), Vsn::V2, TOPIC).await;
    let mut reader = Client::joined(testbed.address(), Vsn::V2, TOPIC).await;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        let session = LongPoll::open(testbed.address(), "/socket").await;
        session.send(json!(["1", "1", TOPIC, "phx_join", {}])).await;
        sessions.push(session);
    }
    let before = testbed.rss();
    let mut peak = before;
    broadcast_megabytes(&mut sender, &mut reader, TOPIC, &mut peak, &testbed).await;
    assert!(peak - before < GROWTH_MAX, "the server grew by {} bytes", peak - before);
    // A gap is never passed over in silence: the session is gone, and its client starts anew.
    for session in &mut sessions {
        assert_eq!(session.poll().await.status, 410);
    }
    bystander.finish().await;
}

/// The reader stops for a while, within the bounds, and then goes on: nothing is missing.
#[tokio::test]
async fn a_client_that_pauses_within_the_bounds_loses_nothing() {
    const TOPIC: &str = "room:pause";
    let testbed = Testbed::start();
    let mut sender = Client::joined(testbed.address(), Vsn::V2, TOPIC).await;
    let mut pausing = deaf_client(testbed.address(), TOPIC).await;
    let text = "x".repeat(1000);
    for number in 0..500 {
        sender.send(json!(["1", "2", TOPIC, "shout", {"n": number, "text": text}])).await;
        assert_eq!(sender.next_message().await[4]["n"], number);
    }
    for number in 0..500 {
        assert_eq!(pausing.next_message().await[4]["n"], number);
    }
    pausing.socket.send(crate::support::websocket::Frame::close(1000, "")).await;
    assert_eq!(pausing.socket.next().await, Event::Close(1000, String::new()));
}
