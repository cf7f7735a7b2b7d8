//! Requests that reached another node than the one that has their session, as values.
//!
//! The node that the client reached is the *carrier*, the one with the session the *owner*. A *relay* is one request between them: its head
//! and its body up, the answer down; or the bytes of a WebSocket, in both directions. What the bytes mean is no matter here.
//!
//! ```text
//!   carrier                                            owner
//!   open ─────── 1: head ────────────────────────────▶ Opened
//!   send ─────── 2: bytes ───────────────────────────▶ Data … handle_used
//!           ◀─── ack: has 2, has used so many bytes ──
//!   Data    ◀─── 1: bytes ──────────────────────────── send
//!   Ended   ◀─── 2: end ────────────────────────────── finish
//!           ──── ack: has 2 ─────────────────────────▶ Ended
//!
//!   open ──▶ carried ── the owner's end has arrived ─────────▶ over
//!               └────── a hole, silence, a cut, a death ─────▶ over
//! ```
//!
//! The pieces of each direction are counted from 1. The engine may lose, repeat and reorder: what has come is dropped, and what is behind
//! a hole ends the relay. Nothing is sent twice, since the owner's session keeps what its client has not acknowledged: the client
//! comes again and gets it. The same bytes for many relays with one peer are sent to it once.
//!
//! # Laws
//!
//! For every order of calls and messages (`cluster/tests/relays`):
//!
//! 1. *In order and once.* What a side hears of a relay is a prefix of what the other gave; [`RelayEnd::Done`] comes when the carrier has
//!    heard everything.
//! 2. *One owner.* A relay is opened once at most, at the instance it was opened for.
//! 3. *Bounded.* What is under way to a peer, and what came and the program has not used, whether the relay is over or not, never exceeds [`RelayConfig`].
//! 4. *It ends or goes on.* While the engine is up, whatever is lost: no side waits for the other for longer than the bounds on silence and on the wait for
//!    room. However many relays have sides that use nothing, the others go on.
//! 5. *Told once.* Each side that knows of a relay hears of its end once, unless it cut it itself, and of nothing after that, but that it is to drop what it
//!    has not used.

mod config;
mod halves;
mod output;
mod peer;
mod saying;
mod unread;
pub mod wire;

use std::{
    collections::{BTreeMap, VecDeque},
    ops::RangeInclusive,
    time::Duration,
};

use bytes::Bytes;

pub use self::{
    config::RelayConfig,
    output::{NotOpened, NotSent, RelayEnd, RelayOutput},
    wire::Role,
};
use self::{
    halves::{Place, Receiving, Sending},
    peer::{Peer, Piece, Queued},
    unread::Unread,
    wire::{Address, Item, Why},
};
use crate::id::Instance;

/// Time that passes between two ticks at most: what was slept through is nobody's silence.
const TICK_MAX: Duration = Duration::from_secs(1);

/// A relay, as its node names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayKey {
    /// The other node.
    pub peer: Instance,
    /// What this node is to it.
    pub role: Role,
    /// The carrier's number for it.
    pub relay: u64,
}

/// All relays of a node.
///
/// ```
/// use std::time::Duration;
/// use lapwing_cluster::{Instance, relay::{RelayConfig, RelayEnd, RelayOutput, Relays}};
///
/// let (mut carrier, mut owner) = (Relays::new(RelayConfig::default()), Relays::new(RelayConfig::default()));
/// carrier.handle_up();
/// owner.handle_up();
/// let relay = carrier.open(Instance(2), "GET /".into()).unwrap();
/// let (to, message) = carrier.poll_message().unwrap();
/// assert_eq!(to, Instance(2));
///
/// owner.handle_message(Instance(1), &message);
/// let Some(RelayOutput::Opened(request, head)) = owner.poll_output() else { panic!() };
/// assert_eq!(head, "GET /");
/// owner.send(request, "200".into()).unwrap();
/// owner.finish(request).unwrap();
/// while let Some((_, message)) = owner.poll_message() {
///     carrier.handle_message(Instance(2), &message);
/// }
/// assert_eq!(carrier.poll_output(), Some(RelayOutput::Data(relay, "200".into())));
/// assert_eq!(carrier.poll_output(), Some(RelayOutput::Ended(relay, RelayEnd::Done)));
/// ```
#[derive(Debug)]
pub struct Relays {
    config: RelayConfig,
    is_up: bool,
    /// Time for which the engine was up.
    time: Duration,
    ticked: Option<Duration>,
    relays: BTreeMap<RelayKey, Relay>,
    peers: BTreeMap<Instance, Peer>,
    /// Peers that something is to be said to, each once.
    ready: VecDeque<Instance>,
    outputs: VecDeque<RelayOutput>,
    /// Those that are over, while the program has not used what came of them.
    unread: BTreeMap<RelayKey, Unread>,
    last_relay: u64,
    /// Places that are taken: of relays, and of those that are over until they are used or dropped.
    carried: usize,
    owned: usize,
    /// Bytes that came and were not used.
    held: usize,
    /// Those of them that the program was told to drop.
    dropped: usize,
    /// Those of them that it was told to drop since it was last heard from a peer.
    leaving: usize,
    unreadable: u64,
}

