//! The rows of a shard and the ways to find them.
//!
//! Three hash tables find a topic by its name, a key by topic and name, and an entry by key, owner and replica.
//! Circular lists go from a topic to its keys, from a key to its entries, from a replica to its entries and from
//! an owner to its entries. So nothing here ever walks over all there is.

use std::sync::Arc;

use hashbrown::HashTable;

use crate::{
    entry::Entry,
    ledger::PartId,
    state::{
        hash::{Hasher, TopicName, remove_id, shrink},
        parts::Parts,
        rows::{Count, InKey, InPart, InTopic, Key, Slot, Topic},
        slab::{Id, Slab},
    },
    tag::Owner,
};

#[derive(Debug)]
pub(super) struct Tables {
    pub(super) topics: Slab<Topic>,
    pub(super) keys: Slab<Key>,
    pub(super) slots: Slab<Slot>,
    pub(super) parts: Parts,
    hasher: Hasher,
    topic_table: HashTable<Id>,
    key_table: HashTable<Id>,
    slot_table: HashTable<Id>,
}

impl Tables {
    pub(super) fn new(hasher: Hasher) -> Self {
        Self {
            topics: Slab::new(),
            keys: Slab::new(),
            slots: Slab::new(),
            parts: Parts::default(),
            hasher,
            topic_table: HashTable::new(),
            key_table: HashTable::new(),
            slot_table: HashTable::new(),
        }
    }

    /// Adds the entry that `pack` makes, counted nowhere yet, with its key and topic if they are new.
    ///
    /// If there is one with this topic, key, owner and part, nothing is made, and the error says where it is.
    pub(super) fn add(
        &mut self,
        topic: TopicName<'_>,
        key: &[u8],
        owner: Owner,
        part: PartId,
        pack: impl FnOnce() -> Entry,
    ) -> Result<Id, Id> {
        let topic_id = self.topic_or_new(topic);
        let hash = self.hasher.key(topic_id, key);
        let key_id = self.key_with(topic_id, hash, key);
        if let Some(id) = key_id.and_then(|key_id| self.slot(key_id, owner, part)) {
            return Err(id);
        }

        // A new key's row names its first slot, and the slot its key: the slot comes first, with a key that
        // is set right below.
        let id = self.slots.insert(Slot {
            entry: pack(),
            key: key_id.unwrap_or(topic_id),
            part,
            in_key: None,
            in_part: None,
            in_owner: None,
        });
        match key_id {
            Some(key_id) => {
                self.slots.append::<InKey>(Some(self.keys[key_id].first), id);
            }
            None => {
                self.slots.append::<InKey>(None, id);
                self.slots[id].key = self.new_key(topic_id, hash, id);
            }
        }
        self.enter(id, part);
        Ok(id)
    }

    /// Removes an entry, and its key and topic if nothing is left of them.
    pub(super) fn remove(&mut self, id: Id) -> Entry {
        self.leave(id);
        let key_id = self.slots[id].key;
        let first = self.keys[key_id].first;
        match self.slots.detach::<InKey>(first, id) {
            Some(first) => self.keys[key_id].first = first,
            None => self.drop_key(key_id),
        }
        self.slots.remove(id).entry
    }

    /// Makes room, so that taking over a whole part does not grow the tables step by step.
    pub(super) fn reserve(&mut self, entries: usize) {
        let Self { hasher, keys, slots, .. } = self;
        slots.reserve(entries);
        keys.reserve(entries);
        self.key_table.reserve(entries, |id| hasher.spread(keys[*id].hash));
        self.slot_table.reserve(entries, |id| hasher.slot(&slots[*id]));
    }

    pub(super) fn topic(&self, topic: TopicName<'_>) -> Option<Id> {
        self.topic_table.find(topic.hash, |id| &*self.topics[*id].name == topic.name).copied()
    }

