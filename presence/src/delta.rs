//! Deltas, which travel between replicas: the changes of some clocks, or a whole part.

use std::sync::Arc;

use crate::{
    entry::Entry,
    tag::{Clock, ReplicaId},
};

/// The knowledge of one node that another may lack: for some replicas, the changes between two clocks or the whole
/// part.
///
/// A delta is a value to carry to another node's [`Presences::merge`](crate::Presences::merge). It may be
/// lost, repeated, late or out of order. Cloning is cheap: the changes are shared.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    pub(crate) parts: Vec<Part>,
}

impl Delta {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// How many changes and entries it carries.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Part::len).sum()
    }

    /// The bytes that it takes in memory at most, as if it shared nothing with a state.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(Part::bytes).sum()
    }

    /// Whether the part of some replica is here as a whole, because the changes alone were not remembered any
    /// more.
    pub fn has_whole(&self) -> bool {
        self.parts.iter().any(|part| part.whole)
    }
}

/// The part of a delta that is about one replica.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) replica: ReplicaId,
    /// The receiver must have seen up to here; [`Clock::ZERO`] for a whole part, which needs nothing.
    pub(crate) from: Clock,
    /// With this part the receiver has seen up to here.
    pub(crate) to: Clock,
    /// If set, the changes are all entries there are, and what is not among them is gone.
    pub(crate) whole: bool,
    /// Changes in the order of their clocks, in one chunk; or the entries of a whole part in no order, in
    /// chunks of one topic's shard each.
    pub(crate) chunks: Arc<[Vec<Change>]>,
}

impl Part {
    pub(crate) fn len(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }

    /// The bytes that the part takes at most, as if nobody else had its entries.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.changes().map(Change::bytes).sum::<usize>()
    }

    pub(crate) fn changes(&self) -> impl Iterator<Item = &Change> {
        self.chunks.iter().flatten()
    }
}

/// One change, at the clock of its entry's tag.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// The entry is there, in place of any that its replica had for the same topic, key and owner.
    Set { topic: Arc<str>, entry: Entry },
    /// The entry with this topic, key and owner is gone. The meta is empty, and the tag is the removal's own.
    Removed { topic: Arc<str>, entry: Entry },
}

impl Change {
    pub(crate) fn topic(&self) -> &Arc<str> {
        let (Self::Set { topic, .. } | Self::Removed { topic, .. }) = self;
        topic
    }

    pub(crate) fn entry(&self) -> &Entry {
        let (Self::Set { entry, .. } | Self::Removed { entry, .. }) = self;
        entry
    }

    /// The bytes that the change takes at most, as if nobody else had its entry and its topic's name. Both are often
    /// shared; but what is bounded by this must be bounded also when they are not.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.topic().len() + self.entry().bytes()
    }

    pub(crate) fn clock(&self) -> Clock {
        self.entry().clock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag::{Owner, Tag};

    #[test]
    fn a_change_takes_its_row_its_topics_name_and_its_entrys_block() {
        let entry =
            Entry::pack(Tag::new(1, Clock::new(1)), Clock::ZERO, Owner(1), "key", &[0; 100], &mut Vec::new());
        let block = 30 + 3 + 100 + 2 * size_of::<usize>();
        assert_eq!(entry.bytes(), block);
        let set = Change::Set { topic: "room".into(), entry: entry.clone() };
        let removed = Change::Removed { topic: "room".into(), entry };
        let each = size_of::<Change>() + 4 + block;
        assert_eq!((set.bytes(), removed.bytes()), (each, each));
        let part = Part {
            replica: ReplicaId::new(1, 1),
            from: Clock::ZERO,
            to: Clock::new(2),
            whole: false,
            chunks: [vec![set.clone()], vec![set, removed]].into(),
        };
        assert_eq!((part.len(), part.bytes()), (3, size_of::<Part>() + 3 * each));
        let delta = Delta { parts: vec![part.clone(), part] };
        assert_eq!((delta.len(), delta.bytes()), (6, 2 * (size_of::<Part>() + 3 * each)));
    }
}
