//! What passes without faults, and what is counted meanwhile.

use hyper::Version;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{Client, Testbed, eventually, ms};
use lapwing_faults::Proxy;

#[tokio::test]
async fn without_faults_everything_passes() {
    let testbed = Testbed::start([]).await;
    let mut client = testbed.client().await;
    client.get("/plain").await;
    assert_eq!(client.response().await.1, "plain");
    client.post("a body").await;
    assert_eq!(client.response().await.1, "a body");
    client
        .send("POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        .await;
    assert_eq!(client.response().await.1, "abc");
    client.get("/pieces").await;
    assert!(client.head().await.to_lowercase().contains("transfer-encoding: chunked"));
    assert!(client.until("0\r\n\r\n").await.contains("data: 4"));
    client.get("/events").await;
    client.head().await;
    client.until("data: 3\n\n").await;

    let mut websocket = testbed.websocket().await;
    websocket.until("hello\n").await;
    websocket.send("a message").await;
    websocket.until("a message").await;

    let seen = testbed.server.seen();
    assert!(seen.iter().all(|seen| seen.version == Version::HTTP_11));
    assert_eq!(seen[2].body, "abc");
}

#[tokio::test]
async fn everything_is_counted() {
    let testbed = Testbed::start([]).await;
    let mut client = testbed.client().await;
    let request = "GET /plain HTTP/1.1\r\nHost: test\r\n\r\n";
    client.send(request).await;
    let (head, body) = client.response().await;
    let counters = testbed.proxy.counters();
    assert_eq!(counters.bytes_to_server, request.len() as u64);
    assert_eq!(counters.bytes_to_clients, (head.len() + body.len()) as u64);

    client.post("x").await;
    client.response().await;
    client.post("x").await;
    client.response().await;
    let _websocket = testbed.websocket().await;
    let counters = testbed.proxy.counters();
    assert_eq!((counters.connections, counters.open, counters.websockets, counters.resets), (2, 2, 1, 0));
    assert_eq!((counters.requests["GET"], counters.requests["POST"]), (2, 2));

    drop(client);
    eventually("a closed connection is not counted as open", || testbed.proxy.counters().open == 1).await;
    testbed.proxy.cut();
    eventually("the other is reset", || testbed.proxy.counters().resets == 1).await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let testbed = Testbed::start([]).await;
    let mut client = testbed.client().await;
    client.send(&"GET /pieces HTTP/1.1\r\nHost: test\r\n\r\n".repeat(2)).await;
    client.get("/plain").await;
    assert_eq!(client.until("0\r\n\r\n").await.matches("data: ").count(), 4);
    client.until("0\r\n\r\n").await;
    assert_eq!(client.response().await.1, "plain");
    assert_eq!(testbed.proxy.counters().requests["GET"], 3);
}

#[tokio::test]
async fn the_end_of_a_client_reaches_the_server() {
    let testbed = Testbed::start([]).await;
    let mut client = testbed.client().await;
    client.get("/events").await;
    client.until("data: 1\n\n").await;
    assert_eq!(testbed.server.open(), 1);
    drop(client);
    eventually("the server has let go of the stream", || testbed.server.open() == 0).await;
    let websocket = testbed.websocket().await;
    drop(websocket);
    eventually("the server has let go of the WebSocket", || testbed.server.open() == 0).await;
}

#[tokio::test]
async fn what_is_no_http_passes_as_it_is_with_its_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
    let mut client = Client::connect(proxy.addr()).await;
    let (mut server, _) = listener.accept().await.unwrap();
    client.send("\u{16}\u{3}\u{1} no HTTP").await;
    let mut bytes = [0; 100];
    assert_eq!(server.read(&mut bytes).await.unwrap(), 11);
    server.write_all(b"nor this").await.unwrap();
    client.until("nor this").await;
    client.finish().await;
    assert_eq!(server.read(&mut bytes).await.unwrap(), 0, "the client's end");
    server.write_all(b"still open").await.unwrap();
    drop(server);
    assert_eq!(client.rest().await.0, "still open");
}

#[tokio::test]
async fn a_reset_by_the_server_is_a_reset_for_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
    let mut client = Client::connect(proxy.addr()).await;
    let (server, _) = listener.accept().await.unwrap();
    server.set_zero_linger().unwrap();
    drop(server);
    client.assert_reset().await;
    assert_eq!(proxy.counters().resets, 0, "not the proxy's doing");

    drop(listener);
    Client::connect(proxy.addr()).await.assert_reset().await;
}

#[tokio::test]
async fn a_server_that_answers_before_it_has_heard_all_is_heard() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
    let mut client = Client::connect(proxy.addr()).await;
    let (mut server, _) = listener.accept().await.unwrap();
    client.send("POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\nthe beginning").await;
    server.read_u8().await.unwrap();
    server
        .write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    assert!(client.head().await.starts_with("HTTP/1.1 100 "));
    assert!(client.head().await.starts_with("HTTP/1.1 413 "));
    client.assert_closed().await;
}

#[tokio::test]
async fn a_stopped_proxy_has_closed_everything() {
    let testbed = Testbed::start([]).await;
    let mut websocket = testbed.websocket().await;
    websocket.until("hello\n").await;
    let addr = testbed.proxy.addr();
    testbed.proxy.stop().await;
    websocket.rest().await;
    assert!(TcpStream::connect(addr).await.is_err());
    let server = &testbed.server;
    eventually("the server knows", || server.open() == 0).await;

    let dropped = Testbed::start([]).await;
    let mut websocket = dropped.websocket().await;
    websocket.until("hello\n").await;
    websocket.assert_silent(ms(20)).await;
    drop(dropped);
    websocket.rest().await;
}
