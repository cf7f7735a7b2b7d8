//! When replicas talk, and what they say: heartbeats, transfers, silence and departure, without a network or
//! a clock.
//!
//! ```text
//!      every period with changes:            when the clocks show that something is lacking:
//!
//!   A ── heartbeat, clocks, delta ──▶ all    B ── transfer request, what B has seen ──▶ A
//!        (and one more without a delta,      B ◀── transfer: changes, or A's whole part ── A
//!         so that a lost delta is noticed)
//!   A ── heartbeat, clocks ──▶ all           and if A does not answer, the one who said
//!      at least every silence_max            that A is further along is asked instead
//! ```

mod config;
mod message;
mod peers;

use std::{collections::VecDeque, time::Duration};

use crate::{
    clock::Clocks,
    delta::Delta,
    diff::Diff,
    shards::Presences,
    tag::{Clock, ReplicaId},
};

use self::peers::{Peer, Peers};

pub use self::{
    config::{ReplicaConfig, ReplicaConfigError},
    message::{Destination, Message, Transmit},
};

/// [`Presences`] with the conversation that keeps them the same on all nodes.
///
/// It does nothing by itself. Give it each message that arrives ([`handle`](Self::handle)) and call
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says so; after both,
/// send what [`poll_transmit`](Self::poll_transmit) returns. Messages may be lost, repeated, delayed and
/// reordered.
///
/// Time is the duration since any moment that the caller chooses, and must not go back.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use lapwing_presence::{Owner, Replica, ReplicaConfig, ReplicaId};
///
/// let now = Duration::ZERO;
/// let mut ada = Replica::new(ReplicaId::new(1, 1), ReplicaConfig::default(), now)?;
/// let mut bob = Replica::new(ReplicaId::new(2, 1), ReplicaConfig::default(), now)?;
/// ada.presences_mut().track("room", "ada", Owner(7), b"{}")?;
///
/// ada.handle_timeout(now);
/// let transmit = ada.poll_transmit().expect("a new replica says at once that it is there");
/// let diff = bob.handle(now, transmit.message);
/// assert_eq!(diff.first_join().map(|entry| entry.key()), Some("ada"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Replica {
    presences: Presences,
    config: ReplicaConfig,
    peers: Peers,
    /// Messages that wait to be sent, each with the bytes that it takes, and their sum.
    transmits: VecDeque<(Transmit, usize)>,
    transmits_bytes: usize,
    next_tick: Duration,
    /// When the last heartbeat went out, and up to where it told of this node's changes.
    sent: Option<Duration>,
    told: Clock,
    /// Whether the last heartbeat had a delta: then another follows, so that whoever lost it notices.
    follow_up: bool,
    departed: bool,
}

impl Replica {
    /// A replica that knows nobody yet; its first heartbeat is due at once.
    ///
    /// # Errors
    ///
    /// If the durations contradict each other.
    pub fn new(id: ReplicaId, config: ReplicaConfig, now: Duration) -> Result<Self, ReplicaConfigError> {
        config.check()?;
        Ok(Self {
            presences: Presences::new(id, config.presences.clone()),
            peers: Peers::default(),
            transmits: VecDeque::new(),
            transmits_bytes: 0,
            next_tick: now,
            sent: None,
            told: Clock::ZERO,
            follow_up: false,
            departed: false,
            config,
        })
    }

    /// Takes in a message of any kind.
    pub fn handle(&mut self, now: Duration, message: Message) -> Diff {
        match message {
            Message::Heartbeat { from, clocks, delta } => self.handle_heartbeat(now, from, &clocks, &delta),
            Message::TransferRequest { from, seen } => {
                self.handle_transfer_request(now, from, &seen);
                Diff::new()
            }
            Message::Transfer { from, delta } => self.handle_transfer(now, from, &delta),
            Message::Departure { from } => self.handle_departure(from),
        }
    }

    /// Takes in a sign of life, which also says what the sender has seen and what it changed.
    ///
    /// A replica that comes back after it was down is shown when this node has caught up with it, not before:
    /// else those who left meanwhile would be seen to join and leave.
    pub fn handle_heartbeat(
        &mut self,
        now: Duration,
        from: ReplicaId,
        clocks: &Clocks,
        delta: &Delta,
    ) -> Diff {
        let reached = clocks.seen(from).unwrap_or_default();
        let Some(mut diff) = self.meet(now, from, reached) else { return Diff::new() };
        diff.absorb(self.presences.merge(delta));
        for (replica, clock) in clocks.iter() {
            let seen = self.presences.clock(replica);
            self.peers.advertise(now, replica, clock, from, seen);
        }
        diff.absorb(self.welcome());
        if self.presences.clock(from) < Some(reached) {
            self.ask(now, &[from]);
        }
        diff
    }

