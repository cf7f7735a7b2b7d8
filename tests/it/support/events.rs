//! An event stream as it comes off the wire: head, chunks, events, each read as late as can be.

use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{PATIENCE, http};

/// The answer to a request for an event stream, which may turn out to be another one.
pub(crate) struct EventStream {
    stream: TcpStream,
    /// The status line and the headers, in lower case.
    pub(crate) head: String,
    raw: BytesMut,
    /// What was in the chunks.
    body: BytesMut,
    /// How much of the body has no end of an event in it.
    searched: usize,
    is_over: bool,
}

impl EventStream {
    /// Sends a request and reads the head of its answer.
    pub(crate) async fn request(
        address: SocketAddr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Self {
        let bytes = http::encode(address, method, path, headers, body.map(str::as_bytes));
        Self::exchange(address, &bytes).await
    }

    /// The same with exact bytes.
    pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("the server accepts connections");
        stream.write_all(bytes).await.expect("the request can be written");
        let mut this = Self {
            stream,
            head: String::new(),
            raw: BytesMut::new(),
            body: BytesMut::new(),
            searched: 0,
            is_over: false,
        };
        let end = loop {
            if let Some(end) = find(&this.raw, b"\r\n\r\n") {
                break end;
            }
            assert!(this.fill().await, "the request is answered");
        };
        let head = this.raw.split_to(end + 4);
        this.head = String::from_utf8_lossy(&head).to_lowercase();
        this
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head.split("\r\n").find_map(|line| line.strip_prefix(prefix.as_str()))
    }

    /// Whether it is an event stream at all.
    pub(crate) fn has_events(&self) -> bool {
        self.header("content-type").is_some_and(|value| value.starts_with("text/event-stream"))
    }

    /// The next line: the data of the next event, or of another answer its next line. `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<String> {
        let end: &[u8] = if self.has_events() { b"\n\n" } else { b"\n" };
        loop {
            if let Some(at) = find(&self.body[self.searched..], end) {
                let at = std::mem::take(&mut self.searched) + at;
                let block = self.body.split_to(at + end.len());
                let block = std::str::from_utf8(&block[..at]).expect("events are UTF-8").to_owned();
                if !self.has_events() {
                    return Some(block);
                }
                if block.starts_with(':') {
                    assert!(!block.contains('\n'), "a comment of one line");
                    continue;
                }
                let line = block.strip_prefix("data: ").expect("an event is `data: ` and a line");
                assert!(!line.contains(['\n', '\r']), "an event of one line: {line:?}");
                return Some(line.to_owned());
            }
            self.searched = self.body.len().saturating_sub(1);
            if self.is_over || !self.fill_body().await {
                assert!(self.body.is_empty(), "a stream ends after an event: {:?}", self.body);
                return None;
            }
        }
    }

    /// All bytes of the body so far that were not read as lines.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.body
    }

    /// Reads more of the body. Returns whether there was more.
    pub(crate) async fn fill_body(&mut self) -> bool {
        if self.header("transfer-encoding") != Some("chunked") {
            if self.raw.is_empty() && !self.fill().await {
                self.is_over = true;
                return false;
            }
            self.body.unsplit(self.raw.split());
            return true;
        }
        loop {
            if let Some(at) = find(&self.raw, b"\r\n") {
                let size = std::str::from_utf8(&self.raw[..at]).expect("a chunk's size");
                let size = usize::from_str_radix(size, 16).expect("a chunk's size");
                if self.raw.len() >= at + 2 + size + 2 {
                    self.raw.advance(at + 2);
                    let chunk = self.raw.split_to(size);
                    self.body.extend_from_slice(&chunk);
                    self.raw.advance(2);
                    self.is_over = size == 0;
                    return size > 0;
                }
            }
            if !self.fill().await {
                // Cut in the middle, as a lost connection is.
                self.is_over = true;
                return false;
            }
        }
    }

    async fn fill(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.raw)).await;
        matches!(read.expect("the server says something in time"), Ok(count) if count > 0)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
