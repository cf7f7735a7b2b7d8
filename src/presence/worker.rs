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

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use foldhash::quality::RandomState;
use lapwing_presence::{
    Config, Diff, Entry, Message, Owner, Presences, Replica, ReplicaId, TrackError, UpdateError,
};
use lapwing_transports::quoted::Quoted;
use tracing::debug;

use super::{
    Answer, Count, Done, Ended, Gone, News, PresenceError, PresenceOptions, Request,
    fetch::Extras,
    joining::Joining,
    json,
    leaving::Leaving,
    left::Left,
    others::{Conversation, Others, replica_of},
    outlet::Outlet,
    pending::Pending,
    states::{Encoded, States},
    viewers::Showing,
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
    replica: Replica,
    /// With the replicas of other nodes, if there are any.
    conversation: Option<Conversation>,
    /// Until this node knows who is present on the others.
    joining: Option<Joining>,
    /// What is left by those who were on a node that goes down.
    leaving: Leaving,
    /// Topics with a change that is not sent yet, or one that was sent a moment ago.
    pending: HashMap<Topic, Pending>,
    /// The joins that asked for the state of a topic. All that came in one batch share one encoding.
    asked: HashMap<Topic, Wanted>,
    states: States,
    /// Answers that are given after the diffs that they follow from.
    answers: Vec<Box<dyn FnOnce() + Send>>,
    is_stopping: bool,
}

/// A join that asked for a topic's state.
#[derive(Default)]
struct Wanted {
    callers: Vec<Answer<Payload>>,
    /// Joins to which it is to be pushed, of its first keys if there is a bound.
    viewers: Vec<(Option<usize>, Showing)>,
}

impl Engine {
    pub(super) fn new(
        options: PresenceOptions,
        outlet: Outlet,
        (ended, tracked): (Arc<Ended>, Arc<AtomicU64>),
        others: Option<&Others>,
    ) -> Self {
        // Clients choose keys: the hash must not be theirs to predict.
        let seed = RandomState::default().hash_one("presences");
        let conversation = others.map(Conversation::new);
        let joining = others.map(|others| Joining::new(others, options.queue_max));
        let leaving = Leaving::new(options.departure_grace);
        // A later start of a server that is alone is a later replica.
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let id = conversation.as_ref().map_or(ReplicaId::new(1, start), Conversation::id);
        let config = Conversation::config(Config::default().hash_seed(seed));
        let replica =
            Replica::new(id, config, Duration::ZERO).expect("its times do not contradict each other");
        Self {
            options,
            outlet,
            ended,
            tracked,
            replica,
            conversation,
            joining,
            leaving,
            pending: HashMap::new(),
            asked: HashMap::new(),
            states: States::default(),
            answers: Vec::new(),
            is_stopping: false,
        }
    }

