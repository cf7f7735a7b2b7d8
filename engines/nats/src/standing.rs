//! Where a topic stands, as the head of its newest entry says it: what the next one needs is in the one before it.
//!
//! ```text
//!   Lw-Kept: bytes ever appended;hour;run;sequences;publisher:number:hour,…        all in hexadecimal
//! ```
//!
//! The entries before it are those directly before it in the stream, as many as `run` says, and then those with the sequences, the nearest first.
//! The entry itself is the payload, as nodes hear it: a message of kind 11.

use bytes::Bytes;
use lapwing_cluster::{
    Instance,
    wire::{Kept, Message, Place, WireLimits},
};
use lapwing_cluster_driver::store::{Append, Bounds, PUBLISHERS_MAX, chained};

use crate::protocol;

/// The field of the head.
const FIELD: &str = "Lw-Kept";

/// How many sequences of entries before it an entry has: so many are asked for at once.
const LINKS_MAX: usize = 8;

/// How long a publisher is remembered that appends nothing to the topic, in hours.
const PUBLISHER_HOURS_MAX: u64 = 24;

/// Where a topic stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Where its newest entry is in the stream; 0 if there is none, or if that is not known yet.
    pub(crate) sequence: u64,
    pub(crate) place: Place,
    /// Bytes of all entries that were ever appended.
    pub(crate) bytes: u64,
    /// So many entries stand directly before the newest in the stream.
    run: u64,
    /// Where the entries before those are, the nearest first.
    links: Vec<u64>,
    /// Who appended, the last one first.
    publishers: Vec<Publisher>,
}

/// What is known of a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Publisher {
    instance: Instance,
    /// Of the last that it appended.
    number: u64,
    /// When that was, in hours since 1970.
    hour: u64,
}

/// An entry that is in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kept: Kept,
    /// When it came, in milliseconds since 1970.
    pub(crate) ms: u64,
    /// Where the topic stood with it.
    pub(crate) standing: Standing,
}

/// An entry that is to come next.
#[derive(Clone, Debug)]
pub(crate) struct Next {
    /// A field of its head.
    pub(crate) field: String,
    pub(crate) payload: Bytes,
    /// Where the topic stands when it is there; its sequence is not known yet.
    standing: Standing,
}

impl Standing {
    /// A topic that nobody has used, though something may be there that is no entry.
    pub(crate) fn unused(epoch: u64, sequence: u64) -> Self {
        let place = Place { epoch, ..Place::default() };
        Self { sequence, place, bytes: 0, run: 0, links: Vec::new(), publishers: Vec::new() }
    }

    /// Whether a publisher has appended this number, or a later one.
    pub(crate) fn has(&self, publisher: Instance, number: u64) -> bool {
        self.publishers.iter().any(|known| known.instance == publisher && known.number >= number)
    }

    /// Whether another one has appended lately.
    pub(crate) fn is_shared(&self, hour: u64) -> bool {
        self.publishers.iter().skip(1).any(|known| known.hour + 1 >= hour)
    }

    /// An entry behind this. Where this is one that is not in the stream yet, the new one has to stand directly behind it there.
    pub(crate) fn next(&self, append: &Append, entry: Bytes, hour: u64) -> Next {
        let Append { publisher, number, .. } = *append;
        let before = self.place.check;
        let check = chained(before, publisher, number);
        let place = Place { number: self.place.number + 1, check, ..self.place };
        let bytes = self.bytes + entry.len() as u64;
        let is_behind_another = self.sequence == 0 && self.place.number > 0;
        let (run, links) =
            if is_behind_another { (self.run + 1, self.links.clone()) } else { (0, self.before()) };
        let mut publishers = vec![Publisher { instance: publisher, number, hour }];
        let others = self.publishers.iter().filter(|known| known.instance != publisher);
        let others = others.filter(|known| known.hour + PUBLISHER_HOURS_MAX >= hour);
        publishers.extend(others.take(PUBLISHERS_MAX - 1));
        let standing = Self { sequence: 0, place, bytes, run, links, publishers };
        let payload = Message::Kept(Kept { place, before, entry }).encode(publisher);
        Next { field: standing.field(hour), payload, standing }
    }

