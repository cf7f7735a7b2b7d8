//! A store in memory, as a value: what every store does, and what becomes of it when it loses something.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use lapwing_cluster::{
    Instance,
    wire::{Kept, Place},
};

use crate::store::{
    Append, Bounds, Found, PUBLISHERS_MAX, Page, Read, UNUSED_REMEMBERED_FOR, chained, count, remembered_for,
};

/// What is kept of topics, in memory. Time and chance come in as arguments.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    topics: BTreeMap<String, Topic>,
}

#[derive(Clone, Debug)]
struct Topic {
    top: Place,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The last number of each publisher, in the order in which they came.
    publishers: VecDeque<(Instance, u64)>,
    /// Until when it is known where the topic stands.
    until: Duration,
}

#[derive(Clone, Debug)]
struct Entry {
    at: Duration,
    /// Who appended it, under which number.
    by: (Instance, u64),
    kept: Kept,
}

impl Shelf {
    /// Appends an entry, and returns it as it is to be published; none if its publisher has appended it before. `epoch` is a random number, for
    /// a topic of which nothing is known.
    pub fn append(&mut self, append: &Append, now: Duration, epoch: u64) -> Option<Kept> {
        let Append { publisher, number, entry, bounds, .. } = append;
        let topic = self.topic(&append.topic, now, epoch);
        topic.until = topic.until.max(now.saturating_add(remembered_for(bounds.age)));
        match topic.publishers.iter_mut().find(|(known, _)| known == publisher) {
            Some((_, last)) if *last >= *number => return None,
            Some((_, last)) => *last = *number,
            None => {
                topic.publishers.push_back((*publisher, *number));
                if topic.publishers.len() > PUBLISHERS_MAX {
                    topic.publishers.pop_front();
                }
            }
        }
        let before = topic.top.check;
        let check = chained(before, *publisher, *number);
        topic.top = Place { number: topic.top.number + 1, check, ..topic.top };
        let kept = Kept { place: topic.top, before, entry: entry.clone() };
        topic.entries.push_back(Entry { at: now, by: (*publisher, *number), kept: kept.clone() });
        topic.bytes += entry.len();
        topic.trim(now, bounds);
        Some(kept)
    }

    /// Reads what is kept behind a place, or says why it cannot and reads all. `epoch` is a random number, for a topic of which nothing is
    /// known.
    pub fn read(&mut self, read: &Read, now: Duration, epoch: u64) -> Page {
        let topic = self.topic(&read.topic, now, epoch);
        topic.until = topic.until.max(now.saturating_add(UNUSED_REMEMBERED_FOR));
        topic.trim(now, &read.bounds);
        match Page::new(read.after, read.entries_max, topic.found(read.after, read.entries_max)) {
            Ok(page) => page,
            Err(refused) => match Page::new(None, read.entries_max, topic.found(None, read.entries_max)) {
                Ok(page) => Page { refused: Some(refused), ..page },
                Err(_) => unreachable!("no place was asked for"),
            },
        }
    }

    /// Loses the newest entries of a topic, so many, as a replica has that takes its master's place before they came.
    pub fn lose_tail(&mut self, topic: &str, entries: usize) {
        let Some(topic) = self.topics.get_mut(topic) else { return };
        for _ in 0..entries {
            let Some(Entry { by: (publisher, number), kept, .. }) = topic.entries.pop_back() else { return };
            topic.bytes -= kept.entry.len();
            topic.top = kept.place_before();
            // It does not know either that they were ever appended.
            for (_, last) in topic.publishers.iter_mut().filter(|(known, _)| *known == publisher) {
                *last = number - 1;
            }
        }
    }

    /// Loses what is kept of a topic, and still knows where it stands.
    pub fn evict(&mut self, topic: &str) {
        if let Some(topic) = self.topics.get_mut(topic) {
            topic.entries.clear();
            topic.bytes = 0;
        }
    }

    /// Loses everything.
    pub fn forget(&mut self) {
        self.topics.clear();
    }

