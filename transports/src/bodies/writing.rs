//! The body of an answer to a poll, written from the session's own frames: they are not copied, but for a few kilobytes
//! that are with the HTTP server.
//!
//! Its length is known from the beginning. It ends early, and with it the connection, when a newer poll took its place, when
//! the session is over and its frames are gone, or when the mount holds as much as it may: the frames stay in the session,
//! and the next poll gets them.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::SizeHint;

use super::{
    pieces::Form,
    window::{self, Window},
};
use crate::{
    connect::Transport,
    frame::Frame,
    http::body::{Body, Cut},
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
    /// The body of an answer.
    pub(crate) fn body(
        session: Arc<LiveSession<S>>,
        attachment: Attachment,
        layout: Layout,
        span: Span,
        around: Around,
        guard: G,
    ) -> Body {
        let Around { head, tail } = around;
        let left = head.len() + span.bytes + tail.len();
        let window = Window::new(session.common.budget.clone());
        let mut writing =
            Self { session, attachment, layout, span, offset: 0, head, tail, left, window, _guard: guard };
        if left > PIECE_BYTES {
            return Body::stream(writing);
        }
        let session = writing.session.clone();
        let piece = writing.next_piece(&mut session.core());
        Body::from(piece.unwrap_or_default())
    }

    /// The next piece; none if the frames are gone.
    fn next_piece(&mut self, core: &mut Core) -> Option<Bytes> {
        if !core.session.is_current(self.attachment) {
            return None;
        }
        let mut piece = std::mem::take(&mut self.head);
        piece.reserve_exact(self.left.min(PIECE_BYTES + piece.len()).saturating_sub(piece.len()));
        let (sent, mut frames) = (self.span.sent, 0);
        while self.span.sent < self.span.last && piece.len() < PIECE_BYTES {
            let frame = core.session.waiting_after(self.span.sent).next()?;
            let (payload, form) = (frame.payload(), (self.layout.form)(frame));
            if form == Form::Plain && piece.is_empty() && payload.len() - self.offset > PIECE_BYTES {
                // A large frame is shared.
                let shared = payload.slice(self.offset..self.offset + PIECE_BYTES);
                self.offset += PIECE_BYTES;
                self.left -= shared.len();
                self.session.common.counters.wrote(Transport::Longpoll, 0, shared.len());
                return Some(shared);
            }
            self.offset = form.append(payload, self.offset, PIECE_BYTES - piece.len(), &mut piece);
            if self.offset == payload.len() {
                self.offset = 0;
                self.span.sent.0 += 1;
                frames += 1;
                if self.layout.is_terminator || self.span.sent < self.span.last {
                    piece.push(self.layout.separator);
                }
            }
        }
        if self.span.sent == self.span.last {
            piece.append(&mut self.tail);
        }
        if self.span.sent > sent {
            core.session.handle_sent(self.span.sent);
            core.note_room(&self.session.common.outbox);
        }
        self.session.common.counters.wrote(Transport::Longpoll, frames, piece.len());
        self.left = self.left.saturating_sub(piece.len());
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

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Waker},
    };

    use http_body::Body as _;

    use super::*;
    use crate::live::{Common, Kind};

    #[test]
    fn what_is_written_is_counted_also_of_large_frames() {
        for form in [(|_| Form::Plain) as fn(&Frame) -> Form, |_| Form::Quoted] {
            for bytes in [200, 100_000, 1_000_000] {
                let common = Common::boundless();
                let session = LiveSession::new(common.clone(), Transport::Longpoll, Kind::Plain, ());
                session.push(Frame::text("x".repeat(bytes)));
                let session = Arc::new(session);
                let attachment = session.core().session.attach();
                let layout = Layout { form, separator: b',', is_terminator: false };
                let span = layout.span(&mut session.core(), &common.outbox, Seq(0), usize::MAX);
                let around = Around { head: b"[".to_vec(), tail: b"]".to_vec() };
                let mut body = pin!(Writing::body(session, attachment, layout, span, around, ()));
                let (mut written, mut cx) = (0, Context::from_waker(Waker::noop()));
                while let Poll::Ready(Some(piece)) = body.as_mut().poll_frame(&mut cx) {
                    written += piece.unwrap().into_data().unwrap().len() as u64;
                }
                assert!(written > bytes as u64);
                let counted = common.counters.traffic(Transport::Longpoll);
                assert_eq!((counted.frames_out, counted.bytes_out), (1, written));
            }
        }
    }
}
