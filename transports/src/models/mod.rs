//! The hand-overs between tasks, in interleavings that a checker chooses. `scripts/interleavings` runs this.
//!
//! The code is the real one; only its locks are the checker's ([`crate::sync`]), which may switch to another task at each of
//! them. An attachment that sleeps for ever is a deadlock, which the checker reports with the schedule that led to it.

mod calls;
mod connection;
mod waking;

use std::sync::Arc;

use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler},
};

use crate::live::Common;

/// How many interleavings of a model are run, of either kind.
const INTERLEAVINGS: usize = 5_000;

/// Runs a model in interleavings that are chosen at random, and in such that have few switches in rare places.
pub(crate) fn check(model: fn()) {
    let mut config = Config::new();
    config.stack_size = 256 * 1024;
    Runner::new(RandomScheduler::new(INTERLEAVINGS), config.clone()).run(model);
    Runner::new(PctScheduler::new(3, INTERLEAVINGS), config).run(model);
}

pub(crate) fn common() -> Arc<Common> {
    Common::boundless()
}
