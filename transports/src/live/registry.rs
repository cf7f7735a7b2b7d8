//! The live sessions of a mount: found by slot, counted, swept.

use std::{
    cmp::Reverse,
    sync::{Arc, PoisonError},
    time::Duration,
};

use slab::Slab;

use super::{LiveSession, calls::Call, counters::Census, waking, waking::Core};
use crate::{
    budget::STEP,
    connect::Transport,
    session::life::{Due, Patience, Tick, Tie},
    shrink::Shrink,
    sync::{Mutex, MutexGuard},
};

/// How many sessions a sweep or a drain looks at before it lets go of the lock.
const CHUNK: usize = 1_024;

/// What a sweep looks for of sessions that stay at other nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sought {
    /// How long their streams have come by way of those.
    pub(crate) after: Duration,
    /// The slot from which on it looks.
    pub(crate) from: u32,
    /// How many it finds at most.
    pub(crate) count: usize,
}

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
    /// Places of sessions that are to come from other nodes.
    reserved: usize,
    shrink: Shrink,
}

/// What a sweep found.
pub(crate) struct Swept<S> {
    /// Sessions that are over and that nobody else will end.
    pub(crate) ended: Vec<Arc<LiveSession<S>>>,
    /// Resumable sessions that nothing carries.
    pub(crate) away: Vec<Arc<LiveSession<S>>>,
    /// Those whose streams come by way of other nodes, with the number of the node.
    pub(crate) staying: Vec<(Arc<LiveSession<S>>, u64)>,
    /// How many there were, by what carried them.
    pub(crate) census: Census,
}

impl<S> Registry<S> {
    pub(crate) fn new(sessions_max: usize) -> Self {
        let entries = Entries { slab: Slab::new(), reserved: 0, shrink: Shrink::default() };
        Self { entries: Mutex::new(entries), sessions_max }
    }

    /// Keeps a place for a session that is to come from another node. Returns whether there was one.
    pub(crate) fn reserve(&self) -> bool {
        let mut entries = self.entries();
        let has_place = entries.has_place(self.sessions_max);
        entries.reserved += usize::from(has_place);
        has_place
    }

    /// A place that was reserved is not needed.
    pub(crate) fn give_up(&self) {
        self.entries().give_up();
    }

    /// Takes a session in that others know already, into a place that was reserved.
    pub(crate) fn adopt(&self, session: &Arc<LiveSession<S>>) {
        let mut entries = self.entries();
        entries.give_up();
        entries.put(session);
    }

    /// Takes a session in, unless the table is full.
    pub(crate) fn insert(&self, session: LiveSession<S>) -> Option<Arc<LiveSession<S>>> {
        let mut entries = self.entries();
        if !entries.has_place(self.sessions_max) {
            return None;
        }
        let session = Arc::new(session);
        entries.put(&session);
        Some(session)
    }

    /// Takes a session out. Returns whether it was there: true exactly once per session.
    pub(crate) fn remove(&self, session: &Arc<LiveSession<S>>) -> bool {
        let mut entries = self.entries();
        let slot = session.slot.get() as usize;
        let Entries { slab, shrink, .. } = &mut *entries;
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
        self.for_each_chunked(|session| count(session, &mut session.core(), &mut census));
        census
    }

    /// Closes sessions that were silent for too long, tells lingering connections that their time is over, and
    /// returns the sessions that somebody has to be told about.
    pub(crate) fn sweep(&self, now: Tick, patience: Patience, sought: Option<Sought>) -> Swept<S> {
        let (ended, away, staying) = (Vec::new(), Vec::new(), Vec::new());
        let mut swept = Swept { ended, away, staying, census: Census::default() };
        self.for_each_chunked(|session| {
            match sweep(session, now, &patience, &mut swept.census) {
                Due::Away => swept.away.push(session.clone()),
                // A connection that is all of its session ends it by itself.
                Due::Over if session.tie() != Tie::Connection => swept.ended.push(session.clone()),
                _ => {}
            }
            if let Some(Sought { after, from, count }) = sought
                && swept.staying.len() < count
                && session.slot.get() >= from
                && let Some(node) = session.core().take_staying(now, after)
            {
                swept.staying.push((session.clone(), node));
            }
        });
        swept
    }