    /// Runs until nobody can ask any more, or until it is told to stop.
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
            self.converse();
            let now = Instant::now();
            self.flush(now);
            // All that was applied is in them, and so all that diffs have said.
            self.give_states(now);
            self.answers.drain(..).for_each(|answer| answer());
            if self.is_stopping {
                return;
            }
        }
    }

    /// Applies a request, or puts it off.
    fn apply(&mut self, request: Request) {
        let request = match &mut self.joining {
            Some(joining) => joining.put_off(request),
            None => Some(request),
        };
        if let Some(request) = request {
            self.apply_now(request);
        }
    }

    fn apply_now(&mut self, request: Request) {
        match request {
            Request::Track { topic, key, owner, meta, answer, showing } => {
                let tracked =
                    self.replica.presences_mut().track(&topic, &key, owner, meta.as_str().as_bytes());
                let tracked = tracked.map_err(|error| match error {
                    TrackError::AlreadyTracked { .. } => PresenceError::AlreadyTracked,
                    _ => PresenceError::Busy,
                });
                self.tracked.fetch_add(u64::from(tracked.is_ok()), Ordering::Relaxed);
                let reference = tracked.map(|diff| self.absorb(diff));
                if let (Ok(_), Some(showing)) = (&reference, showing) {
                    self.apply(Request::Show { showing, keys_max: None });
                }
                self.answer(answer, reference);
            }
            Request::Update { topic, key, owner, meta, answer } => {
                let updated =
                    self.replica.presences_mut().update(&topic, &key, owner, meta.as_str().as_bytes());
                let updated = updated.map_err(|error| match error {
                    UpdateError::NotTracked => PresenceError::NotTracked,
                    _ => PresenceError::Busy,
                });
                let reference = updated.map(|diff| self.absorb(diff));
                self.answer(answer, reference);
            }
            Request::Meta { topic, key, owner, answer } => {
                let entry = self.replica.presences().find(&topic, &key, owner);
                let meta = entry.map(json::meta_of).ok_or(PresenceError::NotTracked);
                self.answer(answer, meta);
            }
            Request::Untrack { topic, key, owner, answer } => {
                let diff = self.replica.presences_mut().untrack(&topic, &key, owner);
                let gone = leaves(&diff);
                self.tracked.fetch_sub(gone, Ordering::Relaxed);
                self.absorb(diff);
                self.answer(answer, Ok(gone > 0));
            }
            Request::List { topic, answer } => {
                self.asked.entry(topic).or_default().callers.push(answer);
            }
            Request::Show { showing, keys_max } => {
                let wanted = self.asked.entry(showing.viewer.topic().clone()).or_default();
                wanted.viewers.push((keys_max, showing));
            }
            Request::Get { topic, key, answer } => {
                let entries = self.replica.presences().get(&topic, &key).cloned().collect();
                self.answer(answer, Ok(entries));
            }
            Request::Entries { topic, keys_max, answer } => {
                self.note_state_given(&topic);
                let entries = first_keys(self.replica.presences().list(&topic), keys_max).cloned().collect();
                self.answer(answer, Ok(entries));
            }
            Request::Count { topic, answer } => {
                let count = count_of(self.replica.presences(), &topic);
                self.answer(answer, Ok(count));
            }
            Request::End { owner, done } => {
                self.end(owner);
                self.answers.push(done);
            }
            Request::Leave { owner, done } => self.leave(owner, done),
            Request::Leaving { node } => self.leaving.handle_leaving(node),
            Request::Heard { node, piece } => self.hear(node, &piece),
            Request::Look => {}
            Request::Stop => self.stop(),
        }
    }

    fn stop(&mut self) {
        self.end_joining();
        self.replica.depart();
        self.is_stopping = true;
    }

    fn end(&mut self, owner: Owner) {
        let diff = self.replica.presences_mut().untrack_all(owner);
        self.tracked.fetch_sub(leaves(&diff), Ordering::Relaxed);
        self.absorb(diff);
    }

    /// A join ends as this node goes down: its client is expected on another one.
    fn leave(&mut self, owner: Owner, done: Done) {
        let now = self.conversation.as_ref().map(Conversation::now);
        let stays = now.is_some_and(|now| self.leaving.handle_end(now, owner));
        if !stays {
            self.end(owner);
        }
        self.answers.push(done);
    }

    /// Takes in what another node says.
    fn hear(&mut self, node: u64, piece: &Bytes) {
        let is_gone = self.conversation.as_ref().is_some_and(|conversation| conversation.is_gone(node));
        if is_gone || !self.leaving.is_empty() {
            // It may be there since the last look, and is to know which have gone before it has an answer.
            self.take_news();
        }
        let Some(conversation) = &mut self.conversation else { return };
        if let Some(left) = Left::read(piece) {
            return self.handle_left(left);
        }
        let Some(message) = conversation.hear(node, piece) else { return };
        let is_farewell = matches!(message, Message::Departure { .. });
        if is_farewell && self.leaving.handle_gone(conversation.now(), node) {
            return;
        }
        let diff = self.replica.handle(conversation.now(), message);
        self.absorb(diff);
    }

    /// Takes in what another node says of one that has gone.
    fn handle_left(&mut self, Left { node, stays }: Left) {
        let Some(conversation) = &self.conversation else { return };
        let replica = replica_of(node);
        // Of one that was known here it was heard that it has gone, or will be.
        let is_known = self.replica.presences().clock(replica).is_some() || conversation.is_gone(node);
        if !is_known && self.leaving.handle_left(conversation.now(), node, stays) {
            let diff = self.replica.presences_mut().replica_up(replica).unwrap_or_default();
            self.absorb(diff);
        }
    }

    /// Tells a node that has come which have gone, and who was there and is expected back.
    fn tell_left(&mut self, to: u64) {
        let Some(conversation) = &self.conversation else { return };
        for left in self.leaving.left(conversation.now()) {
            conversation.tell(to, left);
            self.replica.hand_on(replica_of(left.node), replica_of(to));
        }
    }

    /// Takes in which nodes are there, and which are gone.
    fn take_news(&mut self) {
        let Some(conversation) = &mut self.conversation else { return };
        let (mut diff, mut came) = (Diff::new(), Vec::new());
        for news in self.ended.take_news() {
            match news {
                News::There(node) => {
                    came.push(node);
                    conversation.add(node);
                    if let Some(joining) = &mut self.joining {
                        joining.add(node);
                    }
                }
                News::Gone(Gone { node, is_for_good }) => {
                    conversation.forget(node);
                    if let Some(joining) = &mut self.joining {
                        joining.forget(node);
                    }
                    let replica = replica_of(node);
                    if is_for_good && self.leaving.handle_gone(conversation.now(), node) {
                        continue;
                    }
                    self.leaving.forget(node);
                    diff.absorb(match is_for_good {
                        true => self.replica.handle_departure(replica),
                        // It may only be cut off: what is known of it is kept for a while, and hidden.
                        false => self.replica.presences_mut().replica_down(replica),
                    });
                }
            }
        }
        self.absorb(diff);
        came.into_iter().for_each(|node| self.tell_left(node));
    }

    /// Takes in what the cluster says, and says what the others have to be told.
    fn converse(&mut self) {
        // Before the news: those of all nodes that live are among them then.
        let is_settled = self.joining.as_ref().is_some_and(Joining::is_settled);
        self.take_news();
        let Some(conversation) = &mut self.conversation else { return };
        let mut diff = Diff::new();
        let (is_up, now) = conversation.look();
        let (owners, nodes) = self.leaving.take_due(now);
        for node in nodes {
            diff.absorb(self.replica.handle_departure(replica_of(node)));
        }
        if is_up {
            diff.absorb(self.replica.handle_timeout(now));
        }
        while let Some(transmit) = self.replica.poll_transmit() {
            conversation.send(&transmit);
        }
        self.absorb(diff);
        owners.into_iter().for_each(|owner| self.end(owner));
        if self.joining.as_ref().is_some_and(|joining| joining.is_over(&self.replica, is_settled)) {
            self.end_joining();
        }
    }

    /// Answers who asked too early.
    fn end_joining(&mut self) {
        let early = self.joining.take().map(Joining::into_early);
        early.into_iter().flatten().for_each(|request| self.apply(request));
    }

    /// Gives the states of topics to those who asked for them, unless one was encoded a moment ago and is not to be again.
    fn give_states(&mut self, now: Instant) {
        for (topic, Wanted { callers, viewers }) in std::mem::take(&mut self.asked) {
            if !callers.is_empty() {
                match self.state(&topic, now) {
                    Some(encoded) => self.answer_callers(callers, &encoded),
                    None => self.asked.entry(topic.clone()).or_default().callers = callers,
                }
            }
            self.show(&topic, viewers, now);
        }
    }

    fn answer_callers(&mut self, callers: Vec<Answer<Payload>>, encoded: &Encoded) {
        for answer in callers {
            let state = encoded.clone().map_err(|bytes| PresenceError::StateTooLong { bytes });
            self.answer(answer, state);
        }
    }

    /// Pushes the state of a topic to joins.
    fn show(&mut self, topic: &Topic, mut viewers: Vec<(Option<usize>, Showing)>, now: Instant) {
        viewers.sort_by_key(|(keys_max, _)| *keys_max);
        while let Some((keys_max, _)) = viewers.last() {
            let keys_max = *keys_max;
            let at = viewers.partition_point(|(other, _)| *other < keys_max);
            let showings = viewers.split_off(at).into_iter().map(|(_, showing)| showing).collect();
            if let Some(not_yet) = self.show_keys(topic, keys_max, showings, now) {
                let again = not_yet.into_iter().map(|showing| (keys_max, showing));
                self.asked.entry(topic.clone()).or_default().viewers.extend(again);
            }
        }
    }

    /// The same for those who asked for so many keys. Gives back who has to wait.
    fn show_keys(
        &mut self,
        topic: &Topic,
        keys_max: Option<usize>,
        showings: Vec<Showing>,
        now: Instant,
    ) -> Option<Vec<Showing>> {
        if self.options.counts_only(topic) {
            self.outlet.show_count(topic, count_of(self.replica.presences(), topic), showings);
        } else if self.outlet.is_fetching() {
            self.note_state_given(topic);
            let entries = first_keys(self.replica.presences().list(topic), keys_max.unwrap_or(usize::MAX));
            self.outlet.show_fetched(topic, entries.cloned().collect(), showings);
        } else if let Some(keys_max) = keys_max {
            self.note_state_given(topic);
            let state =
                json::state(first_keys(self.replica.presences().list(topic), keys_max), &Extras::new());
            self.outlet.show(bounded(state, &self.options), showings);
        } else {
            let Some(encoded) = self.state(topic, now) else { return Some(showings) };
            self.outlet.show(encoded, showings);
        }
        None
    }

    /// The state of a topic as a client gets it; `None` if it has to be encoded and is not to be yet.
    fn state(&mut self, topic: &Topic, now: Instant) -> Option<Encoded> {
        if let Some(encoded) = self.states.find(topic, now) {
            self.note_state_given(topic);
            return Some(encoded);
        }
        if self.states.not_before(topic, now, self.options.tick).is_some() {
            return None;
        }
        self.note_state_given(topic);
        let state = json::state(self.replica.presences().list(topic), &Extras::new());
        let encoded = bounded(state, &self.options);
        self.states.insert(topic, &encoded, now);
        Some(encoded)
    }

    fn note_state_given(&mut self, topic: &Topic) {
        if let Some(pending) = self.pending.get_mut(topic) {
            pending.handle_state_given();
        }
    }

    /// Takes in what changed. Returns the reference of the first join in it.
    fn absorb(&mut self, mut diff: Diff) -> String {
        if !self.leaving.is_empty() {
            diff = self.hand_over(diff);
        }
        let reference = diff.first_join().map(|entry| entry.tag().phx_ref().as_str().to_owned());
        for topic_diff in diff.into_topics() {
            let topic = Topic::from(&**topic_diff.topic());
            self.states.handle_change(&topic);
            self.pending.entry(topic).or_default().absorb(topic_diff);
        }
        reference.unwrap_or_default()
    }

    /// Takes out what those have left who are there again: as that is one change, nobody is seen to leave.
    fn hand_over(&mut self, mut diff: Diff) -> Diff {
        let joins = diff
            .topics()
            .iter()
            .flat_map(|topic| topic.joins().iter().map(move |join| (topic.topic().clone(), join.clone())));
        for (topic, came) in joins.collect::<Vec<_>>() {
            let Some(left) = self.leaving.left_by(self.replica.presences(), &topic, &came) else { continue };
            let is_own = self.replica.presences().id().wrote(left.tag());
            let displaced = self.replica.presences_mut().displace(&topic, &left);
            if is_own {
                self.tracked.fetch_sub(leaves(&displaced), Ordering::Relaxed);
            }
            diff.absorb(displaced);
        }
        diff
    }

    /// Sends the diffs whose time has come, and forgets topics that were quiet for a tick.
    fn flush(&mut self, now: Instant) {
        let Self { options, outlet, replica, .. } = self;
        let presences = replica.presences();
        self.pending.retain(|topic, pending| {
            // A diff that finds no room waits, and takes in what comes meanwhile: it must not overtake others.
            if pending.is_due(now, options) && outlet.has_room() {
                let diff = pending.take(now, options);
                debug!(topic = %Quoted::new(topic), joins = diff.joins().len(), leaves = diff.leaves().len(), "presence diff");
                if options.counts_only(topic) {
                    outlet.count(topic, count_of(presences, topic));
                } else {
                    outlet.diff(topic, diff);
                }
            }
            !pending.is_quiet(now, options)
        });
        if self.pending.is_empty() {
            // What a storm made large is not kept.
            self.pending = HashMap::new();
        }
        self.states.expire(now);
    }

    fn next_due(&self) -> Option<Instant> {
        let (now, tick) = (Instant::now(), self.options.tick);
        let pending = self.pending.values().map(|pending| pending.next_look(&self.options)).min();
        // Without room there is nothing to be done for a while, however long a diff has waited.
        let pending = pending.map(|at| if self.outlet.has_room() { at } else { at.max(now + tick) });
        let asked =
            self.asked.keys().map(|topic| self.states.not_before(topic, now, tick).unwrap_or(now)).min();
        let others = self.conversation.as_ref().map(Conversation::next_look);
        [pending, asked, self.states.next_look(), others].into_iter().flatten().min()
    }

    fn answer<T: Send + 'static>(&mut self, answer: Answer<T>, result: Result<T, PresenceError>) {
        // Whoever asked may have stopped waiting.
        self.answers.push(Box::new(move || drop(answer.send(result))));
    }
}

/// The state, unless it has too many bytes.
fn bounded(state: Payload, options: &PresenceOptions) -> Encoded {
    match state.size() {
        bytes if bytes > options.state_bytes_max => Err(bytes),
        _ => Ok(state),
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
