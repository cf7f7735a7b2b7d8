//! What a server did lately, in numbers, for plots: taken when somebody looks, and at most once a second, as each takes a walk through all
//! sessions.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use lapwing::{Lapwing, Stats};
use serde::Serialize;

/// Ten minutes, where a page asks every two seconds.
const SAMPLES_MAX: usize = 300;
const PERIOD: Duration = Duration::from_secs(1);

/// The last samples.
#[derive(Debug, Default)]
pub(crate) struct Samples(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    samples: VecDeque<Sample>,
    last: Option<Instant>,
}

/// The server at a moment.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    /// Milliseconds since 1970.
    pub(crate) at: u64,
    #[serde(flatten)]
    pub(crate) stats: Stats,
}

impl Samples {
    /// The server now, or as it was less than a second ago.
    pub(crate) fn take(&self, lapwing: &Lapwing) -> Sample {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(last), Some(sample)) = (state.last, state.samples.back())
            && last.elapsed() < PERIOD
        {
            return *sample;
        }
        let sample = Sample { at: millis(SystemTime::now()), stats: lapwing.stats() };
        if state.samples.len() == SAMPLES_MAX {
            state.samples.pop_front();
        }
        state.samples.push_back(sample);
        state.last = Some(Instant::now());
        sample
    }

    /// Those after this moment.
    pub(crate) fn after(&self, at: u64) -> Vec<Sample> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.samples.iter().filter(|sample| sample.at > at).copied().collect()
    }
}

/// Milliseconds since 1970.
pub(crate) fn millis(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_twice_at_once_costs_one_walk() {
        let lapwing = Lapwing::builder().build().unwrap();
        let samples = Samples::default();
        let first = samples.take(&lapwing);
        assert_eq!(samples.take(&lapwing).at, first.at);
        assert_eq!(samples.after(0).len(), 1);
        assert!(samples.after(first.at).is_empty());
    }
}
