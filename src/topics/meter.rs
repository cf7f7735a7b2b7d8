//! What is counted of broadcasts.

use std::time::Duration;

use lapwing_transports::tally::{Counter, Distribution, Histogram, Words};

/// Upper bounds of a number of subscribers.
const RECEIVERS: [u64; 14] = [0, 1, 2, 5, 10, 20, 50, 100, 500, 1_000, 5_000, 10_000, 50_000, 100_000];

/// Upper bounds of the time of a fan-out, in nanoseconds.
const DURATIONS: [u64; 14] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    100_000,
    250_000,
    1_000_000,
    2_500_000,
    10_000_000,
    25_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
];

/// Where a broadcast comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// This node's program and its channels.
    Program,
    /// Another node.
    Node,
    /// Presence of this node.
    Presence,
}

impl Source {
    pub(crate) const ALL: [Self; 3] = [Self::Program, Self::Node, Self::Presence];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Node => "node",
            Self::Presence => "presence",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Meter {
    receivers: [Histogram; Source::ALL.len()],
    durations: [Histogram; Source::ALL.len()],
    /// Broadcasts that did not reach everybody.
    pub(crate) failed: Words<6>,
    /// Joins of kept topics that asked for what they missed.
    pub(crate) recoveries: Words<5>,
    /// Broadcasts that a task of the program did not take.
    pub(crate) dropped: Counter,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            receivers: [const { Histogram::new(&RECEIVERS) }; Source::ALL.len()],
            durations: [const { Histogram::new(&DURATIONS) }; Source::ALL.len()],
            failed: Words::new(["encode", "pubsub", "too_large", "not_kept", "reserved_event", "invalid"]),
            recoveries: Words::new(["recovered", "epoch", "trimmed", "too_many", "unreadable"]),
            dropped: Counter::default(),
        }
    }
}

impl Meter {
    pub(super) fn dispatched(&self, source: Source, receivers: usize, time: Duration) {
        self.receivers[source as usize].record(receivers as u64);
        self.durations[source as usize].record_time(time);
    }

    /// How many subscribers broadcasts had, and how long it took to queue them, in nanoseconds.
    pub(crate) fn dispatches(&self, source: Source) -> (Distribution, Distribution) {
        (self.receivers[source as usize].read(), self.durations[source as usize].read())
    }
}
