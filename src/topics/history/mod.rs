//! The histories of one node's kept topics, in memory.
//!
//! All histories of a process have one *epoch*, a random number: a position from before a restart is told from one of today. A
//! topic of which nothing is remembered any more has no history; its next one begins where the last one ended, so that offsets
//! never go back. Where they ended is kept as a *floor*, one number for the topics of a bucket.
//!
//! ```text
//!              first message                            nothing left of it, and forgotten
//!   no history ─────────────▶ history from the floor on ──────────────────────────────────▶ no history, floor = its top
//!   stands at the floor       stands at its top
//! ```
//!
//! So a client that heard all of a topic is where the topic stands, however long nothing was said. Topics share a floor by chance:
//! then one of them may be told that it was trimmed where it was not, and never the other way round.
//!
//! In a cluster it is a store that numbers, and what is here is a copy of its end ([`Histories::of_store`]): each topic has an epoch of
//! its own, and is [set](Histories::restart) to where the store's stands. A position then has the check of its place in its lower bits, so
//! that one of an order that the store has lost is told from one of today's.
//!
//! Pure: time comes in as an argument.

use std::{collections::HashMap, error, fmt, ops::Range, sync::Arc, time::Duration};

use foldhash::quality::RandomState;

use crate::{
    protocol::{EncodeError, Serializer},
    topic::{Topic, TopicPattern},
    topics::{
        broadcast::Broadcast,
        delivery::RecordedFrames,
        keep::Keep,
        log::{Cap, Gap, Log, Offset},
        position::Position,
        room::Room,
    },
};

/// What a remembered message takes beside its text: the entry, the broadcast, the counters of what is shared.
const MESSAGE_BYTES: usize = 128;

/// What a history takes beside its messages and its topic.
const HISTORY_BYTES: usize = 192;

/// Parts that the histories of a node are in. One is locked while what is too old in it is forgotten: a million messages take 95 ms
/// in one part.
pub(crate) const PARTS: usize = 32;

/// Floors of one part: with all parts 32 KB for a node that keeps any topic, so that few topics share one.
const FLOORS: usize = 128;

/// Lower bits of a position's offset that are the check of its place, where a store numbers.
pub(crate) const CHECK_BITS: u32 = 24;

/// What a client that joins asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// Where the topic stands, and nothing else.
    Now,
    /// The last so many messages.
    Last(usize),
    /// What came after a position.
    After(Position),
    /// Something that makes no sense.
    Unreadable,
}

/// What a client that asked is told, and what it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The position from which the client goes on: where the replay begins, or else where the topic stands.
    pub(crate) at: Position,
    /// The offsets that the client is to get, after `at`.
    pub(crate) replay: Range<u64>,
    /// Why the client does not get what it missed.
    pub(crate) refused: Option<NotRecovered>,
}

/// The reason why a client that comes back does not get what it missed, or a program what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotRecovered {
    /// Its position is of another history: the server was started anew, or forgot the topic meanwhile.
    Epoch,
    /// Some of what it missed is no longer remembered.
    Trimmed,
    /// It missed more than one join is given.
    TooMany,
    /// What it sent is no position.
    Unreadable,
}

/// The outcome of a client's wish to get what it missed, as a channel learns it in `joined`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// The number of messages that it is given.
    pub replayed: u64,
    /// The reason why it is not given what it missed; `None` if it is.
    pub not_recovered: Option<NotRecovered>,
}

impl NotRecovered {
    /// The reason in a word, as clients are told it.
    ///
    /// ```
    /// assert_eq!(lapwing::NotRecovered::TooMany.word(), "too_many");
    /// ```
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Epoch => "epoch",
            Self::Trimmed => "trimmed",
            Self::TooMany => "too_many",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for NotRecovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Epoch => "the position is of another history",
            Self::Trimmed => "some of what was missed is no longer remembered",
            Self::TooMany => "more was missed than is given at once",
            Self::Unreadable => "not a position of a kept topic",
        })
    }
}

impl error::Error for NotRecovered {}

