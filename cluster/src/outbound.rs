//! What this node publishes: numbers, the last number of each channel, and a ring of what may be asked for again or has
//! not reached the engine.
//!
//! ```text
//!            floor        confirmed      sent           top
//!   forgotten  │  kept for   │  handed to   │  waits for   │
//!  ────────────┤  repair     ├  the engine  ├  the engine  │
//! ```
//!
//! A connection that breaks puts `sent` back to `confirmed`: what the engine did not confirm is handed to it again, in order,
//! before anything newer. The receivers drop what they have by its number.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::{
    channel::Key,
    config::Config,
    wire::{Repair, Tops, WireLimits},
};

/// What an entry costs besides its bytes.
const ENTRY_BYTES: usize = 64;

/// Bytes of publications in one answer to a question.
const REPAIR_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Outbound {
    /// The last number that was given.
    top: u64,
    keys: LastNumbers,
    ring: VecDeque<Entry>,
    bytes: usize,
    bytes_max: usize,
    /// Of every number above this one, the ring has the publication, unless it is at most `unkept`.
    floor: u64,
    /// The last number whose publication found no room.
    unkept: u64,
    sent: u64,
    confirmed: u64,
    in_flight_bytes: usize,
    in_flight_bytes_max: usize,
    /// What was said in the last beat that told of everything before it.
    told: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    prev: u64,
    key: Key,
    bytes: Bytes,
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It is in the ring.
    Kept,
    /// There was no room: its number is used, and the others will be told that it is lost.
    Lost,
}

