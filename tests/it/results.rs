//! What a channel's result is on the wire (protocol description, section 5), and what bytes are (sections 2.3, 2.4).

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    PATIENCE,
    channels::{BOTH, Client, Vsn, binary, binary_push, closed, crashed, ok, reply},
    testbed::Testbed,
};

#[tokio::test]
async fn a_reply_with_a_payload_or_none_is_a_phx_reply() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        let mut client = Client::joined(testbed.address(), vsn, "room:reply").await;
        for (event, status, response) in [
            ("ping", "ok", json!({"a": 1})),
            ("ok_bare", "ok", json!({})),
            ("error_bare", "error", json!({})),
            ("boom_reply", "error", json!({"reason": "no"})),
        ] {
            client.send(json!(["1", "2", "room:reply", event, {"a": 1}])).await;
            client.expect(reply(json!("1"), "2", "room:reply", status, response)).await;
        }
        client.send(json!(["1", "3", "room:reply", "noop", {}])).await;
        client.expect_heartbeat().await;
    }
}

#[tokio::test]
async fn a_reply_may_come_later_from_another_task() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        let mut client = Client::joined(testbed.address(), vsn, "room:late").await;
        let asked = Instant::now();
        client.send(json!(["1", "2", "room:late", "late_reply", {"n": 1}])).await;
        client.send(json!(["1", "3", "room:late", "ping", {"n": 2}])).await;
        client.expect(ok("1", "3", "room:late", json!({"n": 2}))).await;
        client.expect(ok("1", "2", "room:late", json!({"n": 1}))).await;
        assert!(asked.elapsed() >= Duration::from_millis(50), "it came at once");
    }
}

#[tokio::test]
async fn a_late_reply_of_a_join_that_has_ended_keeps_the_old_join_ref_and_hurts_nobody() {
    let testbed = Testbed::shared();
    let mut client = Client::joined(testbed.address(), Vsn::V2, "room:late2").await;
    client.send(json!(["1", "2", "room:late2", "late_reply", {}])).await;
    client.join("3", "room:late2").await;
    client.expect(closed("1", "room:late2")).await;
    client.expect(ok("1", "2", "room:late2", json!({}))).await;
    client.send(json!(["3", "4", "room:late2", "ping", {}])).await;
    client.expect(ok("3", "4", "room:late2", json!({}))).await;
}

#[tokio::test]
async fn a_normal_stop_or_a_shutdown_is_a_phx_close() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        for event in ["stop", "stop_shutdown"] {
            let mut client = Client::joined(testbed.address(), vsn, "room:stop").await;
            client.send(json!(["1", "2", "room:stop", event, {}])).await;
            client.expect(closed("1", "room:stop")).await;
        }
    }
}

#[tokio::test]
async fn a_stop_with_a_reply_is_a_phx_reply_and_then_a_phx_close() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        let mut client = Client::joined(testbed.address(), vsn, "room:stop").await;
        client.send(json!(["1", "2", "room:stop", "stop_reply", {}])).await;
        client.expect(ok("1", "2", "room:stop", json!({}))).await;
        client.expect(closed("1", "room:stop")).await;
    }
}

#[tokio::test]
async fn a_stop_for_any_other_reason_is_a_phx_error() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        let mut client = Client::joined(testbed.address(), vsn, "room:stop").await;
        client.send(json!(["1", "2", "room:stop", "stop_other", {}])).await;
        client.expect(crashed("1", "room:stop")).await;
    }
}

#[tokio::test]
async fn a_panic_or_an_event_that_nothing_handles_is_a_phx_error() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        for event in ["crash", "no_such_event", "phx_reply", "phx_close", "phx_error", ""] {
            let mut client = Client::joined(testbed.address(), vsn, "room:panic").await;
            client.send(json!(["1", "2", "room:panic", event, {}])).await;
            client.expect(crashed("1", "room:panic")).await;
        }
    }
}

#[tokio::test]
async fn a_push_goes_to_its_client_and_a_broadcast_to_all_once() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        let topic = format!("room:cast-{vsn:?}");
        let mut sender = Client::joined(testbed.address(), vsn, &topic).await;
        let mut other = Client::joined(testbed.address(), Vsn::V2, &topic).await;
        let mut elsewhere = Client::joined(testbed.address(), Vsn::V2, "room:elsewhere").await;
        sender.send(json!(["1", "2", topic, "push_me", {"n": 1}])).await;
        sender.expect(json!(["1", null, topic, "pushed", {"n": 1}])).await;
        sender.send(json!(["1", "3", topic, "shout", {"n": 2}])).await;
        sender.expect(json!([null, null, topic, "shout", {"n": 2}])).await;
        other.expect(json!([null, null, topic, "shout", {"n": 2}])).await;
        sender.send(json!(["1", "4", topic, "shout_from", {"n": 3}])).await;
        other.expect(json!([null, null, topic, "shout", {"n": 3}])).await;
        sender.expect_heartbeat().await;
        other.expect_heartbeat().await;
        elsewhere.expect_silence().await;
    }
}

#[tokio::test]
async fn what_a_version_cannot_encode_ends_only_the_join_that_tried() {
    let testbed = Testbed::shared();
    let mut v2 = Client::joined(testbed.address(), Vsn::V2, "room:encode").await;
    v2.send(json!(["1", "2", "room:encode", "push_me", "no object"])).await;
    v2.expect(crashed("1", "room:encode")).await;
    v2.expect_heartbeat().await;
    let mut v1 = Client::joined(testbed.address(), Vsn::V1, "room:encode1").await;
    v1.send(json!(["1", "2", "room:encode1", "bin", {}])).await;
    v1.expect(crashed("1", "room:encode1")).await;
    v1.expect_heartbeat().await;
}

