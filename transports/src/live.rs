//! A session that is shared: the pure state machine behind a lock, with the waker of whoever carries it.

use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use crate::{
    budget::{Budget, Debt, OverBudget, STEP},
    calls::{Aside, CallState, Calls},
    clock::{Clock, Tick},
    close::CloseReason,
    connect::Transport,
    counters::Counters,
    endings::Endings,
    flusher::Flusher,
    frame::Frame,
    outbox::{OutboxLimits, Waiting},
    resumable::{Resumable, lines},
    session::{Pushed, Seq, Session},
    sync::{Mutex, MutexGuard},
};

/// How long a client may take from one poll to the next and still be taken for attached.
const BETWEEN_POLLS: Duration = Duration::from_secs(3);

/// A live session: frames pushed here reach the client, whatever carries them.
///
/// Pushing never waits and never fails loudly: a session that is over takes no frame, and one that cannot keep
/// up is closed ([`CloseReason::TooSlow`]) so that the broadcaster and everybody else go on.
///
/// The lock inside is held for a few lines and nothing else is locked meanwhile; callers may hold locks of
/// their own.
#[derive(Debug)]
pub struct LiveSession<S> {
    core: Mutex<Core>,
    pub(crate) common: Arc<Common>,
    /// When something last came from the client.
    seen: AtomicU32,
    /// When the sweep first found the session closed, 0 before.
    pub(crate) closed_at: AtomicU32,
    /// Where the registry keeps it.
    pub(crate) slot: AtomicU32,
    /// What it owes besides the frames that wait for it.
    debt: Debt,
    /// What a session has besides that outlives its connections.
    pub(crate) resumable: Option<Box<Resumable>>,
    state: S,
}

/// What all sessions of a mount have in common.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) outbox: OutboxLimits,
    pub(crate) clock: Clock,
    pub(crate) counters: Counters,
    pub(crate) flusher: Flusher,
    pub(crate) budget: Arc<Budget>,
    pub(crate) endings: Endings,
}

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) session: Session,
    /// The wire that carries the session, or did last.
    transport: Transport,
    /// Whether an attachment carries the session now.
    is_attached: bool,
    /// What the carrier is to say besides frames.
    pub(crate) due: Due,
    /// The carrier's waker, kept between wake-ups: a clone per wake-up would cost two atomic operations.
    waker: Option<Waker>,
    rest: Rest,
    /// What the handler is to be told, where that comes from more than the carrier.
    call_state: CallState,
    aside: Option<Box<Aside>>,
    /// The carrier reads nothing, since the handler takes nothing for now.
    pub(crate) is_held_back: bool,
    /// The linger time is over: the connection is to be dropped, whatever is left to write.
    pub(crate) expired: bool,
}

/// Whether the carrier sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Awake,
    /// It is to be woken by the next change.
    Parked,
    /// It will be woken in its turn; what cannot wait so long wakes it at once.
    Queued,
}

/// What the carrier of a resumable session is to say besides frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Due(u8);

impl Due {
    pub(crate) const PING: Self = Self(1);
    pub(crate) const PONG: Self = Self(2);
    /// The handler takes nothing for now.
    pub(crate) const BUSY: Self = Self(4);
    /// Frames were taken that came with the request that the carrier answers.
    pub(crate) const ACK: Self = Self(8);

    pub(crate) fn set(&mut self, due: Self) {
        self.0 |= due.0;
    }

    fn clear(&mut self, due: Self) {
        self.0 &= !due.0;
    }

    pub(crate) fn has(self, due: Self) -> bool {
        self.0 & due.0 != 0
    }
}

impl<S> LiveSession<S> {
    /// A session that lives as long as its connection.
    pub(crate) fn plain(common: Arc<Common>, transport: Transport, state: S) -> Self {
        Self::new(common, transport, Session::default(), None, state)
    }

    /// A session that outlives its connections.
    pub(crate) fn resumable(
        common: Arc<Common>,
        transport: Transport,
        resumable: Resumable,
        state: S,
    ) -> Self {
        Self::new(common, transport, Session::resumable(), Some(Box::new(resumable)), state)
    }

