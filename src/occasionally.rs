//! Log lines that the same cause may ask for again and again.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How often a line is written at most.
const PERIOD: Duration = Duration::from_secs(1);

/// Lets one line a second through and counts the others: what clients can bring about again and again, such as a crash,
/// tells no more the thousandth time, and must not fill the disk.
#[derive(Debug, Default)]
pub(crate) struct Occasionally(Mutex<Option<Passed>>);

#[derive(Debug)]
struct Passed {
    /// When the last line was let through.
    at: Instant,
    /// How many were not since.
    over: u64,
}

impl Occasionally {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// How many lines were passed over since the last one; `None` if this one is, too.
    pub(crate) fn let_through(&self) -> Option<u64> {
        self.let_through_at(Instant::now())
    }

    fn let_through_at(&self, now: Instant) -> Option<u64> {
        let mut passed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *passed {
            Some(passed) if now.saturating_duration_since(passed.at) < PERIOD => {
                passed.over += 1;
                None
            }
            passed => passed.replace(Passed { at: now, over: 0 }).map_or(Some(0), |passed| Some(passed.over)),
        }
    }
}

/// Writes a line of this level unless one of its kind was written within the last second. The line says how many were not.
macro_rules! occasionally {
    ($limit:expr, $level:ident, $($line:tt)*) => {
        if let Some(passed_over) = $limit.let_through() {
            tracing::$level!(passed_over, $($line)*);
        }
    };
}

pub(crate) use occasionally;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_is_let_through_and_the_others_are_counted() {
        let (limit, start) = (Occasionally::default(), Instant::now());
        assert_eq!(limit.let_through_at(start), Some(0));
        for n in 1..1_000 {
            assert_eq!(limit.let_through_at(start + PERIOD * n / 1_000), None);
        }
        assert_eq!(limit.let_through_at(start + PERIOD), Some(999));
        assert_eq!(limit.let_through_at(start), None, "a clock that goes back opens nothing");
        assert_eq!(limit.let_through_at(start + PERIOD * 5), Some(1));
        assert_eq!(limit.let_through_at(start + PERIOD * 10), Some(0));
    }
}
