//! What the program's handle and the driver's task share: the node behind a lock, and who waits for what.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use lapwing_cluster::{
    Channel, Event, Instance, Interest, Key, Node, Output, Sent, Standing, Work,
    moves::{MoveConfig, MoveOutput},
    relay::RelayConfig,
    wire::{self, PayloadKind, Slow},
};
use tokio::{
    sync::{Notify, oneshot, watch},
    time::Instant,
};

use crate::{
    call::{Answers, Call, CallError, TakesAnswers},
    event::{ClusterEvent, Mark},
    inbox::Inbox,
    moves::MoveTable,
    relays::RelayTable,
    seal::Seal,
    stats::Stats,
};

/// Own beats that come back until the others are known. The first two go out together: between them and the last one lie two beats of each
/// node.
const ECHOES: u8 = 4;

#[derive(Debug)]
pub(crate) struct Shared {
    instance: Instance,
    seal: Option<Seal>,
    /// Makes the tags of tokens.
    tags: Seal,
    /// What the node's time counts from. It is the runtime's, so that tests can stop it.
    began: Instant,
    state: Mutex<State>,
    /// Requests that are carried for other nodes, and by them. Locked behind the state, where both are.
    relays: Arc<RelayTable>,
    /// Sessions that go from one node to another. Locked behind the state, as well.
    moves: MoveTable,
    /// There may be work for the engine.
    wake: Arc<Notify>,
    ready: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    node: Node,
    inbox: Inbox,
    /// Joins that wait until their channel is delivered.
    waiting: HashMap<Key, Vec<oneshot::Sender<Verdict>>>,
    calls: HashMap<u64, oneshot::Sender<Answers>>,
    /// The task has ended: nobody would answer.
    is_ended: bool,
    /// The node wants another connection.
    wants_reconnect: bool,
    /// Something was dropped since the last tick for want of room.
    has_dropped: bool,
    /// And since the node last heard something.
    is_drop_untold: bool,
    /// Whether relays and moves come before publications, next time: they take turns.
    prefers_relays: bool,
    /// Whether moves come before relays, next time.
    prefers_moves: bool,
    up_since: Option<Instant>,
    /// When the last beat was handed to the engine.
    beat_at: Option<Instant>,
    /// Own beats that are to come back until every node that lives must have been heard.
    echoes_left: u8,
    stats: Stats,
}

/// What the engine says about a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Confirmed,
    Refused,
}

/// Whether a topic is delivered.
#[derive(Debug)]
pub(crate) enum Wanted {
    Confirmed,
    Waiting(oneshot::Receiver<Verdict>),
}

impl Shared {
    /// `node` was made at the time zero.
    pub(crate) fn new(
        inbox: Inbox,
        node: Node,
        seal: Option<Seal>,
        relays: RelayConfig,
        moves: Option<MoveConfig>,
    ) -> Self {
        // Without a secret the application's name is all that is needed to make one, which costs a question to another node.
        let tags = seal.clone().unwrap_or_else(|| Seal::new(&[], &node.identity().app));
        let wake = Arc::<Notify>::default();
        Self {
            relays: RelayTable::new(relays, wake.clone()),
            moves: MoveTable::new(moves, wake.clone()),
            instance: node.identity().instance,
            seal,
            tags,
            began: Instant::now(),
            state: Mutex::new(State {
                node,
                inbox,
                waiting: HashMap::new(),
                calls: HashMap::new(),
                is_ended: false,
                wants_reconnect: false,
                has_dropped: false,
                is_drop_untold: false,
                prefers_relays: false,
                prefers_moves: false,
                up_since: None,
                beat_at: None,
                echoes_left: ECHOES,
                stats: Stats::default(),
            }),
            wake,
            ready: watch::Sender::new(false),
        }
    }

    pub(crate) fn instance(&self) -> Instance {
        self.instance
    }

