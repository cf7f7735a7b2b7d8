//! Messages that do not end, and frames that nobody reads.

use lapwing::{OutboxLimits, WebsocketOptions, transports::connect::NotAdmitted};
use std::time::Duration;

use super::{close_code, serve, until, until_all_is_given_back};
use crate::support::{
    http,
    sessions::{Transport, attach},
    websocket::{BINARY, Event, Frame, RawSocket},
};

const BUDGET: usize = 1_000_000;
const PATH: &str = "/echo/websocket?vsn=2.0.0";

/// Sends all of a message but its last bytes.
async fn begin_message(socket: &mut RawSocket, bytes: usize) {
    let message = Frame::new(BINARY, vec![7; bytes]).encode();
    // It may be closed for this already.
    let _ = socket.send_bytes(&message[..message.len() - 10]).await;
}

async fn assert_is_served(socket: &mut RawSocket) {
    socket.send(Frame::text("still there")).await;
    assert_eq!(socket.next_but_pongs().await, Event::Text("still there".into()));
}

#[tokio::test]
async fn messages_that_do_not_end_are_held_up_to_the_budget_and_the_largest_are_closed() {
    let (endpoint, address) = serve(BUDGET, |options| options).await;
    let mut honest = RawSocket::connect(address, PATH).await;
    let mut small = RawSocket::connect(address, PATH).await;
    begin_message(&mut small, 20_000).await;
    until("the small one is counted", || endpoint.bytes_held() >= 16 * 1024).await;
    let mut hoarders = Vec::new();
    for _ in 0..30 {
        let Ok(mut socket) = RawSocket::handshake(address, PATH, &[]).await else { continue };
        begin_message(&mut socket, 200_000).await;
        assert!(endpoint.bytes_held() <= BUDGET, "{} bytes are held", endpoint.bytes_held());
        assert_is_served(&mut honest).await;
        hoarders.push(socket);
    }
    assert!(endpoint.counters().over_budget() > 0);
    assert!(hoarders.len() >= 4, "they were let in while there was room");
    assert_eq!(close_code(&mut hoarders[0]).await, Some(1013));
    // Whoever holds little is left alone, and may finish.
    small.send_bytes(&Frame::new(BINARY, vec![7; 20_000]).encode()[20_008 - 10..]).await.unwrap();
    assert!(matches!(small.next_but_pongs().await, Event::Binary(_)));
    drop((hoarders, small));
    until_all_is_given_back(&endpoint).await;
    assert_is_served(&mut honest).await;
}

#[tokio::test]
async fn one_message_that_is_more_than_the_budget_ends_its_own_connection() {
    let (endpoint, address) = serve(BUDGET, |options| options).await;
    let mut honest = RawSocket::connect(address, PATH).await;
    let mut greedy = RawSocket::connect(address, PATH).await;
    begin_message(&mut greedy, 3 * BUDGET).await;
    // It may be reset while it writes.
    let code = close_code(&mut greedy).await;
    assert!(matches!(code, Some(1013) | None), "{code:?}");
    drop(greedy);
    until_all_is_given_back(&endpoint).await;
    assert_is_served(&mut honest).await;
}

#[tokio::test]
async fn frames_that_nobody_reads_are_counted_once_and_the_slowest_are_closed() {
    let (endpoint, address) =
        serve(8_000_000, |options| options.outbox(OutboxLimits::new().bytes_max(usize::MAX))).await;
    let mut readers = Vec::new();
    for transport in [Transport::Websocket, Transport::Sse] {
        let (attachment, _) = attach(address, transport, &transport.path("/echo"), "!open 30000").await;
        readers.push(attachment);
    }
    let stuck = RawSocket::connect(address, PATH).await;
    let frame = lapwing::transports::frame::Frame::binary(vec![1; 100_000]);
    let sessions = endpoint.sessions();
    for _ in 0..200 {
        for session in &sessions {
            session.push_in_turn(frame.clone());
        }
    }
    assert!(endpoint.bytes_held() < 500_000, "the same frame is counted once: {}", endpoint.bytes_held());
    for _ in 0..400 {
        let frame = lapwing::transports::frame::Frame::binary(vec![1; 100_000]);
        for session in &sessions {
            session.push_in_turn(frame.clone());
        }
        tokio::task::yield_now().await;
    }
    until("the slowest are closed", || endpoint.counters().over_budget() > 0).await;
    until("what they held is given back", || endpoint.bytes_held() < 8_000_000).await;
    drop((readers, stuck, sessions, frame));
    until_all_is_given_back(&endpoint).await;
}

#[tokio::test]
async fn a_message_that_takes_too_long_is_closed_with_1008_and_one_in_time_is_taken() {
    let message = Frame::text("x".repeat(100)).encode();
    for timeout in [Duration::from_millis(500), Duration::from_secs(600)] {
        let websocket = WebsocketOptions::default().message_timeout(timeout);
        let (endpoint, address) = serve(BUDGET, |options| options.websocket(websocket)).await;
        let mut socket = RawSocket::connect(address, PATH).await;
        for byte in &message[..40] {
            if socket.send_bytes(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if timeout < Duration::from_secs(1) {
            assert_eq!(close_code(&mut socket).await, Some(1008));
        } else {
            socket.send_bytes(&message[40..]).await.unwrap();
            assert_eq!(socket.next_but_pongs().await, Event::Text("x".repeat(100)));
        }
        drop(socket);
        until_all_is_given_back(&endpoint).await;
    }
}

#[tokio::test]
async fn a_session_that_is_refused_for_want_of_room_is_told_to_try_later() {
    let (endpoint, address) = serve(BUDGET, |options| options).await;
    let mut first = RawSocket::connect(address, PATH).await;
    let session = endpoint.sessions().pop().unwrap();
    // Not above the bound, but above what lets others in; whoever holds it is closed, and it is held for all that.
    session.hold(900_000).unwrap();
    let refused = RawSocket::handshake(address, PATH, &[]).await.err();
    assert_eq!(refused.map(|response| response.status), Some(503));
    assert_eq!(http::get(address, "/echo/longpoll?vsn=2.0.0").await.status, 503);
    for transport in [Transport::Sse, Transport::Longpoll, Transport::Websocket] {
        let (_, greeting) = attach(address, transport, &transport.path("/echo"), "!open 30000").await;
        assert_eq!(greeting, "!refused full", "{transport:?}");
    }
    let refused: Vec<_> = endpoint.counters().not_admitted().filter(|(_, count)| *count > 0).collect();
    assert_eq!(refused, [(NotAdmitted::Budget, 5)]);
    assert_eq!(close_code(&mut first).await, Some(1013));
    session.release(900_000);
    let mut next = RawSocket::connect(address, PATH).await;
    assert_is_served(&mut next).await;
    drop((first, next, session));
    until_all_is_given_back(&endpoint).await;
}
