//! A coarse clock that the sweep moves: reading it costs one load, and no session needs a timer of its own.
//!
//! It tells for how long this program has listened, not what time it is: while the program does not run (it was
//! stopped, its machine slept, its workers were busy) the clients may well have spoken, and nobody looked.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use crate::session::life::Tick;

/// Milliseconds for which the mount has listened, as of the last sweep.
#[derive(Debug)]
pub(crate) struct Clock(AtomicU32);

impl Clock {
    pub(crate) fn new() -> Self {
        // Starts at 1, so that 0 can mean "never".
        Self(AtomicU32::new(1))
    }

    pub(crate) fn now(&self) -> Tick {
        Tick(self.0.load(Ordering::Relaxed))
    }

    /// Moves the clock. Called by the sweep.
    pub(crate) fn set(&self, now: Tick) {
        self.0.store(now.0, Ordering::Relaxed);
    }

    /// Waits for a future for as long as `limit`, as this clock counts it: whoever waits for a client uses this, since
    /// a timer that was slept through proves nothing. Ends up to a period of the sweep later than it has to.
    ///
    /// Cancel safe if the future is.
    pub(crate) async fn timeout<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        let start = self.now();
        let mut future = std::pin::pin!(future);
        let mut left = limit;
        loop {
            if let Ok(done) = tokio::time::timeout(left, future.as_mut()).await {
                return Some(done);
            }
            left = limit.saturating_sub(self.now().since(start));
            if left.is_zero() {
                return None;
            }
            // The clock moves in steps: no use in looking more often.
            left = left.max(limit / 8);
        }
    }
}

/// How the sweep moves the clock: as time goes by, but for time in which this program did not run.
#[derive(Debug)]
pub(crate) struct Pace {
    period: Duration,
    /// When the sweep last ran.
    last: Instant,
    /// For how long the program has listened.
    listened: Duration,
    was_late: bool,
}

/// What a sweep is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) tick: Tick,
    /// Whether silence may be judged. Not at once after a pause: what the clients said meanwhile has to be read first.
    pub(crate) judges: bool,
}

impl Pace {
    pub(crate) fn new(period: Duration, now: Instant) -> Self {
        Self { period, last: now, listened: Duration::ZERO, was_late: false }
    }

    /// A sweep runs: a period at most has gone by, so that no stamp is ever older than a period. One that is late by more
    /// than another period judges nobody. The next one judges even if it is late as well, so that nobody lives for ever on a
    /// machine that is always too busy.
    pub(crate) fn step(&mut self, now: Instant) -> Step {
        let elapsed = now.saturating_duration_since(std::mem::replace(&mut self.last, now));
        let is_late = elapsed > 2 * self.period;
        self.listened += elapsed.min(self.period);
        let judges = !is_late || self.was_late;
        self.was_late = is_late && !judges;
        let millis = self.listened.as_millis() as u32;
        Step { tick: Tick(millis.wrapping_add(1).max(1)), judges }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(100);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_clock_runs_with_the_time_and_loses_no_part_of_a_millisecond() {
        let start = Instant::now();
        let mut pace = Pace::new(PERIOD, start);
        let mut step = Step { tick: Tick(0), judges: false };
        for number in 1..=1_000 {
            step = pace.step(start + number * Duration::from_micros(99_100));
            assert!(step.judges);
        }
        assert_eq!(step.tick.since(Tick(1)), ms(99_100));
    }

    #[test]
    fn a_pause_counts_as_one_period_and_nobody_is_judged_right_after_it() {
        let start = Instant::now();
        let mut pace = Pace::new(PERIOD, start);
        assert_eq!(pace.step(start + ms(100)), Step { tick: Tick(101), judges: true });
        assert_eq!(pace.step(start + ms(300)), Step { tick: Tick(201), judges: true }, "late, but no pause");
        let paused = start + Duration::from_secs(3_600);
        assert_eq!(pace.step(paused), Step { tick: Tick(301), judges: false });
        assert_eq!(pace.step(paused + ms(100)), Step { tick: Tick(401), judges: true });
    }

    #[test]
    fn every_other_sweep_judges_on_a_machine_that_is_always_late() {
        let start = Instant::now();
        let mut pace = Pace::new(PERIOD, start);
        let judged: Vec<_> = (1..=6).map(|number| pace.step(start + number * ms(1_000)).judges).collect();
        assert_eq!(judged, [false, true, false, true, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_that_was_slept_through_waits_until_the_clock_has_come_so_far() {
        let clock = Clock::new();
        let moved = async {
            tokio::time::sleep(ms(350)).await;
            clock.set(Tick(101));
            tokio::time::sleep(ms(100)).await;
            "heard"
        };
        // The timer fires at 100 ms, 200 ms and so on, as the clock stands still.
        assert_eq!(clock.timeout(ms(150), moved).await, Some("heard"));
        let silent = async {
            tokio::time::sleep(ms(120)).await;
            clock.set(Tick(301));
            std::future::pending::<()>().await;
        };
        assert_eq!(clock.timeout(ms(150), silent).await, None);
    }
}
