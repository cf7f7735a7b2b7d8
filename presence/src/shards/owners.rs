//! Where the entries of an owner are.

use hashbrown::HashTable;

use crate::{
    state::{Hasher, Id, State, shrink},
    tag::Owner,
};

/// For each owner on this node, and each shard in which it has entries, the first of them.
///
/// One table over all shards: most owners have entries in one shard only, and asking each shard for its own table
/// was four fifths of what an untrack cost.
#[derive(Debug, Default)]
pub(super) struct Owners(HashTable<First>);

#[derive(Clone, Copy, Debug)]
struct First {
    shard: u16,
    slot: Id,
}

impl Owners {
    /// Enters a new entry.
    pub(super) fn enter(
        &mut self,
        owner: Owner,
        shard: usize,
        id: Id,
        shards: &mut [State],
        hasher: &Hasher,
    ) {
        let hash = hasher.owner(owner);
        if let Some(first) = self.0.find(hash, |first| first.is_of(owner, shard, shards)) {
            shards[shard].link_owned(Some(first.slot), id);
            return;
        }
        let slot = shards[shard].link_owned(None, id);
        let shard = u16::try_from(shard).expect("the number of shards is bounded");
        self.0.insert_unique(hash, First { shard, slot }, |first| hasher.owner(first.owner(shards)));
    }

    /// Takes out an entry that is about to be removed.
    pub(super) fn leave(
        &mut self,
        owner: Owner,
        shard: usize,
        id: Id,
        shards: &mut [State],
        hasher: &Hasher,
    ) {
        let hash = hasher.owner(owner);
        let Ok(mut place) = self.0.find_entry(hash, |first| first.is_of(owner, shard, shards)) else {
            return;
        };
        match shards[shard].unlink_owned(place.get().slot, id) {
            Some(slot) => place.get_mut().slot = slot,
            None => {
                place.remove();
                shrink(&mut self.0, |first| hasher.owner(first.owner(shards)));
            }
        }
    }

    /// The entries of an owner, with their shards.
    pub(super) fn find(&self, owner: Owner, shards: &[State], hasher: &Hasher) -> Vec<(usize, Id)> {
        let mut found = Vec::new();
        for first in self.0.iter_hash(hasher.owner(owner)) {
            if first.owner(shards) == owner {
                let shard = usize::from(first.shard);
                found.extend(shards[shard].owned(first.slot).into_iter().map(|id| (shard, id)));
            }
        }
        found
    }
}

impl First {
    fn owner(self, shards: &[State]) -> Owner {
        shards[usize::from(self.shard)].entry(self.slot).owner()
    }

    fn is_of(self, owner: Owner, shard: usize, shards: &[State]) -> bool {
        usize::from(self.shard) == shard && self.owner(shards) == owner
    }
}