impl Outbound {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            top: 0,
            keys: LastNumbers { keys_max: config.keys_max.max(1), ..LastNumbers::default() },
            ring: VecDeque::new(),
            bytes: 0,
            bytes_max: config.ring_bytes_max,
            floor: 0,
            unkept: 0,
            sent: 0,
            confirmed: 0,
            in_flight_bytes: 0,
            in_flight_bytes_max: config.in_flight_bytes_max,
            told: 0,
        }
    }

    /// Gives a publication its number; `encode` gets it, and the one before it on its channel.
    ///
    /// Behind one that is lost all are, until the engine has all that is kept: one here and there that finds room would leave as many holes, each of them a gap
    /// that is told. And who hears of the hole asks for it, and must not have to wait for the answer behind a whole ring.
    pub(crate) fn publish(&mut self, key: Key, encode: impl FnOnce(u64, u64) -> Bytes) -> Stored {
        let is_behind_a_loss = self.unkept == self.top && !self.is_confirmed();
        self.top += 1;
        let number = self.top;
        let prev = self.keys.replace(key, number);
        let bytes = encode(number, prev);
        let cost = bytes.len() + ENTRY_BYTES;
        while !is_behind_a_loss && self.bytes + cost > self.bytes_max && self.drop_confirmed() {}
        if is_behind_a_loss || self.bytes + cost > self.bytes_max {
            self.unkept = number;
            return Stored::Lost;
        }
        self.bytes += cost;
        self.ring.push_back(Entry { number, prev, key, bytes });
        Stored::Kept
    }

    /// The last number that was given.
    pub(crate) fn top(&self) -> u64 {
        self.top
    }

    /// The last number of a channel, or one that is not lower.
    pub(crate) fn last_of(&self, key: Key) -> u64 {
        self.keys.last(key).unwrap_or(0)
    }

    /// The next publication to be handed to the engine, if it may have more now.
    pub(crate) fn next(&mut self) -> Option<(u64, Key, Bytes)> {
        let at = self.ring.partition_point(|entry| entry.number <= self.sent);
        let entry = self.ring.get(at)?;
        if self.in_flight_bytes > 0 && self.in_flight_bytes + entry.bytes.len() > self.in_flight_bytes_max {
            return None;
        }
        self.in_flight_bytes += entry.bytes.len();
        self.sent = entry.number;
        Some((entry.number, entry.key, entry.bytes.clone()))
    }

    /// The engine has executed all publications up to `number`.
    pub(crate) fn handle_confirmed(&mut self, number: u64) {
        let number = number.min(self.sent);
        if number <= self.confirmed {
            return;
        }
        let from = self.ring.partition_point(|entry| entry.number <= self.confirmed);
        let confirmed = self.ring.range(from..).take_while(|entry| entry.number <= number);
        self.in_flight_bytes -= confirmed.map(|entry| entry.bytes.len()).sum::<usize>();
        self.confirmed = number;
    }

    /// The connection is gone: what was not confirmed is handed over again.
    pub(crate) fn handle_down(&mut self) {
        self.sent = self.confirmed;
        self.in_flight_bytes = 0;
    }

    /// Whether everything that is in the ring was handed to the engine.
    pub(crate) fn is_drained(&self) -> bool {
        self.ring.back().is_none_or(|entry| entry.number <= self.sent)
    }

    /// Whether everything that is in the ring has reached the engine.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.ring.back().is_none_or(|entry| entry.number <= self.confirmed)
    }

    /// How many bytes the ring holds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the next beat says was published. While the engine has not got everything it says nothing new: the others would ask
    /// for what is on its way.
    pub(crate) fn tops(&mut self, limits: &WireLimits) -> Tops {
        if !self.is_drained() {
            return Tops { top: self.told, since: self.told, lost: 0, part: (0, 1), changed: Vec::new() };
        }
        // What an earlier beat told may have been lost with it; the one who missed it asks.
        let mut tops = self.keys.since(self.told.max(self.keys.forgotten));
        let mut since = self.told.max(self.keys.forgotten);
        if tops.len() > limits.tops_max {
            // Only the latest; who lacks the others asks.
            since = tops[tops.len() - limits.tops_max - 1].1;
            tops.drain(..tops.len() - limits.tops_max);
        }
        self.told = self.top;
        Tops { top: self.top, since, lost: self.lost_after(since), part: (0, 1), changed: tops }
    }

    /// The last numbers of all channels that were used since a number, in as many parts as it takes.
    pub(crate) fn tops_since(&self, after: u64, limits: &WireLimits) -> Vec<Tops> {
        let since = after.max(self.keys.forgotten);
        let changed = self.keys.since(since);
        let (top, lost) = (self.told.max(since), self.lost_after(since));
        let chunks: Vec<_> = changed.chunks(limits.tops_max.max(1)).map(<[_]>::to_vec).collect();
        let chunks = if chunks.is_empty() { vec![Vec::new()] } else { chunks };
        let parts = u8::try_from(chunks.len()).unwrap_or(u8::MAX);
        let parts_of = |(part, changed)| Tops { top, since, lost, part: (part, parts), changed };
        (0..parts).zip(chunks).map(parts_of).collect()
    }

    fn lost_after(&self, since: u64) -> u64 {
        if self.unkept > since { self.unkept } else { 0 }
    }

    /// What was published on a channel above `after` and up to `upto`, as far as it is here.
    pub(crate) fn repair(&self, key: Key, after: u64, upto: u64, limits: &WireLimits) -> Repair {
        let (mut last, mut is_linked, mut bytes) = (after, true, 0);
        let mut answer = Repair { key, after, upto, is_complete: false, publishes: Vec::new() };
        let from = self.ring.partition_point(|entry| entry.number <= after);
        let mut entries = self.ring.range(from..).filter(|entry| entry.key == key);
        let next = loop {
            let Some(entry) = entries.next() else { break None };
            if entry.number > upto {
                break Some(entry);
            }
            let is_full = answer.publishes.len() >= limits.publishes_max
                || (bytes > 0 && bytes + entry.bytes.len() > REPAIR_BYTES_MAX);
            if is_full {
                // The rest is for the next question.
                answer.upto = last;
                break Some(entry);
            }
            is_linked &= entry.prev <= last;
            last = entry.number;
            bytes += entry.bytes.len();
            answer.publishes.push(entry.bytes.clone());
        };
        let nothing_follows = match next {
            Some(entry) => entry.prev <= last,
            None => self.keys.last(key).is_none_or(|number| number <= last),
        };
        answer.is_complete = after >= self.floor.max(self.unkept) || (is_linked && nothing_follows);
        answer
    }

    /// Forgets the oldest publication, if the engine has it.
    fn drop_confirmed(&mut self) -> bool {
        let is_confirmed = self.ring.front().is_some_and(|entry| entry.number <= self.confirmed);
        if is_confirmed && let Some(entry) = self.ring.pop_front() {
            self.bytes -= entry.bytes.len() + ENTRY_BYTES;
            self.floor = entry.number;
        }
        is_confirmed
    }
}

