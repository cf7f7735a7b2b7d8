//! The engine: a thread that owns the presences and applies what waits as one batch.

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use foldhash::quality::RandomState;
use lapwing_presence::{Config, Diff, Entry, Owner, Presences, ReplicaId, TrackError, UpdateError};
use tracing::debug;

use super::{
    Answer, Count, Ended, PresenceError, PresenceOptions, Request, fetch::Extras, outlet::Outlet,
    pending::Pending, wire,
};
use crate::{protocol::Payload, topic::Topic};

/// Requests applied before the diffs they cause are looked at, so that a batch has an end.
const BATCH_MAX: usize = 4_096;

/// How long the thread sleeps at most while nothing is due.
const IDLE: Duration = Duration::from_secs(3_600);

pub(super) struct Engine {
    options: PresenceOptions,
    outlet: Outlet,
    ended: Arc<Ended>,
    tracked: Arc<AtomicU64>,
    presences: Presences,
    /// Topics with a change that is not sent yet, or one that was sent a moment ago.
    pending: HashMap<Topic, Pending>,
    /// Encoded states of topics since their last change: a storm of joiners shares one encoding per batch.
    states: HashMap<Topic, Payload>,
    /// Answers that are given after the diffs that they follow from.
    answers: Vec<Box<dyn FnOnce() + Send>>,
}

impl Engine {
    pub(super) fn new(
        options: PresenceOptions,
        outlet: Outlet,
        ended: Arc<Ended>,
        tracked: Arc<AtomicU64>,
    ) -> Self {
        // Clients choose keys: the hash must not be theirs to predict.
        let seed = RandomState::default().hash_one("presences");
        // A later start of this node is a later replica.
        let incarnation = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let presences = Presences::new(ReplicaId::new(1, incarnation), Config::default().hash_seed(seed));
        Self {
            options,
            outlet,
            ended,
            tracked,
            presences,
            pending: HashMap::new(),
            states: HashMap::new(),
            answers: Vec::new(),
        }
    }

