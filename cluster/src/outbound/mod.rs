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
//!
//! Where the ring is full, something is a hole for the others. It lies where it is one with what they may lack anyway:
//!
//! ```text
//!   until the first is handed over on a connection:  the oldest is forgotten; so the hole is before all that is kept
//!   behind that:                                     what was handed over is forgotten, confirmed or not;
//!                                                    if there is none, the newest is not kept, nor any behind it until all is confirmed
//! ```
//!
//! So an outage leaves one hole, before all that is kept. What the ring forgets later, while some of the others are not back yet, extends that hole at
//! its end. If the newest were left out instead, there would be a second hole behind what is kept.

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
    /// The last number whose publication found no room, or had to make room before the engine had it.
    unkept: u64,
    /// How many were forgotten before they were handed over.
    forgotten: u64,
    sent: u64,
    confirmed: u64,
    /// Whether something was handed over on this connection.
    has_handed_over: bool,
    in_flight_bytes: usize,
    /// Those of them that are in flight and not in the ring any more.
    forgotten_in_flight_bytes: usize,
    in_flight_bytes_max: usize,
    /// What was said in the last beat that told of everything before it.
    told: u64,
    /// The last number that was lost, as all are known to have heard who could, and the first beat that told a later one.
    unkept_heard: u64,
    unkept_said: Option<Said>,
}

