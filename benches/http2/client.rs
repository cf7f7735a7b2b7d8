//! The testbed process, and a client's connections to it.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
    ext::Protocol,
};
use http::{Method, Request};
use tokio::net::TcpStream;

use crate::JOIN;

/// A client's connection of HTTP/2.
pub(crate) type Connection = SendRequest<Bytes>;

/// A testbed process, killed at the end.
pub(crate) struct Testbed {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Testbed {
    pub(crate) fn start() -> Self {
        let program = std::env::var("TESTBED")
            .unwrap_or_else(|_| format!("{}/target/release/testbed", env!("CARGO_MANIFEST_DIR")));
        let mut child = Command::new(&program)
            .env("PORT", "0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix("listening on ")?.parse().unwrap()))
            .expect("the testbed says where it listens");
        Self { child, address }
    }

    /// Resident memory in bytes.
    pub(crate) fn rss(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
    }

    /// Processor time so far. The kernel counts it in hundredths of a second.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    pub(crate) async fn connect(&self) -> Connection {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(async move {
            // The testbed is killed in the end.
            let _ = connection.await;
        });
        // Whether CONNECT may be extended is known once the server's settings are there.
        while !requests.is_extended_connect_protocol_enabled() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        requests
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        // Fails only if it has ended, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both directions of a stream; dropping it resets the stream.
pub(crate) struct Open {
    _up: SendStream<Bytes>,
    down: RecvStream,
}

impl Open {
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        let bytes = self.down.data().await?.ok()?;
        self.down.flow_control().release_capacity(bytes.len()).ok()?;
        Some(bytes)
    }
}

pub(crate) async fn websocket(connection: &Connection) -> Open {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri("http://testbed/socket/websocket?vsn=2.0.0")
        .header("sec-websocket-version", "13")
        .body(())
        .unwrap();
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let mut ready = connection.clone().ready().await.unwrap();
    let (response, mut up) = ready.send_request(request, false).unwrap();
    up.send_data(frame(JOIN), false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    let mut open = Open { _up: up, down: response.into_body() };
    let reply = open.next().await.expect("a reply to the join");
    assert!(String::from_utf8_lossy(&reply).contains(r#""status":"ok""#));
    open
}

/// A client's frame. With a mask of zeros the payload stays as it is.
fn frame(text: &str) -> Bytes {
    let length = u8::try_from(text.len()).unwrap();
    let mut bytes = match length {
        ..126 => vec![0x81, 0x80 | length],
        _ => vec![0x81, 0x80 | 126, 0, length],
    };
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(text.as_bytes());
    bytes.into()
}

pub(crate) async fn send(connection: &Connection, method: Method, path: &str, body: &str) -> ResponseFuture {
    let request = Request::builder().method(method).uri(format!("http://testbed{path}")).body(()).unwrap();
    let mut ready = connection.clone().ready().await.unwrap();
    let (response, mut up) = ready.send_request(request, body.is_empty()).unwrap();
    if !body.is_empty() {
        up.send_data(body.to_owned().into(), true).unwrap();
    }
    response
}

pub(crate) async fn ask(connection: &Connection, method: Method, path: &str, body: &str) -> String {
    let mut down = send(connection, method, path, body).await.await.unwrap().into_body();
    let mut text = Vec::new();
    while let Some(bytes) = down.data().await {
        let bytes = bytes.unwrap();
        down.flow_control().release_capacity(bytes.len()).unwrap();
        text.extend_from_slice(&bytes);
    }
    String::from_utf8(text).unwrap()
}