#[derive(Debug, Default)]
struct Relay {
    sending: Sending,
    receiving: Receiving,
    /// When the other side was last heard.
    heard: Duration,
    /// When it was last told where this side stands.
    told: Duration,
    /// Its program waits until the other side has used more.
    waits: bool,
}

impl RelayKey {
    fn address(self) -> Address {
        Address { sender: self.role, relay: self.relay }
    }

    fn all_with(peer: Instance) -> RangeInclusive<Self> {
        Self { peer, role: Role::Carrier, relay: 0 }..=Self { peer, role: Role::Owner, relay: u64::MAX }
    }
}

impl Relays {
    /// No relays, and an engine that is away.
    #[must_use]
    pub fn new(config: RelayConfig) -> Self {
        Self {
            config,
            is_up: false,
            time: Duration::ZERO,
            ticked: None,
            relays: BTreeMap::new(),
            peers: BTreeMap::new(),
            ready: VecDeque::new(),
            outputs: VecDeque::new(),
            unread: BTreeMap::new(),
            last_relay: 0,
            carried: 0,
            owned: 0,
            held: 0,
            dropped: 0,
            leaving: 0,
            unreadable: 0,
        }
    }

    /// The engine is there.
    pub fn handle_up(&mut self) {
        self.is_up = true;
    }

    /// The engine is away. What was under way may be lost, and no time passes.
    pub fn handle_down(&mut self) {
        self.is_up = false;
    }

    /// Time has passed; call it ten times a second. `now` is the time since any moment.
    pub fn handle_tick(&mut self, now: Duration) {
        let passed = self.ticked.map_or(Duration::ZERO, |before| now.saturating_sub(before));
        self.ticked = Some(now);
        if !self.is_up {
            return;
        }
        self.time += passed.min(TICK_MAX);
        let (time, config) = (self.time, &self.config);
        let (mut lost, mut due) = (Vec::new(), Vec::new());
        for (key, relay) in &self.relays {
            let silence = time - relay.told;
            if relay.sending.is_overdue(time, config.ack_timeout)
                || (key.role == Role::Owner
                    && relay.sending.is_stuck(time, config.room_timeout, config.window_bytes))
                || time - relay.heard >= config.silence_max
            {
                lost.push(*key);
            } else if silence >= config.say_every
                || relay.receiving.is_ack_due() && silence >= config.ack_every
            {
                due.push(*key);
            }
        }
        for key in lost {
            self.lose(key);
        }
        for key in due {
            self.owe_ack(key);
        }
        // Whoever waits behind a relay that was cut is told here.
        let waited_for = self.peers.iter().filter(|(_, peer)| !peer.waiting.is_empty());
        for peer in waited_for.map(|(instance, _)| *instance).collect::<Vec<_>>() {
            self.tell_room(peer);
        }
    }

