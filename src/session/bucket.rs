//! Token buckets, in eight bytes or in four. Pure: the time is an argument.
//!
//! Kept is when the bucket will be full again (the "theoretical arrival time" of GCRA): each event moves that by the time in which one
//! more is earned, and what would move it further than the burst ahead is too much.
//!
//! In four bytes, times are ticks that wrap; a mark that is further ahead than any event can move it is from long ago, and the bucket is
//! full. That does not tell all times apart: a mark of 4.6 hours ago looks as if it lay ahead. So a new bucket begins with the time that it is, and only
//! what takes something every few minutes has one of four bytes.

use std::time::Duration;

/// Ticks of a millisecond. In four bytes they wrap after 4.6 hours.
const TICKS_PER_MS: u64 = 256;

/// The furthest that a mark is ahead: a third of what a tick can say.
const AHEAD_MAX: u64 = u32::MAX as u64 / 3;

/// A rate: so many in a time on average, and so many at once.
///
/// ```
/// use std::time::Duration;
/// use lapwing::Rate;
///
/// let rate = Rate::new(10, Duration::from_secs(60)).burst(20);
/// assert!(format!("{rate:?}").contains("20"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    time: Duration,
    burst: u32,
}

impl Rate {
    /// `count` in `time`, and as many at once.
    #[must_use]
    pub fn new(count: u32, time: Duration) -> Self {
        Self { count, time, burst: count }
    }

    /// A rate of so many in a second, and as many at once.
    #[must_use]
    pub fn per_second(count: u32) -> Self {
        Self::new(count, Duration::from_secs(1))
    }

    /// Sets how many may come at once, after a while in which there were none.
    #[must_use]
    pub fn burst(mut self, burst: u32) -> Self {
        self.burst = burst;
        self
    }

    /// The rate in ticks; why there is none, if there is none.
    pub(crate) fn pace(&self) -> Result<Pace, &'static str> {
        let ticks = self.time.as_micros().saturating_mul(TICKS_PER_MS.into()) / 1_000;
        let interval = ticks.checked_div(self.count.into()).ok_or("nothing at all is no rate")?;
        if interval == 0 {
            return Err("at most 256,000 in a second can be told apart");
        }
        if self.burst == 0 {
            return Err("a burst of 0 lets nothing in");
        }
        let ahead = interval.saturating_mul(self.burst.into());
        if ahead > AHEAD_MAX.into() {
            return Err("a burst is earned within 90 minutes");
        }
        Ok(Pace { interval: interval as u32, ahead: ahead as u32 })
    }
}

/// A rate as buckets need it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The time in which one is earned.
    interval: u32,
    /// How far ahead a mark may be.
    ahead: u32,
}

impl Pace {
    /// Takes one out of a bucket of eight bytes. Returns the bucket's mark from now on, or `None` if it is empty.
    pub(crate) fn take_of(self, mark: u64, now: u64) -> Option<u64> {
        let ahead = mark.saturating_sub(now) + u64::from(self.interval);
        (ahead <= self.ahead.into()).then_some(now + ahead)
    }

    /// The time after which a bucket of eight bytes has one.
    pub(crate) fn wait_of(self, mark: u64, now: u64) -> Duration {
        let ahead = mark.saturating_sub(now) + u64::from(self.interval);
        Duration::from_micros(ahead.saturating_sub(self.ahead.into()) * 1_000 / TICKS_PER_MS)
    }

    /// Takes one out of a bucket of four bytes. Returns the bucket's mark from now on, or `None` if it is empty.
    pub(crate) fn take(self, mark: u32, now: u32) -> Option<u32> {
        let ahead = self.debt(mark, now) + self.interval;
        (ahead <= self.ahead).then(|| now.wrapping_add(ahead))
    }

    /// How far a mark is ahead: 0 for a bucket that is full.
    pub(crate) fn debt(self, mark: u32, now: u32) -> u32 {
        let ahead = mark.wrapping_sub(now);
        if ahead > self.ahead { 0 } else { ahead }
    }
}

