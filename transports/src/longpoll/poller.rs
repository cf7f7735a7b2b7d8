//! What a long-poll session has besides its frames.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::token::Secret;
use crate::inbound::Unread;

/// What a long-poll session has besides its [`LiveSession`].
#[derive(Debug)]
pub(crate) struct Poller {
    pub(super) secret: Secret,
    /// The last frame that was handed to a response; for clients whose token never changes.
    pub(super) handed_out: AtomicU64,
    /// Held while messages are given to the handler, so that POSTs at the same time do not mix.
    pub(super) receiving: tokio::sync::Mutex<()>,
    /// Bytes of the bodies that are read, or wait.
    body_bytes: AtomicUsize,
}

impl Poller {
    pub(super) fn new(secret: Secret) -> Self {
        Self {
            secret,
            handed_out: AtomicU64::new(0),
            receiving: tokio::sync::Mutex::default(),
            body_bytes: AtomicUsize::new(0),
        }
    }
}

/// One body's part of the bodies of a session, until this is dropped.
pub(super) struct Bodies<'a> {
    poller: &'a Poller,
    bytes: usize,
    bytes_max: usize,
}

impl<'a> Bodies<'a> {
    /// A client may have one body of full size waiting while it sends the next.
    pub(super) fn new(poller: &'a Poller, body_bytes_max: usize) -> Self {
        Self { poller, bytes: 0, bytes_max: body_bytes_max.saturating_mul(2) }
    }

    pub(super) fn resize(&mut self, bytes: usize) -> Result<(), Unread> {
        let others = self.poller.body_bytes.fetch_sub(self.bytes, Ordering::AcqRel) - self.bytes;
        self.bytes = 0;
        if others.saturating_add(bytes) > self.bytes_max {
            return Err(Unread::OverBudget);
        }
        self.poller.body_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Bodies<'_> {
    fn drop(&mut self) {
        self.poller.body_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}
