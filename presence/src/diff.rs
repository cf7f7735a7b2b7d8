//! The changes of a call: per topic, who joined and who left.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use foldhash::fast::FixedState;

use crate::{entry::Entry, tag::Tag};

/// The changes of one call in what is shown; with [`absorb`](Diff::absorb), those of several calls
/// together.
///
/// An update is the old entry among the leaves and the new one among the joins of the same diff. No tag is
/// ever in both: what joined and left again between two readings is not mentioned.
///
/// # Examples
///
/// ```
/// use lapwing_presence::{Config, Owner, Presences, ReplicaId};
///
/// let mut presences = Presences::new(ReplicaId::new(1, 1), Config::default());
/// let mut tick = presences.track("room", "ada", Owner(1), b"{}")?;
/// tick.absorb(presences.track("room", "bob", Owner(2), b"{}")?);
/// tick.absorb(presences.untrack("room", "ada", Owner(1)));
///
/// let [room] = tick.topics() else { panic!("one topic changed") };
/// assert_eq!(room.joins().len(), 1);
/// assert!(room.leaves().is_empty());
/// # Ok::<(), lapwing_presence::TrackError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Diff {
    topics: Vec<TopicDiff>,
    /// Where each topic is, once there are more than [`SCAN_MAX`].
    places: Option<Places>,
}

/// Up to this many elements, looking at each is cheaper than an index.
const SCAN_MAX: usize = 16;

impl Diff {
    /// A diff in which nothing changed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what a later call changed.
    ///
    /// An entry that joined in one and left in the other is dropped from both. The cost follows the size of
    /// `later`.
    pub fn absorb(&mut self, later: Diff) {
        if self.topics.is_empty() {
            *self = later;
            return;
        }
        for topic in later.topics {
            match self.place(&topic.topic) {
                Some(place) => {
                    self.topics[place].absorb(topic);
                    if self.topics[place].is_empty() {
                        self.drop_topic(place);
                    }
                }
                None => self.append(topic),
            }
        }
    }

    /// The topics in which something changed, each once, in no promised order.
    pub fn topics(&self) -> &[TopicDiff] {
        &self.topics
    }

    /// Takes the topics out.
    pub fn into_topics(self) -> Vec<TopicDiff> {
        self.topics
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// How many joins and leaves there are.
    pub fn len(&self) -> usize {
        self.topics.iter().map(TopicDiff::len).sum()
    }

    /// The first join, which is the only one after a track or an update.
    pub fn first_join(&self) -> Option<&Entry> {
        self.topics.first()?.joins().first()
    }

    pub(crate) fn join(&mut self, topic: &Arc<str>, entry: Entry) {
        self.topic(topic).join(entry);
    }

    pub(crate) fn leave(&mut self, topic: &Arc<str>, entry: Entry) {
        self.topic(topic).leave(entry);
    }

    /// Adds what other shards changed, which is never in the same topics.
    pub(crate) fn append_disjoint(&mut self, other: Diff) {
        if self.topics.is_empty() {
            *self = other;
            return;
        }
        for topic in other.topics {
            self.append(topic);
        }
    }

    /// Drops the topics in which everything cancelled out, and what was only needed for building.
    pub(crate) fn finish(mut self) -> Self {
        if self.topics.iter().any(TopicDiff::is_empty) {
            self.topics.retain(|topic| !topic.is_empty());
            self.places = None;
        }
        self
    }

    fn topic(&mut self, topic: &Arc<str>) -> &mut TopicDiff {
        // Changes come grouped by topic more often than not.
        if self.topics.last().is_some_and(|last| Arc::ptr_eq(&last.topic, topic)) {
            let last = self.topics.len() - 1;
            return &mut self.topics[last];
        }
        let place = match self.place(topic) {
            Some(place) => place,
            None => {
                self.append(TopicDiff::new(topic.clone()));
                self.topics.len() - 1
            }
        };
        &mut self.topics[place]
    }

    fn append(&mut self, topic: TopicDiff) {
        if let Some(places) = &mut self.places {
            places.insert(&topic.topic, self.topics.len());
        }
        self.topics.push(topic);
    }

    fn drop_topic(&mut self, place: usize) {
        let dropped = self.topics.swap_remove(place);
        let Some(places) = &mut self.places else { return };
        places.remove(&dropped.topic);
        if let Some(moved) = self.topics.get(place) {
            places.insert(&moved.topic, place);
        }
    }

    fn place(&mut self, topic: &Arc<str>) -> Option<usize> {
        if self.topics.len() <= SCAN_MAX {
            return self.topics.iter().position(|known| known.topic == *topic);
        }
        let topics = &self.topics;
        let places = self.places.get_or_insert_with(|| {
            let mut places = Places::default();
            topics.iter().enumerate().for_each(|(place, known)| places.insert(&known.topic, place));
            places
        });
        places.find(topic)
    }
}

/// Where the topics of a diff are.
#[derive(Clone, Debug, Default)]
struct Places {
    /// By where the name is stored. A shard gives the same name again and again, and then this spares
    /// comparing it. The diff's topics keep the addresses from being used again.
    by_address: HashMap<usize, usize, FixedState>,
    /// Ordered, not hashed: clients choose topic names, and a value has no secret seed.
    by_name: BTreeMap<Arc<str>, usize>,
}

impl Places {
    fn insert(&mut self, topic: &Arc<str>, place: usize) {
        self.by_address.insert(address(topic), place);
        self.by_name.insert(topic.clone(), place);
    }

