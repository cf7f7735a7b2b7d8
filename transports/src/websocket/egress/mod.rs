//! What a WebSocket writes next. A state machine without a socket, a task and a clock: [`Egress::next`] says what is to be written, or what else
//! is to be done, and the driver says what became of it.
//!
//! ```text
//!               Write: control frames, then data frames; taken up to the middle of one
//!   ┌────────────┐ ─────────────────────────────────────────────────────────────▶ ┌────────────┐
//!   │ between    │                                                                │ within     │
//!   │ two frames │                                                                │ a frame    │
//!   └────────────┘ ◀───────────────────────────────────────────────────────────── └────────────┘
//!               Write: the rest of it, then data frames; taken up to the end of one
//! ```
//!
//! Where nothing waits, or nothing may be written, something else is next. The first row that fits counts:
//!
//! ```text
//!                                                between two frames             within a frame
//!   the session is frozen                        Close if one is due, or Idle   Idle
//!   its time is over, or its client has to
//!   say on another connection what it has        Lost                           Lost
//!   another carries it, or it was cut            Part, once control is written  Lost
//!   it was closed, or a close is due             Close, once all is written     Write
//!   nothing of that                              Flush once, then Idle          Write
//! ```
//!
//! A plain session knows no other rows but the last two, and the end of its time. Its frames leave the outbox when they are written, and those of a
//! resumable one when its client has said that it has them: how far a connection has come is in [`Carrying`] then.
//!
//! Laws, for every order of calls and however many bytes the socket takes (tested below):
//!
//! 1. *Each byte once.* The frames of the outbox are written in their order, from the first that the client does not have, and each byte of them
//!    once.
//! 2. *Whole frames.* Nothing comes between two parts of a frame.
//! 3. *Nothing behind the close frame.* It comes behind all that is to be written, and is the last.
//! 4. *Sent is taken.* A frame is taken for sent when the socket has its last byte, and not before.
//! 5. *One attachment.* Once another one carries the session no frame is begun here, and none is finished: it may be gone from the outbox. The client
//!    is told so between two frames; within one, and where that cannot be told from the outbox any more, the connection ends without a word.
//! 6. *Frozen.* Nothing of a session is written while it is frozen, and afterwards as law 5 has it.
//! 7. *All of it.* Nothing that may be written waits when `Idle` is next, and what was written is flushed by then. Who rests has nothing to write.
//! 8. *Bounded.* However often a client asks, no more waits than one line and a few pongs.

pub(super) mod carrying;
mod control;
mod gathering;

use self::{carrying::Carrying, control::Control};
use super::{
    close_code::CloseCode,
    closing::Closing,
    extensions::{Extensions, Writing},
};
use crate::{
    close::CloseReason,
    connect::Transport,
    dialect::server::ServerControl,
    frame::Frame,
    live::{
        Common, LiveSession,
        waking::{Core, Due},
    },
    session::outbox::OutboxLimits,
};

/// The outgoing half of a connection.
#[derive(Debug)]
pub(super) struct Egress {
    /// How the connection ends. What the client says of it is the driver's to tell.
    pub(super) closing: Closing,
    writing: Writing,
    /// Whether little waited for the client when that was last looked at: at the end of writing, just before reading.
    is_relaxed: bool,
    /// How much of the outbox's first frame, header included, the socket has taken; before the outbox is looked at again, of its first frames.
    written: usize,
    /// What waits to be written between two data frames.
    control: Control,
    /// How far this connection has come, if its session outlives it.
    carrying: Option<Box<Carrying>>,
}

/// What a connection is to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// To write this, as far as the socket takes it.
    Write(Piece),
    /// To flush what was written.
    Flush,
    /// To wait until something happens.
    Idle,
    /// All is written but the end, which is to be [queued](Egress::queue_end). If the session was closed, this is why.
    Close(Option<CloseReason>),
    /// To let go of the session and write the [last words](Egress::into_last_words).
    Part,
    /// To end without another word.
    Lost,
}

