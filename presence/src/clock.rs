//! The clocks of all replicas, as far as a node has seen them.

use std::collections::BTreeMap;

use crate::tag::{Clock, ReplicaId};

/// The clocks that a node has seen: for each replica that it knows, up to which one.
///
/// A replica that is absent is one that the node does not know, and does not want to hear about.
///
/// # Examples
///
/// ```
/// use lapwing_presence::{Clock, Clocks, Config, Presences, ReplicaId};
///
/// let presences = Presences::new(ReplicaId::new(1, 1), Config::default());
/// let seen: Clocks = presences.clocks();
/// assert_eq!(seen.seen(ReplicaId::new(1, 1)), Some(Clock::ZERO));
/// assert_eq!(seen.seen(ReplicaId::new(2, 1)), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clocks(BTreeMap<ReplicaId, Clock>);

impl Clocks {
    /// Nothing known of anybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that `replica` is known, and seen up to `clock`; replaces what was noted before.
    pub fn set(&mut self, replica: ReplicaId, clock: Clock) {
        self.0.insert(replica, clock);
    }

    /// Up to where `replica` is seen, or `None` if it is not known.
    pub fn seen(&self, replica: ReplicaId) -> Option<Clock> {
        self.0.get(&replica).copied()
    }

    /// The replicas and their clocks, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (ReplicaId, Clock)> + '_ {
        self.0.iter().map(|(replica, clock)| (*replica, *clock))
    }

    /// Whether no replica is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many replicas are known.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<(ReplicaId, Clock)> for Clocks {
    fn from_iter<I: IntoIterator<Item = (ReplicaId, Clock)>>(clocks: I) -> Self {
        Self(clocks.into_iter().collect())
    }
}