/// The reason why a history could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistoryError {
    /// No mount keeps the topic: see [`Mount::keep`](crate::Mount::keep).
    NotKept,
    /// It is the store of a cluster that keeps the topic, and nobody on this node is joined to it: ask the store, by
    /// [`fetch_history`](crate::Lapwing::fetch_history).
    NotHere,
    /// The store of a cluster cannot be reached.
    Away,
    /// What was asked for is not there.
    NotRecovered(NotRecovered),
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotKept => {
                f.write_str("the topic is not kept: give the mount a `keep` whose pattern matches it")
            }
            Self::NotHere => f.write_str("nobody is joined to the topic on this node: use `fetch_history`"),
            Self::Away => f.write_str("the store of kept topics cannot be reached"),
            Self::NotRecovered(why) => why.fmt(f),
        }
    }
}

impl error::Error for HistoryError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::NotKept | Self::NotHere | Self::Away => None,
            Self::NotRecovered(why) => Some(why),
        }
    }
}

/// Which part of a history a program reads, with [`Lapwing::history`](crate::Lapwing::history).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// The first messages after a position.
    After(Position),
    /// The last messages before a position, its own message included.
    Before(Position),
    /// The last messages.
    Last,
}

/// A message that is remembered.
pub(crate) struct Recorded {
    pub(crate) broadcast: Arc<Broadcast>,
    /// The check of the place before it.
    before: u64,
    /// The frames that were made of it with its position, by serializer.
    frames: Vec<(Arc<dyn Serializer>, RecordedFrames)>,
}

impl Recorded {
    /// The bytes of the frames that were made of it.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.frames.iter().map(|(_, frames)| frames.bytes()).sum()
    }

    /// The frames that a serializer makes of it: made once, for all who come back for it.
    pub(crate) fn frames(&mut self, serializer: &Arc<dyn Serializer>) -> Result<RecordedFrames, EncodeError> {
        if let Some((_, frames)) = self.frames.iter().find(|(known, _)| Arc::ptr_eq(known, serializer)) {
            return Ok(frames.clone());
        }
        let Some(position) = self.broadcast.position else { unreachable!("what is recorded has a position") };
        let frames = RecordedFrames::of(&**serializer, &self.broadcast, position.offset)?;
        self.frames.push((serializer.clone(), frames.clone()));
        Ok(frames)
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recorded").field(&self.broadcast).finish()
    }
}

/// The histories of some of a node's topics: those whose names have one hash.
#[derive(Debug)]
pub(crate) struct Histories {
    rules: Arc<[(TopicPattern, Keep)]>,
    topics: HashMap<Topic, History, RandomState>,
    epoch: u64,
    /// How many lower bits of a position's offset are its check; none where this node numbers.
    check_bits: u32,
    /// The highest offset of a message that was forgotten with its topic, by the topic's bucket.
    floors: Box<[Offset]>,
    bytes: usize,
    /// Shared with the other parts.
    room: Arc<Room>,
}

#[derive(Debug)]
struct History {
    rule: usize,
    epoch: u64,
    /// The check of where it stands.
    check: u64,
    log: Log<Recorded>,
    /// When the last message came.
    last: Duration,
}

impl History {
    /// Appends a message, as far as there is room. Returns the bytes that all messages take.
    fn remember(&mut self, recorded: Recorded, keep: &Keep, room: &Room, now: Duration) -> usize {
        let (before, broadcast) = (self.log.bytes(), &recorded.broadcast);
        let bytes = MESSAGE_BYTES + broadcast.topic.len() + broadcast.event.len() + broadcast.payload.size();
        // What the bounds have it forget makes place: where a message takes that of another, nothing shared is touched.
        self.log.make_place(bytes, &keep.bounds);
        let taken = room.take((self.log.bytes() + bytes).saturating_sub(before));
        let bytes_max = taken.map_or_else(|over| before.saturating_sub(over), |taken| before + taken);
        self.log.append(recorded, bytes, now, &keep.bounds, bytes_max);
        self.last = now;
        let after = self.log.bytes();
        room.give_back(before + taken.unwrap_or(0) - after);
        after
    }
}

impl Since {
    /// Reads what a client put into the params of its join.
    pub(crate) fn read(text: &str) -> Self {
        if text.is_empty() {
            return Self::Now;
        }
        let read = match text.strip_prefix('-') {
            Some(count) if count.starts_with('+') => None,
            Some(count) => count.parse().ok().map(Self::Last),
            None => text.parse().ok().map(Self::After),
        };
        read.unwrap_or(Self::Unreadable)
    }
}

