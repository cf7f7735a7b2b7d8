//! What happened to sessions lately: a ring of the last entries, for people who look for the reason of something. Off unless a program asks for it.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError},
    time::SystemTime,
};

use lapwing_transports::{close::CloseReason, connect::Transport, quoted::Quoted};

use crate::{
    sync::{Mutex, MutexGuard},
    topic::Topic,
    topics::broadcast::TransportId,
};

/// One thing that happened to a session, as [`Lapwing::journal`](crate::Lapwing::journal) tells it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JournalEntry {
    /// Its number: entries are counted from 1, without a gap.
    pub number: u64,
    /// The time.
    pub at: SystemTime,
    /// The number of the session.
    pub transport_id: TransportId,
    /// The id that its client was given on connect, cut after 128 characters; `None` for anonymous clients.
    pub socket_id: Option<String>,
    /// The event.
    pub what: Happening,
}

/// An event in the life of a session. Names are cut after 128 characters, and what could harm a terminal is escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happening {
    /// It began.
    Opened {
        /// The transport that it came by.
        transport: Transport,
    },
    /// A resumable session is carried by this transport from now on.
    Carried {
        /// The transport.
        transport: Transport,
    },
    /// Nothing carries it for longer than a moment.
    Away,
    /// Something does again.
    Back,
    /// It has joined a topic.
    Joined {
        /// The topic.
        topic: String,
    },
    /// It was not let into a topic.
    Refused {
        /// The topic.
        topic: String,
    },
    /// It has left a topic.
    Left {
        /// The topic.
        topic: String,
        /// Why, in a word.
        reason: &'static str,
    },
    /// It is over.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// The last entries.
pub(crate) struct Journal {
    entries_max: usize,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    entries: VecDeque<Arc<JournalEntry>>,
    last: u64,
}

impl Journal {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { entries_max, ring: Mutex::default() }
    }

    pub(crate) fn note(&self, transport_id: TransportId, socket_id: Option<&str>, what: Happening) {
        let at = SystemTime::now();
        let socket_id = socket_id.map(name);
        let mut ring = self.ring();
        ring.last += 1;
        let entry = JournalEntry { number: ring.last, at, transport_id, socket_id, what };
        let dropped = (ring.entries.len() == self.entries_max).then(|| ring.entries.pop_front());
        ring.entries.push_back(Arc::new(entry));
        drop(ring);
        drop(dropped);
    }

    /// The entries after the one with this number that are still there, oldest first.
    pub(crate) fn after(&self, number: u64) -> Vec<Arc<JournalEntry>> {
        let ring = self.ring();
        let first = ring.entries.front().map_or(0, |entry| entry.number);
        let skipped = usize::try_from(number.saturating_add(1).saturating_sub(first)).unwrap_or(usize::MAX);
        ring.entries.iter().skip(skipped).cloned().collect()
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Nothing under it panics.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A topic as it is noted.
pub(crate) fn topic(topic: &Topic) -> String {
    name(topic.as_str())
}

/// A client's name as it is noted.
fn name(name: &str) -> String {
    Quoted::new(name).up_to(NAME_CHARS_MAX).to_string()
}

/// Of a name: enough to tell it by.
const NAME_CHARS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(entries: &[Arc<JournalEntry>]) -> Vec<u64> {
        entries.iter().map(|entry| entry.number).collect()
    }

    #[test]
    fn the_oldest_entry_makes_place_for_the_newest() {
        let journal = Journal::new(3);
        assert!(journal.after(0).is_empty());
        for id in 1..=5 {
            journal.note(TransportId(id), Some("user"), Happening::Away);
        }
        assert_eq!(numbers(&journal.after(0)), [3, 4, 5]);
        assert_eq!(numbers(&journal.after(3)), [4, 5]);
        assert!(journal.after(5).is_empty());
        assert!(journal.after(u64::MAX).is_empty());
    }

    #[test]
    fn a_long_name_is_cut_and_a_strange_one_escaped() {
        let long = "a".repeat(10_000_000);
        assert!(name(&long).len() < 200);
        assert!(!name("\x1b[2J\n").contains(['\x1b', '\n']));
    }
}
