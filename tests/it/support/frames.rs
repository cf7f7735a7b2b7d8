//! HTTP/2 frame by frame: a client that can say what no library would.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{
    PATIENCE,
    websocket::{Frame, TEXT},
};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// A setting.
pub(crate) const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// What the server sent: kind, flags, stream, payload.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) struct Raw {
    stream: TcpStream,
}

impl Raw {
    /// Says hello. The server's settings are not waited for.
    pub(crate) async fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).await.expect("the server accepts connections");
        stream.set_nodelay(true).expect("TCP_NODELAY can be set");
        let mut raw = Raw { stream };
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        hello.extend_from_slice(&encode(SETTINGS, 0, 0, &[]));
        assert!(raw.send(&hello).await);
        raw
    }

    /// Whether the bytes could be written.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// The next frame; `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<Received> {
        timeout(PATIENCE, self.read()).await.expect("the server says something in time")
    }

    /// Passes over frames until one of this kind comes.
    pub(crate) async fn expect_kind(&mut self, kind: u8) -> Received {
        loop {
            let frame = self.next().await.unwrap_or_else(|| panic!("the end, before {kind}"));
            assert!(frame.kind != GOAWAY || kind == GOAWAY, "GOAWAY with {:?}", frame.reason());
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Passes over frames until one for this stream of this kind comes.
    pub(crate) async fn expect(&mut self, kind: u8, stream: u32) -> Received {
        loop {
            let frame = self.expect_kind(kind).await;
            if frame.stream == stream {
                return frame;
            }
        }
    }

    /// The reason of the GOAWAY with which the server ends the connection.
    pub(crate) async fn expect_end(&mut self) -> u32 {
        let reason = self.expect(GOAWAY, 0).await.reason();
        while self.next().await.is_some() {}
        reason
    }

    /// Opens a WebSocket on a stream.
    pub(crate) async fn websocket(&mut self, stream: u32, path: &str) {
        assert!(self.send(&encode(HEADERS, END_HEADERS, stream, &connect_fields(path))).await);
        let answer = self.expect(HEADERS, stream).await;
        assert_eq!(answer.payload[0], STATUS_200, "the WebSocket opens");
    }

    /// The WebSocket of a stream echoes what it is told.
    pub(crate) async fn assert_echoes(&mut self, stream: u32) {
        let frame = Frame::new(TEXT, "still there").encode();
        assert!(self.send(&encode(DATA, 0, stream, &frame)).await, "the connection is open");
        assert_eq!(&self.expect(DATA, stream).await.payload[2..], b"still there");
    }

    async fn read(&mut self) -> Option<Received> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some(Received { kind: head[3], flags: head[4], stream, payload })
    }
}

impl Received {
    /// The error code of a RST_STREAM or a GOAWAY.
    pub(crate) fn reason(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }
}

/// `:status 200` as it begins a block of fields.
const STATUS_200: u8 = 0x88;

pub(crate) fn encode(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A field as a literal, neither indexed nor compressed.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        let length = text.len();
        match length {
            0..127 => bytes.push(u8::try_from(length).expect("a short text")),
            _ => {
                // An integer with a prefix of seven bits, in RFC 7541's way.
                bytes.push(127);
                let mut rest = length - 127;
                while rest >= 128 {
                    bytes.push(u8::try_from(rest % 128).expect("seven bits") | 128);
                    rest /= 128;
                }
                bytes.push(u8::try_from(rest).expect("seven bits"));
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// The fields of a GET.
pub(crate) fn get_fields(path: &str) -> Vec<u8> {
    [field(":method", "GET"), field(":scheme", "http"), field(":path", path), field(":authority", "test")]
        .concat()
}

/// The fields of a CONNECT for a WebSocket.
pub(crate) fn connect_fields(path: &str) -> Vec<u8> {
    [
        field(":method", "CONNECT"),
        field(":protocol", "websocket"),
        field(":scheme", "http"),
        field(":path", path),
        field(":authority", "test"),
        field("sec-websocket-version", "13"),
    ]
    .concat()
}