    /// The time that has passed just now counts as no silence, of clients whose sessions outlive their connections.
    pub(crate) fn excuse(&self, time: Duration) {
        self.for_each_chunked(|session| {
            if session.tie() != Tie::Connection {
                session.excuse(time);
            }
        });
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

impl<S> Entries<S> {
    fn has_place(&self, sessions_max: usize) -> bool {
        self.slab.len() + self.reserved < sessions_max
    }

    fn give_up(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    fn put(&mut self, session: &Arc<LiveSession<S>>) {
        if self.slab.len() == self.slab.capacity() {
            // By an eighth, not by doubling: half of a large table would lie idle.
            let more = self.slab.len() / 8 + 16;
            self.slab.reserve_exact(more);
        }
        let vacant = self.slab.vacant_entry();
        session.slot.set(vacant.key() as u32);
        vacant.insert(session.clone());
    }
}

/// Counts one session.
fn count<S>(session: &LiveSession<S>, core: &mut Core, census: &mut Census) {
    let count = match core.transport() {
        _ if session.is_resumable() && !session.is_carried(core) => &mut census.detached,
        Transport::Websocket => &mut census.websocket,
        Transport::Sse => &mut census.sse,
        Transport::Longpoll => &mut census.longpoll,
    };
    *count += 1;
    census.resumable += usize::from(session.is_resumable());
    census.held_back += usize::from(core.is_deaf());
    for (sum, more) in [
        (&mut census.waiting, core.session.unsent()),
        (&mut census.unacknowledged, core.session.unacknowledged()),
    ] {
        sum.frames += more.frames;
        sum.bytes += more.bytes;
    }
}

/// Looks at the time of one session, and does what is due but for telling others.
fn sweep<S>(session: &LiveSession<S>, now: Tick, patience: &Patience, census: &mut Census) -> Due {
    let tie = session.tie();
    let mut core = session.core();
    count(session, &mut core, census);
    if core.is_absent() {
        // What stands in its place has no time.
        return Due::Nothing;
    }
    core.note_waiting(now);
    census.oldest = census.oldest.max(core.backlog(now).age);
    if core.is_deaf() && (tie != Tie::Window || core.is_attached()) {
        // Its client is not read for now, which is no silence of its own, and one that understands it is told.
        session.touch();
        if tie == Tie::Window {
            // It cannot be heard saying what it has while that is what the handler waits for: it says so when it resumes.
            let is_stuck = core.is_held_back && core.session.is_held(&session.common.outbox);
            core.due.set(if is_stuck { waking::Due::RENEW } else { waking::Due::BUSY });
            core.wake();
        }
    }
    let mut due = core.session.sweep(tie, session.last_seen(), now, patience);
    let was_closed = matches!(due, Due::Closed(_));
    if was_closed {
        core.wake_readers();
        // It may have no time for its end.
        due = core.session.sweep(tie, session.last_seen(), now, patience);
    }
    match due {
        Due::Ping => {
            core.due.set(waking::Due::PING);
            core.wake();
        }
        Due::Away => core.calls().push(Call::Away),
        Due::Over => {
            if tie != Tie::Connection {
                // An answer or a stream that nobody reads would hold them for as long as its connection lasts.
                core.session.discard();
            }
            core.expire();
        }
        Due::Nothing | Due::Closed(_) => {}
    }
    drop(core);
    if was_closed {
        session.handle_closed();
    }
    due
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::live::{Common, Kind};

    #[test]
    fn the_table_is_small_again_after_a_storm() {
        let (registry, common) = (Registry::new(usize::MAX), Common::boundless());
        let session = || LiveSession::new(common.clone(), Transport::Websocket, Kind::Plain, ());
        let sessions: Vec<_> = (0..20_000).map(|_| registry.insert(session()).unwrap()).collect();
        assert!(registry.entries().slab.capacity() >= sessions.len());
        for session in &sessions {
            assert!(registry.remove(session));
        }
        let capacity = registry.entries().slab.capacity();
        assert!(registry.len() == 0 && capacity <= CHUNK, "room for {capacity}");
    }
}
