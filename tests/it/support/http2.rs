//! A client of HTTP/2 that says what the test wants: the `h2` crate, one connection, streams by hand.

use std::{net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use h2::{
    Reason, RecvStream, SendStream,
    client::{Builder, SendRequest},
    ext::Protocol,
};
use hyper::{HeaderMap, Method, Request};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};

use super::{
    PATIENCE,
    http::Response,
    websocket::{Frame, TEXT},
};

/// One connection, prior knowledge.
pub(crate) struct Connection {
    requests: SendRequest<Bytes>,
    address: SocketAddr,
    /// Ends with the connection.
    driver: JoinHandle<Result<(), h2::Error>>,
}

/// A stream that was answered, open in both directions.
pub(crate) struct Stream {
    pub(crate) up: SendStream<Bytes>,
    pub(crate) down: RecvStream,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    unread: BytesMut,
}

/// What a WebSocket's stream says next.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    Text(String),
    Close(u16),
    /// The server ended the stream.
    End,
    /// The server reset the stream, or the connection is gone.
    Reset(Option<Reason>),
}

/// A client that takes no byte of what its streams are told: one was refused its session, another has one.
pub(crate) struct Unheard {
    _connection: Connection,
    _streams: [Stream; 2],
}

impl Unheard {
    /// Over a stream that leads to the address.
    pub(crate) async fn begin(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        address: SocketAddr,
    ) -> Unheard {
        const PATH: &str = "/socket/websocket?vsn=2.0.0";
        let connection = Connection::over(stream, address, Builder::new().initial_window_size(0)).await;
        let offer = [("sec-websocket-protocol", "lapwing.1")];
        let mut refused = connection.websocket_as(PATH, &offer).await;
        refused.send("!resume nobodys 0 30000");
        let mut plain = connection.websocket(PATH).await;
        plain.send(r#"[null,"1","phoenix","heartbeat",{}]"#);
        // When this is answered, what was said before has been read.
        connection.open(Method::GET, "/nowhere", "").await;
        Unheard { _connection: connection, _streams: [refused, plain] }
    }
}

impl Connection {
    pub(crate) async fn connect(address: SocketAddr) -> Connection {
        Connection::connect_as(address, &Builder::new()).await
    }

    /// With a client's own settings.
    pub(crate) async fn connect_as(address: SocketAddr, builder: &Builder) -> Connection {
        let stream = TcpStream::connect(address).await.expect("the server accepts connections");
        stream.set_nodelay(true).expect("TCP_NODELAY can be set");
        Connection::over(stream, address, builder).await
    }

    /// Over a stream that leads to the address, such as one of TLS.
    pub(crate) async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        address: SocketAddr,
        builder: &Builder,
    ) -> Connection {
        let (requests, connection) = builder.handshake::<_, Bytes>(stream).await.expect("HTTP/2 begins");
        let driver = tokio::spawn(connection);
        let settings = async {
            while !requests.is_extended_connect_protocol_enabled() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, settings).await.expect("the server allows extended CONNECT");
        Connection { requests, address, driver }
    }

    /// Sends the head of a request. The answer is left to the caller.
    pub(crate) async fn begin(
        &self,
        mut request: Request<()>,
        is_over: bool,
    ) -> Result<(h2::client::ResponseFuture, SendStream<Bytes>), h2::Error> {
        if request.uri().authority().is_none() {
            let uri = format!("http://{}{}", self.address, request.uri());
            *request.uri_mut() = uri.parse().expect("a path");
        }
        let mut requests = self.requests.clone().ready().await?;
        requests.send_request(request, is_over)
    }

    /// Sends a request with its whole body, and waits for the head of the answer.
    pub(crate) async fn open(&self, method: Method, path: &str, body: &str) -> Stream {
        let request = Request::builder().method(method).uri(path).body(()).expect("a request");
        let (response, mut up) = self.begin(request, body.is_empty()).await.expect("a request can be sent");
        if !body.is_empty() {
            up.send_data(body.to_owned().into(), true).expect("a body can be sent");
        }
        Stream::answered(response, up).await.expect("an answer")
    }