/// What is to be written at once.
#[derive(Debug)]
pub(super) struct Piece {
    /// A frame too large to copy; without one the piece is what is in the buffer.
    large: Option<Frame>,
    /// How many bytes are to be written.
    bytes: usize,
    /// Whether the connection carries its session.
    is_current: bool,
}

/// Whether a connection carries its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Current,
    /// It waits for what becomes of the session.
    Frozen,
    /// No more, and no other does: the client is to come again.
    Cut,
    Superseded,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// For nothing: there is something to do.
    None,
    /// For the next change of its session.
    Parked,
    /// For its socket alone, as the session is no more of its business.
    Apart,
}

impl Egress {
    /// A connection that has written nothing yet.
    pub(super) fn new(carrying: Option<Box<Carrying>>) -> Self {
        Self {
            closing: Closing::open(),
            writing: Writing::default(),
            is_relaxed: true,
            written: 0,
            control: Control::default(),
            carrying,
        }
    }

    /// Client and server have agreed on this.
    pub(super) fn set_extensions(&mut self, extensions: Extensions) {
        self.writing = extensions.into();
    }

    /// Lines of the session dialect are to be written.
    pub(super) fn queue_lines(&mut self, lines: &str) {
        lines.lines().for_each(|line| self.control.queue_line(line));
    }

    /// A ping is to be answered.
    pub(super) fn queue_pong(&mut self, payload: &[u8]) {
        self.control.queue_pong(payload);
    }

    /// Says what is to be done next, and puts what is to be written into the buffer, unless that is a large frame.
    pub(super) fn next(&mut self, core: &mut Core, common: &Common, buffer: &mut Vec<u8>) -> Next {
        buffer.clear();
        let (standing, limits) = (self.standing(core), &common.outbox);
        if standing == Standing::Frozen {
            self.is_relaxed = false;
            return self.next_unwritten(core, None, standing);
        }
        let is_current = standing == Standing::Current;
        if is_current {
            core.look();
        }
        self.take_written(core, common, is_current);
        let is_quiet = is_current && self.written == 0 && self.control.is_empty() && self.closing.is_open();
        if is_quiet && !self.has_news(core, limits) {
            // Most looks find this: the client has said something, or has everything.
            self.take_in_hand(core, 0);
            // Also where a line of the session's own found no room, and was taken since.
            core.session.handle_flowing();
            self.is_relaxed = self.carrying.is_none() || self.looks_relaxed(core, limits);
            return if core.expired { Next::Lost } else { self.flush() };
        }
        let is_to_be_renewed = core.due.has(Due::RENEW);
        if is_current {
            self.queue_due_line(core, limits);
        }
        self.is_relaxed = self.looks_relaxed(core, limits);
        // A frame that was begun must be finished before a control frame may follow.
        if self.written == 0 {
            self.control.append_to(buffer);
        }
        let (large, in_hand) = self.gather(core, limits, is_current, buffer);
        if is_current {
            self.take_in_hand(core, in_hand);
        }
        // The frame that was begun may be gone, acknowledged by way of the newer attachment.
        if core.expired || is_to_be_renewed || (!is_current && self.written > 0) {
            return Next::Lost;
        }
        let bytes = match &large {
            Some(frame) => self.extensions().form(frame).frame_bytes() - self.written,
            None if buffer.is_empty() => return self.next_unwritten(core, core.session.closed(), standing),
            None => buffer.len(),
        };
        Next::Write(Piece { large, bytes, is_current })
    }

    /// The socket has taken so many bytes of a piece, one at least.
    pub(super) fn handle_taken(&mut self, taken: usize, piece: &Piece) {
        // Control frames were the first of it, unless it began within a frame.
        let of_frames = if self.written == 0 { self.control.take_off(taken) } else { taken };
        self.written += of_frames;
        self.writing.set_written(of_frames > 0);
        if let Some(carrying) = &mut self.carrying {
            carrying.is_whole = taken == piece.bytes;
        }
    }

    /// What was written is flushed.
    pub(super) fn handle_flushed(&mut self) {
        self.writing.set_flushed();
    }

