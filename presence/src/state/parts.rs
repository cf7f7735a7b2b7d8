//! The replicas' parts within one shard: where each one's entries start, and whether they are shown.

use crate::{ledger::PartId, state::slab::Id};

#[derive(Debug, Default)]
pub(crate) struct Parts {
    heads: Vec<Head>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) first: Option<Id>,
    pub(crate) len: usize,
    /// Whether the entries are listed, counted and reported.
    pub(crate) shown: bool,
}

const NOTHING: Head = Head { first: None, len: 0, shown: true };

impl Parts {
    pub(crate) fn head_mut(&mut self, part: PartId) -> &mut Head {
        let place = usize::from(part.0);
        if place >= self.heads.len() {
            self.heads.resize(place + 1, NOTHING);
        }
        &mut self.heads[place]
    }

    /// Makes the number fit for another replica.
    pub(crate) fn clear(&mut self, part: PartId) {
        *self.head_mut(part) = NOTHING;
    }

    pub(crate) fn head(&self, part: PartId) -> Head {
        self.heads.get(usize::from(part.0)).copied().unwrap_or(NOTHING)
    }

    pub(crate) fn shown(&self, part: PartId) -> bool {
        self.head(part).shown
    }
}
