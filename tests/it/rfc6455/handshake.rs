//! The opening handshake, beyond what the recordings show.

use super::ECHO;
use crate::support::{
    http::{self, Response},
    testbed::Testbed,
    websocket::{Event, Frame, RawSocket, SAMPLE_ACCEPT, SAMPLE_KEY},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// A handshake from a template: `KEY` stands for the key.
fn request(template: &str) -> Vec<u8> {
    format!("{}\r\n\r\n", template.replace("KEY", SAMPLE_KEY).replace('\n', "\r\n")).into_bytes()
}

const ORDINARY: &str = "GET /echo/websocket HTTP/1.1\nHost: h\nUpgrade: websocket\nConnection: Upgrade\n\
                        Sec-WebSocket-Version: 13\nSec-WebSocket-Key: KEY";

async fn refusal(template: &str) -> Response {
    let testbed = Testbed::shared();
    let response = http::exchange(testbed.address(), &request(template), false).await.expect("an answer");
    assert_ne!(response.status, 101, "this must not open: {template}");
    response
}

#[tokio::test]
async fn every_legal_spelling_of_the_handshake_opens() {
    let testbed = Testbed::shared();
    let spellings = [
        ORDINARY.to_owned(),
        ORDINARY.replace("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
        ORDINARY.replace("Connection: Upgrade", "connection:upgrade"),
        ORDINARY.replace("Connection: Upgrade", "Connection: keep-alive\nConnection: Upgrade"),
        ORDINARY.replace("Upgrade: websocket", "UPGRADE: WebSocket"),
        ORDINARY.replace("Upgrade: websocket", "Upgrade: h2c, websocket"),
        ORDINARY.replace("Host: h", "Host: h\nOrigin: https://elsewhere.example\nCookie: a=b"),
    ];
    for template in spellings {
        let stream = TcpStream::connect(testbed.address()).await.unwrap();
        let opened = RawSocket::from_stream(stream, &request(&template)).await;
        let mut socket = opened.unwrap_or_else(|refusal| panic!("{}: {template}", refusal.text()));
        assert_eq!(socket.response.header("sec-websocket-accept"), Some(SAMPLE_ACCEPT), "{template}");
        socket.send(Frame::text("?")).await;
        assert_eq!(socket.next().await, Event::Text("?".to_owned()), "{template}");
    }
}

#[tokio::test]
async fn a_handshake_that_is_none_gets_an_http_error() {
    let refused = [
        ORDINARY.replace("GET", "POST"),
        ORDINARY.replace("GET", "PUT"),
        ORDINARY.replace("Connection: Upgrade", "Connection: close"),
        ORDINARY.replace("Upgrade: websocket", "Upgrade: h2c"),
        ORDINARY.replace("Upgrade: websocket\n", ""),
        ORDINARY.replace("Version: 13", "Version: 12"),
        ORDINARY.replace("Version: 13", "Version: 14"),
        ORDINARY.replace("Sec-WebSocket-Version: 13\n", ""),
        ORDINARY.replace("\nSec-WebSocket-Key: KEY", ""),
        ORDINARY.replace("HTTP/1.1", "HTTP/1.0"),
    ];
    for template in refused {
        let response = refusal(&template).await;
        assert!((400..500).contains(&response.status), "{}: {template}", response.status);
    }
}

#[tokio::test]
async fn an_offered_extension_is_declined() {
    let testbed = Testbed::shared();
    let offer = [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits, x-other")];
    for path in [ECHO, "/socket/websocket?vsn=2.0.0", "/socket_default/websocket?vsn=2.0.0"] {
        let socket = RawSocket::handshake(testbed.address(), path, &offer).await.expect(path);
        assert_eq!(socket.response.header("sec-websocket-extensions"), None, "{path}");
    }
}

#[tokio::test]
async fn frames_in_the_same_packet_as_the_handshake_are_not_lost() {
    let testbed = Testbed::shared();
    let mut bytes = request(ORDINARY);
    bytes.extend(Frame::text("eager").encode());
    let half = Frame::text("cut in two").encode();
    bytes.extend(&half[..5]);
    let stream = TcpStream::connect(testbed.address()).await.unwrap();
    let mut socket = RawSocket::from_stream(stream, &bytes).await.expect("it opens");
    assert_eq!(socket.next().await, Event::Text("eager".to_owned()));
    socket.send_bytes(&half[5..]).await.unwrap();
    assert_eq!(socket.next().await, Event::Text("cut in two".to_owned()));
}

#[tokio::test]
async fn a_handshake_that_arrives_octet_by_octet_opens() {
    let testbed = Testbed::shared();
    let bytes = request(ORDINARY);
    let (last, first) = bytes.split_last().unwrap();
    let mut stream = TcpStream::connect(testbed.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in first {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(RawSocket::from_stream(stream, &[*last]).await.is_ok());
}