    /// A peer is dead, or has departed: so are all relays with it.
    pub fn handle_gone(&mut self, peer: Instance) {
        let keys: Vec<RelayKey> = self.relays.range(RelayKey::all_with(peer)).map(|(key, _)| *key).collect();
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.clear();
        }
        for key in keys {
            self.remove(key);
            self.outputs.push_back(RelayOutput::Ended(key, RelayEnd::Gone));
        }
    }

    /// A peer says something.
    pub fn handle_message(&mut self, from: Instance, message: &Bytes) {
        if self.enter(from).is_none() {
            return;
        }
        // What the program was told to drop before, and still has, counts.
        self.leaving = 0;
        for item in wire::items(message) {
            match item {
                Ok(Item::Open { relay, head }) => self.handle_open(from, relay, head),
                Ok(Item::Data { to, bytes }) => {
                    for (address, number) in to {
                        self.handle_piece(key_of(from, address), number, Some(bytes.clone()));
                    }
                }
                Ok(Item::End { address, number }) => self.handle_piece(key_of(from, address), number, None),
                Ok(Item::Ack { address, received, used }) => {
                    self.handle_ack(key_of(from, address), received, used);
                }
                Ok(Item::Cut { address, why }) => {
                    let key = key_of(from, address);
                    if self.remove(key) {
                        self.outputs.push_back(RelayOutput::Ended(key, RelayEnd::Cut(why)));
                    }
                }
                Err(_) => self.unreadable += 1,
            }
        }
        self.tell_room(from);
    }

    /// The program has used so many of the bytes that came for a relay, its head included, and whether it is over or not.
    pub fn handle_used(&mut self, key: RelayKey, bytes: usize) {
        let Some(relay) = self.relays.get_mut(&key) else { return self.handle_used_unread(key, bytes) };
        self.held -= relay.receiving.handle_used(bytes, self.time);
        // Soon enough that the other side does not have to wait for it.
        if relay.receiving.untold() >= self.config.window_bytes as u64 / 4 {
            self.owe_ack(key);
        }
    }

    /// Begins a relay to the node that has a session. There may be outputs behind it.
    ///
    /// # Errors
    /// See [`NotOpened`].
    pub fn open(&mut self, owner: Instance, head: Bytes) -> Result<RelayKey, NotOpened> {
        let RelayConfig { head_bytes_max, peer_bytes_max, .. } = self.config;
        if !self.is_up {
            return Err(NotOpened::Away);
        }
        if head.len() > head_bytes_max {
            return Err(NotOpened::TooLarge);
        }
        let has_room = self.enter(owner).is_some_and(|peer| peer.in_flight < peer_bytes_max);
        if !has_room || !self.make_place(Role::Carrier) {
            return Err(NotOpened::Full);
        }
        self.last_relay += 1;
        let key = RelayKey { peer: owner, role: Role::Carrier, relay: self.last_relay };
        let relay = Relay { heard: self.time, told: self.time, ..Relay::default() };
        self.relays.insert(key, relay);
        self.take_place(key);
        self.give(key, head.len(), Piece::Head(head));
        Ok(key)
    }

    /// Sends a piece to the other side. Returns whether the piece before it, for any relay with that peer, has the same bytes and still waits:
    /// a broadcast is on its way to many, and more of the same may follow.
    ///
    /// # Errors
    /// See [`NotSent`].
    pub fn send(&mut self, key: RelayKey, bytes: Bytes) -> Result<bool, NotSent> {
        if bytes.len() > self.config.piece_bytes_max {
            return Err(NotSent::TooLarge);
        }
        let Some(relay) = self.relays.get_mut(&key).filter(|relay| !relay.sending.is_finished) else {
            return Err(NotSent::Over);
        };
        let Some(peer) = self.peers.get_mut(&key.peer) else { return Err(NotSent::Over) };
        if relay.sending.unused() >= self.config.window_bytes {
            relay.sending.handle_full(self.time);
            relay.waits = true;
            return Err(NotSent::Full);
        }
        if peer.in_flight >= self.config.peer_bytes_max {
            peer.waiting.insert(key);
            return Err(NotSent::Full);
        }
        let is_repeated = peer.repeats(&bytes);
        self.give(key, bytes.len(), Piece::Bytes(bytes));
        Ok(is_repeated)
    }

    /// Sends the last piece. With the owner's the relay is over, as soon as the carrier has it.
    ///
    /// # Errors
    /// [`NotSent::Over`].
    pub fn finish(&mut self, key: RelayKey) -> Result<(), NotSent> {
        let relay = self.relays.get_mut(&key).filter(|relay| !relay.sending.is_finished);
        let Some(relay) = relay else { return Err(NotSent::Over) };
        relay.sending.is_finished = true;
        self.give(key, 0, Piece::End);
        Ok(())
    }

    /// Ends a relay, if it is not over: nobody wants it any more. The program has nothing of it, and hears of it no more.
    pub fn cut(&mut self, key: RelayKey) {
        if self.remove(key) {
            self.push_control(key.peer, Item::Cut { address: key.address(), why: Why::GivenUp });
        }
        self.forget_unread(key);
    }

    /// The next message, and for whom; none while the engine is away. Ask when the engine takes one, and not sooner: what gathers until then is in
    /// one message.
    pub fn poll_message(&mut self) -> Option<(Instance, Bytes)> {
        if !self.is_up {
            return None;
        }
        while let Some(to) = self.ready.pop_front() {
            let Some(peer) = self.peers.get_mut(&to) else { continue };
            peer.is_ready = false;
            if !peer.has_something() {
                continue;
            }
            let message = self.message(to);
            self.make_ready(to);
            return Some((to, message));
        }
        None
    }

    /// Whether [`poll_message`](Self::poll_message) has something.
    #[must_use]
    pub fn has_something(&self) -> bool {
        self.is_up && !self.ready.is_empty()
    }

    /// For how many peers [`poll_message`](Self::poll_message) has something. It is one less behind a message, unless more waits for that peer
    /// than a message holds.
    #[must_use]
    pub fn ready(&self) -> usize {
        if self.is_up { self.ready.len() } else { 0 }
    }

    /// What the program is to know next.
    pub fn poll_output(&mut self) -> Option<RelayOutput> {
        self.outputs.pop_front()
    }

    /// How many relays there are, carried and owned. Those that are over count until the program has used what came of them, or is to drop it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.carried + self.owned
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.relays.is_empty() && self.unread.is_empty()
    }

    /// How many of them this node carries.
    #[must_use]
    pub fn carried(&self) -> usize {
        self.carried
    }

    /// Bytes that were given for a peer and of which it has not said that they came there.
    #[must_use]
    pub fn in_flight(&self, peer: Instance) -> usize {
        self.peers.get(&peer).map_or(0, |peer| peer.in_flight)
    }

    /// Bytes that came and that the program has not used, of relays that are over, too.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Messages that could not be read, or not to their end.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }
}

