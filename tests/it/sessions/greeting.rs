//! The first message of a WebSocket, and what breaks the protocol after it.

use lapwing::transports::options::TransportOptions;
use std::time::{Duration, Instant};

use lapwing::{Mount, ResumeOptions};

use super::{count, joined, serve};
use crate::support::{
    echo,
    sessions::{Attachment, Line, Session, Transport, message, text, upgrade},
    websocket::{Event, Frame, PING, RawSocket},
};

async fn upgraded(mount: Mount) -> (super::Lab, RawSocket) {
    let (lapwing, address) = serve(mount).await;
    (lapwing, upgrade(address, &Transport::Websocket.path("/socket")).await)
}

#[tokio::test]
async fn a_websocket_that_does_not_say_what_it_is_for_is_dropped() {
    let timeout = Duration::from_millis(300);
    let (lapwing, mut socket) =
        upgraded(Mount::new().resume(ResumeOptions::default().greeting_timeout(timeout))).await;
    let asked = Instant::now();
    // Signs of life are no greeting.
    socket.send(Frame::new(PING, "x")).await;
    assert!(matches!(socket.next_but_pongs().await, Event::End | Event::Close(..)));
    assert!(asked.elapsed() >= Duration::from_millis(200), "{:?}", asked.elapsed());
    assert_eq!(lapwing.stats().sessions, 0);
}

#[tokio::test]
async fn whatever_is_no_greeting_ends_the_connection_with_4002() {
    let (lapwing, address) = serve(Mount::new()).await;
    for line in
        ["", "[]", "!ack 5", "!send x", "!ping", "!open", "!open x", "!somethingnew", "!resume x", "!"]
    {
        let mut socket = upgrade(address, &Transport::Websocket.path("/socket")).await;
        socket.send(Frame::text(line)).await;
        assert_eq!(socket.next().await, Event::Close(4002, String::new()), "{line}");
        assert_eq!(socket.next().await, Event::End, "{line}");
    }
    assert_eq!(lapwing.stats().sessions, 0);
}

#[tokio::test]
async fn a_greeting_may_come_byte_by_byte_and_after_a_ping() {
    let (_, address) = echo::serve(TransportOptions::default()).await;
    let mut socket = upgrade(address, &Transport::Websocket.path("/echo")).await;
    let mut bytes = Frame::new(PING, "x").encode();
    bytes.extend(Frame::text("!op").more().encode());
    bytes.extend(Frame::new(crate::support::websocket::CONTINUATION, "en 5000").encode());
    bytes.extend(message(&text("x")).encode());
    for byte in bytes {
        socket.send_bytes(&[byte]).await.unwrap();
    }
    let mut attachment = Attachment::Websocket(socket);
    assert!(matches!(attachment.next().await, Line::Control(line) if line.starts_with("!opened ")));
    assert_eq!(attachment.next().await, text("x"));
}

/// In 64 KiB, nobody has still not said which session it is.
#[tokio::test]
async fn a_websocket_that_says_too_much_before_its_greeting_is_dropped() {
    let pings = Frame::new(PING, "x".repeat(100)).encode().repeat(1_000);
    let long = Frame::text(format!("!open 30000 {}", "x".repeat(100_000))).encode();
    let pieces = Frame::text("x".repeat(1_000)).more().encode();
    for (name, bytes) in
        [("pings", pings), ("one long message", long), ("a message without end", pieces.repeat(1))]
    {
        let (lapwing, mut socket) = upgraded(Mount::new()).await;
        let mut bytes = bytes;
        while bytes.len() < 100_000 {
            bytes.extend(
                Frame::new(crate::support::websocket::CONTINUATION, "x".repeat(1_000)).more().encode(),
            );
        }
        // It may hang up before it has everything.
        let _ = socket.send_bytes(&bytes).await;
        socket.send(Frame::text("!open 30000")).await;
        let event = socket.next_within(Duration::from_secs(3)).await;
        assert!(matches!(event, Some(Event::End | Event::Close(..))), "{name}: {event:?}");
        assert_eq!(lapwing.stats().sessions, 0, "{name}");
    }
}

#[tokio::test]
async fn a_breach_ends_the_connection_with_4002_and_not_the_session() {
    let (lapwing, address) = serve(Mount::new()).await;
    let mut session = joined(address, Transport::Websocket).await;
    let too_long = format!("!ack 1 {}", "x".repeat(250));
    let breaches = [
        "!ack",
        "!ack -1",
        "! x",
        "!",
        "\"unfinished",
        "*A",
        "!open 5",
        "!send x",
        "!from 1",
        "!ticket",
        "!resume x 0 5",
        &too_long,
    ];
    for (n, breach) in (1..).zip(breaches) {
        session.say(breach).await;
        assert_eq!(session.attachment.next().await, Line::Close(4002), "{breach}");
        assert_eq!(session.attachment.next().await, Line::End, "{breach}");
        session.resume(Transport::Websocket).await;
        count(&mut session, n).await;
    }
    assert_eq!(super::diary(&lapwing), ["join"]);
}

/// RFC 6455 has its own codes; the session survives them, too.
#[tokio::test]
async fn a_broken_websocket_is_a_lost_connection() {
    let (lapwing, address) = serve(Mount::new()).await;
    let mut session = joined(address, Transport::Websocket).await;
    for (n, (frame, code)) in (1..).zip([
        (Frame::text("x").rsv(1), 1002),
        (Frame::text("x").unmasked(), 1002),
        (Frame::text([0xff]), 1007),
        (Frame::text("x").announcing(1 << 40), 1009),
        (Frame::close(1000, ""), 1000),
        (Frame::close(1001, ""), 1001),
    ]) {
        let Attachment::Websocket(socket) = &mut session.attachment else { panic!("a WebSocket") };
        socket.send(frame).await;
        let answer = session.attachment.next().await;
        // A client's close is answered, with whatever code.
        if code > 1001 {
            assert_eq!(answer, Line::Close(code));
        } else {
            assert!(matches!(answer, Line::Close(_)), "{answer:?}");
        }
        session.resume(Transport::Websocket).await;
        count(&mut session, n).await;
    }
    assert_eq!(super::diary(&lapwing), ["join"]);
}

#[tokio::test]
async fn a_mount_without_resumable_sessions_does_not_speak_the_dialect() {
    let (_lapwing, address) = serve(Mount::new().without_resume()).await;
    let offer = [("sec-websocket-protocol", "lapwing.1")];
    let socket = RawSocket::handshake(address, "/socket/websocket?vsn=2.0.0", &offer).await.unwrap();
    assert_eq!(socket.response.header("sec-websocket-protocol"), None);
    let sse = crate::support::sessions::post(address, &Transport::Sse.path("/socket"), "!open 5").await;
    assert_eq!(sse.status, 404);
    let poll = crate::support::sessions::post(address, &Transport::Longpoll.path("/socket"), "!open 5").await;
    assert!(!poll.text().contains("!opened"), "{}", poll.text());
}

#[tokio::test]
async fn who_does_not_offer_the_dialect_gets_a_session_that_ends_with_its_connection() {
    let (lapwing, address) = serve(Mount::new()).await;
    let client =
        crate::support::channels::Client::joined(address, crate::support::channels::Vsn::V2, "room:1").await;
    assert_eq!((lapwing.stats().sessions, lapwing.stats().resumable), (1, 0));
    drop(client);
    super::until(|| lapwing.stats().sessions == 0, || "it is still there".into()).await;
    let session = Session::open(address, "/socket", Transport::Websocket).await;
    assert_eq!((lapwing.stats().sessions, lapwing.stats().resumable), (1, 1));
    drop(session);
}
