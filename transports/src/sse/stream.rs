//! The body of an event stream: drains a session's outbox into events.
//!
//! As gzip it is one member: control lines and what was not compressed are stored, and a frame that was compressed when it was pushed is
//! between the stored ends of its event. Each event ends on a byte with nothing held back.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;

use crate::{
    bodies::{
        pieces::Form,
        window::{self, Window},
    },
    budget::Budget,
    connect::Transport,
    deflate::gzip::{self, Member, Part},
    dialect::{lines::append_line, server::ServerControl},
    frame::Frame,
    handler::Handler,
    http::body::Cut,
    live::{
        LiveSession,
        waking::{Core, Due},
    },
    manager::{Manager, admission::Attached},
    session::{Attachment, Seq},
};

/// Bytes that are gathered at once: the rest waits for the next turn.
const GATHERED_BYTES_MAX: usize = window::PIECE_BYTES;

/// Smaller pieces are not counted for a client that keeps up: the HTTP server takes a handful of them.
const COUNTED_BYTES_MIN: usize = 4 * 1024;
/// A client that has so much more to acknowledge may not be reading: a client acknowledges every 32 frames. Its pieces are counted,
/// however small, so that the stream learns when nothing goes any further.
const UNACKNOWLEDGED_FRAMES_MAX: usize = 128;

/// What is around a line that is an event.
const BEGIN: &[u8] = b"data: ";
const END: &[u8] = b"\n\n";

/// An event stream that carries a session until it ends, is superseded, or nobody reads it any more.
pub(super) struct EventStream<H: Handler> {
    manager: Arc<Manager<H>>,
    session: Arc<LiveSession<H::State>>,
    attachment: Attachment,
    /// The last frame that was written.
    sent: Seq,
    /// The first line, until it was said.
    greeting: Box<str>,
    /// What is with the HTTP server or on its way there, once that was more than a little.
    flow: Option<Box<Flow>>,
    /// What was written so far of a stream that is gzip.
    member: Option<Member>,
    /// Much of what was written is not acknowledged.
    is_lagging: bool,
    /// The last that was said has been said.
    is_over: bool,
}

struct Flow {
    window: Arc<Window>,
    /// What is left of an event that is more than a piece.
    rest: Bytes,
}

impl<H: Handler> EventStream<H> {
    pub(super) fn new(manager: Arc<Manager<H>>, attached: Attached<H>, is_gzip: bool) -> Self {
        let Attached { session, attachment, sent, greeting, .. } = attached;
        let (greeting, member) = (greeting.into_boxed_str(), is_gzip.then(Member::default));
        Self {
            manager,
            session,
            attachment,
            sent,
            greeting,
            flow: None,
            member,
            is_lagging: false,
            is_over: false,
        }
    }

    /// The first bytes: a comment for proxies that hold them back, and the greeting.
    fn head(&mut self, greeting: &str) -> Bytes {
        let prelude = self.manager.sse_options().prelude_bytes;
        let mut plain = Vec::with_capacity(prelude + greeting.len() + 16);
        plain.push(b':');
        plain.resize(prelude.max(1), b' ');
        plain.extend_from_slice(b"\n\n");
        for line in greeting.lines() {
            append_event(line.as_bytes(), &mut plain);
        }
        let Some(member) = &mut self.member else { return plain.into() };
        let mut head = Vec::with_capacity(gzip::HEADER.len() + gzip::stored_bytes(plain.len()));
        head.extend_from_slice(&gzip::HEADER);
        member.store(&plain, &mut head);
        head.into()
    }

    /// What is to be sent now.
    fn gather(&mut self, core: &mut Core) -> Option<Bytes> {
        if core.is_cut(self.attachment) {
            // The client comes again, wherever the session goes on.
            self.is_over = true;
            return Some(self.said(None));
        }
        if let Some(line) = self.control(core) {
            return Some(self.said(Some(&line.to_string())));
        }
        if let Some(events) = self.frames(core) {
            return Some(events);
        }
        let reason = core.session.closed()?;
        self.is_over = true;
        let line = self.session.closed_line(reason);
        Some(self.said(Some(&line)))
    }

    /// What is to be said before any frame.
    fn control(&mut self, core: &mut Core) -> Option<ServerControl<'static>> {
        if !core.session.is_current(self.attachment) {
            self.is_over = true;
            return Some(ServerControl::Superseded);
        }
        let due = std::mem::take(&mut core.due);
        let taken = core.session.last_taken();
        if due.has(Due::PONG) {
            return Some(ServerControl::Pong(taken));
        }
        if due.has(Due::BUSY) {
            return Some(ServerControl::Busy(taken));
        }
        if due.has(Due::ACK) {
            return Some(ServerControl::Ack(taken));
        }
        if due.has(Due::PING) || core.session.is_question_due(&self.manager.common.outbox) {
            core.session.handle_asked();
            return Some(ServerControl::Ping(taken));
        }
        None
    }

    /// A line as an event, or a comment, and the end of the stream if it is the last one.
    fn said(&mut self, line: Option<&str>) -> Bytes {
        let mut plain = Vec::with_capacity(line.map_or(0, str::len) + 8);
        match line {
            Some(line) => append_event(line.as_bytes(), &mut plain),
            None => plain.extend_from_slice(b":\n\n"),
        }
        let Some(member) = &mut self.member else { return plain.into() };
        let mut event = Vec::with_capacity(gzip::stored_bytes(plain.len()) + gzip::END_BYTES);
        member.store(&plain, &mut event);
        if self.is_over {
            member.end(&mut event);
        }
        event.into()
    }

    /// The first piece of events, counted if it is more than a little, or the client lags. The stream is cut where the mount has no room.
    fn piece(&mut self, mut events: Bytes) -> Result<Bytes, Cut> {
        if events.len() < COUNTED_BYTES_MIN && !self.is_lagging {
            return Ok(events);
        }
        let flow = self.flow.get_or_insert_with(|| {
            let window = Window::new(self.manager.common.budget.clone());
            Box::new(Flow { window, rest: Bytes::new() })
        });
        let piece = events.split_to(events.len().min(window::PIECE_BYTES));
        flow.rest = events;
        let piece = flow.window.piece(piece).map_err(|_| Cut);
        self.is_over |= piece.is_err();
        piece
    }

    /// The frames that wait, as events.
    fn frames(&mut self, core: &mut Core) -> Option<Bytes> {
        let limits = &self.manager.common.outbox;
        let (events, frames) = gather_events(
            core.session.sendable_after(self.sent, limits),
            &self.manager.common.budget,
            &mut self.member,
        )?;
        self.sent.0 += frames as u64;
        core.session.handle_sent(self.sent);
        self.is_lagging = core.session.unacknowledged().frames > UNACKNOWLEDGED_FRAMES_MAX;
        core.note_room(limits);
        self.manager.common.counters.wrote(Transport::Sse, frames, events.len());
        Some(events)
    }
}

