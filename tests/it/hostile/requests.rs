//! Over HTTP: absurd, endless and deep requests.

use std::{
    io,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{MIB, STALLED_MAX};
use crate::support::{
    bystander::Bystander,
    channels::ok,
    http::{self, Response, ResponseReader},
    longpoll::{JSON, LongPoll, NDJSON, status},
    testbed::Testbed,
};

/// A request that is too large is refused with one of these, or cut off.
const REFUSALS: &[u16] = &[400, 414, 431];

fn assert_refused(what: &str, outcome: &io::Result<Response>) {
    if let Ok(response) = outcome {
        assert!(REFUSALS.contains(&response.status), "{what}: {} {}", response.status, response.text());
    }
}

#[tokio::test]
async fn absurd_headers_and_queries_are_refused() {
    let testbed = Testbed::start();
    let bystander = Bystander::start(&testbed).await;
    let before = testbed.rss();
    let get = |path: &str, headers: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
    let long = "x".repeat(MIB);
    let requests = [
        ("a header of 1 MiB", get("/socket/longpoll?vsn=2.0.0", &format!("x-long: {long}\r\n"))),
        ("a query of 1 MiB", get(&format!("/socket/longpoll?vsn=2.0.0&a={long}"), "")),
        ("a path of 1 MiB", get(&format!("/{long}"), "")),
        ("a method of 1 MiB", format!("{long} / HTTP/1.1\r\nHost: h\r\n\r\n")),
        ("10,000 headers", get("/socket/longpoll?vsn=2.0.0", &"x-many: 1\r\n".repeat(10_000))),
        ("a token of 1 MiB", get("/socket/longpoll", &format!("x-phoenix-longpoll-token: {long}\r\n"))),
    ];
    for (what, request) in requests {
        let outcome = http::exchange(testbed.address(), request.as_bytes(), false).await;
        assert_refused(what, &outcome);
    }
    let grown = testbed.rss().saturating_sub(before);
    assert!(grown < 16 * MIB as u64, "the server grew by {grown} bytes");
    bystander.finish().await;
}

/// What fits the limits of an HTTP server must not upset the query parser.
#[tokio::test]
async fn strange_queries_get_an_answer() {
    let testbed = Testbed::shared();
    let nested = format!("a{}=1", "[b]".repeat(1000));
    let many = "&a=1".repeat(3_000);
    for query in
        [nested.as_str(), many.as_str(), "%", "%zz=%", "%ff%fe=1", "a[=1&a]=2&[]=3&[[=4", "&&&&&", "a=1=2"]
    {
        let path = format!("/socket/longpoll?{query}&vsn=2.0.0");
        let response = http::get(testbed.address(), &path).await;
        let clear =
            response.status == 400 || (response.status == 200 && [403, 410].contains(&status(&response)));
        assert!(clear, "{query:.40}: {} {}", response.status, response.text());
    }
    let bystander = Bystander::start(&testbed).await;
    bystander.finish().await;
}

#[tokio::test]
async fn nonsense_in_place_of_http_is_refused() {
    let testbed = Testbed::shared();
    for nonsense in [
        &b"\r\n\r\n\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        &[0xff; 512],
    ] {
        let outcome = timeout(STALLED_MAX, http::exchange(testbed.address(), nonsense, false)).await;
        assert_refused("nonsense", &outcome.expect("the server says something or hangs up"));
    }
    let bystander = Bystander::start(&testbed).await;
    bystander.finish().await;
}

/// Writes these bytes one by one, slowly, for ever, until the server answers or hangs up.
async fn drip(testbed: &Testbed, head: &str, drop: &[u8]) -> io::Result<Response> {
    let (mut reader, mut writer) = TcpStream::connect(testbed.address()).await?.into_split();
    writer.write_all(head.as_bytes()).await?;
    let dripping = async {
        loop {
            sleep(Duration::from_millis(200)).await;
            writer.write_all(drop).await?;
        }
    };
    let mut answer = ResponseReader::default();
    let outcome = tokio::select! {
        answer = answer.read(&mut reader, false) => answer,
        broken = dripping => broken,
    };
    outcome
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_cut_off() {
    let testbed = Testbed::start();
    let bystander = Bystander::start(&testbed).await;
    let head = "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: h\r\nx-slow: ";
    let silent = drip(&testbed, "GET /soc", b"");
    let dripping = drip(&testbed, head, b"x");
    let (silent, dripping) = timeout(STALLED_MAX, async { tokio::join!(silent, dripping) })
        .await
        .expect("the server does not wait for ever for the end of a head");
    for response in [silent, dripping].into_iter().flatten() {
        assert!([400, 408].contains(&response.status), "{}", response.status);
    }
    bystander.finish().await;
}

#[tokio::test]
async fn a_post_whose_body_never_ends_is_cut_off() {
    let testbed = Testbed::start();
    let bystander = Bystander::start(&testbed).await;
    let session = LongPoll::open(testbed.address(), "/socket").await;
    let head = format!(
        "POST /socket/longpoll?vsn=2.0.0 HTTP/1.1\r\nHost: h\r\nx-phoenix-longpoll-token: {}\r\n\
         Content-Type: {JSON}\r\nContent-Length: 1000000\r\n\r\n[",
        session.token
    );
    let outcomes =
        timeout(STALLED_MAX, async { tokio::join!(drip(&testbed, &head, b""), drip(&testbed, &head, b" ")) });
    let (silent, dripping) = outcomes.await.expect("the server does not wait for ever for the end of a body");
    for response in [silent, dripping] {
        let response = response.expect("an answer, whoever is still sending");
        let status = if response.status == 200 { status(&response) } else { u64::from(response.status) };
        assert!([400, 408, 410].contains(&status), "{} {}", response.status, response.text());
    }
    bystander.finish().await;
}

/// Chunks without end: refused when the body limit (8 MB) is reached, not read for ever.
#[tokio::test]
async fn a_post_that_floods_is_refused_at_the_body_limit() {
    const FLOOD_MAX: usize = 64 * MIB;
    let testbed = Testbed::start();
    let bystander = Bystander::start(&testbed).await;
    let session = LongPoll::open(testbed.address(), "/socket").await;
    let before = testbed.rss();
    let head = format!(
        "POST /socket/longpoll?vsn=2.0.0 HTTP/1.1\r\nHost: h\r\nx-phoenix-longpoll-token: {}\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
        session.token
    );
    let (mut reader, mut writer) = TcpStream::connect(testbed.address()).await.unwrap().into_split();
    writer.write_all(head.as_bytes()).await.unwrap();
    let chunk = [format!("{MIB:x}\r\n").as_bytes(), &vec![b' '; MIB], b"\r\n"].concat();
    let flood = async {
        for _ in 0..FLOOD_MAX / MIB {
            if writer.write_all(&chunk).await.is_err() {
                break;
            }
        }
    };
    let mut answer = ResponseReader::default();
    let read = async { answer.read(&mut reader, false).await };
    let (outcome, ()) = timeout(STALLED_MAX, async { tokio::join!(read, flood) }).await.expect("an end");
    let response = outcome.expect("an answer, whoever is still sending");
    assert!([400, 413].contains(&response.status), "{} {}", response.status, response.text());
    let grown = testbed.rss().saturating_sub(before);
    assert!(grown < 32 * MIB as u64, "the server grew by {grown} bytes");
    bystander.finish().await;
}

#[tokio::test]
async fn a_million_empty_lines_get_an_answer() {
    let testbed = Testbed::start();
    let bystander = Bystander::start(&testbed).await;
    for newline in ["\n", "\r\n"] {
        let session = LongPoll::open(testbed.address(), "/socket").await;
        let asked = Instant::now();
        let posted = session.post(NDJSON, newline.repeat(1_000_000).as_bytes()).await;
        assert!([200, 400, 413].contains(&posted), "{posted}");
        // To look at all that came for each line again would take many minutes.
        assert!(asked.elapsed() < STALLED_MAX, "it took {:?}", asked.elapsed());
    }
    bystander.finish().await;
}

/// Payloads pass through: their depth is nobody's business until somebody reads them.
#[tokio::test]
async fn json_nested_100_000_deep_gets_an_answer() {
    const DEPTH: usize = 100_000;
    let testbed = Testbed::start();
    let bystander = Bystander::start(&testbed).await;
    let mut session = LongPoll::open(testbed.address(), "/socket").await;
    session.send(json!(["1", "1", "room:deep", "phx_join", {}])).await;
    assert_eq!(session.poll().await.messages, [ok("1", "1", "room:deep", json!({}))]);
    let deep = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    let body = format!(r#"["1","2","room:deep","ping",{deep}]"#);
    let posted = session.post(JSON, body.as_bytes()).await;
    assert!([200, 400].contains(&posted), "{posted}");
    // In every position, and unclosed.
    for body in [deep.clone(), "[".repeat(DEPTH), format!("[{deep},1,2,3,4]"), "{\"a\":".repeat(DEPTH)] {
        let session = LongPoll::open(testbed.address(), "/socket").await;
        let posted = session.post(JSON, body.as_bytes()).await;
        assert!([200, 400].contains(&posted), "{posted} for {body:.20}");
    }
    bystander.finish().await;
}