impl Relays {
    fn handle_open(&mut self, from: Instance, number: u64, head: Bytes) {
        let key = RelayKey { peer: from, role: Role::Owner, relay: number };
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if number <= peer.opened || self.unread.contains_key(&key) {
            // One that was overtaken does not begin: it could not be told from one that was, and is over.
            if !self.relays.contains_key(&key) {
                self.push_control(from, Item::Cut { address: key.address(), why: Why::Lost });
            }
            return;
        }
        peer.opened = number;
        let is_small = head.len() <= self.config.head_bytes_max;
        if !is_small || !self.make_place(Role::Owner) || !self.make_room(head.len()) {
            return self.push_control(from, Item::Cut { address: key.address(), why: Why::Busy });
        }
        let mut relay = Relay { heard: self.time, told: self.time, ..Relay::default() };
        relay.receiving.handle_next(head.len(), self.time);
        self.held += head.len();
        self.relays.insert(key, relay);
        self.take_place(key);
        self.handle_came(from, head.len());
        self.outputs.push_back(RelayOutput::Opened(key, head));
    }

    /// A piece came; the last one has no bytes.
    fn handle_piece(&mut self, key: RelayKey, number: u64, bytes: Option<Bytes>) {
        let Some(relay) = self.relays.get(&key) else {
            return self.push_control(key.peer, Item::Cut { address: key.address(), why: Why::Lost });
        };
        let len = bytes.as_ref().map_or(0, Bytes::len);
        let RelayConfig { window_bytes, piece_bytes_max, .. } = self.config;
        match relay.receiving.place(number) {
            Place::Again => return,
            Place::Wrong => return self.lose(key),
            // It sends more than it may, or all do together.
            Place::Next if relay.receiving.held() + len > window_bytes + piece_bytes_max => {
                return self.lose(key);
            }
            Place::Next if !self.make_room(len) => return self.lose(key),
            Place::Next => {}
        }
        // It may be the one that had to go.
        let Some(relay) = self.relays.get_mut(&key) else { return };
        relay.receiving.handle_next(len, self.time);
        relay.heard = self.time;
        self.held += len;
        self.handle_came(key.peer, len);
        let Some(bytes) = bytes else { return self.handle_end(key) };
        self.outputs.push_back(RelayOutput::Data(key, bytes));
    }

