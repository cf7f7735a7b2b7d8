//! The last changes of one replica, so that what another node lacks costs what it lacks.
//!
//! Phoenix keeps delta generations: a few accumulated deltas of growing size, of which the first that reaches
//! back far enough is sent. One log answers for every clock that it reaches back to, with exactly what is
//! lacking, and two deltas cannot be joined wrongly because there are no two (the second counter-example of
//! phoenix_pubsub's PR 111, and issue 74).

use std::collections::VecDeque;

use crate::delta::Change;
use crate::tag::Clock;

/// A log of changes, complete above its floor.
#[derive(Debug)]
pub(crate) struct History {
    /// In the order of the clocks. A change that a later one in the log replaces is a hole: who lacks it
    /// lacks the later one too.
    log: VecDeque<(Clock, Option<Change>)>,
    holes: usize,
    /// Every change after this clock is in the log, or replaced by one that is.
    floor: Clock,
    changes_max: usize,
}

/// Below this length holes are not worth a pass over the log.
const COMPACT_MIN: usize = 64;

impl History {
    pub(crate) fn new(changes_max: usize) -> Self {
        Self { log: VecDeque::new(), holes: 0, floor: Clock::ZERO, changes_max }
    }

    /// Remembers a change, later than all that are remembered.
    pub(crate) fn push(&mut self, change: Change) {
        let clock = change.clock();
        debug_assert!(self.log.back().is_none_or(|(last, _)| *last < clock));
        if self.holes * 2 > self.log.len() && self.log.len() > COMPACT_MIN {
            self.log.retain(|(_, change)| change.is_some());
            self.holes = 0;
        }
        // Room first: pushing first would double the log's block for one element.
        while self.log.len() >= self.changes_max {
            match self.log.pop_front() {
                Some((clock, Some(_))) => self.floor = clock,
                Some((_, None)) => self.holes -= 1,
                None => {
                    // Nothing is to be remembered.
                    self.floor = clock;
                    return;
                }
            }
        }
        self.log.push_back((clock, Some(change)));
    }

    /// Forgets the change at `clock`, because the next one to be pushed replaces it.
    pub(crate) fn supersede(&mut self, clock: Clock) {
        let Ok(place) = self.log.binary_search_by_key(&clock, |(clock, _)| *clock) else { return };
        if self.log[place].1.take().is_some() {
            self.holes += 1;
        }
    }

    /// Forgets everything up to `clock`, because a whole part was taken over.
    pub(crate) fn reset(&mut self, clock: Clock) {
        self.log = VecDeque::new();
        self.holes = 0;
        self.floor = clock;
    }

    /// The changes after `clock`, or `None` if they are not all remembered.
    pub(crate) fn since(&self, clock: Clock) -> Option<Vec<Change>> {
        if clock < self.floor {
            return None;
        }
        let start = self.log.partition_point(|(at, _)| *at <= clock);
        Some(self.log.range(start..).filter_map(|(_, change)| change.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;
    use crate::tag::{Owner, Tag};

    fn change(clock: u64) -> Change {
        let tag = Tag::new(1, Clock::new(clock));
        let entry = Entry::pack(tag, Clock::ZERO, Owner(1), "k", b"{}", &mut Vec::new());
        Change::Set { topic: "room".into(), entry }
    }

    fn clocks(history: &History, since: u64) -> Option<Vec<u64>> {
        let changes = history.since(Clock::new(since))?;
        Some(changes.iter().map(|change| change.clock().ticks()).collect())
    }

    #[test]
    fn history_answers_for_every_clock_above_its_floor() {
        let mut history = History::new(3);
        (1..=5).for_each(|clock| history.push(change(clock)));
        assert_eq!(clocks(&history, 1), None);
        assert_eq!(clocks(&history, 2), Some(vec![3, 4, 5]));
        assert_eq!(clocks(&history, 4), Some(vec![5]));
        assert_eq!(clocks(&history, 5), Some(vec![]));
    }

    #[test]
    fn an_update_storm_does_not_push_others_out() {
        let mut history = History::new(100);
        history.push(change(1));
        history.push(change(2));
        for clock in 3..10_000 {
            history.supersede(Clock::new(clock - 1));
            history.push(change(clock));
        }
        assert_eq!(clocks(&history, 0), Some(vec![1, 9_999]));
        assert!(history.log.len() <= 100);
    }

    #[test]
    fn a_bound_of_nothing_remembers_nothing() {
        let mut history = History::new(0);
        history.push(change(1));
        assert_eq!(clocks(&history, 0), None);
        assert_eq!(clocks(&history, 1), Some(vec![]));
    }
}
