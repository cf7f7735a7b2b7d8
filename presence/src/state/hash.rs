//! How the tables of a shard hash, and how they shrink.

use std::hash::BuildHasher;

use foldhash::{SharedSeed, fast::SeedableRandomState};
use hashbrown::HashTable;

use crate::{
    ledger::PartId,
    state::{rows::Slot, slab::Id},
    tag::Owner,
};

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Hashes of a thousand things: all but a few differ.
    #[track_caller]
    fn assert_spread(hash: impl Fn(u32) -> u64) {
        let hashes: BTreeSet<u64> = (0..1000).map(&hash).collect();
        assert!(hashes.len() > 990, "{} of 1,000", hashes.len());
        // A table looks at the lowest bits and at the highest seven.
        for (bits, most) in [(57, 128), (0, 1024)] {
            let seen: BTreeSet<u64> = (0..1000).map(|number| (hash(number) >> bits) & 1023).collect();
            assert!(seen.len() > most / 2, "{} of {most} from bit {bits} on", seen.len());
        }
    }

    #[test]
    fn names_and_numbers_are_spread_over_the_tables() {
        let hasher = Hasher::new(7);
        let mut ids = crate::state::slab::Slab::new();
        let ids: Vec<Id> = (0..1000).map(|number| ids.insert(number)).collect();
        assert_spread(|number| hasher.topic(&format!("room:{number}")));
        assert_spread(|number| hasher.owner(Owner(number.into())));
        assert_spread(|number| hasher.spread(hasher.key(ids[0], format!("user:{number}").as_bytes())));
        assert_spread(|number| hasher.spread(hasher.key(ids[number as usize], b"user")));
        assert_spread(|number| hasher.identity(ids[number as usize], Owner(1), PartId(0)));
        assert_spread(|number| hasher.identity(ids[0], Owner(number.into()), PartId(0)));
        // Of one owner's one key on many replicas there are never many.
        let parts: BTreeSet<u64> =
            (0..1000).map(|number| hasher.identity(ids[0], Owner(1), PartId(number))).collect();
        assert!(parts.len() > 990);
    }

    #[test]
    fn keys_with_one_hash_are_two_keys() {
        // Half of the hash is kept: among 200,000 names there are several pairs.
        let hasher = Hasher::new(0);
        let topic_id = crate::state::slab::Slab::new().insert(());
        let mut names = std::collections::HashMap::new();
        let (one, other) = (0..200_000)
            .find_map(|number| {
                let name = format!("user:{number}");
                let other = names.insert(hasher.key(topic_id, name.as_bytes()), name.clone())?;
                Some((name, other))
            })
            .unwrap();
        let config = crate::Config::default().hash_seed(0).shards(1);
        let mut presences = crate::Presences::new(crate::ReplicaId::new(1, 1), config);
        presences.track("room", &one, Owner(1), b"{}").unwrap();
        presences.track("room", &other, Owner(1), b"{}").unwrap();
        assert_eq!(presences.count("room").keys, 2);
        assert_eq!(presences.get("room", &one).map(|entry| entry.key()).collect::<Vec<_>>(), [&one]);
        assert_eq!(presences.get("room", &other).map(|entry| entry.key()).collect::<Vec<_>>(), [&other]);
    }

    #[test]
    fn another_seed_makes_other_hashes() {
        let topics = [1, 2].map(|seed| Hasher::new(seed).topic("room"));
        assert_ne!(topics[0], topics[1]);
    }

    /// A table with room for at least so many, and so many in it; its capacity before and after.
    fn shrunk(room: usize, len: usize) -> (usize, usize) {
        let mut table = HashTable::with_capacity(room);
        let hasher = |number: &u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for number in 0..len as u64 {
            table.insert_unique(hasher(&number), number, hasher);
        }
        let before = table.capacity();
        shrink(&mut table, hasher);
        assert_eq!(table.len(), len);
        (before, table.capacity())
    }

    #[test]
    fn a_table_of_which_little_is_left_gives_memory_back() {
        let (capacity, _) = shrunk(1000, 1000);
        let eighth = capacity / 8;
        assert_eq!(shrunk(1000, eighth), (capacity, capacity), "an eighth is not little");
        let (before, after) = shrunk(1000, eighth - 1);
        assert_eq!(before, capacity);
        assert!(after < capacity && after >= 2 * (eighth - 1), "{after} leaves room to grow");
        let (before, after) = shrunk(1000, 20);
        assert!((40..before / 8).contains(&after), "{after} of {before}");
    }

    #[test]
    fn a_small_table_is_shrunk_only_when_it_is_empty() {
        let (small, _) = shrunk(200, 1);
        assert!((200..=256).contains(&small));
        assert_eq!(shrunk(200, 1), (small, small));
        assert_eq!(shrunk(200, 0), (small, 0));
        let (tiny, _) = shrunk(20, 1);
        assert!((20..=32).contains(&tiny));
        assert_eq!(shrunk(20, 0), (tiny, tiny), "a few places are no waste");
        assert_eq!(shrunk(1000, 0).1, 0);
    }
}
