//! Phoenix's long-poll dialect: the scenarios of its own suites (protocol description, 13.3 and 13.4).
//!
//! A POST that waits for a slow join (408) is not among them: the testbed has no slow callback.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::channels::{BOTH, Client, Vsn, binary_push, closed, crashed, ok, reply, unmatched};
use crate::support::http::{self, Response};
use crate::support::longpoll::{Carrier, JSON, LongPoll, NDJSON, status};
use crate::support::testbed::Testbed;

/// What comes at once must not look like a wait for anybody's window: the shortest is a second.
const AT_ONCE: Duration = Duration::from_millis(500);

async fn joined(testbed: &Testbed, mount: &str, topic: &str) -> LongPoll {
    let mut session = LongPoll::open(testbed.address(), mount).await;
    session.send(json!(["1", "1", topic, "phx_join", {}])).await;
    assert_eq!(session.poll().await.messages, [ok("1", "1", topic, json!({}))]);
    session
}

#[tokio::test]
async fn reply_broadcast_and_push_are_polled_in_order_and_then_nothing() {
    let testbed = Testbed::shared();
    for carrier in [Carrier::Query, Carrier::Header] {
        let mut session = LongPoll::open_as(testbed.address(), "/socket_short", Vsn::V2, "", carrier).await;
        let topic = format!("room:lp-{carrier:?}");
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
            assert_eq!(polled.status, 200, "{carrier:?}");
            got.extend(polled.messages);
        }
        assert_eq!(got, wanted, "{carrier:?}");
        let polled = session.poll().await;
        assert_eq!((polled.status, polled.messages.len()), (204, 0), "{carrier:?}");
    }
}

#[tokio::test]
async fn v1_messages_are_objects_in_strings() {
    let testbed = Testbed::shared();
    let mut session = LongPoll::open_as(testbed.address(), "/socket", Vsn::V1, "", Carrier::Query).await;
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
    assert!(took < Duration::from_secs(2), "the poll took {took:?}");
}

#[tokio::test]
async fn the_header_carries_the_token_and_wins_over_a_bad_one_in_the_query() {
    let testbed = Testbed::shared();
    let session = joined(&testbed, "/socket", "room:lp-header").await;
    let path = "/socket/longpoll?token=nonsense&vsn=2.0.0";
    let headers = [("x-phoenix-longpoll-token", session.token.as_str()), ("content-type", JSON)];
    let heartbeat = br#"[null,"9","phoenix","heartbeat",{}]"#;
    let posted = http::request(testbed.address(), "POST", path, &headers, Some(heartbeat)).await;
    assert_eq!(status(&posted), 200);
    let polled = http::request(testbed.address(), "GET", path, &headers[..1], None).await;
    assert_eq!(status(&polled), 200, "{}", polled.text());
}

#[tokio::test]
async fn a_bad_token_gets_410_and_a_poll_a_new_session_at_once() {
    let testbed = Testbed::shared();
    let session = LongPoll::open(testbed.address(), "/socket").await;
    let mut tampered = session.token.clone();
    let last = tampered.pop().unwrap();
    tampered.push(if last == 'A' { 'B' } else { 'A' });
    for token in ["", "nonsense", "SFMyNTY.a.b", &tampered, &"x".repeat(5000)] {
        let asked = Instant::now();
        let posted = session.request("POST", token, &[("content-type", JSON)], Some(b"[]")).await;
        assert_eq!(posted.json(), json!({"status": 410}), "{token:.40}");
        let polled = session.poll_with(token).await;
        assert_eq!(polled.status, 410, "{token:.40}");
        assert!(polled.token.is_some(), "{token:.40}");
        assert!(asked.elapsed() < AT_ONCE, "{token:.40} took {:?}", asked.elapsed());
    }
}

#[tokio::test]
async fn a_token_opens_only_the_mount_that_made_it() {
    let testbed = Testbed::shared();
    let session = LongPoll::open(testbed.address(), "/socket").await;
    let elsewhere = LongPoll::open(testbed.address(), "/socket_short").await;
    let posted = elsewhere.request("POST", &session.token, &[("content-type", JSON)], Some(b"[]")).await;
    assert_eq!(posted.json(), json!({"status": 410}));
    assert_eq!(elsewhere.poll_with(&session.token).await.status, 410);
}

fn assert_headers(response: &Response) {
    assert_eq!(response.header("access-control-allow-origin"), Some("*"), "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/json; charset=utf-8"), "{response:?}");
    let caching = response.header("cache-control").unwrap_or_default();
    assert!(caching.split(',').any(|item| item.trim() == "no-store"), "{response:?}");
}

