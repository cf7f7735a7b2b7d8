//! The task of one WebSocket: drains the session's outbox into the socket, and the socket into the handler.
//!
//! ```text
//!          close() or TooSlow             outbox written         peer's close, end of stream,
//!          or a bad message               close frame queued     or the linger time is over
//!   Open ────────────────────▶ Draining ────────────────▶ CloseSent ───────────────▶ done
//!     │ client's close                                outbox written, close frame queued
//!     └────────────────▶ Draining(Client) ─────────────────────▶ Answering ── all written ──▶ done
//! ```
//!
//! Frames stay in the session's outbox until the socket took their last byte; what was written of the first is
//! a number, not a copy. So a stalled client holds no memory but shared frames, and dropping the task loses
//! nothing that was not lost with the connection.
//!
//! The connection of a resumable session does the same, but the frames stay until the client acknowledged them, and the
//! end of the connection is not the end of the session. A newer attachment ends it (Open ▶ Answering).

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tracing::debug;

use super::{
    carrying::Carrying,
    close_code::CloseCode,
    codec::{ClosePayload, Decoder, Event, OpCode, append_frame, encode_header, frame_bytes},
    scratch,
};
use crate::{
    clock::Tick,
    close::CloseReason,
    frame::{Frame, FrameKind},
    handler::Handler,
    http2,
    live::{Core, LiveSession},
    manager::Manager,
    resumable::{admission::Attached, lines::ServerControl},
};

/// Reads and writes of one poll: then other tasks get their turn.
const TURNS_MAX: usize = 16;

/// A frame of this size or more is written from its own bytes; smaller ones are gathered into one write, where
/// a copy costs less than another slice.
const VECTORED_BYTES_MIN: usize = 16 * 1024;

/// Pongs that wait to be written. A client that pings faster than it reads loses pongs, as RFC 6455 allows.
const CONTROL_BYTES_MAX: usize = 1_024;

/// The future of a WebSocket connection. Everything lies in one box, so that the task is a pointer long.
pub(super) struct Connection<H: Handler, Io>(Box<State<H, Io>>);

struct State<H: Handler, Io> {
    io: Io,
    manager: Arc<Manager<H>>,
    session: Arc<LiveSession<H::State>>,
    decoder: Decoder,
    /// How far this connection has come, if its session outlives it.
    carrying: Option<Box<Carrying>>,
    phase: Phase,
    /// Whether the handler knows that the session is over.
    left: bool,
    /// Whether the last read was not tried because the handler was not ready.
    paused: bool,
    /// Whether bytes were written since the last flush.
    unflushed: bool,
    /// How much of the outbox's first frame, header included, the socket has taken.
    written: usize,
    /// Control frames that wait to be written, between two data frames.
    control: Option<Box<Vec<u8>>>,
    /// What was read and could not be used yet; most of the time that is nothing.
    unused: Option<Box<Unused>>,
}

/// What is known of what was read and could not be used yet.
#[derive(Default)]
struct Unused {
    /// Bytes that were not decoded: while the handler is not ready, and those that came with the upgrade.
    unread: Vec<u8>,
    /// What of it, and of the decoder's memory, the session owes.
    counted: usize,
    /// When the first byte of the incomplete message came, 0 if none is incomplete.
    begun: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Draining(CloseReason),
    CloseSent,
    Answering,
    Done,
}

/// What one gathering of the outbox found.
struct Gathered {
    /// A frame too large to copy, to be written by itself.
    large: Option<Frame>,
    closed: Option<CloseReason>,
    expired: bool,
    superseded: bool,
}

impl<H: Handler, Io: AsyncRead + AsyncWrite + Unpin> Connection<H, Io> {
    /// A connection whose handshake is done. `early` is what was read beyond it.
    pub(super) fn new(
        io: Io,
        manager: Arc<Manager<H>>,
        session: Arc<LiveSession<H::State>>,
        early: Vec<u8>,
    ) -> Self {
        Self::carrying(io, manager, session, early, None)
    }

    /// A connection that carries a resumable session.
    pub(super) fn attached(io: Io, manager: Arc<Manager<H>>, attached: Attached<H>, early: Vec<u8>) -> Self {
        let carrying = Carrying::new(attached.attachment, attached.sent, attached.taken);
        let mut connection = Self::carrying(io, manager, attached.session, early, Some(Box::new(carrying)));
        connection.0.queue_line(&attached.greeting);
        connection
    }

