//! Tokens, headers, origins, queries: what every request goes through.

use std::time::Instant;

use serde_json::json;

use super::{AT_ONCE, joined};
use crate::support::{
    http::{self, Response},
    longpoll::{JSON, LongPoll, status},
    testbed::Testbed,
};

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
async fn other_methods_get_400() {
    let testbed = Testbed::shared();
    for method in ["PUT", "DELETE", "PATCH", "HEAD"] {
        let response =
            http::request(testbed.address(), method, "/socket/longpoll?vsn=2.0.0", &[], None).await;
        assert_eq!((response.status, response.body.len()), (400, 0), "{method}");
    }
}
