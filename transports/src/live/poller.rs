//! What a session of the stock long-poll has besides what every session has.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use crate::dialect::token::Secret;

/// What a session of the stock long-poll has besides what every session has.
#[derive(Debug)]
pub(crate) struct Poller {
    pub(crate) secret: Secret,
    /// The last frame that was handed to a response; for clients whose token never changes.
    pub(crate) handed_out: AtomicU64,
    /// A poll that another node has carried was given a token that says what was received, and nothing else.
    pub(crate) has_cursor: AtomicBool,
    /// Held while messages are given to the handler, so that POSTs at the same time do not mix.
    pub(crate) receiving: tokio::sync::Mutex<()>,
    /// Bytes of the bodies that are read, or wait.
    pub(crate) body_bytes: AtomicUsize,
}

impl Poller {
    pub(crate) fn new(secret: Secret) -> Self {
        Self {
            secret,
            handed_out: AtomicU64::new(0),
            has_cursor: AtomicBool::new(false),
            receiving: tokio::sync::Mutex::default(),
            body_bytes: AtomicUsize::new(0),
        }
    }
}
