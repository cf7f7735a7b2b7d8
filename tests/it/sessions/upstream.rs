//! Frames from the client: each is taken once, whatever is repeated, late, or missing.

use lapwing::{Mount, transports::options::TransportOptions};
use serde_json::json;

use super::{AT_ONCE, count, joined, pause, serve};
use crate::support::{
    channels::ok,
    echo,
    sessions::{Line, Session, Transport, lines_of, message, text},
};

async fn echoing(transport: Transport) -> Session {
    let (_, address) = echo::serve(TransportOptions::default()).await;
    Session::open(address, "/echo", transport).await
}

#[tokio::test]
async fn a_post_that_is_repeated_is_applied_once() {
    for transport in [Transport::Sse, Transport::Longpoll] {
        let mut session = echoing(transport).await;
        for _ in 0..3 {
            assert_eq!(session.post_lines("!from 1\na\nb").await, ["!ack 2"]);
        }
        assert_eq!(session.post_lines("!from 2\nb\nc\nd").await, ["!ack 4"]);
        for wanted in ["a", "b", "c", "d"] {
            assert_eq!(session.next().await, text(wanted));
        }
        assert_eq!(session.post_lines("!from 5\ne").await, ["!ack 5"]);
        assert_eq!(session.next().await, text("e"), "{transport:?}: nothing came twice");
    }
}

#[tokio::test]
async fn a_post_with_a_gap_takes_nothing_and_says_where_to_go_on() {
    let mut session = echoing(Transport::Sse).await;
    assert_eq!(session.post_lines("!from 1\na").await, ["!ack 1"]);
    assert_eq!(session.post_lines("!from 3\nc\nd").await, ["!ack 1"]);
    assert_eq!(session.post_lines("!from 9007199254740991\nz\nz").await, ["!ack 1"]);
    // Several runs of frames in one body: what follows the gap is not taken either.
    assert_eq!(session.post_lines("!from 2\nb\n!from 5\ne\n!from 3\nc").await, ["!ack 2"]);
    assert_eq!(session.post_lines("!from 3\nc").await, ["!ack 3"]);
    for wanted in ["a", "b", "c"] {
        assert_eq!(session.next().await, text(wanted));
    }
    session.expect_silence().await;
}

#[tokio::test]
async fn a_post_that_breaks_the_protocol_takes_nothing_of_itself() {
    let mut session = echoing(Transport::Sse).await;
    for body in [
        "!from 1\na\n\"unfinished",
        "!from 1\na\n*A",
        "!from 1\na\n!from x",
        "!from 1\na\n!open 5",
        "!from 1\na\n!resume x 0 0",
        "!from 1\na\n!ticket",
        "!from 1\na\n! b",
        "a",
        "!ack 0\na\n!from 1",
    ] {
        assert_eq!(session.post(body).await.status, 400, "{body}");
    }
    assert_eq!(session.post_lines("").await, ["!ack 0"]);
    assert_eq!(session.post_lines("!somethingnew 5\n\n!from 1\r\n\r\na\r\n").await, ["!ack 1"]);
    assert_eq!(session.next().await, text("a"));
}

#[tokio::test]
async fn posts_at_once_are_applied_one_after_the_other() {
    let mut session = echoing(Transport::Sse).await;
    let frames: Vec<_> = (1..=200).map(|n| format!("f{n}")).collect();
    let body = format!("!from 1\n{}", frames.join("\n"));
    let (a, b, c) = tokio::join!(session.post(&body), session.post(&body), session.post(&body));
    for response in [a, b, c] {
        assert_eq!(lines_of(&response), ["!ack 200"]);
    }
    for wanted in &frames {
        assert_eq!(session.next().await, text(wanted));
    }
    session.expect_silence().await;
}

#[tokio::test]
async fn a_late_post_of_the_wire_before_changes_nothing() {
    let mut session = echoing(Transport::Sse).await;
    session.send(text("a")).await;
    assert_eq!(session.next().await, text("a"));
    session.resume(Transport::Websocket).await;
    session.send(text("b")).await;
    assert_eq!(session.next().await, text("b"));
    // It was sent before the move and comes after it; or it brings what the WebSocket is about to.
    assert_eq!(session.post_lines("!from 1\na").await, ["!ack 2"]);
    assert_eq!(session.post_lines("!from 3\nc").await, ["!ack 3"]);
    assert_eq!(session.next().await, text("c"));
    session.send(text("c")).await;
    session.send(text("d")).await;
    assert_eq!(session.next().await, text("d"), "c was a duplicate here");
}