/// The last number of each channel, of the channels that were used last.
#[derive(Debug, Default)]
struct LastNumbers {
    numbers: BTreeMap<Key, u64>,
    keys: BTreeMap<u64, Key>,
    keys_max: usize,
    /// The largest number of a channel that is not remembered.
    forgotten: u64,
}

impl LastNumbers {
    /// Sets a channel's last number; returns the one before, or a number that it cannot be above.
    fn replace(&mut self, key: Key, number: u64) -> u64 {
        let before = self.numbers.insert(key, number);
        if let Some(before) = before {
            self.keys.remove(&before);
        }
        self.keys.insert(number, key);
        if self.numbers.len() > self.keys_max
            && let Some((forgotten, key)) = self.keys.pop_first()
        {
            self.numbers.remove(&key);
            self.forgotten = forgotten;
        }
        before.unwrap_or(self.forgotten)
    }

    fn last(&self, key: Key) -> Option<u64> {
        match self.numbers.get(&key) {
            Some(number) => Some(*number),
            None if self.forgotten > 0 => Some(self.forgotten),
            None => None,
        }
    }

    /// The channels with numbers above `since`, the least first.
    fn since(&self, since: u64) -> Vec<(Key, u64)> {
        self.keys.range(since + 1..).map(|(number, key)| (*key, *number)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Key = Key(1);
    const B: Key = Key(2);
    const C: Key = Key(3);

    /// Publishes so many bytes; returns the number and the one before it, and what became of it.
    fn say(outbound: &mut Outbound, key: Key, bytes: usize) -> ((u64, u64), Stored) {
        let mut numbers = (0, 0);
        let stored = outbound.publish(key, |number, prev| {
            numbers = (number, prev);
            Bytes::from(vec![0; bytes])
        });
        (numbers, stored)
    }

    fn said(config: Config, keys: &[Key], bytes: usize) -> Outbound {
        let mut outbound = Outbound::new(&config);
        for key in keys {
            say(&mut outbound, *key, bytes);
        }
        outbound
    }

    fn numbers(outbound: &mut Outbound) -> Vec<u64> {
        std::iter::from_fn(|| outbound.next()).map(|(number, ..)| number).collect()
    }

    fn limits(tops_max: usize, publishes_max: usize) -> WireLimits {
        WireLimits { tops_max, publishes_max, ..WireLimits::default() }
    }

    #[test]
    fn each_has_its_number_and_the_one_before_it_on_its_channel() {
        let mut outbound = Outbound::new(&Config::default());
        let numbers = [A, B, A, A, B].map(|key| say(&mut outbound, key, 1).0);
        assert_eq!(numbers, [(1, 0), (2, 0), (3, 1), (4, 3), (5, 2)]);
    }

    #[test]
    fn the_engine_has_no_more_than_it_may_before_it_confirms_but_one_of_any_size() {
        let mut outbound = said(Config::default().in_flight_bytes_max(100), &[A, A, A], 50);
        assert_eq!(numbers(&mut outbound), [1, 2]);
        assert!(!outbound.is_drained() && !outbound.is_confirmed());
        outbound.handle_confirmed(1);
        outbound.handle_confirmed(1);
        assert_eq!(numbers(&mut outbound), [3]);
        assert!(outbound.is_drained() && !outbound.is_confirmed());
        outbound.handle_confirmed(99);
        assert!(outbound.is_confirmed() && outbound.in_flight_bytes == 0);
        say(&mut outbound, A, 1_000);
        say(&mut outbound, A, 1);
        assert_eq!(numbers(&mut outbound), [4], "alone");
        outbound.handle_confirmed(4);
        assert_eq!(
            numbers(&mut outbound),
            [5],
            "what was confirmed is not in flight, and no number that was not sent is"
        );
    }

    #[test]
    fn what_is_in_flight_is_what_was_sent_and_not_confirmed() {
        let mut outbound = said(Config::default().in_flight_bytes_max(100), &[A; 6], 40);
        assert_eq!(numbers(&mut outbound), [1, 2]);
        for number in 1..4 {
            outbound.handle_confirmed(number);
            assert_eq!(numbers(&mut outbound), [number + 2]);
        }
    }

    #[test]
    fn what_was_not_confirmed_is_handed_over_again_when_the_connection_is_back() {
        let mut outbound = said(Config::default().in_flight_bytes_max(100), &[A, B, A], 40);
        assert_eq!(numbers(&mut outbound), [1, 2]);
        outbound.handle_confirmed(1);
        outbound.handle_down();
        assert_eq!(numbers(&mut outbound), [2, 3]);
        outbound.handle_confirmed(2);
        outbound.handle_down();
        assert_eq!(numbers(&mut outbound), [3]);
    }

    #[test]
    fn the_ring_forgets_what_the_engine_has_and_loses_the_newest_otherwise() {
        let each = 10 + ENTRY_BYTES;
        let mut outbound = said(Config::default().ring_bytes_max(2 * each), &[A, A], 10);
        assert_eq!(outbound.bytes(), 2 * each);
        assert_eq!(say(&mut outbound, A, 10), ((3, 2), Stored::Lost));
        assert_eq!(numbers(&mut outbound), [1, 2]);
        assert_eq!(say(&mut outbound, A, 10).1, Stored::Lost, "it may have to be handed over again");
        outbound.handle_confirmed(2);
        assert_eq!(say(&mut outbound, A, 10), ((5, 4), Stored::Kept));
        assert_eq!((outbound.bytes(), outbound.floor), (2 * each, 1));
        assert_eq!(say(&mut outbound, A, 10).1, Stored::Kept);
        assert_eq!(say(&mut outbound, A, 10).1, Stored::Lost);
        assert_eq!(numbers(&mut outbound), [5, 6]);
        outbound.handle_confirmed(6);
        assert_eq!(say(&mut outbound, A, each + 10).1, Stored::Kept, "in the place of two");
        assert_eq!((outbound.bytes(), outbound.floor), (2 * each, 6));
    }

    #[test]
    fn what_is_lost_in_an_outage_is_one_hole_of_each_channel_though_the_ring_has_room_now_and_then() {
        let each = 100 + ENTRY_BYTES;
        let mut outbound = said(Config::default().ring_bytes_max(3 * each), &[A, B, A], 100);
        assert_eq!(say(&mut outbound, A, 100), ((4, 3), Stored::Lost));
        assert_eq!(say(&mut outbound, A, 0), ((5, 4), Stored::Lost), "though it is small");
        assert_eq!(numbers(&mut outbound), [1, 2, 3]);
        for confirmed in 1..=2 {
            outbound.handle_confirmed(confirmed);
            assert_eq!(say(&mut outbound, A, 1).1, Stored::Lost, "though there is room now");
        }
        assert_eq!(say(&mut outbound, B, 1), ((8, 2), Stored::Lost));
        outbound.handle_confirmed(3);
        assert_eq!(say(&mut outbound, A, 1), ((9, 7), Stored::Kept));
        assert_eq!(say(&mut outbound, B, 1), ((10, 8), Stored::Kept));
        assert_eq!(say(&mut outbound, A, 1), ((11, 9), Stored::Kept));
        assert_eq!(
            repaired(&outbound, A, 3, 7),
            (7, false, 0),
            "one hole, from the last that was kept to the next"
        );
        assert_eq!(repaired(&outbound, A, 7, 11), (11, true, 2));
    }

    #[test]
    fn a_beat_tells_what_is_new_once_the_engine_has_everything() {
        let mut outbound = said(Config::default(), &[A, B, A], 1);
        let nothing = Tops { top: 0, since: 0, lost: 0, part: (0, 1), changed: Vec::new() };
        assert_eq!(outbound.tops(&limits(9, 9)), nothing);
        assert_eq!(numbers(&mut outbound).len(), 3);
        let tops = |outbound: &mut Outbound| {
            let tops = outbound.tops(&limits(2, 9));
            (tops.top, tops.since, tops.lost, tops.changed)
        };
        assert_eq!(tops(&mut outbound), (3, 0, 0, vec![(B, 2), (A, 3)]));
        assert_eq!(tops(&mut outbound), (3, 3, 0, vec![]));
        for key in [A, B, C] {
            say(&mut outbound, key, 1);
        }
        assert_eq!(tops(&mut outbound), (3, 3, 0, vec![]), "the others would ask for what is on its way");
        assert_eq!(numbers(&mut outbound).len(), 3);
        assert_eq!(
            tops(&mut outbound),
            (6, 4, 0, vec![(B, 5), (C, 6)]),
            "the latest alone, and from where on"
        );
    }

    #[test]
    fn a_beat_has_no_more_channels_than_may_be_and_says_behind_which_number_they_are_all() {
        let keys: Vec<Key> = (0..7).map(Key).collect();
        for (tops_max, since) in [(7, 0), (6, 1), (2, 5), (1, 6)] {
            let mut outbound = said(Config::default(), &keys, 1);
            numbers(&mut outbound);
            let tops = outbound.tops(&limits(tops_max, 9));
            assert_eq!((tops.since, tops.changed.len()), (since, tops_max));
            assert!(tops.changed.iter().all(|(_, number)| *number > since));
        }
    }

    #[test]
    fn a_beat_says_what_was_lost_of_what_it_tells() {
        let mut outbound = said(Config::default().ring_bytes_max(0), &[A], 1);
        let tops = outbound.tops(&limits(9, 9));
        assert_eq!((tops.top, tops.lost), (1, 1));
        let tops = outbound.tops(&limits(9, 9));
        assert_eq!((tops.top, tops.since, tops.lost), (1, 1, 0));
        let all = |after| outbound.tops_since(after, &limits(9, 9)).iter().map(|tops| tops.lost).max();
        assert_eq!((all(0), all(1)), (Some(1), Some(0)));
    }

    #[test]
    fn whoever_asks_hears_the_last_numbers_of_all_channels_in_parts() {
        let mut outbound = said(Config::default(), &[A, B, C], 1);
        numbers(&mut outbound);
        outbound.tops(&limits(9, 9));
        let parts = outbound.tops_since(0, &limits(2, 9));
        let part = |part, changed| Tops { top: 3, since: 0, lost: 0, part, changed };
        assert_eq!(parts, [part((0, 2), vec![(A, 1), (B, 2)]), part((1, 2), vec![(C, 3)])]);
        let parts = outbound.tops_since(3, &limits(2, 9));
        assert_eq!(parts, [Tops { since: 3, ..part((0, 1), vec![]) }], "and that there is nothing");
        // Of what the last beat did not tell there is no end yet.
        say(&mut outbound, A, 1);
        assert_eq!(outbound.tops_since(2, &limits(9, 9))[0].top, 3);
    }

    fn repaired(outbound: &Outbound, key: Key, after: u64, upto: u64) -> (u64, bool, usize) {
        let repair = outbound.repair(key, after, upto, &limits(9, 2));
        assert_eq!((repair.key, repair.after), (key, after));
        (repair.upto, repair.is_complete, repair.publishes.len())
    }

    #[test]
    fn an_answer_has_what_is_kept_of_a_channel_and_as_much_as_fits() {
        let outbound = said(Config::default(), &[A, B, A, A, B, A], 1);
        assert_eq!(repaired(&outbound, A, 0, 3), (3, true, 2));
        assert_eq!(repaired(&outbound, A, 0, 6), (3, true, 2), "the rest is for the next question");
        assert_eq!(repaired(&outbound, A, 3, 6), (6, true, 2));
        assert_eq!(repaired(&outbound, A, 6, 6), (6, true, 0));
        assert_eq!(repaired(&outbound, C, 0, 6), (6, true, 0), "nothing was said there");
        let bytes = REPAIR_BYTES_MAX / 2;
        assert_eq!(repaired(&said(Config::default(), &[A, A], bytes), A, 0, 2), (2, true, 2));
        assert_eq!(repaired(&said(Config::default(), &[A, A], bytes + 1), A, 0, 2), (1, true, 1));
        assert_eq!(
            repaired(&said(Config::default(), &[A, A], 2 * bytes + 1), A, 0, 1),
            (1, true, 1),
            "one at least"
        );
    }

    #[test]
    fn an_answer_is_complete_if_nothing_on_its_channel_is_forgotten_or_lost() {
        let each = 1 + ENTRY_BYTES;
        let mut outbound = said(Config::default().ring_bytes_max(3 * each), &[A, B, A], 1);
        numbers(&mut outbound);
        outbound.handle_confirmed(3);
        say(&mut outbound, B, 1);
        assert_eq!(outbound.floor, 1, "the first is forgotten");
        assert_eq!(repaired(&outbound, A, 0, 4), (4, false, 1));
        assert_eq!(repaired(&outbound, A, 1, 4), (4, true, 1));
        assert_eq!(
            repaired(&outbound, B, 0, 4),
            (4, true, 2),
            "nothing of it was forgotten: they say so themselves"
        );
        assert_eq!(repaired(&outbound, C, 0, 4), (4, true, 0), "nothing was ever said there");
        assert_eq!(repaired(&outbound, A, 0, 1), (1, false, 0), "what follows says that one is missing");
        // The newest is lost: nothing in the ring tells of it.
        let mut outbound = said(Config::default().ring_bytes_max(each), &[A, A], 1);
        assert_eq!(repaired(&outbound, A, 0, 2), (2, false, 1));
        assert_eq!(repaired(&outbound, A, 2, 2), (2, true, 0));
        assert_eq!(repaired(&outbound, B, 0, 2), (2, true, 0));
        numbers(&mut outbound);
        outbound.handle_confirmed(1);
        say(&mut outbound, B, 1);
        assert_eq!(repaired(&outbound, A, 1, 3), (3, false, 0));
        assert_eq!(repaired(&outbound, B, 1, 3), (3, true, 1));
    }

    #[test]
    fn of_channels_that_are_not_remembered_it_is_known_how_late_they_can_have_been_used() {
        let mut last = LastNumbers { keys_max: 2, ..LastNumbers::default() };
        assert_eq!(last.last(C), None);
        assert_eq!([(A, 1), (B, 2), (A, 3)].map(|(key, number)| last.replace(key, number)), [0, 0, 1]);
        assert_eq!(
            (last.replace(C, 4), last.forgotten),
            (2, 2),
            "B was used longest ago, and C not behind it"
        );
        assert_eq!([A, B, C].map(|key| last.last(key)), [Some(3), Some(2), Some(4)]);
        assert_eq!(last.since(3), [(C, 4)]);
        assert_eq!((last.replace(B, 5), last.forgotten), (3, 3));
        assert_eq!((last.numbers.len(), last.keys.len()), (2, 2));
    }
}
