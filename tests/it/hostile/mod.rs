//! What a hostile or broken client sends gets a clear, bounded answer, and nobody else notices.

mod refused_bodies;
mod requests;
mod slow;
mod sockets;

use std::time::Duration;

/// A peer that stalls must be got rid of by then.
const STALLED_MAX: Duration = Duration::from_secs(40);

const MIB: usize = 1024 * 1024;
