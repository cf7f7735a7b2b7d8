//! The body of an event stream: drains a session's outbox into events.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;

use crate::{
    bodies::window::{self, Window},
    budget::Budget,
    connect::Transport,
    dialect::{lines::append_line, server::ServerControl},
    frame::Frame,
    handler::Handler,
    http::body::Cut,
    live::waking::{Core, Due},
    manager::{Manager, admission::Attached},
};

/// Bytes that are gathered at once: the rest waits for the next turn.
const GATHERED_BYTES_MAX: usize = window::PIECE_BYTES;

/// Smaller pieces are not counted: the HTTP server takes a handful of them.
const COUNTED_BYTES_MIN: usize = 4 * 1024;

/// An event stream that carries a session until it ends, is superseded, or nobody reads it any more.
pub(super) struct EventStream<H: Handler> {
    manager: Arc<Manager<H>>,
    attached: Attached<H>,
    /// What is with the HTTP server or on its way there, once that was more than a little.
    flow: Option<Box<Flow>>,
    /// The last that was said has been said.
    is_over: bool,
}

struct Flow {
    window: Arc<Window>,
    /// What is left of an event that is more than a piece.
    rest: Bytes,
}

impl<H: Handler> EventStream<H> {
    pub(super) fn new(manager: Arc<Manager<H>>, attached: Attached<H>) -> Self {
        Self { manager, attached, flow: None, is_over: false }
    }

    /// The first bytes: a comment for proxies that hold them back, and the greeting.
    fn head(&mut self, greeting: &str) -> Bytes {
        let prelude = self.manager.sse_options().prelude_bytes;
        let mut head = Vec::with_capacity(prelude + greeting.len() + 16);
        head.push(b':');
        head.resize(prelude.max(1), b' ');
        head.extend_from_slice(b"\n\n");
        append_event(greeting.as_bytes(), &mut head);
        head.into()
    }

    /// What is to be sent now.
    fn gather(&mut self, core: &mut Core) -> Option<Bytes> {
        if !core.session.is_current(self.attached.attachment) {
            self.is_over = true;
            return Some(control_event(ServerControl::Superseded));
        }
        let due = std::mem::take(&mut core.due);
        let taken = core.session.last_taken();
        if due.has(Due::PONG) {
            return Some(control_event(ServerControl::Pong(taken)));
        }
        if due.has(Due::BUSY) {
            return Some(control_event(ServerControl::Busy(taken)));
        }
        if due.has(Due::ACK) {
            return Some(control_event(ServerControl::Ack(taken)));
        }
        if due.has(Due::PING) || core.session.is_question_due(&self.manager.common.outbox) {
            core.session.handle_asked();
            return Some(control_event(ServerControl::Ping(taken)));
        }
        if let Some(events) = self.frames(core) {
            return Some(events);
        }
        let reason = core.session.closed()?;
        self.is_over = true;
        let line = self.attached.session.closed_line(reason);
        let mut event = Vec::with_capacity(line.len() + 8);
        append_event(line.as_bytes(), &mut event);
        Some(event.into())
    }

    /// The first piece of events, counted if it is more than a little. The stream is cut where the mount has no room.
    fn piece(&mut self, mut events: Bytes) -> Result<Bytes, Cut> {
        if events.len() < COUNTED_BYTES_MIN {
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
            core.session.sendable_after(self.attached.sent, limits),
            &self.manager.common.budget,
        )?;
        self.attached.sent.0 += frames as u64;
        core.session.handle_sent(self.attached.sent);
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
        let greeting = std::mem::take(&mut stream.attached.greeting);
        if !greeting.is_empty() {
            return Poll::Ready(Some(Ok(http_body::Frame::data(stream.head(&greeting)))));
        }
        let session = stream.attached.session.clone();
        let mut core = session.core();
        if stream.flow.as_ref().is_some_and(|flow| !flow.window.is_open(cx)) {
            // Nobody reads at the other end of it, which is what a newer attachment is for.
            if core.expired || !core.session.is_current(stream.attached.attachment) {
                stream.is_over = true;
                return Poll::Ready(Some(Err(Cut)));
            }
            core.session.handle_stalled(0);
            core.park(cx);
            return Poll::Pending;
        }
        if core.session.is_current(stream.attached.attachment) {
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
        self.manager.detach(&self.attached.session, self.attached.attachment);
    }
}

/// Events of frames, and how many they are. Most often it is one, whose bytes everybody shares.
fn gather_events<'a>(
    mut waiting: impl Iterator<Item = &'a Frame>,
    budget: &Arc<Budget>,
) -> Option<(Bytes, usize)> {
    let first = waiting.next()?.event(budget, frame_event);
    let Some(second) = waiting.next() else { return Some((first, 1)) };
    let mut events = Vec::with_capacity(4 * first.len());
    events.extend_from_slice(&first);
    let mut frames = 1;
    for frame in std::iter::once(second).chain(waiting) {
        events.extend_from_slice(&frame.event(budget, frame_event));
        frames += 1;
        if events.len() >= GATHERED_BYTES_MAX {
            break;
        }
    }
    Some((events.into(), frames))
}

fn append_event(line: &[u8], events: &mut Vec<u8>) {
    events.extend_from_slice(b"data: ");
    events.extend_from_slice(line);
    events.extend_from_slice(b"\n\n");
}

fn control_event(line: ServerControl<'_>) -> Bytes {
    let mut event = Vec::with_capacity(64);
    append_event(line.to_string().as_bytes(), &mut event);
    event.into()
}

pub(crate) fn frame_event(frame: &Frame) -> Bytes {
    let mut event = Vec::with_capacity(frame.payload().len() + 8);
    event.extend_from_slice(b"data: ");
    append_line(frame, &mut event);
    event.extend_from_slice(b"\n\n");
    event.into()
}
