//! The task of one WebSocket: drains the session's outbox into the socket, and the socket into the handler. How it ends is
//! decided by [`Closing`]; once nothing is left but last words, they are [`Farewell`]'s.
//!
//! Frames stay in the session's outbox until the socket took their last byte; what was written of the first is
//! a number, not a copy. So a stalled client holds no memory but shared frames, and dropping the task loses
//! nothing that was not lost with the connection.
//!
//! The connection of a resumable session does the same, but the frames stay until the client acknowledged them, and the
//! end of the connection is not the end of the session. A newer attachment ends it.

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tracing::debug;

use super::{
    close_code::CloseCode,
    closing::{Closing, Input},
    codec::{Decoder, Event},
    egress::{carrying::Carrying, gathering, gathering::Gathered},
    extensions::{Extensions, Writing},
    farewell::Farewell,
    receiving::Over,
    scratch,
    unused::Unused,
};
use crate::{
    close::CloseReason,
    connect::Transport,
    handler::Handler,
    http2,
    live::{
        LiveSession,
        waking::{Core, Due},
    },
    manager::{Manager, admission::Attached},
};

/// Reads and writes of one poll: then other tasks get their turn.
const TURNS_MAX: usize = 4;

/// Messages of one poll. What one costs is up to the handler, and a read may bring thousands: a millisecond at most, where
/// each of them joins or leaves a channel.
const MESSAGES_MAX: usize = 256;

/// The future of a WebSocket connection, which yields what is left to be said, unless the connection is lost.
pub(crate) struct Connection<H: Handler, Io>(Option<State<H, Io>>);

/// What is left of a connection. In a box of its own, so that it takes no room while the connection lasts.
pub(crate) type Saying = Pin<Box<dyn Future<Output = ()> + Send>>;

struct State<H: Handler, Io> {
    io: Io,
    manager: Arc<Manager<H>>,
    session: Arc<LiveSession<H::State>>,
    decoder: Decoder,
    /// How far this connection has come, if its session outlives it.
    carrying: Option<Box<Carrying>>,
    closing: Closing,
    writing: Writing,
    /// Whether the last read was not tried because the handler was not ready.
    paused: bool,
    /// Whether little waited for the client when that was last looked at: at the end of writing, just before reading.
    is_relaxed: bool,
    /// How much of the outbox's first frame, header included, the socket has taken.
    written: usize,
    /// Control frames that wait to be written, between two data frames.
    control: Option<Box<Vec<u8>>>,
    /// What was read and could not be used yet; most of the time that is nothing.
    unused: Option<Box<Unused>>,
}

impl<H: Handler, Io: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection<H, Io> {
    /// A connection whose handshake is done. `early` is what was read beyond it.
    pub(crate) fn new(
        io: Io,
        manager: Arc<Manager<H>>,
        session: Arc<LiveSession<H::State>>,
        early: Vec<u8>,
    ) -> Self {
        Self::carrying(io, manager, session, early, None)
    }

    /// A connection that carries a resumable session.
    pub(crate) fn attached(io: Io, manager: Arc<Manager<H>>, attached: Attached<H>, early: Vec<u8>) -> Self {
        let carrying = Carrying::new(attached.attachment, attached.sent, attached.taken);
        let mut connection = Self::carrying(io, manager, attached.session, early, Some(Box::new(carrying)));
        if let Some(state) = &mut connection.0 {
            gathering::queue_lines(&mut state.control, &attached.greeting);
        }
        connection
    }

    fn carrying(
        io: Io,
        manager: Arc<Manager<H>>,
        session: Arc<LiveSession<H::State>>,
        early: Vec<u8>,
        carrying: Option<Box<Carrying>>,
    ) -> Self {
        Self(Some(State {
            io,
            manager,
            session,
            decoder: Decoder::new(),
            carrying,
            closing: Closing::open(),
            writing: Writing::default(),
            paused: false,
            is_relaxed: true,
            written: 0,
            control: None,
            unused: (!early.is_empty()).then(|| Box::new(Unused::early(early))),
        }))
    }

    /// The same with what client and server agreed on.
    pub(super) fn extended(mut self, extensions: Extensions) -> Self {
        if let Some(state) = &mut self.0 {
            state.writing = extensions.into();
            state.session.set_forms(extensions.forms());
        }
        self
    }

