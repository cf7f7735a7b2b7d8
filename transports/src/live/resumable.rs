//! What a resumable session has besides what every session has.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::dialect::token::Secret;

/// Who is the newest of those that do one thing.
#[derive(Debug, Default)]
pub(crate) struct Turns(AtomicU32);

impl Turns {
    /// A turn; who had one before is not the newest any more.
    pub(crate) fn take(&self) -> u32 {
        self.0.fetch_add(1, Ordering::AcqRel).wrapping_add(1)
    }

    pub(crate) fn is_newest(&self, turn: u32) -> bool {
        self.0.load(Ordering::Acquire) == turn
    }
}

/// What a resumable session has besides what every session has.
#[derive(Debug)]
pub(crate) struct Resumable {
    pub(crate) serial: u64,
    pub(crate) secret: Secret,
    /// The POST that waits for the handler: the newest. An older one says how far it came.
    pub(crate) waiting_post: Turns,
    /// The large body that is being read: the newest.
    pub(crate) large_body: Turns,
}

impl Resumable {
    pub(crate) fn new(serial: u64, secret: Secret) -> Self {
        Self { serial, secret, waiting_post: Turns::default(), large_body: Turns::default() }
    }
}
