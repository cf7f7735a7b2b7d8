//! POSTs: single messages, batches, and what is wrong with some.

use std::time::Instant;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{AT_ONCE, joined};
use crate::support::{
    channels::{BOTH, binary_push, crashed, ok, reply},
    longpoll::{JSON, LongPoll, NDJSON, TokenIn, status},
    testbed::Testbed,
};

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
            let mut session = LongPoll::open_as(testbed.address(), "/socket", vsn, "", TokenIn::Query).await;
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

/// Clients before 1.8.6 do not cut at 100; Phoenix drops the rest without a word.
#[tokio::test]
async fn a_batch_of_more_than_100_lines_is_run_whole_and_one_over_the_bound_refused_whole() {
    const LINES_MAX: usize = 2_000;
    let testbed = Testbed::shared();
    for (count, wanted) in [(120, 200), (LINES_MAX, 200), (LINES_MAX + 1, 413)] {
        let mut session = joined(&testbed, "/socket_short", "room:lp-many").await;
        let lines = (0..count).map(|n| json!(["1", n, "room:lp-many", "ok_bare", {}]).to_string());
        let body = lines.collect::<Vec<_>>().join("\n");
        assert_eq!(session.post(NDJSON, body.as_bytes()).await, wanted, "{count} lines");
        let mut answered = 0;
        loop {
            let polled = session.poll().await;
            if polled.status != 200 {
                assert_eq!(polled.status, 204, "{count} lines: the session lives on");
                break;
            }
            for message in polled.messages {
                assert_eq!(message[1], answered, "{count} lines, in order");
                answered += 1;
            }
        }
        assert_eq!(answered, if wanted == 200 { count } else { 0 }, "{count} lines");
    }
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