    /// All is written, and [`Next::Close`] was next: queues the close frame, and before it why the session was closed, if it was.
    pub(super) fn queue_end<S>(&mut self, closed: Option<CloseReason>, session: &LiveSession<S>) {
        let Some(reason) = self.closing.close_due() else { return };
        if self.carrying.is_some() {
            if let Some(reason) = closed {
                self.control.queue_line(&session.closed_line(reason));
            }
            self.control.queue_close(reason.code(), "");
        } else {
            let words = session.last_words(reason);
            self.control.queue_close(reason.plain_code(), reason.plain_words(words.as_deref()));
        }
        self.closing.handle_close_queued();
    }

    pub(super) fn carrying_mut(&mut self) -> Option<&mut Carrying> {
        self.carrying.as_deref_mut()
    }

    /// What is left to be said when the session is let go of, and how the connection ends then.
    pub(super) fn into_last_words(self) -> (Closing, Vec<u8>) {
        (self.closing, self.control.into_bytes())
    }

    /// The socket takes nothing for now. Returns whether it is worth to wait.
    pub(super) fn handle_blocked(&self, core: &mut Core, piece: &Piece) -> bool {
        if !piece.is_current {
            // Nobody reads at the other end of it; that is what the newer attachment is for.
            return false;
        }
        if self.standing(core) == Standing::Current {
            core.session.handle_stalled(usize::from(self.written > 0));
        }
        true
    }

    /// What the connection waits for. While the socket takes nothing, new frames alone are no reason to go on.
    pub(super) fn rest(&self, core: &Core, limits: &OutboxLimits, is_blocked: bool) -> Rest {
        let standing = self.standing(core);
        let goes_on = match standing {
            Standing::Current => self.closing.is_open() && !is_blocked && self.has_news(core, limits),
            Standing::Frozen => false,
            // It would not be woken again: the socket may never take more.
            Standing::Cut | Standing::Superseded => self.closing.is_sending(),
        };
        match standing {
            _ if goes_on || core.expired => Rest::None,
            Standing::Current | Standing::Frozen => Rest::Parked,
            Standing::Cut | Standing::Superseded => Rest::Apart,
        }
    }

    /// Whether the client may say more as far as what waits for it is concerned, and nothing from it waits for the handler.
    pub(super) fn looks_relaxed(&self, core: &mut Core, limits: &OutboxLimits) -> bool {
        match &self.carrying {
            None => core.session.is_relaxed(limits),
            Some(_) => core.session.is_to_be_heard(limits) && core.is_taking() && !core.calls().is_waiting(),
        }
    }

    /// The same when [`next`](Self::next) was last asked.
    pub(super) fn is_relaxed(&self) -> bool {
        self.is_relaxed
    }

