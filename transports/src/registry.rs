//! The live sessions of a mount: found by slot, counted, swept.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use slab::Slab;

use crate::{
    clock::Tick, close::CloseReason, connect::Transport, live::LiveSession, longpoll::poller::Poller,
};

/// How many sessions a sweep or a drain looks at before it lets go of the lock.
const CHUNK: usize = 1_024;

/// A table of live sessions. A cache would not do: a full cache may refuse or forget an entry.
#[derive(Debug)]
pub(crate) struct Registry<S> {
    entries: Mutex<Slab<Entry<S>>>,
    sessions_max: usize,
}

#[derive(Debug)]
struct Entry<S> {
    session: Arc<LiveSession<S>>,
    /// What a long-poll session has besides, for a WebSocket nothing.
    poller: Option<Arc<Poller>>,
}

/// The limits of silence that a sweep enforces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Silence of a WebSocket client.
    pub(crate) idle: Duration,
    /// Time for a closed WebSocket to write what is left.
    pub(crate) linger: Duration,
    /// Time without a poll.
    pub(crate) abandoned: Duration,
    /// The sweep's own period: stamps can be so much older than what they stamp.
    pub(crate) period: Duration,
}

impl<S> Registry<S> {
    pub(crate) fn new(sessions_max: usize) -> Self {
        Self { entries: Mutex::default(), sessions_max }
    }

    /// Takes a session in; gives it back when the table is full.
    pub(crate) fn insert(
        &self,
        session: LiveSession<S>,
        poller: Option<Arc<Poller>>,
    ) -> Result<Arc<LiveSession<S>>, LiveSession<S>> {
        let mut entries = self.entries();
        if entries.len() >= self.sessions_max {
            return Err(session);
        }
        let vacant = entries.vacant_entry();
        session.slot.store(vacant.key() as u32, Ordering::Relaxed);
        let session = Arc::new(session);
        vacant.insert(Entry { session: session.clone(), poller });
        Ok(session)
    }

    /// Takes a session out. Returns whether it was there: true exactly once per session.
    pub(crate) fn remove(&self, session: &Arc<LiveSession<S>>) -> bool {
        let mut entries = self.entries();
        let slot = session.slot.load(Ordering::Relaxed) as usize;
        let there = entries.get(slot).is_some_and(|entry| Arc::ptr_eq(&entry.session, session));
        if there {
            entries.remove(slot);
        }
        there
    }

    /// The long-poll session in a slot.
    pub(crate) fn longpoll(&self, slot: u32) -> Option<(Arc<LiveSession<S>>, Arc<Poller>)> {
        let entries = self.entries();
        let entry = entries.get(slot as usize)?;
        Some((entry.session.clone(), entry.poller.clone()?))
    }

    pub(crate) fn len(&self) -> usize {
        self.entries().len()
    }

    /// How many sessions came by a wire.
    pub(crate) fn count(&self, transport: Transport) -> usize {
        self.entries().iter().filter(|(_, entry)| entry.session.transport() == transport).count()
    }

    /// Closes sessions that were silent for too long, tells lingering connections that their time is over, and
    /// returns the long-poll sessions that have ended and that no poll will finish.
    pub(crate) fn sweep(&self, now: Tick, patience: Patience) -> Vec<Arc<LiveSession<S>>> {
        let mut ended = Vec::new();
        self.for_each_chunked(|entry| match entry.session.transport() {
            Transport::Websocket => sweep_websocket(&entry.session, now, patience),
            Transport::Longpoll => {
                if now.since(entry.session.last_seen()) >= patience.abandoned + patience.period {
                    entry.session.close(CloseReason::Abandoned);
                }
                if entry.session.closed().is_some() && settled(&entry.session, now, patience.period) {
                    ended.push(entry.session.clone());
                }
            }
        });
        ended
    }

    /// The sessions that are live now, in chunks of `batch` at most.
    pub(crate) fn snapshot(&self) -> Vec<Arc<LiveSession<S>>> {
        self.entries().iter().map(|(_, entry)| entry.session.clone()).collect()
    }

    /// Visits every entry, letting go of the lock now and then so that connects do not wait for a long sweep.
    fn for_each_chunked(&self, mut visit: impl FnMut(&Entry<S>)) {
        let mut from = 0;
        loop {
            let entries = self.entries();
            let capacity = entries.capacity();
            for slot in from..(from + CHUNK).min(capacity) {
                if let Some(entry) = entries.get(slot) {
                    visit(entry);
                }
            }
            from += CHUNK;
            if from >= capacity {
                return;
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, Slab<Entry<S>>> {
        // No user code runs under this lock; a poisoned table is still a sound table.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sweep_websocket<S>(session: &LiveSession<S>, now: Tick, patience: Patience) {
    let idle = now.since(session.last_seen()) >= patience.idle + patience.period;
    let mut core = session.core();
    if core.session.closed().is_some() {
        if lingered(session, now) >= patience.linger {
            core.expired = true;
            core.wake();
        }
    } else if idle && core.session.close(CloseReason::Idle) {
        core.wake();
    }
}

/// Whether a closed session was left alone for a whole period, so that the poll that waits on it has had the
/// time to see the close and finish the session itself.
fn settled<S>(session: &LiveSession<S>, now: Tick, period: Duration) -> bool {
    lingered(session, now) >= period
}

/// How long ago a sweep first found the session closed.
fn lingered<S>(session: &LiveSession<S>, now: Tick) -> Duration {
    match session.closed_at.load(Ordering::Relaxed) {
        0 => {
            session.closed_at.store(now.0, Ordering::Relaxed);
            Duration::ZERO
        }
        at => now.since(Tick(at)),
    }
}
