//! The last changes of one replica, so that what another node lacks costs what it lacks.
//!
//! Phoenix keeps delta generations: a few accumulated deltas of growing size, of which the first that reaches
//! back far enough is sent. One log answers for every clock that it reaches back to, with exactly what is
//! lacking, and two deltas cannot be joined wrongly because there are no two (the second counter-example of
//! phoenix_pubsub's PR 111, and issue 74).

use std::collections::VecDeque;

use crate::{delta::Change, tag::Clock};

/// A log of changes, complete above its floor.
#[derive(Debug)]
pub(crate) struct History {
    /// In the order of the clocks. A change that a later one in the log replaces is a hole: who lacks it
    /// lacks the later one too.
    log: VecDeque<(Clock, Option<Change>)>,
    holes: usize,
    /// Every change after this clock is in the log, or replaced by one that is.
    floor: Clock,
    /// The bytes that the changes in the log take.
    bytes: usize,
    changes_max: usize,
    bytes_max: usize,
}

/// Below this length holes are not worth a pass over the log.
const COMPACT_MIN: usize = 64;

impl History {
    pub(crate) fn new(changes_max: usize, bytes_max: usize) -> Self {
        Self { log: VecDeque::new(), holes: 0, floor: Clock::ZERO, bytes: 0, changes_max, bytes_max }
    }

    /// Remembers a change, later than all that are remembered.
    pub(crate) fn push(&mut self, change: Change) {
        let clock = change.clock();
        debug_assert!(self.log.back().is_none_or(|(last, _)| *last < clock));
        if self.holes * 2 > self.log.len() && self.log.len() > COMPACT_MIN {
            self.log.retain(|(_, change)| change.is_some());
            self.holes = 0;
        }
        let bytes = change.bytes();
        // Room first: pushing first would double the log's block for one element.
        while self.log.len() >= self.changes_max || self.bytes + bytes > self.bytes_max {
            match self.log.pop_front() {
                Some((clock, Some(forgotten))) => {
                    self.floor = clock;
                    self.bytes -= forgotten.bytes();
                }
                Some((_, None)) => self.holes -= 1,
                None => {
                    // Nothing is to be remembered, or the change is larger than all that may be.
                    self.floor = clock;
                    return;
                }
            }
        }
        self.bytes += bytes;
        self.log.push_back((clock, Some(change)));
    }

    /// Forgets the change at `clock`, because the next one to be pushed replaces it.
    pub(crate) fn supersede(&mut self, clock: Clock) {
        let Ok(place) = self.log.binary_search_by_key(&clock, |(clock, _)| *clock) else { return };
        if let Some(replaced) = self.log[place].1.take() {
            self.bytes -= replaced.bytes();
            self.holes += 1;
        }
    }