impl<H: Handler> http_body::Body for EventStream<H> {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Cut>>> {
        let stream = self.get_mut();
        let has_rest = stream.flow.as_ref().is_some_and(|flow| !flow.rest.is_empty());
        if stream.is_over && !has_rest {
            return Poll::Ready(None);
        }
        let greeting = std::mem::take(&mut stream.greeting);
        if !greeting.is_empty() {
            return Poll::Ready(Some(Ok(http_body::Frame::data(stream.head(&greeting)))));
        }
        let session = stream.session.clone();
        let mut core = session.core();
        if stream.flow.as_ref().is_some_and(|flow| !flow.window.is_open(cx)) {
            // Nobody reads at the other end of it, which is what a newer attachment is for.
            if core.expired || !core.session.is_current(stream.attachment) {
                stream.is_over = true;
                return Poll::Ready(Some(Err(Cut)));
            }
            core.session.handle_stalled(0);
            core.park(cx);
            return Poll::Pending;
        }
        if core.is_suspended(stream.attachment) {
            core.park(cx);
            return Poll::Pending;
        }
        if core.session.is_current(stream.attachment) {
            core.session.handle_flowing();
        }
        let rest = stream.flow.as_mut().map(|flow| std::mem::take(&mut flow.rest));
        let events = rest.filter(|rest| !rest.is_empty()).or_else(|| stream.gather(&mut core));
        let Some(events) = events else {
            core.park(cx);
            return Poll::Pending;
        };
        drop(core);
        Poll::Ready(Some(stream.piece(events).map(http_body::Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over && self.flow.as_ref().is_none_or(|flow| flow.rest.is_empty())
    }
}

impl<H: Handler> Drop for EventStream<H> {
    fn drop(&mut self) {
        self.manager.detach(&self.session, self.attachment);
    }
}

/// Events of frames, and how many they are. Most often it is one, whose bytes everybody shares.
fn gather_events<'a>(
    mut waiting: impl Iterator<Item = &'a Frame>,
    budget: &Arc<Budget>,
    member: &mut Option<Member>,
) -> Option<(Bytes, usize)> {
    let mut event = |frame: &Frame| {
        let Some(member) = member else { return frame.event(budget, frame_event) };
        let (event, part) = frame.packed_event(budget, packed_event);
        member.put(part);
        event
    };
    let first = event(waiting.next()?);
    let Some(second) = waiting.next() else { return Some((first, 1)) };
    let mut events = Vec::with_capacity(4 * first.len());
    events.extend_from_slice(&first);
    let mut frames = 1;
    for frame in std::iter::once(second).chain(waiting) {
        events.extend_from_slice(&event(frame));
        frames += 1;
        if events.len() >= GATHERED_BYTES_MAX {
            break;
        }
    }
    Some((events.into(), frames))
}

fn append_event(line: &[u8], events: &mut Vec<u8>) {
    events.extend_from_slice(BEGIN);
    events.extend_from_slice(line);
    events.extend_from_slice(END);
}

pub(crate) fn frame_event(frame: &Frame) -> Bytes {
    let mut event = Vec::with_capacity(frame.payload().len() + 8);
    event.extend_from_slice(BEGIN);
    append_line(frame, &mut event);
    event.extend_from_slice(END);
    event.into()
}

/// A frame as an event in a stream that is gzip, and what the end of the stream has to know of it.
pub(crate) fn packed_event(frame: &Frame) -> (Bytes, Part) {
    let plain = frame_event(frame);
    let compressed = Form::of_line(frame).compressed(frame);
    let bytes_max = gzip::stored_bytes(plain.len());
    let mut event = Vec::with_capacity(bytes_max);
    if let Some(compressed) = compressed {
        gzip::store(BEGIN, &mut event);
        event.extend_from_slice(compressed);
        event.extend_from_slice(&gzip::FLUSHED);
        gzip::store(END, &mut event);
    }
    if compressed.is_none() || event.len() >= bytes_max {
        event.clear();
        gzip::store(&plain, &mut event);
    }
    // It is kept for as long as the frame is.
    event.shrink_to_fit();
    (event.into(), Part::of(&plain))
}
