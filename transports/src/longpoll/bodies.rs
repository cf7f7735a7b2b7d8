//! How much the bodies of one session's POSTs may take together.

use std::sync::atomic::Ordering;

use crate::{bodies::inbound::Unread, live::poller::Poller};

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
