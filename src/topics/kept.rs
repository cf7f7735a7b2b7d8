//! The kept topics of a node: which they are, and the locks around what they remember.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    protocol::{RawJson, event},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    topic::{Topic, TopicPattern},
    topics::{
        broadcast::Broadcast,
        history::{self, Answer, Histories, HistoryError, NotRecovered, PARTS, Read, Recorded, Since},
        keep::Keep,
        log::Cap,
        position::Position,
        room::Room,
    },
};

/// Which topics are kept, and their histories. The lock of a part is taken under that of a topic's members; below it are the state of a
/// join and the core of a session.
pub(crate) struct Kept {
    rules: Arc<[(TopicPattern, Keep)]>,
    parts: Box<[Mutex<Histories>]>,
    start: Instant,
    /// Whether a store numbers what is recorded, and not this node.
    is_of_store: bool,
    /// Whether a task forgets what is too old; else whoever asks does.
    is_swept: AtomicBool,
}

/// What a join that asked is told and gets.
pub(crate) struct Recovering<'a> {
    pub(crate) answer: Answer,
    topic: &'a Topic,
    histories: MutexGuard<'a, Histories>,
}

impl Recovering<'_> {
    /// Gives out what the client missed, in order.
    pub(crate) fn replay(&mut self, mut each: impl FnMut(&mut Recorded)) {
        for offset in self.answer.replay.clone() {
            let Some(recorded) = self.histories.get_mut(self.topic, offset) else { continue };
            let before = recorded.frame_bytes();
            each(recorded);
            let more = recorded.frame_bytes() - before;
            self.histories.grow(self.topic, offset, more);
        }
    }
}

impl Kept {
    /// All histories together take `bytes_max` at most.
    pub(crate) fn new(rules: Vec<(TopicPattern, Keep)>, bytes_max: usize) -> Self {
        // Keyed by the system's randomness.
        let epoch = RandomState::new().hash_one(0);
        Self::of(rules, bytes_max, |rules, room| Histories::new(rules, room, epoch))
    }

    /// Copies of what a store of a cluster keeps.
    pub(crate) fn of_store(rules: Vec<(TopicPattern, Keep)>, bytes_max: usize) -> Self {
        Self { is_of_store: true, ..Self::of(rules, bytes_max, Histories::of_store) }
    }

    fn of(
        rules: Vec<(TopicPattern, Keep)>,
        bytes_max: usize,
        histories: impl Fn(Arc<[(TopicPattern, Keep)]>, Arc<Room>) -> Histories,
    ) -> Self {
        let (rules, room) = (Arc::from(rules), Arc::new(Room::new(bytes_max)));
        let parts = (0..PARTS).map(|_| Mutex::new(histories(Arc::clone(&rules), room.clone()))).collect();
        let (start, is_swept) = (Instant::now(), AtomicBool::new(true));
        Self { rules, parts, start, is_of_store: false, is_swept }
    }

    /// The rule by which this node is to record a broadcast, if it is.
    pub(crate) fn rule(&self, broadcast: &Broadcast) -> Option<usize> {
        if self.is_of_store { None } else { self.rule_of_broadcast(broadcast) }
    }

    /// How much the store of a cluster is to keep with a broadcast, if it is recorded.
    pub(crate) fn stores(&self, broadcast: &Broadcast) -> Option<Keep> {
        let rule = self.rule_of_broadcast(broadcast).filter(|_| self.is_of_store)?;
        Some(self.rules[rule].1)
    }

    /// How much the store of a cluster keeps of a topic, if it does.
    pub(crate) fn stores_topic(&self, topic: &Topic) -> Option<Keep> {
        let rule = self.rule_of(topic).filter(|_| self.is_of_store)?;
        Some(self.rules[rule].1)
    }

    fn rule_of_broadcast(&self, broadcast: &Broadcast) -> Option<usize> {
        // What is no object reaches clients of the oldest wire alone: there is no telling where it would be missed.
        let is_object = broadcast.payload.as_json().is_none_or(RawJson::is_object);
        if broadcast.is_unrecorded || !is_object || event::is_of_presence(&broadcast.event) {
            return None;
        }
        self.rule_of(&broadcast.topic)
    }

    /// Whether a topic is kept.
    pub(crate) fn is_kept(&self, topic: &Topic) -> bool {
        self.rule_of(topic).is_some()
    }

