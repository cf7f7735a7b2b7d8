//! A coarse clock that the sweep moves: reading it costs one load, and no session needs a timer of its own.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// Milliseconds since the mount was made, as of the last sweep. Wraps after 49 days; only differences count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tick(pub(crate) u32);

impl Tick {
    /// The time from `earlier` to this tick, which must be less than 49 days.
    pub(crate) fn since(self, earlier: Tick) -> Duration {
        Duration::from_millis(u64::from(self.0.wrapping_sub(earlier.0)))
    }
}

#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    now: AtomicU32,
}

impl Clock {
    pub(crate) fn new() -> Self {
        // Starts at 1, so that 0 can mean "never".
        Self { start: Instant::now(), now: AtomicU32::new(1) }
    }

    pub(crate) fn now(&self) -> Tick {
        Tick(self.now.load(Ordering::Relaxed))
    }

    /// Moves the clock to the present. Called by the sweep.
    pub(crate) fn advance(&self) -> Tick {
        let millis = self.start.elapsed().as_millis() as u32;
        let tick = Tick(millis.wrapping_add(1).max(1));
        self.now.store(tick.0, Ordering::Relaxed);
        tick
    }
}