    fn topic(&mut self, name: &str, now: Duration, epoch: u64) -> &mut Topic {
        if self.topics.get(name).is_some_and(|topic| topic.until < now) {
            self.topics.remove(name);
        }
        self.topics.entry(name.to_owned()).or_insert_with(|| Topic {
            top: Place { epoch, ..Place::default() },
            entries: VecDeque::new(),
            bytes: 0,
            publishers: VecDeque::new(),
            until: now,
        })
    }
}

impl Topic {
    fn trim(&mut self, now: Duration, bounds: &Bounds) {
        while let Some(Entry { at, kept, .. }) = self.entries.front()
            && (self.entries.len() > bounds.entries
                || self.bytes > bounds.bytes
                || now.saturating_sub(*at) > bounds.age)
        {
            self.bytes -= kept.entry.len();
            self.entries.pop_front();
        }
    }

    fn found(&self, after: Option<Place>, entries_max: usize) -> Found {
        let from = after.map_or(0, |place| place.number);
        let behind = self.entries.iter().map(|entry| &entry.kept).filter(|kept| kept.place.number >= from);
        let entries: Vec<Kept> = behind.take(count(entries_max)).cloned().collect();
        let is_all = entries_max > 0 && entries.last().is_none_or(|last| last.place == self.top);
        Found { top: self.top, entries, is_all }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lapwing_cluster::{Channel, Key};

    use super::*;
    use crate::store::{REMEMBERED_FOR, Refused};

    const NOW: Duration = Duration::from_secs(100);

    const CHANNEL: Channel = Channel::Topics(Key(0));

    const BOUNDS: Bounds = Bounds { entries: 3, bytes: 30, age: Duration::from_secs(10) };

    /// The number that an entry of ten bytes gets in the topic's order, if it is appended.
    fn append(shelf: &mut Shelf, publisher: u64, number: u64) -> Option<u64> {
        append_within(BOUNDS, shelf, publisher, number)
    }

    fn append_within(bounds: Bounds, shelf: &mut Shelf, publisher: u64, number: u64) -> Option<u64> {
        let append = Append {
            topic: "t".into(),
            channel: CHANNEL,
            publisher: Instance(publisher),
            number,
            entry: Bytes::from_static(b"ten bytes!"),
            bounds,
        };
        shelf.append(&append, NOW, 7).map(|kept| kept.place.number)
    }

    fn page(shelf: &mut Shelf, now: Duration, after: Option<Place>, entries_max: usize) -> Page {
        let bounds = Bounds { entries: 100, ..BOUNDS };
        shelf.read(&Read { topic: "t".into(), channel: CHANNEL, after, entries_max, bounds }, now, 8)
    }

    fn numbers(page: &Page) -> Vec<u64> {
        page.entries.iter().map(|kept| kept.place.number).collect()
    }

    /// The topic's epoch, and the numbers of what is kept.
    fn read(shelf: &mut Shelf, now: Duration) -> (u64, Vec<u64>) {
        let page = page(shelf, now, None, 100);
        (page.after.epoch, numbers(&page))
    }

    #[test]
    fn as_much_is_kept_as_may_be_and_for_as_long() {
        let mut shelf = Shelf::default();
        (1..=4).for_each(|number| assert_eq!(append(&mut shelf, 1, number), Some(number)));
        assert_eq!(read(&mut shelf, NOW + BOUNDS.age), (7, vec![2, 3, 4]));
        assert_eq!(read(&mut shelf, NOW + BOUNDS.age + Duration::from_millis(1)), (7, vec![]));
    }

    #[test]
    fn what_was_lost_is_appended_again_and_nothing_else() {
        let mut shelf = Shelf::default();
        for (publisher, number) in [(2, 9), (1, 1), (1, 2)] {
            append(&mut shelf, publisher, number);
        }
        shelf.lose_tail("t", 1);
        assert_eq!(read(&mut shelf, NOW), (7, vec![1, 2]));
        assert_eq!((append(&mut shelf, 2, 9), append(&mut shelf, 1, 1)), (None, None));
        assert_eq!((append(&mut shelf, 1, 2), append(&mut shelf, 1, 2)), (Some(3), None));
        assert_eq!(read(&mut shelf, NOW), (7, vec![1, 2, 3]));
        shelf.forget();
        assert_eq!(read(&mut shelf, NOW), (8, vec![]));
    }

    #[test]
    fn of_the_publishers_of_a_topic_the_last_are_known() {
        let (mut shelf, last) = (Shelf::default(), PUBLISHERS_MAX as u64);
        for publisher in 1..=last {
            assert!(append(&mut shelf, publisher, 1).is_some());
        }
        assert_eq!((append(&mut shelf, 1, 1), append(&mut shelf, last, 1)), (None, None));
        assert!(append(&mut shelf, last + 1, 1).is_some());
        assert_eq!((append(&mut shelf, 2, 1), append(&mut shelf, 1, 1).is_some()), (None, true));
    }

    #[test]
    fn where_a_topic_stands_is_known_for_as_long_as_it_is_remembered() {
        let mut shelf = Shelf::default();
        append(&mut shelf, 1, 1);
        let last = NOW + REMEMBERED_FOR;
        assert_eq!(read(&mut shelf.clone(), last), (7, vec![]));
        assert_eq!(read(&mut shelf, last + Duration::from_millis(1)), (8, vec![]));
    }

    #[test]
    fn bytes_are_bounded_as_entries_are_whatever_was_lost() {
        let (mut shelf, bounds) = (Shelf::default(), Bounds { entries: 100, ..BOUNDS });
        let append = |shelf: &mut Shelf, number| append_within(bounds, shelf, 1, number);
        (1..=4).for_each(|number| assert_eq!(append(&mut shelf, number), Some(number)));
        assert_eq!(read(&mut shelf, NOW), (7, vec![2, 3, 4]));
        shelf.lose_tail("t", 1);
        assert_eq!(read(&mut shelf, NOW), (7, vec![2, 3]));
        (4..=5).for_each(|number| assert_eq!(append(&mut shelf, number), Some(number)));
        assert_eq!(read(&mut shelf, NOW), (7, vec![3, 4, 5]));
        shelf.evict("t");
        assert_eq!(read(&mut shelf, NOW), (7, vec![]));
        (6..=8).for_each(|number| assert_eq!(append(&mut shelf, number), Some(number)));
        assert_eq!(read(&mut shelf, NOW), (7, vec![6, 7, 8]));
    }

    #[test]
    fn who_has_read_what_was_lost_is_told_so_and_given_all_that_is_kept() {
        let mut shelf = Shelf::default();
        (1..=2).for_each(|number| assert_eq!(append(&mut shelf, 1, number), Some(number)));
        let [before, lost] = [0, 1].map(|at| page(&mut shelf, NOW, None, 100).entries[at].place);
        shelf.lose_tail("t", 1);
        assert_eq!(append(&mut shelf, 2, 1), Some(2));
        let refused = page(&mut shelf, NOW, Some(lost), 100);
        assert_eq!((refused.refused, numbers(&refused)), (Some(Refused::Epoch), vec![1, 2]));
        let taken = page(&mut shelf, NOW, Some(before), 100);
        assert_eq!((taken.refused, numbers(&taken)), (None, vec![2]));
        assert_eq!((taken.end().number, taken.end().check == lost.check), (2, false));
    }

    #[test]
    fn no_more_is_read_than_was_asked_for_and_it_is_told_whether_there_is_more() {
        let mut shelf = Shelf::default();
        (1..=3).for_each(|number| assert_eq!(append(&mut shelf, 1, number), Some(number)));
        let mut after = page(&mut shelf, NOW, None, 100).entries[0].place;
        for (number, has_more) in [(2, true), (3, false)] {
            let page = page(&mut shelf, NOW, Some(after), 1);
            assert_eq!((numbers(&page), page.has_more), (vec![number], has_more));
            after = page.end();
        }
        let page = page(&mut shelf, NOW, None, 0);
        assert_eq!((numbers(&page), page.end()), (vec![], after), "it is told where the topic stands");
    }
}