    /// A request and its whole answer.
    pub(crate) async fn request(&self, method: Method, path: &str, body: &str) -> Response {
        self.open(method, path, body).await.into_response().await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path, "").await
    }

    /// A CONNECT for a protocol, or a plain one.
    pub(crate) async fn connect_for(
        &self,
        protocol: Option<&str>,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Stream {
        let mut request = Request::builder().method(Method::CONNECT).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).expect("a request");
        if let Some(protocol) = protocol {
            request.extensions_mut().insert(Protocol::from(protocol));
        }
        let (response, up) = self.begin(request, false).await.expect("a CONNECT can be sent");
        Stream::answered(response, up).await.expect("an answer")
    }

    pub(crate) async fn websocket(&self, path: &str) -> Stream {
        self.websocket_as(path, &[]).await
    }

    pub(crate) async fn websocket_as(&self, path: &str, headers: &[(&str, &str)]) -> Stream {
        let headers = [&[("sec-websocket-version", "13")], headers].concat();
        let stream = self.connect_for(Some("websocket"), path, &headers).await;
        assert_eq!(stream.status, 200, "{path}");
        stream
    }

    /// How the connection ended.
    pub(crate) async fn ended(self) -> Result<(), h2::Error> {
        // What is left of it must not keep it open.
        drop(self.requests);
        timeout(PATIENCE, self.driver).await.expect("the connection ends in time").expect("the driver runs")
    }

    /// Breaks the connection off, without a word.
    pub(crate) fn cut(self) {
        self.driver.abort();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.driver.is_finished()
    }
}

impl Stream {
    pub(crate) async fn answered(
        response: h2::client::ResponseFuture,
        up: SendStream<Bytes>,
    ) -> Result<Stream, h2::Error> {
        let response = timeout(PATIENCE, response).await.expect("an answer in time")?;
        let (head, down) = response.into_parts();
        let (status, headers) = (head.status.as_u16(), head.headers);
        Ok(Stream { up, down, status, headers, unread: BytesMut::new() })
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.up.send_data(Frame::new(TEXT, text).encode().into(), false).expect("a frame can be sent");
    }

    pub(crate) fn close(&mut self) {
        self.up.send_data(Frame::close(1000, "").encode().into(), false).expect("a frame can be sent");
    }

    pub(crate) fn reset(&mut self, reason: Reason) {
        self.up.send_reset(reason);
    }

    /// The next thing that a WebSocket says, none but texts and a close expected.
    pub(crate) async fn next(&mut self) -> Next {
        loop {
            if let [first, length, ..] = self.unread[..] {
                let (head, length) = match length {
                    126 => (4, usize::from(u16::from_be_bytes([self.at(2).await, self.at(3).await]))),
                    127 => panic!("a frame that no test here asks for"),
                    length => (2, usize::from(length)),
                };
                while self.unread.len() < head + length {
                    assert!(self.fill().await.is_ok_and(|more| more), "a frame ends");
                }
                let frame = self.unread.split_to(head + length).split_off(head);
                return match first {
                    0x81 => Next::Text(String::from_utf8(frame.to_vec()).expect("the server sends UTF-8")),
                    0x88 => Next::Close(u16::from_be_bytes([frame[0], frame[1]])),
                    first => panic!("a frame that begins with {first:#x}"),
                };
            }
            match self.fill().await {
                Ok(true) => {}
                Ok(false) => return Next::End,
                Err(error) => return Next::Reset(error.reason()),
            }
        }
    }

    pub(crate) async fn next_text(&mut self) -> String {
        match self.next().await {
            Next::Text(text) => text,
            other => panic!("wanted a text, got {other:?}"),
        }
    }

    /// The data of the next event of an event stream; `None` at its end.
    pub(crate) async fn next_event(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.unread.windows(2).position(|bytes| bytes == b"\n\n") {
                let event = self.unread.split_to(at + 2);
                let event = std::str::from_utf8(&event[..at]).expect("events are UTF-8");
                match event.strip_prefix("data: ") {
                    Some(line) => return Some(line.to_owned()),
                    None => assert!(event.starts_with(':'), "an event or a comment: {event}"),
                }
            } else if !self.fill().await.ok()? {
                return None;
            }
        }
    }

    /// The answer with the rest of its body.
    pub(crate) async fn into_response(mut self) -> Response {
        while self.fill().await.expect("the body ends well") {}
        let text = |value: &hyper::header::HeaderValue| value.to_str().expect("ASCII").to_owned();
        let headers = self.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Response { status: self.status, headers, body: self.unread.to_vec() }
    }

    async fn at(&mut self, index: usize) -> u8 {
        while self.unread.len() <= index {
            assert!(self.fill().await.is_ok_and(|more| more), "a header ends");
        }
        self.unread[index]
    }

    /// Reads more. Whether there was more.
    async fn fill(&mut self) -> Result<bool, h2::Error> {
        let read = timeout(PATIENCE, self.down.data()).await.expect("the server says something in time");
        let Some(bytes) = read.transpose()? else { return Ok(false) };
        self.unread.extend_from_slice(&bytes);
        self.down.flow_control().release_capacity(bytes.len())?;
        Ok(true)
    }
}