    /// Whether the engine delivers everything that was asked for, and when that changes.
    pub(crate) fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Waits until there may be work for the engine.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// There may be work for the engine.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(crate) fn publish(
        &self,
        topic: &str,
        event: &str,
        kind: PayloadKind,
        slow: Option<Slow>,
        payload: Bytes,
    ) -> (Sent, u64) {
        let mut state = self.lock();
        let sent = state.node.publish(topic, event, kind, slow, payload);
        state.stats.published += 1;
        match sent {
            Sent::Now => {}
            Sent::Later => state.stats.kept_for_later += 1,
            Sent::Here => state.stats.here_alone += 1,
        }
        let number = state.node.last_published();
        drop(state);
        if sent == Sent::Now {
            self.wake.notify_one();
        }
        (sent, number)
    }

    /// Puts a mark behind what the program is told.
    pub(crate) fn mark(&self) -> oneshot::Receiver<()> {
        let (tx, rx) = oneshot::channel();
        self.lock().inbox.push(ClusterEvent::Mark(Mark::new(tx)));
        rx
    }

    pub(crate) fn settled(&self, topic: &str) -> Vec<(Instance, Option<u64>)> {
        self.lock().node.settled(topic)
    }

    pub(crate) fn has_settled(&self, topic: &str, there: &[(Instance, Option<u64>)]) -> bool {
        self.lock().node.has_settled(topic, there)
    }

    pub(crate) fn subscribe(&self, topic: &str) -> Wanted {
        let mut state = self.lock();
        let Interest::Waiting(key) = state.node.subscribe(topic) else { return Wanted::Confirmed };
        let (tx, rx) = oneshot::channel();
        if state.is_ended {
            return Wanted::Waiting(rx);
        }
        let waiting = state.waiting.entry(key).or_default();
        // Those who gave up leave their place when somebody comes after them.
        waiting.retain(|sender| !sender.is_closed());
        waiting.push(tx);
        drop(state);
        self.wake.notify_one();
        Wanted::Waiting(rx)
    }

    pub(crate) fn unsubscribe(&self, topic: &str) {
        let now = self.now();
        self.lock().node.unsubscribe(now, topic);
    }

    pub(crate) fn send_presence(&self, to: Option<Instance>, bytes: Bytes) {
        self.lock().node.send_presence(to, bytes);
        self.wake.notify_one();
    }

    /// Asks one node, or all.
    pub(crate) fn call(
        &self,
        to: Option<Instance>,
        body: Bytes,
        within: Duration,
    ) -> Result<oneshot::Receiver<Answers>, CallError> {
        let now = self.now();
        let mut state = self.lock();
        if state.is_ended {
            return Err(CallError::Ended);
        }
        let id = state.node.call(now, to, body, within).ok_or(CallError::TooMany)?;
        let (tx, rx) = oneshot::channel();
        state.calls.insert(id, tx);
        drop(state);
        self.wake.notify_one();
        Ok(rx)
    }

    pub(crate) fn begin_drain(&self) {
        self.lock().node.begin_drain();
    }

    /// Says goodbye, if everything else is said. Returns whether it did.
    pub(crate) fn depart(&self, is_late: bool) -> bool {
        let mut state = self.lock();
        // What others carry is answered to its end: its clients hear why there is none.
        let may = is_late || state.node.is_flushed() && !self.relays.is_busy() && !self.moves.is_busy();
        if may {
            state.node.depart();
        }
        may
    }

    /// What is known of the other nodes that live.
    pub(crate) fn peers(&self) -> Vec<(Instance, lapwing_cluster::Peer)> {
        self.lock().node.living().map(|(instance, peer)| (instance, peer.clone())).collect()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.lock().node.is_up()
    }

    pub(crate) fn stats(&self) -> Stats {
        let (relays, moves) = (self.relays.stats(), self.moves.stats());
        let state = self.lock();
        Stats {
            relays,
            moves,
            up_for: state.up_since.map(|since| since.elapsed()),
            peers: state.node.living().count(),
            unreadable: state.node.unreadable(),
            ring_bytes: state.node.ring_bytes(),
            forgotten: state.node.forgotten(),
            held_bytes: state.node.held_bytes(),
            ..state.stats.clone()
        }
    }

    /// The engine says something, or all that was said at once.
    pub(crate) fn handle(self: &Arc<Self>, events: &mut Vec<Event>) {
        let now = self.now();
        let mut state = self.lock();
        for event in events.drain(..) {
            match self.opened(event) {
                Some(event) => state.handle(now, event, self),
                None => state.stats.forged += 1,
            }
        }
        // A call to nobody is over without the engine's having said anything.
        state.act(self, false);
        self.tell_ready(&state);
    }

    pub(crate) fn handle_tick(self: &Arc<Self>) {
        let now = self.now();
        let mut state = self.lock();
        state.tell_dropped(now);
        if std::mem::take(&mut state.has_dropped) {
            state.inbox.push(ClusterEvent::Dropped);
        }
        state.node.handle_tick(now);
        state.inbox.push_late_gaps();
        state.act(self, false);
        state.tell_moves(self.moves.handle_tick(now));
        self.tell_ready(&state);
        drop(state);
        self.relays.handle_tick(now);
    }

    /// The task has ended: whoever waits is told.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.is_ended = true;
        state.up_since = None;
        state.waiting.clear();
        state.calls.clear();
        state.inbox.end();
        self.ready.send_replace(false);
        drop(state);
        self.relays.end();
    }

    /// Attempts to connect are over, or a connection is.
    pub(crate) fn note_failure(&self, error: String, is_lost: bool) {
        let mut state = self.lock();
        state.stats.connect_failures += u64::from(!is_lost);
        state.stats.last_error = Some(error);
    }

    /// What the engine is to do next.
    pub(crate) fn next_work(&self) -> Option<Work> {
        let mut state = self.lock();
        let relays_first = std::mem::replace(&mut state.prefers_relays, false);
        let mut work = match relays_first.then(|| self.relay_or_move_work(&mut state)).flatten() {
            Some(work) => work,
            None => match state.node.poll_work(self.now()) {
                Some(work) => {
                    state.prefers_relays = true;
                    work
                }
                None => self.relay_or_move_work(&mut state)?,
            },
        };
        if let Work::Publish { channel: Channel::Control, .. } = &work {
            state.beat_at = Some(Instant::now());
        }
        drop(state);
        if let (Some(seal), Work::Publish { channel, bytes, .. }) = (&self.seal, &mut work) {
            *bytes = seal.seal(*channel, bytes);
        }
        Some(work)
    }

    /// What a store is given: sealed, if messages are.
    pub(crate) fn seal(&self, channel: Channel, entry: Bytes) -> Bytes {
        self.seal.as_ref().map_or(entry.clone(), |seal| seal.seal(channel, &entry))
    }

    /// What a store was given; none if it is not sealed, and messages are. That is counted.
    pub(crate) fn open(&self, channel: Channel, entry: &Bytes) -> Option<Bytes> {
        let Some(seal) = &self.seal else { return Some(entry.clone()) };
        let opened = seal.open(channel, entry);
        self.lock().stats.forged += u64::from(opened.is_none());
        opened
    }

    /// What is to be said about relays or moves: they take turns, too.
    fn relay_or_move_work(&self, state: &mut State) -> Option<Work> {
        let relay = || self.relays.next_message().map(|(to, bytes)| state.node.relay_work(to, bytes));
        let moves = || self.moves.next_message().map(|(to, bytes)| state.node.move_work(to, bytes));
        let work = if state.prefers_moves { moves().or_else(relay) } else { relay().or_else(moves) };
        state.prefers_moves = !state.prefers_moves;
        work
    }

    /// Whether an instance is there.
    pub(crate) fn standing(&self, instance: Instance) -> Standing {
        self.lock().node.standing(instance)
    }

    pub(crate) fn tag(&self, token: &[u8]) -> [u8; 8] {
        self.tags.tag(token)
    }

    pub(crate) fn relays(&self) -> &Arc<RelayTable> {
        &self.relays
    }

    pub(crate) fn moves(&self) -> &MoveTable {
        &self.moves
    }

    /// Whether the node wants another connection, once.
    pub(crate) fn take_reconnect(&self) -> bool {
        std::mem::take(&mut self.lock().wants_reconnect)
    }

    /// What the engine says, without its seal; none if it lacks one.
    fn opened(&self, mut event: Event) -> Option<Event> {
        if let (Some(seal), Event::Message { channel, bytes }) = (&self.seal, &mut event)
            && !(matches!(channel, Channel::Topics(_)) && wire::is_kept(bytes))
        {
            *bytes = seal.open(*channel, bytes)?;
        }
        Some(event)
    }

    fn tell_ready(&self, state: &State) {
        let is_ready = state.node.is_ready();
        self.ready.send_if_modified(|was| std::mem::replace(was, is_ready) != is_ready);
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here leaves the state half changed when it panics, which would be a bug of ours.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TakesAnswers for Shared {
    fn take_answer(&self, to: Instance, id: u64, body: Bytes, is_remembered: bool) {
        let mut state = self.lock();
        match is_remembered {
            true => state.node.answer(to, id, body),
            false => state.node.answer_and_forget(to, id, body),
        }
        drop(state);
        self.wake.notify_one();
    }
}

impl State {
    fn handle(&mut self, now: Duration, event: Event, shared: &Arc<Shared>) {
        let mut is_repair = false;
        match &event {
            Event::Up => {
                self.up_since = Some(Instant::now());
                self.stats.connects += 1;
                shared.relays.handle_up();
                shared.moves.handle_up();
                self.inbox.push(ClusterEvent::EngineUp);
            }
            Event::Down => {
                (self.up_since, self.beat_at) = (None, None);
                self.stats.round_trip = None;
                shared.relays.handle_down();
                shared.moves.handle_down();
                self.inbox.push(ClusterEvent::EngineDown);
            }
            Event::Dropped => self.inbox.push(ClusterEvent::Dropped),
            Event::Message { channel: Channel::Control, bytes } => {
                // Beats and departures are read whatever the program does: nobody dies of its being slow.
                self.note_echo(wire::sender(bytes) == Some(shared.instance));
            }
            Event::Message { channel, .. } => {
                if !self.inbox.has_room() {
                    (self.has_dropped, self.is_drop_untold) = (true, true);
                    self.stats.overflowed += 1;
                    return;
                }
                is_repair = matches!(channel, Channel::Node(_));
            }
            _ => {}
        }
        if !matches!(event, Event::Published(_)) {
            self.tell_dropped(now);
        }
        self.node.handle_event(now, event);
        self.act(shared, is_repair);
    }

    /// What finds no room is a loss to the node before it hears anything that is behind it.
    fn tell_dropped(&mut self, now: Duration) {
        if std::mem::take(&mut self.is_drop_untold) {
            self.node.handle_event(now, Event::Dropped);
        }
    }

    fn note_echo(&mut self, is_echo: bool) {
        if !is_echo {
            return;
        }
        if let Some(sent) = self.beat_at.take() {
            self.stats.round_trip = Some(sent.elapsed());
        }
        if self.echoes_left > 0 {
            self.echoes_left -= 1;
            if self.echoes_left == 0 {
                self.inbox.push(ClusterEvent::Settled);
            }
        }
    }

    /// Tells the program what the node says.
    fn act(&mut self, shared: &Arc<Shared>, is_repair: bool) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Deliver { from, publish, .. } => {
                    self.stats.delivered += 1;
                    self.stats.repaired += u64::from(is_repair);
                    self.inbox.push(ClusterEvent::Broadcast { from, publish });
                }
                Output::Kept { key, kept } => self.inbox.push(ClusterEvent::Kept { key, kept }),
                Output::Gap(gap) => {
                    *self.stats.gaps.entry(gap.cause.word()).or_default() += 1;
                    self.inbox.push_gap(gap);
                }
                Output::Confirmed(key) => self.tell_waiting(key, Verdict::Confirmed),
                Output::Refused(key) => self.tell_waiting(key, Verdict::Refused),
                Output::PeerUp(peer) => {
                    let known = self.node.living().find(|(instance, _)| *instance == peer);
                    if let Some((_, known)) = known {
                        let known = known.clone();
                        if known.versions.1 >= wire::VERSION_MOVES {
                            shared.moves.handle_taker(peer);
                        }
                        self.inbox.push(ClusterEvent::PeerUp(peer, known));
                    }
                }
                Output::PeerDown(peer, end) => {
                    shared.relays.handle_gone(peer);
                    self.tell_moves(shared.moves.handle_gone(peer));
                    self.inbox.push(ClusterEvent::PeerDown(peer, end));
                }
                Output::Relay(from, bytes) => {
                    for (relay, head) in shared.relays.handle_message(from, &bytes) {
                        self.inbox.push(ClusterEvent::Relay { relay, head });
                    }
                }
                Output::Move(from, bytes) => self.tell_moves(shared.moves.handle_message(from, &bytes)),
                Output::Presence(from, bytes) => {
                    // It may be lost, and is said again.
                    if self.inbox.has_room() {
                        self.inbox.push(ClusterEvent::Presence { from, bytes });
                    }
                }
                Output::Call(from, id, body) => {
                    let taker: Weak<dyn TakesAnswers> = Arc::<Shared>::downgrade(shared);
                    self.inbox.push(ClusterEvent::Call(Call::new(from, id, body, taker)));
                }
                Output::Answered { id, answers, missing } => {
                    if let Some(asker) = self.calls.remove(&id) {
                        // Who does not want to know any more has dropped the other end.
                        let _ = asker.send(Answers { answers, missing });
                    }
                }
                Output::Reconnect => self.wants_reconnect = true,
            }
        }
    }

    /// They are as few as moves are, and must not be lost.
    fn tell_moves(&self, outputs: Vec<MoveOutput>) {
        outputs.into_iter().for_each(|output| self.inbox.push(ClusterEvent::Move(output)));
    }

    fn tell_waiting(&mut self, key: Key, verdict: Verdict) {
        for waiting in self.waiting.remove(&key).into_iter().flatten() {
            // A join that gave up has dropped the other end.
            let _ = waiting.send(verdict);
        }
    }
}

#[cfg(test)]
mod tests;
