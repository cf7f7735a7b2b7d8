//! A channel that takes its time: what its client sends meanwhile is not read, and the client hears that it is not lost.

use std::time::Duration;

use lapwing::{MailboxLimits, Mount, ResumeOptions, WebsocketOptions};
use serde_json::json;

use super::{joined, serve};
use crate::support::{
    channels::ok,
    events::EventStream,
    sessions::{Line, Session, Transport, lines_of},
};

/// Shorter than the channel takes, in each test.
const WINDOW: Duration = Duration::from_millis(1_200);

/// A mailbox of one message, so that the third event is the last that is taken while the first is handled.
fn mount() -> Mount {
    Mount::new()
        .mailbox(MailboxLimits::new().messages_max(1))
        .websocket(WebsocketOptions::default().idle_timeout(WINDOW))
        .resume(ResumeOptions::default().window(WINDOW))
}

fn wait(reference: u64) -> serde_json::Value {
    json!(["1", reference.to_string(), "room:1", "wait", {}])
}

/// Says that it waits, so that the mailbox is not emptied by a callback that has just begun.
fn waited(reference: u64) -> serde_json::Value {
    ok("1", &reference.to_string(), "room:1", json!({}))
}

/// Takes lines until this one has come so many times; frames and pings are passed over.
async fn hear(session: &mut Session, wanted: &str, times: usize) {
    let mut heard = 0;
    while heard < times {
        match session.next().await {
            Line::Control(line) if line == wanted => heard += 1,
            Line::Control(line) if line.starts_with("!ping ") || line.starts_with("!ack ") => {}
            other => panic!("wanted {wanted}, got {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_websocket_that_is_not_read_says_so_and_keeps_its_session() {
    let (lapwing, address) = serve(mount()).await;
    let mut session = joined(address, Transport::Websocket).await;
    for reference in 2..=5 {
        session.send_json(wait(reference)).await;
    }
    // For longer than the window: the fifth frame lies in the socket, and so would a sign of life.
    hear(&mut session, "!busy 4", 12).await;
    lapwing.shared.gate.add_permits(4);
    for reference in 2..=5 {
        while session.next().await != Line::Text(waited(reference).to_string()) {}
    }
    session.settle().await;
}

#[tokio::test]
async fn a_stream_says_that_a_channel_is_busy_and_so_does_the_answer_to_a_post() {
    let (lapwing, address) = serve(mount()).await;
    let mut session = joined(address, Transport::Sse).await;
    for reference in 2..=4 {
        session.send_json(wait(reference)).await;
    }
    let fifth = format!("!from 5\n{}", wait(5));
    for _ in 0..4 {
        assert_eq!(session.post_lines(&fifth).await, ["!ack 4", "!busy 4"]);
    }
    hear(&mut session, "!busy 4", 3).await;
    lapwing.shared.gate.add_permits(4);
    while session.post_lines(&fifth).await[0] != "!ack 5" {}
    for reference in 2..=5 {
        while session.next().await != Line::Text(waited(reference).to_string()) {}
    }
}

#[tokio::test]
async fn a_poll_says_that_a_channel_is_busy() {
    let (lapwing, address) = serve(mount()).await;
    let mut session = joined(address, Transport::Longpoll).await;
    for reference in 2..=4 {
        session.send_json(wait(reference)).await;
    }
    let fifth = format!("!from 5\n{}", wait(5));
    assert_eq!(lines_of(&session.poll(30_000, &fifth).await), ["!resumed 4", "!busy 4"]);
    assert_eq!(lines_of(&session.poll(0, &fifth).await), ["!resumed 4", "!busy 4"]);
    lapwing.shared.gate.add_permits(4);
    for reference in 2..=4 {
        while session.next().await != Line::Text(waited(reference).to_string()) {}
    }
}

/// The stream that carries the session from now on is there before the frames are taken that came with its request.
#[tokio::test]
async fn a_stream_is_answered_before_the_frames_are_taken_that_came_with_it() {
    let (lapwing, address) = serve(mount()).await;
    let mut session = joined(address, Transport::Longpoll).await;
    for reference in 2..=4 {
        session.send_json(wait(reference)).await;
    }
    let body = format!("!resume {} {} 30000\n!from 5\n{}", session.token, session.received, wait(5));
    let path = Transport::Sse.path("/socket");
    let mut stream = EventStream::request(address, "POST", &path, &[], Some(&body)).await;
    assert_eq!(stream.next().await.as_deref(), Some("!resumed 4"));
    assert_eq!(stream.next().await.as_deref(), Some("!busy 4"));
    lapwing.shared.gate.add_permits(3);
    let mut frames = 0;
    while frames < 3 {
        let line = stream.next().await.unwrap();
        assert!(line.starts_with('[') || line == "!busy 4", "{line}");
        frames += u32::from(line.starts_with('['));
    }
    assert_eq!(session.post_lines("!from 5\n[\"1\",\"5\",\"room:1\",\"none\",{}]").await, ["!ack 5"]);
}

/// With room for them they are taken at once, and the stream says so.
#[tokio::test]
async fn frames_that_came_with_a_stream_are_acknowledged_on_it() {
    let (_lapwing, address) = serve(mount()).await;
    let session = joined(address, Transport::Longpoll).await;
    let count = json!(["1", "c", "room:1", "count", {}]);
    let body = format!("!resume {} {} 30000\n!from 2\n{count}", session.token, session.received);
    let path = Transport::Sse.path("/socket");
    let mut stream = EventStream::request(address, "POST", &path, &[], Some(&body)).await;
    assert_eq!(stream.next().await.as_deref(), Some("!resumed 1"));
    let mut lines = [stream.next().await.unwrap(), stream.next().await.unwrap()];
    lines.sort();
    assert_eq!(lines, ["!ack 2".to_owned(), ok("1", "c", "room:1", json!({"count": 1})).to_string()]);
}
