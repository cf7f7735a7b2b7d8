//! Sessions whose streams come by way of other nodes, for whoever has them follow.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::live::{LiveSession, registry::Sought};

/// How many sessions wait for whoever has them follow. The rest are found by the next sweeps.
pub(crate) const STAYING_MAX: usize = 64;

/// A session, and the number of the node by which its stream comes.
pub(crate) type Stays<S> = (Arc<LiveSession<S>>, u64);

/// What the sweep finds of them.
#[derive(Debug)]
pub(crate) struct Found<S> {
    /// How long a stream has come by another node.
    after: Duration,
    /// The slot from which on the next sweep looks for them: each has its turn, however many there are that stay.
    from: AtomicU32,
    tx: mpsc::Sender<Stays<S>>,
    unheard: Mutex<Option<mpsc::Receiver<Stays<S>>>>,
}

impl<S> Found<S> {
    pub(crate) fn new(after: Duration) -> Self {
        let (tx, rx) = mpsc::channel(STAYING_MAX);
        Self { after, from: AtomicU32::new(0), tx, unheard: Mutex::new(Some(rx)) }
    }

    /// As many as there is room for.
    pub(crate) fn sought(&self) -> Sought {
        Sought { after: self.after, from: self.from.load(Ordering::Relaxed), count: self.tx.capacity() }
    }

    /// These were found.
    pub(crate) fn tell(&self, found: Vec<Stays<S>>, sought: Sought) {
        let from = match found.last() {
            _ if found.len() < sought.count => 0,
            Some((last, _)) => last.slot.get() + 1,
            None => sought.from,
        };
        self.from.store(from, Ordering::Relaxed);
        for stays in found {
            // There is room, as only the sweep tells. Where nobody hears it any more, nobody follows.
            let _ = self.tx.try_send(stays);
        }
    }

    /// Only once.
    pub(crate) fn hear(&self, stopped: &CancellationToken) -> Option<Staying<S>> {
        let rx = self.unheard.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Staying { rx, stopped: stopped.clone() })
    }
}

/// Sessions whose streams have come by way of another node for a while, one after the other; see
/// [`Endpoint::staying`](crate::endpoint::Endpoint::staying).
pub struct Staying<S> {
    rx: mpsc::Receiver<Stays<S>>,
    stopped: CancellationToken,
}

impl<S> Staying<S> {
    /// Waits for the next one, with the number of that node. `None` once the endpoint has stopped. Cancel safe.
    pub async fn next(&mut self) -> Option<(Arc<LiveSession<S>>, u64)> {
        loop {
            let (session, node) = self.stopped.run_until_cancelled(self.rx.recv()).await.flatten()?;
            // Its client may have come elsewhere since it was found.
            if session.core().comes_by(node) {
                return Some((session, node));
            }
        }
    }
}

impl<S> fmt::Debug for Staying<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staying").finish_non_exhaustive()
    }
}
