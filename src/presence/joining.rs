//! The first moments of a node in a cluster: who asks who is present waits until this node knows it of the others.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use lapwing_presence::Replica;

use super::{
    Request,
    others::{Others, replica_of},
};

/// For how long nobody is answered at most: half of what phoenix.js waits for an answer. An engine that is away for longer is not waited for.
const TIME_MAX: Duration = Duration::from_secs(5);

pub(super) struct Joining {
    began: Instant,
    /// Whether all nodes that live were told of.
    is_settled: Arc<AtomicBool>,
    /// Those that were.
    peers: BTreeSet<u64>,
    early: Vec<Request>,
    /// More are answered with what is known.
    early_max: usize,
}

impl Joining {
    pub(super) fn new(others: &Others, early_max: usize) -> Self {
        Self {
            began: Instant::now(),
            is_settled: others.is_settled.clone(),
            peers: BTreeSet::new(),
            early: Vec::new(),
            early_max,
        }
    }

    /// Keeps a request that asks who is present, and gives back any other.
    pub(super) fn put_off(&mut self, request: Request) -> Option<Request> {
        let asks = matches!(
            request,
            Request::List { .. }
                | Request::Show { .. }
                | Request::Entries { .. }
                | Request::Get { .. }
                | Request::Count { .. }
        );
        if !asks || self.early.len() >= self.early_max {
            return Some(request);
        }
        self.early.push(request);
        None
    }

    /// A node is there.
    pub(super) fn add(&mut self, node: u64) {
        self.peers.insert(node);
    }

    /// A node is gone.
    pub(super) fn forget(&mut self, node: u64) {
        self.peers.remove(&node);
    }

    /// Whether all nodes that live were told of: what was told until now is to be looked at after that.
    pub(super) fn is_settled(&self) -> bool {
        self.is_settled.load(Ordering::Acquire)
    }

    /// Whether everything is known, or it takes too long.
    pub(super) fn is_over(&self, replica: &Replica, is_settled: bool) -> bool {
        let is_known = |node: &u64| replica.presences().clock(replica_of(*node)).is_some();
        let is_in_step = is_settled && self.peers.iter().all(is_known) && !replica.is_behind();
        is_in_step || self.began.elapsed() >= TIME_MAX
    }

    /// The requests that were put off, in order.
    pub(super) fn into_early(self) -> Vec<Request> {
        self.early
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use lapwing_presence::{Message, Owner, ReplicaConfig};

    use super::*;
    use crate::{
        presence::{PresenceOptions, Tracker, chunks},
        topic::Topic,
    };

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A node that is in a cluster, and the pieces that another one says: that it lives, and with whom.
    fn node(options: PresenceOptions) -> (Tracker, Message) {
        let tracker = Tracker::new(options, Arc::new(|_| {}), None);
        tracker.set_others(1, Arc::new(|_, _| {}));
        let mut other = Replica::new(replica_of(2), ReplicaConfig::default(), Duration::ZERO).unwrap();
        other.presences_mut().track("room", "ada", Owner(1), b"{}").unwrap();
        other.handle_timeout(Duration::ZERO);
        (tracker, other.poll_transmit().unwrap().message)
    }

    fn say(tracker: &Tracker, message: &Message) {
        chunks::cut(1, &message.encode()).unwrap().into_iter().for_each(|piece| tracker.hear(2, piece));
    }

    async fn in_time<T>(answer: impl Future<Output = T>) -> T {
        tokio::time::timeout(PATIENCE, answer).await.unwrap()
    }

    #[tokio::test]
    async fn who_asks_waits_until_each_node_has_said_who_is_there() {
        let (tracker, message) = node(PresenceOptions::default());
        let topic = Topic::from("room");
        let count = tracker.count(&topic);
        tracker.handle_peer(2);
        tracker.handle_settled();
        let list = tracker.list(&topic, None);
        say(&tracker, &message);
        assert_eq!(in_time(count.answered()).await.unwrap().keys, 1);
        let list = in_time(list).await.unwrap();
        assert!(list.parse::<serde_json::Value>().unwrap()["ada"].is_object());
        tracker.stop().await;
    }

    #[tokio::test]
    async fn a_node_that_is_gone_is_not_waited_for() {
        let (tracker, _) = node(PresenceOptions::default());
        tracker.handle_peer(2);
        let count = tracker.count(&Topic::from("room"));
        tracker.handle_settled();
        tracker.handle_gone(crate::presence::Gone { node: 2, is_for_good: true });
        let began = Instant::now();
        assert_eq!(in_time(count.answered()).await.unwrap().keys, 0);
        assert!(began.elapsed() < TIME_MAX, "{:?}", began.elapsed());
        tracker.stop().await;
    }

    #[tokio::test]
    async fn what_a_node_said_before_it_was_gone_brings_nobody_back_when_it_comes_late() {
        let (tracker, message) = node(PresenceOptions::default());
        let topic = Topic::from("room");
        tracker.handle_peer(2);
        tracker.handle_settled();
        say(&tracker, &message);
        assert_eq!(in_time(tracker.count(&topic).answered()).await.unwrap().keys, 1);
        for _ in 0..2 {
            tracker.handle_gone(crate::presence::Gone { node: 2, is_for_good: false });
            let hidden = async { while tracker.count(&topic).answered().await.unwrap().keys > 0 {} };
            in_time(hidden).await;
            // The engine takes one after the other.
            say(&tracker, &message);
            assert_eq!(in_time(tracker.count(&topic).answered()).await.unwrap().keys, 0);
            // It is there again, and so is who is present on it.
            tracker.handle_peer(2);
            say(&tracker, &message);
            assert_eq!(in_time(tracker.count(&topic).answered()).await.unwrap().keys, 1);
        }
        tracker.stop().await;
    }

    #[tokio::test]
    async fn as_many_wait_as_may_and_as_long_as_they_may() {
        let (tracker, _) = node(PresenceOptions::default().queue_max(2));
        let topic = Topic::from("room");
        let began = Instant::now();
        // The first two are in the queue of the engine no more when the next ones are asked.
        let mut early = Vec::new();
        for _ in 0..2 {
            early.push(tracker.count(&topic));
            in_time(tracker.untrack(&topic, "eve", crate::topics::broadcast::ChannelId(1)).answered())
                .await
                .unwrap();
        }
        in_time(tracker.count(&topic).answered()).await.unwrap();
        let at_once = began.elapsed();
        for count in early {
            in_time(count.answered()).await.unwrap();
        }
        assert!(began.elapsed() >= TIME_MAX && at_once < TIME_MAX, "{at_once:?}");
        tracker.stop().await;
    }
}
