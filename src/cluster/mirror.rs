//! Where a node stands in the order that a store gives a topic.
//!
//! ```text
//!   the store:  … 41  42  43  44  45          what is published comes by the topic's channel, as a rule in order and once
//!                          ▲
//!   this node:             at ── 44 comes: the next one, delivered
//!                             ── 45 comes: behind a hole, held while what is missing is read
//!                             ── 42 comes: known, or of another order: then what is there is read, too
//! ```
//!
//! Pure. Laws, which the model holds over random schedules of several nodes and a store that loses things:
//!
//! 1. What is delivered is a part of the store's orders: each entry once, and behind what stands before it there.
//! 2. Where something that was published between two deliveries is not delivered, a gap is told before the second of them.
//! 3. Nothing is held for longer than until the end of the next read.

use lapwing_cluster::wire::{Kept, Place};
use lapwing_cluster_driver::store::{Page, Refused};

/// Entries that are held while something is read. Beyond it all are let go, and read.
const HELD_MAX: usize = 1_024;

/// Bytes of them.
const HELD_BYTES_MAX: usize = 1024 * 1024;

/// A node's place in one topic.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    /// Up to here all is delivered, or told as a gap; none before the first read.
    at: Option<Place>,
    /// How many reads were begun, and how many of them are over: one more, or as many.
    begun: u64,
    ended: u64,
    /// What is read now may lack something: it is read again.
    is_doubted: bool,
    held: Vec<Held>,
    held_bytes: usize,
    /// How many of those that are held came before the read began: it has them, or they are of an order that is lost.
    covered: usize,
}

/// An entry that is held while something is read.
#[derive(Debug)]
struct Held {
    kept: Kept,
    /// Another one was remembered in its place when it came. By the end of the read nothing may be.
    is_ousted: bool,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// What is remembered of the topic goes on from a place, with these. Nobody is given them.
    Restart(Place, Vec<Kept>),
    /// Members missed something.
    Gap(Refused),
    /// Give it to the members, and remember it.
    Deliver(Kept),
    /// Read what stands behind this place, all of it, and say what came of it to [`Mirror::handle_page`].
    Read(Option<Place>),
}

impl Mirror {
    /// Reads what the store has, or has it read again if it may have more by now. Returns the number of the read that is up to date.
    pub(crate) fn verify(&mut self, steps: &mut Vec<Step>) -> u64 {
        if self.is_reading() {
            self.is_doubted = true;
            return self.begun + 1;
        }
        self.read(steps);
        self.begun
    }

    /// How many reads are over.
    pub(crate) fn reads(&self) -> u64 {
        self.ended
    }

    /// Something was published. `known` has the checks of the places that are remembered.
    pub(crate) fn handle_kept(
        &mut self,
        kept: Kept,
        known: impl Fn(u64) -> Option<u32> + Copy,
        steps: &mut Vec<Step>,
    ) {
        if self.begun == 0 {
            // Nobody is there yet.
            return;
        }
        let is_ousted = self.at.is_some_and(|at| at.epoch == kept.place.epoch)
            && known(kept.place.number).is_some_and(|check| check != kept.place.check);
        if self.is_reading() {
            return self.hold(Held { kept, is_ousted });
        }
        if !self.settle(&kept, known, steps) {
            self.hold(Held { kept, is_ousted });
            self.read(steps);
        }
    }

