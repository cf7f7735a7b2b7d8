//! Joins that missed broadcasts are ended at a pace, so that their clients join again and have their state anew.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use crate::join::{Join, leave_reason::LeaveReason, stop};

/// How often a second some are ended at most.
const TURNS_MAX: u32 = 10;

/// The joins of a mount that are to be ended, in order.
#[derive(Debug)]
pub(crate) struct Rejoins {
    /// So many at a time.
    batch: usize,
    /// Time between two batches.
    interval: Duration,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    joins: VecDeque<Weak<Join>>,
    /// A task is at work.
    has_task: bool,
}

impl Rejoins {
    /// `per_second` is not 0.
    pub(crate) fn new(per_second: u32) -> Self {
        let batch = per_second.div_ceil(TURNS_MAX);
        let interval = Duration::from_secs(1) * batch / per_second;
        Self { batch: batch as usize, interval, waiting: Mutex::default() }
    }

    /// Ends a join when its turn comes. Each join is added once.
    pub(crate) fn add(self: &Arc<Self>, join: &Arc<Join>) {
        let mut waiting = self.waiting();
        waiting.joins.push_back(Arc::downgrade(join));
        if !std::mem::replace(&mut waiting.has_task, true) {
            drop(waiting);
            join.node().spawn(Box::pin(run(Arc::downgrade(self))));
        }
    }

    /// Those whose turn it is. The task ends when there are none.
    fn take(&self) -> Vec<Arc<Join>> {
        let mut waiting = self.waiting();
        let mut batch = Vec::new();
        while batch.len() < self.batch
            && let Some(join) = waiting.joins.pop_front()
        {
            // Those that are over take nobody's turn.
            batch.extend(join.upgrade().filter(|join| !join.is_ended()));
        }
        if batch.is_empty() {
            *waiting = Waiting::default();
        }
        batch
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run(rejoins: Weak<Rejoins>) {
    while let Some(strong) = rejoins.upgrade() {
        let (batch, interval) = (strong.take(), strong.interval);
        drop(strong);
        if batch.is_empty() {
            return;
        }
        batch.iter().for_each(|join| stop(join, LeaveReason::Missed));
        drop(batch);
        tokio::time::sleep(interval).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_so_many_at_a_time() {
        for (per_second, batch, ms) in
            [(1, 1, 1_000), (9, 1, 111), (10, 1, 100), (500, 50, 100), (15, 2, 133)]
        {
            let rejoins = Rejoins::new(per_second);
            assert_eq!((rejoins.batch, rejoins.interval.as_millis()), (batch, ms), "{per_second}");
        }
    }
}
