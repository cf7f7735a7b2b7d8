//! Faults of responses.

use std::{num::NonZeroU32, time::Instant};

use lapwing_faults::{BUFFER_BYTES_MAX, Fault, Of, Options, Proxy};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::sleep,
};

use crate::support::{Client, Testbed, eventually, ms};

#[tokio::test]
async fn a_muted_event_stream_opens_and_says_nothing() {
    let testbed = Testbed::start([Fault::MuteEventStreams]).await;
    let mut stream = testbed.client().await;
    stream.get("/events").await;
    let head = stream.head().await;
    assert!(head.contains("text/event-stream"), "{head}");
    stream.assert_silent(ms(150)).await;
    testbed.proxy.lift();
    stream.assert_silent(ms(100)).await;
    drop(stream);
    eventually("the server has let go of it", || testbed.server.open() == 0).await;
}

#[tokio::test]
async fn a_muted_event_stream_has_no_end_and_other_streams_are_not_muted() {
    let testbed = Testbed::start([Fault::MuteEventStreams]).await;
    let mut stream = testbed.client().await;
    stream.get("/four-events").await;
    stream.head().await;
    let mut other = testbed.client().await;
    other.get("/pieces").await;
    other.until("0\r\n\r\n").await;
    stream.assert_silent(ms(150)).await;
}

#[tokio::test]
async fn every_nth_post_is_done_and_not_answered() {
    let nth = NonZeroU32::new(2).unwrap();
    let testbed = Testbed::start([Fault::DropEvery { nth, of: Of::Posts }]).await;
    let mut client = testbed.client().await;
    for round in 1..=2 {
        client.get("/plain").await;
        client.response().await;
        client.post("answered").await;
        assert_eq!(client.response().await.1, "answered");
        client.post("dropped").await;
        client.assert_closed().await;
        assert_eq!(testbed.server.seen().len(), 3 * round, "the server has answered all");
        client = testbed.client().await;
    }
}

#[tokio::test]
async fn a_response_is_dropped_at_its_end_and_an_event_stream_never() {
    let testbed = Testbed::start([Fault::DropEvery { nth: NonZeroU32::MIN, of: Of::All }]).await;
    let mut client = testbed.client().await;
    let began = Instant::now();
    client.get("/pieces").await;
    client.assert_closed().await;
    assert!(began.elapsed() >= ms(85), "{:?}", began.elapsed());
    let mut stream = testbed.client().await;
    stream.get("/events").await;
    stream.until("data: 2\n\n").await;
    testbed.websocket().await.until("hello\n").await;
}

#[tokio::test]
async fn the_same_seed_drops_the_same_responses() {
    let faults = || [Fault::DropRandom { chance: 0.5, of: Of::All }];
    let testbed = Testbed::start_with(Options::new().seed(11), faults()).await;
    let other = Testbed::start_with(Options::new().seed(12), faults()).await;
    let first = dropped(&testbed).await;
    testbed.proxy.set(faults());
    assert_eq!(dropped(&testbed).await, first);
    assert_ne!(dropped(&other).await, first);
    assert!(first.contains(&true) && first.contains(&false));
}

/// Which of some responses are dropped.
async fn dropped(testbed: &Testbed) -> Vec<bool> {
    let mut dropped = Vec::new();
    for _ in 0..24 {
        let mut client = testbed.client().await;
        client.send("GET /plain HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await;
        dropped.push(client.rest().await.0.is_empty());
    }
    dropped
}

#[tokio::test]
async fn a_buffered_response_comes_whole_or_not_at_all() {
    let testbed = Testbed::start([Fault::BufferResponses]).await;
    let mut endless = testbed.client().await;
    endless.get("/events").await;
    let mut client = testbed.client().await;
    let began = Instant::now();
    client.get("/four-events").await;
    client.head().await;
    assert!(began.elapsed() >= ms(85), "its head came before its end: {:?}", began.elapsed());
    client.until("data: 4\n\n").await;
    client.until("0\r\n\r\n").await;
    client.get("/plain").await;
    assert_eq!(client.response().await.1, "plain");

    testbed.proxy.lift();
    endless.assert_silent(ms(200)).await;
}

#[tokio::test]
async fn a_response_that_is_too_large_to_buffer_passes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
    proxy.set([Fault::BufferResponses]);
    let mut client = Client::connect(proxy.addr()).await;
    client.get("/").await;
    let (mut server, _) = listener.accept().await.unwrap();
    server.read_u8().await.unwrap();
    server.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let body = vec![b'x'; usize::try_from(BUFFER_BYTES_MAX).unwrap()];
    server.write_all(&body[1..]).await.unwrap();
    client.assert_silent(ms(100)).await;
    server.write_all(b"x").await.unwrap();
    client.head().await;
    server.write_all(b"!").await.unwrap();
    client.until("x!").await;
}

#[tokio::test]
async fn the_first_bytes_are_held_until_there_are_enough() {
    // A chunk of "data: 1\n\n" has 14 bytes: the fifth fills it.
    let testbed = Testbed::start([Fault::BufferFirst(60)]).await;
    let mut client = testbed.client().await;
    let began = Instant::now();
    client.get("/events").await;
    client.head().await;
    assert!(began.elapsed() >= ms(115), "its head came before enough of it: {:?}", began.elapsed());
    client.until("data: 5\n\n").await;
    let began = Instant::now();
    client.until("data: 7\n\n").await;
    assert!(began.elapsed() >= ms(40), "from there on it flows: {:?}", began.elapsed());
    let mut short = testbed.client().await;
    short.get("/plain").await;
    assert_eq!(short.response().await.1, "plain");
}

#[tokio::test]
async fn a_response_that_takes_too_long_is_a_504() {
    let testbed = Testbed::start([Fault::CapResponse(ms(150))]).await;
    let mut client = testbed.client().await;
    let began = Instant::now();
    client.get("/slow").await;
    let (head, _) = client.response().await;
    assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
    assert!(began.elapsed() >= ms(145), "{:?}", began.elapsed());
    client.assert_closed().await;
    testbed.assert_serves().await;
}

#[tokio::test]
async fn a_stream_is_cut_off_at_the_cap_and_a_websocket_is_not() {
    let testbed = Testbed::start([Fault::CapResponse(ms(1_500))]).await;
    let mut websocket = testbed.websocket().await;
    let began = Instant::now();
    let mut stream = testbed.client().await;
    stream.get("/events").await;
    let (body, _) = stream.rest().await;
    assert!(body.contains("data: 3\n\n") && !body.contains("504") && !body.ends_with("0\r\n\r\n"), "{body}");
    assert!(began.elapsed() >= ms(1_495), "{:?}", began.elapsed());
    sleep(ms(50)).await;
    websocket.until("hello\n").await;
    websocket.send("x").await;
    websocket.until("x").await;
}

#[tokio::test]
async fn a_buffered_response_that_takes_too_long_is_a_504_as_well() {
    let testbed = Testbed::start([Fault::CapResponse(ms(100)), Fault::BufferResponses]).await;
    let mut client = testbed.client().await;
    client.get("/events").await;
    assert!(client.response().await.0.starts_with("HTTP/1.1 504 "));
}