#[tokio::test]
async fn what_a_websocket_repeats_after_a_resume_is_dropped() {
    let mut session = echoing(Transport::Websocket).await;
    for frame in ["a", "b"] {
        session.send(text(frame)).await;
        assert_eq!(session.next().await, text(frame));
    }
    // Two connections bring the same frames: one was counted from before the other's.
    let before = session.resume(Transport::Websocket).await;
    let crate::support::sessions::Attachment::Websocket(mut before) = before else { panic!("a WebSocket") };
    session.send(text("c")).await;
    assert_eq!(session.next().await, text("c"));
    before.send(message(&text("c"))).await;
    session.send(text("d")).await;
    assert_eq!(session.next().await, text("d"));
    assert_eq!(session.post_lines("").await, ["!ack 4"]);
}

#[tokio::test]
async fn the_client_need_not_wait_for_opened() {
    let (_, address) = echo::serve(TransportOptions::default()).await;
    let mut socket = crate::support::sessions::upgrade(address, &Transport::Websocket.path("/echo")).await;
    let mut bytes = message(&text("x")).encode();
    let open = crate::support::websocket::Frame::text("!open 30000").encode();
    bytes.splice(0..0, open);
    socket.send_bytes(&bytes).await.unwrap();
    let mut attachment = crate::support::sessions::Attachment::Websocket(socket);
    assert!(matches!(attachment.next().await, Line::Control(line) if line.starts_with("!opened ")));
    assert_eq!(attachment.next().await, text("x"));
}

#[tokio::test]
async fn a_flood_waits_for_the_channel_and_loses_nothing() {
    let limits = lapwing::MailboxLimits::new().messages_max(4);
    for transport in [Transport::Sse, Transport::Longpoll, Transport::Websocket] {
        let (lapwing, address) = serve(Mount::new().mailbox(limits)).await;
        let mut session = joined(address, transport).await;
        let flood = |n: u64| json!(["1", n.to_string(), "room:1", "wait", {"n": n}]).to_string();
        let lines: Vec<_> = (2..=30).map(flood).collect();
        let body = format!("!from 2\n{}", lines.join("\n"));
        let post = session.post(&body);
        let opened = async {
            pause(100).await;
            lapwing.shared.gate.add_permits(100);
        };
        let asked = std::time::Instant::now();
        let (answer, ()) = tokio::join!(post, opened);
        assert_eq!(lines_of(&answer), ["!ack 30"], "{transport:?}");
        assert!(asked.elapsed() < AT_ONCE, "{transport:?}: {:?}", asked.elapsed());
        for n in 2..=30_u64 {
            session.expect_json(ok("1", &n.to_string(), "room:1", json!({"n": n}))).await;
        }
        session.sent = vec![text(""); 30];
        // A WebSocket counts what came by itself: it has to learn of the POST.
        session.resume(transport).await;
        count(&mut session, 1).await;
    }
}

/// The end of a stream is not the end of a POST that waits for a busy channel.
#[tokio::test]
async fn a_post_that_waits_goes_on_when_the_channel_does_although_the_stream_was_cut() {
    let limits = lapwing::MailboxLimits::new().messages_max(4);
    let (lapwing, address) = serve(Mount::new().mailbox(limits)).await;
    let mut session = joined(address, Transport::Sse).await;
    let flood = |n: u64| json!(["1", n.to_string(), "room:1", "wait", {"n": n}]).to_string();
    let lines: Vec<_> = (2..=30).map(flood).collect();
    let body = format!("!send {}\n!from 2\n{}", session.token, lines.join("\n"));
    let path = Transport::Sse.path("/socket");
    let post =
        tokio::spawn(async move { crate::support::sessions::post(address, &path, &body).await.text() });
    pause(100).await;
    session.cut();
    pause(100).await;
    let asked = std::time::Instant::now();
    lapwing.shared.gate.add_permits(100);
    assert_eq!(post.await.unwrap(), "!ack 30\n");
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
}
