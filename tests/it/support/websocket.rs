//! A raw RFC 6455 client over TCP with full control over its bytes: it can be wrong, slow or partial on purpose.

use std::{io, net::SocketAddr, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    PATIENCE,
    http::{Response, ResponseReader},
};

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// RFC 6455's sample key and the answer it must get.
pub(crate) const SAMPLE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const SAMPLE_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const MASK: [u8; 4] = [0x1b, 0xad, 0xca, 0xfe];

/// What a client sees, fragments put together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// A close frame; 1005 stands for one without a code.
    Close(u16, String),
    /// The stream ended, cleanly or not.
    End,
}

/// One frame as it will be on the wire; masked, as a client's must be, unless told otherwise.
#[derive(Clone)]
pub(crate) struct Frame {
    fin: bool,
    rsv: u8,
    opcode: u8,
    masked: bool,
    /// The length that the header announces, if not the payload's own.
    announced: Option<u64>,
    payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Frame {
        let payload = payload.as_ref().to_vec();
        Frame { fin: true, rsv: 0, opcode, masked: true, announced: None, payload }
    }

    pub(crate) fn text(payload: impl AsRef<[u8]>) -> Frame {
        Frame::new(TEXT, payload)
    }

    pub(crate) fn close(code: u16, reason: impl AsRef<[u8]>) -> Frame {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(reason.as_ref());
        Frame::new(CLOSE, payload)
    }

    /// Not the last fragment.
    pub(crate) fn more(self) -> Frame {
        Frame { fin: false, ..self }
    }

    /// The three reserved bits as a number.
    pub(crate) fn rsv(self, rsv: u8) -> Frame {
        Frame { rsv, ..self }
    }

    /// A message of which this payload is compressed, and said to be.
    pub(crate) fn deflated(self) -> Frame {
        let mut compressed = Vec::with_capacity(self.payload.len() + 1_000);
        let mut compressor = flate2::Compress::new(flate2::Compression::default(), false);
        compressor
            .compress_vec(&self.payload, &mut compressed, flate2::FlushCompress::Sync)
            .expect("it fits");
        assert_eq!(compressed.split_off(compressed.len() - 4), [0, 0, 0xff, 0xff]);
        Frame { payload: compressed, rsv: 4, ..self }
    }

    /// The frame in two, cut at this byte of its payload.
    pub(crate) fn cut(self, at: usize) -> [Frame; 2] {
        let rest = Frame::new(CONTINUATION, &self.payload[at..]);
        let first = Frame { payload: self.payload[..at].to_vec(), ..self };
        [first.more(), rest]
    }

    pub(crate) fn unmasked(self) -> Frame {
        Frame { masked: false, ..self }
    }

