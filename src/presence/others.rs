//! What the engine says to the replicas of other nodes, and hears of them.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use lapwing_presence::{Config, Destination, Message, ReplicaConfig, ReplicaId, Transmit};
use tracing::debug;

use super::{
    chunks::{self, Missing},
    left::Left,
};
use crate::{
    occasionally::{Occasionally, occasionally},
    protocol::RawJson,
};

/// How long changes are gathered before the other nodes hear of them.
pub(super) const PERIOD: Duration = Duration::from_millis(250);

/// How long a node says nothing at most.
const SILENCE: Duration = Duration::from_secs(1);

/// After how much silence a node is hidden of which nobody said that it is gone: long after the cluster has.
const DOWN_AFTER: Duration = Duration::from_secs(60);

/// Nodes that are gone and remembered: as many as a cluster may have. What comes late is seconds late.
const GONE_MAX: usize = 256;

/// Of the log lines about states that are too large for other nodes.
static TOO_LARGE: Occasionally = Occasionally::new();

/// Sends a message to one node, or to all. It may be lost.
pub(crate) type SendTo = Arc<dyn Fn(Option<u64>, Bytes) + Send + Sync>;

/// The way to other nodes.
pub(crate) struct Others {
    /// The number of this node's start: no other has it, and none will.
    pub(super) node: u64,
    pub(super) send: SendTo,
    /// Whether anything comes and goes by it.
    pub(super) is_up: Arc<AtomicBool>,
    /// Whether all nodes that live were told of.
    pub(super) is_settled: Arc<AtomicBool>,
}

/// The engine's part of the conversation.
pub(super) struct Conversation {
    node: u64,
    send: SendTo,
    is_up: Arc<AtomicBool>,
    /// The time for which others could be heard: an outage, and a pause of this program, are no silence of theirs.
    now: Duration,
    looked: Instant,
    missing: Missing,
    /// The nodes that are gone, as the cluster says, the last ones. What they say is not taken in: it was said before, and comes late, and
    /// nobody would say once more that they are gone.
    gone: VecDeque<u64>,
    last_number: u64,
}

impl Conversation {
    pub(super) fn new(others: &Others) -> Self {
        Self {
            node: others.node,
            send: others.send.clone(),
            is_up: others.is_up.clone(),
            now: Duration::ZERO,
            looked: Instant::now(),
            missing: Missing::default(),
            gone: VecDeque::new(),
            last_number: 0,
        }
    }

    /// This node's replica. Whoever starts anew is another one: the cluster says which of them live.
    pub(super) fn id(&self) -> ReplicaId {
        replica_of(self.node)
    }

    pub(super) fn config(presences: Config) -> ReplicaConfig {
        ReplicaConfig::default()
            .presences(presences)
            .period(PERIOD)
            .silence_max(SILENCE)
            .down_after(DOWN_AFTER)
    }

    /// Whether it is of use to say anything, and the time.
    pub(super) fn look(&mut self) -> (bool, Duration) {
        let elapsed = self.looked.elapsed();
        self.looked += elapsed;
        let is_up = self.is_up.load(Ordering::Relaxed);
        if is_up {
            self.now += elapsed.min(2 * PERIOD);
        }
        (is_up, self.now)
    }

    /// When to look again.
    pub(super) fn next_look(&self) -> Instant {
        self.looked + PERIOD
    }

    pub(super) fn now(&self) -> Duration {
        self.now
    }

    pub(super) fn send(&mut self, transmit: &Transmit) {
        let to = match transmit.to {
            Destination::All => None,
            Destination::One(replica) => Some(replica.node()),
        };
        self.last_number += 1;
        match chunks::cut(self.last_number, &transmit.message.encode()) {
            Some(pieces) => pieces.into_iter().for_each(|piece| (self.send)(to, piece)),
            None => occasionally!(
                TOO_LARGE,
                error,
                "this node tracks more presences than other nodes can be told of"
            ),
        }
    }

    /// Tells a node of another one that has gone.
    pub(super) fn tell(&self, node: u64, left: Left) {
        (self.send)(Some(node), left.encode());
    }