    fn remove(&mut self, topic: &Arc<str>) {
        self.by_address.remove(&address(topic));
        self.by_name.remove(topic);
    }

    fn find(&self, topic: &Arc<str>) -> Option<usize> {
        self.by_address.get(&address(topic)).or_else(|| self.by_name.get(topic)).copied()
    }
}

fn address(topic: &Arc<str>) -> usize {
    topic.as_ptr().addr()
}

/// The changes in one topic.
///
/// Apply the joins before the leaves, as phoenix.js does, and a key does not vanish while its entry is
/// updated.
#[derive(Clone, Debug)]
pub struct TopicDiff {
    topic: Arc<str>,
    joins: Side,
    leaves: Side,
}

impl TopicDiff {
    fn new(topic: Arc<str>) -> Self {
        Self { topic, joins: Side::default(), leaves: Side::default() }
    }

    /// Adds what changed in the same topic later; see [`Diff::absorb`].
    ///
    /// # Panics
    ///
    /// If `later` is about another topic.
    pub fn absorb(&mut self, later: TopicDiff) {
        assert_eq!(self.topic, later.topic, "diffs of two topics cannot be one");
        for entry in later.leaves.entries {
            self.leave(entry);
        }
        for entry in later.joins.entries {
            self.join(entry);
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// The entries that are shown now and were not before, in no promised order.
    pub fn joins(&self) -> &[Entry] {
        &self.joins.entries
    }

    /// The entries that were shown before and are not now, in no promised order.
    pub fn leaves(&self) -> &[Entry] {
        &self.leaves.entries
    }

    /// The joins with the entries of one key next to each other, for `slice::chunk_by`.
    ///
    /// # Examples
    ///
    /// ```
    /// use lapwing_presence::{Config, Owner, Presences, ReplicaId};
    ///
    /// let mut presences = Presences::new(ReplicaId::new(1, 1), Config::default());
    /// let mut tick = presences.track("room", "ada", Owner(1), b"{}")?;
    /// tick.absorb(presences.track("room", "bob", Owner(2), b"{}")?);
    /// tick.absorb(presences.track("room", "ada", Owner(3), b"{}")?);
    ///
    /// let joins = tick.topics()[0].joins_by_key();
    /// let metas: Vec<(&str, usize)> =
    ///     joins.chunk_by(|a, b| a.key() == b.key()).map(|metas| (metas[0].key(), metas.len())).collect();
    /// assert_eq!(metas, [("ada", 2), ("bob", 1)]);
    /// # Ok::<(), lapwing_presence::TrackError>(())
    /// ```
    pub fn joins_by_key(&self) -> Vec<&Entry> {
        by_key(&self.joins.entries)
    }

    /// The leaves with the entries of one key next to each other, for `slice::chunk_by`.
    pub fn leaves_by_key(&self) -> Vec<&Entry> {
        by_key(&self.leaves.entries)
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many joins and leaves there are.
    pub fn len(&self) -> usize {
        self.joins.entries.len() + self.leaves.entries.len()
    }

    fn join(&mut self, entry: Entry) {
        if self.leaves.take(&entry).is_none() {
            self.joins.push(entry);
        }
    }

    fn leave(&mut self, entry: Entry) {
        if self.joins.take(&entry).is_none() {
            self.leaves.push(entry);
        }
    }
}

/// Sorted, not hashed: clients choose the keys.
fn by_key(entries: &[Entry]) -> Vec<&Entry> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by(|a, b| a.key_bytes().cmp(b.key_bytes()));
    sorted
}

/// The joins or the leaves of a topic.
#[derive(Clone, Debug, Default)]
struct Side {
    entries: Vec<Entry>,
    /// No tag is before the first or after the second. A delta's joins are newer than its leaves, so this
    /// alone answers most searches, and the index is not made.
    range: Option<(Tag, Tag)>,
    /// Where each tag is; made by the first search among more than [`SCAN_MAX`], kept from then on.
    places: Option<HashMap<Tag, usize, FixedState>>,
}

impl Side {
    fn push(&mut self, entry: Entry) {
        let tag = entry.tag();
        self.range = Some(self.range.map_or((tag, tag), |(first, last)| (first.min(tag), last.max(tag))));
        if let Some(places) = &mut self.places {
            places.insert(tag, self.entries.len());
        }
        self.entries.push(entry);
    }

    /// Takes out the entry with the tag of `like`, if it is here.
    fn take(&mut self, like: &Entry) -> Option<Entry> {
        let tag = like.tag();
        self.range.filter(|(first, last)| *first <= tag && tag <= *last)?;
        if self.entries.len() <= SCAN_MAX && self.places.is_none() {
            let place = self.entries.iter().position(|entry| entry.tag() == tag)?;
            return Some(self.entries.swap_remove(place));
        }
        let entries = &self.entries;
        let places = self
            .places
            .get_or_insert_with(|| entries.iter().enumerate().map(|(at, entry)| (entry.tag(), at)).collect());
        let place = places.remove(&tag)?;
        let taken = self.entries.swap_remove(place);
        if let Some(moved) = self.entries.get(place) {
            places.insert(moved.tag(), place);
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::tag::{Clock, Owner};

    fn entry(clock: u64) -> Entry {
        Entry::pack(Tag::new(1, Clock::new(clock)), Clock::ZERO, Owner(clock), "k", b"{}", &mut Vec::new())
    }

    #[test]
    fn what_joined_and_left_again_is_not_mentioned() {
        for count in [1, SCAN_MAX as u64, 500] {
            let topic: Arc<str> = "room".into();
            let mut diff = Diff::new();
            (1..=count).for_each(|clock| diff.join(&topic, entry(clock)));
            (1..=count).rev().for_each(|clock| diff.leave(&topic, entry(clock)));
            assert!(diff.clone().finish().is_empty());
            (1..=count).for_each(|clock| diff.leave(&topic, entry(clock)));
            (2..=count).for_each(|clock| diff.join(&topic, entry(clock)));
            assert_eq!(diff.topics()[0].leaves(), [entry(1)]);
            assert!(diff.topics()[0].joins().is_empty());
        }
    }

    #[test]
    fn a_topic_in_which_all_cancelled_out_is_not_in_the_diff() {
        let topics: Vec<Arc<str>> = (0..40).map(|number| format!("room:{number}").into()).collect();
        let mut all = Diff::new();
        let step = |all: &mut Diff, place: usize, leave: bool| {
            let mut diff = Diff::new();
            let entry = entry(1 + place as u64);
            if leave {
                diff.leave(&topics[place], entry)
            } else {
                diff.join(&topics[place], entry)
            }
            all.absorb(diff);
        };
        (0..40).for_each(|place| step(&mut all, place, false));
        (0..40).step_by(2).for_each(|place| step(&mut all, place, true));
        assert_eq!((all.topics().len(), all.len()), (20, 20));
        (0..40).step_by(2).for_each(|place| step(&mut all, place, false));
        assert_eq!((all.topics().len(), all.len()), (40, 40));
        (0..40).for_each(|place| step(&mut all, place, true));
        assert!(all.is_empty() && all.into_topics().is_empty());
    }

    #[test]
    fn an_index_that_was_made_once_is_kept_up_among_few_too() {
        let mut side = Side::default();
        let take = |side: &mut Side, clock: u64| side.take(&entry(clock)).map(|entry| entry.clock().ticks());
        (1..=40).for_each(|clock| side.push(entry(clock)));
        (1..=30).for_each(|clock| assert_eq!(take(&mut side, clock), Some(clock)));
        assert!(side.places.is_some() && side.entries.len() <= SCAN_MAX);
        // Each takes the last one's place with another.
        assert_eq!(
            (take(&mut side, 40), take(&mut side, 31), take(&mut side, 31)),
            (Some(40), Some(31), None)
        );
        (41..=60).for_each(|clock| side.push(entry(clock)));
        (32..=60).rev().filter(|clock| *clock != 40).for_each(|clock| {
            assert_eq!(take(&mut side, clock), Some(clock));
        });
        assert!(side.entries.is_empty());
    }

    proptest! {
        /// Whatever joins and leaves: a diff says what is different at the end, each tag once.
        #[test]
        fn a_diff_is_what_is_different_at_the_end(
            changes in prop::collection::vec((0..60u64, 0..3usize, any::<bool>()), 0..400), gathered in 1..50usize,
        ) {
            // Names that are equal and not the same, as different nodes and shards have them.
            let names = || ["a", "b", "c"].map(Arc::<str>::from);
            let mut all = Diff::new();
            let mut there: BTreeSet<(usize, u64)> = (0..3).flat_map(|topic| (0..30).map(move |clock| (topic, clock))).collect();
            let before = there.clone();
            for changes in changes.chunks(gathered) {
                let names = names();
                let mut diff = Diff::new();
                for (clock, topic, join) in changes {
                    if *join && there.insert((*topic, *clock)) {
                        diff.join(&names[*topic], entry(1 + clock));
                    } else if !join && there.remove(&(*topic, *clock)) {
                        diff.leave(&names[*topic], entry(1 + clock));
                    }
                }
                all.absorb(diff.finish());
            }
            let mut after = before.clone();
            for topic in all.topics() {
                prop_assert!(!topic.is_empty());
                let place = ["a", "b", "c"].iter().position(|name| **name == **topic.topic()).unwrap();
                for join in topic.joins() {
                    prop_assert!(after.insert((place, join.clock().ticks() - 1)), "it was there before");
                }
                for leave in topic.leaves() {
                    prop_assert!(after.remove(&(place, leave.clock().ticks() - 1)), "it was not there");
                }
            }
            prop_assert_eq!(after, there);
        }
    }

    #[test]
    fn absorbing_keeps_topics_apart() {
        let mut all = Diff::new();
        for round in 0..2 {
            for number in 0..100 {
                let mut diff = Diff::new();
                diff.join(&format!("room:{number}").into(), entry(1 + number * 2 + round));
                all.absorb(diff);
            }
        }
        assert_eq!(all.topics().len(), 100);
        assert!(all.topics().iter().all(|topic| topic.joins().len() == 2));
    }
}
