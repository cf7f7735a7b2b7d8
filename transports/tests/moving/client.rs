//! A client of the session dialect over real sockets, as small as can be: it does what a test says, line by line.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Websocket,
    Sse,
    Longpoll,
}

/// What carries a session to the client.
pub(crate) struct Wire {
    by: By,
    stream: TcpStream,
    bytes: Vec<u8>,
}

/// What came next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    Line(String),
    /// A close frame.
    Close(u16),
    End,
    /// An answer that is no 200.
    Status(u16),
}

impl Wire {
    /// Asks for a session with a line; a poll may have more.
    pub(crate) async fn attach(address: SocketAddr, by: By, lines: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if by == By::Websocket {
            let head = "GET /websocket HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
                sec-websocket-protocol: lapwing.1\r\n\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
        } else {
            post(&mut stream, by, lines).await;
        }
        let mut wire = Self { by, stream, bytes: Vec::new() };
        if by == By::Websocket {
            assert_eq!(wire.head().await, 101);
            wire.say(lines).await;
        }
        wire
    }

    /// Sends a message by a WebSocket.
    pub(crate) async fn say(&mut self, text: &str) {
        assert_eq!(self.by, By::Websocket);
        assert!(text.len() < 126, "a frame with a short header");
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        // One that the server has closed meanwhile takes nothing.
        let _ = self.stream.write_all(&frame).await;
    }

    /// What comes next, in the lines of the session.
    pub(crate) async fn next(&mut self) -> Came {
        tokio::time::timeout(PATIENCE, self.next_ever()).await.expect("something comes")
    }

    async fn next_ever(&mut self) -> Came {
        if self.by == By::Websocket {
            return self.next_message().await;
        }
        loop {
            let Some(line) = self.line().await else { return Came::End };
            if let Some(status) = line.strip_prefix("HTTP/1.1 ").filter(|status| !status.starts_with("200")) {
                return Came::Status(status[..3].parse().unwrap());
            }
            let line = if self.by == By::Sse { line.strip_prefix("data: ") } else { Some(&*line) };
            // What is left are headers, sizes of chunks and comments: frames here begin with a letter and a number.
            if let Some(line) = line.filter(|line| line.starts_with('!') || line.starts_with("down ")) {
                return Came::Line(line.to_owned());
            }
        }
    }

    async fn next_message(&mut self) -> Came {
        let Some(head) = self.take(2).await else { return Came::End };
        let len = match head[1] {
            126 => {
                let len = self.take(2).await.unwrap();
                usize::from(u16::from_be_bytes([len[0], len[1]]))
            }
            len => usize::from(len),
        };
        let payload = self.take(len).await.unwrap();
        match head[0] {
            0x81 => Came::Line(String::from_utf8(payload).unwrap()),
            0x88 => Came::Close(u16::from_be_bytes([payload[0], payload[1]])),
            other => panic!("a frame of {other}"),
        }
    }

    async fn head(&mut self) -> u16 {
        let status = self.line().await.unwrap();
        while self.line().await.is_some_and(|line| !line.is_empty()) {}
        status.split(' ').nth(1).unwrap().parse().unwrap()
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            self.read().await?;
        }
    }

    async fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.bytes.len() < count {
            self.read().await?;
        }
        Some(self.bytes.drain(..count).collect())
    }

    async fn read(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.bytes).await.ok()?;
        (read > 0).then_some(())
    }
}

async fn post(stream: &mut TcpStream, by: By, lines: &str) {
    let path = if by == By::Sse { "sse" } else { "longpoll" };
    let head = format!(
        "POST /{path}?lapwing=1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        lines.len()
    );
    stream.write_all(format!("{head}{lines}").as_bytes()).await.unwrap();
}

/// Brings frames by a POST, and returns what is answered.
pub(crate) async fn send(address: SocketAddr, token: &str, from: usize, frames: &[String]) -> Vec<Came> {
    let lines = format!("!send {token}\n!from {from}\n{}", frames.join("\n"));
    let mut wire = Wire::attach(address, By::Longpoll, &lines).await;
    let mut all = Vec::new();
    loop {
        match wire.next().await {
            Came::End => return all,
            came => all.push(came),
        }
    }
}
