//! What keeps broadcasts for those who come later.
//!
//! ```text
//!   node ─ append ─▶ store: numbers, keeps, publishes on the topic's channel ─▶ all nodes, in one order
//!        ─ read ───▶        all that is kept behind a place, or why not
//! ```
//!
//! The order of a topic is the store's, and each entry stands in it at a [`Place`]. A place has a check that depends on all
//! entries before it, so that an order that went on differently after a loss is told from the one that a node or a client has read.

use std::{error::Error, fmt, future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use lapwing_cluster::{
    Channel, Instance,
    wire::{CHECK_BITS, Kept, Place},
};

/// Entries that one read gives at most; [`Page::has_more`] says that there are others.
pub const PAGE_ENTRIES_MAX: usize = 1_000;

/// How long a store remembers where a topic stands of which it keeps nothing any more. Twice the age of what is kept, if that is longer.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 3600);

/// The same for a topic on which nothing was ever appended: whoever joins any name makes it remember one.
pub const UNUSED_REMEMBERED_FOR: Duration = Duration::from_secs(3600);

/// Publishers of a topic whose last number a store remembers; beyond it the one that came first is forgotten.
pub const PUBLISHERS_MAX: usize = 64;

/// How long a store remembers a topic whose entries are kept for `age`.
#[must_use]
pub fn remembered_for(age: Duration) -> Duration {
    REMEMBERED_FOR.max(age.saturating_mul(2))
}

/// How much of a topic is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Entries.
    pub entries: usize,
    /// Bytes of them. An entry that is larger alone is published and numbered, and not kept, nor is anything before it.
    pub bytes: usize,
    /// How long.
    pub age: Duration,
}

/// An entry to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Its topic.
    pub topic: Box<str>,
    /// Where it is published when it has its place, as [`Kept`].
    pub channel: Channel,
    /// Who appends it …
    pub publisher: Instance,
    /// … and its number among those that this publisher appends, whatever the topic. One that is not above the last of the topic is not
    /// appended again.
    pub number: u64,
    /// What is kept.
    pub entry: Bytes,
    /// How much is kept with it.
    pub bounds: Bounds,
}

/// What is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Of this topic.
    pub topic: Box<str>,
    /// Where its entries are published.
    pub channel: Channel,
    /// What stands behind this place; everything that is kept, if there is none.
    pub after: Option<Place>,
    /// So many entries at most, and no more than [`PAGE_ENTRIES_MAX`]. With 0 it is only told where the topic stands.
    pub entries_max: usize,
    /// How much is kept: what is older is not given.
    pub bounds: Bounds,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Why it does not begin where it was asked to. It has what is kept then.
    pub refused: Option<Refused>,
    /// The place before the first entry, or where the topic stands if there is none.
    pub after: Place,
    /// The entries, in order and without a hole.
    pub entries: Vec<Kept>,
    /// Whether there are more behind these.
    pub has_more: bool,
}

/// Why a page does not begin where it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The place is in another order: the store lost the topic, or the end of it, and went on.
    Epoch,
    /// Some of what stood behind the place is not kept any more.
    Trimmed,
}

/// What a store has of a topic, for [`Page::new`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where the topic stands.
    pub top: Place,
    /// Entries as they are kept, from the place on that was asked for, that before it included if it is kept; or all.
    pub entries: Vec<Kept>,
    /// Whether the newest of them is the newest of all.
    pub is_all: bool,
}

