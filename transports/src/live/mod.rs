//! A session that is shared: the pure state machine behind a lock, with the waker of whoever carries it.

pub(crate) mod baggage;
pub(crate) mod calls;
mod carrier;
pub(crate) mod clock;
pub mod counters;
pub(crate) mod ended;
pub(crate) mod endings;
pub(crate) mod flusher;
pub(crate) mod foreign;
pub(crate) mod last_words;
pub mod path;
pub(crate) mod poller;
pub(crate) mod registry;
pub(crate) mod resumable;
pub(crate) mod slot;
pub(crate) mod stance;
pub mod still;
pub(crate) mod waking;

use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use self::{
    clock::Clock, counters::Counters, endings::Endings, flusher::Flusher, last_words::LastWords,
    path::PathReport, poller::Poller, resumable::Resumable, slot::Slot, waking::Core,
};
#[cfg(feature = "deflate")]
use crate::options::DeflateOptions;
use crate::{
    budget::{Budget, Debt, OverBudget, STEP},
    close::CloseReason,
    connect::Transport,
    dialect::{lines, server::ServerControl},
    forms::Forms,
    frame::{FRAME_BYTES, Frame},
    session::{
        Attachment, Pushed, Seq, Session,
        backlog::Backlog,
        life::{Tick, Tie},
        outbox::{OutboxLimits, Waiting},
    },
    sync::{Mutex, MutexGuard},
};

/// How long a client may take from one poll to the next and still be taken for attached.
const BETWEEN_POLLS: Duration = Duration::from_secs(3);

/// A live session: frames pushed here reach the client, whatever carries them.
///
/// [`push`](Self::push) never waits and never fails loudly: a session that is over takes no frame, and one that cannot keep
/// up is closed ([`CloseReason::TooSlow`]) so that the broadcaster and everybody else go on. Who has much for one client asks with
/// [`try_push`](Self::try_push), and waits with [`poll_ready`](Self::poll_ready).
///
/// The lock inside is held for a few lines and nothing else is locked meanwhile; callers may hold locks of
/// their own.
#[derive(Debug)]
pub struct LiveSession<S> {
    core: Mutex<Core>,
    pub(crate) common: Arc<Common>,
    /// When something last came from the client.
    seen: AtomicU32,
    /// When it began.
    opened: Tick,
    /// Where the registry keeps it.
    pub(crate) slot: Slot,
    /// What it owes besides the frames that wait for it.
    debt: Debt,
    /// `None` for [`Kind::Plain`], which is what most have: a pointer is half of what the kind would take.
    kind: Option<Box<Kind>>,
    state: S,
}

/// How long a session lives, and what it has besides for that.
#[derive(Debug)]
pub(crate) enum Kind {
    /// As long as its connection.
    Plain,
    /// As long as it is polled in Phoenix's dialect.
    Polled(Box<Poller>),
    /// For a while without any connection.
    Resumable(Resumable),
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
    pub(crate) last_words: LastWords,
    #[cfg(feature = "deflate")]
    pub(crate) deflate: DeflateOptions,
}

#[cfg(test)]
impl Common {
    /// Of a mount whose bounds no test reaches.
    pub(crate) fn boundless() -> Arc<Self> {
        Arc::new(Self {
            outbox: OutboxLimits::default(),
            clock: Clock::new(),
            counters: Counters::default(),
            flusher: Flusher::default(),
            budget: Arc::new(Budget::new(usize::MAX)),
            endings: Endings::default(),
            last_words: LastWords::default(),
            #[cfg(feature = "deflate")]
            deflate: DeflateOptions::default(),
        })
    }
}

impl<S> LiveSession<S> {
    /// A session that is carried by this transport.
    pub(crate) fn new(common: Arc<Common>, transport: Transport, kind: Kind, state: S) -> Self {
        let session = match kind {
            Kind::Resumable(_) => Session::resumable(),
            Kind::Plain | Kind::Polled(_) => Session::default(),
        };
        let core = Core::new(session, transport);
        let opened = common.clock.now();
        Self {
            core: Mutex::new(core),
            common,
            seen: AtomicU32::new(opened.0),
            opened,
            slot: Slot::default(),
            debt: Debt::default(),
            kind: (!matches!(kind, Kind::Plain)).then(|| Box::new(kind)),
            state,
        }
    }