    /// Runs until nobody can ask any more.
    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        loop {
            let wait = self.next_due().map_or(IDLE, |due| due.saturating_duration_since(Instant::now()));
            match requests.recv_timeout(wait) {
                Ok(first) => {
                    // What these joins asked for is in the channel already, and has to be done before they end.
                    let ended = self.ended.take();
                    let batch = requests.len().max(BATCH_MAX);
                    self.apply(first);
                    requests.try_iter().take(batch).for_each(|request| self.apply(request));
                    ended.into_iter().for_each(|owner| self.end(owner));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.flush(Instant::now());
            self.answers.drain(..).for_each(|answer| answer());
        }
    }

    fn apply(&mut self, request: Request) {
        match request {
            Request::Track { topic, key, owner, meta, answer } => {
                let tracked = self.presences.track(&topic, &key, owner, meta.as_str().as_bytes());
                let tracked = tracked.map_err(|error| match error {
                    TrackError::AlreadyTracked { .. } => PresenceError::AlreadyTracked,
                    _ => PresenceError::Busy,
                });
                self.tracked.fetch_add(u64::from(tracked.is_ok()), Ordering::Relaxed);
                let reference = tracked.map(|diff| self.absorb(diff));
                self.answer(answer, reference);
            }
            Request::Update { topic, key, owner, meta, answer } => {
                let updated = self.presences.update(&topic, &key, owner, meta.as_str().as_bytes());
                let updated = updated.map_err(|error| match error {
                    UpdateError::NotTracked => PresenceError::NotTracked,
                    _ => PresenceError::Busy,
                });
                let reference = updated.map(|diff| self.absorb(diff));
                self.answer(answer, reference);
            }
            Request::Meta { topic, key, owner, answer } => {
                let entry = self.presences.find(&topic, &key, owner);
                let meta = entry.map(wire::meta_of).ok_or(PresenceError::NotTracked);
                self.answer(answer, meta);
            }
            Request::Untrack { topic, key, owner, answer } => {
                let diff = self.presences.untrack(&topic, &key, owner);
                let gone = leaves(&diff);
                self.tracked.fetch_sub(gone, Ordering::Relaxed);
                self.absorb(diff);
                self.answer(answer, Ok(gone > 0));
            }
            Request::List { topic, answer } => {
                let state = self.state(&topic);
                self.answer(answer, Ok(state));
            }
            Request::Get { topic, key, answer } => {
                let entries = self.presences.get(&topic, &key).cloned().collect();
                self.answer(answer, Ok(entries));
            }
            Request::Entries { topic, keys_max, answer } => {
                self.note_state_given(&topic);
                let entries = first_keys(self.presences.list(&topic), keys_max).cloned().collect();
                self.answer(answer, Ok(entries));
            }
            Request::Count { topic, answer } => {
                let count = count_of(&self.presences, &topic);
                self.answer(answer, Ok(count));
            }
            Request::End { owner, done } => {
                self.end(owner);
                self.answers.push(done);
            }
        }
    }

    fn end(&mut self, owner: Owner) {
        let diff = self.presences.untrack_all(owner);
        self.tracked.fetch_sub(leaves(&diff), Ordering::Relaxed);
        self.absorb(diff);
    }

    /// The state of a topic as a client gets it.
    fn state(&mut self, topic: &Topic) -> Payload {
        self.note_state_given(topic);
        if let Some(state) = self.states.get(topic) {
            return state.clone();
        }
        let state = wire::state(self.presences.list(topic), &Extras::new());
        self.states.insert(topic.clone(), state.clone());
        state
    }

    fn note_state_given(&mut self, topic: &Topic) {
        if let Some(pending) = self.pending.get_mut(topic) {
            pending.handle_state_given();
        }
    }

    /// Takes in what changed. Returns the reference of the first join in it.
    fn absorb(&mut self, diff: Diff) -> String {
        let reference = diff.first_join().map(|entry| entry.tag().phx_ref().as_str().to_owned());
        for topic_diff in diff.into_topics() {
            let topic = Topic::from(&**topic_diff.topic());
            self.states.remove(&topic);
            self.pending.entry(topic).or_default().absorb(topic_diff);
        }
        reference.unwrap_or_default()
    }

    /// Sends the diffs whose time has come, and forgets topics that were quiet for a tick.
    fn flush(&mut self, now: Instant) {
        let Self { options, outlet, states, presences, .. } = self;
        self.pending.retain(|topic, pending| {
            if pending.is_due(now, options) {
                let diff = pending.take(now, options);
                debug!(%topic, joins = diff.joins().len(), leaves = diff.leaves().len(), "presence diff");
                if options.counts_only(topic) {
                    outlet.count(topic, count_of(presences, topic));
                } else {
                    outlet.diff(topic, diff);
                }
            }
            let keep = !pending.is_quiet(now, options);
            if !keep {
                // A state is kept only while its topic is busy; a quiet topic costs nothing.
                states.remove(topic);
            }
            keep
        });
        if self.pending.is_empty() {
            self.states.clear();
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.pending.values().map(|pending| pending.next_look(&self.options)).min()
    }

    fn answer<T: Send + 'static>(&mut self, answer: Answer<T>, result: Result<T, PresenceError>) {
        // Whoever asked may have stopped waiting.
        self.answers.push(Box::new(move || drop(answer.send(result))));
    }
}

fn count_of(presences: &Presences, topic: &str) -> Count {
    let count = presences.count(topic);
    Count { keys: count.keys, metas: count.presences }
}

/// The entries of the first `keys_max` keys, which follow each other.
fn first_keys<'a>(
    entries: impl Iterator<Item = &'a Entry>,
    keys_max: usize,
) -> impl Iterator<Item = &'a Entry> {
    let mut keys = 0;
    let mut last: Option<&str> = None;
    entries.take_while(move |entry| {
        if last != Some(entry.key()) {
            last = Some(entry.key());
            keys += 1;
        }
        keys <= keys_max
    })
}

fn leaves(diff: &Diff) -> u64 {
    diff.topics().iter().map(|topic| topic.leaves().len() as u64).sum()
}