/// A time since some beginning, in ticks.
pub(crate) fn ticks(since: Duration) -> u64 {
    // Room for two million years.
    (since.as_micros() * u128::from(TICKS_PER_MS) / 1_000) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> u32 {
        ticks(Duration::from_millis(ms)) as u32
    }

    #[test]
    fn a_full_bucket_gives_its_burst_and_then_what_is_earned() {
        let pace = Rate::per_second(10).burst(3).pace().unwrap();
        let mut mark = 0;
        let mut take = |at| pace.take(mark, ms(at)).map(|next| mark = next).is_some();
        assert_eq!([5, 5, 5, 5].map(&mut take), [true, true, true, false]);
        assert_eq!([104, 105, 105].map(&mut take), [false, true, false]);
        assert_eq!([10_000; 4].map(&mut take), [true, true, true, false]);
    }

    #[test]
    fn who_waits_as_long_as_is_said_has_one_and_not_before() {
        let pace = Rate::new(10, Duration::from_secs(1)).burst(2).pace().unwrap();
        let at = |ms| ticks(Duration::from_millis(ms));
        let mark = [5, 5].into_iter().fold(0, |mark, ms| pace.take_of(mark, at(ms)).unwrap());
        for (ms, wait) in [(5, 100), (30, 75), (105, 0), (9_000, 0)] {
            assert_eq!(pace.wait_of(mark, at(ms)), Duration::from_millis(wait));
            assert!(pace.take_of(mark, at(ms + wait)).is_some());
            assert!(wait == 0 || pace.take_of(mark, at(ms + wait - 1)).is_none());
        }
    }

    #[test]
    fn rates_that_cannot_be_kept_are_found_out() {
        assert!(Rate::per_second(0).pace().is_err());
        assert!(Rate::per_second(256_001).pace().is_err());
        assert!(Rate::per_second(1).burst(0).pace().is_err());
        assert!(Rate::new(1, Duration::from_secs(3_600)).burst(2).pace().is_err());
        assert!(Rate::new(1, Duration::from_secs(3_600)).pace().is_ok());
        let burst = Rate::new(1, Duration::from_micros(1_118_481_067)).burst(5);
        assert_eq!(burst.pace().map(|pace| u64::from(pace.ahead)).ok(), Some(AHEAD_MAX), "to the tick");
        assert!(Rate::new(u32::MAX, Duration::MAX).burst(u32::MAX).pace().is_err());
    }

    proptest! {
        /// Against a bucket of floating-point tokens, over days, so that ticks wrap: never more than burst and rate allow, and no less
        /// but for the rounding of an interval.
        #[test]
        fn no_more_than_the_rate_and_no_less(
            rate in 1u32..1_000,
            burst in 1u32..500,
            pauses in proptest::collection::vec(prop_oneof![4 => 0u64..20, 2 => 0u64..2_000, 1 => 0u64..3_600_000], 1..400),
        ) {
            let pace = Rate::per_second(rate).burst(burst).pace().unwrap();
            let (mut mark, mut wide, mut now_ms, mut tokens) = (ms(7), 0, 7u64, f64::from(burst));
            for pause in pauses {
                now_ms += pause;
                tokens = (tokens + pause as f64 * f64::from(rate) / 1_000.0 * 1.005).min(f64::from(burst));
                let taken = pace.take(mark, ms(now_ms));
                let taken_wide = pace.take_of(wide, ticks(Duration::from_millis(now_ms)));
                prop_assert_eq!(taken.is_some(), taken_wide.is_some());
                wide = taken_wide.unwrap_or(wide);
                prop_assert!(taken.is_none() || tokens > 0.99, "{tokens} tokens at {now_ms}");
                // Down to a token, a mark may be as much behind as its interval was rounded.
                prop_assert!(taken.is_some() || tokens < 2.0 + f64::from(burst) * 0.01, "{tokens} tokens at {now_ms}");
                if let Some(next) = taken {
                    mark = next;
                    tokens -= 1.0;
                }
            }
        }
    }
}