    /// What the store has behind the place that was to be read from, all of it; or all that it has, and why.
    pub(crate) fn handle_page(
        &mut self,
        page: Page,
        known: impl Fn(u64) -> Option<u32> + Copy,
        steps: &mut Vec<Step>,
    ) {
        let (at, end, read_after) = (self.at, page.end(), page.after.number);
        let read: Vec<Place> = page.entries.iter().map(|kept| kept.place).collect();
        match (self.at, page.refused) {
            (None, _) => steps.push(Step::Restart(page.after, page.entries)),
            (Some(_), None) => steps.extend(page.entries.into_iter().map(Step::Deliver)),
            (Some(at), Some(refused)) => {
                steps.push(Step::Gap(refused));
                let heard = heard_until(at, &page, known);
                let (old, new) = page.entries.into_iter().partition(|it: &Kept| it.place.number <= heard);
                steps.push(Step::Restart(page.after, old));
                let new: Vec<Kept> = new;
                steps.extend(new.into_iter().map(Step::Deliver));
            }
        }
        self.at = Some(end);
        self.ended = self.begun;
        // What lies before the page and is not remembered any more is taken for what was heard.
        let is_in_order = |&Held { ref kept, is_ousted }: &Held| {
            let place = kept.place;
            place.epoch == end.epoch
                && (read.contains(&place)
                    || !is_ousted
                        && place.number <= read_after
                        && known(place.number).is_none_or(|check| check == place.check))
        };
        self.settle_held(is_in_order, at.is_some(), steps);
        if std::mem::take(&mut self.is_doubted) && !self.is_reading() {
            self.read(steps);
        }
    }

    fn is_reading(&self) -> bool {
        self.ended < self.begun
    }

    fn read(&mut self, steps: &mut Vec<Step>) {
        self.begun += 1;
        self.covered = self.held.len();
        steps.push(Step::Read(self.at));
    }

    fn hold(&mut self, held: Held) {
        self.held_bytes += held.kept.entry.len();
        self.held.push(held);
        if self.held.len() > HELD_MAX || self.held_bytes > HELD_BYTES_MAX {
            self.held = Vec::new();
            (self.held_bytes, self.covered, self.is_doubted) = (0, 0, true);
        }
    }

    /// Goes through what was held while something was read.
    fn settle_held(
        &mut self,
        is_in_order: impl Fn(&Held) -> bool,
        mut must_tell: bool,
        steps: &mut Vec<Step>,
    ) {
        let (held, covered) = (std::mem::take(&mut self.held), std::mem::take(&mut self.covered));
        self.held_bytes = 0;
        for (index, held) in held.into_iter().enumerate() {
            if self.is_reading() {
                self.hold(held);
            } else if self.goes_on(&held.kept, steps) || is_in_order(&held) {
                // Nothing is missing because of it.
            } else if index >= covered {
                self.hold(held);
                self.read(steps);
            } else if std::mem::take(&mut must_tell) {
                // It was published before the store was read, and the store does not have it: it has lost it, and gone on.
                steps.push(Step::Gap(Refused::Epoch));
            }
        }
    }

    /// Whether it is the next entry, which is delivered.
    fn goes_on(&mut self, kept: &Kept, steps: &mut Vec<Step>) -> bool {
        let is_next = self.at == Some(kept.place_before());
        if is_next {
            self.at = Some(kept.place);
            steps.push(Step::Deliver(kept.clone()));
        }
        is_next
    }

    /// Whether it is the next entry, or one that is known.
    fn settle(&mut self, kept: &Kept, known: impl Fn(u64) -> Option<u32>, steps: &mut Vec<Step>) -> bool {
        self.goes_on(kept, steps)
            || self.at.is_some_and(|at| at.epoch == kept.place.epoch)
                && known(kept.place.number) == Some(kept.place.check)
    }
}