    fn new(
        common: Arc<Common>,
        transport: Transport,
        session: Session,
        resumable: Option<Box<Resumable>>,
        state: S,
    ) -> Self {
        let core = Core {
            session,
            transport,
            is_attached: true,
            due: Due::default(),
            waker: None,
            rest: Rest::Awake,
            call_state: CallState::default(),
            aside: None,
            is_held_back: false,
            expired: false,
        };
        let seen = AtomicU32::new(common.clock.now().0);
        Self {
            core: Mutex::new(core),
            common,
            seen,
            closed_at: AtomicU32::new(0),
            slot: AtomicU32::new(0),
            debt: Debt::default(),
            resumable,
            state,
        }
    }

    /// Queues a frame for the client and wakes whatever carries the session.
    pub fn push(&self, frame: Frame) -> Pushed {
        let mut core = self.core();
        let pushed = self.push_into(&mut core, frame);
        if pushed != Pushed::Closed {
            core.wake();
        }
        drop(core);
        self.handle_pushed(pushed)
    }

    /// Queues a frame that many get at the same time. Each session's carrier is woken in its turn, so that a reply to
    /// somebody need not wait until a whole fan-out is written.
    pub fn push_in_turn(&self, frame: Frame) -> Pushed {
        let mut core = self.core();
        let pushed = self.push_into(&mut core, frame);
        match pushed {
            Pushed::Queued => core.wake_in_turn(&self.common.flusher),
            Pushed::Overflowed => core.wake(),
            Pushed::Closed => {}
        }
        drop(core);
        self.handle_pushed(pushed)
    }

    fn push_into(&self, core: &mut Core, frame: Frame) -> Pushed {
        let frame = if self.resumable.is_some() { lines::guarded(frame) } else { frame };
        if core.session.waiting_cost() + frame.cost() > STEP {
            frame.charge(&self.common.budget);
        }
        core.session.push(frame, &self.common.outbox)
    }

    /// Counts bytes that are held for this session from now on, until [`release`](Self::release).
    ///
    /// Counted are all sessions of the mount together. What is not released when the session is dropped is released then.
    ///
    /// # Errors
    /// [`OverBudget`] when the mount holds as much as it may; nothing is counted then. A message that would need it cannot be
    /// taken: close the session with [`CloseReason::OverBudget`].
    pub fn hold(&self, bytes: usize) -> Result<(), OverBudget> {
        self.debt.hold(bytes, &self.common.budget)
    }

    /// Gives back bytes that [`hold`](Self::hold) has counted.
    pub fn release(&self, bytes: usize) {
        self.debt.release(bytes, &self.common.budget);
    }

    /// What is held for this session, the frames that wait for it included, whoever else they wait for.
    pub(crate) fn owes(&self) -> usize {
        self.debt.bytes() + self.core().session.waiting_cost()
    }

    /// Closes the session since too much is held for clients, and drops what waits for this one. Returns whether it was open.
    pub(crate) fn shed(&self) -> bool {
        let mut core = self.core();
        let was_open = core.session.close(CloseReason::OverBudget);
        if was_open {
            core.session.shed();
            core.wake_readers();
            drop(core);
            self.handle_closed();
        }
        was_open
    }

    fn handle_pushed(&self, pushed: Pushed) -> Pushed {
        if pushed == Pushed::Overflowed {
            self.handle_closed();
        }
        pushed
    }

    /// The session was just closed. A WebSocket that is all of its session sees to that itself.
    fn handle_closed(&self) {
        if self.is_resumable() || self.transport() == Transport::Longpoll {
            self.common.endings.add(self.slot.load(Ordering::Relaxed));
        }
    }

    /// Closes the session; what was pushed before is still delivered if the client takes it in time.
    pub fn close(&self, reason: CloseReason) {
        let mut core = self.core();
        if core.session.close(reason) {
            core.wake_readers();
            drop(core);
            self.handle_closed();
        }
    }

    /// Tells the carrier that [`Handler::is_ready`](crate::handler::Handler::is_ready) may have changed.
    pub fn resume_reading(&self) {
        self.core().wake_readers();
    }

    /// Why the session was closed, if it was.
    pub fn closed(&self) -> Option<CloseReason> {
        self.core().session.closed()
    }

    /// Whether less than half of what may wait for the client does.
    pub(crate) fn is_relaxed(&self) -> bool {
        self.core().session.is_relaxed(&self.common.outbox)
    }

    /// How much waits for the client: what was not written yet, and of a resumable session what was not acknowledged.
    pub fn waiting(&self) -> Waiting {
        self.core().session.backlog()
    }

    /// The wire that carries the session, or did last.
    pub fn transport(&self) -> Transport {
        self.core().transport
    }