    /// Takes in a request: the answer is what the sender has not seen, if there is anything.
    pub fn handle_transfer_request(&mut self, now: Duration, from: ReplicaId, seen: &Clocks) {
        self.peers.hear(now, from);
        let delta = self.presences.extract(seen);
        if !delta.is_empty() {
            let message = Message::Transfer { from: self.presences.id(), delta };
            self.transmit(Destination::One(from), message);
        }
    }

    /// Takes in what was asked for.
    pub fn handle_transfer(&mut self, now: Duration, from: ReplicaId, delta: &Delta) -> Diff {
        self.peers.hear(now, from);
        let mut diff = self.presences.merge(delta);
        for part in &delta.parts {
            let seen = self.presences.clock(part.replica);
            self.peers.answered(part.replica, seen);
        }
        diff.absorb(self.welcome());
        diff
    }

    /// Takes in that a replica has ended.
    pub fn handle_departure(&mut self, from: ReplicaId) -> Diff {
        let diff = self.presences.replica_departed(from);
        self.peers.remove_superseded(from);
        self.peers.remove(from);
        diff
    }

    /// Does what is due: hides and forgets the silent, asks for what is lacking, and sends a heartbeat.
    pub fn handle_timeout(&mut self, now: Duration) -> Diff {
        if self.departed || now < self.next_tick {
            return Diff::new();
        }
        self.next_tick = now + self.config.period;
        let diff = self.expire(now);
        let patience = self.config.period;
        let lacking = self.peers.lacking(now, patience);
        self.ask(now, &lacking);
        self.beat(now);
        diff
    }

    /// Ends the replica: the others are told that it is gone, and will not take it back. Nothing else is sent
    /// after that.
    ///
    /// Without it the others see this node's presences until they notice the silence. That is what a rolling
    /// restart wants whose clients come back within [`down_after`](ReplicaConfig::down_after).
    pub fn depart(&mut self) {
        let message = Message::Departure { from: self.presences.id() };
        (self.transmits, self.transmits_bytes) = (VecDeque::new(), 0);
        self.transmit(Destination::All, message);
        self.departed = true;
    }