    /// Records a broadcast. Its topic's members are locked.
    pub(crate) fn append(&self, rule: usize, broadcast: Broadcast, at: Instant) -> Arc<Broadcast> {
        let now = at.duration_since(self.start);
        self.histories(&broadcast.topic).append(rule, broadcast, now)
    }

    /// Remembers a broadcast that the store has numbered. Its topic's members are locked.
    pub(crate) fn append_stored(&self, broadcast: Broadcast, before: u64) -> Arc<Broadcast> {
        self.histories(&broadcast.topic).append_stored(broadcast, before, self.now())
    }

    /// A topic goes on from a position of the store.
    pub(crate) fn restart(&self, topic: &Topic, position: Position) {
        if let Some(rule) = self.rule_of(topic) {
            self.histories(topic).restart(rule, topic, position, self.now());
        }
    }

    /// Nobody here needs a topic of the store's any more.
    pub(crate) fn forget(&self, topic: &Topic) {
        self.histories(topic).forget(topic);
    }

    /// The check of a place in a topic of the store's, if it is known here.
    pub(crate) fn check_at(&self, topic: &Topic, number: u64) -> Option<u64> {
        self.histories(topic).check_at(topic, number)
    }

    /// Whether a position is one of the topic's history as it is known here.
    pub(crate) fn knows(&self, topic: &Topic, position: Position) -> bool {
        self.histories(topic).knows(topic, position)
    }

    /// Where a topic stands; `None` if it is not kept, or if a store keeps it and nobody here needs it.
    pub(crate) fn position(&self, topic: &Topic) -> Option<Position> {
        self.rule_of(topic)?;
        let histories = self.histories(topic);
        if self.is_of_store { histories.position_of_history(topic) } else { Some(histories.position(topic)) }
    }

    /// What a join that asks is told and gets; `None` if the topic is not kept. The topic's members are locked.
    /// `room` is how many frames and bytes the client can be given.
    pub(crate) fn recover<'a>(
        &'a self,
        topic: &'a Topic,
        since: Since,
        (messages, bytes): (usize, usize),
    ) -> Option<Recovering<'a>> {
        let cap = self.rules[self.rule_of(topic)?].1.cap;
        let cap = Cap { messages: cap.messages.min(messages), bytes: cap.bytes.min(bytes) };
        let mut histories = self.histories(topic);
        let mut answer = histories.answer(topic, since, &cap, self.now());
        // What is bytes takes two frames.
        if histories.frames(topic, &answer) > messages {
            answer = match since {
                Since::Last(_) => histories.answer(topic, Since::Last(messages / 2), &cap, self.now()),
                _ => histories.refused(topic, NotRecovered::TooMany),
            };
        }
        Some(Recovering { answer, topic, histories })
    }

    /// Reads a part of a topic's history.
    pub(crate) fn read(
        &self,
        topic: &Topic,
        read: Read,
        limit: usize,
    ) -> Result<Vec<Arc<Broadcast>>, HistoryError> {
        self.rule_of(topic).ok_or(HistoryError::NotKept)?;
        let mut histories = self.histories(topic);
        if self.is_of_store && histories.position_of_history(topic).is_none() {
            return Err(HistoryError::NotHere);
        }
        histories.read(topic, read, limit, self.now()).map_err(HistoryError::NotRecovered)
    }

    /// The bytes that all histories take, and how many messages and topics that is.
    pub(crate) fn held(&self) -> (usize, usize, usize) {
        self.parts().fold((0, 0, 0), |(bytes, messages, topics), part| {
            let held = part.held();
            (bytes + held.0, messages + held.1, topics + held.2)
        })
    }

    /// The histories among which a topic's is.
    fn histories(&self, topic: &Topic) -> MutexGuard<'_, Histories> {
        self.parts[history::part(topic)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All histories, locked one part after the other.
    fn parts(&self) -> impl Iterator<Item = MutexGuard<'_, Histories>> {
        self.parts.iter().map(|part| part.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets nobody sweep: where a test has stopped the clock, a task that waits for it would let it run.
    #[cfg(feature = "testing")]
    pub(crate) fn without_sweep(&self) {
        self.is_swept.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_swept(&self) -> bool {
        self.is_swept.load(Ordering::Relaxed)
    }

    /// Forgets what is too old.
    pub(crate) fn sweep(&self) {
        for mut part in self.parts() {
            part.sweep(self.now());
        }
    }

    fn rule_of(&self, topic: &Topic) -> Option<usize> {
        self.rules.iter().position(|(pattern, _)| pattern.matches(topic))
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}