/// That something was lost is told until all have heard it who could: until the beat that told it is back. Whoever does not have it then
/// has lost something itself, and knows.
#[derive(Clone, Copy, Debug)]
struct Said {
    beat: u64,
    unkept: u64,
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
            forgotten: 0,
            sent: 0,
            confirmed: 0,
            has_handed_over: false,
            in_flight_bytes: 0,
            forgotten_in_flight_bytes: 0,
            in_flight_bytes_max: config.in_flight_bytes_max,
            told: 0,
            unkept_heard: 0,
            unkept_said: None,
        }
    }

    /// Gives a publication its number; `encode` gets it, and the one before it on its channel.
    ///
    /// Behind one that is lost all are, until the engine has all that is kept: one here and there that finds room would leave as many holes, each of them a gap
    /// that is told. And who hears of the hole asks for it, and must not have to wait for the answer behind a whole ring.
    pub(crate) fn publish(&mut self, key: Key, encode: impl FnOnce(u64, u64) -> Bytes) -> Stored {
        let is_behind_a_loss = self.is_behind_a_loss();
        self.top += 1;
        let number = self.top;
        let prev = self.keys.replace(key, number);
        let bytes = encode(number, prev);
        let cost = bytes.len() + ENTRY_BYTES;
        let may_be_kept = !is_behind_a_loss && cost <= self.bytes_max;
        while may_be_kept && self.bytes + cost > self.bytes_max && self.make_room() {}
        if !may_be_kept || self.bytes + cost > self.bytes_max {
            self.unkept = number;
            return Stored::Lost;
        }
        self.bytes += cost;
        self.ring.push_back(Entry { number, prev, key, bytes });
        Stored::Kept
    }

    /// Whether the newest was lost, and the engine does not have all that was kept before it.
    fn is_behind_a_loss(&self) -> bool {
        self.has_handed_over && self.unkept == self.top && !self.is_confirmed()
    }

    /// How many publications were kept, and forgotten before they were handed to the engine.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
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
        self.has_handed_over = true;
        Some((entry.number, entry.key, entry.bytes.clone()))
    }

    /// The engine has executed all publications up to `number`.
    pub(crate) fn handle_confirmed(&mut self, number: u64) {
        let number = number.min(self.sent);
        if number <= self.confirmed {
            return;
        }
        if number >= self.floor.min(self.sent) {
            self.in_flight_bytes -= std::mem::take(&mut self.forgotten_in_flight_bytes);
        }
        let from = self.ring.partition_point(|entry| entry.number <= self.confirmed);
        let confirmed = self.ring.range(from..).take_while(|entry| entry.number <= number);
        self.in_flight_bytes -= confirmed.map(|entry| entry.bytes.len()).sum::<usize>();
        self.confirmed = number;
    }

    /// The connection is gone: what was not confirmed is handed over again.
    pub(crate) fn handle_down(&mut self) {
        if self.floor > self.confirmed {
            // Some of what was forgotten may not have reached it.
            self.unkept = self.unkept.max(self.floor);
        }
        self.sent = self.confirmed;
        // The beats that told of the rest may not have reached it either.
        self.told = self.told.min(self.confirmed);
        self.unkept_said = None;
        self.has_handed_over = false;
        (self.in_flight_bytes, self.forgotten_in_flight_bytes) = (0, 0);
    }

    /// A beat of this node came back: the engine gave it to all whom it gave anything.
    pub(crate) fn handle_echo(&mut self, beat: u64) {
        if let Some(said) = self.unkept_said.take_if(|said| said.beat <= beat) {
            self.unkept_heard = said.unkept;
        }
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

    /// What a beat of this number says was published. While the engine has not got everything it says nothing: the others would ask
    /// for what is on its way. Nor while more may be lost at the end of a hole: they would tell it now and once more.
    pub(crate) fn tops(&mut self, beat: u64, limits: &WireLimits) -> Tops {
        // Also where the channels are too many to say all of what is new.
        let lost = self.lost_after(self.unkept_heard);
        if !self.is_drained() || self.is_behind_a_loss() {
            return Tops { top: self.told, since: self.told, lost, part: (0, 1), changed: Vec::new() };
        }
        let tops = self.tops_lately(lost, limits);
        self.told = self.top;
        if lost > 0 {
            // Nobody has heard of more than this beat tells, so that nobody passes over it.
            self.unkept_said.get_or_insert(Said { beat, unkept: lost });
        }
        tops
    }

    /// What the last beat of all says: everything, as nobody can ask later. What was not handed over never will be.
    pub(crate) fn last_tops(&self, limits: &WireLimits) -> Tops {
        let lost = if self.is_drained() { self.lost_after(self.unkept_heard) } else { self.top };
        self.tops_lately(lost, limits)
    }

    /// What is new since a beat told it, the last number of all at least: so it says something.
    fn tops_lately(&self, lost: u64, limits: &WireLimits) -> Tops {
        // What an earlier beat told may have been lost with it; the one who missed it asks.
        let mut since = self.told.min(self.top.saturating_sub(1)).max(self.keys.forgotten);
        let mut changed = self.keys.since(since);
        if changed.len() > limits.tops_max {
            // Only the latest; who lacks the others asks.
            since = changed[changed.len() - limits.tops_max - 1].1;
            changed.drain(..changed.len() - limits.tops_max);
        }
        Tops { top: self.top, since, lost, part: (0, 1), changed }
    }

    /// The last numbers of all channels that were used since a number, in as many parts as it takes. Numbers that were not handed over are among
    /// them: what is missing before those is then asked for at once, and as one hole.
    pub(crate) fn tops_since(&self, after: u64, limits: &WireLimits) -> Vec<Tops> {
        let since = after.max(self.keys.forgotten);
        let changed = self.keys.since(since);
        let (top, lost) = (self.told.max(self.sent).max(since), self.lost_after(since));
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
            _ if last == upto => true,
            Some(entry) => entry.prev <= last,
            None => self.keys.last(key).is_none_or(|number| number <= last),
        };
        answer.is_complete = after >= self.floor.max(self.unkept) || (is_linked && nothing_follows);
        answer
    }

    /// Forgets the oldest publication, if that leaves no hole behind something that was handed over on this connection.
    fn make_room(&mut self) -> bool {
        let Some(oldest) = self.ring.front().map(|entry| entry.number) else { return false };
        if oldest <= self.sent {
            self.forget_oldest();
            return true;
        }
        if self.has_handed_over {
            return false;
        }
        // What lies before another hole goes with it: there would be two.
        let upto = oldest.max(self.unkept);
        while self.ring.front().is_some_and(|entry| entry.number <= upto) {
            self.forget_oldest();
        }
        true
    }

    fn forget_oldest(&mut self) {
        let Some(entry) = self.ring.pop_front() else { return };
        self.bytes -= entry.bytes.len() + ENTRY_BYTES;
        self.floor = entry.number;
        if entry.number > self.sent {
            self.unkept = self.unkept.max(entry.number);
            self.forgotten += 1;
        } else if entry.number > self.confirmed {
            self.forgotten_in_flight_bytes += entry.bytes.len();
        }
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
mod tests;