    /// Where the newest entry is and those before it, the nearest first.
    fn before(&self) -> Vec<u64> {
        let newest = (self.sequence > 0).then_some(self.sequence);
        newest.into_iter().chain(self.earlier()).take(LINKS_MAX).collect()
    }

    /// Where the entries before the newest are, the nearest first.
    fn earlier(&self) -> impl Iterator<Item = u64> {
        let run = (1..=self.run.min(LINKS_MAX as u64)).map(|back| self.sequence.saturating_sub(back));
        run.chain(self.links.iter().copied())
    }

    fn field(&self, hour: u64) -> String {
        let links: Vec<_> = self.links.iter().map(|link| format!("{link:x}")).collect();
        let publishers = self
            .publishers
            .iter()
            .map(|known| format!("{:x}:{:x}:{:x}", known.instance.0, known.number, known.hour));
        let publishers: Vec<_> = publishers.collect();
        let (bytes, run) = (self.bytes, self.run);
        format!("{FIELD}: {bytes:x};{hour:x};{run:x};{};{}", links.join(","), publishers.join(","))
    }
}

impl Next {
    /// Where the topic stands with it, before it is known where that is in the stream.
    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Where the topic stands with it.
    pub(crate) fn at(self, sequence: u64) -> Standing {
        Standing { sequence, ..self.standing }
    }
}

impl Entry {
    /// Reads what the stream has; none of what no node has written.
    pub(crate) fn read(sequence: u64, ms: u64, head: &str, payload: &Bytes) -> Option<Self> {
        let (_, Message::Kept(kept)) = Message::decode(payload, &WireLimits::default()).ok()? else {
            return None;
        };
        let mut parts = protocol::field(head, FIELD)?.split(';');
        let bytes = hexadecimal(parts.next()?)?;
        let _hour = hexadecimal(parts.next()?)?;
        let run = hexadecimal(parts.next()?)?;
        let links = listed(parts.next()?, hexadecimal)?;
        let publishers = listed(parts.next()?, |known| {
            let mut words = known.split(':').map(hexadecimal);
            let mut word = || words.next().flatten();
            Some(Publisher { instance: Instance(word()?), number: word()?, hour: word()? })
        })?;
        let is_in_bounds = links.len() <= LINKS_MAX && publishers.len() <= PUBLISHERS_MAX;
        let standing = Standing { sequence, place: kept.place, bytes, run, links, publishers };
        (is_in_bounds && kept.place.number > 0).then_some(Self { kept, ms, standing })
    }

    /// Whether it is kept where the topic stands at `top`.
    pub(crate) fn is_kept(&self, top: &Standing, bounds: &Bounds, now_ms: u64) -> bool {
        let behind = top.place.number.saturating_sub(self.kept.place.number);
        let before = self.standing.bytes.saturating_sub(self.kept.entry.len() as u64);
        behind < bounds.entries as u64
            && top.bytes.saturating_sub(before) <= bounds.bytes as u64
            && u128::from(now_ms.saturating_sub(self.ms)) <= bounds.age.as_millis()
    }

    /// Where the entries before it are, the nearest first.
    pub(crate) fn links(&self) -> Vec<u64> {
        self.standing.earlier().take(LINKS_MAX).collect()
    }
}

fn hexadecimal(word: &str) -> Option<u64> {
    u64::from_str_radix(word, 16).ok()
}