impl Histories {
    /// `epoch` is random, and that of all parts; `room` is what all of them together may take.
    pub(crate) fn new(rules: Arc<[(TopicPattern, Keep)]>, room: Arc<Room>, epoch: u64) -> Self {
        let floors = vec![Offset(0); FLOORS].into();
        Self { rules, topics: HashMap::default(), epoch, check_bits: 0, floors, bytes: 0, room }
    }

    /// Copies of what a store numbers.
    pub(crate) fn of_store(rules: Arc<[(TopicPattern, Keep)]>, room: Arc<Room>) -> Self {
        Self { check_bits: CHECK_BITS, ..Self::new(rules, room, 0) }
    }

    /// Forgets a topic, which goes on from a position of its store. That it has a history takes what a topic with members takes, whether or
    /// not there is room for messages.
    pub(crate) fn restart(&mut self, rule: usize, topic: &Topic, position: Position, now: Duration) {
        self.forget(topic);
        let fixed = HISTORY_BYTES + topic.len();
        self.room.overdraw(fixed);
        self.bytes += fixed;
        let (log, check) = (Log::after(self.number(position)), self.check(position));
        let history = History { rule, epoch: position.epoch, check, log, last: now };
        self.topics.insert(topic.clone(), history);
    }

    /// Forgets a topic, and where it stands.
    pub(crate) fn forget(&mut self, topic: &Topic) {
        let Some(history) = self.topics.remove(topic) else { return };
        let bytes = history.log.bytes() + HISTORY_BYTES + topic.len();
        self.bytes -= bytes;
        self.room.give_back(bytes);
    }

    /// Remembers the next broadcast of a topic, with the position that its store gave it, and the check of the place before. Returns it as it
    /// is shared; so it is, too, where the topic has no history.
    pub(crate) fn append_stored(
        &mut self,
        broadcast: Broadcast,
        before: u64,
        now: Duration,
    ) -> Arc<Broadcast> {
        let shared = Arc::new(broadcast);
        let (Some(position), Some(history)) = (shared.position, self.topics.get_mut(&shared.topic)) else {
            return shared;
        };
        debug_assert_eq!(position.offset.0 >> self.check_bits, history.log.top().0 + 1);
        history.check = position.offset.0 & ((1 << self.check_bits) - 1);
        let recorded = Recorded { broadcast: shared.clone(), before, frames: Vec::new() };
        let keep = &self.rules[history.rule].1;
        self.bytes = self.bytes - history.log.bytes() + history.remember(recorded, keep, &self.room, now);
        shared
    }

    /// Records a broadcast as the next of its topic, as far as there is room. Returns it with its position.
    pub(crate) fn append(&mut self, rule: usize, mut broadcast: Broadcast, now: Duration) -> Arc<Broadcast> {
        // Who finds it looks once: this is on the way of each broadcast.
        let history = match self.topics.get_mut(&broadcast.topic) {
            Some(history) => history,
            None => {
                let topic = broadcast.topic.clone();
                let (fixed, floor) = (HISTORY_BYTES + topic.len(), &mut self.floors[bucket(&topic)]);
                if !self.room.take_all(fixed) {
                    // As if it had been remembered, and forgotten at once.
                    floor.0 += 1;
                    broadcast.position = Some(Position { epoch: self.epoch, offset: *floor });
                    return Arc::new(broadcast);
                }
                self.bytes += fixed;
                let history =
                    History { rule, epoch: self.epoch, check: 0, log: Log::after(*floor), last: now };
                self.topics.entry(topic).or_insert(history)
            }
        };
        let next = Offset(history.log.top().0 + 1);
        broadcast.position = Some(Position { epoch: history.epoch, offset: next });
        let broadcast = Arc::new(broadcast);
        let recorded = Recorded { broadcast: broadcast.clone(), before: 0, frames: Vec::new() };
        let keep = &self.rules[history.rule].1;
        self.bytes = self.bytes - history.log.bytes() + history.remember(recorded, keep, &self.room, now);
        broadcast
    }

    /// Where a topic stands.
    pub(crate) fn position(&self, topic: &Topic) -> Position {
        match self.topics.get(topic) {
            Some(history) => self.at(history, history.log.top().0, history.check),
            None => Position { epoch: self.epoch, offset: self.floors[bucket(topic)] },
        }
    }

    /// Where a topic stands, if it has a history.
    pub(crate) fn position_of_history(&self, topic: &Topic) -> Option<Position> {
        self.topics.contains_key(topic).then(|| self.position(topic))
    }

