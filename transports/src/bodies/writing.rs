//! The body of an answer to a poll, written from the session's own frames: they are not copied, but for a few kilobytes
//! that are with the HTTP server.
//!
//! Its length is known from the beginning. It ends early, and with it the connection, when a newer poll took its place, when
//! the session is over and its frames are gone, or when the mount holds as much as it may: the frames stay in the session,
//! and the next poll gets them.
//!
//! For a client that accepts gzip it is one member, in which frames that were compressed when they were pushed are as they were
//! compressed, and all else is stored ([`coded`](super::coded)): if that makes it shorter.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::SizeHint;

use super::{
    coded::{Coded, Length},
    pieces::Form,
    window::{self, Window},
};
use crate::{
    connect::Transport,
    frame::Frame,
    http::{
        body::{Body, Cut},
        encoding::Encoding,
    },
    live::{LiveSession, waking::Core},
    session::{Attachment, Seq, outbox::OutboxLimits},
};

/// An answer that is no larger is one piece.
const PIECE_BYTES: usize = window::PIECE_BYTES;

/// How frames stand in an answer.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) form: fn(&Frame) -> Form,
    /// What stands between two frames.
    pub(crate) separator: u8,
    /// Whether it stands behind the last one, too.
    pub(crate) is_terminator: bool,
}

/// The frames of an answer: those after `sent` up to `last`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) sent: Seq,
    pub(crate) last: Seq,
    /// How many bytes they have in the answer.
    pub(crate) bytes: usize,
}

impl Layout {
    /// The frames after `sent` that have a place in an answer of so many bytes: one at least, if there is one. They stay what they
    /// are from now on, as the length of the answer is told before they are written.
    pub(crate) fn span(self, core: &mut Core, limits: &OutboxLimits, sent: Seq, bytes_max: usize) -> Span {
        let mut span = Span { sent, last: sent, bytes: 0 };
        for frame in core.session.sendable_after(sent, limits) {
            // Looking through a frame that is too large for all that would be for nothing.
            let has_room = |bytes| span.last == sent || span.bytes + bytes < bytes_max;
            if !has_room(frame.payload().len()) {
                break;
            }
            let bytes = (self.form)(frame).bytes(frame);
            if !has_room(bytes) {
                break;
            }
            span.last.0 += 1;
            span.bytes += bytes + 1;
        }
        if span.last > sent && !self.is_terminator {
            span.bytes -= 1;
        }
        core.session.handle_in_hand((span.last.0 - sent.0) as usize);
        span
    }

    /// Whether something stands behind a frame of a span.
    fn separates(self, number: Seq, span: &Span) -> bool {
        self.is_terminator || number < span.last
    }
}

/// A body that is being written. `G` lives as long as it does.
pub(crate) struct Writing<S, G> {
    session: Arc<LiveSession<S>>,
    attachment: Attachment,
    layout: Layout,
    span: Span,
    /// How much of the frame after `span.sent` was written.
    offset: usize,
    head: Vec<u8>,
    tail: Vec<u8>,
    /// What is written of an answer that is gzip.
    coded: Option<Box<Coded>>,
    /// Bytes that are still to come.
    left: usize,
    window: Arc<Window>,
    _guard: G,
}

/// What goes around the frames.
pub(crate) struct Around {
    pub(crate) head: Vec<u8>,
    pub(crate) tail: Vec<u8>,
}

impl<S: Send + Sync + 'static, G: Send + Unpin + 'static> Writing<S, G> {
    /// An answer, which is made of its body: as gzip, if the client accepts that and it is worth it.
    pub(crate) fn answer(
        (session, attachment): (Arc<LiveSession<S>>, Attachment),
        (layout, span): (Layout, Span),
        around: Around,
        guard: G,
        (encoding, answer): (Encoding, fn(Body) -> Response<Body>),
    ) -> Response<Body> {
        let Around { head, tail } = around;
        let left = head.len() + span.bytes + tail.len();
        let (window, coded) = (Window::new(session.common.budget.clone()), None);
        let (offset, _guard) = (0, guard);
        let mut writing =
            Self { session, attachment, layout, span, offset, head, tail, coded, left, window, _guard };
        let session = writing.session.clone();
        let mut core = session.core();
        if encoding.is_gzip() {
            writing.code(&core);
        }
        let is_coded = writing.coded.is_some();
        if writing.left > PIECE_BYTES {
            drop(core);
            return encoding.said(is_coded, answer(Body::stream(writing)));
        }
        let piece = writing.next_piece(&mut core);
        drop(core);
        let is_coded = is_coded && piece.is_some();
        encoding.said(is_coded, answer(Body::from(piece.unwrap_or_default())))
    }

    /// Makes it gzip, if that is shorter.
    fn code(&mut self, core: &Core) {
        let mut length = Length::new();
        length.add(self.head.len());
        let mut number = self.span.sent;
        for frame in core.session.waiting_after(number).take((self.span.last.0 - number.0) as usize) {
            number.0 += 1;
            let form = (self.layout.form)(frame);
            match form.compressed(frame) {
                Some(compressed) => length.add_shared(compressed.len()),
                None => length.add(form.bytes(frame)),
            }
            length.add(usize::from(self.layout.separates(number, &self.span)));
        }
        length.add(self.tail.len());
        if let Some(bytes) = length.end().filter(|bytes| *bytes < self.left) {
            self.left = bytes;
            self.coded = Some(Box::new(Coded::new(self.head.len() + self.run(core))));
        }
    }