    pub(super) fn key(&self, topic_id: Id, name: &[u8]) -> Option<Id> {
        self.key_with(topic_id, self.hasher.key(topic_id, name), name)
    }

    pub(super) fn slot(&self, key_id: Id, owner: Owner, part: PartId) -> Option<Id> {
        let same = |id: &Id| {
            let slot = &self.slots[*id];
            slot.key == key_id && slot.part == part && slot.entry.owner() == owner
        };
        self.slot_table.find(self.hasher.identity(key_id, owner, part), same).copied()
    }

    pub(super) fn topic_of(&self, id: Id) -> &Arc<str> {
        &self.topics[self.keys[self.slots[id].key].topic].name
    }

    /// The entries of a part.
    pub(super) fn in_part(&self, part: PartId) -> Vec<Id> {
        let head = self.parts.head(part);
        let mut ids = Vec::with_capacity(head.len);
        if let Some(first) = head.first {
            ids.extend(std::iter::successors(Some(first), |id| self.slots.after::<InPart>(first, *id)));
        }
        ids
    }

    /// Enters a slot into the table of entries and the list of its part.
    fn enter(&mut self, id: Id, part: PartId) {
        let Self { hasher, slots, .. } = self;
        self.slot_table.insert_unique(hasher.slot(&slots[id]), id, |id| hasher.slot(&slots[*id]));

        let head = self.parts.head_mut(part);
        head.first = Some(slots.append::<InPart>(head.first, id));
        head.len += 1;
    }

    fn leave(&mut self, id: Id) {
        let Self { hasher, slots, .. } = self;
        let part = slots[id].part;
        remove_id(&mut self.slot_table, hasher.slot(&slots[id]), id);
        shrink(&mut self.slot_table, |id| hasher.slot(&slots[*id]));

        let head = self.parts.head_mut(part);
        if let Some(first) = head.first {
            head.first = slots.detach::<InPart>(first, id);
            head.len -= 1;
        }
    }

    fn topic_or_new(&mut self, topic: TopicName<'_>) -> Id {
        if let Some(id) = self.topic(topic) {
            return id;
        }
        let row =
            Topic { name: topic.name.into(), hash: topic.hash, first_key: None, shown: Count::default() };
        let id = self.topics.insert(row);
        let topics = &self.topics;
        self.topic_table.insert_unique(topic.hash, id, |id| topics[*id].hash);
        id
    }

    fn new_key(&mut self, topic_id: Id, hash: u32, first: Id) -> Id {
        let id = self.keys.insert(Key { topic: topic_id, hash, first, shown: 0, in_topic: None });
        let topic = &mut self.topics[topic_id];
        topic.first_key = Some(self.keys.append::<InTopic>(topic.first_key, id));
        let Self { hasher, keys, .. } = self;
        self.key_table.insert_unique(hasher.spread(hash), id, |id| hasher.spread(keys[*id].hash));
        id
    }

    fn drop_key(&mut self, id: Id) {
        let Self { hasher, keys, topics, .. } = self;
        remove_id(&mut self.key_table, hasher.spread(keys[id].hash), id);
        shrink(&mut self.key_table, |id| hasher.spread(keys[*id].hash));
        let topic_id = keys[id].topic;
        let first = topics[topic_id].first_key.and_then(|first| keys.detach::<InTopic>(first, id));
        keys.remove(id);
        topics[topic_id].first_key = first;
        if first.is_none() {
            remove_id(&mut self.topic_table, topics[topic_id].hash, topic_id);
            shrink(&mut self.topic_table, |id| topics[*id].hash);
            topics.remove(topic_id);
        }
    }

    fn key_with(&self, topic_id: Id, hash: u32, name: &[u8]) -> Option<Id> {
        let same = |id: &Id| {
            let key = &self.keys[*id];
            key.hash == hash && key.topic == topic_id && self.slots[key.first].entry.key_bytes() == name
        };
        self.key_table.find(self.hasher.spread(hash), same).copied()
    }
}
