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
        history::{self, Answer, Histories, NotRecovered, PARTS, Read, Recorded, Since},
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
        let (rules, room) = (Arc::from(rules), Arc::new(Room::new(bytes_max)));
        let part = |_| Mutex::new(Histories::new(Arc::clone(&rules), room.clone(), epoch));
        let parts = (0..PARTS).map(part).collect();
        Self { rules, parts, start: Instant::now(), is_swept: AtomicBool::new(true) }
    }

    /// The rule by which a broadcast is to be recorded, if it is.
    pub(crate) fn rule(&self, broadcast: &Broadcast) -> Option<usize> {
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
    pub(crate) fn append(&self, rule: usize, broadcast: &Broadcast) -> (Arc<Broadcast>, Position) {
        let shared = self.histories(&broadcast.topic).append(rule, broadcast.clone(), self.now());
        let Some(position) = shared.position else { unreachable!("what is recorded has a position") };
        (shared, position)
    }

    /// Where a topic stands; `None` if it is not kept.
    pub(crate) fn position(&self, topic: &Topic) -> Option<Position> {
        self.rule_of(topic)?;
        Some(self.histories(topic).position(topic))
    }

    /// What a join that asks is told and gets; `None` if the topic is not kept. The topic's members are locked.
    /// `room` is how many messages and bytes the client can be given.
    pub(crate) fn recover<'a>(
        &'a self,
        topic: &'a Topic,
        since: Since,
        (messages, bytes): (usize, usize),
    ) -> Option<Recovering<'a>> {
        let cap = self.rules[self.rule_of(topic)?].1.cap;
        let cap = Cap { messages: cap.messages.min(messages), bytes: cap.bytes.min(bytes) };
        let mut histories = self.histories(topic);
        let answer = histories.answer(topic, since, &cap, self.now());
        Some(Recovering { answer, topic, histories })
    }

    /// Reads a part of a topic's history; `None` if the topic is not kept.
    pub(crate) fn read(
        &self,
        topic: &Topic,
        read: Read,
        limit: usize,
    ) -> Option<Result<Vec<Arc<Broadcast>>, NotRecovered>> {
        self.rule_of(topic)?;
        Some(self.histories(topic).read(topic, read, limit, self.now()))
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
