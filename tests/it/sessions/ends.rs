//! A session that was ended says so to whoever carries it and to whoever asks for it later.

use lapwing::{Drain, Mount};
use serde_json::json;

use super::{diary, expect_diary, join, joined, pause, serve, until};
use crate::support::sessions::{Attachment, Session, TRANSPORTS, Transport, lines_of, text};

/// The end of what carries a session, which a client that polls hears with its next poll.
async fn expect_closed(session: &mut Session, line: &str, code: u16) {
    if !matches!(session.attachment, Attachment::Longpoll(_)) {
        session.attachment.expect_end(line, code).await;
    }
    for transport in TRANSPORTS {
        assert_eq!(session.refusal(transport).await, "closed");
    }
}

#[tokio::test]
async fn a_client_can_end_its_session_on_every_wire() {
    for transport in TRANSPORTS {
        let (lapwing, address) = serve(Mount::new()).await;
        let mut session = joined(address, transport).await;
        session.say("!close").await;
        expect_closed(&mut session, "!closed 1000 client", 1000).await;
        expect_diary(&lapwing, &["join", "leave Disconnect"]).await;
        expect_closed_twice(&mut session).await;
        assert_eq!(lapwing.stats().sessions, 0);
    }
}

/// After the handler knows, the refusal is remembered.
async fn expect_closed_twice(session: &mut Session) {
    assert_eq!(session.refusal(Transport::Websocket).await, "closed");
    assert_eq!(lines_of(&session.post("!ack 0").await), ["!refused closed"]);
}

#[tokio::test]
async fn a_client_that_is_away_can_end_its_session() {
    let (lapwing, address) = serve(Mount::new()).await;
    let mut session = joined(address, Transport::Websocket).await;
    session.cut();
    // What comes behind it is not taken.
    let lines = session.post_lines("!close\n!from 2\n[\"1\",\"c\",\"room:1\",\"count\",{}]").await;
    assert_eq!(lines, ["!ack 1"]);
    expect_diary(&lapwing, &["join", "leave Disconnect"]).await;
    assert_eq!(session.refusal(Transport::Sse).await, "closed");
}

#[tokio::test]
async fn a_disconnect_ends_a_session_on_every_wire_and_one_that_nothing_carries() {
    for transport in TRANSPORTS {
        let (lapwing, address) = serve(Mount::new()).await;
        let mut session =
            join(Session::open_as(address, "/socket", transport, "&user=bob", 30_000).await).await;
        let mut away = join(Session::open_as(address, "/socket", transport, "&user=bob", 30_000).await).await;
        away.cut();
        lapwing.disconnect("user:bob").unwrap();
        expect_closed(&mut session, "!closed 1001 disconnected", 1001).await;
        assert_eq!(away.refusal(transport).await, "closed");
        expect_diary(&lapwing, &["join", "join", "leave Disconnect", "leave Disconnect"]).await;
    }
}

#[tokio::test]
async fn a_drain_tells_every_session_and_ends_those_that_nothing_carries() {
    for transport in TRANSPORTS {
        let drain = Drain::default().interval(std::time::Duration::from_millis(10));
        let (lapwing, address) = serve(Mount::new().drain(drain)).await;
        let mut session = joined(address, transport).await;
        let mut away = joined(address, transport).await;
        away.cut();
        let shutdown = tokio::spawn({
            let lapwing = lapwing.clone();
            async move { lapwing.shutdown().await }
        });
        pause(50).await;
        expect_closed(&mut session, "!closed 1012 draining", 1012).await;
        assert_eq!(away.refusal(transport).await, "closed");
        tokio::time::timeout(std::time::Duration::from_secs(5), shutdown).await.unwrap().unwrap();
        expect_diary(&lapwing, &["join", "join", "leave Draining", "leave Draining"]).await;
    }
}

#[tokio::test]
async fn what_was_said_before_the_end_is_delivered_before_the_end() {
    for transport in [Transport::Websocket, Transport::Sse] {
        let (lapwing, address) = serve(Mount::new()).await;
        let mut session =
            join(Session::open_as(address, "/socket", transport, "&user=bob", 30_000).await).await;
        (0..100).for_each(|n| super::broadcast(&lapwing, n));
        lapwing.disconnect("user:bob").unwrap();
        for n in 0..100 {
            session.expect_json(super::broadcasted(n)).await;
        }
        session.attachment.expect_end("!closed 1001 disconnected", 1001).await;
    }
}

#[tokio::test]
async fn a_message_that_makes_no_sense_ends_the_session() {
    for transport in TRANSPORTS {
        let (lapwing, address) = serve(Mount::new()).await;
        let mut session = joined(address, transport).await;
        session.send(text("garbage")).await;
        expect_closed(&mut session, "!closed 1011 bad_message", 1011).await;
        expect_diary(&lapwing, &["join", "leave Disconnect"]).await;
    }
}

#[tokio::test]
async fn a_channel_that_ends_its_join_does_not_end_the_session() {
    let (_lapwing, address) = serve(Mount::new()).await;
    for transport in TRANSPORTS {
        let mut session = joined(address, transport).await;
        session.send_json(json!(["1", "2", "room:1", "phx_leave", {}])).await;
        assert_eq!(session.next_json().await[3], "phx_reply");
        assert_eq!(session.next_json().await[3], "phx_close");
        session.resume(Transport::Sse).await;
        join(session).await;
    }
}

/// Others see at once that somebody has left, whatever carried the session, and do not wait for a sweep, which comes every
/// 600 ms here: so often that the two cannot be confused.
#[tokio::test]
async fn an_end_is_told_at_once_whatever_carries_the_session() {
    const ENDS: u32 = 8;
    let (lapwing, address) = serve(Mount::new()).await;
    let mut waited = std::time::Duration::ZERO;
    for _ in 0..ENDS {
        for transport in TRANSPORTS {
            let mut session = joined(address, transport).await;
            if transport == Transport::Websocket {
                session.cut();
            }
            let left = || diary(&lapwing).iter().filter(|note| note.starts_with("leave")).count();
            let before = left();
            let started = std::time::Instant::now();
            assert_eq!(session.post("!close").await.status, 200);
            until(|| left() > before, || "nobody left".to_owned()).await;
            waited += started.elapsed();
        }
    }
    // A session that nothing carries waited for two sweeps: those of WebSocket and long-poll here.
    assert!(waited < 2 * ENDS * std::time::Duration::from_millis(600), "{waited:?}");
    until(|| lapwing.stats().sessions == 0, || "a session is left".to_owned()).await;
}
