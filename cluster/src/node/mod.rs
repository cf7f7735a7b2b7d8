//! One node of a cluster: what the program wants, what the engine says, and what follows from it.
//!
//! ```text
//!   engine:  away ── Up ──▶ up, subscribing ── everything confirmed ──▶ ready
//!             ▲                    │                                      │
//!             └──────── Down ──────┴──────────────────────────────────────┘
//! ```

mod asking;
mod peers;
mod relaying;
mod repairing;
mod settled;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::{
    calls::{Calls, Heard},
    channel::{Channel, Spread, TopicHasher},
    config::Config,
    engine::{Event, Work},
    gap::{Gap, GapCause, Scope},
    id::Instance,
    inbound::{Says, Step},
    members::{Member, Members, Peer},
    outbound::{Outbound, Stored},
    output::{Interest, Output, PeerEnd, Sent},
    subscriptions::{Batch, Owed, Subscriptions},
    wire::{self, Beat, Message, PayloadKind, Publish, Slow, Tops, VERSION, VERSION_OLDEST, VERSION_SLOW},
};

/// Who this node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The application: nodes of another one never hear this one's topics under the same names.
    pub app: String,
    /// The node's name, for people.
    pub name: String,
    /// This start of it: 64 random bits.
    pub instance: Instance,
}

/// The state machine. See the crate's documentation for its laws.
///
/// After each call, do what [`poll_work`](Self::poll_work) returns while the engine takes it, and act on
/// [`poll_output`](Self::poll_output); call [`handle_tick`](Self::handle_tick) ten times a second.
///
/// ```
/// use std::time::Duration;
/// use lapwing_cluster::{Config, Event, Identity, Instance, Node, Sent, Work, wire::PayloadKind};
///
/// let identity = Identity { app: "chat".into(), name: "one".into(), instance: Instance(1) };
/// let mut node = Node::new(identity, Config::default(), Duration::ZERO);
/// node.handle_event(Duration::ZERO, Event::Up);
/// assert!(matches!(node.poll_work(Duration::ZERO), Some(Work::Subscribe(_))));
/// let sent = node.publish("room:1", "said", PayloadKind::Json, None, "{}".into());
/// assert_eq!(sent, Sent::Now);
/// ```
#[derive(Debug)]
pub struct Node {
    identity: Identity,
    config: Config,
    hasher: TopicHasher,
    is_up: bool,
    /// How often messages to this node may have been lost, with the connection or without.
    losses: u64,
    /// Whether the others are to be asked for what was missed, once everything is delivered again.
    asks_when_settled: bool,
    /// Whether they are asked with the next beat.
    asks_with_beat: bool,
    is_draining: bool,
    has_departed: bool,
    subscriptions: Subscriptions,
    outbound: Outbound,
    members: Members,
    calls: Calls,
    /// Peers that lived and do so no more, the last ones, and how they ended.
    gone: VecDeque<(Instance, PeerEnd)>,
    beats: u64,
    next_beat: Duration,
    /// Beats that were sent since one came back.
    echoes_missing: u32,
    /// Beats that came back on this connection.
    echoes: u32,
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    outputs: VecDeque<Output>,
    unreadable: u64,
}

/// A message that waits for the engine.
#[derive(Debug)]
enum Queued {
    /// Written when it is its turn: it tells what was published before it.
    Beat,
    Message(Channel, Bytes),
}

impl Node {
    /// A node that knows nobody. `now` is the time since any moment, as in all calls, and never goes back.
    #[must_use]
    pub fn new(identity: Identity, config: Config, now: Duration) -> Self {
        let mut subscriptions = Subscriptions::default();
        subscriptions.want(Channel::Control);
        subscriptions.want(Channel::Node(identity.instance));
        Self {
            hasher: TopicHasher::new(&identity.app),
            identity,
            is_up: false,
            losses: 0,
            asks_when_settled: false,
            asks_with_beat: false,
            is_draining: false,
            has_departed: false,
            subscriptions,
            outbound: Outbound::new(&config),
            members: Members::default(),
            calls: Calls::default(),
            gone: VecDeque::new(),
            beats: 0,
            next_beat: now,
            echoes_missing: 0,
            echoes: 0,
            queue: VecDeque::new(),
            queue_bytes: 0,
            outputs: VecDeque::new(),
            unreadable: 0,
            config,
        }
    }