    /// Sends a replica all that is here of another one that it has never heard of: of one that has gone, and whose presences are to stay for a while.
    /// It is taken in where [`replica_up`](Presences::replica_up) has said that the other one is to be shown.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use lapwing_presence::{Owner, Replica, ReplicaConfig, ReplicaId};
    ///
    /// let [gone, stays, comes] = [1, 2, 3].map(|node| ReplicaId::new(node, 0));
    /// let start = |id| Replica::new(id, ReplicaConfig::default(), Duration::ZERO);
    /// let (mut one, mut two, mut three) = (start(gone)?, start(stays)?, start(comes)?);
    /// one.presences_mut().track("room", "ada", Owner(7), b"{}")?;
    /// two.presences_mut().replica_up(gone)?;
    /// let all = one.presences().extract(&two.presences().clocks());
    /// two.presences_mut().merge(&all);
    ///
    /// three.presences_mut().replica_up(gone)?;
    /// two.hand_on(gone, comes);
    /// let diff = three.handle(Duration::ZERO, two.poll_transmit().unwrap().message);
    /// assert_eq!(diff.first_join().unwrap().key(), "ada");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hand_on(&mut self, of: ReplicaId, to: ReplicaId) {
        let delta = self.presences.extract_whole(of);
        if !delta.is_empty() {
            let message = Message::Transfer { from: self.presences.id(), delta };
            self.transmit(Destination::One(to), message);
        }
    }

    /// The presences, to change what this node tracks.
    ///
    /// The others hear of it with the next heartbeat, at most one [`period`](ReplicaConfig::period) later.
    pub fn presences_mut(&mut self) -> &mut Presences {
        &mut self.presences
    }

    /// The presences.
    pub fn presences(&self) -> &Presences {
        &self.presences
    }

    /// Whether another replica is known to have made changes that this one lacks.
    pub fn is_behind(&self) -> bool {
        self.peers.any_behind()
    }

    /// Returns the next message to send, if there is one.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let (transmit, bytes) = self.transmits.pop_front()?;
        self.transmits_bytes -= bytes;
        Some(transmit)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` after [`depart`](Self::depart).
    pub fn poll_timeout(&self) -> Option<Duration> {
        (!self.departed).then_some(self.next_tick)
    }

    /// Notes that a replica lives, and has made changes up to `reached`. `None` if it is not to be listened
    /// to.
    fn meet(&mut self, now: Duration, from: ReplicaId, reached: Clock) -> Option<Diff> {
        if self.peers.hear(now, from) {
            if !self.presences.is_up(from) {
                self.peers.returning(from, reached);
            }
            return Some(Diff::new());
        }
        // A departed incarnation, or this node's own number: not a peer.
        let diff = self.presences.replica_up(from).ok()?;
        self.peers.remove_superseded(from);
        self.peers.add(from, Peer::new(now));
        // It shall know us now, not when our next heartbeat is due.
        let message = self.heartbeat(Delta::default());
        self.transmit(Destination::One(from), message);
        Some(diff)
    }

    /// Shows those that came back and that this node has caught up with.
    fn welcome(&mut self) -> Diff {
        let mut diff = Diff::new();
        for (replica, reached) in self.peers.all_returning() {
            if self.presences.clock(replica) >= Some(reached) {
                self.peers.returned(replica);
                // A known replica is not refused.
                diff.absorb(self.presences.replica_up(replica).unwrap_or_default());
            }
        }
        diff
    }

    fn expire(&mut self, now: Duration) -> Diff {
        let mut diff = Diff::new();
        for replica in self.peers.silent(now, self.config.forget_after) {
            diff.absorb(self.presences.replica_forgotten(replica));
            self.peers.remove(replica);
        }
        for replica in self.peers.silent(now, self.config.down_after) {
            diff.absorb(self.presences.replica_down(replica));
            self.peers.returned(replica);
        }
        diff
    }

    /// Requests what is lacking of some replicas, unless it was just requested.
    fn ask(&mut self, now: Duration, lacking: &[ReplicaId]) {
        let retry = self.config.period * 2;
        for (source, replicas) in self.peers.sources(now, retry, lacking) {
            let seen = replicas
                .into_iter()
                .filter_map(|replica| Some((replica, self.presences.clock(replica)?)))
                .collect();
            let message = Message::TransferRequest { from: self.presences.id(), seen };
            self.transmit(Destination::One(source), message);
        }
    }

    fn beat(&mut self, now: Duration) {
        let id = self.presences.id();
        let clock = self.presences.clock(id).unwrap_or_default();
        let changed = clock > self.told;
        let silent = self.sent.is_none_or(|sent| now >= sent + self.config.silence_max);
        if !changed && !silent && !self.follow_up {
            return;
        }
        let delta = self.presences.extract(&[(id, self.told)].into_iter().collect());
        // More changed than is remembered: a whole part is for those who ask, not for all.
        let delta = if delta.has_whole() { Delta::default() } else { delta };
        self.follow_up = changed;
        (self.told, self.sent) = (clock, Some(now));
        let message = self.heartbeat(delta);
        self.transmit(Destination::All, message);
    }

    fn heartbeat(&self, delta: Delta) -> Message {
        Message::Heartbeat { from: self.presences.id(), clocks: self.presences.clocks(), delta }
    }

    fn transmit(&mut self, to: Destination, message: Message) {
        if self.departed {
            return;
        }
        let bytes = message.bytes();
        self.transmits_bytes += bytes;
        self.transmits.push_back((Transmit { to, message }, bytes));
        while self.transmits.len() > 1
            && (self.transmits.len() > self.config.transmits_max
                || self.transmits_bytes > self.config.transmits_bytes_max)
        {
            self.poll_transmit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag::Owner;

    #[test]
    fn as_many_bytes_wait_as_may_and_not_one_more() {
        let id = ReplicaId::new(1, 1);
        let nothing: Clocks = [(id, Clock::ZERO)].into_iter().collect();
        let waiting = |bytes_max: usize| {
            let config = ReplicaConfig::default().transmits_bytes_max(bytes_max);
            let mut replica = Replica::new(id, config, Duration::ZERO).unwrap();
            replica.presences_mut().track("room", "ada", Owner(1), b"{}").unwrap();
            (0..3).for_each(|_| replica.handle_transfer_request(Duration::ZERO, id, &nothing));
            (replica.transmits.len(), replica.transmits_bytes)
        };
        let (three, bytes) = waiting(usize::MAX);
        assert_eq!((three, bytes % 3), (3, 0));
        assert_eq!(waiting(bytes), (3, bytes));
        assert_eq!(waiting(bytes - 1), (2, bytes / 3 * 2));
        assert_eq!(waiting(0), (1, bytes / 3));
    }

    #[test]
    fn a_replica_is_behind_while_it_lacks_what_another_is_known_to_have() {
        let (id, now) = (ReplicaId::new(1, 1), Duration::ZERO);
        let mut ada = Replica::new(id, ReplicaConfig::default(), now).unwrap();
        let mut bob = Replica::new(ReplicaId::new(2, 1), ReplicaConfig::default(), now).unwrap();
        ada.presences_mut().track("room", "ada", Owner(1), b"{}").unwrap();
        assert!(!bob.is_behind());
        // What was changed is lost on the way.
        bob.handle_heartbeat(now, id, &ada.presences().clocks(), &Delta::default());
        assert!(bob.is_behind());
        bob.handle_transfer(now, id, &ada.presences().extract(&bob.presences().clocks()));
        assert!(!bob.is_behind());
    }
}
