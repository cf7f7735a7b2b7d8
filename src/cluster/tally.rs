//! What is counted of the store that keeps topics.

use std::sync::atomic::{AtomicU64, Ordering};

use lapwing_cluster_driver::store::Refused;

use super::info::{StoreGaps, StoreStats};

/// What happened since the node started.
#[derive(Debug, Default)]
pub(super) struct Tally {
    appended: AtomicU64,
    append_failures: AtomicU64,
    reads: AtomicU64,
    read_failures: AtomicU64,
    healed: AtomicU64,
    trimmed: AtomicU64,
    store_lost: AtomicU64,
}

impl Tally {
    /// The store has so many entries more of this node's.
    pub(super) fn appended(&self, entries: usize) {
        add(&self.appended, entries as u64);
    }

    pub(super) fn append_failed(&self) {
        add(&self.append_failures, 1);
    }

    /// A topic was read, or could not be.
    pub(super) fn read<T, E>(&self, read: &Result<T, E>) {
        add(if read.is_ok() { &self.reads } else { &self.read_failures }, 1);
    }

    /// Members were given so many entries that did not come by themselves.
    pub(super) fn healed(&self, entries: usize) {
        add(&self.healed, entries as u64);
    }

    /// Members of a topic were told that they missed something.
    pub(super) fn gap(&self, refused: Refused) {
        match refused {
            Refused::Trimmed => add(&self.trimmed, 1),
            Refused::Epoch => add(&self.store_lost, 1),
        }
    }

    /// All of it; beside it what waits for the store.
    pub(super) fn stats(&self, (waiting, waiting_bytes): (usize, usize)) -> StoreStats {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        StoreStats {
            appended: of(&self.appended),
            append_failures: of(&self.append_failures),
            waiting,
            waiting_bytes,
            reads: of(&self.reads),
            read_failures: of(&self.read_failures),
            healed: of(&self.healed),
            gaps: StoreGaps { trimmed: of(&self.trimmed), store_lost: of(&self.store_lost) },
        }
    }
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}