    /// Lets go of the session and keeps what the connection still has to say.
    fn part(&mut self) -> Option<Saying> {
        let mut state = self.0.take()?;
        state.detach();
        let State { io, manager, closing, control, .. } = state;
        let farewell = Farewell::new(io, closing, control.map_or_else(Vec::new, |control| *control));
        Some(Box::pin(async move { farewell.say(&manager).await }))
    }
}

impl<H: Handler, Io: AsyncRead + AsyncWrite + Unpin + Send + 'static> Future for Connection<H, Io> {
    type Output = Option<Saying>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut messages_left = MESSAGES_MAX;
        for _ in 0..TURNS_MAX {
            let Some(state) = &mut self.0 else { return Poll::Ready(None) };
            let wrote = match state.poll_write(cx) {
                Poll::Ready(Err(error)) => {
                    state.end(http2::close_reason(&error));
                    true
                }
                other => other.is_ready(),
            };
            let read = state.poll_read(cx, &mut messages_left).is_ready();
            if state.closing.is_done() {
                return Poll::Ready(None);
            }
            if state.closing.is_finishing() {
                return Poll::Ready(self.part());
            }
            if !read && state.park(cx, !wrote) {
                return Poll::Pending;
            }
            if messages_left == 0 {
                break;
            }
        }
        // Woken after the runtime has looked at its sockets: tasks that only wake themselves keep it from that for 61 polls.
        let _ = pin!(tokio::task::yield_now()).poll(cx);
        Poll::Pending
    }
}