    /// The frame that a piece consists of, if that is no copy: what is left of its header, and of its payload.
    #[inline]
    pub(super) fn parts<'p>(&self, piece: &'p Piece, header: &'p mut [u8; 10]) -> Option<[&'p [u8]; 2]> {
        let form = self.extensions().form(piece.large.as_ref()?);
        let header_bytes = form.encode_header(header);
        let header = &header[self.written.min(header_bytes)..header_bytes];
        Some([header, &form.payload()[self.written.saturating_sub(header_bytes)..]])
    }

    pub(super) fn extensions(&self) -> Extensions {
        self.writing.extensions()
    }

    /// How far the connection has come, if its session outlives it.
    pub(super) fn carrying(&self) -> Option<&Carrying> {
        self.carrying.as_deref()
    }

    /// Counts what the socket has taken: whole frames leave the outbox of a plain session, and are sent of a resumable one.
    fn take_written(&mut self, core: &mut Core, common: &Common, is_current: bool) {
        if self.written == 0 {
            return;
        }
        let (before, extensions) = (self.written, self.extensions());
        let is_whole = |frame: &Frame| gathering::take_whole(&mut self.written, frame, extensions);
        let frames = match &mut self.carrying {
            None => core.session.handle_written(is_whole),
            Some(carrying) => carrying.handle_written(&mut core.session, is_current, is_whole),
        };
        let bytes = before - self.written;
        if frames > 0 {
            common.counters.wrote(Transport::Websocket, frames, bytes);
            core.note_room(&common.outbox);
        }
        if !is_current && self.carrying.as_ref().is_some_and(|carrying| carrying.is_whole) {
            self.written = 0;
        }
    }

    /// So many frames are about to be written, and those before them have moved.
    #[inline]
    fn take_in_hand(&mut self, core: &mut Core, frames: usize) {
        core.session.handle_in_hand(frames);
        if self.writing.take_moved() {
            core.session.handle_flowing();
        }
    }

    /// Queues the line that is due, if there is one. While one waits to be written, no other does: the next one would say more.
    fn queue_due_line(&mut self, core: &mut Core, limits: &OutboxLimits) {
        if let Some(carrying) = &mut self.carrying
            && self.control.is_empty()
            && self.closing.is_sending()
            && let Some(line) = carrying.due_line(core, limits)
        {
            self.control.queue_line(&line);
        }
    }

    /// Gathers frames that may be written now: as [`gathering::gather`] has it.
    fn gather(
        &self,
        core: &Core,
        limits: &OutboxLimits,
        is_current: bool,
        buffer: &mut Vec<u8>,
    ) -> (Option<Frame>, usize) {
        let extensions = self.extensions();
        let Some(carrying) = &self.carrying else {
            return gathering::gather(core.session.waiting(), extensions, self.written, buffer);
        };
        if !carrying.has_more(&core.session) {
            return (None, 0);
        }
        // Where the client goes on elsewhere it gets its frames there, but for one that was begun here.
        let is_ending = !is_current || (!self.closing.is_open() && core.session.closed().is_none());
        let count = match (self.closing.is_sending(), is_ending) {
            (true, false) => usize::MAX,
            (true, true) => usize::from(self.written > 0),
            (false, _) => 0,
        };
        let frames = core.session.sendable_after(carrying.sent, limits);
        gathering::gather(frames.take(count), extensions, self.written, buffer)
    }

    /// Nothing is to be written for now: what is due then.
    fn next_unwritten(&mut self, core: &Core, closed: Option<CloseReason>, standing: Standing) -> Next {
        if core.expired {
            return Next::Lost;
        }
        if self.closing.is_open() {
            match standing {
                Standing::Cut => return self.part(CloseCode::SERVICE_RESTART),
                Standing::Superseded => {
                    self.control.queue_line(&ServerControl::Superseded.to_string());
                    return self.part(CloseCode::SUPERSEDED);
                }
                Standing::Current if closed.is_some() => return Next::Close(closed),
                Standing::Current | Standing::Frozen => {}
            }
        }
        // Within a frame the end waits until it is decided where the session goes on.
        if self.closing.close_due().is_some() && !self.is_within_a_frame() {
            return Next::Close(closed);
        }
        self.flush()
    }

    /// Nothing is left to be written.
    fn flush(&self) -> Next {
        if self.writing.is_unflushed() { Next::Flush } else { Next::Idle }
    }

    /// Whether the socket has a part of a frame, as far as can be told without the outbox.
    fn is_within_a_frame(&self) -> bool {
        self.written > 0 && self.carrying.as_ref().is_none_or(|carrying| !carrying.is_whole)
    }

    /// The connection carries the session no more.
    fn part(&mut self, code: CloseCode) -> Next {
        self.control.queue_close(code.as_u16(), "");
        self.closing.handle_superseded();
        Next::Part
    }

    #[inline]
    fn standing(&self, core: &Core) -> Standing {
        match &self.carrying {
            None => Standing::Current,
            Some(carrying) if core.is_suspended(carrying.attachment) => Standing::Frozen,
            Some(carrying) if core.session.is_current(carrying.attachment) => Standing::Current,
            Some(carrying) if core.is_cut(carrying.attachment) => Standing::Cut,
            Some(_) => Standing::Superseded,
        }
    }

    /// Whether there is something to write, or a reason to stop.
    #[inline]
    fn has_news(&self, core: &Core, limits: &OutboxLimits) -> bool {
        core.session.closed().is_some()
            || match &self.carrying {
                None => !core.session.is_drained(),
                Some(carrying) => carrying.has_news(core, limits),
            }
    }
}

#[cfg(test)]
mod tests;