    pub(crate) fn announcing(self, length: u64) -> Frame {
        Frame { announced: Some(length), ..self }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode];
        let mask_bit = u8::from(self.masked) << 7;
        match (self.announced.is_some(), self.announced.unwrap_or(self.payload.len() as u64)) {
            (false, length @ 0..=125) => bytes.push(mask_bit | length as u8),
            (false, length @ 126..=0xffff) => {
                bytes.push(mask_bit | 126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            (_, length) => {
                bytes.push(mask_bit | 127);
                bytes.extend_from_slice(&length.to_be_bytes());
            }
        }
        if !self.masked {
            bytes.extend_from_slice(&self.payload);
            return bytes;
        }
        bytes.extend_from_slice(&MASK);
        bytes.extend(self.payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }
}

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct RawSocket {
    stream: TcpStream,
    buffer: BytesMut,
    /// Fragments of an unfinished message: its opcode and its bytes so far.
    partial: Option<(u8, Vec<u8>)>,
    pub(crate) response: Response,
    /// Bytes of the payloads of compressed messages, as they came: empty where compression was not agreed on.
    pub(crate) compressed: Vec<usize>,
}

impl RawSocket {
    pub(crate) async fn connect(address: SocketAddr, path: &str) -> RawSocket {
        RawSocket::handshake(address, path, &[]).await.unwrap_or_else(|refusal| {
            panic!("{path} refused the WebSocket: {} {}", refusal.status, refusal.text())
        })
    }

    /// A handshake with further headers: the connection, or what the server said instead.
    pub(crate) async fn handshake(
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<RawSocket, Response> {
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {SAMPLE_KEY}\r\n"
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let stream = TcpStream::connect(address).await.expect("the testbed accepts connections");
        RawSocket::from_stream(stream, request.as_bytes()).await
    }

    /// A handshake of these exact bytes on this connection.
    pub(crate) async fn from_stream(mut stream: TcpStream, request: &[u8]) -> Result<RawSocket, Response> {
        stream.set_nodelay(true).expect("TCP_NODELAY can be set");
        stream.write_all(request).await.expect("the handshake can be written");
        let mut reader = ResponseReader::default();
        let response = timeout(PATIENCE, reader.read(&mut stream, false))
            .await
            .expect("the handshake is answered in time")
            .expect("the handshake is answered");
        if response.status != 101 {
            return Err(response);
        }
        Ok(RawSocket { stream, buffer: reader.buffer, partial: None, response, compressed: Vec::new() })
    }

    pub(crate) async fn send(&mut self, frame: Frame) {
        // A server that has closed may refuse our bytes: what it said is what the test looks at.
        let _ = self.send_bytes(&frame.encode()).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next event; panics after [`PATIENCE`].
    pub(crate) async fn next(&mut self) -> Event {
        self.next_within(PATIENCE).await.expect("the server says something in time")
    }

    /// The next event, or `None` if nothing arrives in time. Dropping it loses nothing.
    pub(crate) async fn next_within(&mut self, max: Duration) -> Option<Event> {
        timeout(max, self.read_event()).await.ok()
    }

    /// The next event that is no pong.
    pub(crate) async fn next_but_pongs(&mut self) -> Event {
        loop {
            match self.next().await {
                Event::Pong(_) => {}
                event => return event,
            }
        }
    }

    /// The split halves, for tests that write and read at once: nothing may have been read ahead.
    pub(crate) fn into_stream(self) -> TcpStream {
        assert!(self.buffer.is_empty(), "bytes were read ahead");
        self.stream
    }

    /// Whether the server has agreed to permessage-deflate.
    fn may_inflate(&self) -> bool {
        let extensions = self.response.header("sec-websocket-extensions");
        extensions.is_some_and(|extensions| extensions.starts_with("permessage-deflate"))
    }

    async fn read_event(&mut self) -> Event {
        loop {
            while let Some((fin, opcode, payload)) = self.take_frame() {
                if let Some(event) = self.handle_frame(fin, opcode, payload) {
                    return event;
                }
            }
            self.buffer.reserve(64 * 1024);
            if let Ok(0) | Err(_) = self.stream.read_buf(&mut self.buffer).await {
                return Event::End;
            }
        }
    }

    fn handle_frame(&mut self, fin: bool, opcode: u8, payload: Vec<u8>) -> Option<Event> {
        match opcode {
            PING => Some(Event::Ping(payload)),
            PONG => Some(Event::Pong(payload)),
            CLOSE => Some(close_event(&payload)),
            CONTINUATION | TEXT | BINARY => {
                let (kind, bytes) = match (opcode, self.partial.take()) {
                    (CONTINUATION, Some((kind, mut bytes))) => {
                        bytes.extend_from_slice(&payload);
                        (kind, bytes)
                    }
                    (TEXT | BINARY, None) => (opcode, payload),
                    (opcode, partial) => panic!("opcode {opcode} while {partial:?} is open"),
                };
                if !fin {
                    self.partial = Some((kind, bytes));
                    return None;
                }
                Some(match kind {
                    TEXT => Event::Text(String::from_utf8(bytes).expect("the server sends UTF-8")),
                    _ => Event::Binary(bytes),
                })
            }
            opcode => panic!("the server sent opcode {opcode}"),
        }
    }

    /// One whole frame off the buffer.
    fn take_frame(&mut self) -> Option<(bool, u8, Vec<u8>)> {
        let [first, second, ..] = self.buffer[..] else { return None };
        let is_compressed = first & 0x40 != 0 && self.may_inflate();
        assert_eq!(first & if is_compressed { 0x38 } else { 0x70 }, 0, "the server set a reserved bit");
        assert_eq!(second & 0x80, 0, "the server masked a frame");
        let (header, length) = match second & 0x7f {
            126 => (4, u64::from(u16::from_be_bytes(self.buffer.get(2..4)?.try_into().ok()?))),
            127 => (10, u64::from_be_bytes(self.buffer.get(2..10)?.try_into().ok()?)),
            length => (2, u64::from(length)),
        };
        let length = usize::try_from(length).expect("a frame fits in memory");
        if self.buffer.len() < header + length {
            return None;
        }
        self.buffer.advance(header);
        let mut payload = self.buffer.split_to(length).to_vec();
        if is_compressed {
            assert_eq!(first & 0x80, 0x80, "the server fragments nothing");
            self.compressed.push(payload.len());
            payload = inflate(payload);
        }
        Some((first & 0x80 != 0, first & 0x0f, payload))
    }
}

/// A message as a client that said nothing of windows inflates it.
fn inflate(mut payload: Vec<u8>) -> Vec<u8> {
    payload.extend([0, 0, 0xff, 0xff]);
    let mut message = Vec::with_capacity(1_100 * payload.len());
    let mut inflater = flate2::Decompress::new(false);
    inflater
        .decompress_vec(&payload, &mut message, flate2::FlushDecompress::Sync)
        .expect("the server sends DEFLATE");
    assert_eq!(inflater.total_in(), payload.len() as u64, "all of it");
    message
}

fn close_event(payload: &[u8]) -> Event {
    match payload {
        [] => Event::Close(1005, String::new()),
        [high, low, reason @ ..] => {
            let reason = String::from_utf8(reason.to_vec()).expect("the server's reason is UTF-8");
            Event::Close(u16::from_be_bytes([*high, *low]), reason)
        }
        _ => panic!("the server sent a close frame of one byte"),
    }
}
