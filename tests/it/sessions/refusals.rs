//! Who may not begin or go on, and is told why.

use std::time::Instant;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lapwing::{Mount, ResumeOptions};

use super::{AT_ONCE, expect_diary, joined, serve};
use crate::support::{
    lateness::on_time,
    sessions::{Line, Session, TRANSPORTS, Transport, attach, lines_of},
};

#[tokio::test]
async fn a_session_that_was_silent_for_its_window_is_expired() {
    on_time(|pace| async move {
        for transport in TRANSPORTS {
            let (lapwing, address) =
                serve(Mount::new().resume(ResumeOptions::default().window(pace.ms(400)))).await;
            let mut session = joined(address, transport).await;
            session.cut();
            let asked = Instant::now();
            expect_diary(&lapwing, &["join", "leave Disconnect"]).await;
            assert!(asked.elapsed() > pace.ms(300), "{transport:?}: after {:?}", asked.elapsed());
            assert_eq!(lapwing.stats().sessions, 0);
            for other in TRANSPORTS {
                assert_eq!(session.refusal(other).await, "expired", "{transport:?}");
            }
            assert_eq!(lines_of(&session.post("!ack 0").await), ["!refused expired"]);
        }
    })
    .await;
}

/// POSTs are signs of life, too, and so is a poll.
#[tokio::test]
async fn a_session_that_is_heard_of_does_not_expire() {
    on_time(|pace| async move {
        let (_lapwing, address) =
            serve(Mount::new().resume(ResumeOptions::default().window(pace.ms(1_500)))).await;
        let mut session = joined(address, Transport::Websocket).await;
        session.cut();
        for _ in 0..7 {
            pace.pause(300).await;
            assert_eq!(lines_of(&session.post("").await), ["!ack 1"]);
        }
        session.resume(Transport::Longpoll).await;
    })
    .await;
}

#[tokio::test]
async fn a_token_that_was_changed_anywhere_is_unknown_and_hurts_nobody() {
    let (lapwing, address) = serve(Mount::new()).await;
    let mut session = joined(address, Transport::Sse).await;
    let token = session.token.clone();
    assert_eq!(token.len(), 38);
    for at in 0..token.len() {
        // The last character holds four bits, the others six: a change of one of them is a change of the token.
        let value = URL_SAFE_NO_PAD.decode(format!("AAA{}", &token[at..=at])).unwrap()[2] ^ 4;
        let other = URL_SAFE_NO_PAD.encode([0, 0, value]).pop().unwrap();
        let mut forged = token.clone();
        forged.replace_range(at..=at, &other.to_string());
        assert_ne!(forged, token);
        session.token = forged;
        assert_eq!(session.refusal(TRANSPORTS[at % 3]).await, "unknown", "character {at}");
        assert_eq!(lines_of(&session.post("!close").await), ["!refused unknown"], "character {at}");
    }
    session.token = token;
    super::count(&mut session, 1).await;
    assert_eq!(lapwing.stats().resumes_refused.unknown, 38);
}

#[tokio::test]
async fn a_guess_and_a_token_of_another_mount_are_unknown() {
    let (_lapwing, address) = serve(Mount::new()).await;
    let mut session = joined(address, Transport::Websocket).await;
    let mut other = Session::open(address, "/other", Transport::Websocket).await;
    std::mem::swap(&mut session.token, &mut other.token);
    for transport in TRANSPORTS {
        assert_eq!(session.refusal(transport).await, "unknown");
        assert_eq!(other.refusal(transport).await, "unknown");
    }
    let zeros = "A".repeat(38);
    for guess in [zeros.as_str(), "x", "====", &"A".repeat(37), &"A".repeat(39), &"A".repeat(200), "Ä"] {
        session.token = guess.to_owned();
        for transport in TRANSPORTS {
            assert_eq!(session.refusal(transport).await, "unknown", "{guess}");
        }
    }
}

#[tokio::test]
async fn a_client_that_the_program_does_not_want_is_forbidden() {
    let (lapwing, address) = serve(Mount::new()).await;
    for transport in TRANSPORTS {
        for query in ["&user=nobody", "&vsn=123.4.5"] {
            let path = format!("{}{query}", transport.path("/socket"));
            let path = if query.contains("vsn") {
                path.replace("&vsn=2.0.0", "").replace("?vsn=2.0.0", "?")
            } else {
                path
            };
            let (mut attachment, greeting) = attach(address, transport, &path, "!open 30000").await;
            assert_eq!(greeting, "!refused forbidden", "{transport:?}");
            if transport == Transport::Websocket {
                assert_eq!(attachment.next().await, Line::Close(4001));
            }
            assert_eq!(attachment.next().await, Line::End);
        }
    }
    assert_eq!((lapwing.stats().sessions, lapwing.stats().resumes_refused.forbidden), (0, 6));
}

#[tokio::test]
async fn one_session_too_many_is_told_that_the_server_is_full_until_another_ends() {
    let (lapwing, address) = serve(Mount::new().sessions_max(1)).await;
    let mut first = joined(address, Transport::Websocket).await;
    for transport in TRANSPORTS {
        let (_, greeting) = attach(address, transport, &transport.path("/socket"), "!open 30000").await;
        assert_eq!(greeting, "!refused full", "{transport:?}");
    }
    // A move takes no place.
    first.resume(Transport::Sse).await;
    first.say("!close").await;
    super::until(|| lapwing.stats().sessions == 0, || "the session is still there".into()).await;
    joined(address, Transport::Longpoll).await;
}

#[tokio::test]
async fn only_so_many_ended_sessions_are_remembered() {
    const ENDED_MAX: u64 = 8;
    let (_lapwing, address) = serve(Mount::new().resume(ResumeOptions::default().ended_max(ENDED_MAX))).await;
    let mut sessions = Vec::new();
    for _ in 0..200 {
        let session = Session::open(address, "/socket", Transport::Sse).await;
        session.post("!close").await;
        sessions.push(session);
    }
    let mut remembered = 0;
    for session in &mut sessions {
        session.cut();
        match session.refusal(Transport::Longpoll).await.as_str() {
            "closed" => remembered += 1,
            other => assert_eq!(other, "unknown"),
        }
    }
    // The memory is trimmed now and then, not at once.
    assert!((1..=100).contains(&remembered), "{remembered} of 200 are remembered");
}

#[tokio::test]
async fn an_ended_session_is_forgotten_after_a_while() {
    on_time(|pace| async move {
        let (_lapwing, address) =
            serve(Mount::new().resume(ResumeOptions::default().ended_lifetime(pace.ms(300)))).await;
        let mut session = joined(address, Transport::Websocket).await;
        session.say("!close").await;
        session.attachment.expect_end("!closed 1000 client", 1000).await;
        assert_eq!(session.refusal(Transport::Sse).await, "closed");
        pace.pause(400).await;
        assert_eq!(session.refusal(Transport::Sse).await, "unknown");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_comes_at_once() {
    let (_lapwing, address) = serve(Mount::new()).await;
    let mut session = joined(address, Transport::Websocket).await;
    session.say("!close").await;
    let asked = Instant::now();
    for transport in TRANSPORTS {
        assert_eq!(session.refusal(transport).await, "closed");
    }
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
}