/// The number up to which members have heard what a page has that does not go on from where they are.
fn heard_until(at: Place, page: &Page, known: impl Fn(u64) -> Option<u32>) -> u64 {
    if page.after.epoch != at.epoch {
        return 0;
    }
    let is_known = |place: Place| known(place.number) == Some(place.check);
    let last = page.entries.iter().map(|kept| kept.place).rfind(|place| is_known(*place));
    match last {
        Some(place) => place.number,
        None if is_known(page.after) => page.after.number,
        // They may have heard any of them.
        None => at.number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(number: u64, bytes: usize) -> Kept {
        let (check, before) = (number as u32, number as u32 - 1);
        Kept { place: Place { epoch: 1, number, check }, before, entry: vec![0; bytes].into() }
    }

    fn page(after: u64, entries: Vec<Kept>) -> Page {
        let after = Place { epoch: 1, number: after, check: after as u32 };
        Page { refused: None, after, entries, has_more: false }
    }

    /// A mirror that stands at the first entry, and reads what is before the third.
    fn behind_a_hole() -> Mirror {
        let (mut mirror, mut steps) = (Mirror::default(), Vec::new());
        mirror.verify(&mut steps);
        mirror.handle_page(page(0, vec![kept(1, 0)]), |_| None, &mut steps);
        steps.clear();
        mirror.handle_kept(kept(3, 0), |_| None, &mut steps);
        assert_eq!(steps, [Step::Read(Some(kept(1, 0).place))]);
        mirror
    }

    #[test]
    fn what_is_held_is_bounded_and_read_again_beyond_that() {
        for (count, bytes) in [(HELD_MAX as u64, 0), (4, HELD_BYTES_MAX / 3)] {
            let (mut mirror, mut steps) = (behind_a_hole(), Vec::new());
            let last = 3 + count;
            for number in 4..=last {
                mirror.handle_kept(kept(number, bytes), |_| None, &mut steps);
                assert!(mirror.held.len() <= HELD_MAX && mirror.held_bytes <= HELD_BYTES_MAX);
            }
            assert_eq!(steps, [], "it reads already");
            mirror.handle_page(page(1, vec![kept(2, 0), kept(3, 0)]), |_| None, &mut steps);
            let at = Some(kept(3, 0).place);
            let delivered = [Step::Deliver(kept(2, 0)), Step::Deliver(kept(3, 0))];
            assert_eq!((&steps[..2], &steps[2]), (&delivered[..], &Step::Read(at)));
        }
    }

    #[test]
    fn as_much_is_held_as_may_be_and_nothing_beyond_that() {
        for (count, bytes) in [(HELD_MAX as u64 - 1, 0), (1, HELD_BYTES_MAX)] {
            let (mut mirror, mut steps) = (behind_a_hole(), Vec::new());
            for number in 4..4 + count {
                mirror.handle_kept(kept(number, bytes), |_| None, &mut steps);
            }
            assert_eq!((mirror.held.len() as u64, mirror.held_bytes), (1 + count, bytes));
            mirror.handle_kept(kept(4 + count, 1), |_| None, &mut steps);
            assert_eq!((mirror.held.len(), mirror.held_bytes), (0, 0));
        }
    }

    #[test]
    fn a_read_that_may_be_too_old_is_followed_by_another_and_who_waits_is_told_which() {
        let (mut mirror, mut steps) = (behind_a_hole(), Vec::new());
        assert_eq!((mirror.reads(), mirror.verify(&mut steps)), (1, 3));
        assert_eq!(steps, []);
        mirror.handle_page(page(1, vec![kept(2, 0)]), |_| None, &mut steps);
        assert_eq!((mirror.reads(), steps.last()), (2, Some(&Step::Read(Some(kept(3, 0).place)))));
        mirror.handle_page(page(3, Vec::new()), |_| None, &mut steps);
        assert_eq!(mirror.reads(), 3);
    }

    /// A mirror that stands at the fifth entry, and reads nothing.
    fn at_five() -> Mirror {
        let (mut mirror, mut steps) = (Mirror::default(), Vec::new());
        mirror.verify(&mut steps);
        mirror.handle_page(page(5, Vec::new()), |_| None, &mut steps);
        assert_eq!(steps, [Step::Read(None), Step::Restart(kept(5, 0).place, Vec::new())]);
        mirror
    }

    /// An entry that is another one than the node knows under that number.
    fn other(number: u64) -> Kept {
        let mut other = kept(number, 0);
        (other.place.check, other.before) = (number as u32 + 90, number as u32 + 89);
        other
    }

    #[test]
    fn what_is_known_is_passed_by_and_what_has_its_number_alone_is_looked_for() {
        let elsewhere = Place { epoch: 2, ..kept(4, 0).place };
        for (came, is_known) in
            [(kept(4, 0), true), (other(4), false), (Kept { place: elsewhere, ..kept(4, 0) }, false)]
        {
            let (mut mirror, mut steps) = (at_five(), Vec::new());
            mirror.handle_kept(came, |number| Some(number as u32), &mut steps);
            let expected = if is_known { vec![] } else { vec![Step::Read(Some(kept(5, 0).place))] };
            assert_eq!(steps, expected);
        }
    }

    #[test]
    fn what_came_before_a_read_and_is_not_in_it_was_heard_long_ago_or_is_lost() {
        type Known = fn(u64) -> Option<u32>;
        let (nothing, four): (Known, Known) = (|_| None, |number| (number == 4).then_some(4));
        let elsewhere = Place { epoch: 2, ..kept(4, 0).place };
        for (came, known_before, known_after, is_lost) in [
            (kept(4, 0), nothing, nothing, false),
            (kept(4, 0), nothing, four, false),
            (other(4), four, nothing, true),
            (other(4), nothing, four, true),
            (Kept { place: elsewhere, ..kept(4, 0) }, nothing, nothing, true),
            // It is in the page.
            (kept(7, 0), nothing, nothing, false),
            (other(7), nothing, nothing, true),
        ] {
            let (mut mirror, mut steps, what) = (at_five(), Vec::new(), format!("{came:?}"));
            mirror.handle_kept(came, known_before, &mut steps);
            mirror.handle_page(page(5, vec![kept(6, 0), kept(7, 0)]), known_after, &mut steps);
            let mut expected = vec![Step::Deliver(kept(6, 0)), Step::Deliver(kept(7, 0))];
            expected.extend(is_lost.then_some(Step::Gap(Refused::Epoch)));
            assert_eq!(steps.split_off(1), expected, "{what}");
        }
    }

    #[test]
    fn what_came_after_a_read_began_and_is_not_in_it_is_read_next() {
        let (mut mirror, mut steps) = (at_five(), Vec::new());
        [7, 9].into_iter().for_each(|number| mirror.handle_kept(kept(number, 0), |_| None, &mut steps));
        steps.clear();
        mirror.handle_page(page(5, vec![kept(6, 0), kept(7, 0)]), |_| None, &mut steps);
        let delivered = [Step::Deliver(kept(6, 0)), Step::Deliver(kept(7, 0))];
        assert_eq!((&steps[..2], &steps[2..]), (&delivered[..], &[Step::Read(Some(kept(7, 0).place))][..]));
        steps.clear();
        mirror.handle_page(page(7, vec![kept(8, 0)]), |_| None, &mut steps);
        assert_eq!(steps, [Step::Deliver(kept(8, 0)), Step::Deliver(kept(9, 0))]);
    }

    #[test]
    fn behind_a_gap_members_are_given_what_they_may_not_have_heard_and_nothing_twice() {
        let others = |numbers: &[u64]| numbers.iter().copied().map(other).collect::<Vec<_>>();
        let known = |number: u64| (number <= 4).then_some(number as u32);
        let went_on = [vec![kept(4, 0)], others(&[5, 6])].concat();
        for (after, entries, old) in [
            // The last that they know is among the entries, or before them.
            (kept(3, 0).place, went_on, 1),
            (kept(4, 0).place, others(&[5, 6]), 0),
            // They know none of it, and may have heard each that has a number of theirs …
            (other(3).place, others(&[4, 5, 6]), 2),
            (kept(6, 0).place, vec![kept(7, 0), kept(8, 0)], 0),
            // … but for those of another order.
            (Place { epoch: 2, ..kept(3, 0).place }, others(&[4, 5, 6]), 0),
        ] {
            let (mut mirror, mut steps) = (at_five(), Vec::new());
            mirror.verify(&mut steps);
            steps.clear();
            let (old, new) = entries.split_at(old);
            let mut expected = vec![Step::Gap(Refused::Trimmed), Step::Restart(after, old.to_vec())];
            expected.extend(new.iter().cloned().map(Step::Deliver));
            let page = Page { refused: Some(Refused::Trimmed), after, entries, has_more: false };
            mirror.handle_page(page, known, &mut steps);
            assert_eq!(steps, expected);
        }
    }
}