#[tokio::test]
async fn bytes_go_both_ways_in_v2() {
    const TOPIC: &str = "room:bytes";
    let testbed = Testbed::shared();
    let mut client = Client::joined(testbed.address(), Vsn::V2, TOPIC).await;
    let mut other = Client::joined(testbed.address(), Vsn::V2, TOPIC).await;
    for data in [&[0, 1, 2, 254, 255][..], b"ascii", b"", &[0xfe; 100_000]] {
        client.send_binary(&binary_push("1", "2", TOPIC, "bin_reply", data)).await;
        client.expect_binary(&binary(1, &["1", "2", TOPIC, "ok"], data)).await;
        client.send_binary(&binary_push("1", "3", TOPIC, "bin_echo", data)).await;
        client.expect_binary(&binary(2, &[TOPIC, "bin_cast"], data)).await;
        other.expect_binary(&binary(2, &[TOPIC, "bin_cast"], data)).await;
    }
    client.send(json!(["1", "4", TOPIC, "bin", {}])).await;
    client.expect_binary(&binary(1, &["1", "4", TOPIC, "ok"], &[1, 2, 3, 255])).await;
    client.send(json!(["1", "5", TOPIC, "bin_push", {}])).await;
    client.expect_binary(&binary(0, &["1", TOPIC, "bin_pushed"], &[9, 8, 7])).await;
}

/// An absent join_ref in a binary frame is an empty string, which is stale, unlike JSON's null.
#[tokio::test]
async fn bytes_without_a_join_ref_are_stale() {
    let testbed = Testbed::shared();
    let mut client = Client::joined(testbed.address(), Vsn::V2, "room:stale").await;
    client.send_binary(&binary_push("", "2", "room:stale", "bin_reply", b"x")).await;
    client.expect_heartbeat().await;
}

#[tokio::test]
async fn a_field_too_long_for_a_binary_frame_ends_only_the_join_that_tried() {
    let testbed = Testbed::shared();
    let at_most = format!("room:{}", "x".repeat(250));
    let mut client = Client::joined(testbed.address(), Vsn::V2, &at_most).await;
    client.send(json!(["1", "2", at_most, "bin", {}])).await;
    client.expect_binary(&binary(1, &["1", "2", &at_most, "ok"], &[1, 2, 3, 255])).await;
    let too_long = format!("{at_most}x");
    client.join("3", &too_long).await;
    client.send(json!(["3", "4", too_long, "bin", {}])).await;
    client.expect(crashed("3", &too_long)).await;
    // Multi-byte characters count as their bytes.
    let umlauts = format!("room:{}", "ü".repeat(126));
    client.join("5", &umlauts).await;
    client.send(json!(["5", "6", umlauts, "bin", {}])).await;
    client.expect(crashed("5", &umlauts)).await;
    client.expect_heartbeat().await;
}

#[tokio::test]
async fn a_frame_that_cannot_be_decoded_closes_the_connection_with_1011() {
    let testbed = Testbed::shared();
    let texts: [(Vsn, &[&str]); 2] = [
        (
            Vsn::V2,
            &[
                "",
                "x",
                "5",
                "\"x\"",
                "[]",
                "{}",
                "null",
                "[1,2,3,4]",
                "[\"1\",\"1\",\"room:a\"",
                "[1,2,3,4,5] x",
            ],
        ),
        (
            Vsn::V1,
            &[
                "",
                "x",
                "5",
                "[]",
                "{}",
                "null",
                r#"{"topic":"t","event":"e","payload":{}}"#,
                r#"{"topic":"t"}"#,
            ],
        ),
    ];
    for (vsn, texts) in texts {
        for text in texts {
            let mut client = Client::joined(testbed.address(), vsn, "room:bad").await;
            client.send_text(text).await;
            assert_eq!(client.close_code_within(PATIENCE).await, Some(1011), "{vsn:?} {text:?}");
        }
    }
    let push = binary_push("1", "2", "room:bad", "ping", b"");
    let frames: [&[u8]; 6] =
        [&[], &[0], &[0, 1, 1, 8], &push[..push.len() - 1], &[1, 1, 1, 1, 1, 65, 65], &[3; 40]];
    for frame in frames {
        let mut client = Client::joined(testbed.address(), Vsn::V2, "room:bad").await;
        client.send_binary(frame).await;
        assert_eq!(client.close_code_within(PATIENCE).await, Some(1011), "{frame:?}");
    }
}

#[tokio::test]
async fn extra_elements_and_keys_are_ignored() {
    let testbed = Testbed::shared();
    let mut v2 = Client::connect(testbed.address(), Vsn::V2).await;
    v2.send_text(r#" [ "1", "1", "room:extra", "phx_join", {}, "sixth", {"seventh": []} ] "#).await;
    v2.expect(ok("1", "1", "room:extra", json!({}))).await;
    let mut v1 = Client::connect(testbed.address(), Vsn::V1).await;
    v1.send_text(r#"{"x": [1], "ref": "1", "payload": {}, "event": "phx_join", "topic": "room:extra"}"#)
        .await;
    v1.expect(ok("1", "1", "room:extra", json!({}))).await;
}
