//! What the lock of a session guards: the session, its transport, and who is woken when it changes.

use std::task::{Context, Waker};

use super::{
    calls::{Aside, Call, CallState, Calls},
    flusher::Flusher,
    stance::Moving,
};
use crate::{
    connect::Transport,
    session::{
        Session,
        backlog::Backlog,
        life::{CarriedBy, Tick},
        outbox::OutboxLimits,
    },
};

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) session: Session,
    /// The transport that carries the session, or did last.
    transport: Transport,
    /// What the attachment is to say besides frames.
    pub(crate) due: Due,
    /// The attachment's waker, kept between wake-ups: a clone per wake-up would cost two atomic operations.
    waker: Option<Waker>,
    rest: Rest,
    /// What the handler is to be told, where that comes from more than the attachment.
    call_state: CallState,
    aside: Option<Box<Aside>>,
    /// The attachment reads nothing, since the handler takes nothing for now.
    pub(crate) is_held_back: bool,
    /// The linger time is over: the connection is to be dropped, whatever is left to write.
    pub(crate) expired: bool,
}

/// Whether the attachment sleeps. Before it does, it looks whether anything has happened: what happens while it is awake wakes nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Awake,
    /// It is to be woken by the next change.
    Parked,
    /// It will be woken in its turn; what cannot wait so long wakes it at once.
    Queued,
}

/// What the attachment of a resumable session is to say besides frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Due(u8);

impl Due {
    pub(crate) const PING: Self = Self(1);
    pub(crate) const PONG: Self = Self(2);
    /// The handler takes nothing for now.
    pub(crate) const BUSY: Self = Self(4);
    /// Frames were taken that came with the request that the attachment answers.
    pub(crate) const ACK: Self = Self(8);
    /// The client has to say on another connection what it has, as it is not heard on this one.
    pub(crate) const RENEW: Self = Self(16);

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

impl Core {
    /// A session that is attached to this transport.
    pub(super) fn new(session: Session, transport: Transport) -> Self {
        let mut session = session;
        session.handle_carried(carried_by(transport));
        Self {
            session,
            transport,
            due: Due::default(),
            waker: None,
            rest: Rest::Awake,
            call_state: CallState::default(),
            aside: None,
            is_held_back: false,
            expired: false,
        }
    }

    /// The wake step, in one place: everything that makes an attachment look again goes through here.
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

    /// The same for whatever waits to give the handler another message, or for room.
    pub(crate) fn wake_readers(&mut self) {
        self.wake_reader();
        self.calls().take_pushers().into_iter().for_each(Waker::wake);
        self.wake();
    }

    /// Less waits for the client than before: wakes those who wait for that, once there is half of the room.
    #[inline]
    pub(crate) fn note_room(&mut self, limits: &OutboxLimits) {
        // Hardly any session has something aside.
        if self.aside.is_some() {
            self.wake_pushers(limits);
        }
    }

    fn wake_pushers(&mut self, limits: &OutboxLimits) {
        if self.calls().has_pushers() && self.session.has_room(limits) {
            self.calls().take_pushers().into_iter().for_each(Waker::wake);
        }
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.calls().set_reader(None) {
            reader.wake();
        }
    }

    /// The same for one of many.
    pub(super) fn wake_in_turn(&mut self, flusher: &Flusher) {
        if self.rest == Rest::Parked
            && let Some(waker) = &self.waker
        {
            self.rest = Rest::Queued;
            flusher.later(waker.clone());
        }
    }

    /// The attachment looks: until it goes to sleep again, nobody has to wake it.
    #[inline]
    pub(crate) fn look(&mut self) {
        self.rest = Rest::Awake;
    }

    /// The attachment goes to sleep until the next [`Core::wake`].
    pub(crate) fn park(&mut self, cx: &Context<'_>) {
        self.rest = Rest::Parked;
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    /// Leaves a waker for [`LiveSession::resume_reading`], from a task that is not the attachment.
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
        if self.session.handle_carried(carried_by(transport)) {
            self.calls().push(Call::Back);
        }
        // A question that came by POST between two polls is answered by the next one.
        self.due.clear(Due::PING);
        self.due.clear(Due::RENEW);
        self.forget_cut();
        self.wake();
    }

    /// This transport carried the session last, at another place.
    pub(super) fn set_transport(&mut self, transport: Transport) {
        self.transport = transport;
    }

    /// Whoever carried the session does so no more: all that wait look for what became of it, and the attachment for the last time.
    pub(super) fn cut(&mut self) {
        self.due = Due::default();
        self.is_held_back = false;
        self.wake_readers();
        self.waker = None;
    }

    /// The attachment is gone: its waker would only keep its memory alive.
    pub(crate) fn detach(&mut self, now: Tick) {
        self.session.handle_detached(now);
        self.rest = Rest::Awake;
        self.waker = None;
        // A POST that waits for the handler does so with or without an attachment: it leaves its waker again.
        self.wake_reader();
    }

    /// What the handler is to be told.
    pub(crate) fn calls(&mut self) -> Calls<'_> {
        Calls { state: &mut self.call_state, aside: &mut self.aside }
    }

    /// What there is to know of a session that has come from another node, or goes to one.
    #[inline]
    pub(super) fn moving(&self) -> Option<&Moving> {
        self.aside.as_deref()?.moving.as_deref()
    }

    pub(super) fn moving_mut(&mut self) -> Option<&mut Moving> {
        self.aside.as_deref_mut()?.moving.as_deref_mut()
    }

    /// What waits to be sent to the client.
    pub(crate) fn backlog(&mut self, now: Tick) -> Backlog {
        let (unsent, first) = (self.session.unsent(), self.session.first_unsent());
        let trail = self.calls().trail().map(|trail| trail.age(first, now));
        let age = trail.filter(|_| unsent.frames > 0).unwrap_or_default();
        Backlog { frames: unsent.frames, bytes: unsent.bytes, age }
    }

    /// The sweep comes by: remembers how far the session has come, if something waits for the client.
    pub(crate) fn note_waiting(&mut self, now: Tick) {
        let (first, last) = (self.session.first_unsent(), self.session.last_pushed());
        let mut is_late = false;
        if first > last {
            self.calls().forget_trail();
        } else {
            let mut calls = self.calls();
            let trail = calls.trail_mut();
            trail.note(first, last, now);
            is_late = !trail.age(first, now).is_zero();
        }
        self.session.handle_swept(is_late);
    }

    /// Whether the client is not heard as the handler takes nothing for now, so that its silence says nothing.
    pub(crate) fn is_deaf(&mut self) -> bool {
        self.is_held_back || self.calls().has_reader()
    }

    /// The transport that carries the session, or did last.
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether this transport carries the session, or did last.
    pub(crate) fn is_carried_by(&self, transport: Transport) -> bool {
        self.transport == transport
    }

    /// Whether an attachment carries the session now.
    pub(crate) fn is_attached(&self) -> bool {
        self.session.is_carried()
    }
}

/// The way in which a transport carries a session.
fn carried_by(transport: Transport) -> CarriedBy {
    match transport {
        Transport::Websocket | Transport::Sse => CarriedBy::Stream,
        Transport::Longpoll => CarriedBy::Poll,
    }
}