    fn carrying(
        io: Io,
        manager: Arc<Manager<H>>,
        session: Arc<LiveSession<H::State>>,
        early: Vec<u8>,
        carrying: Option<Box<Carrying>>,
    ) -> Self {
        Self(Box::new(State {
            io,
            manager,
            session,
            decoder: Decoder::new(),
            carrying,
            phase: Phase::Open,
            left: false,
            paused: false,
            unflushed: false,
            written: 0,
            control: None,
            unused: (!early.is_empty()).then(|| Box::new(Unused { unread: early, ..Unused::default() })),
        }))
    }
}

impl<H: Handler, Io: AsyncRead + AsyncWrite + Unpin> Future for Connection<H, Io> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let state = &mut *self.0;
        for _ in 0..TURNS_MAX {
            let wrote = match state.poll_write(cx) {
                Poll::Ready(Err(error)) => state.end(http2::close_reason(&error)),
                other => other.is_ready(),
            };
            let read = match state.phase {
                Phase::Done => return Poll::Ready(()),
                // A client that has closed has nothing more to say.
                Phase::Answering | Phase::Draining(CloseReason::Client) => false,
                _ => state.poll_read(cx).is_ready(),
            };
            if !read && state.park(cx, !wrote) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<H: Handler, Io: AsyncRead + AsyncWrite + Unpin> State<H, Io> {
    /// Writes all that waits. Ready when it is written, pending when the socket takes no more.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        scratch::with_write(|buffer| {
            let mut taken = 0;
            loop {
                buffer.clear();
                let control_taken = self.take_control(&mut taken);
                let gathered = self.gather(taken, buffer);
                if gathered.expired {
                    self.end(CloseReason::Lost);
                    return Poll::Ready(Ok(()));
                }
                debug_assert!(!control_taken || self.written == 0);
                let wrote = match (&gathered.large, buffer.is_empty()) {
                    (Some(frame), _) => self.poll_write_large(cx, frame),
                    (None, false) => Pin::new(&mut self.io).poll_write(cx, buffer),
                    (None, true) if self.next_phase(&gathered) => Poll::Ready(Ok(0)),
                    (None, true) => return self.poll_finish_writing(cx),
                };
                if wrote.is_pending() && gathered.superseded {
                    // Nobody reads at the other end of it; that is what the newer attachment is for.
                    self.end(CloseReason::Lost);
                    return Poll::Ready(Ok(()));
                }
                taken = ready!(wrote)?;
                self.unflushed = true;
                if taken == 0 && (gathered.large.is_some() || !buffer.is_empty()) {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
            }
        })
    }

    /// Takes what the socket took off the control frames, which came first in the last gathering.
    fn take_control(&mut self, taken: &mut usize) -> bool {
        let Some(control) = self.control.as_mut().filter(|_| self.written == 0 && *taken > 0) else {
            return false;
        };
        let from_control = control.len().min(*taken);
        control.drain(..from_control);
        *taken -= from_control;
        if control.is_empty() {
            self.control = None;
        }
        true
    }

    /// Takes `taken` bytes off the outbox, and gathers what is to be written next.
    fn gather(&mut self, taken: usize, buffer: &mut Vec<u8>) -> Gathered {
        let mut core = self.session.core();
        self.written += taken;
        let (mut frames, mut bytes) = (0, 0);
        while let Some(whole) =
            first_waiting(&core, self.carrying.as_deref()).map(|frame| frame_bytes(frame.payload().len()))
        {
            if self.written < whole {
                break;
            }
            self.written -= whole;
            frames += 1;
            bytes += whole;
            match &mut self.carrying {
                None => core.session.handle_written(),
                Some(carrying) => carrying.sent.0 += 1,
            }
        }
        if frames > 0 {
            self.session.common.counters.wrote(frames, bytes);
        }
        let mut superseded = false;
        if let Some(carrying) = &mut self.carrying {
            superseded = !core.session.is_current(carrying.attachment);
            if frames > 0 && !superseded {
                core.session.handle_sent(carrying.sent);
            }
            if !superseded && let Some(line) = carrying.due_line(&mut core) {
                append_frame(OpCode::Text, line.as_bytes(), self.control.get_or_insert_default());
            }
        }
        // A frame that was begun must be finished before a control frame may follow.
        if let Some(control) = self.control.as_ref().filter(|_| self.written == 0) {
            buffer.extend_from_slice(control);
        }
        let large = match &self.carrying {
            None => gather_frames(core.session.waiting(), self.written, buffer),
            Some(carrying) => {
                // Where the client goes on elsewhere it gets its frames there, but for one that was begun here.
                let is_ending = superseded || (self.phase != Phase::Open && core.session.closed().is_none());
                let count = if is_ending { usize::from(self.written > 0) } else { usize::MAX };
                gather_frames(core.session.waiting_after(carrying.sent).take(count), self.written, buffer)
            }
        };
        // The frame that was begun may be gone, acknowledged by way of the newer attachment.
        let expired = core.expired || (superseded && self.written > 0);
        Gathered { large, closed: core.session.closed(), expired, superseded }
    }

    fn poll_write_large(&mut self, cx: &mut Context<'_>, frame: &Frame) -> Poll<io::Result<usize>> {
        let mut header = [0; 10];
        let header_bytes = encode_header(opcode(frame), frame.payload().len(), &mut header);
        let header = &header[self.written.min(header_bytes)..header_bytes];
        let payload = &frame.payload()[self.written.saturating_sub(header_bytes)..];
        Pin::new(&mut self.io).poll_write_vectored(cx, &[IoSlice::new(header), IoSlice::new(payload)])
    }

    /// With nothing left to write, goes on to the next phase. Returns whether there is something to write now.
    fn next_phase(&mut self, gathered: &Gathered) -> bool {
        if gathered.superseded && self.phase == Phase::Open {
            self.queue_line(&ServerControl::Superseded.to_string());
            self.queue_close(CloseCode::SUPERSEDED.as_u16());
            self.phase = Phase::Answering;
            return true;
        }
        if let (Phase::Open, Some(reason)) = (self.phase, gathered.closed) {
            self.begin_close(reason);
        }
        let Phase::Draining(reason) = self.phase else { return false };
        if self.carrying.is_some() && gathered.closed.is_some() {
            self.queue_line(&ServerControl::Closed(reason).to_string());
        }
        self.queue_close(reason.code());
        // Of a session that goes on elsewhere, nobody would watch this end of it for long.
        let goes_on = self.carrying.is_some() && gathered.closed.is_none();
        self.phase =
            if reason == CloseReason::Client || goes_on { Phase::Answering } else { Phase::CloseSent };
        true
    }

    fn poll_finish_writing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        if self.phase == Phase::Answering {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            self.end(CloseReason::Client);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once and hands on what came. Ready when something was done, pending when there is nothing to do.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.paused = !self.is_reading();
        if self.paused {
            // The client cannot finish what is not read.
            if let Some(unused) = &mut self.unused {
                unused.begun = 0;
            }
            return Poll::Pending;
        }
        let unread = self.unused.as_mut().map(|unused| std::mem::take(&mut unused.unread));
        if let Some(mut unread) = unread.filter(|unread| !unread.is_empty()) {
            self.receive(&mut unread);
            self.account();
            return Poll::Ready(());
        }
        scratch::with_read(|buffer| {
            let mut read = ReadBuf::new(buffer);
            let result = ready!(Pin::new(&mut self.io).poll_read(cx, &mut read));
            let filled = read.filled().len();
            if result.is_err() || filled == 0 {
                self.end(result.map_or_else(|error| http2::close_reason(&error), |()| CloseReason::Lost));
                return Poll::Ready(());
            }
            self.session.touch();
            self.receive(&mut buffer[..filled]);
            self.account();
            Poll::Ready(())
        })
    }

    /// Counts what is kept of what was read, and ends the connection if that is too much or has been incomplete for too long.
    fn account(&mut self) {
        if self.unused.is_none() && self.decoder.is_idle() {
            return;
        }
        if self.phase != Phase::Open {
            self.decoder.discard_message();
        }
        let unused = self.unused.get_or_insert_default();
        let (kept, counted) = (self.decoder.held_bytes() + unused.unread.len(), unused.counted);
        let mut outcome = Ok(());
        if kept < counted {
            self.session.release(counted - kept);
        } else if kept > counted {
            outcome = self.session.hold(kept - counted).map_err(|_| CloseReason::OverBudget);
        }
        if outcome.is_ok() {
            unused.counted = kept;
        }
        let now = self.session.common.clock.now();
        if self.decoder.is_idle() {
            unused.begun = 0;
        } else if unused.begun == 0 {
            unused.begun = now.0;
        } else if now.since(Tick(unused.begun)) >= self.manager.message_timeout() {
            outcome = outcome.and(Err(CloseReason::Protocol(CloseCode::POLICY_VIOLATION.as_u16())));
        }
        if let Err(reason) = outcome {
            debug!(?reason, "websocket closed: a message is too much, or took too long");
            self.handle_end(reason);
            self.discard_input();
        } else if unused.unread.is_empty() && self.decoder.is_idle() {
            self.unused = None;
        }
    }

    /// Keeps nothing of a message that will not be handed on.
    fn discard_input(&mut self) {
        self.decoder.discard_message();
        if let Some(unused) = &mut self.unused {
            let kept = unused.counted.min(unused.unread.len());
            self.session.release(unused.counted - kept);
            unused.counted = kept;
        }
    }

    /// Decodes bytes from the client and acts on what they say.
    fn receive(&mut self, mut input: &mut [u8]) {
        loop {
            if !input.is_empty() && !self.is_reading() {
                self.unused.get_or_insert_default().unread = input.to_vec();
                return;
            }
            let (used, event) = self.decoder.decode(input, &self.manager.decode_limits);
            let outcome = match event {
                Ok(None) => return,
                Ok(Some(Event::Message(message))) if self.phase == Phase::Open => {
                    if let Some(unused) = &mut self.unused {
                        unused.begun = 0;
                    }
                    match &mut self.carrying {
                        None => self.manager.handler.received(&self.session, message),
                        Some(carrying) => carrying.receive(&self.manager, &self.session, message),
                    }
                }
                Ok(Some(Event::Message(_) | Event::Pong(_))) => Ok(()),
                Ok(Some(Event::Ping(payload))) => {
                    queue_pong(&mut self.control, payload);
                    Ok(())
                }
                Ok(Some(Event::Close(_))) => Err(CloseReason::Client),
                Err(error) => {
                    debug!(%error, "websocket closed: protocol error");
                    Err(CloseReason::Protocol(error.close_code().as_u16()))
                }
            };
            match outcome {
                Ok(()) => input = &mut input[used..],
                Err(reason) => return self.handle_end(reason),
            }
        }
    }

    /// The client's side is over, or must be.
    fn handle_end(&mut self, reason: CloseReason) {
        match (self.phase, reason) {
            (Phase::Open, _) => self.begin_close(reason),
            // Both ends close: what waits is still written, and the answer needs no answer.
            (Phase::Draining(_), CloseReason::Client) => self.phase = Phase::Draining(CloseReason::Client),
            (Phase::Draining(_), _) => {}
            // The peer answered our close, or can no longer be understood after it.
            (_, _) => {
                self.end(reason);
            }
        }
    }

    /// Ends the session; the connection still has to say goodbye.
    fn begin_close(&mut self, reason: CloseReason) {
        self.close_plain(reason);
        let reason = self.session.closed().unwrap_or(reason);
        self.phase = Phase::Draining(reason);
        self.discard_input();
        self.leave(reason);
    }

    /// Ends the connection. Returns true, as what follows has nothing to wait for.
    fn end(&mut self, reason: CloseReason) -> bool {
        self.close_plain(reason);
        self.leave(self.session.closed().unwrap_or(reason));
        self.phase = Phase::Done;
        true
    }

    /// A plain session ends with its connection.
    fn close_plain(&self, reason: CloseReason) {
        if self.carrying.is_none() {
            self.session.close(reason);
        }
    }

    /// Tells the handler, once.
    fn leave(&mut self, reason: CloseReason) {
        match &self.carrying {
            Some(_) if self.session.closed().is_some() => self.manager.end_resumable(&self.session),
            None if !self.left => {
                self.left = true;
                self.manager.handler.closed(&self.session, reason);
            }
            _ => {}
        }
    }

    fn queue_close(&mut self, code: u16) {
        let code = CloseCode::from_wire(code).unwrap_or(CloseCode::GOING_AWAY);
        let payload = ClosePayload::new(code, "");
        append_frame(OpCode::Close, payload.as_bytes(), self.control.get_or_insert_default());
    }

    fn queue_line(&mut self, line: &str) {
        append_frame(OpCode::Text, line.as_bytes(), self.control.get_or_insert_default());
    }

    /// Whether the client may say more now. Not while its outbox is half full: who asks for answers and does not
    /// read them has to wait, and is not closed for what it caused itself. Always after the end, when what it
    /// says goes nowhere.
    fn is_reading(&self) -> bool {
        let is_relaxed = || match &self.carrying {
            None => self.session.is_relaxed(),
            // What it has to acknowledge is no reason not to hear its acknowledgements.
            Some(carrying) => carrying.is_relaxed(&self.session),
        };
        self.phase != Phase::Open || (is_relaxed() && self.manager.handler.is_ready(&self.session))
    }

    /// Goes to sleep unless something happened meanwhile. `blocked`: the socket takes no more for now, so that
    /// new frames alone are no reason to wake up.
    fn park(&mut self, cx: &Context<'_>, blocked: bool) -> bool {
        let mut core = self.session.core();
        let news = match (self.phase, &self.carrying) {
            (Phase::Open, None) => core.session.closed().is_some() || !core.session.is_drained(),
            (Phase::Open, Some(carrying)) => carrying.has_news(&core),
            _ => false,
        };
        let superseded =
            self.carrying.as_ref().is_some_and(|carrying| !core.session.is_current(carrying.attachment));
        // Superseded just now, it would not be woken again: the socket may never take more.
        let is_ending = superseded && matches!(self.phase, Phase::Open | Phase::Draining(_));
        if (news && !blocked) || core.expired || is_ending {
            return false;
        }
        if !superseded {
            core.park(cx);
        }
        drop(core);
        // A handler that became ready before the waker was in place woke nobody.
        !(self.paused && self.is_reading())
    }
}