    /// Queues a frame for the client and wakes whatever carries the session.
    pub fn push(&self, frame: Frame) -> Pushed {
        let mut core = self.core();
        let pushed = self.push_into(&mut core, frame);
        if pushed.is_at_end() {
            core.wake();
        }
        drop(core);
        self.handle_pushed(pushed)
    }

    /// Queues a frame that many get at the same time. Each session's attachment is woken in its turn, so that a reply to
    /// somebody need not wait until a whole fan-out is written.
    pub fn push_in_turn(&self, frame: Frame) -> Pushed {
        let mut core = self.core();
        let pushed = self.push_into(&mut core, frame);
        if pushed.is_at_end() {
            core.wake_in_turn(&self.common.flusher);
        }
        drop(core);
        self.handle_pushed(pushed)
    }

    /// Queues a frame for the client, and another that belongs to it, and wakes whatever carries the session. Where there is no room
    /// for both, neither is queued, and the session goes on.
    pub fn try_push(&self, frame: Frame, then: Option<Frame>) -> Pushed {
        let mut core = self.core();
        let frame = self.prepared(&core, frame);
        let then = then.map(|then| self.prepared(&core, then));
        let pushed = match core.session.closed() {
            None => core.session.try_push(frame, then, &self.common.outbox),
            Some(_) => self.push_aside(&mut core, frame, then),
        };
        if pushed.is_at_end() {
            core.wake();
        }
        drop(core);
        self.handle_pushed(pushed)
    }

    /// Waits until less than half of what may wait for the client does, while whatever carries the session goes on writing.
    /// `false` if the session is over.
    pub fn poll_ready(&self, cx: &Context<'_>) -> Poll<bool> {
        let mut core = self.core();
        if core.closed().is_some() {
            return Poll::Ready(false);
        }
        // Who waits for room in a session that is frozen learns what became of it.
        if !core.is_frozen() && core.session.has_room(&self.common.outbox) {
            return Poll::Ready(true);
        }
        core.calls().add_pusher(cx.waker());
        Poll::Pending
    }

    #[inline]
    fn push_into(&self, core: &mut Core, frame: Frame) -> Pushed {
        let frame = self.prepared(core, frame);
        match core.session.closed() {
            None => core.session.push(frame, &self.common.outbox),
            Some(_) => match self.push_aside(core, frame, None) {
                Pushed::Full => {
                    core.close_later(CloseReason::TooSlow);
                    Pushed::Closed
                }
                pushed => pushed,
            },
        }
    }

    /// A frame as the session keeps it, counted if much waits.
    #[inline]
    fn prepared(&self, core: &Core, frame: Frame) -> Frame {
        let frame = if self.kind.is_some() { self.guarded(frame) } else { frame };
        if core.session.waiting_cost() + frame.payload().len() + FRAME_BYTES > STEP {
            frame.charge(&self.common.budget);
        }
        frame
    }

    /// A frame that is no control line where there are any.
    fn guarded(&self, frame: Frame) -> Frame {
        if self.is_resumable() { lines::guarded(frame) } else { frame }
    }

    /// The form in which whatever carries the session takes compressed frames, if it does: who sends the same to many asks, and
    /// compresses it once before it is pushed. A frame that is not compressed may be pushed all the same, and one that is may be
    /// pushed to everybody.
    #[must_use]
    pub fn compressed_forms(&self) -> Forms {
        self.slot.forms()
    }

    /// Another connection carries the session, or will.
    pub(crate) fn set_forms(&self, forms: Forms) {
        self.slot.set_forms(forms);
    }

    /// The same, unless yet another one does by now.
    pub(crate) fn set_forms_of(&self, attachment: Attachment, forms: Forms) {
        let core = self.core();
        if core.session.is_current(attachment) {
            self.slot.set_forms(forms);
        }
    }