    /// What a node said, if it is not gone, and what it said is whole and can be taken in.
    pub(super) fn hear(&mut self, node: u64, piece: &Bytes) -> Option<Message> {
        if self.is_gone(node) {
            return None;
        }
        let bytes = self.missing.take(node, piece)?;
        let message = match Message::decode(&bytes) {
            Ok(message) => message,
            Err(error) => {
                debug!(node, %error, "a message of presence that cannot be read");
                return None;
            }
        };
        let is_fit = message.sender() == replica_of(node) && message.metas().all(is_meta);
        if !is_fit {
            debug!(node, "a message of presence that is not its sender's, or has a meta that is none");
        }
        is_fit.then_some(message)
    }

    pub(super) fn is_gone(&self, node: u64) -> bool {
        self.gone.contains(&node)
    }

    /// The cluster says that a node is there.
    pub(super) fn add(&mut self, node: u64) {
        self.gone.retain(|gone| *gone != node);
    }

    /// The cluster says that a node is gone.
    pub(super) fn forget(&mut self, node: u64) {
        self.add(node);
        self.gone.push_back(node);
        if self.gone.len() > GONE_MAX {
            self.gone.pop_front();
        }
        self.missing.forget(node);
    }
}

pub(super) fn replica_of(node: u64) -> ReplicaId {
    ReplicaId::new(node, 0)
}

/// Whether clients can be given it.
fn is_meta(meta: &[u8]) -> bool {
    str::from_utf8(meta)
        .ok()
        .and_then(|meta| RawJson::new(meta).ok())
        .is_some_and(|json| json.is_object() && json.as_str().len() == meta.len())
}

#[cfg(test)]
mod tests {
    use lapwing_presence::Replica;

    use super::*;

    fn conversation() -> (Conversation, Arc<AtomicBool>) {
        let is_up = Arc::<AtomicBool>::default();
        let others =
            Others { node: 1, send: Arc::new(|_, _| {}), is_up: is_up.clone(), is_settled: Arc::default() };
        (Conversation::new(&others), is_up)
    }

    #[test]
    fn neither_an_outage_nor_a_pause_is_a_silence_of_others() {
        let (mut conversation, is_up) = conversation();
        let hour = Duration::from_secs(3_600);
        let after_an_hour = |conversation: &mut Conversation| {
            conversation.looked = conversation.looked.checked_sub(hour).unwrap();
            conversation.look()
        };
        assert_eq!(after_an_hour(&mut conversation), (false, Duration::ZERO));
        is_up.store(true, Ordering::Relaxed);
        assert_eq!(after_an_hour(&mut conversation), (true, 2 * PERIOD));
        assert!(2 * PERIOD < DOWN_AFTER);
    }

    #[test]
    fn of_the_nodes_that_are_gone_the_last_ones_are_known() {
        let (mut conversation, _) = conversation();
        let last = 2 + GONE_MAX as u64;
        (2..=last).for_each(|node| conversation.forget(node));
        conversation.forget(last);
        assert!(!conversation.is_gone(2));
        assert!((3..=last).all(|node| conversation.is_gone(node)));
        conversation.add(last);
        assert!(!conversation.is_gone(last) && conversation.is_gone(3));
    }

    #[test]
    fn what_is_not_its_senders_or_has_a_meta_that_is_none_is_not_taken_in() {
        let said = |node: u64, meta: &[u8]| {
            let config = Conversation::config(Config::default());
            let mut replica = Replica::new(replica_of(node), config, Duration::ZERO).unwrap();
            replica.presences_mut().track("room", "ada", lapwing_presence::Owner(1), meta).unwrap();
            replica.handle_timeout(Duration::ZERO);
            let message = replica.poll_transmit().unwrap().message.encode();
            chunks::cut(1, &message).unwrap().remove(0)
        };
        let (mut conversation, _) = conversation();
        assert!(conversation.hear(2, &said(2, b"{}")).is_some());
        assert!(conversation.hear(3, &said(2, b"{}")).is_none());
        for meta in [&b"[]"[..], b"{", b"", b" {}", b"{\"a\":\xff}"] {
            assert!(conversation.hear(2, &said(2, meta)).is_none(), "{meta:?}");
        }
    }
}
