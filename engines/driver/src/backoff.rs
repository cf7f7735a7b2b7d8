//! How long to wait before the next attempt to connect.

use std::time::Duration;

/// Pauses that double from the first to the longest. Each is drawn between half of it and the whole, so that nodes that lost the
/// engine together do not come back together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// The pause after one more failure; `dice` are random bits.
    pub(crate) fn pause(&mut self, dice: u64) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.failures.min(20));
        self.failures += 1;
        let whole = doubled.min(self.longest);
        let fraction = (dice >> 11) as f64 / (1_u64 << 53) as f64;
        whole.mul_f64(0.5 + fraction / 2.0)
    }

    /// There was no failure.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew() {
        let (first, longest) = (Duration::from_millis(50), Duration::from_secs(2));
        let mut backoff = Backoff::new(first, longest);
        for whole in [50, 100, 200, 400, 800, 1_600, 2_000, 2_000] {
            let pause = backoff.pause(u64::MAX).as_secs_f64();
            assert!((pause * 1_000.0 - f64::from(whole)).abs() < 0.01, "{pause} s");
        }
        for _ in 0..100 {
            backoff.pause(0);
        }
        assert_eq!(backoff.pause(0), longest / 2, "half of it at least, however often it failed");
        backoff.reset();
        assert_eq!(backoff.pause(0), first / 2);
    }
}
