//! Sessions that have come from other nodes, by the names that those gave them; and sessions that have gone to other nodes, for a while.

use std::{collections::HashMap, sync::PoisonError, time::Duration};

use moka::{policy::EvictionPolicy, sync::Cache};

use super::baggage::Name;
use crate::{
    dialect::token::{Secret, Token},
    sync::{Mutex, MutexGuard},
};

/// Names of sessions that have gone to other nodes and are remembered. The oldest are forgotten first.
const GONE_MAX: u64 = 65_536;

/// Where to find live sessions that have come from other nodes. Live sessions bound it, with [`NAMES_MAX`](super::baggage::NAMES_MAX)
/// names each.
#[derive(Debug, Default)]
pub(crate) struct Foreign(Mutex<HashMap<(u64, u64), Place>>);

/// Where the registry has a session, and its number here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    secret: Secret,
    /// By how many names the session is known.
    names: usize,
    pub(crate) slot: u32,
    pub(crate) serial: u64,
}

impl Foreign {
    /// A session can be found by these names.
    pub(crate) fn add(&self, names: &[Name], slot: u32, serial: u64) {
        let mut places = self.places();
        for name in names {
            let place = Place { secret: name.token.secret, names: names.len(), slot, serial };
            places.insert(name.key(), place);
        }
    }

    /// The session with this number here cannot be found any more by these names, but for those that another one has by now.
    pub(crate) fn remove(&self, names: &[Name], serial: u64) {
        let mut places = self.places();
        for name in names {
            if places.get(&name.key()).is_some_and(|place| place.serial == serial) {
                places.remove(&name.key());
            }
        }
        if places.is_empty() {
            places.shrink_to_fit();
        }
    }

    /// Where the session is that a token of this node is for.
    pub(crate) fn find(&self, node: u64, token: &Token) -> Option<Place> {
        let place = *self.places().get(&(node, token.serial))?;
        place.secret.matches(&token.secret).then_some(place)
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.places().len()
    }

    /// The names of all of them, each with the number of names by which its session is known.
    pub(crate) fn keys(&self) -> Vec<((u64, u64), usize)> {
        self.places().iter().map(|(name, place)| (*name, place.names)).collect()
    }

    fn places(&self) -> MutexGuard<'_, HashMap<(u64, u64), Place>> {
        // Nothing under this lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The nodes to which sessions have gone, by their names. Losing an entry early is harmless: the client then hears "unknown", unless another node
/// knows better.
#[derive(Debug)]
pub(crate) struct Gone(Cache<(u64, u64), u64>);

impl Gone {
    /// As long as a client may be silent.
    pub(crate) fn new(window: Duration) -> Self {
        let gone = Cache::builder().max_capacity(GONE_MAX).time_to_live(window);
        // The default would not take in those that go last.
        Self(gone.eviction_policy(EvictionPolicy::lru()).build())
    }

    /// A session with these names has gone to that node.
    pub(crate) fn add(&self, names: &[Name], heir: u64) {
        for name in names {
            self.0.insert(name.key(), heir);
        }
    }

    /// It has come back.
    pub(crate) fn remove(&self, names: &[Name]) {
        for name in names {
            self.0.invalidate(&name.key());
        }
    }

    /// The node to which the session has gone.
    pub(crate) fn heir(&self, node: u64, serial: u64) -> Option<u64> {
        self.0.get(&(node, serial))
    }

    /// Gives back what was forgotten.
    pub(crate) fn sweep(&self) {
        self.0.run_pending_tasks();
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn those_that_went_first_are_forgotten() {
        let gone = Gone::new(Duration::from_secs(120));
        for serial in 0..GONE_MAX + 1_000 {
            gone.0.insert((1, serial), 2);
        }
        gone.sweep();
        let known =
            |serials: std::ops::Range<u64>| serials.filter(|&serial| gone.heir(1, serial).is_some()).count();
        assert_eq!((known(0..500), known(GONE_MAX..GONE_MAX + 1_000)), (0, 1_000));
    }
}
