//! A way to the client that takes a few bytes a second and no more, as that of a phone at the edge of its cell.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep, timeout},
};

pub(crate) const BYTES_PER_SECOND: u32 = 8 * 1024;

/// What is written at a time: a thirtieth of a second.
const PIECE: usize = 256;

/// How long is waited for the first bytes of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether the first request of a connection is for a path that begins so.
pub(crate) async fn begins_with(stream: &TcpStream, path: &str) -> bool {
    let wanted = format!("GET {path}");
    let mut head = [0; 32];
    let peeked = timeout(HEAD_TIMEOUT, stream.peek(&mut head)).await;
    matches!(peeked, Ok(Ok(length)) if head[..length].starts_with(wanted.as_bytes()))
}

/// A connection over which so much is written in a second; what comes from the client is little, and comes as it does.
pub(crate) struct Narrow {
    stream: TcpStream,
    /// Until what was written last has gone through.
    full: Pin<Box<Sleep>>,
}

impl Narrow {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, full: Box::pin(sleep(Duration::ZERO)) }
    }
}

impl AsyncRead for Narrow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Narrow {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.full.as_mut().poll(cx));
        let piece = &bytes[..bytes.len().min(PIECE)];
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, piece))?;
        let pause = Duration::from_secs(1) * written as u32 / BYTES_PER_SECOND;
        self.full.as_mut().reset(Instant::now() + pause);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
