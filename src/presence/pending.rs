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
