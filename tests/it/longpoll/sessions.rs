//! A session's life: what is kept for it, who may poll, how it ends.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{AT_ONCE, joined};
use crate::support::{
    channels::{Client, Vsn, ok},
    http,
    longpoll::{JSON, LongPoll, TokenIn},
    testbed::Testbed,
};

/// The response to a poll may be lost on its way: who asks again with the same token gets the same messages, who asks
/// with the new one has them.
#[tokio::test]
async fn messages_stay_until_the_next_poll_proves_that_they_arrived() {
    let testbed = Testbed::shared();
    let mut session = joined(&testbed, "/socket_short", "room:lp-again").await;
    session.send(json!(["1", "2", "room:lp-again", "ping", {"n": 2}])).await;
    let before = session.token.clone();
    let lost = session.poll().await;
    let again = session.poll_with(&before).await;
    assert_eq!(again.messages, lost.messages);
    assert_eq!(again.messages, [ok("1", "2", "room:lp-again", json!({"n": 2}))]);
    session.token = again.token.expect("a token");
    let polled = session.poll().await;
    assert_eq!((polled.status, polled.messages.len()), (204, 0), "they were delivered twice");
}

#[tokio::test]
async fn of_two_polls_at_once_only_the_later_gets_the_messages() {
    let testbed = Testbed::shared();
    let session = joined(&testbed, "/socket", "room:lp-two").await;
    let mut shouter = Client::joined(testbed.address(), Vsn::V2, "room:lp-two").await;
    let pause = |ms| tokio::time::sleep(Duration::from_millis(ms));
    let first = session.poll_with(&session.token);
    let second = async {
        pause(1_000).await;
        session.poll_with(&session.token).await
    };
    let shout = async {
        pause(2_000).await;
        shouter.send(json!(["1", "2", "room:lp-two", "shout", {}])).await;
    };
    let (first, second, ()) = tokio::join!(first, second, shout);
    assert_eq!((first.status, first.messages.len()), (204, 0));
    assert_eq!(second.messages, [json!([null, null, "room:lp-two", "shout", {}])]);
}

/// Better than Phoenix, where the poll runs to the end of its window, and the next one two seconds more.
#[tokio::test]
async fn a_disconnect_ends_the_session_and_wakes_its_poll() {
    let testbed = Testbed::start();
    let query = "user=lpkick&";
    let mut session = LongPoll::open_as(testbed.address(), "/socket", Vsn::V2, query, TokenIn::Query).await;
    session.send(json!(["1", "1", "room:lp-kick", "phx_join", {}])).await;
    session.poll().await;
    let poll = async {
        let asked = Instant::now();
        (session.poll().await, asked.elapsed())
    };
    let kick = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(http::get(testbed.address(), "/disconnect/lpkick").await.text(), "ok");
    };
    let ((polled, took), ()) = tokio::join!(poll, kick);
    assert!(took < AT_ONCE, "the poll took {took:?}");
    assert!(polled.messages.is_empty());
    testbed.wait_for_stat("joins", 0, crate::support::PATIENCE).await;
    let asked = Instant::now();
    assert_eq!(session.post(JSON, br#"[null,"1","phoenix","heartbeat",{}]"#).await, 410);
    assert_eq!(session.poll().await.status, 410);
    assert!(asked.elapsed() < AT_ONCE, "the end took {:?} to be told", asked.elapsed());
}

/// Without a poll for one and a half windows a session ends; POSTs do not count.
#[tokio::test]
async fn a_session_that_is_not_polled_is_reaped_with_its_joins() {
    const REAPED_MAX: Duration = Duration::from_secs(20);
    let testbed = Testbed::start();
    let session = joined(&testbed, "/socket_short", "room:lp-reap").await;
    assert_eq!(testbed.stat("sessions").await, 1);
    assert_eq!(testbed.stat("joins").await, 1);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(session.post(JSON, br#"[null,"1","phoenix","heartbeat",{}]"#).await, 200);
    let took = testbed.wait_for_stat("sessions", 0, REAPED_MAX).await;
    testbed.wait_for_stat("joins", 0, REAPED_MAX).await;
    assert!(took > Duration::from_millis(300), "it was reaped {took:?} after a POST, too early");
    assert_eq!(session.post(JSON, br#"[null,"1","phoenix","heartbeat",{}]"#).await, 410);
}

#[tokio::test]
async fn a_session_that_is_polled_lives_on() {
    let testbed = Testbed::start();
    let mut session = joined(&testbed, "/socket_short", "room:lp-live").await;
    for _ in 0..4 {
        assert_eq!(session.poll().await.status, 204);
    }
    session.send(json!(["1", "2", "room:lp-live", "ping", {}])).await;
    assert_eq!(session.poll().await.messages, [ok("1", "2", "room:lp-live", json!({}))]);
}

/// A mount's clock must not have stood still while nobody was there: who comes first after that has only just come.
#[tokio::test]
async fn the_first_session_after_a_quiet_time_is_given_its_time() {
    const LONGER_THAN_ANY_PATIENCE: Duration = Duration::from_millis(2500);
    let testbed = Testbed::start();
    tokio::time::sleep(LONGER_THAN_ANY_PATIENCE).await;
    let session = LongPoll::open(testbed.address(), "/socket_short").await;
    let mut client = Client::connect_to(testbed.address(), "/socket_short", Vsn::V2, "").await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(session.post(JSON, br#"[null,"1","phoenix","heartbeat",{}]"#).await, 200);
    }
    client.expect_heartbeat().await;
}
