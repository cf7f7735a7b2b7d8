//! A WebSocket's bytes, as the node with its session reads and writes them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use lapwing_cluster_driver::Relay;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are written at once.
const WRITE_BYTES_MAX: usize = 16 * 1024;

pub(super) struct RelayIo {
    relay: Relay,
    /// What was not read of the last piece.
    piece: Bytes,
}

impl RelayIo {
    pub(super) fn new(relay: Relay) -> Self {
        Self { relay, piece: Bytes::new() }
    }
}

impl AsyncRead for RelayIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.piece.is_empty() {
            match ready!(self.relay.poll_recv(cx)) {
                Ok(Some(piece)) => self.piece = piece,
                Ok(None) => return Poll::Ready(Ok(())),
                Err(_) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            }
        }
        let bytes = self.piece.len().min(buffer.remaining());
        buffer.put_slice(&self.piece[..bytes]);
        self.piece.advance(bytes);
        self.relay.used(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for RelayIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let len = bytes.len().min(WRITE_BYTES_MAX);
        let mut piece = Bytes::copy_from_slice(&bytes[..len]);
        let polled = self.relay.poll_send(cx, &mut piece);
        let sent = len - piece.len();
        match polled {
            Poll::Pending if sent == 0 => Poll::Pending,
            Poll::Ready(Err(_)) if sent == 0 => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            _ => Poll::Ready(Ok(sent)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.relay.finish();
        Poll::Ready(Ok(()))
    }
}
