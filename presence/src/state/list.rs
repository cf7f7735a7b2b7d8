//! Reading the entries of a topic or of a key.

use std::fmt;

use crate::{
    entry::Entry,
    state::{
        rows::{InKey, InTopic},
        slab::Id,
        tables::Tables,
    },
};

/// The shown entries of a topic or of a key; the entries of one key follow each other.
///
/// It is lazy: taking the first few costs the first few. Keys come in the order in which they appeared, which
/// differs between nodes.
#[derive(Clone)]
pub struct List<'a> {
    tables: &'a Tables,
    /// The keys' list's first element, and the one that comes next; `None` if there is no next.
    first_key: Option<Id>,
    next_key: Option<Id>,
    /// The same for the entries of the current key.
    first_slot: Option<Id>,
    next_slot: Option<Id>,
}

impl<'a> List<'a> {
    pub(super) fn topic(tables: &'a Tables, topic: Option<Id>) -> Self {
        let first_key = topic.and_then(|id| tables.topics[id].first_key);
        Self { tables, first_key, next_key: first_key, first_slot: None, next_slot: None }
    }

    pub(super) fn key(tables: &'a Tables, key: Option<Id>) -> Self {
        let first_slot = key.map(|id| tables.keys[id].first);
        Self { tables, first_key: None, next_key: None, first_slot, next_slot: first_slot }
    }

    /// Goes to the next key of which something is shown.
    fn next_key(&mut self) -> Option<()> {
        loop {
            let id = self.next_key?;
            self.next_key = self.tables.keys.after::<InTopic>(self.first_key?, id);
            let key = &self.tables.keys[id];
            if key.shown > 0 {
                (self.first_slot, self.next_slot) = (Some(key.first), Some(key.first));
                return Some(());
            }
        }
    }
}

impl fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<'a> Iterator for List<'a> {
    type Item = &'a Entry;

    fn next(&mut self) -> Option<&'a Entry> {
        loop {
            let Some(id) = self.next_slot else {
                self.next_key()?;
                continue;
            };
            self.next_slot = self.tables.slots.after::<InKey>(self.first_slot?, id);
            let slot = &self.tables.slots[id];
            if self.tables.parts.shown(slot.part) {
                return Some(&slot.entry);
            }
        }
    }
}
