//! What a mount has, and has done so far, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::dialect::server::Refused;

/// Sessions by what carries them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Census {
    /// Carried by a WebSocket.
    pub websocket: usize,
    /// Carried by an event stream.
    pub sse: usize,
    /// Polled.
    pub longpoll: usize,
    /// Resumable, and carried by nothing now.
    pub detached: usize,
    /// Of all of them, those that outlive their connections.
    pub resumable: usize,
}

/// Counters of a mount since it was made.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) frames_out: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) refused: AtomicU64,
    too_slow: AtomicU64,
    replaced: AtomicU64,
    left_out: AtomicU64,
    pub(crate) over_budget: AtomicU64,
    pub(crate) resumed: AtomicU64,
    /// By [`Refused`], in the order of its words.
    pub(crate) resumes_refused: [AtomicU64; Refused::ALL.len()],
}

impl Counters {
    /// Frames written to clients.
    pub fn frames_out(&self) -> u64 {
        self.frames_out.load(Ordering::Relaxed)
    }

    /// Bytes written to clients in frames, headers of the wire not counted for long-poll.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Ordering::Relaxed)
    }

    /// Clients that were not let in: origin, handler, or too many sessions.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Sessions closed because their client did not keep up.
    pub fn too_slow(&self) -> u64 {
        self.too_slow.load(Ordering::Relaxed)
    }

    /// Frames that a newer state of the same thing has replaced before they were sent.
    pub fn replaced(&self) -> u64 {
        self.replaced.load(Ordering::Relaxed)
    }

    /// Volatile frames that were left out, as their clients were behind.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// Sessions closed because too many bytes were held for clients, and most of them for these.
    pub fn over_budget(&self) -> u64 {
        self.over_budget.load(Ordering::Relaxed)
    }

    /// Times a session moved to another connection.
    pub fn resumed(&self) -> u64 {
        self.resumed.load(Ordering::Relaxed)
    }

    /// Why resumable sessions were not begun or carried on, and how often.
    pub fn resumes_refused(&self) -> impl Iterator<Item = (Refused, u64)> {
        Refused::ALL.into_iter().zip(self.resumes_refused.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    pub(crate) fn resume_refused(&self, refused: Refused) {
        self.resumes_refused[refused as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_too_slow(&self) {
        self.too_slow.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_replaced(&self) {
        self.replaced.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_left_out(&self) {
        self.left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// One addition per batch that is written, never per frame.
    pub(crate) fn wrote(&self, frames: usize, bytes: usize) {
        self.frames_out.fetch_add(frames as u64, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