impl Page {
    /// Makes sense of what a store has found, whatever that is: entries may have been taken from it on any side. None if the place that was asked
    /// for is not to be had, so that all that is kept has to be read in its stead. Of more than `entries_max` it has the oldest.
    ///
    /// # Errors
    /// Why it is not.
    pub fn new(after: Option<Place>, entries_max: usize, found: Found) -> Result<Self, Refused> {
        let Found { top, mut entries, is_all } = found;
        // What counts is the end of it without a hole. Behind a hole is nothing that anybody could go on from.
        let mut first = entries.len();
        let mut next = if is_all { Some(top) } else { entries.last().map(|last| last.place) };
        while let Some(place) = next
            && first > 0
            && entries[first - 1].place == place
        {
            first -= 1;
            next = Some(entries[first].place_before());
        }
        let before = next.unwrap_or(top);
        entries.drain(..first);
        let Some(after) = after else {
            return Ok(Self::within(
                entries_max,
                Self { refused: None, after: before, has_more: !is_all, entries },
            ));
        };
        if after.epoch != top.epoch || after.number > top.number {
            return Err(Refused::Epoch);
        }
        let known = match after.number.checked_sub(before.number) {
            None => return Err(Refused::Trimmed),
            Some(0) => Some(before),
            Some(past) => {
                usize::try_from(past - 1).ok().and_then(|index| entries.get(index)).map(|it| it.place)
            }
        };
        match known {
            Some(place) if place == after => {}
            Some(_) => return Err(Refused::Epoch),
            None => return Err(Refused::Trimmed),
        }
        entries.retain(|entry| entry.place.number > after.number);
        Ok(Self::within(entries_max, Self { refused: None, after, has_more: !is_all, entries }))
    }

    /// Leaves out what is behind the first so many: a store looks for one more, and the place that was asked for need not be among them.
    fn within(entries_max: usize, mut page: Self) -> Self {
        let entries_max = entries_max.min(PAGE_ENTRIES_MAX);
        page.has_more |= page.entries.len() > entries_max;
        page.entries.truncate(entries_max);
        page
    }

    /// The place behind the last entry.
    #[must_use]
    pub fn end(&self) -> Place {
        self.entries.last().map_or(self.after, |last| last.place)
    }
}

/// How many entries a store has to look for: one more than are read, as the place that is asked for may be the first.
#[must_use]
pub fn count(entries_max: usize) -> usize {
    if entries_max == 0 { 0 } else { entries_max.min(PAGE_ENTRIES_MAX) + 1 }
}

/// The check behind an entry: of the one before it, and of what tells the entry from all others. A store may have another function.
#[must_use]
pub fn chained(before: u32, publisher: Instance, number: u64) -> u32 {
    let words = [u64::from(before), publisher.0, number];
    let hash =
        words.iter().flat_map(|word| word.to_be_bytes()).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    // The upper bits of this hash are the better ones.
    (hash >> (64 - CHECK_BITS)) as u32
}

/// What a store does when it is asked to.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps the newest entries of topics in one order, and publishes each when it has its place in it.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Appends these, in this order. Whether they are appended is not known after an error or when the future is dropped: append the same
    /// again, before anything else, and what was appended is not appended twice.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn append<'a>(&'a self, appends: &'a [Append]) -> Doing<'a, ()>;

    /// Reads.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn read<'a>(&'a self, read: &'a Read) -> Doing<'a, Page>;
}

