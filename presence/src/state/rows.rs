//! The rows of a shard's tables, laid out to be small.
//!
//! The cost of one presence with a key of 16 and a meta of 60 bytes: 122 bytes for the entry's block with its
//! two counts, 48 for its [`Slot`], 28 for its [`Key`] row unless the key has other entries, 16 for a pointer
//! from the history, and about 5 to 8 for a place in each of three hash tables. A table holds four-byte ids
//! and nothing else; names are compared where they are.

use std::sync::Arc;

use crate::{
    entry::Entry,
    ledger::PartId,
    state::slab::{Id, Link, Linked},
};

/// A topic, as long as it has a key.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    pub(crate) hash: u64,
    pub(crate) first_key: Option<Id>,
    pub(crate) shown: Count,
}

/// How many are shown in a topic.
///
/// # Examples
///
/// ```
/// use lapwing_presence::{Config, Owner, Presences, ReplicaId};
///
/// let mut presences = Presences::new(ReplicaId::new(1, 1), Config::default());
/// presences.track("room", "ada", Owner(1), b"{}")?;
/// presences.track("room", "ada", Owner(2), b"{}")?;
/// let count = presences.count("room");
/// assert_eq!((count.keys, count.presences), (1, 2));
/// # Ok::<(), lapwing_presence::TrackError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Count {
    /// Entries: a person in three tabs counts three times.
    pub presences: usize,
    /// Different keys: a person in three tabs counts once.
    pub keys: usize,
}

/// A key of a topic, as long as it has an entry. Its name is in its entries.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) topic: Id,
    /// Of the topic and the name; kept so that a table that grows need not visit the entries.
    pub(crate) hash: u32,
    /// The first of its entries, shown or not.
    pub(crate) first: Id,
    /// How many of its entries are shown.
    pub(crate) shown: u32,
    pub(crate) in_topic: Option<Link>,
}

/// An entry and the lists that it is in.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) entry: Entry,
    pub(crate) key: Id,
    pub(crate) part: PartId,
    pub(crate) in_key: Option<Link>,
    pub(crate) in_part: Option<Link>,
    /// Only for entries of this node's own part: nobody else's owners end here.
    pub(crate) in_owner: Option<Link>,
}

/// The list of a topic's keys.
pub(crate) struct InTopic;
/// The list of a key's entries.
pub(crate) struct InKey;
/// The list of a replica's entries.
pub(crate) struct InPart;
/// The list of an owner's entries.
pub(crate) struct InOwner;

macro_rules! linked {
    ($row:ty, $list:ty, $field:ident) => {
        impl Linked<$list> for $row {
            fn link(&self) -> Option<Link> {
                self.$field
            }

            fn set_link(&mut self, link: Option<Link>) {
                self.$field = link;
            }
        }
    };
}

linked!(Key, InTopic, in_topic);
linked!(Slot, InKey, in_key);
linked!(Slot, InPart, in_part);
linked!(Slot, InOwner, in_owner);

const _: () = assert!(size_of::<Option<Slot>>() == 48);
const _: () = assert!(size_of::<Option<Key>>() == 24);
