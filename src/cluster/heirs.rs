//! Which node has a session now whose token names another one.
//!
//! The node to which a session has gone tells all others, together with whatever else came at that time. A token names the new node as soon as its
//! client has come back there, so that nobody has to remember that for longer than a client may stay away.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use moka::{policy::EvictionPolicy, sync::Cache};

/// Sessions of which the node is remembered: 64 B each.
const SESSIONS_MAX: u64 = 262_144;

/// For how long. Longer than any client may stay away by default, and than a rolling restart of some nodes takes.
const REMEMBERED: Duration = Duration::from_secs(1_800);

/// Sessions in one message at most: 40 bytes each.
const TOLD_MAX: usize = 1_000;

/// A session as its token names it: the number of a node's start, and its own among that node's.
pub(crate) type SessionName = (u64, u64);

/// One that has moved, and how often; 0 where a node of an earlier release has said so.
pub(crate) type Moved = (SessionName, usize);

pub(crate) struct Heirs {
    known: Cache<SessionName, Heir>,
    /// Those that have come here, and that the others are not told of yet.
    untold: Mutex<Vec<Moved>>,
}

/// The node that has a session.
#[derive(Clone, Copy)]
struct Heir {
    node: u64,
    /// How often the session had moved when it came there.
    moves: usize,
}

impl Heirs {
    pub(crate) fn new() -> Self {
        let known = Cache::builder().max_capacity(SESSIONS_MAX).time_to_live(REMEMBERED);
        // The default would not take in what comes last, and those are the sessions whose clients are about to come.
        let known = known.eviction_policy(EvictionPolicy::lru()).build();
        Self { known, untold: Mutex::default() }
    }

    /// The node that has a session now; none if it is the one that its token names, as far as is known.
    pub(crate) fn of(&self, name: SessionName) -> Option<u64> {
        self.known.get(&name).map(|heir| heir.node)
    }

    /// Another node has these now, unless they have moved on since, as is known already.
    pub(crate) fn note(&self, names: impl IntoIterator<Item = Moved>, node: u64) {
        for (name, moves) in names {
            let is_old = moves > 0 && self.known.get(&name).is_some_and(|known| known.moves > moves);
            if !is_old {
                self.known.insert(name, Heir { node, moves });
            }
        }
    }

    /// This node has a session of these names now, and the others are to be told. Returns whether nobody is about to do so.
    pub(crate) fn add(&self, names: &[SessionName]) -> bool {
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = untold.is_empty();
        for name in names {
            self.known.invalidate(name);
            untold.push((*name, names.len()));
        }
        was_empty && !untold.is_empty()
    }

    /// What the others are to be told, in as many messages as it takes.
    pub(crate) fn take_untold(&self) -> Vec<Vec<Moved>> {
        let untold = std::mem::take(&mut *self.untold.lock().unwrap_or_else(PoisonError::into_inner));
        in_messages(&untold).collect()
    }
}

/// Sessions in as many messages as it takes.
pub(super) fn in_messages(names: &[Moved]) -> impl Iterator<Item = Vec<Moved>> {
    names.chunks(TOLD_MAX).map(<[_]>::to_vec)
}

impl fmt::Debug for Heirs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heirs").field("known", &self.known.entry_count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_node_that_has_a_session_counts() {
        let heirs = Heirs::new();
        assert_eq!(heirs.of((1, 7)), None);
        heirs.note([((1, 7), 1), ((1, 8), 1)], 2);
        heirs.note([((1, 7), 2), ((2, 3), 2)], 3);
        assert_eq!((heirs.of((1, 7)), heirs.of((1, 8))), (Some(3), Some(2)));
        heirs.note([((1, 7), 1), ((1, 8), 1)], 2);
        assert_eq!(heirs.of((1, 7)), Some(3), "it has moved on since then");
        heirs.note([((1, 7), 0)], 4);
        assert_eq!(heirs.of((1, 7)), Some(4), "an earlier release says nothing of that");
        assert!(heirs.add(&[(2, 3), (1, 7)]) && !heirs.add(&[(2, 1)]), "the second goes with the first");
        assert_eq!(heirs.of((1, 7)), None, "it is here now");
        assert_eq!(heirs.take_untold(), [[((2, 3), 2), ((1, 7), 2), ((2, 1), 1)]]);
        let many: Vec<_> = (0..1_500).map(|serial| (1, serial)).collect();
        assert!(heirs.take_untold().is_empty() && heirs.add(&many));
        assert_eq!(heirs.take_untold().iter().map(Vec::len).collect::<Vec<_>>(), [1_000, 500]);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let heirs = Heirs::new();
        for serial in 0..SESSIONS_MAX + 1_000 {
            heirs.note([((1, serial), 1)], 2);
        }
        heirs.known.run_pending_tasks();
        let known =
            |serials: std::ops::Range<u64>| serials.filter(|&serial| heirs.of((1, serial)).is_some()).count();
        assert_eq!((known(0..500), known(SESSIONS_MAX..SESSIONS_MAX + 1_000)), (0, 1_000));
    }
}