    /// The check of a place of a topic, if it is known.
    pub(crate) fn check_at(&self, topic: &Topic, number: u64) -> Option<u64> {
        let history = self.topics.get(topic)?;
        if number == history.log.top().0 {
            return Some(history.check);
        }
        if let Some(recorded) = history.log.get(Offset(number)) {
            return recorded.broadcast.position.map(|position| self.check(position));
        }
        Some(history.log.get(Offset(number.checked_add(1)?))?.before)
    }

    /// A place of a topic as a position.
    fn at(&self, history: &History, number: u64, check: u64) -> Position {
        Position { epoch: history.epoch, offset: Offset(number << self.check_bits | check) }
    }

    /// The number of the message before a position.
    fn number(&self, position: Position) -> Offset {
        Offset(position.offset.0 >> self.check_bits)
    }

    fn check(&self, position: Position) -> u64 {
        position.offset.0 & ((1 << self.check_bits) - 1)
    }

    /// What a client that asks is told and gets.
    pub(crate) fn answer(&mut self, topic: &Topic, since: Since, cap: &Cap, now: Duration) -> Answer {
        self.trim(topic, now);
        let here = self.position(topic);
        let top = self.number(here);
        let from = match since {
            Since::Now => Ok(top),
            Since::Last(count) => Ok(self.before_last(topic, count, cap)),
            Since::After(position) => self.missed(topic, position, cap),
            Since::Unreadable => Err(NotRecovered::Unreadable),
        };
        match from {
            Ok(from) => {
                let check = self.check_at(topic, from.0).unwrap_or(0);
                let at = self.topics.get(topic).map_or(here, |history| self.at(history, from.0, check));
                Answer { at, replay: from.0 + 1..top.0 + 1, refused: None }
            }
            Err(refused) => self.refused(topic, refused),
        }
    }

    /// What a client is told that does not get what it missed.
    pub(crate) fn refused(&self, topic: &Topic, why: NotRecovered) -> Answer {
        Answer { at: self.position(topic), replay: 0..0, refused: Some(why) }
    }

    /// The frames that a client is given with an answer.
    pub(crate) fn frames(&self, topic: &Topic, answer: &Answer) -> usize {
        let replay = answer.replay.clone().filter_map(|offset| self.get(topic, offset));
        replay.map(|recorded| RecordedFrames::count(&recorded.broadcast.payload)).sum()
    }

    /// The offset from which a client that was at `position` goes on.
    fn missed(&self, topic: &Topic, position: Position, cap: &Cap) -> Result<Offset, NotRecovered> {
        let number = self.number(position);
        if position.epoch != self.position(topic).epoch {
            return Err(NotRecovered::Epoch);
        }
        let nothing = Log::after(self.floors[bucket(topic)]);
        let log = self.topics.get(topic).map_or(&nothing, |history| &history.log);
        if self.check_at(topic, number.0).is_some_and(|check| check != self.check(position)) {
            return Err(NotRecovered::Epoch);
        }
        match log.since(number, cap) {
            Ok(_) => Ok(number),
            Err(Gap::Trimmed) => Err(NotRecovered::Trimmed),
            Err(Gap::TooMany) => Err(NotRecovered::TooMany),
            Err(Gap::Ahead) => Err(NotRecovered::Epoch),
        }
    }

    /// Whether a position is one of the topic's history, remembered or not.
    pub(crate) fn knows(&self, topic: &Topic, position: Position) -> bool {
        let cap = Cap { messages: usize::MAX, bytes: usize::MAX };
        self.missed(topic, position, &cap) != Err(NotRecovered::Epoch)
    }

    fn before_last(&self, topic: &Topic, count: usize, cap: &Cap) -> Offset {
        let floor = self.floors[bucket(topic)];
        self.topics.get(topic).map_or(floor, |history| history.log.before_last(count, cap))
    }

