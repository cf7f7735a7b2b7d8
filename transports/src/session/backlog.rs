//! Frames that wait for a client, and for how long the oldest has.
//!
//! No frame knows when it was pushed: it is of many sessions at once, and a time for each of them would be work for each. What is known is what
//! the sweep finds as it comes by a session for which something waits: how far the session had come at that moment.
//!
//! ```text
//!   pushed:  1 2 3 │ 4 5 6 7 │ 8 9        marks: 3 at t1, 7 at t2. If 5 is the oldest that waits, it has waited since t2 at least
//!                  t1        t2
//! ```
//!
//! What is said is so less than the truth, by two periods of the sweep at most, and by a seventh of the time for which something
//! has waited without a pause.
//!
//! A place in the order counts from when something first waited there: a newer state in the place of an older one is as old
//! as that one, since for so long the client was not told of the thing. What moves up, as others were dropped, is as old as the place
//! that it has then.

use std::{collections::VecDeque, time::Duration};

use super::{Seq, life::Tick};

/// Frames and bytes that wait to be sent to a client, and the age of the oldest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backlog {
    /// Frames.
    pub frames: usize,
    /// Bytes of their payloads.
    pub bytes: usize,
    /// Age of the oldest of them: the time for which it has waited, at least, as of the last sweep. Zero for a client that reads.
    ///
    /// By default a sweep comes by each second, so that this is up to two seconds less than the truth, and a seventh less where
    /// something has waited for more than a quarter of a minute. A newer state in the place of an older one
    /// ([`Policy::Latest`](crate::policy::Policy::Latest)) is as old as that one. Pauses of the program are not counted.
    pub age: Duration,
}

/// Marks of one session. More would say it more exactly than anybody needs.
const MARKS_MAX: usize = 16;

/// The place to which a session had come, and when.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// The last frame that had been pushed.
    last: Seq,
    at: Tick,
}

/// The way of a session on which something waits.
#[derive(Debug, Default)]
pub struct Trail {
    /// Each with a later time and a higher number than the one before.
    marks: VecDeque<Mark>,
}

impl Trail {
    /// The frames from `first` to `last` wait now.
    pub fn note(&mut self, first: Seq, last: Seq, now: Tick) {
        while self.marks.front().is_some_and(|mark| mark.last < first) {
            self.marks.pop_front();
        }
        // Frames that were dropped have no place any more.
        while self.marks.len() > 1 && self.marks[self.marks.len() - 2].last >= last {
            self.marks.pop_back();
        }
        if let Some(newest) = self.marks.back_mut() {
            newest.last = newest.last.min(last);
        }
        if self.marks.back().is_none_or(|newest| newest.last < last) {
            self.marks.push_back(Mark { last, at: now });
        }
        if self.marks.len() > MARKS_MAX {
            self.merge();
        }
    }

    /// Gives up the mark without which the least is unknown: what it tells of counts from the next one then. The first stays, as it is
    /// what is asked for. The smallest of fifteen spans of two steps each is a seventh of all of them at most.
    fn merge(&mut self) {
        let at = |index: usize| self.marks[index].at;
        let span = |index: &usize| at(index + 1).since(at(index - 1));
        if let Some(least) = (1..self.marks.len() - 1).min_by_key(span) {
            self.marks.remove(least);
        }
    }

    /// The time for which `first` has waited, at least.
    #[must_use]
    pub fn age(&self, first: Seq, now: Tick) -> Duration {
        let mark = self.marks.iter().find(|mark| mark.last >= first);
        mark.map_or(Duration::ZERO, |mark| now.since(mark.at))
    }

    /// Nothing waits.
    pub fn clear(&mut self) {
        self.marks = VecDeque::new();
    }

    /// Whether nothing has waited when the sweep last came by.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PERIOD: u32 = 1_000;

    /// A queue of which the times are known.
    #[derive(Default)]
    struct Model {
        /// When each frame was pushed that waits.
        pushed: VecDeque<u32>,
        sent: u64,
        /// Since when something waits.
        since: u32,
        /// For how long something has waited at most.
        longest: u32,
    }

    impl Model {
        fn first(&self) -> Seq {
            Seq(self.sent + 1)
        }

