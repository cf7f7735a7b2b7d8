//! What proxies and browsers see: methods, headers, versions of HTTP.

use std::net::SocketAddr;

use lapwing::{CheckOrigin, Mount, transports::options::TransportOptions};

use super::serve;
use crate::support::{
    echo,
    events::EventStream,
    http::{self, Response},
    sessions::{Line, Session, Transport, post, text},
};

const HEADERS: [(&str, &str); 3] = [
    ("cache-control", "no-store, no-transform"),
    ("x-accel-buffering", "no"),
    ("access-control-allow-origin", "*"),
];

#[track_caller]
fn assert_headers(response: &Response) {
    for (name, value) in HEADERS {
        assert_eq!(response.header(name), Some(value), "{response:?}");
    }
    let length = response.body.len().to_string();
    assert_eq!(response.header("content-length"), Some(length.as_str()), "{response:?}");
    assert_eq!(response.header("transfer-encoding"), None, "{response:?}");
}

#[tokio::test]
async fn no_answer_may_be_stored_changed_held_back_or_of_unknown_length() {
    let (_lapwing, address) = serve(Mount::new()).await;
    let session = Session::open(address, "/socket", Transport::Longpoll).await;
    let (sse, longpoll) = (Transport::Sse.path("/socket"), Transport::Longpoll.path("/socket"));
    assert_headers(&post(address, &longpoll, "!open 5000").await);
    assert_headers(&session.poll(0, "").await);
    assert_headers(&session.post("!ack 0").await);
    assert_headers(&session.post("!ack x").await);
    assert_headers(&post(address, &sse, "!ticket\n!open 5000").await);
    assert_headers(&post(address, &sse, "!resume x 0 0").await);
    assert_headers(&post(address, &sse, "").await);
    assert_headers(&http::get(address, &sse).await);
    assert_headers(&http::get(address, &longpoll).await);
    assert_headers(&http::request(address, "OPTIONS", &sse, &[], None).await);
    assert_headers(&http::get(address, "/socket/sse?lapwing=7").await);
}

async fn stream(address: SocketAddr) -> EventStream {
    EventStream::request(address, "POST", &Transport::Sse.path("/socket"), &[], Some("!open 5000")).await
}

#[tokio::test]
async fn an_event_stream_begins_with_two_kilobytes_of_comment_in_chunks() {
    let (_lapwing, address) = serve(Mount::new()).await;
    let mut stream = stream(address).await;
    for (name, value) in HEADERS {
        assert_eq!(stream.header(name), Some(value), "{}", stream.head);
    }
    assert_eq!(stream.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(stream.header("content-length"), None);
    assert!(stream.fill_body().await);
    let body = stream.unread();
    let comment = body.split(|byte| *byte == b'\n').next().unwrap();
    assert!(comment.len() >= 2_048 && comment[0] == b':' && comment[1..].iter().all(|byte| *byte == b' '));
    assert!(stream.next().await.unwrap().starts_with("!opened "));
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_the_stream_without_chunks_and_its_end() {
    let (lapwing, address) = serve(Mount::new()).await;
    let path = Transport::Sse.path("/socket");
    let body = "!open 5000";
    let request = format!("POST {path} HTTP/1.0\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut stream = EventStream::exchange(address, request.as_bytes()).await;
    assert_eq!((stream.status(), stream.header("transfer-encoding")), (200, None), "{}", stream.head);
    let greeting = stream.next().await.unwrap();
    let token = greeting.split(' ').nth(1).unwrap();
    let answer = post(address, &path, &format!("!send {token}\n!close")).await;
    assert_eq!(answer.text(), "!ack 0\n");
    assert_eq!(stream.next().await.as_deref(), Some("!closed 1000 client"));
    assert_eq!(stream.next().await, None);
    super::until(|| lapwing.stats().sessions == 0, || "the session is still there".into()).await;
}

#[tokio::test]
async fn a_poll_of_http_1_0_is_answered_like_any_other() {
    let (_lapwing, address) = serve(Mount::new()).await;
    let path = Transport::Longpoll.path("/socket");
    let request = format!("POST {path} HTTP/1.0\r\nContent-Length: 10\r\n\r\n!open 5000");
    let answer = http::exchange(address, request.as_bytes(), false).await.unwrap();
    assert_headers(&answer);
    assert!(answer.text().starts_with("!opened "));
}

#[tokio::test]
async fn a_preflight_allows_what_was_asked_for_for_an_hour() {
    let (_lapwing, address) = serve(Mount::new().check_origin(CheckOrigin::Off)).await;
    for transport in [Transport::Sse, Transport::Longpoll] {
        let asked =
            [("origin", "https://x.example"), ("access-control-request-headers", "x-phoenix-authtoken")];
        let answer = http::request(address, "OPTIONS", &transport.path("/socket"), &asked, None).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, ""), "{transport:?}");
        assert_eq!(answer.header("access-control-allow-headers"), Some("x-phoenix-authtoken"));
        assert_eq!(answer.header("access-control-max-age"), Some("3600"));
        let methods = answer.header("access-control-allow-methods").unwrap();
        assert!(methods.contains("GET") && methods.contains("POST"), "{methods}");
    }
}

#[tokio::test]
async fn a_method_without_a_meaning_is_405() {
    let (_lapwing, address) = serve(Mount::new()).await;
    for method in ["PUT", "DELETE", "PATCH", "HEAD"] {
        for transport in [Transport::Sse, Transport::Longpoll] {
            let answer = http::request(address, method, &transport.path("/socket"), &[], None).await;
            assert_eq!(answer.status, 405, "{method} {transport:?}");
        }
    }
    assert_eq!(http::get(address, &Transport::Longpoll.path("/socket")).await.status, 405);
}

#[tokio::test]
async fn a_version_that_is_not_spoken_is_400() {
    let (lapwing, address) = serve(Mount::new()).await;
    for version in ["", "0", "2", "11", "1.0", "x"] {
        for transport in ["sse", "longpoll"] {
            let path = format!("/socket/{transport}?vsn=2.0.0&lapwing={version}");
            assert_eq!(post(address, &path, "!open 5000").await.status, 400, "{path}");
        }
    }
    assert_eq!(post(address, "/socket/sse?vsn=2.0.0", "!open 5000").await.status, 400, "none");
    assert_eq!(lapwing.stats().sessions, 0);
}

#[tokio::test]
async fn the_content_type_of_a_body_does_not_matter() {
    let (_lapwing, address) = serve(Mount::new()).await;
    for content_type in ["text/plain", "text/plain;charset=UTF-8", "application/json", "x"] {
        let headers = [("content-type", content_type)];
        let path = Transport::Longpoll.path("/socket");
        let answer = http::request(address, "POST", &path, &headers, Some(b"!open 5000")).await;
        assert!(answer.text().starts_with("!opened "), "{content_type}");
    }
}

/// However often a client asks, one answer waits for it.
#[tokio::test]
async fn a_thousand_pings_have_one_pong() {
    let (_endpoint, address) = echo::serve(TransportOptions::default()).await;
    for transport in [Transport::Sse, Transport::Longpoll] {
        let mut session = Session::open(address, "/echo", transport).await;
        session.post_lines(&"!ping\n".repeat(1_000)).await;
        session.send(text("behind")).await;
        let mut pongs = 0;
        loop {
            match session.next().await {
                Line::Control(line) if line.starts_with("!pong ") => pongs += 1,
                Line::Control(line) if line.starts_with("!ack ") => {}
                line => break assert_eq!(line, text("behind"), "{transport:?}"),
            }
        }
        assert!((1..=2).contains(&pongs), "{transport:?}: {pongs}");
    }
}
