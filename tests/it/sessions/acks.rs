//! What is acknowledged is forgotten, and what never is comes to an end.

use lapwing::transports::options::TransportOptions;
use std::time::Duration;

use lapwing::{LongpollOptions, Mount, WebsocketOptions};

use super::{broadcast, broadcasted, expect_diary, joined, outbox, pause, serve};
use crate::support::{
    echo,
    sessions::{Line, Session, TRANSPORTS, Transport, text},
};

#[tokio::test]
async fn the_server_acknowledges_every_32_frames_of_a_websocket() {
    let (_lapwing, address) = serve(Mount::new()).await;
    let mut session = joined(address, Transport::Websocket).await;
    let ignored = text(r#"["1",null,"room:1","ignored",{}]"#);
    for _ in 2..=31 {
        session.send(ignored.clone()).await;
    }
    session.expect_silence().await;
    session.send(ignored.clone()).await;
    session.expect_control("!ack 32").await;
    for _ in 33..=64 {
        session.send(ignored.clone()).await;
    }
    session.expect_control("!ack 64").await;
    session.send(ignored).await;
    session.say("!ping").await;
    session.expect_control("!pong 65").await;
}

#[tokio::test]
async fn frames_that_the_client_acknowledges_make_room_for_others() {
    let (lapwing, address) = serve(Mount::new().outbox(outbox(8))).await;
    for transport in TRANSPORTS {
        let mut session = joined(address, transport).await;
        for n in 0..40 {
            broadcast(&lapwing, n);
            session.expect_json(broadcasted(n)).await;
            if n % 4 == 3 {
                let received = session.received;
                session.say(&format!("!ack {received}")).await;
                session.settle().await;
            }
        }
        session.resume(transport).await;
        session.say("!close").await;
    }
}

/// Of frames in the past, and of frames that were never sent.
#[tokio::test]
async fn a_senseless_acknowledgement_changes_nothing() {
    let (lapwing, address) = serve(Mount::new()).await;
    for transport in TRANSPORTS {
        let mut session = joined(address, transport).await;
        (0..3).for_each(|n| broadcast(&lapwing, n));
        for line in ["!ack 9007199254740991", "!ack 5", "!ack 0"] {
            session.say(line).await;
        }
        session.cut();
        session.resume(transport).await;
        for n in 0..3 {
            session.expect_json(broadcasted(n)).await;
        }
        session.say("!close").await;
    }
}

#[tokio::test]
async fn a_client_that_never_acknowledges_is_ended_at_the_bound_and_told_that_there_is_a_gap() {
    const KEPT: u64 = 4;
    const WAITING: u64 = 8;
    for transport in TRANSPORTS {
        let (lapwing, address) =
            serve(Mount::new().outbox(outbox(WAITING as usize).unacknowledged_frames_max(KEPT as usize)))
                .await;
        let mut session = joined(address, transport).await;
        // The reply to the join is the first that is not acknowledged. A poll would acknowledge, so that this client is not asked
        // and does not poll.
        let read = if transport == Transport::Longpoll { 0 } else { KEPT - 1 };
        for n in 0..read {
            broadcast(&lapwing, n);
            let line = session.next().await;
            let line = if line == Line::Control("!ping 1".into()) { session.next().await } else { line };
            assert_eq!(line, text(&broadcasted(n).to_string()), "{transport:?}");
        }
        if transport != Transport::Longpoll {
            session.settle_but_pings().await;
        }
        (read..read + WAITING).for_each(|n| broadcast(&lapwing, n));
        assert_eq!(lapwing.stats().sessions, 1, "{transport:?}");
        broadcast(&lapwing, read + WAITING);
        if transport != Transport::Longpoll {
            // It is given what was waiting, as it is told no more.
            for n in read..read + WAITING {
                session.expect_json(broadcasted(n)).await;
            }
            session.attachment.expect_end("!closed 1013 too_slow", 1013).await;
        }
        for other in TRANSPORTS {
            assert_eq!(session.refusal(other).await, "gap", "{transport:?}");
        }
        expect_diary(&lapwing, &["join", "leave Disconnect"]).await;
        assert_eq!(session.refusal(transport).await, "gap", "{transport:?}: it is remembered");
    }
}

#[tokio::test]
async fn a_detached_session_is_ended_at_the_bound_in_bytes_too() {
    let mount = Mount::new()
        .outbox(lapwing::OutboxLimits::new().bytes_max(1_000))
        .websocket(WebsocketOptions::default().message_bytes_max(1_000))
        .longpoll(LongpollOptions::default().body_bytes_max(1_000));
    let (lapwing, address) = serve(mount).await;
    let mut session = joined(address, Transport::Websocket).await;
    session.cut();
    let large = "x".repeat(900);
    let say = || lapwing.broadcast("room:1", "large", serde_json::json!({ "x": large })).unwrap();
    for _ in 0..2 {
        say();
    }
    session.resume(Transport::Sse).await;
    assert_eq!(session.next_json().await[3], "large");
    assert_eq!(session.next_json().await[3], "large");
    session.cut();
    // One frame more than the bound allows is taken, beside those that were sent; the next is not.
    for _ in 0..3 {
        say();
    }
    assert_eq!(session.refusal(Transport::Longpoll).await, "gap");
    expect_diary(&lapwing, &["join", "leave Disconnect"]).await;
}

#[tokio::test]
async fn a_client_that_claims_frames_that_were_never_sent_is_refused_and_may_come_back_honest() {
    let (lapwing, address) = serve(Mount::new()).await;
    let mut session = joined(address, Transport::Sse).await;
    broadcast(&lapwing, 1);
    for transport in TRANSPORTS {
        for claim in [3, (1 << 53) - 1] {
            let refused = session.try_resume(transport, claim).await.err();
            assert_eq!(refused, Some("!refused ahead".into()), "{transport:?} {claim}");
        }
    }
    session.expect_json(broadcasted(1)).await;
    session.resume(Transport::Websocket).await;
}

#[tokio::test]
async fn a_client_that_asks_for_frames_that_it_acknowledged_is_told_that_they_are_gone() {
    let (_, address) = echo::serve(TransportOptions::default()).await;
    for transport in TRANSPORTS {
        let mut session = Session::open(address, "/echo", transport).await;
        for frame in ["a", "b", "c"] {
            session.send(text(frame)).await;
            assert_eq!(session.next().await, text(frame));
        }
        session.say("!ack 2").await;
        session.settle().await;
        assert_eq!(
            session.try_resume(transport, 1).await.err(),
            Some("!refused gap".into()),
            "{transport:?}"
        );
        session.received = 2;
        session.resume(transport).await;
        assert_eq!(session.next().await, text("c"));
    }
}

/// The other side of the bound: who does not read at all is not waited for, and holds nobody up.
#[tokio::test]
async fn a_websocket_that_does_not_read_is_dropped_and_may_not_go_on() {
    let mount = Mount::new()
        .outbox(outbox(64))
        .websocket(WebsocketOptions::default().linger(Duration::from_millis(200)));
    let (lapwing, address) = serve(mount).await;
    let mut stuck = joined(address, Transport::Websocket).await;
    let large = "x".repeat(64 * 1024);
    for _ in 0..65 {
        lapwing.broadcast("room:1", "n", serde_json::json!({ "large": large })).unwrap();
    }
    super::until(|| lapwing.stats().sessions == 0, || "the session is still there".into()).await;
    let mut kept = std::mem::replace(
        &mut stuck.attachment,
        crate::support::sessions::Attachment::Longpoll(Default::default()),
    );
    assert_eq!(stuck.refusal(Transport::Websocket).await, "gap");
    pause(300).await;
    loop {
        match kept.next().await {
            Line::Text(_) | Line::Control(_) => {}
            Line::Close(code) => assert_eq!(code, 1013),
            Line::End => break,
            line => panic!("{line:?}"),
        }
    }
}
