//! The body of an answer that another node gives.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use lapwing_cluster_driver::Relay;
use lapwing_transports::body::Cut;

/// What the owner sends down. It sends on as pieces are written to the client, or dropped.
#[derive(Debug)]
pub(super) struct Download {
    relay: Arc<Relay>,
    /// Bytes that are still to come, if that is known.
    left: Option<u64>,
}

impl Download {
    pub(super) fn new(relay: Arc<Relay>, length: Option<u64>) -> Self {
        Self { relay, left: length }
    }
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.left == Some(0) {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.relay.poll_recv(cx)) {
            Ok(Some(bytes)) => {
                let len = bytes.len() as u64;
                self.left = self.left.map(|left| left.saturating_sub(len));
                let piece = Piece { bytes, relay: self.relay.clone() };
                Some(Ok(Frame::data(Bytes::from_owner(piece))))
            }
            Ok(None) if self.left.is_none() => None,
            Ok(None) | Err(_) => Some(Err(Cut)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A piece that is held until it is written.
struct Piece {
    bytes: Bytes,
    relay: Arc<Relay>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.relay.used(self.bytes.len());
    }
}