fn listed<T>(list: &str, item: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    list.split(',').filter(|word| !word.is_empty()).map(item).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lapwing_cluster::{Channel, Key};

    use super::*;

    fn append(publisher: u64, number: u64) -> Append {
        Append {
            topic: "t".into(),
            channel: Channel::Topics(Key(1)),
            publisher: Instance(publisher),
            number,
            entry: Bytes::from_static(b"0123456789"),
            bounds: Bounds { entries: 5, bytes: 1_000, age: Duration::from_secs(1) },
        }
    }

    fn appended(standing: &Standing, append: &Append, hour: u64) -> Entry {
        let next = standing.next(append, append.entry.clone(), hour);
        let head = format!("NATS/1.0\r\nA: b\r\n{}\r\n\r\n", next.field);
        let sequence = standing.sequence + 3;
        let read = Entry::read(sequence, 7_000, &head, &next.payload).unwrap();
        assert_eq!(read.standing, next.at(sequence), "what is written is read again");
        read
    }

    #[test]
    fn an_entry_says_all_that_the_next_one_needs() {
        let mut standing = Standing::unused(9, 0);
        let mut entries = Vec::new();
        for number in 1..=12 {
            assert!(!standing.has(Instance(1), number));
            let entry = appended(&standing, &append(1, number), 100);
            assert_eq!(entry.kept.place_before(), standing.place);
            standing = entry.standing.clone();
            assert!(standing.has(Instance(1), number) && !standing.has(Instance(2), number));
            entries.push(entry);
        }
        assert_eq!((standing.place.number, standing.bytes, standing.sequence), (12, 120, 36));
        assert_eq!(entries[11].links(), [33, 30, 27, 24, 21, 18, 15, 12]);
        let bounds = append(1, 1).bounds;
        let kept = |bounds: Bounds, now| {
            entries.iter().filter(|entry| entry.is_kept(&standing, &bounds, now)).count()
        };
        assert_eq!(kept(bounds, 7_000), 5, "so many");
        assert_eq!(kept(Bounds { bytes: 39, ..bounds }, 7_000), 3, "so many bytes");
        assert_eq!((kept(bounds, 8_000), kept(bounds, 8_001)), (5, 0), "for so long");
        assert_eq!(kept(bounds, 0), 5, "another clock");
    }

    #[test]
    fn entries_that_follow_on_each_other_are_found_from_the_last_of_them() {
        let first = appended(&Standing::unused(9, 0), &append(1, 1), 100).standing;
        let mut run = first.next(&append(1, 2), Bytes::new(), 100);
        for number in 3..=5 {
            run = run.standing().next(&append(1, number), Bytes::new(), 100);
        }
        let last = run.at(50);
        assert_eq!((last.place.number, last.before()), (5, vec![50, 49, 48, 47, 3]));
        let next = appended(&last, &append(1, 6), 100);
        assert_eq!(next.links(), [50, 49, 48, 47, 3], "they are known by their sequences then");
        let mut run = next.standing.next(&append(1, 7), Bytes::new(), 100);
        for number in 8..=40 {
            run = run.standing().next(&append(1, number), Bytes::new(), 100);
        }
        assert_eq!(run.at(100).before(), [100, 99, 98, 97, 96, 95, 94, 93]);
    }

    #[test]
    fn publishers_are_forgotten_when_there_are_many_and_when_they_are_silent() {
        let mut standing = Standing::unused(9, 0);
        for publisher in 0..=PUBLISHERS_MAX as u64 {
            standing = appended(&standing, &append(publisher, 1), 100).standing;
        }
        assert!(!standing.has(Instance(0), 1) && standing.has(Instance(1), 1));
        let mut standing = Standing::unused(9, 0);
        standing = appended(&standing, &append(1, 5), 100).standing;
        assert!(!standing.is_shared(100));
        standing = appended(&standing, &append(2, 5), 124).standing;
        assert!(standing.has(Instance(1), 5) && !standing.is_shared(124));
        standing = appended(&standing, &append(3, 5), 125).standing;
        assert!(!standing.has(Instance(1), 5) && standing.has(Instance(2), 5) && standing.is_shared(125));
    }

    #[test]
    fn what_somebody_else_wrote_is_no_entry() {
        let next = Standing::unused(9, 0).next(&append(1, 1), Bytes::new(), 100);
        for field in [
            "",
            "Lw-Kept: 1;2",
            "Lw-Kept: x;2;0;;",
            "Lw-Kept: 1;2;0;z;",
            "Lw-Kept: 1;2;0;;1:2",
            "Other: 1;2;0;;",
        ] {
            let head = format!("NATS/1.0\r\n{field}\r\n\r\n");
            assert_eq!(Entry::read(1, 1, &head, &next.payload), None, "{field}");
        }
        let head = format!("NATS/1.0\r\n{}\r\n\r\n", next.field);
        assert!(Entry::read(1, 1, &head, &next.payload).is_some());
        assert_eq!(Entry::read(1, 1, &head, &Bytes::from_static(b"hello")), None);
    }
}
