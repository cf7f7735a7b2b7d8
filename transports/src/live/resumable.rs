//! What a resumable session has besides what every session has.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use super::clock::Tick;
use crate::{dialect::token::Secret, options::ResumeOptions};

/// After how many milliseconds of silence a client wants to hear something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beat(u32);

impl Beat {
    /// What the client asked for, within reason: not so often that it is a burden, and often enough that a client which
    /// says nothing of itself is asked twice before its session is over.
    pub(crate) fn new(millis: u64, options: &ResumeOptions) -> Self {
        let longest = (options.window / 3).as_millis().clamp(1_000, 120_000) as u64;
        Self(millis.clamp(1_000, longest) as u32)
    }
}

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
    /// After how many milliseconds of silence the client wants to hear something.
    beat_ms: AtomicU32,
    /// When the carrier was last told to say something.
    pinged: AtomicU32,
    /// When the last connection that carried the session ended.
    detached: AtomicU32,
    /// Whether the handler knows that nothing carries the session, or is about to. Changed under the session's lock.
    pub(crate) is_away: AtomicBool,
    /// Whether a second connection carried it, or its client acknowledged a frame: somebody reads what it is sent.
    pub(crate) is_proven: AtomicBool,
}

impl Resumable {
    pub(crate) fn new(serial: u64, secret: Secret, beat: Beat) -> Self {
        let resumable = Self {
            serial,
            secret,
            waiting_post: Turns::default(),
            large_body: Turns::default(),
            beat_ms: AtomicU32::default(),
            pinged: AtomicU32::default(),
            detached: AtomicU32::default(),
            is_away: AtomicBool::default(),
            is_proven: AtomicBool::default(),
        };
        resumable.set_beat(beat);
        resumable
    }

    /// Sets the beat to what the client wants.
    pub(crate) fn set_beat(&self, beat: Beat) {
        self.beat_ms.store(beat.0, Ordering::Relaxed);
    }

    /// Nothing carries the session from now on.
    pub(crate) fn handle_detached(&self, now: Tick) {
        self.detached.store(now.0, Ordering::Relaxed);
    }

    /// For how long nothing has carried a session that nothing carries.
    pub(crate) fn detached_for(&self, now: Tick) -> Duration {
        now.since(Tick(self.detached.load(Ordering::Relaxed)))
    }

    /// Whether the carrier has to say something now, to a client that was last heard at `seen`.
    pub(crate) fn is_ping_due(&self, seen: Tick, now: Tick) -> bool {
        let beat = Duration::from_millis(self.beat_ms.load(Ordering::Relaxed).into());
        let pinged = Tick(self.pinged.load(Ordering::Relaxed));
        let is_due = now.since(seen) >= beat && (pinged.0 == 0 || now.since(pinged) >= beat);
        if is_due {
            self.pinged.store(now.0, Ordering::Relaxed);
        }
        is_due
    }
}
