//! The live sessions of a mount: found by slot, counted, swept.

use std::{
    cmp::Reverse,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use slab::Slab;

use super::{
    Kind, LiveSession, calls::Call, clock::Tick, counters::Census, resumable::Resumable, waking::Due,
};
use crate::{
    budget::STEP,
    close::CloseReason,
    connect::Transport,
    shrink::Shrink,
    sync::{Mutex, MutexGuard},
};

/// How many sessions a sweep or a drain looks at before it lets go of the lock.
const CHUNK: usize = 1_024;

/// A table of live sessions. A cache would not do: a full cache may refuse or forget an entry.
#[derive(Debug)]
pub(crate) struct Registry<S> {
    entries: Mutex<Entries<S>>,
    sessions_max: usize,
}

/// What the lock guards.
#[derive(Debug)]
struct Entries<S> {
    slab: Slab<Arc<LiveSession<S>>>,
    shrink: Shrink,
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
    /// Silence of the client of a resumable session.
    pub(crate) window: Duration,
    /// Time without a connection of a session that was only opened.
    pub(crate) unproven: Duration,
    /// Time without a connection after which a client is away.
    pub(crate) away: Duration,
    /// The sweep's own period: stamps can be so much older than what they stamp.
    pub(crate) period: Duration,
}

/// What a sweep found.
pub(crate) struct Swept<S> {
    /// Sessions that are over and that nobody else will end.
    pub(crate) ended: Vec<Arc<LiveSession<S>>>,
    /// Resumable sessions that nothing carries.
    pub(crate) away: Vec<Arc<LiveSession<S>>>,
}

impl<S> Registry<S> {
    pub(crate) fn new(sessions_max: usize) -> Self {
        let entries = Entries { slab: Slab::new(), shrink: Shrink::default() };
        Self { entries: Mutex::new(entries), sessions_max }
    }

    /// Takes a session in, unless the table is full.
    pub(crate) fn insert(&self, session: LiveSession<S>) -> Option<Arc<LiveSession<S>>> {
        let mut entries = self.entries();
        if entries.slab.len() >= self.sessions_max {
            return None;
        }
        if entries.slab.len() == entries.slab.capacity() {
            // By an eighth, not by doubling: half of a large table would lie idle.
            let more = entries.slab.len() / 8 + 16;
            entries.slab.reserve_exact(more);
        }
        let vacant = entries.slab.vacant_entry();
        session.slot.store(vacant.key() as u32, Ordering::Relaxed);
        let session = Arc::new(session);
        vacant.insert(session.clone());
        Some(session)
    }

    /// Takes a session out. Returns whether it was there: true exactly once per session.
    pub(crate) fn remove(&self, session: &Arc<LiveSession<S>>) -> bool {
        let mut entries = self.entries();
        let slot = session.slot.load(Ordering::Relaxed) as usize;
        let Entries { slab, shrink } = &mut *entries;
        let there = slab.get(slot).is_some_and(|entry| Arc::ptr_eq(entry, session));
        if there {
            slab.remove(slot);
            shrink.handle_removal(slab);
        }
        there
    }

    /// The session in a slot.
    pub(crate) fn get(&self, slot: u32) -> Option<Arc<LiveSession<S>>> {
        self.entries().slab.get(slot as usize).cloned()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries().slab.len()
    }

    /// How many sessions there are, by what carries them.
    pub(crate) fn census(&self) -> Census {
        let mut census = Census::default();
        self.for_each_chunked(|session| {
            let count = match session.transport() {
                _ if session.is_resumable() && !session.is_attached() => &mut census.detached,
                Transport::Websocket => &mut census.websocket,
                Transport::Sse => &mut census.sse,
                Transport::Longpoll => &mut census.longpoll,
            };
            *count += 1;
            census.resumable += usize::from(session.is_resumable());
        });
        census
    }

    /// Closes sessions that were silent for too long, tells lingering connections that their time is over, and
    /// returns the sessions that somebody has to be told about.
    pub(crate) fn sweep(&self, now: Tick, patience: Patience) -> Swept<S> {
        let mut swept = Swept { ended: Vec::new(), away: Vec::new() };
        self.for_each_chunked(|session| match &session.kind {
            Kind::Resumable(resumable) => match sweep_resumable(session, resumable, now, patience) {
                Verdict::Fine => {}
                Verdict::Away => swept.away.push(session.clone()),
                Verdict::Over => swept.ended.push(session.clone()),
            },
            Kind::Plain => sweep_websocket(session, now, patience),
            Kind::Polled(_) => {
                if session.core().is_deaf() {
                    session.touch();
                }
                if now.since(session.last_seen()) >= patience.abandoned + patience.period {
                    session.close(CloseReason::Abandoned);
                }
                if session.closed().is_some() && settled(session, now, patience.period) {
                    // An answer that nobody reads would hold them for as long as its connection lasts.
                    let mut core = session.core();
                    core.session.discard();
                    core.expired = true;
                    core.wake();
                    drop(core);
                    swept.ended.push(session.clone());
                }
            }
        });
        swept
    }

    /// The open sessions for which most is held, as many as it takes to get `bytes` back; small ones are left alone.
    pub(crate) fn debtors(&self, bytes: usize) -> Vec<Arc<LiveSession<S>>> {
        let mut debtors = Vec::new();
        self.for_each_chunked(|session| {
            let owes = session.owes();
            if owes >= STEP && session.closed().is_none() {
                debtors.push((owes, session.clone()));
            }
        });
        debtors.sort_unstable_by_key(|(owes, _)| Reverse(*owes));
        let mut missing = bytes;
        let needed = debtors.into_iter().take_while(|(owes, _)| {
            let is_needed = missing > 0;
            missing = missing.saturating_sub(*owes);
            is_needed
        });
        needed.map(|(_, session)| session).collect()
    }

    /// The sessions that are live now, in chunks of `batch` at most.
    pub(crate) fn snapshot(&self) -> Vec<Arc<LiveSession<S>>> {
        self.entries().slab.iter().map(|(_, session)| session.clone()).collect()
    }

    /// The live sessions in the slots of a chunk, and where the next one begins, if there is one.
    pub(crate) fn chunk(&self, from: usize) -> (Vec<Arc<LiveSession<S>>>, Option<usize>) {
        let entries = self.entries();
        let capacity = entries.slab.capacity();
        let until = (from + CHUNK).min(capacity);
        let chunk = (from..until).filter_map(|slot| entries.slab.get(slot).cloned()).collect();
        (chunk, (until < capacity).then_some(until))
    }

    /// Visits every entry, letting go of the lock now and then so that connects do not wait for a long sweep.
    fn for_each_chunked(&self, mut visit: impl FnMut(&Arc<LiveSession<S>>)) {
        let mut from = 0;
        loop {
            let entries = self.entries();
            let capacity = entries.slab.capacity();
            for slot in from..(from + CHUNK).min(capacity) {
                if let Some(session) = entries.slab.get(slot) {
                    visit(session);
                }
            }
            from += CHUNK;
            if from >= capacity {
                return;
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries<S>> {
        // No user code runs under this lock; a poisoned table is still a sound table.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a sweep found out about a resumable session.
enum Verdict {
    Fine,
    /// Nothing has carried it for too long to be a move.
    Away,
    Over,
}

fn sweep_resumable<S>(
    session: &LiveSession<S>,
    resumable: &Resumable,
    now: Tick,
    patience: Patience,
) -> Verdict {
    say_busy(session);
    let silence = now.since(session.last_seen());
    if silence >= patience.window + patience.period {
        session.close(CloseReason::Expired);
    }
    let is_forgotten = !resumable.is_proven.load(Ordering::Relaxed)
        && !session.core().is_attached()
        && resumable.detached_for(now) >= patience.unproven + patience.period;
    if is_forgotten {
        session.close(CloseReason::Expired);
    }
    let mut core = session.core();
    if core.session.closed().is_some() {
        let is_over =
            lingered(session, now) >= if core.is_attached() { patience.linger } else { patience.period };
        if is_over {
            core.expired = true;
            // A stream that nobody reads would hold them for as long as its connection lasts.
            core.session.discard();
            core.wake();
            return Verdict::Over;
        }
    } else if core.is_attached() {
        if !core.is_carried_by(Transport::Longpoll) && resumable.is_ping_due(session.last_seen(), now) {
            core.due.set(Due::PING);
            core.wake();
        }
    } else {
        // The client may have been silent for long before on a connection that worked.
        let away_for = resumable.detached_for(now).min(silence);
        if away_for >= patience.away + patience.period && !resumable.is_away.swap(true, Ordering::Relaxed) {
            core.calls().push(Call::Away);
            return Verdict::Away;
        }
    }
    Verdict::Fine
}

/// Tells the client that it is not read for now, which is no silence of its own.
fn say_busy<S>(session: &LiveSession<S>) {
    let mut core = session.core();
    if core.is_attached() && core.is_deaf() {
        session.touch();
        core.due.set(Due::BUSY);
        core.wake();
    }
}

fn sweep_websocket<S>(session: &LiveSession<S>, now: Tick, patience: Patience) {
    let mut core = session.core();
    if core.is_deaf() {
        session.touch();
    }
    let idle = now.since(session.last_seen()) >= patience.idle + patience.period;
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