    /// The engine says something.
    pub fn handle_event(&mut self, now: Duration, event: Event) {
        match event {
            Event::Up => self.handle_up(now),
            Event::Down => self.handle_down(),
            Event::Dropped => self.handle_dropped(),
            Event::Subscribed(channels) => self.handle_subscribed(now, &channels),
            Event::Unsubscribed(channels) => {
                for key in self.subscriptions.handle_unsubscribed(&channels) {
                    for (_, member) in self.members.iter_mut() {
                        member.inbound.handle_unsubscribed(key);
                    }
                }
            }
            Event::Refused(channels) => {
                let keys = self.subscriptions.handle_refused(&channels);
                self.outputs.extend(keys.into_iter().map(Output::Refused));
            }
            Event::Published(number) => self.outbound.handle_confirmed(number),
            Event::Message { channel, bytes } => self.handle_message(now, channel, &bytes),
        }
    }

    /// Time has passed: beats, questions, calls. Call it ten times a second; if it is called late, the others are not blamed for
    /// it.
    pub fn handle_tick(&mut self, now: Duration) {
        let mut steps = Vec::new();
        for (instance, member) in self.members.iter_mut() {
            let due = member.inbound.handle_tick(now, self.is_up, &self.config);
            steps.extend(due.into_iter().map(|step| (instance, step)));
        }
        for (instance, step) in steps {
            self.take_step(instance, step);
        }
        self.handle_calls(now);
        if now < self.next_beat || !self.is_up || self.has_departed {
            return;
        }
        self.next_beat = now + self.config.beat;
        if std::mem::take(&mut self.asks_with_beat) {
            self.ask_again(now);
        }
        // Also while nothing is subscribed yet: a connection may be dead from the first moment on.
        self.echoes_missing += 1;
        if self.echoes_missing > self.config.echoes_missing_max {
            self.echoes_missing = 0;
            self.outputs.push_back(Output::Reconnect);
        }
        self.queue_beat();
    }

    /// This node.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// A member more has this topic here. Before the first is told that it is in, its channel must be confirmed.
    pub fn subscribe(&mut self, topic: &str) -> Interest {
        let key = self.hasher.key(self.config.spread, topic);
        if self.subscriptions.want(Channel::Topics(key)) {
            Interest::Confirmed
        } else {
            Interest::Waiting(key)
        }
    }

    /// A member less has this topic here. With partitions the channel is kept: an idle one costs nothing.
    pub fn unsubscribe(&mut self, now: Duration, topic: &str) {
        let is_per_topic = self.config.spread == Spread::Topics;
        let until = is_per_topic.then(|| now + self.config.linger);
        self.subscriptions.unwant(self.hasher.key(self.config.spread, topic), until);
    }

    /// Publishes a broadcast to the other nodes, with its policy for slow clients, if it has one of its own. Where one of them reads no
    /// policies, as during an update, none of them is told of it: what a node cannot read would be lost there.
    pub fn publish(
        &mut self,
        topic: &str,
        event: &str,
        kind: PayloadKind,
        slow: Option<Slow>,
        payload: Bytes,
    ) -> Sent {
        let slow = slow.filter(|_| self.living().all(|(_, peer)| peer.versions.1 >= VERSION_SLOW));
        let key = self.hasher.key(self.config.spread, topic);
        let from = self.identity.instance;
        let stored = self.outbound.publish(key, |number, prev| {
            let (topic, event) = (topic.into(), event.into());
            let publish = Publish { number, prev, topic, event, kind, slow, payload };
            Message::Publish(publish).encode(from)
        });
        match stored {
            Stored::Kept if self.is_up => Sent::Now,
            Stored::Kept => Sent::Later,
            Stored::Lost => Sent::Here,
        }
    }

    /// Sends a message of the presence replica to one peer, or to all. It may be lost.
    pub fn send_presence(&mut self, to: Option<Instance>, bytes: Bytes) {
        let channel = to.map_or(Channel::Control, Channel::Node);
        self.queue_message(channel, &Message::Presence(bytes));
    }

    /// The others are told that this node is about to go, with the next tick.
    pub fn begin_drain(&mut self) {
        self.is_draining = true;
        self.next_beat = Duration::ZERO;
    }

    /// The last message: the others do not wait for this node any more. Wait until [`is_flushed`](Self::is_flushed) first: what has not reached
    /// the engine is told as lost.
    pub fn depart(&mut self) {
        self.has_departed = true;
        if self.is_up {
            // It tells of all that was published: nobody can ask later.
            self.queue_beat();
            let bytes = Message::Departed.encode(self.identity.instance);
            self.push_message(Channel::Control, bytes);
        }
    }

