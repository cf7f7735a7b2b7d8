//! One test per row of the socket's state machine (protocol description, section 4), in both versions where the wire
//! can tell.

use serde_json::{Value, json};

use crate::support::{
    channels::{BOTH, Client, Vsn, closed, crashed, ok, reply, unmatched},
    http,
    testbed::Testbed,
    websocket::Event,
};

#[tokio::test]
async fn row_1_a_heartbeat_is_answered_before_and_beside_any_join() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        let mut client = Client::connect(testbed.address(), vsn).await;
        client.expect_heartbeat().await;
        client.join("1", "room:r1").await;
        client.send(json!(["1", "7", "phoenix", "heartbeat", {"x": 1}])).await;
        client.expect(reply(Value::Null, "7", "phoenix", "ok", json!({}))).await;
    }
}

#[tokio::test]
async fn row_2_a_join_that_no_pattern_matches_is_refused_without_a_join_ref() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        let mut client = Client::connect(testbed.address(), vsn).await;
        for (reference, topic) in
            [("1", "nope:1"), ("2", "room"), ("3", "Room:a"), ("4", ""), ("5", "phoenix")]
        {
            client.send(json!([reference, reference, topic, "phx_join", {}])).await;
            client.expect(unmatched(reference, topic)).await;
        }
        client.expect_heartbeat().await;
    }
}

#[tokio::test]
async fn row_3_a_join_over_the_limit_is_refused_with_its_join_ref() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        let mut client = Client::connect_to(testbed.address(), "/socket_default", vsn, "").await;
        for number in 1..=100 {
            client.join(&number.to_string(), &format!("room:{number}")).await;
        }
        let too_many = json!({"reason": "too many channels joined"});
        client.send(json!(["101", "101", "room:101", "phx_join", {}])).await;
        client.expect(reply(json!("101"), "101", "room:101", "error", too_many)).await;
        // A refusal takes nothing away, and a leave makes room.
        client.send(json!(["7", "102", "room:7", "phx_leave", {}])).await;
        client.expect(ok("7", "102", "room:7", json!({}))).await;
        client.expect(closed("7", "room:7")).await;
        client.join("103", "room:101").await;
    }
}

#[tokio::test]
async fn row_3_a_rejoin_at_the_limit_replaces_instead_of_counting_twice() {
    let testbed = Testbed::shared();
    let mut client = Client::connect_to(testbed.address(), "/socket_default", Vsn::V2, "").await;
    for number in 1..=100 {
        client.join(&number.to_string(), &format!("room:{number}")).await;
    }
    client.join("200", "room:50").await;
    client.expect(closed("50", "room:50")).await;
}

#[tokio::test]
async fn row_4_a_join_is_answered_with_what_the_channel_says() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        let mut client = Client::connect_to(testbed.address(), "/socket", vsn, "user=bob&").await;
        client.send(json!(["1", "1", "room:ident", "phx_join", {"k": [1, null]}])).await;
        client.expect(ok("1", "1", "room:ident", json!({"you": "bob", "params": {"k": [1, null]}}))).await;
    }
}

#[tokio::test]
async fn row_4_the_answer_to_a_join_comes_before_anything_of_that_join() {
    let testbed = Testbed::shared();
    let mut loud = Client::joined(testbed.address(), Vsn::V2, "room:r4").await;
    for number in 0..50 {
        let mut client = Client::connect(testbed.address(), Vsn::V2).await;
        loud.send(json!(["1", number, "room:r4", "shout", {"n": number}])).await;
        client.join("1", "room:r4").await;
    }
}

/// Only the first pair of refs that a client uses is its own choice: they are echoed as they came.
#[tokio::test]
async fn row_4_refs_of_any_type_are_echoed_and_compared_strictly() {
    let testbed = Testbed::shared();
    let mut client = Client::connect(testbed.address(), Vsn::V2).await;
    client.send(json!([1, 2, "room:refs", "phx_join", {}])).await;
    client.expect(json!([1, 2, "room:refs", "phx_reply", {"status": "ok", "response": {}}])).await;
    client.send(json!(["1", "3", "room:refs", "ping", {}])).await;
    client.send(json!([1.0, "4", "room:refs", "ping", {}])).await;
    client.send(json!([1, {"a": 5}, "room:refs", "ping", {}])).await;
    client.expect(json!([1, {"a": 5}, "room:refs", "phx_reply", {"status": "ok", "response": {}}])).await;
    client.send(json!([1, null, "room:refs", "stop", {}])).await;
    client.expect(json!([1, 1, "room:refs", "phx_close", {}])).await;
}

/// The stored join_ref is null, so later messages with one are stale; the channel itself answers under the join's ref.
#[tokio::test]
async fn row_4_a_v2_join_without_a_join_ref_takes_its_ref_for_pushes() {
    let testbed = Testbed::shared();
    let mut client = Client::connect(testbed.address(), Vsn::V2).await;
    client.send(json!([null, "5", "room:nojr", "phx_join", {}])).await;
    let joined = client.next_message().await;
    assert_eq!(joined[1], "5");
    assert_eq!(joined[4], json!({"status": "ok", "response": {}}));
    client.send(json!(["5", "6", "room:nojr", "ping", {}])).await;
    client.send(json!([null, "7", "room:nojr", "push_me", {"n": 7}])).await;
    client.expect(json!(["5", null, "room:nojr", "pushed", {"n": 7}])).await;
}

