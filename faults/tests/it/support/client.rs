//! A client that sees every byte.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

pub(crate) struct Client {
    socket: TcpStream,
    /// What has come and was not looked at.
    received: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Closed,
    Reset,
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let socket = TcpStream::connect(addr).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, received: Vec::new() }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).await.unwrap();
    }

    pub(crate) async fn get(&mut self, path: &str) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).await;
    }

    pub(crate) async fn post(&mut self, body: &str) {
        let len = body.len();
        self.send(&format!("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: {len}\r\n\r\n{body}")).await;
    }

    pub(crate) async fn upgrade(&mut self) {
        self.send(
            "GET /websocket HTTP/1.1\r\nHost: test\r\nX-Other: kept\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        )
        .await;
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn finish(&mut self) {
        self.socket.shutdown().await.unwrap();
    }

    /// The head that comes next.
    pub(crate) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// The response that comes next, which must have a length.
    pub(crate) async fn response(&mut self) -> (String, String) {
        let head = self.head().await;
        let lower = head.to_lowercase();
        let (_, len) = lower.split_once("content-length: ").unwrap_or_else(|| panic!("no length in {head}"));
        let len = len.lines().next().unwrap().parse().unwrap();
        while self.received.len() < len {
            self.read("a body").await;
        }
        let body = self.received.drain(..len).collect();
        (head, String::from_utf8(body).unwrap())
    }

    /// What comes next, up to and with `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let mut searched = 0;
        loop {
            let mut windows = self.received[searched..].windows(end.len());
            if let Some(at) = windows.position(|bytes| bytes == end.as_bytes()) {
                return String::from_utf8(self.received.drain(..searched + at + end.len()).collect())
                    .unwrap();
            }
            searched = (self.received.len() + 1).saturating_sub(end.len());
            self.read(end).await;
        }
    }

    /// How the connection ends, and what comes before that.
    pub(crate) async fn rest(&mut self) -> (String, Ended) {
        let mut bytes = std::mem::take(&mut self.received);
        let read = timeout(PATIENCE, self.socket.read_to_end(&mut bytes)).await.expect("it does not end");
        let ended = match read {
            Ok(_) => Ended::Closed,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ended::Reset,
            Err(error) => panic!("{error}"),
        };
        (String::from_utf8(bytes).unwrap(), ended)
    }

    pub(crate) async fn assert_reset(&mut self) {
        assert_eq!(self.rest().await, (String::new(), Ended::Reset));
    }

    pub(crate) async fn assert_closed(&mut self) {
        assert_eq!(self.rest().await, (String::new(), Ended::Closed));
    }

    /// Neither a byte nor an end comes for so long.
    pub(crate) async fn assert_silent(&mut self, time: Duration) {
        assert_eq!(String::from_utf8_lossy(&self.received), "");
        let mut byte = [0];
        if let Ok(read) = timeout(time, self.socket.read(&mut byte)).await {
            panic!("not silent: {read:?} {byte:?}");
        }
    }

    async fn read(&mut self, wanted: &str) {
        let mut bytes = [0; 4096];
        let read = timeout(PATIENCE, self.socket.read(&mut bytes)).await;
        let len = read.unwrap_or_else(|_| panic!("no {wanted:?} comes")).unwrap();
        assert_ne!(
            len,
            0,
            "closed while waiting for {wanted:?}; {}",
            String::from_utf8_lossy(&self.received)
        );
        self.received.extend_from_slice(&bytes[..len]);
    }
}

/// How long anything may take that is to happen.
const PATIENCE: Duration = Duration::from_secs(20);
