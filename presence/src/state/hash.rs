//! How the tables of a shard hash, and how they shrink.

use std::hash::BuildHasher;

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use hashbrown::HashTable;

use crate::ledger::PartId;
use crate::state::rows::Slot;
use crate::state::slab::Id;
use crate::tag::Owner;

/// A topic's name with its hash, which chooses the shard and the place in the shard's table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopicName<'a> {
    pub(crate) name: &'a str,
    pub(crate) hash: u64,
}

/// The hashes of all tables, from one seed.
#[derive(Clone, Debug)]
pub(crate) struct Hasher(SeedableRandomState);

impl Hasher {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()))
    }

    pub(crate) fn topic(&self, name: &str) -> u64 {
        self.0.hash_one(name.as_bytes())
    }

    pub(super) fn key(&self, topic_id: Id, name: &[u8]) -> u32 {
        self.0.hash_one((topic_id, name)) as u32
    }

    pub(super) fn slot(&self, slot: &Slot) -> u64 {
        self.identity(slot.key, slot.entry.owner(), slot.part)
    }

    pub(super) fn identity(&self, key_id: Id, owner: Owner, part: PartId) -> u64 {
        self.0.hash_one((key_id, owner.0, part.0))
    }

    pub(crate) fn owner(&self, owner: Owner) -> u64 {
        self.0.hash_one(owner.0)
    }

    /// A table looks at the low and at the seven highest bits.
    pub(super) fn spread(&self, hash: u32) -> u64 {
        u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

pub(super) fn remove_id(table: &mut HashTable<Id>, hash: u64, id: Id) {
    if let Ok(place) = table.find_entry(hash, |other| *other == id) {
        place.remove();
    }
}

/// Gives memory back when little is left of a table; rarely enough to cost a removal only a few operations.
pub(crate) fn shrink<T>(table: &mut HashTable<T>, hasher: impl Fn(&T) -> u64) {
    let little = table.capacity() > 256 && table.len() < table.capacity() / 8;
    if little || (table.is_empty() && table.capacity() > 32) {
        table.shrink_to(table.len() * 2, hasher);
    }
}
