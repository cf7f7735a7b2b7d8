//! The whole program stands still for longer than it waits for anybody: the machine slept, a debugger or the host held it.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    channels::{Client, Vsn, ok},
    events::EventStream,
    longpoll::LongPoll,
    sessions::{Session, TRANSPORTS, Transport, lines_of, post},
    testbed::Testbed,
    websocket::{Event, Frame, RawSocket, TEXT},
};

/// Of this mount a WebSocket may be silent for 2 s, a long-poll client for 1.5 s, a resumable session's for 3 s.
const MOUNT: &str = "/socket_short";

/// Longer than each of them, and than the 5 s of a ticket, with the sweep's period.
const PAUSE: Duration = Duration::from_millis(6_500);

const ROOM: &str = "room:1";

/// A resumable session that joined the room.
async fn joined(testbed: &Testbed, transport: Transport) -> Session {
    let mut session = Session::open(testbed.address(), MOUNT, transport).await;
    session.send_json(json!(["1", "1", ROOM, "phx_join", {}])).await;
    session.expect_json(ok("1", "1", ROOM, json!({}))).await;
    session
}

/// What clients say while nobody runs lies in the sockets; nobody is closed for the silence that was not theirs.
#[tokio::test]
async fn a_pause_of_the_program_is_nobodys_silence() {
    let testbed = Testbed::start();
    let address = testbed.address();
    let mut stock = Client::connect_to(address, MOUNT, Vsn::V2, "").await;
    stock.join("1", ROOM).await;
    let mut silent = Client::connect_to(address, MOUNT, Vsn::V2, "").await;
    silent.join("1", ROOM).await;
    let mut poller = LongPoll::open(address, MOUNT).await;
    poller.send(json!(["1", "1", ROOM, "phx_join", {}])).await;
    assert_eq!(poller.poll().await.messages, [ok("1", "1", ROOM, json!({}))]);
    let mut sessions = Vec::new();
    for transport in TRANSPORTS {
        sessions.push(joined(&testbed, transport).await);
    }

    let ticket = post(address, &Transport::Sse.path(MOUNT), "!ticket\n!open 30000").await;
    let ticket = lines_of(&ticket)[0].strip_prefix("!ticket ").expect("a ticket").to_owned();

    testbed.pause();
    for n in 0..10 {
        stock.send(json!(["1", n.to_string(), ROOM, "ping", {"n": n}])).await;
    }
    // The first one's transport is a WebSocket, which needs no answer to a frame.
    sessions[0].send_json(json!(["1", "p", ROOM, "ping", {}])).await;
    tokio::time::sleep(PAUSE).await;
    testbed.go_on();

    let path = format!("{MOUNT}/sse?lapwing=1&ticket={ticket}");
    assert_eq!(EventStream::request(address, "GET", &path, &[], None).await.status(), 200);
    for n in 0..10 {
        stock.expect(ok("1", &n.to_string(), ROOM, json!({"n": n}))).await;
    }
    stock.expect_heartbeat().await;
    silent.expect_heartbeat().await;
    poller.send(json!(["1", "2", ROOM, "ping", {}])).await;
    assert_eq!(poller.poll().await.messages, [ok("1", "2", ROOM, json!({}))]);
    sessions[0].expect_json(ok("1", "p", ROOM, json!({}))).await;
    for session in &mut sessions {
        session.send_json(json!(["1", "q", ROOM, "ping", {}])).await;
        while session.next_json().await != ok("1", "q", ROOM, json!({})) {}
    }
}

/// A poll that waits through the pause keeps its session.
#[tokio::test]
async fn a_poll_that_waited_through_a_pause_is_answered_and_its_session_lives() {
    let testbed = Testbed::start();
    let mut poller = LongPoll::open(testbed.address(), MOUNT).await;
    let session = joined(&testbed, Transport::Longpoll).await;
    let polls = async { tokio::join!(poller.poll(), session.poll(30_000, "")) };
    let pause = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        testbed.pause();
        tokio::time::sleep(PAUSE).await;
        testbed.go_on();
    };
    let ((polled, answered), ()) = tokio::join!(polls, pause);
    assert_eq!(polled.status, 204);
    assert_eq!(lines_of(&answered), ["!resumed 1"]);
    poller.send(json!(["1", "1", ROOM, "phx_join", {}])).await;
    assert_eq!(poller.poll().await.messages, [ok("1", "1", ROOM, json!({}))]);
    assert_eq!(lines_of(&session.poll(0, "").await), ["!resumed 1"]);
}

/// A client that goes on sending behind its error is heard out for five seconds, of which a pause takes none: what lies in the sockets
/// when the program goes on would make a reset that overtakes the close frame.
#[tokio::test]
async fn a_client_that_was_heard_out_through_a_pause_reads_why_it_was_closed() {
    const FAR_TOO_MUCH: usize = 20_000_000;
    let testbed = Testbed::start();
    let mut socket = RawSocket::connect(testbed.address(), "/socket/websocket?vsn=2.0.0").await;
    let message = Frame::new(TEXT, vec![b'x'; FAR_TOO_MUCH]).encode();
    let (first, rest) = message.split_at(100_000);
    socket.send_bytes(first).await.expect("the server listens");
    tokio::time::sleep(Duration::from_millis(300)).await;
    testbed.pause();
    let pause = async {
        tokio::time::sleep(PAUSE).await;
        testbed.go_on();
    };
    let (sent, ()) = tokio::join!(socket.send_bytes(rest), pause);
    sent.expect("the server hears it out");
    assert_eq!(socket.next().await, Event::Close(1009, String::new()));
    assert_eq!(socket.next().await, Event::End);
}