    /// Compresses a frame that only this client gets, before it is pushed, if its connection takes that and the options say that
    /// it is worth it.
    pub fn compress(&self, frame: &mut Frame) {
        #[cfg(feature = "deflate")]
        {
            let forms = self.compressed_forms();
            if !forms.is_none() && self.common.deflate.takes_push(frame.payload().len()) {
                frame.compress(forms);
            }
        }
        let _ = frame;
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

    #[inline]
    fn handle_pushed(&self, pushed: Pushed) -> Pushed {
        if !matches!(pushed, Pushed::Queued) {
            self.handle_unusual(pushed);
        }
        pushed
    }

    fn handle_unusual(&self, pushed: Pushed) {
        match pushed {
            Pushed::Overflowed => {
                self.core().wake_readers();
                self.common.counters.count_too_slow();
                self.handle_closed();
            }
            Pushed::Replaced => self.common.counters.count_replaced(),
            Pushed::LeftOut => self.common.counters.count_left_out(),
            Pushed::Displaced(count) => self.common.counters.count_dropped(count),
            Pushed::Queued | Pushed::Full | Pushed::Closed => {}
        }
    }

    /// The session was just closed. A WebSocket that is all of its session sees to that itself.
    pub(crate) fn handle_closed(&self) {
        if self.is_resumable() || self.transport() == Transport::Longpoll {
            self.common.endings.add(self.slot.get());
        }
    }

    /// Closes the session; what was pushed before is still delivered if the client takes it in time.
    pub fn close(&self, reason: CloseReason) {
        self.close_with(reason, "");
    }

    fn handle_closed_for(&self, reason: CloseReason) {
        if reason == CloseReason::TooSlow {
            self.common.counters.count_too_slow();
        }
        self.handle_closed();
    }

    /// Closes the session, and tells its page why, in the program's words: the reason of the close event, as
    /// [one line](crate::close::reason_line). Stock clients are told over WebSocket alone.
    ///
    /// [`Disconnected`](CloseReason::Disconnected), [`Dismissed`](CloseReason::Dismissed) and
    /// [`LoginExpired`](CloseReason::LoginExpired) can be told so; with any other reason the words are dropped.
    pub fn close_with(&self, reason: CloseReason, words: &str) {
        let mut core = self.core();
        let is_frozen = core.is_frozen();
        let is_first = if is_frozen { core.close_later(reason) } else { core.session.close(reason) };
        if !is_first {
            return;
        }
        if reason.takes_words() {
            self.common.last_words.keep(self.place(), reason, words);
        }
        if !is_frozen {
            core.wake_readers();
            drop(core);
            self.handle_closed_for(reason);
        }
    }

    /// What the client is told of a close, if that is more than its word.
    pub(crate) fn last_words(&self, reason: CloseReason) -> Option<String> {
        reason.takes_words().then(|| self.common.last_words.of(self.place(), reason)).flatten()
    }

    /// The line by which a client is told that its session is over.
    pub(crate) fn closed_line(&self, reason: CloseReason) -> String {
        let words = self.last_words(reason);
        let reason_words = words.as_deref().unwrap_or_else(|| reason.word());
        ServerControl::Closed { code: reason.code(), reason: reason_words }.to_string()
    }

    /// What tells this session from all others that there are.
    fn place(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Tells the attachment that [`Handler::is_ready`](crate::handler::Handler::is_ready) may have changed.
    pub fn resume_reading(&self) {
        self.core().wake_readers();
    }

    /// Why the session was closed, if it was.
    pub fn closed(&self) -> Option<CloseReason> {
        self.core().closed()
    }

    /// Frames and bytes that wait to be sent to the client, and the age of the oldest.
    pub fn waiting(&self) -> Backlog {
        self.core().backlog(self.common.clock.now())
    }

    /// How much was sent to the client of a resumable session and is kept until it acknowledges it.
    pub fn unacknowledged(&self) -> Waiting {
        self.core().session.unacknowledged()
    }

    /// How many frames and bytes may be queued before the session is closed as one whose client cannot keep up.
    #[must_use]
    pub fn room(&self) -> (usize, usize) {
        let (waiting, limits) = (self.core().session.unsent(), &self.common.outbox);
        (limits.frames_max.saturating_sub(waiting.frames), limits.bytes_max.saturating_sub(waiting.bytes))
    }

    /// The transport that carries the session, or did last.
    pub fn transport(&self) -> Transport {
        self.core().transport()
    }

    /// The number of the other node of a cluster by which the session's stream comes, while it does. Polls come by any node, each by itself.
    pub fn carried_by(&self) -> Option<u64> {
        self.core().carrier()
    }

    /// Whether the session outlives its connections.
    pub fn is_resumable(&self) -> bool {
        self.resumable().is_some()
    }

    /// Why the session ends that its client has left.
    pub(super) fn tie(&self) -> Tie {
        match self.kind.as_deref() {
            None | Some(Kind::Plain) => Tie::Connection,
            Some(Kind::Polled(_)) => Tie::Polls,
            Some(Kind::Resumable(_)) => Tie::Window,
        }
    }

    /// What a session has that outlives its connections.
    pub(crate) fn resumable(&self) -> Option<&Resumable> {
        if let Some(Kind::Resumable(resumable)) = self.kind.as_deref() { Some(resumable) } else { None }
    }

    /// What a session has that is polled in Phoenix's dialect.
    pub(crate) fn poller(&self) -> Option<&Poller> {
        if let Some(Kind::Polled(poller)) = self.kind.as_deref() { Some(poller) } else { None }
    }

    /// Whether a connection carries the session now. A client that polls counts as attached for a moment after each
    /// poll.
    pub fn is_attached(&self) -> bool {
        self.is_carried(&self.core())
    }

    fn is_carried(&self, core: &Core) -> bool {
        let between_polls = core.is_carried_by(Transport::Longpoll)
            && self.common.clock.now().since(self.last_seen()) < BETWEEN_POLLS;
        core.is_attached() || between_polls
    }

    /// Whether polls carry a resumable session, one after the other.
    pub(crate) fn is_polled(&self) -> bool {
        let core = self.core();
        core.transport() == Transport::Longpoll
            && core.session.detached_for(self.common.clock.now()) < BETWEEN_POLLS
    }

    /// What the client said of the path between it and the server, if it did.
    pub fn path(&self) -> Option<PathReport> {
        self.core().calls().path().cloned()
    }

    pub(crate) fn set_path(&self, round_trip_ms: u64, failures: &str) {
        let path = PathReport::read(round_trip_ms, failures);
        let mut core = self.core();
        self.common.counters.count_round_trip(core.transport(), round_trip_ms);
        core.calls().set_path(path);
    }

    /// How long ago it began, to a second exactly; pauses of the program are not counted, nor 49 days that are over.
    pub fn age(&self) -> Duration {
        self.common.clock.now().since(self.opened)
    }

    /// What the handler keeps for this session.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The client says that it has these frames.
    pub(crate) fn acknowledge(&self, received: Seq) {
        let mut core = self.core();
        let was_held = core.session.is_held(&self.common.outbox);
        core.session.handle_receipt(received);
        core.note_room(&self.common.outbox);
        if was_held {
            core.wake();
        }
        if received > Seq(0) && core.session.last_received() >= received {
            core.session.handle_proof();
        }
    }

    /// Something came from the client.
    pub(crate) fn touch(&self) {
        self.seen.store(self.common.clock.now().0, Ordering::Relaxed);
    }

    /// The time that has passed just now was no silence of its client's.
    pub(crate) fn excuse(&self, time: Duration) {
        let now = self.common.clock.now().0;
        let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let later = |seen: u32| Some(seen.wrapping_add(millis.min(now.wrapping_sub(seen))));
        // It is always another one.
        let _ = self.seen.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }

    fn set_last_seen(&self, seen: Tick) {
        self.seen.store(seen.0, Ordering::Relaxed);
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
        self.common.last_words.forget(self.place());
    }
}