    /// At most `limit` messages of a topic, in order. Those after a position are all there, from the next one on; before a
    /// position or the end there may have been more.
    pub(crate) fn read(
        &mut self,
        topic: &Topic,
        read: Read,
        limit: usize,
        now: Duration,
    ) -> Result<Vec<Arc<Broadcast>>, NotRecovered> {
        self.trim(topic, now);
        let unbounded = Cap { messages: usize::MAX, bytes: usize::MAX };
        let here = self.position(topic);
        let top = self.number(here).0;
        let (first, end) = match read {
            Read::After(position) => {
                let first = self.missed(topic, position, &unbounded)?.0 + 1;
                (first, top.min(first.saturating_add(limit as u64).saturating_sub(1)))
            }
            Read::Before(position) => {
                let end = self.number(position).0;
                if position.epoch != here.epoch || end > top {
                    return Err(NotRecovered::Epoch);
                }
                (end.saturating_sub(limit as u64) + 1, end)
            }
            Read::Last => (top.saturating_sub(limit as u64) + 1, top),
        };
        let first = first.max(self.span(topic).0);
        Ok((first..=end).filter_map(|offset| Some(self.get(topic, offset)?.broadcast.clone())).collect())
    }

    /// A remembered message.
    pub(crate) fn get_mut(&mut self, topic: &Topic, offset: u64) -> Option<&mut Recorded> {
        self.topics.get_mut(topic)?.log.get_mut(Offset(offset))
    }

    /// A remembered message.
    pub(crate) fn get(&self, topic: &Topic, offset: u64) -> Option<&Recorded> {
        self.topics.get(topic)?.log.get(Offset(offset))
    }

    /// A message takes more bytes than it was appended with. The next one that is appended makes room for them.
    pub(crate) fn grow(&mut self, topic: &Topic, offset: u64, bytes: usize) {
        if let Some(history) = self.topics.get_mut(topic).filter(|_| bytes > 0) {
            history.log.grow(Offset(offset), bytes);
            self.bytes += bytes;
            self.room.overdraw(bytes);
        }
    }

    /// The oldest offset that is remembered, and the newest; the first is above the second where nothing is.
    pub(crate) fn span(&self, topic: &Topic) -> (u64, u64) {
        let Some(history) = self.topics.get(topic) else {
            let floor = self.floors[bucket(topic)].0;
            return (floor + 1, floor);
        };
        let top = history.log.top().0;
        (top + 1 - history.log.len() as u64, top)
    }

    /// Forgets what is too old, in all its topics; and topics of which nothing is left and nobody can have a good position.
    pub(crate) fn sweep(&mut self, now: Duration) {
        let all = self.bytes;
        let (bytes, floors, rules) = (&mut self.bytes, &mut self.floors, &self.rules);
        // Where it is a store that numbers, whoever has members forgets when they are gone.
        let numbers_here = self.check_bits == 0;
        self.topics.retain(|topic, history| {
            let before = history.log.bytes();
            let bounds = &rules[history.rule].1.bounds;
            history.log.trim(now, bounds);
            *bytes = *bytes - before + history.log.bytes();
            // Kept as long again, so that a client is told that something was trimmed and not that all is new.
            let is_over = numbers_here
                && history.log.len() == 0
                && now.saturating_sub(history.last) > bounds.age.saturating_mul(2);
            if is_over {
                *bytes -= HISTORY_BYTES + topic.len();
                let floor = &mut floors[bucket(topic)];
                *floor = history.log.top().max(*floor);
            }
            !is_over
        });
        self.room.give_back(all - self.bytes);
        if self.topics.capacity() > 64 && self.topics.len() < self.topics.capacity() / 8 {
            self.topics.shrink_to(2 * self.topics.len());
        }
    }

    fn trim(&mut self, topic: &Topic, now: Duration) {
        let Some(history) = self.topics.get_mut(topic) else { return };
        let before = history.log.bytes();
        history.log.trim(now, &self.rules[history.rule].1.bounds);
        let forgotten = before - history.log.bytes();
        self.bytes -= forgotten;
        self.room.give_back(forgotten);
    }

    /// The bytes that all histories take, and how many messages and topics that is.
    pub(crate) fn held(&self) -> (usize, usize, usize) {
        (self.bytes, self.topics.values().map(|history| history.log.len()).sum(), self.topics.len())
    }
}

/// Where the floor of a topic is, in its part.
fn bucket(topic: &str) -> usize {
    hash(topic) as usize / PARTS % FLOORS
}

/// In which part of a node's histories a topic's is.
pub(crate) fn part(topic: &str) -> usize {
    hash(topic) as usize % PARTS
}

fn hash(topic: &str) -> u32 {
    // FNV-1a: who makes topics meet on purpose has them told that they were trimmed, and no more.
    let hash = topic.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash ^ (hash >> 32)) as u32
}

#[cfg(test)]
mod tests;
