//! Who was present on a node that goes down, and is expected on another one: what they have left stays for a while, and gives way to them when they
//! come back.
//!
//! ```text
//!   on the node that goes   a join ends ── kept ───────────────────────────▶ dropped: the same key came on another node, or the time is over
//!   on the others           the node says that it goes ── it has gone ─────▶ dropped: the same
//!   on one that comes       those say so, and what it has left ────────────▶ dropped: the same
//! ```

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    time::Duration,
};

use lapwing_presence::{Entry, Owner, Presences};

use super::{left::Left, others::replica_of};

/// Nodes that this one is told of by others: as many as a cluster may have.
const NODES_MAX: usize = 256;

/// What is left, as one node sees it. No more is in it than there are joins with presences and nodes.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    /// How long it stays.
    grace: Duration,
    /// Joins of this node, which goes down, and until when what they tracked stays, in order.
    owners: VecDeque<(Duration, Owner)>,
    ended: HashSet<Owner>,
    /// Other nodes that go; those that have gone have a time.
    nodes: BTreeMap<u64, Option<Duration>>,
}

impl Leaving {
    pub(super) fn new(grace: Duration) -> Self {
        Self { grace, ..Self::default() }
    }

    /// A join has ended as this node goes down. Returns whether what it tracked stays.
    pub(super) fn handle_end(&mut self, now: Duration, owner: Owner) -> bool {
        let stays = !self.grace.is_zero();
        if stays && self.ended.insert(owner) {
            self.owners.push_back((now + self.grace, owner));
        }
        stays
    }

    /// Another node says that it goes down.
    pub(super) fn handle_leaving(&mut self, node: u64) {
        if !self.grace.is_zero() {
            self.nodes.entry(node).or_default();
        }
    }

    /// Another node has gone, as it was meant to. Returns whether what is known of it stays.
    pub(super) fn handle_gone(&mut self, now: Duration, node: u64) -> bool {
        if self.grace.is_zero() {
            return false;
        }
        self.nodes.entry(node).or_default().get_or_insert(now + self.grace);
        true
    }

    /// Another node has gone before this one came, and what it has left stays for so long. Returns whether it does here, too.
    pub(super) fn handle_left(&mut self, now: Duration, node: u64, stays: Duration) -> bool {
        let is_new = !self.grace.is_zero() && self.nodes.len() < NODES_MAX && !self.nodes.contains_key(&node);
        if is_new {
            self.nodes.insert(node, Some(now + stays.min(self.grace)));
        }
        is_new
    }

    /// The nodes that have gone, for one that has not heard it.
    pub(super) fn left(&self, now: Duration) -> impl Iterator<Item = Left> {
        let gone = self.nodes.iter().filter_map(|(node, until)| Some((*node, (*until)?)));
        gone.map(move |(node, until)| Left { node, stays: until.saturating_sub(now) })
    }

    /// Another node has died: nobody is expected on its behalf.
    pub(super) fn forget(&mut self, node: u64) {
        self.nodes.remove(&node);
    }

    /// Whether nothing is left by anybody.
    pub(super) fn is_empty(&self) -> bool {
        self.owners.is_empty() && self.nodes.is_empty()
    }

    /// What somebody has left who is there again: of the entries with the key, one with the same meta if there is one. Each who comes takes the
    /// place of one, so that who was there twice is not gone when one of both is back.
    pub(super) fn left_by(&self, presences: &Presences, topic: &str, came: &Entry) -> Option<Entry> {
        // A new meta is not somebody who comes.
        if came.previous().is_some() || self.is_left(presences, came) {
            return None;
        }
        let left = || presences.get(topic, came.key()).filter(|entry| self.is_left(presences, entry));
        left().find(|entry| entry.meta() == came.meta()).or_else(|| left().next()).cloned()
    }

    fn is_left(&self, presences: &Presences, entry: &Entry) -> bool {
        let tag = entry.tag();
        (presences.id().wrote(tag) && self.ended.contains(&entry.owner()))
            || self.nodes.keys().any(|node| replica_of(*node).wrote(tag))
    }

    /// The joins whose time is over, and the nodes.
    pub(super) fn take_due(&mut self, now: Duration) -> (Vec<Owner>, Vec<u64>) {
        let due = self.owners.iter().take_while(|(until, _)| *until <= now).count();
        let owners: Vec<_> = self.owners.drain(..due).map(|(_, owner)| owner).collect();
        for owner in &owners {
            self.ended.remove(owner);
        }
        let is_due = |until: &Option<Duration>| until.is_some_and(|until| until <= now);
        let nodes: Vec<_> =
            self.nodes.iter().filter(|(_, until)| is_due(until)).map(|(node, _)| *node).collect();
        for node in &nodes {
            self.nodes.remove(node);
        }
        (owners, nodes)
    }
}