    /// Whether everything that was published has reached the engine.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.outbound.is_confirmed() && self.queue.is_empty()
    }

    /// Whether the engine is up and delivers everything that was asked for.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let own = [Channel::Control, Channel::Node(self.identity.instance)];
        let is_heard = own.iter().all(|channel| self.subscriptions.is_confirmed(*channel));
        self.is_up && is_heard && self.subscriptions.is_settled()
    }

    /// Whether there is a connection to the engine.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.is_up
    }

    /// The peers that live.
    pub fn living(&self) -> impl Iterator<Item = (Instance, &Peer)> {
        self.members.iter().filter_map(|(instance, member)| Some((instance, member.peer.as_ref()?)))
    }

    /// Bytes that are kept for repair, or for an engine that is away.
    #[must_use]
    pub fn ring_bytes(&self) -> usize {
        self.outbound.bytes()
    }

    /// Publications that were kept, and had to make room before they were handed to the engine.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.outbound.forgotten()
    }

    /// Bytes that are held back behind something missing.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.members.iter().map(|(_, member)| member.inbound.held_bytes()).sum()
    }

    /// How many messages could not be read.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// What the program is to know next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What the engine is to do next; nothing while it is away.
    pub fn poll_work(&mut self, now: Duration) -> Option<Work> {
        if !self.is_up {
            return None;
        }
        if let Some(batch) = self.subscriptions.next_batch(now, self.config.batch_max) {
            return Some(batch.into());
        }
        if self.beats == 0 {
            // Whoever hears the first beat, before anything was published, misses nothing of this node.
            let bytes = self.beat();
            return Some(Work::Publish { number: None, channel: Channel::Control, bytes });
        }
        if let Some((number, key, bytes)) = self.outbound.next() {
            return Some(Work::Publish { number: Some(number), channel: Channel::Topics(key), bytes });
        }
        let (channel, bytes) = match self.queue.pop_front()? {
            Queued::Message(channel, bytes) => {
                self.queue_bytes -= bytes.len();
                (channel, bytes)
            }
            Queued::Beat => (Channel::Control, self.beat()),
        };
        Some(Work::Publish { number: None, channel, bytes })
    }

    /// Queues a message of this node's own; dropped while the engine is away, as whoever needs it asks again.
    fn queue_message(&mut self, channel: Channel, message: &Message) {
        let has_room =
            self.queue.len() < self.config.queue_max && self.queue_bytes < self.config.queue_bytes_max;
        if self.is_up && has_room {
            let bytes = message.encode(self.identity.instance);
            self.push_message(channel, bytes);
        }
    }

    fn push_message(&mut self, channel: Channel, bytes: Bytes) {
        self.queue_bytes += bytes.len();
        self.queue.push_back(Queued::Message(channel, bytes));
    }

    /// Queues a beat before everything else, unless there is one: behind many answers it would be late, and this node taken for dead.
    fn queue_beat(&mut self) {
        if !self.queue.iter().any(|queued| matches!(queued, Queued::Beat)) {
            self.queue.push_front(Queued::Beat);
        }
    }

    fn handle_up(&mut self, now: Duration) {
        self.is_up = true;
        (self.echoes_missing, self.echoes) = (0, 0);
        self.next_beat = now;
        self.members.forgive_silence(&self.config);
    }

    fn handle_down(&mut self) {
        if !std::mem::replace(&mut self.is_up, false) {
            return;
        }
        self.losses += 1;
        self.asks_when_settled = true;
        self.queue.clear();
        self.queue_bytes = 0;
        self.outbound.handle_down();
        let leaving = self.subscriptions.handle_down();
        for (_, member) in self.members.iter_mut() {
            for key in &leaving {
                member.inbound.handle_unsubscribed(*key);
            }
            member.inbound.handle_down(|key| self.subscriptions.is_owed(key));
        }
    }

    fn handle_dropped(&mut self) {
        self.losses += 1;
        // Asked with the next beat, not at once: the answers would be dropped as well, and each would ask again.
        self.asks_with_beat = true;
        for (_, member) in self.members.iter_mut() {
            member.inbound.handle_down(|key| self.subscriptions.is_owed(key));
        }
    }

    fn handle_subscribed(&mut self, now: Duration, channels: &[Channel]) {
        let keys = self.subscriptions.handle_subscribed(channels);
        for (key, owed) in keys {
            for (_, member) in self.members.iter_mut().filter(|_| owed == Owed::FromNow) {
                member.inbound.handle_confirmed(key);
            }
            self.outputs.push_back(Output::Confirmed(key));
        }
        if self.subscriptions.is_settled() && std::mem::take(&mut self.asks_when_settled) {
            self.ask_again(now);
        }
    }

    fn handle_message(&mut self, now: Duration, channel: Channel, bytes: &Bytes) {
        let from = wire::sender(bytes);
        // This node's own, too: it is the store's order that counts.
        if from == Some(self.identity.instance) && !wire::is_kept(bytes) {
            // Only the beats that come back say something.
            if channel == Channel::Control
                && let Ok((_, Message::Beat(beat))) = Message::decode(bytes, &self.config.wire)
            {
                self.handle_echo(now, beat.number);
            }
            return;
        }
        match Message::decode(bytes, &self.config.wire) {
            Ok((from, message)) => self.handle(now, channel, from, message),
            Err(_) => self.handle_unreadable(from),
        }
    }

    fn handle(&mut self, now: Duration, channel: Channel, from: Instance, message: Message) {
        match message {
            Message::Publish(publish) => self.handle_publish(now, channel, from, publish),
            Message::Kept(kept) => match channel {
                Channel::Topics(key) => self.outputs.push_back(Output::Kept { key, kept }),
                _ => self.handle_unreadable(Some(from)),
            },
            Message::Beat(beat) => self.handle_beat(now, from, beat),
            Message::Departed => self.end_peer(now, from, PeerEnd::Departed),
            Message::Ask { key, after, upto } => self.handle_ask(from, (key, after, upto)),
            Message::Repair(repair) => self.handle_repair(now, from, repair),
            Message::AskTops { after } => self.handle_ask_tops(from, after),
            Message::Tops(tops) => self.handle_tops(now, from, &tops, Says::All),
            Message::Presence(bytes) => self.outputs.push_back(Output::Presence(from, bytes)),
            Message::Relay(bytes) => self.handle_relay(from, bytes),
            Message::Move(bytes) => self.handle_move(from, bytes),
            Message::Call { id, body } => match self.calls.handle_call(now, from, id) {
                Heard::New => self.outputs.push_back(Output::Call(from, id, body)),
                Heard::Pending => {}
                Heard::Answered(body) => {
                    self.queue_message(Channel::Node(from), &Message::Answer { id, body });
                }
            },
            Message::Answer { id, body } => {
                self.calls.handle_answer(from, id, body);
                self.handle_calls(now);
            }
        }
    }

    fn handle_publish(&mut self, now: Duration, channel: Channel, from: Instance, publish: Publish) {
        let Channel::Topics(key) = channel else { return self.handle_unreadable(Some(from)) };
        if self.is_departed(from) {
            return;
        }
        let Some(member) = self.members.enter(from, &self.config) else { return };
        if member.inbound.begin(publish.number) {
            self.doubt(from, false);
        }
        if !self.subscriptions.is_owed(key) {
            return;
        }
        let Some(member) = self.members.get(from) else { return };
        let steps = member.inbound.handle_publish(now, key, publish, &self.config);
        for step in steps {
            self.take_step(from, step);
        }
    }

    fn handle_tops(&mut self, now: Duration, from: Instance, tops: &Tops, says: Says) {
        let Some(member) = self.members.get(from) else { return };
        let subscriptions = &self.subscriptions;
        let is_owed = |key| subscriptions.is_owed(key);
        let steps = member.inbound.handle_tops(now, tops, says, is_owed, &self.config);
        for step in steps {
            self.take_step(from, step);
        }
    }

    fn take_step(&mut self, from: Instance, step: Step) {
        match step {
            Step::Deliver(key, publish) => self.outputs.push_back(Output::Deliver { from, key, publish }),
            Step::Gap { key, after, upto, cause } => {
                self.tell_gap(Gap { from, scope: Scope::Key { key, after, upto }, cause });
            }
            Step::GapAll { cause } => self.tell_gap(Gap { from, scope: Scope::All, cause }),
            Step::Ask { key, after, upto } => {
                self.queue_message(Channel::Node(from), &Message::Ask { key, after, upto });
            }
            Step::AskTops { after } => self.queue_message(Channel::Node(from), &Message::AskTops { after }),
        }
    }

    fn tell_gap(&mut self, gap: Gap) {
        self.outputs.push_back(Output::Gap(gap));
    }

    /// The next beat as it is handed to the engine.
    fn beat(&mut self) -> Bytes {
        self.beats += 1;
        let tops = match self.has_departed {
            true => self.outbound.last_tops(&self.config.wire),
            false => self.outbound.tops(self.beats, &self.config.wire),
        };
        let beat = Beat {
            number: self.beats,
            name: self.identity.name.as_str().into(),
            versions: (VERSION_OLDEST, VERSION),
            is_draining: self.is_draining,
            tops,
        };
        Message::Beat(beat).encode(self.identity.instance)
    }

    /// A message could not be read: told once per beat.
    fn handle_unreadable(&mut self, from: Option<Instance>) {
        self.unreadable += 1;
        let Some(from) = from else { return };
        if self.members.get(from).is_some_and(Member::is_first_unreadable) {
            self.tell_gap(Gap { from, scope: Scope::All, cause: GapCause::Unreadable });
        }
    }
}

impl From<Batch> for Work {
    fn from(batch: Batch) -> Self {
        match batch {
            Batch::Subscribe(channels) => Self::Subscribe(channels),
            Batch::Unsubscribe(channels) => Self::Unsubscribe(channels),
        }
    }
}

#[cfg(test)]
mod tests;
