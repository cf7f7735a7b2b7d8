//! The task of one WebSocket: drains the session's outbox into the socket, and the socket into the handler. What is written next is
//! decided by [`Egress`], and how it ends by the [`Closing`](super::closing::Closing) in it; once nothing is left but last words, they are
//! [`Farewell`]'s.
//!
//! Frames stay in the session's outbox until the socket took their last byte; what was written of the first is
//! a number, not a copy. So a stalled client holds no memory but shared frames, and dropping the task loses
//! nothing that was not lost with the connection.
//!
//! The connection of a resumable session does the same, but the frames stay until the client acknowledged them, and the
//! end of the connection is not the end of the session. A newer attachment ends it.

use std::{
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tracing::debug;

use super::{
    close_code::CloseCode,
    closing::Input,
    codec::{Decoder, Event},
    egress::{Egress, Next, Piece, Rest, carrying::Carrying},
    extensions::Extensions,
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
    live::LiveSession,
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
    egress: Egress,
    /// Whether the last read was not tried because the handler was not ready.
    paused: bool,
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
        Self::writing(io, manager, session, early, Egress::new(None))
    }

    /// A connection that carries a resumable session.
    pub(crate) fn attached(io: Io, manager: Arc<Manager<H>>, attached: Attached<H>, early: Vec<u8>) -> Self {
        let carrying = Carrying::new(attached.attachment, attached.sent, attached.taken);
        let mut egress = Egress::new(Some(Box::new(carrying)));
        egress.queue_lines(&attached.greeting);
        Self::writing(io, manager, attached.session, early, egress)
    }

    fn writing(
        io: Io,
        manager: Arc<Manager<H>>,
        session: Arc<LiveSession<H::State>>,
        early: Vec<u8>,
        egress: Egress,
    ) -> Self {
        let unused = (!early.is_empty()).then(|| Box::new(Unused::early(early)));
        Self(Some(State { io, manager, session, decoder: Decoder::new(), egress, paused: false, unused }))
    }

    /// The same with what client and server agreed on.
    pub(super) fn extended(mut self, extensions: Extensions) -> Self {
        if let Some(state) = &mut self.0 {
            state.egress.set_extensions(extensions);
            state.session.set_forms(extensions.forms());
        }
        self
    }

    /// Lets go of the session and keeps what the connection still has to say.
    fn part(&mut self) -> Option<Saying> {
        let mut state = self.0.take()?;
        state.detach();
        let State { io, manager, egress, .. } = state;
        let (closing, last_words) = egress.into_last_words();
        let farewell = Farewell::new(io, closing, last_words);
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
            if state.egress.closing.is_done() {
                return Poll::Ready(None);
            }
            if state.egress.closing.is_finishing() {
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
            while !self.egress.closing.is_finishing() {
                let next = self.egress.next(&mut self.session.core(), &self.session.common, buffer);
                let piece = match next {
                    Next::Write(piece) => piece,
                    Next::Flush => {
                        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
                        self.egress.handle_flushed();
                        break;
                    }
                    Next::Close(closed) => {
                        self.begin_end(closed);
                        continue;
                    }
                    Next::Lost => {
                        self.end(CloseReason::Lost);
                        break;
                    }
                    Next::Idle | Next::Part => break,
                };
                let Poll::Ready(taken) = self.poll_write_piece(cx, &piece, buffer) else {
                    if self.egress.handle_blocked(&mut self.session.core(), &piece) {
                        return Poll::Pending;
                    }
                    self.end(CloseReason::Lost);
                    break;
                };
                let taken = taken?;
                if taken == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                if self.paused {
                    // It is not heard, but it reads.
                    self.session.touch();
                }
                self.egress.handle_taken(taken, &piece);
            }
            Poll::Ready(Ok(()))
        })
    }

    fn poll_write_piece(
        &mut self,
        cx: &mut Context<'_>,
        piece: &Piece,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (io, mut header) = (Pin::new(&mut self.io), [0; 10]);
        match self.egress.parts(piece, &mut header) {
            None => io.poll_write(cx, buffer),
            Some(parts) => io.poll_write_vectored(cx, &parts.map(IoSlice::new)),
        }
    }

    /// All is written but the end.
    fn begin_end(&mut self, closed: Option<CloseReason>) {
        if self.egress.closing.is_open()
            && let Some(reason) = closed
        {
            self.begin_close(Over::Ours(reason));
        }
        self.egress.queue_end(closed, &self.session);
    }

    /// Reads once and hands on what came. Ready when something was done, pending when there is nothing to do.
    fn poll_read(&mut self, cx: &mut Context<'_>, messages_left: &mut usize) -> Poll<()> {
        let input = self.egress.closing.input();
        self.paused = input != Input::Leave && !self.may_read(self.egress.is_relaxed());
        if self.paused || input == Input::Leave {
            // The client cannot finish what is not read.
            if let Some(unused) = &mut self.unused {
                unused.restart();
            }
            return Poll::Pending;
        }
        let carrying = self.egress.carrying_mut();
        let kept = carrying.and_then(|carrying| carrying.take_kept(&self.manager, &self.session));
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
                Ok(()) if filled == 0 && self.egress.closing.is_open() => self.end(CloseReason::Lost),
                Ok(()) if filled == 0 => self.egress.closing.handle_peer_end(),
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
        if !self.egress.closing.is_open() {
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
        if self.egress.closing.input() == Input::Decode {
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
        let (mut used, limits) = (0, self.egress.extensions().limits(&self.manager.decode_limits));
        while self.egress.closing.input() == Input::Decode {
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
            *messages_left = messages_left.saturating_sub(self.egress.extensions().weight(&event));
            let outcome = match event {
                Ok(None) => return input.len(),
                Ok(Some(Event::Message(message))) if self.egress.closing.is_open() => {
                    if let Some(unused) = &mut self.unused {
                        unused.restart();
                    }
                    match self.egress.carrying_mut() {
                        None => {
                            self.session.common.counters.took(Transport::Websocket, message.as_bytes().len());
                            self.manager.handler.received(&self.session, message).map_err(Over::Enough)
                        }
                        Some(carrying) => carrying.receive(&self.manager, &self.session, message),
                    }
                }
                Ok(Some(Event::Ping(payload))) if self.egress.closing.is_sending() => {
                    self.egress.queue_pong(payload);
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
        let was_open = self.egress.closing.is_open();
        let reason = match over {
            Over::Ours(reason) => {
                self.egress.closing.handle_close(reason);
                reason
            }
            Over::Theirs => {
                self.egress.closing.handle_peer_close();
                CloseReason::Client
            }
            Over::Enough(reason) => {
                self.egress.closing.handle_breach(reason);
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
        let was_open = self.egress.closing.is_open();
        self.egress.closing.handle_lost();
        if was_open {
            self.leave(reason);
        }
    }

    /// Whether the client may say more now. Not while its outbox is half full: who asks for answers and does not
    /// read them has to wait, and is not closed for what it caused itself. Always after the end, when what it
    /// says goes nowhere.
    fn is_reading(&self) -> bool {
        // What came as the session was held still comes before what follows it.
        let has_kept = self.egress.carrying().is_some_and(Carrying::has_kept);
        self.may_read(!has_kept && self.looks_relaxed())
    }

    fn looks_relaxed(&self) -> bool {
        self.egress.looks_relaxed(&mut self.session.core(), &self.session.common.outbox)
    }

    fn may_read(&self, is_relaxed: bool) -> bool {
        !self.egress.closing.is_open() || (is_relaxed && self.manager.handler.is_ready(&self.session))
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
        match self.egress.rest(&core, limits, blocked) {
            Rest::None => return false,
            Rest::Parked => core.park(cx),
            Rest::Apart => {}
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
        match self.egress.carrying() {
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
        let Self { manager, session, egress, .. } = self;
        if let Some(carrying) = egress.carrying_mut() {
            carrying.drop_kept(session);
            return manager.detach(session, carrying.attachment);
        }
        session.close(CloseReason::Lost);
        session.core().detach(manager.common.clock.now());
        manager.registry.remove(session);
        if self.egress.closing.is_open() {
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
