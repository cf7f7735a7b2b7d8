//! Faults of requests.

use hyper::{Method, Version};
use lapwing_faults::{Fault, Proxy};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::support::{Client, Testbed, eventually, ms};

#[tokio::test]
async fn http10_has_no_chunks_and_no_second_request() {
    let testbed = Testbed::start([Fault::Http10]).await;
    let mut client = testbed.client().await;
    client.send("GET /pieces HTTP/1.1\r\nHost: test\r\nConnection: keep-alive\r\n\r\n").await;
    let head = client.head().await.to_lowercase();
    assert!(head.starts_with("http/1.0 200 ") && head.contains("connection: close"), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    let (body, _) = client.rest().await;
    assert_eq!(body, "data: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n");
    let seen = &testbed.server.seen()[0];
    assert_eq!(seen.version, Version::HTTP_10);
    assert!(!seen.headers.contains_key("connection"));
}

#[tokio::test]
async fn http10_closes_after_a_response_with_a_length() {
    let testbed = Testbed::start([Fault::Http10]).await;
    let mut client = testbed.client().await;
    client.post("a body").await;
    assert_eq!(client.response().await.1, "a body");
    client.assert_closed().await;
}

#[tokio::test]
async fn http10_lets_streams_flow_and_opens_no_websocket() {
    let testbed = Testbed::start([Fault::Http10]).await;
    let mut stream = testbed.client().await;
    stream.get("/events").await;
    stream.head().await;
    assert_eq!(stream.until("data: 2\n\n").await, "data: 1\n\ndata: 2\n\n");
    let mut websocket = testbed.client().await;
    websocket.upgrade().await;
    assert_eq!(websocket.response().await.1, "no upgrade was asked for");
}

#[tokio::test]
async fn http10_takes_the_chunks_from_a_server_that_sends_them_anyway() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
    proxy.set([Fault::Http10]);
    let mut client = Client::connect(proxy.addr()).await;
    client.get("/").await;
    let (mut server, _) = listener.accept().await.unwrap();
    server.read_u8().await.unwrap();
    let response = "HTTP/1.1 103 Hints\r\n\r\n\
                    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    server.write_all(response.as_bytes()).await.unwrap();
    assert_eq!(client.rest().await.0, "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nabc");
}

#[tokio::test]
async fn http10_wants_the_length_of_a_body() {
    let testbed = Testbed::start([Fault::Http10]).await;
    let mut client = testbed.client().await;
    client.send("POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n").await;
    assert!(client.response().await.0.starts_with("HTTP/1.1 411 "));
    client.assert_closed().await;
    assert_eq!(testbed.server.seen().len(), 0);
}

#[tokio::test]
async fn one_request_makes_the_others_wait() {
    let testbed = Testbed::start([Fault::OneRequest]).await;
    let mut stream = testbed.client().await;
    stream.get("/events").await;
    stream.until("data: 1\n\n").await;
    let mut second = testbed.client().await;
    second.post("second").await;
    second.assert_silent(ms(100)).await;
    assert_eq!(testbed.server.seen().len(), 1);
    stream.until("data: 5\n\n").await;
    drop(stream);
    assert_eq!(second.response().await.1, "second");
    // The connection is still open, but its request is answered.
    testbed.assert_serves().await;
}

#[tokio::test]
async fn one_request_has_no_end_of_websockets_to_wait_for() {
    let testbed = Testbed::start([Fault::OneRequest]).await;
    let mut websocket = testbed.websocket().await;
    testbed.assert_serves().await;
    websocket.until("hello\n").await;
}

#[tokio::test]
async fn swallowed_posts_go_nowhere() {
    let testbed = Testbed::start([Fault::SwallowPosts]).await;
    let mut client = testbed.client().await;
    client.post(&"a body ".repeat(1000)).await;
    client.assert_silent(ms(100)).await;
    testbed.assert_serves().await;
    testbed.proxy.lift();
    client.assert_silent(ms(100)).await;
    assert!(testbed.server.seen().iter().all(|seen| seen.method == Method::GET));
    assert_eq!(testbed.proxy.counters().requests["POST"], 1);

    let mut client = testbed.client().await;
    client.post("again").await;
    assert_eq!(client.response().await.1, "again");
}

#[tokio::test]
async fn swallowed_replies_have_happened() {
    let testbed = Testbed::start([Fault::SwallowPostReplies]).await;
    let mut client = testbed.client().await;
    client.post("once").await;
    eventually("it reaches the server", || testbed.server.seen().len() == 1).await;
    assert_eq!(testbed.server.seen()[0].body, "once");
    client.assert_silent(ms(100)).await;
    testbed.proxy.lift();
    client.assert_silent(ms(50)).await;
    drop(client);
    eventually("its connections are closed", || testbed.proxy.counters().open == 0).await;
    testbed.assert_serves().await;
}
