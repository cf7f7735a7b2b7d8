//! What the tests share: a set that is kept by diffs alone, random operations, and a small random source.

use std::collections::BTreeSet;

use lapwing_presence::{Config, Diff, Entry, Owner, Presences, ReplicaId};
use proptest::prelude::*;

/// One presence as everybody must see it.
pub(crate) type Seen = (String, String, u64, String, Vec<u8>);

pub(crate) fn seen(topic: &str, entry: &Entry) -> Seen {
    let phx_ref = entry.tag().phx_ref().to_string();
    (topic.to_owned(), entry.key().to_owned(), entry.owner().0, phx_ref, entry.meta().to_vec())
}

/// What is shown, with the counts checked on the way.
pub(crate) fn shown(presences: &Presences) -> BTreeSet<Seen> {
    let mut all = BTreeSet::new();
    for topic in presences.topics() {
        let entries: Vec<&Entry> = presences.list(topic).collect();
        let keys: BTreeSet<&str> = entries.iter().map(|entry| entry.key()).collect();
        let count = presences.count(topic);
        assert_eq!((count.presences, count.keys), (entries.len(), keys.len()), "the count of {topic}");
        assert_eq!(entries.chunk_by(|a, b| a.key() == b.key()).count(), keys.len(), "keys are together");
        for of_key in entries.chunk_by(|a, b| a.key() == b.key()) {
            assert_eq!(presences.get(topic, of_key[0].key()).collect::<Vec<_>>(), of_key);
        }
        all.extend(entries.iter().map(|entry| seen(topic, entry)));
    }
    all
}

/// What a listener knows who hears nothing but diffs.
#[derive(Debug, Default)]
pub(crate) struct Listener(pub(crate) BTreeSet<Seen>);

impl Listener {
    /// Applies a diff as phoenix.js does, joins first, and strictly: nothing joins twice or leaves without
    /// being there.
    pub(crate) fn hear(&mut self, diff: &Diff) {
        for topic in diff.topics() {
            assert!(!topic.is_empty(), "a topic without a change is not in a diff");
            for entry in topic.joins() {
                assert!(self.0.insert(seen(topic.topic(), entry)), "{entry:?} joined twice");
            }
            for entry in topic.leaves() {
                assert!(self.0.remove(&seen(topic.topic(), entry)), "{entry:?} left without being there");
            }
        }
    }

    #[track_caller]
    pub(crate) fn agrees(&self, presences: &Presences) {
        assert_eq!(self.0, shown(presences), "the sum of all diffs and the state");
    }
}

/// Something that a node's user does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Track { topic: u8, key: u8, owner: u8, meta: u8 },
    Update { topic: u8, key: u8, owner: u8, meta: u8 },
    Untrack { topic: u8, key: u8, owner: u8 },
    UntrackAll { owner: u8 },
}

/// Few names, so that operations meet.
pub(crate) fn op() -> impl Strategy<Value = Op> {
    let names = (0..3u8, 0..3u8, 0..3u8, any::<u8>());
    prop_oneof![
        5 => names.clone().prop_map(|(topic, key, owner, meta)| Op::Track { topic, key, owner, meta }),
        3 => names.clone().prop_map(|(topic, key, owner, meta)| Op::Update { topic, key, owner, meta }),
        2 => names.prop_map(|(topic, key, owner, _)| Op::Untrack { topic, key, owner }),
        1 => (0..3u8).prop_map(|owner| Op::UntrackAll { owner }),
    ]
}

impl Op {
    /// Does it; what is refused changes nothing.
    pub(crate) fn apply(self, presences: &mut Presences) -> Diff {
        let name = |topic: u8, key: u8| (format!("room:{topic}"), format!("user:{key}"));
        match self {
            Self::Track { topic, key, owner, meta } => {
                let (topic, key) = name(topic, key);
                presences.track(&topic, &key, Owner(owner.into()), &[meta]).unwrap_or_default()
            }
            Self::Update { topic, key, owner, meta } => {
                let (topic, key) = name(topic, key);
                presences.update(&topic, &key, Owner(owner.into()), &[meta]).unwrap_or_default()
            }
            Self::Untrack { topic, key, owner } => {
                let (topic, key) = name(topic, key);
                presences.untrack(&topic, &key, Owner(owner.into()))
            }
            Self::UntrackAll { owner } => presences.untrack_all(Owner(owner.into())),
        }
    }
}

/// Layouts and bounds that must make no difference: one shard or several, threads or not, short histories.
pub(crate) fn config() -> impl Strategy<Value = Config> {
    (1..5usize, prop_oneof![Just(0usize), Just(usize::MAX)], 0..30usize, any::<u64>()).prop_map(
        |(shards, parallel, history, seed)| {
            Config::default()
                .shards(shards)
                .parallel_changes_min(parallel)
                .history_changes_max(history)
                .hash_seed(seed)
        },
    )
}

pub(crate) fn node(number: u64) -> ReplicaId {
    ReplicaId::new(number, 1)
}

/// Numbers that look random, from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for place in (1..items.len()).rev() {
            items.swap(place, self.roll(place + 1));
        }
    }
}