    /// Bytes of the frames from the next one on that are not compressed, up to one that is, and of what is around them; without a head.
    fn run(&self, core: &Core) -> usize {
        let (mut run, mut number) = (0, self.span.sent);
        for frame in core.session.waiting_after(number).take((self.span.last.0 - number.0) as usize) {
            number.0 += 1;
            let form = (self.layout.form)(frame);
            if form.compressed(frame).is_some() {
                return run;
            }
            run += form.bytes(frame) + usize::from(self.layout.separates(number, &self.span));
        }
        run + self.tail.len()
    }

    /// The next piece; none if the frames are gone.
    fn next_piece(&mut self, core: &mut Core) -> Option<Bytes> {
        if !core.session.is_current(self.attachment) {
            return None;
        }
        let sent = self.span.sent;
        let piece = match self.coded.take() {
            None => self.plain_piece(core)?,
            Some(mut coded) => {
                let piece = self.coded_piece(core, &mut coded)?;
                self.coded = Some(coded);
                piece
            }
        };
        if self.span.sent > sent {
            core.session.handle_sent(self.span.sent);
            core.note_room(&self.session.common.outbox);
        }
        let frames = (self.span.sent.0 - sent.0) as usize;
        self.session.common.counters.wrote(Transport::Longpoll, frames, piece.len());
        self.left = self.left.saturating_sub(piece.len());
        Some(piece)
    }

    fn plain_piece(&mut self, core: &Core) -> Option<Bytes> {
        let mut piece = std::mem::take(&mut self.head);
        piece.reserve_exact(self.left.min(PIECE_BYTES + piece.len()).saturating_sub(piece.len()));
        while self.span.sent < self.span.last && piece.len() < PIECE_BYTES {
            let frame = core.session.waiting_after(self.span.sent).next()?;
            let (payload, form) = (frame.payload(), (self.layout.form)(frame));
            if form == Form::Plain && piece.is_empty() && payload.len() - self.offset > PIECE_BYTES {
                // A large frame is shared.
                let shared = payload.slice(self.offset..self.offset + PIECE_BYTES);
                self.offset += PIECE_BYTES;
                return Some(shared);
            }
            self.append(form, payload, PIECE_BYTES - piece.len(), &mut piece);
        }
        if self.span.sent == self.span.last {
            piece.append(&mut self.tail);
        }
        Some(piece.into())
    }

    /// Appends some of a frame, and what stands behind it.
    fn append(&mut self, form: Form, payload: &[u8], room: usize, out: &mut Vec<u8>) {
        self.offset = form.append(payload, self.offset, room, out);
        if self.offset == payload.len() {
            self.pass(out);
        }
    }

    /// A frame was written to its end.
    fn pass(&mut self, out: &mut Vec<u8>) {
        self.offset = 0;
        self.span.sent.0 += 1;
        if self.layout.separates(self.span.sent, &self.span) {
            out.push(self.layout.separator);
        }
    }

    fn coded_piece(&mut self, core: &Core, coded: &mut Coded) -> Option<Bytes> {
        let mut piece = Vec::with_capacity(self.left.min(PIECE_BYTES + 64));
        coded.begin(&mut piece);
        // What is stored next.
        let mut plain = std::mem::take(&mut self.head);
        while self.span.sent < self.span.last && piece.len() + plain.len() < PIECE_BYTES {
            let room = PIECE_BYTES - piece.len() - plain.len();
            let frame = core.session.waiting_after(self.span.sent).next()?;
            let form = (self.layout.form)(frame);
            let Some(compressed) = form.compressed(frame) else {
                self.append(form, frame.payload(), room, &mut plain);
                continue;
            };
            coded.store(&plain, &mut piece);
            plain.clear();
            let to = compressed.len().min(self.offset + room);
            piece.extend_from_slice(&compressed[self.offset..to]);
            self.offset = to;
            if to == compressed.len() {
                let part = form.part(frame)?;
                self.pass(&mut plain);
                coded.shared(part, plain.len() + self.run(core), &mut piece);
            }
        }
        let is_over = self.span.sent == self.span.last;
        if is_over {
            plain.append(&mut self.tail);
        }
        coded.store(&plain, &mut piece);
        if is_over {
            coded.end(&mut piece);
        }
        Some(piece.into())
    }
}

impl<S: Send + Sync + 'static, G: Send + Unpin + 'static> http_body::Body for Writing<S, G> {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Cut>>> {
        let writing = self.get_mut();
        if writing.left == 0 {
            return Poll::Ready(None);
        }
        let session = writing.session.clone();
        let mut core = session.core();
        if core.session.is_current(writing.attachment) && !core.expired && !writing.window.is_open(cx) {
            // A newer poll, or the end of the session, wakes it, too.
            core.park(cx);
            return Poll::Pending;
        }
        let piece = writing.next_piece(&mut core);
        drop(core);
        let piece = piece.and_then(|piece| writing.window.piece(piece).ok()).ok_or(Cut);
        Poll::Ready(Some(piece.map(http_body::Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}
