//! One shard: the entries of some topics, from all replicas; what is shown of them, and how that changes.
//!
//! Every operation costs what it changes.

mod hash;
mod list;
mod parts;
mod rows;
mod slab;
mod tables;

use std::sync::Arc;

use crate::{
    delta::Change,
    diff::Diff,
    entry::Entry,
    ledger::PartId,
    tag::{Clock, Owner},
};

use self::{rows::InOwner, tables::Tables};

pub(crate) use self::{
    hash::{Hasher, TopicName, shrink},
    slab::Id,
};
pub use self::{list::List, rows::Count};

#[derive(Debug)]
pub(crate) struct State(Tables);

impl State {
    pub(crate) fn new(hasher: Hasher) -> Self {
        Self(Tables::new(hasher))
    }

    /// Puts the entry that `pack` makes where there is none with its topic, key, owner and part, and returns
    /// where.
    ///
    /// If there is one, nothing is made, and the error says where it is.
    pub(crate) fn insert(
        &mut self,
        topic: TopicName<'_>,
        key: &[u8],
        owner: Owner,
        part: PartId,
        diff: &mut Diff,
        pack: impl FnOnce() -> Entry,
    ) -> Result<Id, Id> {
        let id = self.0.add(topic, key, owner, part, pack)?;
        if self.0.parts.shown(part) {
            self.count_up(id);
            diff.join(self.0.topic_of(id), self.entry(id).clone());
        }
        Ok(id)
    }

    /// Puts an entry in the place of an older state of the same entry.
    pub(crate) fn replace(&mut self, id: Id, entry: Entry, diff: &mut Diff) {
        let slot = &mut self.0.slots[id];
        let old = std::mem::replace(&mut slot.entry, entry.clone());
        if self.0.parts.shown(slot.part) {
            let topic = self.0.topic_of(id);
            diff.leave(topic, old);
            diff.join(topic, entry);
        }
    }

    /// Takes an entry out, and its key and topic if nothing is left of them.
    pub(crate) fn remove(&mut self, id: Id, diff: &mut Diff) -> Entry {
        if self.0.parts.shown(self.0.slots[id].part) {
            self.count_down(id);
            diff.leave(self.0.topic_of(id), self.entry(id).clone());
        }
        self.0.remove(id)
    }

    /// Takes over a change from another replica, unless it is known.
    pub(crate) fn apply(&mut self, topic: TopicName<'_>, part: PartId, change: &Change, diff: &mut Diff) {
        let entry = change.entry();
        let (key, owner) = (entry.key_bytes(), entry.owner());
        let known = match change {
            Change::Set { .. } => self.insert(topic, key, owner, part, diff, || entry.clone()).err(),
            Change::Removed { .. } => self.find(topic, key, owner, part),
        };
        let Some(id) = known.filter(|id| self.entry(*id).clock() < entry.clock()) else { return };
        match change {
            Change::Set { .. } => self.replace(id, entry.clone(), diff),
            Change::Removed { .. } => drop(self.remove(id, diff)),
        }
    }

    /// Removes the entries of a part that are not among those with the clocks `kept`, which are sorted.
    pub(crate) fn sweep(&mut self, part: PartId, kept: &[Clock], diff: &mut Diff) {
        for id in self.0.in_part(part) {
            if kept.binary_search(&self.entry(id).clock()).is_err() {
                self.remove(id, diff);
            }
        }
    }

    /// Shows the hidden entries of a part.
    pub(crate) fn show(&mut self, part: PartId, diff: &mut Diff) {
        if std::mem::replace(&mut self.0.parts.head_mut(part).shown, true) {
            return;
        }
        for id in self.0.in_part(part) {
            self.count_up(id);
            diff.join(self.0.topic_of(id), self.entry(id).clone());
        }
    }

    /// Hides the shown entries of a part, and keeps them.
    pub(crate) fn hide(&mut self, part: PartId, diff: &mut Diff) {
        if !std::mem::replace(&mut self.0.parts.head_mut(part).shown, false) {
            return;
        }
        for id in self.0.in_part(part) {
            self.count_down(id);
            diff.leave(self.0.topic_of(id), self.entry(id).clone());
        }
    }

    /// Drops a part; its number can be given to another.
    pub(crate) fn forget(&mut self, part: PartId, diff: &mut Diff) {
        self.sweep(part, &[], diff);
        self.0.parts.clear(part);
    }

    /// Puts an entry of this node's part at the end of its owner's list; returns the list's first.
    pub(crate) fn link_owned(&mut self, first: Option<Id>, id: Id) -> Id {
        self.0.slots.append::<InOwner>(first, id)
    }

    /// Takes an entry out of its owner's list; returns the list's first, if any is left.
    pub(crate) fn unlink_owned(&mut self, first: Id, id: Id) -> Option<Id> {
        self.0.slots.detach::<InOwner>(first, id)
    }

    /// Makes room for as many entries more.
    pub(crate) fn reserve(&mut self, entries: usize) {
        self.0.reserve(entries);
    }

    pub(crate) fn find(&self, topic: TopicName<'_>, key: &[u8], owner: Owner, part: PartId) -> Option<Id> {
        let key_id = self.0.key(self.0.topic(topic)?, key)?;
        self.0.slot(key_id, owner, part)
    }

    pub(crate) fn entry(&self, id: Id) -> &Entry {
        &self.0.slots[id].entry
    }

    pub(crate) fn topic_of(&self, id: Id) -> &Arc<str> {
        self.0.topic_of(id)
    }

    /// The entries in the owner's list that starts at `first`.
    pub(crate) fn owned(&self, first: Id) -> Vec<Id> {
        std::iter::successors(Some(first), |id| self.0.slots.after::<InOwner>(first, *id)).collect()
    }

    /// All entries of a part, as changes.
    pub(crate) fn collect(&self, part: PartId) -> Vec<Change> {
        let set = |id| Change::Set { topic: self.topic_of(id).clone(), entry: self.entry(id).clone() };
        self.0.in_part(part).into_iter().map(set).collect()
    }

    pub(crate) fn part_len(&self, part: PartId) -> usize {
        self.0.parts.head(part).len
    }

    pub(crate) fn list(&self, topic: TopicName<'_>) -> List<'_> {
        List::topic(&self.0, self.0.topic(topic))
    }

    pub(crate) fn key(&self, topic: TopicName<'_>, key: &str) -> List<'_> {
        List::key(&self.0, self.0.topic(topic).and_then(|topic| self.0.key(topic, key.as_bytes())))
    }

    pub(crate) fn count(&self, topic: TopicName<'_>) -> Count {
        self.0.topic(topic).map(|id| self.0.topics[id].shown).unwrap_or_default()
    }

    /// The topics in which something is shown.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.topics.iter().filter(|topic| topic.shown.presences > 0).map(|topic| &topic.name)
    }

    fn count_up(&mut self, id: Id) {
        let key = &mut self.0.keys[self.0.slots[id].key];
        key.shown += 1;
        let count = &mut self.0.topics[key.topic].shown;
        count.presences += 1;
        count.keys += usize::from(key.shown == 1);
    }

    fn count_down(&mut self, id: Id) {
        let key = &mut self.0.keys[self.0.slots[id].key];
        key.shown -= 1;
        let count = &mut self.0.topics[key.topic].shown;
        count.presences -= 1;
        count.keys -= usize::from(key.shown == 0);
    }
}
