//! What channels say through polls.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{AT_ONCE, joined};
use crate::support::{
    channels::{Client, Vsn, binary, binary_push, closed, crashed, ok, unmatched},
    longpoll::{LongPoll, NDJSON, TokenIn},
    testbed::Testbed,
};

#[tokio::test]
async fn reply_broadcast_and_push_are_polled_in_order_and_then_nothing() {
    let testbed = Testbed::shared();
    for token_in in [TokenIn::Query, TokenIn::Header] {
        let mut session = LongPoll::open_as(testbed.address(), "/socket_short", Vsn::V2, "", token_in).await;
        let topic = format!("room:lp-{token_in:?}");
        session.send(json!(["1", "1", topic, "phx_join", {}])).await;
        session.send(json!(["1", "2", topic, "shout", {"n": 2}])).await;
        session.send(json!(["1", "3", topic, "push_me", {"n": 3}])).await;
        let wanted = [
            ok("1", "1", &topic, json!({})),
            json!([null, null, topic, "shout", {"n": 2}]),
            json!(["1", null, topic, "pushed", {"n": 3}]),
        ];
        let mut got = Vec::new();
        while got.len() < wanted.len() {
            let polled = session.poll().await;
            assert_eq!(polled.status, 200, "{token_in:?}");
            got.extend(polled.messages);
        }
        assert_eq!(got, wanted, "{token_in:?}");
        let polled = session.poll().await;
        assert_eq!((polled.status, polled.messages.len()), (204, 0), "{token_in:?}");
    }
}

#[tokio::test]
async fn v1_messages_are_objects_in_strings() {
    let testbed = Testbed::shared();
    let mut session = LongPoll::open_as(testbed.address(), "/socket", Vsn::V1, "", TokenIn::Query).await;
    session.send(json!([null, "1", "room:lpv1", "phx_join", {}])).await;
    let reply = json!({
        "topic": "room:lpv1", "event": "phx_reply", "ref": "1", "payload": {"status": "ok", "response": {}}
    });
    assert_eq!(session.poll().await.messages, [reply]);
}

#[tokio::test]
async fn a_message_during_a_poll_ends_it() {
    let testbed = Testbed::shared();
    let mut session = joined(&testbed, "/socket", "room:lp-wake").await;
    let mut shouter = Client::joined(testbed.address(), Vsn::V2, "room:lp-wake").await;
    let poll = async {
        let asked = Instant::now();
        (session.poll().await, asked.elapsed())
    };
    let shout = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        shouter.send(json!(["1", "2", "room:lp-wake", "shout", {"n": 1}])).await;
    };
    let ((polled, took), ()) = tokio::join!(poll, shout);
    assert_eq!(polled.messages, [json!([null, null, "room:lp-wake", "shout", {"n": 1}])]);
    assert!(took < AT_ONCE, "the poll took {took:?}");
}

#[tokio::test]
async fn the_101st_channel_is_refused() {
    let testbed = Testbed::shared();
    let mut session = LongPoll::open(testbed.address(), "/socket_default").await;
    for batch in [1..=100, 101..=101] {
        let lines = batch.map(|n| json!([n, n, format!("room:{n}"), "phx_join", {}]).to_string());
        let body = lines.collect::<Vec<_>>().join("\n");
        assert_eq!(session.post(NDJSON, body.as_bytes()).await, 200);
    }
    let mut messages = Vec::new();
    while messages.len() < 101 {
        messages.extend(session.poll().await.messages);
    }
    // Joins of different topics may be answered in any order.
    let refusal = json!({"status": "error", "response": {"reason": "too many channels joined"}});
    let (refused, joined): (Vec<_>, Vec<_>) = messages.into_iter().partition(|message| message[0] == 101);
    assert_eq!(refused, [json!([101, 101, "room:101", "phx_reply", refusal])]);
    assert!(joined.iter().all(|message| message[4]["status"] == "ok"));
}

#[tokio::test]
async fn an_event_for_a_topic_not_joined_is_accepted_and_refused_by_reply() {
    let testbed = Testbed::shared();
    let mut session = LongPoll::open(testbed.address(), "/socket").await;
    session.send(json!(["1", "2", "room:lp-not", "shout", {}])).await;
    assert_eq!(session.poll().await.messages, [unmatched("2", "room:lp-not")]);
}

#[tokio::test]
async fn an_event_without_a_join_ref_is_accepted_and_a_stale_one_ignored() {
    let testbed = Testbed::shared();
    let mut session = joined(&testbed, "/socket", "room:lp-jr").await;
    session.send(json!(["99", "2", "room:lp-jr", "ping", {}])).await;
    session.send(json!([null, "3", "room:lp-jr", "ping", {"n": 3}])).await;
    assert_eq!(session.poll().await.messages, [ok("1", "3", "room:lp-jr", json!({"n": 3}))]);
}

#[tokio::test]
async fn a_stale_leave_is_ignored_and_one_without_a_join_ref_accepted() {
    let testbed = Testbed::shared();
    let mut session = joined(&testbed, "/socket", "room:lp-leave").await;
    session.send(json!(["99", "2", "room:lp-leave", "phx_leave", {}])).await;
    session.send(json!([null, "3", "room:lp-leave", "phx_leave", {}])).await;
    let mut messages = Vec::new();
    while messages.len() < 2 {
        messages.extend(session.poll().await.messages);
    }
    assert_eq!(messages, [ok("1", "3", "room:lp-leave", json!({})), closed("1", "room:lp-leave")]);
}

#[tokio::test]
async fn a_crash_is_an_error_of_that_join() {
    let testbed = Testbed::shared();
    let mut session = joined(&testbed, "/socket", "room:lp-crash").await;
    session.send(json!(["1", "2", "room:lp-crash", "crash", {}])).await;
    assert_eq!(session.poll().await.messages, [crashed("1", "room:lp-crash")]);
}

/// Phoenix encodes the bytes for the long-poller and fails only when that one polls: the sender hears nothing of it.
#[tokio::test]
async fn a_broadcast_of_bytes_does_not_hurt_its_sender_if_a_long_poller_is_on_the_topic() {
    let testbed = Testbed::shared();
    let topic = "room:lp-bytes";
    let _poller = joined(&testbed, "/socket", topic).await;
    let mut sender = Client::joined(testbed.address(), Vsn::V2, topic).await;
    sender.send_binary(&binary_push("1", "2", topic, "bin_echo", b"bytes")).await;
    sender.expect_binary(&binary(2, &[topic, "bin_cast"], b"bytes")).await;
    sender.send(json!(["1", "3", topic, "ping", {}])).await;
    sender.expect(ok("1", "3", topic, json!({}))).await;
}