    /// The other side's last piece came.
    fn handle_end(&mut self, key: RelayKey) {
        let Some(relay) = self.relays.get_mut(&key) else { return };
        relay.receiving.is_finished = true;
        if key.role == Role::Owner {
            return self.outputs.push_back(RelayOutput::Finished(key));
        }
        let Receiving { taken: received, used, .. } = relay.receiving;
        self.remove(key);
        self.push_control(key.peer, Item::Ack { address: key.address(), received, used });
        self.outputs.push_back(RelayOutput::Ended(key, RelayEnd::Done));
    }

    fn handle_ack(&mut self, key: RelayKey, received: u64, used: u64) {
        let Some(relay) = self.relays.get_mut(&key) else {
            return self.push_control(key.peer, Item::Cut { address: key.address(), why: Why::Lost });
        };
        relay.heard = self.time;
        let arrived = relay.sending.handle_ack(received, used, self.time);
        let is_done = key.role == Role::Owner && relay.sending.is_done();
        let has_room = relay.sending.unused() < self.config.window_bytes;
        let is_waited_for = has_room && std::mem::take(&mut relay.waits);
        if let Some(peer) = self.peers.get_mut(&key.peer) {
            peer.in_flight -= arrived;
            if is_waited_for {
                // It is told at the end of the message, if there is room for the peer as well.
                peer.waiting.insert(key);
            }
        }
        if is_done {
            self.remove(key);
            self.outputs.push_back(RelayOutput::Ended(key, RelayEnd::Done));
        }
    }

    /// Queues a piece that has room.
    fn give(&mut self, key: RelayKey, bytes: usize, piece: Piece) {
        let (Some(relay), Some(peer)) = (self.relays.get_mut(&key), self.peers.get_mut(&key.peer)) else {
            return;
        };
        let number = relay.sending.push(bytes);
        peer.in_flight += bytes;
        peer.queue.push_back(Queued { key, number, piece });
        self.make_ready(key.peer);
    }

    /// The program and the other side hear that a relay is lost.
    fn lose(&mut self, key: RelayKey) {
        if self.remove(key) {
            self.push_control(key.peer, Item::Cut { address: key.address(), why: Why::Lost });
            self.outputs.push_back(RelayOutput::Ended(key, RelayEnd::Lost));
        }
    }

    /// Forgets a relay and what it has under way. What came of it stays until it is used. Returns whether there was one.
    fn remove(&mut self, key: RelayKey) -> bool {
        let Some(relay) = self.relays.remove(&key) else { return false };
        if let Some(peer) = self.peers.get_mut(&key.peer) {
            peer.in_flight -= relay.sending.in_flight();
            if relay.sending.sent < relay.sending.last {
                peer.forget(key);
            }
            peer.acks.remove(&key);
            peer.waiting.remove(&key);
        }
        self.keep_unread(key, relay.receiving);
        true
    }

    /// The state of a peer, made if there is room for it: another one is forgotten with which nothing is going on.
    fn enter(&mut self, peer: Instance) -> Option<&mut Peer> {
        if !self.peers.contains_key(&peer) && self.peers.len() >= self.config.peers_max {
            let has_relays =
                |instance: &Instance| self.relays.range(RelayKey::all_with(*instance)).next().is_some();
            let idle = self.peers.keys().find(|instance| !has_relays(instance)).copied()?;
            self.peers.remove(&idle);
            self.ready.retain(|ready| *ready != idle);
        }
        Some(self.peers.entry(peer).or_default())
    }
}

/// The relay that a peer speaks of.
fn key_of(from: Instance, address: Address) -> RelayKey {
    RelayKey { peer: from, role: address.sender.other(), relay: address.relay }
}

#[cfg(test)]
mod tests;
