//! The kept topics of a node: which they are, and the lock around what they remember.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    protocol::{Serializer, event},
    sync::{Mutex, MutexGuard},
    topic::{Topic, TopicPattern},
    topics::{
        broadcast::Broadcast,
        delivery::RecordedFrames,
        history::{Answer, Histories, NotRecovered, Read, Recorded, Since},
        keep::Keep,
        position::Position,
    },
};

/// Which topics are kept, and their histories. The lock is taken under that of a topic's members, and nothing is locked below it
/// but a session's core.
pub(crate) struct Kept {
    rules: Vec<(TopicPattern, Keep)>,
    histories: Mutex<Histories>,
    start: Instant,
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
            if let Some(recorded) = self.histories.get_mut(self.topic, offset) {
                each(recorded);
            }
        }
    }
}

impl Kept {
    /// All histories together take `bytes_max` at most.
    pub(crate) fn new(rules: Vec<(TopicPattern, Keep)>, bytes_max: usize) -> Self {
        // Keyed by the system's randomness.
        let seed = RandomState::new().hash_one(0);
        let histories = Mutex::new(Histories::new(rules.clone(), bytes_max, seed));
        Self { rules, histories, start: Instant::now() }
    }

    /// The rule by which a broadcast is to be recorded, if it is.
    pub(crate) fn rule(&self, broadcast: &Broadcast) -> Option<usize> {
        if broadcast.is_unrecorded || event::is_of_presence(&broadcast.event) {
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
        let shared = self.histories().append(rule, broadcast.clone(), self.now());
        let Some(position) = shared.position else { unreachable!("what is recorded has a position") };
        (shared, position)
    }

    /// Adds the frames that were made of a broadcast to what is remembered of it.
    pub(crate) fn add_frames(
        &self,
        broadcast: &Broadcast,
        frames: Vec<(Arc<dyn Serializer>, RecordedFrames)>,
    ) {
        if frames.is_empty() {
            return;
        }
        let Some(position) = broadcast.position else { return };
        if let Some(recorded) = self.histories().get_mut(&broadcast.topic, position.offset.0) {
            recorded.frames = frames;
        }
    }

    /// Where a topic stands; `None` if it is not kept.
    pub(crate) fn position(&self, topic: &Topic) -> Option<Position> {
        self.rule_of(topic)?;
        Some(self.histories().position(topic))
    }

    /// What a join that asks is told and gets; `None` if the topic is not kept. The topic's members are locked.
    pub(crate) fn recover<'a>(&'a self, topic: &'a Topic, since: Since) -> Option<Recovering<'a>> {
        let keep = &self.rules[self.rule_of(topic)?].1;
        let mut histories = self.histories();
        let answer = histories.answer(topic, since, keep, self.now());
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
        Some(self.histories().read(topic, read, limit, self.now()))
    }

    /// The bytes that all histories take, and how many messages and topics that is.
    pub(crate) fn held(&self) -> (usize, usize, usize) {
        self.histories().held()
    }

    fn histories(&self) -> MutexGuard<'_, Histories> {
        self.histories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what is too old.
    pub(crate) fn sweep(&self) {
        self.histories().sweep(self.now());
    }

    fn rule_of(&self, topic: &Topic) -> Option<usize> {
        self.rules.iter().position(|(pattern, _)| pattern.matches(topic))
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}
