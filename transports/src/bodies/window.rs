//! What was handed to the HTTP server for one connection and not yet written: bounded and counted.
//!
//! A server buffers what a body yields, and does not say when it has written it; but then it drops it. So each piece is
//! owned by something that notices.

use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Waker},
};

use bytes::Bytes;

use crate::{
    budget::{Budget, Charge, OverBudget},
    sync::Mutex,
};

/// Bytes of a piece.
pub(crate) const PIECE_BYTES: usize = 8 * 1024;

/// Bytes that may be with the HTTP server while it gets one piece more. Together they are less than the buffer that
/// `http1::configure` sets: a server whose buffer is full does not ask a body for more, and would not learn that nobody wants it.
const BYTES_MAX: usize = 4 * 1024;

/// What the smallest piece counts for: a server that queues pieces takes sixteen of them at most, however small, and has eight of these.
const COST_MIN: usize = BYTES_MAX / 8;

/// What is with the HTTP server.
#[derive(Debug)]
pub(crate) struct Window {
    budget: Arc<Budget>,
    bytes: AtomicUsize,
    waiter: Mutex<Option<Waker>>,
}

impl Window {
    pub(crate) fn new(budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self { budget, bytes: AtomicUsize::new(0), waiter: Mutex::default() })
    }

    /// Whether more may be handed over; if not, wakes the task when something was written.
    pub(crate) fn is_open(&self, cx: &Context<'_>) -> bool {
        if self.bytes.load(Ordering::Acquire) < BYTES_MAX {
            return true;
        }
        *self.waiter.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        // Something may have been written between the two lines.
        self.bytes.load(Ordering::Acquire) < BYTES_MAX
    }

    /// A piece that is counted until it is written, or dropped.
    pub(crate) fn piece(self: &Arc<Self>, bytes: Bytes) -> Result<Bytes, OverBudget> {
        let charge = self.budget.try_charge(bytes.len())?;
        self.bytes.fetch_add(cost(&bytes), Ordering::AcqRel);
        Ok(Bytes::from_owner(Piece { bytes, window: self.clone(), _charge: charge }))
    }
}

fn cost(piece: &Bytes) -> usize {
    piece.len().max(COST_MIN)
}

struct Piece {
    bytes: Bytes,
    window: Arc<Window>,
    _charge: Charge,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.window.bytes.fetch_sub(cost(&self.bytes), Ordering::AcqRel);
        if let Some(waiter) = self.window.waiter.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waiter.wake();
        }
    }
}
