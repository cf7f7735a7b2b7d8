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
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// Bytes that the HTTP server has at a time. They are less than the buffer that `http1::configure` sets: a server whose buffer is full asks a body for
/// nothing more, and would not learn that it has ended.
const WINDOW_BYTES: usize = 8 * 1024;

/// What the smallest piece counts for, as a server takes sixteen at most, however small.
const UNIT_BYTES: usize = WINDOW_BYTES / 16;

/// What the owner sends down. It sends on as pieces are written to the client, or dropped.
#[derive(Debug)]
pub(super) struct Download {
    relay: Arc<Relay>,
    /// Bytes that are still to come, if that is known.
    left: Option<u64>,
    /// What came and is not handed over yet.
    rest: Bytes,
    window: PollSemaphore,
}

impl Download {
    pub(super) fn new(relay: Arc<Relay>, length: Option<u64>) -> Self {
        let window = PollSemaphore::new(Arc::new(Semaphore::new(WINDOW_BYTES / UNIT_BYTES)));
        Self { relay, left: length, rest: Bytes::new(), window }
    }
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.left == Some(0) {
            return Poll::Ready(None);
        }
        if self.rest.is_empty() {
            match ready!(self.relay.poll_recv(cx)) {
                Ok(Some(bytes)) => self.rest = bytes,
                Ok(None) if self.left.is_none() => return Poll::Ready(None),
                Ok(None) | Err(_) => return Poll::Ready(Some(Err(Cut))),
            }
        }
        let len = self.rest.len().min(WINDOW_BYTES);
        let Poll::Ready(permit) = self.window.poll_acquire_many(cx, len.div_ceil(UNIT_BYTES) as u32) else {
            // Nobody reads at the other end of it: what came is not waited for where nothing more does.
            return match self.relay.poll_lost(cx) {
                true => Poll::Ready(Some(Err(Cut))),
                false => Poll::Pending,
            };
        };
        let bytes = self.rest.split_to(len);
        self.left = self.left.map(|left| left.saturating_sub(len as u64));
        let piece = Piece { bytes, relay: self.relay.clone(), _permit: permit };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(piece)))))
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
    _permit: Option<OwnedSemaphorePermit>,
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