/// Why a store did not do what it was asked to.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached, or cannot do it now.
    Away(Box<dyn Error + Send + Sync>),
    /// It refuses: a permission is missing.
    Refused(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Away(_) => "the store of kept topics is away",
            Self::Refused(_) => "the store of kept topics refuses this node",
        })
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Away(source) | Self::Refused(source) => Some(source.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn kept(number: u64, check: u32, before: u32) -> Kept {
        Kept { place: Place { epoch: 1, number, check }, before, entry: Bytes::new() }
    }

    fn place(number: u64, check: u32) -> Place {
        Place { epoch: 1, number, check }
    }

    fn read(after: Option<Place>, top: Place, entries: &[Kept]) -> Result<(u64, Vec<u64>), Refused> {
        let page = Page::new(after, 10, Found { top, entries: entries.to_vec(), is_all: true })?;
        Ok((page.after.number, page.entries.iter().map(|entry| entry.place.number).collect()))
    }

    #[test]
    fn a_page_goes_on_from_the_place_that_was_asked_for_or_says_why_not() {
        let all = [kept(3, 30, 20), kept(4, 40, 30), kept(5, 50, 40)];
        let top = place(5, 50);
        assert_eq!(read(None, top, &all), Ok((2, vec![3, 4, 5])));
        assert_eq!(
            read(Some(place(2, 20)), top, &all),
            Ok((2, vec![3, 4, 5])),
            "the check is before the first"
        );
        assert_eq!(read(Some(place(4, 40)), top, &all[1..]), Ok((4, vec![5])));
        assert_eq!(read(Some(top), top, &all[2..]), Ok((5, vec![])));
        assert_eq!(read(Some(top), top, &[]), Ok((5, vec![])), "nothing is kept, and nothing was missed");
        assert_eq!(read(Some(place(1, 10)), top, &all), Err(Refused::Trimmed));
        assert_eq!(read(Some(place(4, 40)), top, &[]), Err(Refused::Trimmed));
        for elsewhere in [place(2, 21), place(4, 41), place(5, 51), place(6, 60)] {
            assert_eq!(read(Some(elsewhere), top, &all), Err(Refused::Epoch), "{elsewhere:?}");
        }
        assert_eq!(read(Some(Place { epoch: 2, ..top }), top, &all), Err(Refused::Epoch));
    }

    #[test]
    fn what_lies_before_a_hole_is_not_kept() {
        let top = place(5, 50);
        // Somebody took one from the middle, the newest, or put another in its place.
        assert_eq!(read(None, top, &[kept(3, 30, 20), kept(5, 50, 40)]), Ok((4, vec![5])));
        assert_eq!(read(None, top, &[kept(3, 30, 20), kept(4, 40, 30)]), Ok((5, vec![])));
        assert_eq!(read(None, top, &[kept(3, 30, 20), kept(4, 41, 30), kept(5, 50, 40)]), Ok((4, vec![5])));
        assert_eq!(read(Some(place(3, 30)), top, &[kept(3, 30, 20), kept(5, 50, 40)]), Err(Refused::Trimmed));
    }

    #[test]
    fn a_page_that_is_not_the_last_says_so() {
        let entries = vec![kept(3, 30, 20), kept(4, 40, 30)];
        let found = Found { top: place(9, 90), entries, is_all: false };
        let page = Page::new(Some(place(3, 30)), 1, found).unwrap();
        assert!(page.has_more);
        assert_eq!((page.after, page.end()), (place(3, 30), place(4, 40)));
    }

    #[test]
    fn a_page_has_no_more_than_was_asked_for_wherever_it_begins() {
        let found =
            Found { top: place(4, 40), entries: vec![kept(3, 30, 20), kept(4, 40, 30)], is_all: true };
        // The place that was asked for is not among what was found, and nothing was missed.
        for after in [None, Some(place(2, 20))] {
            let page = Page::new(after, 1, found.clone()).unwrap();
            assert_eq!((page.entries.len(), page.end(), page.has_more), (1, place(3, 30), true));
            assert!(!Page::new(after, 2, found.clone()).unwrap().has_more);
        }
    }

    #[test]
    fn one_entry_more_is_looked_for_than_are_read_and_none_where_none_is() {
        let most = PAGE_ENTRIES_MAX + 1;
        assert_eq!([0, 1, PAGE_ENTRIES_MAX, usize::MAX].map(count), [0, 2, most, most]);
    }

    #[test]
    fn a_topic_is_remembered_for_a_day_or_for_twice_as_long_as_its_entries_are_kept() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        assert_eq!([0, 12, 13].map(|age| remembered_for(hours(age))), [24, 24, 26].map(hours));
    }

    #[test]
    fn a_check_is_another_one_behind_another_entry_and_has_no_more_bits_than_it_may_have() {
        let behind: [fn(u64) -> u32; 3] = [
            |check| chained(check as u32, Instance(7), 7),
            |publisher| chained(7, Instance(publisher), 7),
            |number| chained(7, Instance(7), number),
        ];
        for behind in behind {
            let checks: HashSet<u32> = (0..100).map(behind).collect();
            assert!(checks.len() == 100 && checks.iter().all(|check| check >> CHECK_BITS == 0));
        }
    }

    #[test]
    fn an_error_tells_what_the_store_does_and_why() {
        for (error, text) in [
            (StoreError::Away("no route".into()), "the store of kept topics is away"),
            (StoreError::Refused("no route".into()), "the store of kept topics refuses this node"),
        ] {
            let why = error.source().map(ToString::to_string);
            assert_eq!((error.to_string(), why.as_deref()), (text.to_owned(), Some("no route")));
        }
    }
}
