//! What was read from a client and could not be used yet.

use std::time::Duration;

use crate::{close::CloseReason, live::LiveSession, session::life::Tick};

/// Bytes that wait, what they are counted for, and since when a message is incomplete.
#[derive(Debug, Default)]
pub(super) struct Unused {
    /// Bytes that were not decoded: while the handler is not ready, when other tasks get their turn, and those that came with
    /// the upgrade.
    pub(super) unread: Unread,
    /// What of it, and of the decoder's memory, the session owes.
    counted: usize,
    /// When the first byte of the incomplete message came, 0 if none is incomplete.
    begun: u32,
}

/// Bytes that were read at once and are used in pieces.
#[derive(Debug, Default)]
pub(super) struct Unread {
    bytes: Vec<u8>,
    used: usize,
}

impl Unused {
    /// Bytes that came with the upgrade.
    pub(super) fn early(unread: Vec<u8>) -> Self {
        Self { unread: unread.into(), ..Self::default() }
    }

    /// Counts what is kept, the decoder's memory with it.
    ///
    /// # Errors
    /// There is no room for it.
    pub(super) fn count<S>(
        &mut self,
        decoder_bytes: usize,
        session: &LiveSession<S>,
    ) -> Result<(), CloseReason> {
        let kept = decoder_bytes + self.unread.bytes.len();
        if kept < self.counted {
            session.release(self.counted - kept);
        } else if kept > self.counted {
            session.hold(kept - self.counted).map_err(|_| CloseReason::OverBudget)?;
        }
        self.counted = kept;
        Ok(())
    }

    /// The decoder keeps nothing any more.
    pub(super) fn count_unread<S>(&mut self, session: &LiveSession<S>) {
        let kept = self.counted.min(self.unread.bytes.len());
        session.release(self.counted - kept);
        self.counted = kept;
    }

    /// Nothing is kept any more.
    pub(super) fn release<S>(&mut self, session: &LiveSession<S>) {
        session.release(std::mem::take(&mut self.counted));
    }

    /// A message is incomplete at `now`. Whether it has been for longer than it may.
    pub(super) fn is_late(&mut self, now: Tick, message_timeout: Duration) -> bool {
        if self.begun == 0 {
            self.begun = now.0;
        }
        now.since(Tick(self.begun)) >= message_timeout
    }

    /// No message is incomplete, or it is not for the client to complete it.
    pub(super) fn restart(&mut self) {
        self.begun = 0;
    }
}

impl Unread {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What was not used yet.
    pub(super) fn left(&mut self) -> &mut [u8] {
        &mut self.bytes[self.used..]
    }

    /// So many more were used. Returns whether that was all.
    pub(super) fn use_up(&mut self, more: usize) -> bool {
        self.used += more;
        self.used == self.bytes.len()
    }
}

impl From<Vec<u8>> for Unread {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, used: 0 }
    }
}
