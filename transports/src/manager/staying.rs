//! Sessions whose streams come by way of other nodes, for whoever has them follow.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::live::{LiveSession, registry::STAYING_MAX};

/// A session, and the number of the node by which its stream comes.
pub(crate) type Stays<S> = (Arc<LiveSession<S>>, u64);

/// What the sweep finds of them.
#[derive(Debug)]
pub(crate) struct Found<S> {
    /// How long a stream has come by another node.
    pub(crate) after: Duration,
    tx: mpsc::Sender<Stays<S>>,
    unheard: Mutex<Option<mpsc::Receiver<Stays<S>>>>,
}

impl<S> Found<S> {
    pub(crate) fn new(after: Duration) -> Self {
        // No more than one sweep finds. Those beyond it are found again when their time is over once more.
        let (tx, rx) = mpsc::channel(STAYING_MAX);
        Self { after, tx, unheard: Mutex::new(Some(rx)) }
    }

    pub(crate) fn tell(&self, stays: Stays<S>) {
        let _ = self.tx.try_send(stays);
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
        self.stopped.run_until_cancelled(self.rx.recv()).await.flatten()
    }
}

impl<S> fmt::Debug for Staying<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staying").finish_non_exhaustive()
    }
}