#[cfg(test)]
mod tests {
    use lapwing_presence::{Config, Replica, ReplicaConfig};
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        presence::{PresenceOptions, Tracker, chunks},
        protocol::Payload,
        topic::Topic,
        topics::broadcast::ChannelId,
    };

    /// What a node publishes that has heard of ada on another one, which may be about to go, when she comes here.
    async fn published_when_ada_comes(is_leaving: bool) -> Vec<String> {
        let (publish, published) = std::sync::mpsc::channel();
        let publish: crate::presence::Publish = std::sync::Arc::new(move |broadcast| {
            let text = broadcast.payload.as_json().map(|json| json.as_str().to_owned());
            publish.send(text.unwrap_or_default()).unwrap();
        });
        let tracker = Tracker::new(PresenceOptions::default(), publish, None);
        tracker.set_others(1, std::sync::Arc::new(|_, _| {}));
        let mut two = Replica::new(replica_of(2), ReplicaConfig::default(), Duration::ZERO).unwrap();
        two.presences_mut().track("room", "ada", Owner(1), b"{}").unwrap();
        two.handle_timeout(Duration::ZERO);
        let heartbeat = two.poll_transmit().unwrap().message.encode();
        chunks::cut(1, &heartbeat).unwrap().into_iter().for_each(|piece| tracker.hear(2, piece));
        let (topic, owner) = (Topic::from("room"), ChannelId(1));
        // Whatever was said before is done when this is.
        tracker.untrack(&topic, "nobody", owner).answered().await.unwrap();
        if is_leaving {
            tracker.handle_leaving(2);
        }
        tracker.track(&topic, "ada", owner, &Payload::from(json!({}))).answered().await.unwrap();
        tracker.untrack(&topic, "nobody", owner).answered().await.unwrap();
        tracker.stop().await;
        published.try_iter().collect()
    }

    #[tokio::test]
    async fn who_comes_back_is_told_as_one_change() {
        let diffs = published_when_ada_comes(true).await;
        assert_eq!(diffs.len(), 2, "{diffs:?}");
        let [joins, leaves]: [Value; 2] = {
            let diff: Value = serde_json::from_str(&diffs[1]).unwrap();
            [diff["joins"]["ada"].clone(), diff["leaves"]["ada"].clone()]
        };
        let before: Value = serde_json::from_str(&diffs[0]).unwrap();
        assert_eq!(leaves, before["joins"]["ada"]);
        assert!(joins.is_object() && joins != leaves, "{joins}");
        let diffs = published_when_ada_comes(false).await;
        assert!(diffs.len() == 2 && diffs[1].contains(r#""leaves":{}"#), "she is there twice: {diffs:?}");
    }

    const GRACE: Duration = Duration::from_secs(15);
    const NOW: Duration = Duration::from_secs(100);

    /// This node, 1, and what node 2 has told it.
    fn presences(of_two: &[(&str, u64, &[u8])]) -> Presences {
        let mut two = Presences::new(replica_of(2), Config::default());
        for (key, owner, meta) in of_two {
            two.track("room", key, Owner(*owner), meta).unwrap();
        }
        let mut one = Presences::new(replica_of(1), Config::default());
        one.replica_up(two.id()).unwrap();
        one.merge(&two.extract(&one.clocks()));
        one
    }

    fn left_by(leaving: &Leaving, presences: &mut Presences, key: &str, meta: &[u8]) -> Option<Entry> {
        let came = presences.track("room", key, Owner(9), meta).unwrap().first_join().unwrap().clone();
        let left = leaving.left_by(presences, "room", &came);
        presences.untrack_all(Owner(9));
        left
    }

    #[test]
    fn who_comes_takes_the_place_of_one_entry_with_the_key_that_a_node_that_goes_has_left() {
        let mut presences = presences(&[("ada", 1, b"{}"), ("ada", 2, b"[]"), ("bob", 3, b"{}")]);
        let mut leaving = Leaving::new(GRACE);
        assert!(leaving.is_empty() && left_by(&leaving, &mut presences, "ada", b"{}").is_none());
        leaving.handle_leaving(3);
        assert!(left_by(&leaving, &mut presences, "ada", b"{}").is_none(), "that one is not of it");
        leaving.handle_leaving(2);
        let owner = |left: Option<Entry>| left.map(|entry| entry.owner());
        assert_eq!(owner(left_by(&leaving, &mut presences, "ada", b"[]")), Some(Owner(2)));
        assert_eq!(owner(left_by(&leaving, &mut presences, "ada", b"{}")), Some(Owner(1)));
        assert!(owner(left_by(&leaving, &mut presences, "ada", b"other")).is_some());
        assert!(left_by(&leaving, &mut presences, "eve", b"{}").is_none());
        leaving.forget(2);
        assert!(left_by(&leaving, &mut presences, "ada", b"{}").is_none(), "nobody is expected for the dead");
    }

    #[test]
    fn a_new_meta_and_a_join_on_the_node_that_goes_take_nobodys_place() {
        let mut presences = presences(&[("ada", 1, b"{}"), ("ada", 2, b"{}")]);
        let mut leaving = Leaving::new(GRACE);
        leaving.handle_leaving(2);
        let there = presences.get("room", "ada").next().unwrap().clone();
        assert!(leaving.left_by(&presences, "room", &there).is_none());
        presences.track("room", "ada", Owner(9), b"{}").unwrap();
        let diff = presences.update("room", "ada", Owner(9), b"[]").unwrap();
        assert!(leaving.left_by(&presences, "room", diff.first_join().unwrap()).is_none());
    }

    #[test]
    fn what_ended_joins_of_this_node_have_left_gives_way_too_and_what_others_track_does_not() {
        let mut presences = presences(&[("ada", 5, b"{}")]);
        let came = presences.get("room", "ada").next().unwrap().clone();
        presences.track("room", "ada", Owner(7), b"{}").unwrap();
        let mut leaving = Leaving::new(GRACE);
        assert!(leaving.handle_end(NOW, Owner(8)));
        assert!(leaving.left_by(&presences, "room", &came).is_none());
        assert!(leaving.handle_end(NOW, Owner(7)));
        assert_eq!(leaving.left_by(&presences, "room", &came).unwrap().owner(), Owner(7));
    }

    #[test]
    fn each_stays_for_the_grace_and_no_longer() {
        let mut leaving = Leaving::new(GRACE);
        assert!(leaving.handle_end(NOW, Owner(1)) && leaving.handle_end(NOW + GRACE / 2, Owner(2)));
        // Said twice, it counts from the first time on.
        assert!(leaving.handle_end(NOW + GRACE, Owner(1)));
        leaving.handle_leaving(2);
        leaving.handle_leaving(3);
        assert!(leaving.handle_gone(NOW, 2) && leaving.handle_gone(NOW + GRACE, 2));
        assert_eq!(leaving.take_due(NOW + GRACE - Duration::from_millis(1)), (vec![], vec![]));
        assert_eq!(leaving.take_due(NOW + GRACE), (vec![Owner(1)], vec![2]));
        assert_eq!(leaving.take_due(NOW + GRACE * 2), (vec![Owner(2)], vec![]));
        assert!(!leaving.is_empty(), "a node that goes has not gone");
        leaving.forget(3);
        assert!(leaving.is_empty());
    }

    #[test]
    fn what_a_node_left_before_this_one_came_stays_as_long_as_elsewhere_and_no_longer_than_the_grace() {
        let mut leaving = Leaving::new(GRACE);
        assert!(leaving.handle_left(NOW, 2, GRACE / 3) && leaving.handle_left(NOW, 3, 3 * GRACE));
        assert!(!leaving.handle_left(NOW, 2, GRACE), "that is known");
        leaving.handle_leaving(4);
        let left = |at| leaving.left(at).map(|left| (left.node, left.stays)).collect::<Vec<_>>();
        assert_eq!(left(NOW), [(2, GRACE / 3), (3, GRACE)]);
        assert_eq!(left(NOW + GRACE / 3), [(2, Duration::ZERO), (3, GRACE * 2 / 3)]);
        assert_eq!(leaving.take_due(NOW + GRACE / 3), (vec![], vec![2]));
        assert_eq!(leaving.take_due(NOW + GRACE), (vec![], vec![3]));
    }

    #[test]
    fn this_node_is_told_of_no_more_nodes_than_a_cluster_may_have() {
        let mut leaving = Leaving::new(GRACE);
        let taken = (1..=300).filter(|node| leaving.handle_left(NOW, *node, GRACE)).count();
        assert_eq!(taken, NODES_MAX);
    }

    #[test]
    fn who_has_left_is_not_empty_with_ended_joins_alone() {
        let mut leaving = Leaving::new(GRACE);
        assert!(leaving.handle_end(NOW, Owner(1)) && !leaving.is_empty());
    }

    #[test]
    fn without_a_grace_nothing_stays() {
        let mut leaving = Leaving::new(Duration::ZERO);
        assert!(!leaving.handle_left(NOW, 3, GRACE));
        leaving.handle_leaving(2);
        assert!(!leaving.handle_end(NOW, Owner(1)) && !leaving.handle_gone(NOW, 2) && leaving.is_empty());
    }
}
