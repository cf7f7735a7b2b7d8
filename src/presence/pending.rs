//! The changes of one topic that its clients were not told yet.

use std::time::Instant;

use lapwing_presence::{Entry, TopicDiff};

use super::PresenceOptions;

/// The changes since the last diff, and when that was.
#[derive(Debug, Default)]
pub(super) struct Pending {
    diff: Option<TopicDiff>,
    /// Entries that came and went since the last diff. Nobody was told of them by a diff, but by a state.
    passed: Vec<Entry>,
    /// Whether somebody was given the topic's state since the last diff.
    state_given: bool,
    /// Bytes of metas and keys in `diff`, roughly: what came in, whether or not it was taken back.
    bytes: usize,
    /// Diffs that may be sent without waiting, as of `sent`.
    credit: u32,
    /// When the last diff was sent.
    sent: Option<Instant>,
}

/// A diff that is to be sent, with the entries that only the readers of a state know of.
#[derive(Debug)]
pub(super) struct Outgoing {
    diff: Option<TopicDiff>,
    passed: Vec<Entry>,
}

impl Pending {
    pub(super) fn absorb(&mut self, later: TopicDiff) {
        let changed = later.joins().iter().chain(later.leaves());
        self.bytes += changed.map(|entry| entry.key().len() + entry.meta().len() + 64).sum::<usize>();
        let Some(diff) = &mut self.diff else {
            self.diff = Some(later);
            return;
        };
        if self.state_given {
            // Coming and going cancel out in the diff. A client that got the state in between has the entry,
            // and nothing else would ever take it away.
            let went =
                later.leaves().iter().filter(|gone| diff.joins().iter().any(|join| join.tag() == gone.tag()));
            self.passed.extend(went.cloned());
        }
        diff.absorb(later);
    }

    /// A join was given the topic's state, with changes in it that the next diff will repeat.
    pub(super) fn handle_state_given(&mut self) {
        self.state_given = self.diff.is_some();
    }

    pub(super) fn is_due(&self, now: Instant, options: &PresenceOptions) -> bool {
        self.has_news() && (self.bytes >= options.diff_bytes_max || self.credit_at(now, options) > 0)
    }

    /// Nothing to send, and nothing was sent for so long that all credit is back.
    pub(super) fn is_quiet(&self, now: Instant, options: &PresenceOptions) -> bool {
        !self.has_news() && self.credit_at(now, options) == options.burst
    }

    /// When to look at this topic again.
    pub(super) fn next_look(&self, options: &PresenceOptions) -> Instant {
        self.sent.map_or_else(Instant::now, |sent| sent + options.tick)
    }

    pub(super) fn take(&mut self, now: Instant, options: &PresenceOptions) -> Outgoing {
        self.credit = self.credit_at(now, options).saturating_sub(1);
        self.sent = Some(now);
        self.bytes = 0;
        self.state_given = false;
        Outgoing { diff: self.diff.take(), passed: std::mem::take(&mut self.passed) }
    }

    fn has_news(&self) -> bool {
        self.diff.as_ref().is_some_and(|diff| !diff.is_empty()) || !self.passed.is_empty()
    }

    /// One diff more for every tick since the last.
    fn credit_at(&self, now: Instant, options: &PresenceOptions) -> u32 {
        let Some(sent) = self.sent else { return options.burst };
        let ticks = now.saturating_duration_since(sent).as_nanos() / options.tick.as_nanos().max(1);
        options.burst.min(self.credit.saturating_add(u32::try_from(ticks).unwrap_or(u32::MAX)))
    }
}

