//! Clients that read, and say what they have when they have to: none of them is too slow, whatever it costs to keep what they
//! have not acknowledged.

use lapwing::{Mount, OutboxLimits};
use serde_json::json;

use super::{broadcast, broadcasted, joined, serve};
use crate::support::sessions::{Line, Session, TRANSPORTS, Transport};

/// The next message of a client that acknowledges when it is asked and never else.
async fn next_message(session: &mut Session) -> serde_json::Value {
    loop {
        match session.next_but_busy().await {
            Line::Text(text) => return serde_json::from_str(&text).expect("a message is JSON"),
            Line::Control(line) if line.starts_with("!ping ") => {
                let received = session.received;
                session.say(&format!("!ack {received}")).await;
            }
            line => panic!("wanted a message, got {line:?}"),
        }
    }
}

#[tokio::test]
async fn a_client_that_reads_large_frames_is_not_too_slow() {
    let (lapwing, address) = serve(Mount::new()).await;
    let large = "x".repeat(300_000);
    for transport in TRANSPORTS {
        let mut session = joined(address, transport).await;
        // Less than 32, so that an acknowledgement is due only after two seconds, and more than is kept.
        for n in 0..30 {
            lapwing.broadcast("room:1", "large", json!({"n": n, "large": large})).unwrap();
            assert_eq!(next_message(&mut session).await[4]["n"], n, "{transport:?}");
        }
        session.say("!close").await;
    }
}

#[tokio::test]
async fn as_many_frames_as_are_read_do_not_count_as_waiting() {
    let (lapwing, address) = serve(Mount::new().outbox(OutboxLimits::new().frames_max(4))).await;
    for transport in TRANSPORTS {
        let mut session = joined(address, transport).await;
        for n in 0..31 {
            broadcast(&lapwing, n);
            assert_eq!(next_message(&mut session).await, broadcasted(n), "{transport:?}");
        }
        session.say("!close").await;
    }
}

#[tokio::test]
async fn a_client_is_asked_and_waited_for_where_much_is_not_acknowledged() {
    let limits = [
        OutboxLimits::new().unacknowledged_frames_max(1),
        OutboxLimits::new().unacknowledged_frames_max(10),
        OutboxLimits::new().unacknowledged_bytes_max(1),
        OutboxLimits::new().unacknowledged_bytes_max(300),
    ];
    for limits in limits {
        let (lapwing, address) = serve(Mount::new().outbox(limits)).await;
        for transport in TRANSPORTS {
            let mut session = joined(address, transport).await;
            (0..100).for_each(|n| broadcast(&lapwing, n));
            for n in 0..100 {
                assert_eq!(next_message(&mut session).await, broadcasted(n), "{transport:?} {limits:?}");
            }
            session.say("!close").await;
        }
    }
}

/// What it was sent and did not acknowledge comes again, and takes nobody's room.
#[tokio::test]
async fn a_session_that_comes_back_with_much_unacknowledged_is_not_too_slow() {
    let limits = OutboxLimits::new().frames_max(10).unacknowledged_frames_max(20);
    let (lapwing, address) = serve(Mount::new().outbox(limits)).await;
    let mut session = joined(address, Transport::Websocket).await;
    for n in 0..19 {
        broadcast(&lapwing, n);
        // It hears that it is asked, and does not answer.
        while session.received < n + 2 {
            session.next().await;
        }
    }
    session.cut();
    session.received = 1;
    (19..27).for_each(|n| broadcast(&lapwing, n));
    for transport in [Transport::Sse, Transport::Websocket, Transport::Longpoll] {
        session.resume(transport).await;
        session.cut();
    }
    session.resume(Transport::Websocket).await;
    for n in 0..27 {
        assert_eq!(next_message(&mut session).await, broadcasted(n));
    }
}
