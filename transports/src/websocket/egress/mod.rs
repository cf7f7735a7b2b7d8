//! What a WebSocket writes.

pub(super) mod carrying;
pub(super) mod gathering;
