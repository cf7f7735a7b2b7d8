//! A minimal HTTP/1.1 client: exact bytes in; status, headers and body out.

use std::{io, net::SocketAddr};

use bytes::{Buf, BytesMut};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longer than any answer that a test waits for: a long-poll window is 10 s.
const ANSWER_MAX: std::time::Duration = std::time::Duration::from_secs(45);

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// In order; names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A refusal with this status that is small, typed and kept by nobody, and repeats nothing of what was asked.
    #[track_caller]
    pub(crate) fn assert_refuses(&self, status: u16) {
        let text = self.text();
        assert_eq!(self.status, status, "{text}");
        assert!(text.len() < 200 && !text.contains('<') && !text.contains("%3C"), "{text}");
        assert!(self.header("cache-control").is_some_and(|value| value.contains("no-store")), "{self:?}");
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{self:?}");
        let content_type = self.header("content-type").unwrap_or_default();
        let is_typed = content_type.starts_with("text/plain") || content_type.starts_with("application/json");
        assert!(is_typed || text.is_empty(), "{self:?}");
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}) in {} {:?}", self.status, self.text()))
    }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Response {
    request(address, "GET", path, &[], None).await
}

/// One request on a connection of its own.
pub(crate) async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Response {
    let bytes = encode(address, method, path, headers, body);
    exchange(address, &bytes, method == "HEAD")
        .await
        .unwrap_or_else(|error| panic!("no answer to {method} {path:.200}: {error}"))
}

pub(crate) fn encode(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = body {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body.unwrap_or_default());
    bytes
}

/// Sends exactly these bytes and reads one answer. A server may answer, and stop reading, before it has everything:
/// so a failed write is no error as long as an answer arrives.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8], bodyless: bool) -> io::Result<Response> {
    let (mut reader, mut writer) = TcpStream::connect(address).await?.into_split();
    let answer = async {
        let mut stream = ResponseReader::default();
        stream.read(&mut reader, bodyless).await
    };
    let both = async {
        tokio::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            // Either the request is out, or the server has stopped reading: now only the answer counts.
            _ = writer.write_all(bytes) => answer.await,
        }
    };
    timeout(ANSWER_MAX, both).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Reads responses off a connection; what follows a response stays in the buffer.
#[derive(Default)]
pub(crate) struct ResponseReader {
    pub(crate) buffer: BytesMut,
}

impl ResponseReader {
    pub(crate) async fn read(
        &mut self,
        stream: &mut (impl tokio::io::AsyncRead + Unpin),
        bodyless: bool,
    ) -> io::Result<Response> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            self.fill(stream).await?;
        };
        let head = self.buffer.split_to(end + 4);
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut response = parse_head(&head)?;
        if bodyless || response.status == 101 || response.status == 204 || response.status == 304 {
            return Ok(response);
        }
        response.body = if response.header("transfer-encoding") == Some("chunked") {
            self.read_chunks(stream).await?
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().map_err(|_| malformed("content-length"))?;
            self.read_exact(stream, length).await?
        } else {
            while self.fill(stream).await.is_ok() {}
            self.buffer.split().to_vec()
        };
        Ok(response)
    }

    async fn read_chunks(&mut self, stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = find(&self.buffer, b"\r\n") {
                    break at;
                }
                self.fill(stream).await?;
            };
            let line = self.buffer.split_to(end);
            self.buffer.advance(2);
            let line = std::str::from_utf8(&line).map_err(|_| malformed("chunk size"))?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(|_| malformed("chunk size"))?;
            let chunk = self.read_exact(stream, size + 2).await?;
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return Ok(body);
            }
        }
    }

    async fn read_exact(
        &mut self,
        stream: &mut (impl tokio::io::AsyncRead + Unpin),
        count: usize,
    ) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            self.fill(stream).await?;
        }
        Ok(self.buffer.split_to(count).to_vec())
    }

    async fn fill(&mut self, stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> io::Result<()> {
        self.buffer.reserve(16 * 1024);
        match stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn parse_head(head: &str) -> io::Result<Response> {
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| malformed(status_line))?;
    let headers = lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (name, value) = line.split_once(':').ok_or_else(|| malformed(line))?;
            Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect::<io::Result<_>>()?;
    Ok(Response { status, headers, body: Vec::new() })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed answer: {what:?}"))
}
