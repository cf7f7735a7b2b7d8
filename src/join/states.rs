//! Where the states of things wait in a mailbox in which much does: found without a look at each message.
//!
//! As in a session's outbox: a mailbox makes an index when somebody had to look at many messages in vain, and has it until nothing
//! waits.

use std::collections::{HashMap, hash_map::Entry};

use crate::topics::broadcast::StateKey;

/// The last state of each thing. Bounded by the messages that wait: what leaves is taken out.
#[derive(Debug, Default)]
pub(super) struct States {
    /// Counted from the message that was the first when the index was made.
    numbers: HashMap<StateKey, u64>,
    /// How many messages have left since.
    gone: u64,
}

impl States {
    /// The index of messages by what they tell the states of. The first has place 0.
    pub(super) fn of(messages: impl Iterator<Item = Option<StateKey>>) -> Self {
        let mut states = Self::default();
        messages.enumerate().for_each(|(place, key)| states.push(place, key));
        states
    }

    pub(super) fn place_of(&self, key: &StateKey) -> Option<usize> {
        self.numbers.get(key).map(|number| (number - self.gone) as usize)
    }

    /// This message stands behind all others.
    pub(super) fn push(&mut self, place: usize, key: Option<StateKey>) {
        if let Some(key) = key {
            self.numbers.insert(key, self.gone + place as u64);
        }
    }

    /// This message has left the first place, and the others move up.
    pub(super) fn pop(&mut self, key: Option<StateKey>) {
        if let Some(key) = key
            && let Entry::Occupied(known) = self.numbers.entry(key)
            && *known.get() == self.gone
        {
            known.remove();
        }
        self.gone += 1;
    }
}
