//! Which channel of the engine carries what.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::id::Instance;

/// A channel of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Beats, presence and calls to all; every node is subscribed.
    Control,
    /// What is for one node alone.
    Node(Instance),
    /// Publications of the topics with one key.
    Topics(Key),
}

/// Stands for the topics that share a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u64);

/// How topics are spread over channels. All nodes of a cluster must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// So many channels, each for the topics that hash to it. Subscribed when the first topic needs it, and kept.
    Partitions(u16),
    /// A channel for each topic, given up some time after its last member left.
    Topics,
}

impl Default for Spread {
    /// 128 partitions: few enough to subscribe all of them in one command after an outage, enough to spread over shards of an
    /// engine later.
    fn default() -> Self {
        Self::Partitions(128)
    }
}

/// Hashes topic names, the same on all nodes of one application and unlike on others.
///
/// The key depends on the application's name, so that a client that chooses topic names cannot aim at one partition of all
/// installations.
#[derive(Clone, Copy, Debug)]
pub struct TopicHasher {
    seed: (u64, u64),
}

impl TopicHasher {
    /// The hasher of an application.
    #[must_use]
    pub fn new(app: &str) -> Self {
        let hash = |seed| {
            let mut hasher = SipHasher13::new_with_keys(seed, !seed);
            hasher.write(app.as_bytes());
            hasher.finish()
        };
        Self { seed: (hash(1), hash(2)) }
    }

    /// The key of a topic's channel.
    ///
    /// ```
    /// use lapwing_cluster::{Spread, TopicHasher};
    ///
    /// let hasher = TopicHasher::new("chat");
    /// assert!(hasher.key(Spread::Partitions(128), "room:1").0 < 128);
    /// assert_eq!(hasher.key(Spread::Topics, "room:1"), hasher.key(Spread::Topics, "room:1"));
    /// ```
    #[must_use]
    pub fn key(&self, spread: Spread, topic: &str) -> Key {
        let mut hasher = SipHasher13::new_with_keys(self.seed.0, self.seed.1);
        hasher.write(topic.as_bytes());
        let hash = hasher.finish();
        match spread {
            Spread::Partitions(count) => Key(hash % u64::from(count.max(1))),
            Spread::Topics => Key(hash),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn topics_are_spread_over_all_partitions_and_no_others() {
        let hasher = TopicHasher::new("chat");
        let keys = |count| -> BTreeSet<u64> {
            let key = |room| hasher.key(Spread::Partitions(count), &format!("room:{room}")).0;
            (0..1_000).map(key).collect()
        };
        assert_eq!(keys(8), (0..8).collect());
        assert_eq!((keys(1), keys(0)), ([0].into(), [0].into()), "none would be no channel");
        let own = (0..1_000).map(|room| hasher.key(Spread::Topics, &format!("room:{room}")).0);
        assert_eq!(own.collect::<BTreeSet<_>>().len(), 1_000);
    }

    #[test]
    fn another_application_spreads_them_in_another_way() {
        let keys = ["chat", "shop"].map(|app| TopicHasher::new(app).key(Spread::Topics, "room:1"));
        assert_ne!(keys[0], keys[1]);
    }
}
