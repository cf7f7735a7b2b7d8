//! What a long-poll session has besides its frames.

use std::sync::atomic::AtomicU64;

use super::token::Secret;

/// What a long-poll session has besides its [`LiveSession`].
#[derive(Debug)]
pub(crate) struct Poller {
    pub(super) secret: Secret,
    /// The last frame that was handed to a response; for clients whose token never changes.
    pub(super) handed_out: AtomicU64,
    /// Held while messages are given to the handler, so that POSTs at the same time do not mix.
    pub(super) receiving: tokio::sync::Mutex<()>,
}