impl<H: Handler, Io> Drop for Connection<H, Io> {
    /// However the task ends, a plain session ends with it.
    fn drop(&mut self) {
        let State { manager, session, left, carrying, unused, .. } = &*self.0;
        session.release(unused.as_ref().map_or(0, |unused| unused.counted));
        if let Some(carrying) = carrying {
            return manager.detach(session, carrying.attachment);
        }
        session.close(CloseReason::Lost);
        session.core().detach();
        manager.registry.remove(session);
        if !left {
            manager.handler.closed(session, session.closed().unwrap_or(CloseReason::Lost));
        }
    }
}

/// The frame that is to be written next.
fn first_waiting<'a>(core: &'a Core, carrying: Option<&Carrying>) -> Option<&'a Frame> {
    match carrying {
        None => core.session.first_waiting(),
        Some(carrying) => core.session.waiting_after(carrying.sent).next(),
    }
}

/// Copies waiting frames behind `buffer`, the first without its first `written` bytes. A frame that is too
/// large for that is returned if it is the first to be written.
fn gather_frames<'a>(
    frames: impl Iterator<Item = &'a Frame>,
    written: usize,
    buffer: &mut Vec<u8>,
) -> Option<Frame> {
    let mut skip = written;
    for frame in frames {
        let payload = frame.payload();
        if payload.len() >= VECTORED_BYTES_MIN {
            return buffer.is_empty().then(|| frame.clone());
        }
        if buffer.len() + frame_bytes(payload.len()) > scratch::BYTES {
            return None;
        }
        if skip == 0 {
            append_frame(opcode(frame), payload, buffer);
        } else {
            let start = buffer.len();
            append_frame(opcode(frame), payload, buffer);
            buffer.drain(start..start + skip);
            skip = 0;
        }
    }
    None
}

fn queue_pong(control: &mut Option<Box<Vec<u8>>>, payload: &[u8]) {
    let control = control.get_or_insert_default();
    if control.len() < CONTROL_BYTES_MAX {
        append_frame(OpCode::Pong, payload, control);
    }
}

fn opcode(frame: &Frame) -> OpCode {
    match frame.kind() {
        FrameKind::Text => OpCode::Text,
        FrameKind::Binary => OpCode::Binary,
    }
}
