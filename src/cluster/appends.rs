//! What is on its way to the store: in a queue with a bound, until the store has it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use lapwing_cluster::{Channel, Instance};
use lapwing_cluster_driver::store::{Append, Bounds, Store};
use tokio::{sync::Notify, time::sleep};

use super::tally::Tally;
use crate::occasionally::{Occasionally, occasionally};

/// What an entry takes beside its bytes and its topic.
const APPEND_BYTES: usize = 128;

/// Entries that are given to the store at once.
const BATCH_MAX: usize = 512;

/// Bytes of them.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// The first and the longest pause before the store is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Entries that the store does not have yet, or has not said that it has.
pub(super) struct Appends {
    publisher: Instance,
    bytes_max: usize,
    state: Mutex<State>,
    /// Something was added, or nobody adds anything any more.
    wake: Notify,
    /// The queue is empty.
    drained: Notify,
    is_up: AtomicBool,
    is_closed: AtomicBool,
    tally: Arc<Tally>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Append>,
    bytes: usize,
    last_number: u64,
}

/// As much waits as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Appends {
    pub(super) fn new(publisher: Instance, bytes_max: usize, tally: Arc<Tally>) -> Self {
        Self {
            publisher,
            bytes_max,
            state: Mutex::default(),
            wake: Notify::new(),
            drained: Notify::new(),
            is_up: AtomicBool::new(true),
            is_closed: AtomicBool::new(false),
            tally,
        }
    }

    /// Adds an entry, which `entry` makes of its number. Returns that.
    pub(super) fn push(
        &self,
        (topic, channel): (&str, Channel),
        bounds: Bounds,
        entry: impl FnOnce(u64) -> Bytes,
    ) -> Result<u64, Full> {
        let mut state = self.lock();
        let number = state.last_number + 1;
        let entry = entry(number);
        let bytes = APPEND_BYTES + topic.len() + entry.len();
        if state.bytes + bytes > self.bytes_max {
            return Err(Full);
        }
        state.last_number = number;
        state.bytes += bytes;
        let publisher = self.publisher;
        state.queue.push_back(Append { topic: topic.into(), channel, publisher, number, entry, bounds });
        drop(state);
        self.wake.notify_one();
        Ok(number)
    }

    /// How many wait, and their bytes.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let state = self.lock();
        (state.queue.len(), state.bytes)
    }

    /// The number of the first entry that the store is not known to have.
    pub(super) fn first_waiting(&self) -> Option<u64> {
        self.lock().queue.front().map(|append| append.number)
    }

    /// Whether the store took what it was given last.
    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    pub(super) fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::Relaxed);
    }

    /// Nothing is added any more: who gives them to the store ends when there are none.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Waits until the store has everything. Cancel safe.
    pub(super) async fn drained(&self) {
        loop {
            let drained = self.drained.notified();
            if self.lock().queue.is_empty() {
                return;
            }
            drained.await;
        }
    }

    /// Gives the entries to the store, in their order, until nothing is added any more. What it may have or not is given again before anything
    /// else.
    pub(super) async fn run(self: Arc<Self>, store: Arc<dyn Store>) {
        let refused = Occasionally::new();
        let mut pause = PAUSES.0;
        loop {
            let batch = self.batch();
            if batch.is_empty() {
                if self.is_closed.load(Ordering::Relaxed) {
                    return;
                }
                self.wake.notified().await;
                continue;
            }
            match store.append(&batch).await {
                Ok(()) => {
                    self.set_up(true);
                    self.tally.appended(batch.len());
                    self.remove(batch.len());
                    pause = PAUSES.0;
                }
                Err(error) => {
                    self.set_up(false);
                    self.tally.append_failed();
                    let cause =
                        std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    occasionally!(refused, warn, %error, cause, "broadcasts of kept topics wait");
                    if self.is_closed.load(Ordering::Relaxed) {
                        return;
                    }
                    sleep(pause).await;
                    pause = (2 * pause).min(PAUSES.1);
                }
            }
        }
    }

    /// The oldest that wait, as many as go at once.
    fn batch(&self) -> Vec<Append> {
        let mut bytes = 0;
        let state = self.lock();
        let fits = |append: &&Append| {
            let is_first = bytes == 0;
            bytes += APPEND_BYTES + append.entry.len();
            is_first || bytes <= BATCH_BYTES_MAX
        };
        state.queue.iter().take(BATCH_MAX).take_while(fits).cloned().collect()
    }

    fn remove(&self, count: usize) {
        let mut state = self.lock();
        for Append { topic, entry, .. } in state.queue.drain(..count).collect::<Vec<_>>() {
            state.bytes -= APPEND_BYTES + topic.len() + entry.len();
        }
        if state.queue.is_empty() {
            state.queue.shrink_to(BATCH_MAX);
            self.drained.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