#[tokio::test]
async fn every_answer_may_be_read_by_any_page_and_stored_by_no_cache() {
    let testbed = Testbed::shared();
    let address = testbed.address();
    let session = LongPoll::open(address, "/socket_short").await;
    let post = |body: &'static [u8]| session.request("POST", &session.token, &[], Some(body));
    assert_headers(&http::get(address, "/socket/longpoll?vsn=2.0.0").await);
    assert_headers(&http::get(address, "/socket/longpoll?vsn=9.0.0").await);
    assert_headers(&http::get(address, "/socket/longpoll?vsn=2.0.0&refuse=error").await);
    assert_headers(&post(br#"[null,"1","phoenix","heartbeat",{}]"#).await);
    assert_headers(&session.request("GET", &session.token, &[], None).await);
    assert_headers(&session.request("GET", &session.token, &[], None).await);
    assert_headers(&session.request("POST", "nonsense", &[], Some(b"[]")).await);
    assert_headers(&post(b"garbage").await);
}

#[tokio::test]
async fn a_preflight_allows_what_was_asked_for() {
    let testbed = Testbed::shared();
    let asked = [
        ("origin", "https://x.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type, x-phoenix-longpoll-token"),
    ];
    let path = "/socket/longpoll?vsn=2.0.0";
    let response = http::request(testbed.address(), "OPTIONS", path, &asked, None).await;
    assert_eq!((response.status, response.text().as_str()), (200, ""));
    let header = |name| response.header(name).unwrap_or_default().to_owned();
    assert_eq!(header("access-control-allow-origin"), "*");
    assert_eq!(header("access-control-allow-headers"), "content-type, x-phoenix-longpoll-token");
    assert_eq!(header("access-control-allow-methods"), "get, post, options");
    assert_eq!(header("access-control-max-age"), "3600");
}

#[tokio::test]
async fn a_foreign_origin_gets_403_whatever_it_asks() {
    let testbed = Testbed::shared();
    let path = "/socket_origin/longpoll?vsn=2.0.0";
    let origin = |value| [("origin", value)];
    for method in ["GET", "POST", "OPTIONS"] {
        let evil = origin("https://evil.example");
        let response = http::request(testbed.address(), method, path, &evil, None).await;
        assert_eq!(response.json(), json!({"status": 403}), "{method}");
    }
    let response = http::request(testbed.address(), "GET", path, &origin("https://good.example"), None).await;
    assert_eq!(status(&response), 410);
    let response = http::get(testbed.address(), path).await;
    assert_eq!(status(&response), 410, "without an Origin there is nothing to check");
}

#[tokio::test]
async fn a_refused_connect_is_403_whatever_the_reason() {
    let testbed = Testbed::shared();
    for query in
        ["vsn=2.0.0&refuse=error", "vsn=2.0.0&refuse=reason", "vsn=123.1.1", "vsn=2.0", "vsn[]=2.0.0"]
    {
        let response = http::get(testbed.address(), &format!("/socket/longpoll?{query}")).await;
        assert_eq!(response.json(), json!({"status": 403}), "{query}");
    }
}

#[tokio::test]
async fn queries_as_phoenix_js_writes_them_are_understood() {
    let testbed = Testbed::shared();
    for query in [
        "user=bob&&vsn=2.0.0&",
        "a%5Bb%5D%5Bc%5D=1&user=bob&vsn=2.0.0",
        "user=bob&x&=&vsn=2.0.0",
        "x[]=1&user=bob&vsn=2.0.0",
    ] {
        let opened = http::get(testbed.address(), &format!("/socket/longpoll?{query}")).await.json();
        assert_eq!(opened["status"], 410, "{query}");
        let path = format!("/socket/longpoll?vsn=2.0.0&token={}", opened["token"].as_str().unwrap());
        let join = br#"["1","1","room:ident","phx_join",{}]"#;
        let posted = http::request(testbed.address(), "POST", &path, &[], Some(join)).await;
        assert_eq!(status(&posted), 200, "{query}");
        let polled = http::get(testbed.address(), &path).await.text();
        assert!(polled.contains(r#"\"you\":\"bob\""#), "{query}: {polled}");
    }
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
    let refusal = json!({"status": "error", "response": {"reason": "too many channels joined"}});
    assert_eq!(messages[100], json!([101, 101, "room:101", "phx_reply", refusal]));
    assert!(messages[..100].iter().all(|message| message[4]["status"] == "ok"));
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

#[tokio::test]
async fn a_batch_runs_in_order_text_and_bytes_mixed() {
    let testbed = Testbed::shared();
    for newline in ["\n", "\r\n"] {
        let mut session = LongPoll::open(testbed.address(), "/socket").await;
        let topic = "room:lp-mixed";
        let crash = BASE64_STANDARD.encode(binary_push("1", "3", topic, "crash", b"bytes"));
        let lines = [
            json!(["1", "1", topic, "phx_join", {}]).to_string(),
            json!(["99", "8", topic, "ping", {}]).to_string(),
            json!(["1", "2", topic, "ping", {"n": 2}]).to_string(),
            crash,
        ];
        assert_eq!(session.post(NDJSON, lines.join(newline).as_bytes()).await, 200);
        let wanted =
            [ok("1", "1", topic, json!({})), ok("1", "2", topic, json!({"n": 2})), crashed("1", topic)];
        let mut messages = Vec::new();
        while messages.len() < wanted.len() {
            messages.extend(session.poll().await.messages);
        }
        assert_eq!(messages, wanted, "{newline:?}");
    }
}

/// Better than Phoenix, which takes the empty last line for base64, and 100 lines without a word about the rest.
#[tokio::test]
async fn a_batch_may_end_in_a_newline_name_a_charset_and_be_of_either_version() {
    let testbed = Testbed::shared();
    for vsn in BOTH {
        for content_type in
            [NDJSON, "application/x-ndjson; charset=utf-8", "Application/X-NDJSON;charset=UTF-8"]
        {
            let mut session = LongPoll::open_as(testbed.address(), "/socket", vsn, "", Carrier::Query).await;
            let join = vsn.encode(&json!(["1", "1", "room:lp-nl", "phx_join", {}]));
            let ping = vsn.encode(&json!(["1", "2", "room:lp-nl", "ping", {}]));
            let body = format!("{join}\n\n{ping}\r\n");
            assert_eq!(session.post(content_type, body.as_bytes()).await, 200, "{vsn:?} {content_type}");
            let mut messages = Vec::new();
            while messages.len() < 2 {
                messages.extend(session.poll().await.messages);
            }
        }
    }
}

#[tokio::test]
async fn a_batch_of_more_than_100_lines_is_refused_whole_or_run_whole() {
    let testbed = Testbed::shared();
    let mut session = joined(&testbed, "/socket_short", "room:lp-many").await;
    let lines = (0..120).map(|n| json!(["1", n, "room:lp-many", "ping", {}]).to_string());
    let body = lines.collect::<Vec<_>>().join("\n");
    let posted = session.post(NDJSON, body.as_bytes()).await;
    let mut messages = Vec::new();
    loop {
        let polled = session.poll().await;
        if polled.status != 200 {
            break;
        }
        messages.extend(polled.messages);
    }
    let answered = if posted == 200 { 120 } else { 0 };
    assert_eq!(messages.len(), answered, "the POST was answered with {posted}");
}

#[tokio::test]
async fn a_missing_content_type_is_one_message() {
    let testbed = Testbed::shared();
    let mut session = LongPoll::open(testbed.address(), "/socket").await;
    let body = br#"[null,"1","phoenix","heartbeat",{}]"#;
    let posted = session.request("POST", &session.token, &[], Some(body)).await;
    assert_eq!(status(&posted), 200);
    assert_eq!(session.poll().await.messages, [reply(Value::Null, "1", "phoenix", "ok", json!({}))]);
}

/// Better than Phoenix, where this costs a whole window, and then two seconds more.
#[tokio::test]
async fn a_malformed_post_is_answered_at_once_and_ends_the_session() {
    let testbed = Testbed::shared();
    for (content_type, body) in [
        (JSON, "garbage"),
        (JSON, ""),
        (JSON, "{}"),
        (JSON, "[1,2,3]"),
        (NDJSON, "[\"1\",\"1\""),
        (NDJSON, "!!! no base64"),
        (NDJSON, "AQEBAQE="),
    ] {
        let mut session = LongPoll::open(testbed.address(), "/socket_default").await;
        let asked = Instant::now();
        assert_eq!(session.post(content_type, body.as_bytes()).await, 400, "{body:?}");
        let polled = session.poll().await;
        assert_eq!(polled.status, 410, "{body:?}");
        assert!(asked.elapsed() < AT_ONCE, "{body:?} took {:?}", asked.elapsed());
    }
}

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
    let session = joined(&testbed, "/socket_short", "room:lp-two").await;
    let mut shouter = Client::joined(testbed.address(), Vsn::V2, "room:lp-two").await;
    let pause = |ms| tokio::time::sleep(Duration::from_millis(ms));
    let first = session.poll_with(&session.token);
    let second = async {
        pause(150).await;
        session.poll_with(&session.token).await
    };
    let shout = async {
        pause(300).await;
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
    let mut session = LongPoll::open_as(testbed.address(), "/socket", Vsn::V2, query, Carrier::Query).await;
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
    assert!(took < Duration::from_millis(200) + AT_ONCE, "the poll took {took:?}");
    assert!(polled.messages.is_empty());
    testbed.wait_for_stat("joins", 0, Duration::from_secs(2)).await;
    let asked = Instant::now();
    assert_eq!(session.post(JSON, br#"[null,"1","phoenix","heartbeat",{}]"#).await, 410);
    assert_eq!(session.poll().await.status, 410);
    assert!(asked.elapsed() < AT_ONCE, "the end took {:?} to be told", asked.elapsed());
}

/// Without a poll for one and a half windows a session ends; POSTs do not count.
#[tokio::test]
async fn a_session_that_is_not_polled_is_reaped_with_its_joins() {
    const REAPED_MAX: Duration = Duration::from_secs(6);
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

#[tokio::test]
async fn other_methods_get_400() {
    let testbed = Testbed::shared();
    for method in ["PUT", "DELETE", "PATCH", "HEAD"] {
        let response =
            http::request(testbed.address(), method, "/socket/longpoll?vsn=2.0.0", &[], None).await;
        assert_eq!((response.status, response.body.len()), (400, 0), "{method}");
    }
}