#[tokio::test]
async fn row_5_a_refused_join_gets_the_reason_and_is_no_join() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        let mut client = Client::connect(testbed.address(), vsn).await;
        let why = json!({"reason": "unauthorized"});
        client.send(json!(["1", "1", "room:forbidden", "phx_join", {}])).await;
        client.expect(reply(json!("1"), "1", "room:forbidden", "error", why)).await;
        client.send(json!(["1", "2", "room:forbidden", "ping", {}])).await;
        client.expect(unmatched("2", "room:forbidden")).await;
    }
}

#[tokio::test]
async fn row_6_a_join_that_panics_is_refused_and_hurts_nothing_else() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        let mut client = Client::joined(testbed.address(), vsn, "room:r6").await;
        client.send(json!(["2", "2", "room:joincrash", "phx_join", {}])).await;
        client
            .expect(reply(json!("2"), "2", "room:joincrash", "error", json!({"reason": "join crashed"})))
            .await;
        client.send(json!(["1", "3", "room:r6", "ping", {"alive": true}])).await;
        client.expect(ok("1", "3", "room:r6", json!({"alive": true}))).await;
    }
}

#[tokio::test]
async fn row_7_a_second_join_replaces_the_first_and_is_answered_before_the_close() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        let mut client = Client::joined(testbed.address(), vsn, "room:r7").await;
        client.join("2", "room:r7").await;
        client.expect(closed("1", "room:r7")).await;
        client.send(json!(["2", "3", "room:r7", "ping", {}])).await;
        client.expect(ok("2", "3", "room:r7", json!({}))).await;
        client.send(json!(["1", "4", "room:r7", "ping", {"stale": true}])).await;
        client.expect_heartbeat().await;
    }
}

#[tokio::test]
async fn row_7_a_broadcast_after_a_rejoin_arrives_once() {
    let testbed = Testbed::shared();
    let mut client = Client::joined(testbed.address(), Vsn::V2, "room:r7b").await;
    for join_ref in 2..20 {
        client.join(&join_ref.to_string(), "room:r7b").await;
        client.expect(closed(&(join_ref - 1).to_string(), "room:r7b")).await;
    }
    client.send(json!(["19", "30", "room:r7b", "shout", {"once": true}])).await;
    client.expect(json!([null, null, "room:r7b", "shout", {"once": true}])).await;
    client.expect_heartbeat().await;
}

#[tokio::test]
async fn row_7_a_refused_second_join_still_ends_the_first() {
    let testbed = Testbed::shared();
    let mut client = Client::connect(testbed.address(), Vsn::V2).await;
    let crash = json!({"reason": "join crashed"});
    for join_ref in ["1", "2"] {
        client.send(json!([join_ref, join_ref, "room:joincrash", "phx_join", {}])).await;
        client.expect(reply(json!(join_ref), join_ref, "room:joincrash", "error", crash.clone())).await;
    }
}

#[tokio::test]
async fn row_8_a_leave_is_answered_and_then_closed() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        for join_ref in [json!("1"), Value::Null] {
            let mut client = Client::joined(testbed.address(), vsn, "room:r8").await;
            client.send(json!([join_ref, "2", "room:r8", "phx_leave", {"ignored": 1}])).await;
            client.expect(ok("1", "2", "room:r8", json!({}))).await;
            client.expect(closed("1", "room:r8")).await;
            client.send(json!(["1", "3", "room:r8", "ping", {}])).await;
            client.expect(unmatched("3", "room:r8")).await;
        }
    }
}

#[tokio::test]
async fn row_8_nothing_is_broadcast_to_who_has_left() {
    let testbed = Testbed::shared();
    let mut gone = Client::joined(testbed.address(), Vsn::V2, "room:r8b").await;
    let mut there = Client::joined(testbed.address(), Vsn::V2, "room:r8b").await;
    gone.send(json!(["1", "2", "room:r8b", "phx_leave", {}])).await;
    gone.expect(ok("1", "2", "room:r8b", json!({}))).await;
    gone.expect(closed("1", "room:r8b")).await;
    there.send(json!(["1", "2", "room:r8b", "shout", {}])).await;
    there.expect(json!([null, null, "room:r8b", "shout", {}])).await;
    gone.expect_silence().await;
}

#[tokio::test]
async fn row_9_a_stale_leave_is_ignored() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        let mut client = Client::joined(testbed.address(), vsn, "room:r9").await;
        client.send(json!(["99", "2", "room:r9", "phx_leave", {}])).await;
        client.expect_silence().await;
        client.send(json!(["1", "3", "room:r9", "ping", {}])).await;
        client.expect(ok("1", "3", "room:r9", json!({}))).await;
    }
}

