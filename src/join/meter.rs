//! What is counted of the joins of a route.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use lapwing_transports::tally::{Distribution, Histogram, Words};

/// Upper bounds of the time of a callback, in nanoseconds.
const DURATIONS: [u64; 16] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
    5_000_000_000,
    30_000_000_000,
];

/// A callback of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callback {
    Join,
    Joined,
    HandleIn,
    HandleInfo,
    HandleOut,
    HandleBroadcast,
    HandleGap,
    Away,
    Back,
    Leave,
}

impl Callback {
    pub(crate) const ALL: [Self; 10] = [
        Self::Join,
        Self::Joined,
        Self::HandleIn,
        Self::HandleInfo,
        Self::HandleOut,
        Self::HandleBroadcast,
        Self::HandleGap,
        Self::Away,
        Self::Back,
        Self::Leave,
    ];

    /// Its name in a channel.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Joined => "joined",
            Self::HandleIn => "handle_in",
            Self::HandleInfo => "handle_info",
            Self::HandleOut => "handle_out",
            Self::HandleBroadcast => "handle_broadcast",
            Self::HandleGap => "handle_gap",
            Self::Away => "away",
            Self::Back => "back",
            Self::Leave => "leave",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Meter {
    durations: [Histogram; Callback::ALL.len()],
    failed: [AtomicU64; Callback::ALL.len()],
    panicked: [AtomicU64; Callback::ALL.len()],
    /// What became of those that asked.
    pub(crate) decided: Words<6>,
    /// Why those ended that had begun.
    pub(crate) ended: Words<9>,
    /// For what a mailbox had no room.
    pub(crate) full: Words<3>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            durations: [const { Histogram::new(&DURATIONS) }; Callback::ALL.len()],
            failed: Default::default(),
            panicked: Default::default(),
            decided: Words::new(["ok", "refused", "failed", "panicked", "unavailable", "joined_again"]),
            ended: Words::new([
                "left",
                "disconnected",
                "kicked",
                "joined_again",
                "draining",
                "crashed",
                "killed",
                "missed",
                "moved",
            ]),
            full: Words::new(["client", "broadcast", "sender"]),
        }
    }
}

impl Meter {
    pub(crate) fn called(&self, callback: Callback, time: Duration) {
        self.durations[callback as usize].record_time(time);
    }

    pub(crate) fn failed(&self, callback: Callback) {
        self.failed[callback as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn panicked(&self, callback: Callback) {
        self.panicked[callback as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How long a callback took, in nanoseconds; `None` if it was never called.
    pub(crate) fn durations(&self, callback: Callback) -> Option<Distribution> {
        let durations = &self.durations[callback as usize];
        (!durations.is_empty()).then(|| durations.read())
    }

    /// How often a callback returned an error, and panicked.
    pub(crate) fn failures(&self, callback: Callback) -> [(&'static str, u64); 2] {
        let load = |counts: &[AtomicU64]| counts[callback as usize].load(Ordering::Relaxed);
        [("failed", load(&self.failed)), ("panicked", load(&self.panicked))]
    }
}
