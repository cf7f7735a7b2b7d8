//! What is known of the other replicas' lives, and what to ask whom.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::tag::{Clock, ReplicaId};

#[derive(Debug, Default)]
pub(super) struct Peers(BTreeMap<ReplicaId, Peer>);

/// Another replica.
#[derive(Debug)]
pub(super) struct Peer {
    /// When it last gave a sign of life.
    heard: Duration,
    /// The greatest clock that it is said to have reached.
    reached: Clock,
    /// Somebody else who has seen more of it than this node.
    relay: Option<ReplicaId>,
    /// Since when this node is behind that clock, if it is.
    behind: Option<Duration>,
    /// When the last request for it was sent, and how many were since the last answer.
    asked: Option<Duration>,
    attempts: u32,
    /// It is back from silence, and hidden until this node has seen it up to this clock.
    returning: Option<Clock>,
}

impl Peer {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            heard: now,
            reached: Clock::ZERO,
            relay: None,
            behind: None,
            asked: None,
            attempts: 0,
            returning: None,
        }
    }
}

impl Peers {
    pub(super) fn add(&mut self, id: ReplicaId, peer: Peer) {
        self.0.insert(id, peer);
    }

    pub(super) fn remove(&mut self, id: ReplicaId) {
        self.0.remove(&id);
    }

    /// Drops the earlier starts of the same node.
    pub(super) fn remove_superseded(&mut self, by: ReplicaId) {
        self.0.retain(|id, _| !by.supersedes(*id));
    }

    /// Notes a sign of life; `false` if the replica is not known.
    pub(super) fn hear(&mut self, now: Duration, id: ReplicaId) -> bool {
        let Some(peer) = self.0.get_mut(&id) else { return false };
        peer.heard = now;
        true
    }

    /// Notes that a hidden replica lives again.
    pub(super) fn returning(&mut self, id: ReplicaId, reached: Clock) {
        if let Some(peer) = self.0.get_mut(&id) {
            // The first clock counts: a busy replica would else be chased for ever.
            peer.returning.get_or_insert(reached);
        }
    }

    /// Notes that a replica is not on its way back any more.
    pub(super) fn returned(&mut self, id: ReplicaId) {
        if let Some(peer) = self.0.get_mut(&id) {
            peer.returning = None;
        }
    }

    /// Notes that somebody says that a replica has reached a clock, of which this node has seen `seen`.
    pub(super) fn advertise(
        &mut self,
        now: Duration,
        id: ReplicaId,
        reached: Clock,
        by: ReplicaId,
        seen: Option<Clock>,
    ) {
        let Some(peer) = self.0.get_mut(&id) else { return };
        peer.reached = peer.reached.max(reached);
        if by != id && Some(reached) > seen {
            peer.relay = Some(by);
        }
        peer.catch_up(seen);
        if seen < Some(peer.reached) {
            peer.behind.get_or_insert(now);
        }
    }

    /// Notes that a request was answered, and that a replica is now seen up to `seen`.
    pub(super) fn answered(&mut self, id: ReplicaId, seen: Option<Clock>) {
        let Some(peer) = self.0.get_mut(&id) else { return };
        (peer.asked, peer.attempts) = (None, 0);
        peer.catch_up(seen);
    }

    /// Chooses whom to ask for the replicas in `lacking`, and notes that they are asked, unless they were
    /// within `retry`. Every second attempt goes to somebody else who has seen more.
    pub(super) fn sources(
        &mut self,
        now: Duration,
        retry: Duration,
        lacking: &[ReplicaId],
    ) -> BTreeMap<ReplicaId, Vec<ReplicaId>> {
        let mut sources: BTreeMap<ReplicaId, Vec<ReplicaId>> = BTreeMap::new();
        for id in lacking {
            let Some(peer) = self.0.get_mut(id) else { continue };
            if peer.asked.is_some_and(|asked| now < asked + retry) {
                continue;
            }
            let source = peer.relay.filter(|_| peer.attempts % 2 == 1).unwrap_or(*id);
            (peer.asked, peer.attempts) = (Some(now), peer.attempts.wrapping_add(1));
            sources.entry(source).or_default().push(*id);
        }
        sources
    }

    /// Those of which this node has been behind for `patience`, which spares a request when the change itself
    /// was only a little later than the news of it.
    pub(super) fn lacking(&self, now: Duration, patience: Duration) -> Vec<ReplicaId> {
        self.pick(|peer| peer.behind.is_some_and(|since| now >= since + patience))
    }

    /// Those that gave no sign of life for `silence`.
    pub(super) fn silent(&self, now: Duration, silence: Duration) -> Vec<ReplicaId> {
        self.pick(|peer| now >= peer.heard + silence)
    }

    pub(super) fn all_returning(&self) -> Vec<(ReplicaId, Clock)> {
        self.0.iter().filter_map(|(id, peer)| Some((*id, peer.returning?))).collect()
    }

    fn pick(&self, wanted: impl Fn(&Peer) -> bool) -> Vec<ReplicaId> {
        self.0.iter().filter(|(_, peer)| wanted(peer)).map(|(id, _)| *id).collect()
    }
}

impl Peer {
    fn catch_up(&mut self, seen: Option<Clock>) {
        if seen >= Some(self.reached) {
            (self.behind, self.relay, self.attempts) = (None, None, 0);
        }
    }
}