impl<H: Handler, Io: AsyncRead + AsyncWrite + Unpin + Send + 'static> State<H, Io> {
    /// Writes all that waits. Ready when it is written, pending when the socket takes no more.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        scratch::with_write(|buffer| {
            let mut taken = 0;
            while !self.closing.is_finishing() {
                buffer.clear();
                if self.written == 0 {
                    gathering::take_control(&mut self.control, &mut taken);
                }
                let gathered = self.gather(taken, buffer);
                if gathered.expired {
                    self.end(CloseReason::Lost);
                    return Poll::Ready(Ok(()));
                }
                let wrote = match (&gathered.large, buffer.is_empty()) {
                    (Some(frame), _) => {
                        let (io, extensions) = (Pin::new(&mut self.io), self.writing.extensions());
                        gathering::poll_write_large(io, cx, extensions, frame, self.written)
                    }
                    (None, false) => Pin::new(&mut self.io).poll_write(cx, buffer),
                    (None, true) if self.next_phase(&gathered) => Poll::Ready(Ok(0)),
                    (None, true) => return self.writing.poll_flush(Pin::new(&mut self.io), cx),
                };
                if wrote.is_pending() {
                    if gathered.superseded {
                        // Nobody reads at the other end of it; that is what the newer attachment is for.
                        self.end(CloseReason::Lost);
                        return Poll::Ready(Ok(()));
                    }
                    gathering::stall(&mut self.session.core(), self.carrying.as_deref(), self.written);
                }
                taken = ready!(wrote)?;
                if self.paused && taken > 0 {
                    // It is not heard, but it reads.
                    self.session.touch();
                }
                let gathered = gathered.bytes(buffer, self.writing.extensions(), self.written);
                gathering::note_written(self.carrying.as_deref_mut(), taken, gathered);
                self.writing.set_unflushed();
                if taken == 0 && gathered > 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Takes `taken` bytes off the outbox, and gathers what is to be written next.
    fn gather(&mut self, taken: usize, buffer: &mut Vec<u8>) -> Gathered {
        let mut core = self.session.core();
        let limits = &self.session.common.outbox;
        if self.is_suspended(&core) {
            self.written += taken;
            self.is_relaxed = false;
            return Gathered::suspended(&core);
        }
        if taken == 0 && self.control.is_none() && !self.has_news(&core) {
            // Most looks find this: the client has said something, and nothing waits for it.
            self.is_relaxed = self.carrying.is_none() || Carrying::is_relaxed(&mut core, limits);
            return Gathered::nothing(&core);
        }
        self.written += taken;
        let extensions = self.writing.extensions();
        let (frames, bytes) =
            gathering::take_written(&mut core, self.carrying.as_deref_mut(), extensions, &mut self.written);
        if frames > 0 {
            self.session.common.counters.wrote(Transport::Websocket, frames, bytes);
        }
        let is_to_be_renewed = core.due.has(Due::RENEW);
        let (mut superseded, mut cut) = (false, false);
        if let Some(carrying) = &mut self.carrying {
            superseded = !core.session.is_current(carrying.attachment);
            cut = superseded && core.is_cut(carrying.attachment);
            if frames > 0 && !superseded {
                core.session.handle_sent(carrying.sent);
            }
            // One line waits to be written: the next one would say more.
            let may_say = !superseded && self.closing.is_sending() && self.control.is_none();
            if may_say && let Some(line) = carrying.due_line(&mut core, limits) {
                gathering::queue_line(&mut self.control, &line);
            }
        }
        core.note_room(limits);
        self.is_relaxed = match &self.carrying {
            None => core.session.is_relaxed(limits),
            Some(_) => Carrying::is_relaxed(&mut core, limits),
        };
        // A frame that was begun must be finished before a control frame may follow.
        if let Some(control) = self.control.as_ref().filter(|_| self.written == 0) {
            buffer.extend_from_slice(control);
        }
        let (large, in_hand) = match &self.carrying {
            None => gathering::gather(core.session.waiting(), extensions, self.written, buffer),
            Some(carrying) if !carrying.has_more(&core.session) => (None, 0),
            Some(carrying) => {
                // Where the client goes on elsewhere it gets its frames there, but for one that was begun here.
                let is_ending = superseded || (!self.closing.is_open() && core.session.closed().is_none());
                let count = match (self.closing.is_sending(), is_ending) {
                    (true, false) => usize::MAX,
                    (true, true) => usize::from(self.written > 0),
                    (false, _) => 0,
                };
                let frames = core.session.sendable_after(carrying.sent, limits);
                gathering::gather(frames.take(count), extensions, self.written, buffer)
            }
        };
        if !superseded {
            core.session.handle_in_hand(in_hand);
            if taken > 0 {
                core.session.handle_flowing();
            }
        }
        // The frame that was begun may be gone, acknowledged by way of the newer attachment.
        let expired = core.expired || is_to_be_renewed || (superseded && self.written > 0);
        Gathered { large, closed: core.session.closed(), expired, superseded, cut }
    }

    /// Whether the session is frozen: this connection waits for what becomes of it.
    fn is_suspended(&self, core: &Core) -> bool {
        self.carrying.as_ref().is_some_and(|carrying| core.is_suspended(carrying.attachment))
    }

    /// Whether there is something to write or to do; always once the connection is to be closed.
    #[inline]
    fn has_news(&self, core: &Core) -> bool {
        match &self.carrying {
            None => !core.session.is_drained(),
            Some(carrying) => !self.closing.is_open() || carrying.has_news(core, &self.session.common.outbox),
        }
    }

    /// With nothing left to write, says what is due then. Returns whether there is something to write now.
    fn next_phase(&mut self, gathered: &Gathered) -> bool {
        if gathered.superseded && self.closing.is_open() {
            gathering::queue_parting(&mut self.control, gathered.cut);
            self.closing.handle_superseded();
            return true;
        }
        if self.closing.is_open()
            && let Some(reason) = gathered.closed
        {
            self.begin_close(Over::Ours(reason));
        }
        let Some(reason) = self.closing.close_due() else { return false };
        if self.carrying.is_some()
            && let Some(reason) = gathered.closed
        {
            gathering::queue_line(&mut self.control, &self.session.closed_line(reason));
        }
        if self.carrying.is_none() && reason.takes_words() {
            let words = self.session.last_words(reason);
            gathering::queue_close(
                &mut self.control,
                reason.plain_code(),
                reason.plain_words(words.as_deref()),
            );
        } else {
            gathering::queue_close(&mut self.control, reason.code(), "");
        }
        self.closing.handle_close_queued();
        true
    }

    /// Reads once and hands on what came. Ready when something was done, pending when there is nothing to do.
    fn poll_read(&mut self, cx: &mut Context<'_>, messages_left: &mut usize) -> Poll<()> {
        let input = self.closing.input();
        self.paused = input != Input::Leave && !self.may_read(self.is_relaxed);
        if self.paused || input == Input::Leave {
            // The client cannot finish what is not read.
            if let Some(unused) = &mut self.unused {
                unused.restart();
            }
            return Poll::Pending;
        }
        let kept =
            self.carrying.as_mut().and_then(|carrying| carrying.take_kept(&self.manager, &self.session));
        if let Some(taken) = kept {
            taken.err().into_iter().for_each(|over| self.begin_close(over));
            return Poll::Ready(());
        }
        let unread = self.unused.as_mut().map(|unused| std::mem::take(&mut unused.unread));
        if let Some(mut unread) = unread.filter(|unread| !unread.is_empty()) {
            let used = self.receive(unread.left(), messages_left);
            if !unread.use_up(used) {
                self.unused.get_or_insert_default().unread = unread;
            }
            self.account();
            return Poll::Ready(());
        }
        scratch::with_read(|buffer| {
            let mut read = ReadBuf::new(buffer);
            let result = ready!(Pin::new(&mut self.io).poll_read(cx, &mut read));
            let filled = read.filled().len();
            match result {
                Err(error) => self.end(http2::close_reason(&error)),
                Ok(()) if filled == 0 && self.closing.is_open() => self.end(CloseReason::Lost),
                Ok(()) if filled == 0 => self.closing.handle_peer_end(),
                Ok(()) if input == Input::Discard => {}
                Ok(()) => {
                    self.session.touch();
                    let used = self.receive(&mut buffer[..filled], messages_left);
                    if used < filled {
                        self.unused.get_or_insert_default().unread = buffer[used..filled].to_vec().into();
                    }
                    self.account();
                }
            }
            Poll::Ready(())
        })
    }

    /// Counts what is kept of what was read, and ends the connection if that is too much or has been incomplete for too long.
    fn account(&mut self) {
        if self.unused.is_none() && self.decoder.is_idle() {
            return;
        }
        if !self.closing.is_open() {
            self.decoder.discard_message();
        }
        let (held, is_idle) = (self.decoder.held_bytes(), self.decoder.is_idle());
        let unused = self.unused.get_or_insert_default();
        let counted = unused.count(held, &self.session);
        let over = if let Err(reason) = counted {
            Over::Ours(reason)
        } else if is_idle {
            unused.restart();
            if unused.unread.is_empty() {
                self.unused = None;
            }
            return;
        } else if unused.is_late(self.session.common.clock.now(), self.manager.message_timeout()) {
            Over::Enough(CloseReason::Protocol(CloseCode::POLICY_VIOLATION.as_u16()))
        } else {
            return;
        };
        debug!(?over, "websocket closed: a message is too much, or took too long");
        self.begin_close(over);
    }

    /// Keeps nothing of what will not be handed on.
    fn discard_input(&mut self) {
        self.decoder.discard_message();
        if self.closing.input() == Input::Decode {
            if let Some(unused) = &mut self.unused {
                unused.count_unread(&self.session);
            }
        } else if let Some(mut unused) = self.unused.take() {
            unused.release(&self.session);
        }
    }

    /// Decodes bytes from the client and acts on what they say, up to its end, or as long as it may say more. Returns how many
    /// of them are done with.
    fn receive(&mut self, input: &mut [u8], messages_left: &mut usize) -> usize {
        let (mut used, limits) = (0, self.writing.extensions().limits(&self.manager.decode_limits));
        while self.closing.input() == Input::Decode {
            if used == input.len() {
                self.decoder.free();
                return used;
            }
            // Before the first it was looked at just now.
            if *messages_left == 0 || (used > 0 && !self.is_reading()) {
                // A client that waits holds nothing of what was handed on: a few bytes may have stood for megabytes.
                self.decoder.free();
                return used;
            }
            let (step, event) = self.decoder.decode(&mut input[used..], &limits);
            used += step;
            *messages_left = messages_left.saturating_sub(self.writing.extensions().weight(&event));
            let outcome = match event {
                Ok(None) => return input.len(),
                Ok(Some(Event::Message(message))) if self.closing.is_open() => {
                    if let Some(unused) = &mut self.unused {
                        unused.restart();
                    }
                    match &mut self.carrying {
                        None => {
                            self.session.common.counters.took(Transport::Websocket, message.as_bytes().len());
                            self.manager.handler.received(&self.session, message).map_err(Over::Enough)
                        }
                        Some(carrying) => carrying.receive(&self.manager, &self.session, message),
                    }
                }
                Ok(Some(Event::Ping(payload))) if self.closing.is_sending() => {
                    gathering::queue_pong(&mut self.control, payload);
                    Ok(())
                }
                Ok(Some(Event::Message(_) | Event::Ping(_) | Event::Pong(_))) => Ok(()),
                Ok(Some(Event::Close(_))) => Err(Over::Theirs),
                Err(error) => {
                    debug!(%error, "websocket closed: protocol error");
                    Err(Over::Enough(CloseReason::Protocol(error.close_code().as_u16())))
                }
            };
            if let Err(over) = outcome {
                self.begin_close(over);
            }
        }
        input.len()
    }

    /// Ends the session; the connection still has to say goodbye.
    fn begin_close(&mut self, over: Over) {
        let was_open = self.closing.is_open();
        let reason = match over {
            Over::Ours(reason) => {
                self.closing.handle_close(reason);
                reason
            }
            Over::Theirs => {
                self.closing.handle_peer_close();
                CloseReason::Client
            }
            Over::Enough(reason) => {
                self.closing.handle_breach(reason);
                reason
            }
        };
        self.discard_input();
        if was_open {
            self.leave(reason);
        }
    }

    /// Ends the connection without another word.
    fn end(&mut self, reason: CloseReason) {
        let was_open = self.closing.is_open();
        self.closing.handle_lost();
        if was_open {
            self.leave(reason);
        }
    }

    /// Whether the client may say more now. Not while its outbox is half full: who asks for answers and does not
    /// read them has to wait, and is not closed for what it caused itself. Always after the end, when what it
    /// says goes nowhere.
    fn is_reading(&self) -> bool {
        // What came as the session was held still comes before what follows it.
        let has_kept = self.carrying.as_ref().is_some_and(|carrying| carrying.has_kept());
        self.may_read(!has_kept && self.looks_relaxed())
    }

    fn looks_relaxed(&self) -> bool {
        let (mut core, limits) = (self.session.core(), &self.session.common.outbox);
        match &self.carrying {
            None => core.session.is_relaxed(limits),
            Some(_) => Carrying::is_relaxed(&mut core, limits),
        }
    }

    fn may_read(&self, is_relaxed: bool) -> bool {
        !self.closing.is_open() || (is_relaxed && self.manager.handler.is_ready(&self.session))
    }

    /// Goes to sleep unless something happened meanwhile. `blocked`: the socket takes no more for now, so that new frames alone are no reason to wake up.
    fn park(&mut self, cx: &Context<'_>, blocked: bool) -> bool {
        let is_busy = self.paused && !self.manager.is_ready(&self.session);
        let limits = &self.session.common.outbox;
        let mut core = self.session.core();
        // Where much waits the handler may wait for the client to read, whose silence counts then, but not while it is not heard
        // saying what it has.
        let is_stuck = self.paused && core.session.is_held(limits);
        core.is_held_back = is_stuck || (is_busy && core.session.is_relaxed(limits));
        let suspended = self.is_suspended(&core);
        let news = match (self.closing.is_open() && !suspended, &self.carrying) {
            (true, None) => core.session.closed().is_some() || !core.session.is_drained(),
            (true, Some(carrying)) => carrying.has_news(&core, limits),
            _ => false,
        };
        let superseded = !suspended
            && self.carrying.as_ref().is_some_and(|carrying| !core.session.is_current(carrying.attachment));
        // Superseded just now, it would not be woken again: the socket may never take more.
        let is_ending = superseded && self.closing.is_sending();
        if (news && !blocked) || core.expired || is_ending {
            return false;
        }
        if !superseded {
            core.park(cx);
        }
        drop(core);
        // A handler that became ready before the waker was in place woke nobody.
        !(self.paused && self.may_read(self.looks_relaxed()))
    }
}

impl<H: Handler, Io> State<H, Io> {
    /// The session is over, or this connection is no more of its business. A plain one ends with its connection, and the
    /// handler hears of it once: who calls this has just left the open phase.
    fn leave(&self, reason: CloseReason) {
        match &self.carrying {
            Some(_) if self.session.closed().is_some() => self.manager.end_resumable(&self.session),
            Some(_) => {}
            None => {
                self.session.close(reason);
                self.manager.closed(&self.session, self.session.closed().unwrap_or(reason));
            }
        }
    }

    /// However the task ends, a plain session ends with it.
    fn detach(&mut self) {
        if let Some(mut unused) = self.unused.take() {
            unused.release(&self.session);
        }
        let Self { manager, session, carrying, .. } = self;
        if let Some(carrying) = carrying {
            carrying.drop_kept(session);
            return manager.detach(session, carrying.attachment);
        }
        session.close(CloseReason::Lost);
        session.core().detach(manager.common.clock.now());
        manager.registry.remove(session);
        if self.closing.is_open() {
            self.leave(CloseReason::Lost);
        }
    }
}

impl<H: Handler, Io> Drop for Connection<H, Io> {
    fn drop(&mut self) {
        if let Some(state) = &mut self.0 {
            state.detach();
        }
    }
}