    /// Forgets everything up to `clock`, because a whole part was taken over.
    pub(crate) fn reset(&mut self, clock: Clock) {
        *self = Self { floor: clock, ..Self::new(self.changes_max, self.bytes_max) };
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
    use proptest::prelude::*;

    use super::*;
    use crate::{
        entry::Entry,
        tag::{Owner, Tag},
    };

    fn change(clock: u64) -> Change {
        sized(clock, 2)
    }

    fn sized(clock: u64, meta_bytes: usize) -> Change {
        let tag = Tag::new(1, Clock::new(clock));
        let meta = vec![b'm'; meta_bytes];
        let entry = Entry::pack(tag, Clock::ZERO, Owner(1), "k", &meta, &mut Vec::new());
        Change::Set { topic: "room".into(), entry }
    }

    fn clocks(history: &History, since: u64) -> Option<Vec<u64>> {
        let changes = history.since(Clock::new(since))?;
        Some(changes.iter().map(|change| change.clock().ticks()).collect())
    }

    impl History {
        /// The counts are those of the log, and within the bounds.
        fn check(&self) {
            let live = || self.log.iter().filter_map(|(_, change)| change.as_ref());
            assert_eq!(self.holes, self.log.len() - live().count());
            assert_eq!(self.bytes, live().map(Change::bytes).sum::<usize>());
            assert!(self.log.len() <= self.changes_max && self.bytes <= self.bytes_max);
            assert!(self.log.front().is_none_or(|(clock, _)| *clock > self.floor));
        }
    }

    #[test]
    fn history_answers_for_every_clock_above_its_floor() {
        let mut history = History::new(3, usize::MAX);
        (1..=5).for_each(|clock| history.push(change(clock)));
        assert_eq!(clocks(&history, 1), None);
        assert_eq!(clocks(&history, 2), Some(vec![3, 4, 5]));
        assert_eq!(clocks(&history, 4), Some(vec![5]));
        assert_eq!(clocks(&history, 5), Some(vec![]));
    }

    #[test]
    fn history_is_bounded_in_bytes_and_remembers_up_to_the_bound() {
        let each = sized(1, 4096).bytes();
        assert!((4096..4300).contains(&each));
        let mut history = History::new(usize::MAX, 3 * each);
        for clock in 1..=5 {
            history.push(sized(clock, 4096));
            history.check();
        }
        assert_eq!(clocks(&history, 1), None);
        assert_eq!(clocks(&history, 2), Some(vec![3, 4, 5]));
        // A change that is larger than all that may be remembered takes everything with it.
        history.push(sized(6, 4 * each));
        history.check();
        assert_eq!((clocks(&history, 5), clocks(&history, 6)), (None, Some(vec![])));
        history.push(sized(7, 4096));
        assert_eq!(clocks(&history, 6), Some(vec![7]));
    }

    #[test]
    fn what_is_replaced_makes_room_for_others() {
        let each = sized(1, 4096).bytes();
        let mut history = History::new(usize::MAX, 3 * each);
        history.push(sized(1, 4096));
        history.push(sized(2, 4096));
        for clock in 3..=200 {
            history.supersede(Clock::new(clock - 1));
            history.supersede(Clock::new(clock - 1));
            history.push(sized(clock, 4096));
            history.check();
        }
        assert_eq!(clocks(&history, 0), Some(vec![1, 200]));
    }

    #[test]
    fn an_update_storm_does_not_push_others_out() {
        let mut history = History::new(100, usize::MAX);
        history.push(change(1));
        history.push(change(2));
        for clock in 3..10_000 {
            history.supersede(Clock::new(clock - 1));
            history.push(change(clock));
            history.check();
        }
        assert_eq!(clocks(&history, 0), Some(vec![1, 9_999]));
    }

    #[test]
    fn holes_are_filled_up_when_they_are_more_than_half_of_a_long_log() {
        // A pass over the log is paid for by as many changes as it drops.
        let with = |len: u64, holes: u64| {
            let mut history = History::new(1000, usize::MAX);
            (1..=len).for_each(|clock| history.push(change(clock)));
            (1..=holes).for_each(|clock| history.supersede(Clock::new(clock)));
            history.push(change(len + 1));
            history.check();
            history.log.len() as u64
        };
        assert_eq!(with(66, 33), 67, "half is not more than half");
        assert_eq!(with(66, 34), 66 - 34 + 1);
        assert_eq!(with(64, 60), 65, "a short log is left as it is");
        assert_eq!(with(65, 60), 65 - 60 + 1);
    }

    #[test]
    fn a_bound_of_nothing_remembers_nothing() {
        for (changes_max, bytes_max) in [(0, usize::MAX), (usize::MAX, 0)] {
            let mut history = History::new(changes_max, bytes_max);
            history.push(change(1));
            assert_eq!(clocks(&history, 0), None);
            assert_eq!(clocks(&history, 1), Some(vec![]));
        }
    }

    #[test]
    fn after_a_whole_part_there_is_no_history_before_it() {
        let mut history = History::new(10, 10_000);
        (1..=5).for_each(|clock| history.push(change(clock)));
        history.supersede(Clock::new(3));
        history.reset(Clock::new(9));
        history.check();
        assert_eq!((clocks(&history, 8), clocks(&history, 9)), (None, Some(vec![])));
        (10..=30).for_each(|clock| history.push(change(clock)));
        assert_eq!(clocks(&history, 20), Some((21..=30).collect()), "the bounds are the same");
        history.check();
    }

    proptest! {
        /// Whatever is pushed and replaced: an answer is complete, and there is one as long as the bounds allow.
        #[test]
        fn an_answer_is_complete_and_nothing_is_forgotten_without_need(
            steps in prop::collection::vec((any::<prop::sample::Index>(), 0..3usize, 0..60usize), 1..300),
            changes_max in 0..200usize,
            bytes_max in prop_oneof![Just(usize::MAX), 0..20_000usize],
        ) {
            let mut history = History::new(changes_max, bytes_max);
            // What is neither replaced nor forgotten, and the last that was forgotten.
            let (mut live, mut forgotten) = (Vec::<(u64, usize)>::new(), 0);
            for (clock, (replaced, replacing, meta_bytes)) in (1..).zip(steps) {
                if replacing > 0 && !live.is_empty() {
                    let (replaced, _) = live.remove(replaced.index(live.len()));
                    history.supersede(Clock::new(replaced));
                }
                let new = sized(clock, meta_bytes);
                let bytes = new.bytes();
                live.push((clock, bytes));
                history.push(new);
                history.check();
                let floor = history.floor.ticks();
                prop_assert!(floor >= forgotten);
                if floor > forgotten {
                    let last = live.iter().rev().find(|(clock, _)| *clock <= floor).expect("it was there");
                    let would_be = history.bytes + last.1;
                    prop_assert!(
                        history.log.len() == changes_max || would_be > bytes_max,
                        "{} changes and {} bytes are within {} and {}, and {} was forgotten",
                        history.log.len(), would_be, changes_max, bytes_max, last.0,
                    );
                    forgotten = floor;
                    live.retain(|(clock, _)| *clock > floor);
                }
                for since in [0, floor.saturating_sub(1), floor, (floor + clock) / 2, clock] {
                    let all: Vec<u64> = live.iter().map(|(clock, _)| *clock).filter(|clock| *clock > since).collect();
                    prop_assert_eq!(clocks(&history, since), (since >= floor).then_some(all));
                }
            }
        }
    }
}