    /// Whether the session outlives its connections.
    pub fn is_resumable(&self) -> bool {
        self.resumable.is_some()
    }

    /// Whether a connection carries the session now. A client that polls counts as attached for a moment after each
    /// poll.
    pub fn is_attached(&self) -> bool {
        let core = self.core();
        let between_polls = core.transport == Transport::Longpoll
            && self.common.clock.now().since(self.last_seen()) < BETWEEN_POLLS;
        core.is_attached || between_polls
    }

    /// What the handler keeps for this session.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The client says that it has these frames.
    pub(crate) fn acknowledge(&self, received: Seq) {
        let mut core = self.core();
        core.session.handle_receipt(received);
        if received > Seq(0) && core.session.last_received() >= received {
            self.prove();
        }
    }

    /// Somebody reads what the session is sent.
    pub(crate) fn prove(&self) {
        if let Some(resumable) = &self.resumable {
            resumable.is_proven.store(true, Ordering::Relaxed);
        }
    }

    /// Something came from the client.
    pub(crate) fn touch(&self) {
        self.seen.store(self.common.clock.now().0, Ordering::Relaxed);
    }

    pub(crate) fn last_seen(&self) -> Tick {
        Tick(self.seen.load(Ordering::Relaxed))
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        // A panic while the lock is held is a bug of this crate that leaves a queue of frames at worst one
        // frame short of a count; ending every other session over it would be worse.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Drop for LiveSession<S> {
    fn drop(&mut self) {
        self.debt.settle(&self.common.budget);
    }
}

impl Core {
    /// The wake step, in one place: everything that makes a carrier look again goes through here.
    pub(crate) fn wake(&mut self) {
        if std::mem::replace(&mut self.rest, Rest::Awake) != Rest::Awake
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }

    /// Its connection is to be dropped, whatever is left to write.
    pub(crate) fn expire(&mut self) {
        self.expired = true;
        self.wake();
    }

    /// The same for whatever waits to give the handler another message.
    pub(crate) fn wake_readers(&mut self) {
        self.wake_reader();
        self.wake();
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.calls().set_reader(None) {
            reader.wake();
        }
    }

    /// The same for one of many.
    fn wake_in_turn(&mut self, flusher: &Flusher) {
        if self.rest == Rest::Parked
            && let Some(waker) = &self.waker
        {
            self.rest = Rest::Queued;
            flusher.later(waker.clone());
        }
    }

    /// The carrier goes to sleep until the next [`Core::wake`].
    pub(crate) fn park(&mut self, cx: &Context<'_>) {
        self.rest = Rest::Parked;
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    /// Leaves a waker for [`LiveSession::resume_reading`], from a task that is not the carrier.
    pub(crate) fn wait_to_read(&mut self, cx: &Context<'_>) {
        let before = self.calls().set_reader(Some(cx.waker().clone()));
        if let Some(before) = before.filter(|before| !before.will_wake(cx.waker())) {
            // It has to see that it is not its turn any more.
            before.wake();
        }
    }

    /// Nobody waits for that any more.
    pub(crate) fn stop_waiting_to_read(&mut self) {
        self.calls().set_reader(None);
    }

    /// Another attachment has become the current one; the one before is woken to learn it.
    pub(crate) fn attached(&mut self, transport: Transport) {
        self.transport = transport;
        self.is_attached = true;
        // A question that came by POST between two polls is answered by the next one.
        self.due.clear(Due::PING);
        self.wake();
    }

    /// The carrier is gone: its waker would only keep its memory alive.
    pub(crate) fn detach(&mut self) {
        self.is_attached = false;
        self.rest = Rest::Awake;
        self.waker = None;
        // A POST that waits for the handler does so with or without a carrier: it leaves its waker again.
        self.wake_reader();
    }

    /// What the handler is to be told.
    pub(crate) fn calls(&mut self) -> Calls<'_> {
        Calls { state: &mut self.call_state, aside: &mut self.aside }
    }

    /// Whether the client is not heard as the handler takes nothing for now, so that its silence says nothing.
    pub(crate) fn is_deaf(&mut self) -> bool {
        self.is_held_back || self.calls().has_reader()
    }

    /// Whether this wire carries the session, or did last.
    pub(crate) fn is_carried_by(&self, transport: Transport) -> bool {
        self.transport == transport
    }

    /// Whether an attachment carries the session now.
    pub(crate) fn is_attached(&self) -> bool {
        self.is_attached
    }
}