#[tokio::test]
async fn row_10_a_leave_of_a_topic_that_is_not_joined_is_answered_and_not_closed() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        let mut client = Client::connect(testbed.address(), vsn).await;
        for topic in ["room:r10", "nope:r10"] {
            client.send(json!(["4", "5", topic, "phx_leave", {}])).await;
            client.expect(ok("4", "5", topic, json!({}))).await;
        }
        client.expect_heartbeat().await;
    }
}

#[tokio::test]
async fn row_11_an_event_with_the_join_ref_or_none_reaches_the_channel() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        let mut client = Client::joined(testbed.address(), vsn, "room:r11").await;
        client.send(json!(["1", "2", "room:r11", "ping", [1, "two", null]])).await;
        client.expect(ok("1", "2", "room:r11", json!([1, "two", null]))).await;
        client.send(json!([null, "3", "room:r11", "ping", "text"])).await;
        client.expect(ok("1", "3", "room:r11", json!("text"))).await;
    }
}

#[tokio::test]
async fn row_11_events_of_one_join_are_answered_in_order() {
    let testbed = Testbed::shared();
    let mut client = Client::joined(testbed.address(), Vsn::V2, "room:order").await;
    for number in 0..1000 {
        client.send(json!(["1", number, "room:order", "ping", {"n": number}])).await;
    }
    for number in 0..1000 {
        let answer = json!({"status": "ok", "response": {"n": number}});
        client.expect(json!(["1", number, "room:order", "phx_reply", answer])).await;
    }
}

#[tokio::test]
async fn row_12_a_stale_event_is_dropped() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        let mut client = Client::joined(testbed.address(), vsn, "room:r12").await;
        client.send(json!(["99", "2", "room:r12", "ping", {}])).await;
        client.send(json!(["99", "3", "room:r12", "shout", {}])).await;
        client.send(json!(["99", "4", "room:r12", "crash", {}])).await;
        client.expect_heartbeat().await;
        client.expect_silence().await;
    }
}

#[tokio::test]
async fn row_13_an_event_for_a_topic_that_is_not_joined_is_refused_without_a_join_ref() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        let mut client = Client::connect(testbed.address(), vsn).await;
        client.send(json!(["1", "2", "room:r13", "ping", {}])).await;
        client.expect(unmatched("2", "room:r13")).await;
        client.send(json!([null, "3", "phoenix", "other", {}])).await;
        client.expect(unmatched("3", "phoenix")).await;
    }
}

#[tokio::test]
async fn row_14_an_orderly_stop_is_a_close() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        for event in ["stop", "stop_shutdown"] {
            let mut client = Client::joined(testbed.address(), vsn, "room:r14").await;
            client.send(json!(["1", "2", "room:r14", event, {}])).await;
            client.expect(closed("1", "room:r14")).await;
            client.send(json!(["1", "3", "room:r14", "ping", {}])).await;
            client.expect(unmatched("3", "room:r14")).await;
        }
    }
}

#[tokio::test]
async fn row_15_a_crash_is_an_error_of_that_join_alone() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        let mut client = Client::joined(testbed.address(), vsn, "room:r15").await;
        client.join("2", "room:r15-other").await;
        client.send(json!(["1", "3", "room:r15", "crash", {}])).await;
        client.expect(crashed("1", "room:r15")).await;
        client.send(json!(["2", "4", "room:r15-other", "ping", {}])).await;
        client.expect(ok("2", "4", "room:r15-other", json!({}))).await;
        client.send(json!(["1", "5", "room:r15", "ping", {}])).await;
        client.expect(unmatched("5", "room:r15")).await;
        client.join("6", "room:r15").await;
    }
}

#[tokio::test]
async fn row_16_a_disconnect_of_the_socket_id_closes_all_of_its_connections_with_1001() {
    let testbed = Testbed::shared();
    let connect = |user, vsn| Client::connect_to(testbed.address(), "/socket", vsn, user);
    let mut first = connect("user=r16&", Vsn::V2).await;
    let mut second = connect("user=r16&", Vsn::V1).await;
    let mut other = connect("user=r16b&", Vsn::V2).await;
    let mut nobody = Client::connect(testbed.address(), Vsn::V2).await;
    first.join("1", "room:r16").await;
    assert_eq!(http::get(testbed.address(), "/disconnect/r16").await.text(), "ok");
    first.expect_close(1001).await;
    second.expect_close(1001).await;
    other.expect_heartbeat().await;
    nobody.expect_heartbeat().await;
}

#[tokio::test]
async fn row_17_a_shutdown_drains_connections_with_1012() {
    let testbed = Testbed::start();
    let mut joined = Client::joined(testbed.address(), Vsn::V2, "room:r17").await;
    let mut idle = Client::connect(testbed.address(), Vsn::V1).await;
    testbed.terminate();
    for client in [&mut joined, &mut idle] {
        let event = client.socket.next_but_pongs().await;
        assert_eq!(event, Event::Close(1012, String::new()));
    }
}