impl Outgoing {
    /// All entries in it, in no particular order.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        let diff = self.diff.iter().flat_map(|diff| diff.joins().iter().chain(diff.leaves()));
        diff.chain(&self.passed)
    }

    pub(super) fn joins(&self) -> Vec<&Entry> {
        self.diff.as_ref().map(TopicDiff::joins_by_key).unwrap_or_default()
    }

    /// The entries that are gone, those of one key next to each other.
    pub(super) fn leaves(&self) -> Vec<&Entry> {
        let mut leaves = self.diff.as_ref().map(TopicDiff::leaves_by_key).unwrap_or_default();
        if !self.passed.is_empty() {
            leaves.extend(&self.passed);
            leaves.sort_by_key(|entry| entry.key());
        }
        leaves
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lapwing_presence::{Config, Owner, Presences};

    use super::*;
    use crate::presence::others::replica_of;

    const TICK: Duration = Duration::from_secs(1);

    fn options() -> PresenceOptions {
        PresenceOptions::default().tick(TICK).burst(2).diff_bytes_max(1_000)
    }

    /// A topic, and what its clients were not told.
    struct Room {
        presences: Presences,
        pending: Pending,
        owners: u64,
        start: Instant,
    }

    impl Room {
        fn new() -> Self {
            let presences = Presences::new(replica_of(1), Config::default());
            Self { presences, pending: Pending::default(), owners: 0, start: Instant::now() }
        }

        fn comes(&mut self, key: &str, meta_bytes: usize) -> Owner {
            self.owners += 1;
            let diff =
                self.presences.track("room", key, Owner(self.owners), &vec![b' '; meta_bytes]).unwrap();
            self.pending.absorb(diff.into_topics().remove(0));
            Owner(self.owners)
        }

        fn goes(&mut self, owner: Owner) {
            self.pending.absorb(self.presences.untrack_all(owner).into_topics().remove(0));
        }

        fn is_due(&self, ms: u64) -> bool {
            self.pending.is_due(self.start + Duration::from_millis(ms), &options())
        }

        fn is_quiet(&self, ms: u64) -> bool {
            self.pending.is_quiet(self.start + Duration::from_millis(ms), &options())
        }

        fn take(&mut self, ms: u64) -> Outgoing {
            self.pending.take(self.start + Duration::from_millis(ms), &options())
        }
    }

    fn keys<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<&'a str> {
        entries.into_iter().map(Entry::key).collect()
    }

    #[test]
    fn a_burst_is_told_at_once_and_then_one_diff_with_each_tick() {
        let mut room = Room::new();
        assert!(!room.is_due(0) && room.is_quiet(0));
        let mut is_told = |ms| {
            room.comes("ada", 2);
            let is_due = room.is_due(ms);
            if is_due {
                room.take(ms);
                assert_eq!(room.pending.next_look(&options()), room.start + Duration::from_millis(ms) + TICK);
            }
            is_due
        };
        assert_eq!([0, 0, 0, 999].map(&mut is_told), [true, true, false, false]);
        assert_eq!([1_000, 1_000, 9_000].map(&mut is_told), [true, false, true]);
        assert_eq!([9_000, 9_000].map(&mut is_told), [true, false], "no more than the burst is saved up");
        assert!(!room.is_quiet(20_000), "something is to be told");
        room.take(20_000);
        assert!(!room.is_quiet(20_999) && room.is_quiet(21_000));
    }

    #[test]
    fn much_is_told_without_waiting() {
        let mut room = Room::new();
        room.pending.take(room.start, &options());
        room.pending.take(room.start, &options());
        let ada = room.comes("ada", 400 - 3 - 64);
        room.comes("bob", 200 - 3 - 64);
        assert!(!room.is_due(0));
        room.goes(ada);
        assert!(room.is_due(0), "400 bytes came, and 200, and 400 went");
        room.take(0);
        room.comes("eve", 999 - 3 - 64);
        assert!(!room.is_due(0));
    }

    #[test]
    fn who_came_and_went_is_told_to_those_who_were_given_the_state_in_between() {
        let mut room = Room::new();
        room.pending.handle_state_given();
        for is_told in [false, true] {
            let (ada, _) = (room.comes("ada", 2), room.comes("bob", 2));
            if is_told {
                room.pending.handle_state_given();
            }
            room.goes(ada);
            let told = room.take(0);
            let leaves = if is_told { vec!["ada"] } else { vec![] };
            assert_eq!((keys(told.joins()), keys(told.leaves())), (vec!["bob"], leaves));
        }
        let ada = room.comes("ada", 2);
        room.goes(ada);
        assert!(!room.is_due(5_000), "nobody knows of her any more");
        let ada = room.comes("ada", 2);
        room.pending.handle_state_given();
        room.goes(ada);
        assert!(room.is_due(5_000) && !room.is_quiet(5_000), "somebody does");
    }

    #[test]
    fn leaves_of_one_key_stand_together() {
        let mut room = Room::new();
        let known = ["bob", "ada", "eve"].map(|key| room.comes(key, 2));
        room.take(0);
        let again = ["ada", "eve", "bob"].map(|key| room.comes(key, 2));
        room.pending.handle_state_given();
        known.into_iter().chain(again).for_each(|owner| room.goes(owner));
        let told = room.take(0);
        assert_eq!(keys(told.leaves()), ["ada", "ada", "bob", "bob", "eve", "eve"]);
        assert_eq!(told.entries().count(), 6);
    }
}