        fn last(&self) -> Seq {
            Seq(self.sent + self.pushed.len() as u64)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        /// Never more than the truth, and not much less.
        #[test]
        fn what_is_said_is_as_exact_as_it_is_said_to_be(steps in prop::collection::vec((0_u32..900, 0_usize..6, 0_usize..6), 1..400)) {
            let (mut model, mut trail) = (Model::default(), Trail::default());
            let (mut now, mut swept) = (1_u32, 1_u32);
            for (ms, pushed, sent) in steps {
                now += ms;
                if model.pushed.is_empty() {
                    model.since = now;
                }
                model.pushed.extend(std::iter::repeat_n(now, pushed));
                let sent = sent.min(model.pushed.len());
                model.pushed.drain(..sent);
                model.sent += sent as u64;
                // A sweep comes each period, and later than it should by less than a step.
                if now - swept >= PERIOD {
                    swept = now;
                    match model.pushed.is_empty() {
                        true => trail.clear(),
                        false => trail.note(model.first(), model.last(), Tick(now)),
                    }
                }
                if model.pushed.is_empty() {
                    model.longest = 0;
                    prop_assert_eq!(trail.age(model.first(), Tick(swept)), Duration::ZERO);
                    continue;
                }
                model.longest = model.longest.max(now - model.since);
                let truth = now - model.pushed[0];
                let said = trail.age(model.first(), Tick(swept)).as_millis() as u32;
                let late = 2 * (PERIOD + 900) + model.longest / 7;
                prop_assert!(said <= truth && truth <= said + late, "{} of {}: {:?}", said, truth, trail);
                prop_assert!(trail.marks.len() <= MARKS_MAX);
            }
        }
    }

    #[test]
    fn what_waits_without_an_end_is_as_old_as_its_place_and_takes_no_more_room() {
        let mut trail = Trail::default();
        for second in 1..=10_000_u32 {
            trail.note(Seq(1), Seq(u64::from(second)), Tick(second * 1_000));
        }
        let age = |number| trail.age(Seq(number), Tick(10_000_000)).as_secs();
        assert_eq!((age(1), age(10_000), age(10_001)), (9_999, 0, 0));
        let middle = age(5_000);
        assert!((3_750..=5_000).contains(&middle), "{middle}");
        assert!(trail.marks.len() <= MARKS_MAX && trail.marks.capacity() <= 4 * MARKS_MAX);
    }

    /// Of all that waits, not only of the oldest: that one may be sent at any moment.
    #[test]
    fn the_age_of_every_place_is_known_to_a_seventh_of_the_time() {
        let steadily = |_| 1;
        let in_pairs_and_ever_more_seldom = |number: u32| if number % 2 == 1 { number } else { 1 };
        for pause in [steadily, in_pairs_and_ever_more_seldom] {
            let (mut trail, mut now, mut pushed) = (Trail::default(), 0, Vec::new());
            for number in 1..=200 {
                now += pause(number);
                pushed.push(now);
                trail.note(Seq(1), Seq(number.into()), Tick(now));
                for (place, pushed) in (1..).zip(&pushed) {
                    let said = trail.age(Seq(place), Tick(now)).as_millis() as u32;
                    let truth = now - pushed;
                    assert!(
                        said <= truth && truth <= said + now / 7,
                        "{said} of {truth} after {now}: {trail:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn while_nothing_comes_the_age_of_what_waits_stays_known() {
        let mut trail = Trail::default();
        trail.note(Seq(1), Seq(3), Tick(1_000));
        (2..100).for_each(|second| trail.note(Seq(1), Seq(6), Tick(second * 1_000)));
        let age = |number| trail.age(Seq(number), Tick(100_000)).as_secs();
        assert_eq!((age(1), age(3), age(4), age(6)), (99, 99, 98, 98));
    }

    /// As where the oldest of a kind are dropped: what comes later has a place that somebody had before.
    #[test]
    fn a_place_that_is_given_up_is_as_old_as_who_takes_it_next() {
        let mut trail = Trail::default();
        trail.note(Seq(1), Seq(5), Tick(1_000));
        trail.note(Seq(1), Seq(10), Tick(2_000));
        trail.note(Seq(1), Seq(3), Tick(3_000));
        trail.note(Seq(1), Seq(10), Tick(4_000));
        let ages: Vec<_> = [1, 3, 4, 10].map(|first| trail.age(Seq(first), Tick(5_000)).as_secs()).into();
        assert_eq!(ages, [4, 4, 1, 1]);
        trail.note(Seq(1), Seq(8), Tick(5_000));
        assert_eq!([4, 8, 9].map(|first| trail.age(Seq(first), Tick(5_000)).as_secs()), [1, 1, 0]);
        trail.note(Seq(11), Seq(11), Tick(6_000));
        assert!(!trail.is_empty());
        assert_eq!(trail.age(Seq(11), Tick(7_000)).as_secs(), 1);
        trail.clear();
        assert!(trail.is_empty() && trail.age(Seq(11), Tick(8_000)).is_zero());
    }
}
