//! The body of a request as it comes in: one buffer that grows, within bounds of bytes and time.
//!
//! However small the pieces are in which a body comes, only its bytes are kept. Before it is known whose it is, no more than
//! [`FIRST_LINE_BYTES_MAX`] of it are. What is not wanted any more is dropped; `heard_out` sees to what still comes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::{
    close::CloseReason,
    http::body::RequestBody,
    live::{LiveSession, clock::Clock},
    session::life::Tick,
};

/// Bytes that are kept of a body whose session is not known: a first line and a little more. Control lines have 256.
pub(crate) const FIRST_LINE_BYTES_MAX: usize = 2_048;

/// How often the reader of a body that does not come looks whether it is still wanted.
const LOOK_PERIOD: Duration = Duration::from_millis(200);

/// Bytes and time that a body may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InboundLimits {
    pub(crate) bytes_max: usize,
    pub(crate) timeout: Duration,
}

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    /// Its first line, or what may follow that, is longer than is kept for who has no session.
    LineTooLong,
    TooLate,
    /// The connection ended or broke.
    Cut,
    /// The mount holds as much as it may.
    OverBudget,
    /// Its session is over, or a newer body took its place.
    Unwanted,
}

/// A body that is being read.
pub(crate) struct Inbound<'a, B: RequestBody> {
    clock: &'a Clock,
    begun: Tick,
    timeout: Duration,
    body: Pin<Box<B>>,
    /// The rest of the last piece that came.
    piece: Option<B::Data>,
    read: Vec<u8>,
    /// How many bytes came so far, kept or not.
    came: usize,
    bytes_max: usize,
}

/// What came.
enum Came {
    Piece,
    End,
    /// Nothing for a while.
    Nothing,
}

impl<'a, B: RequestBody> Inbound<'a, B> {
    pub(crate) fn new(body: B, limits: InboundLimits, clock: &'a Clock) -> Self {
        let InboundLimits { bytes_max, timeout } = limits;
        let (body, read, begun) = (Box::pin(body), Vec::new(), clock.now());
        Self { clock, begun, timeout, body, piece: None, read, came: 0, bytes_max }
    }

    /// Reads the first line, which ends where the body does at the latest; without its end.
    pub(crate) async fn first_line(&mut self) -> Result<&[u8], Unread> {
        let mut seen = 0;
        self.heed_announcement().await?;
        loop {
            if let Some(end) = self.read[seen..].iter().position(|byte| *byte == b'\n') {
                return Ok(&self.read[..seen + end]);
            }
            seen = self.read.len();
            let room = FIRST_LINE_BYTES_MAX - seen;
            if room == 0 {
                return Err(Unread::LineTooLong);
            }
            if let Some(piece) = &mut self.piece {
                let taken = piece.chunk().len().min(room);
                self.read.extend_from_slice(&piece.chunk()[..taken]);
                piece.advance(taken);
                self.drop_spent_piece();
            } else if matches!(self.come().await?, Came::End) {
                return Ok(&self.read);
            }
        }
    }

    /// Reads all of it. `may_hold` is asked before the buffer grows to so many bytes, with each piece, and now and then while nothing comes.
    pub(crate) async fn all(
        &mut self,
        mut may_hold: impl FnMut(usize) -> Result<(), Unread>,
    ) -> Result<Vec<u8>, Unread> {
        self.heed_announcement().await?;
        loop {
            while let Some(piece) = &mut self.piece {
                let chunk = piece.chunk();
                let needed = self.read.len() + chunk.len();
                if needed > self.read.capacity() {
                    let capacity = (2 * needed).min(self.bytes_max).max(needed);
                    may_hold(capacity)?;
                    self.read.reserve_exact(capacity - self.read.len());
                }
                let taken = chunk.len();
                self.read.extend_from_slice(chunk);
                piece.advance(taken);
                self.drop_spent_piece();
            }
            match self.come().await? {
                Came::End => return Ok(std::mem::take(&mut self.read)),
                // What grows no more may still be unwanted.
                Came::Piece | Came::Nothing => may_hold(self.read.capacity())?,
            }
        }
    }

    /// The body as it was, what was read of it first.
    pub(crate) fn into_body(self) -> Again<B> {
        let Self { body, piece, read, .. } = self;
        Again { read: read.into(), piece, body }
    }

    /// Reads all of it if it is no more than would be kept of a first line.
    pub(crate) async fn all_of_little(&mut self) -> Result<Vec<u8>, Unread> {
        let held =
            |capacity| if capacity > 2 * FIRST_LINE_BYTES_MAX { Err(Unread::LineTooLong) } else { Ok(()) };
        self.all(held).await
    }

    /// Keeps nothing of a body that is announced to be too large, and reads it to its bound for all that: a client that is
    /// answered while it writes may take that for a failure.
    async fn heed_announcement(&mut self) -> Result<(), Unread> {
        let left = self.bytes_max.saturating_sub(self.came) as u64;
        if self.body.size_hint().lower() <= left {
            return Ok(());
        }
        while !matches!(self.come().await?, Came::End) {
            self.piece = None;
        }
        Err(Unread::TooLarge)
    }

    fn drop_spent_piece(&mut self) {
        if self.piece.as_ref().is_some_and(|piece| !piece.has_remaining()) {
            self.piece = None;
        }
    }

    /// Waits for the next piece, not for long. Cancel safe.
    async fn come(&mut self) -> Result<Came, Unread> {
        loop {
            if self.clock.now().since(self.begun) >= self.timeout {
                return Err(Unread::TooLate);
            }
            let frame = match timeout(LOOK_PERIOD, self.body.frame()).await {
                Ok(None) => return Ok(Came::End),
                Ok(Some(Err(_))) => return Err(Unread::Cut),
                Ok(Some(Ok(frame))) => frame,
                Err(_) => return Ok(Came::Nothing),
            };
            // Trailers say nothing here.
            let Ok(data) = frame.into_data() else { continue };
            self.came = self.came.saturating_add(data.remaining());
            if self.came > self.bytes_max {
                return Err(Unread::TooLarge);
            }
            if data.has_remaining() {
                self.piece = Some(data);
                return Ok(Came::Piece);
            }
        }
    }
}

/// A body of which something was read, from its beginning.
pub(crate) struct Again<B: RequestBody> {
    read: Bytes,
    piece: Option<B::Data>,
    body: Pin<Box<B>>,
}

// Nothing in it is pinned but what is in a box.
impl<B: RequestBody> Unpin for Again<B> {}

impl<B: RequestBody> http_body::Body for Again<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if !self.read.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.read)))));
        }
        if let Some(mut piece) = self.piece.take() {
            let bytes = piece.copy_to_bytes(piece.remaining());
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let frame = ready!(self.body.as_mut().poll_frame(cx));
        Poll::Ready(frame.map(|frame| Ok(frame?.map_data(|mut data| data.copy_to_bytes(data.remaining())))))
    }
}

/// Bytes that a request holds for its session, until this is dropped.
pub(crate) struct Held<S> {
    session: Arc<LiveSession<S>>,
    bytes: usize,
}

impl<S> Held<S> {
    pub(crate) fn new(session: Arc<LiveSession<S>>) -> Self {
        Self { session, bytes: 0 }
    }

    /// Holds so many bytes instead, while the session lives and the mount may hold them.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), Unread> {
        match self.session.closed() {
            None => {}
            // It may have been closed for this very body.
            Some(CloseReason::OverBudget) => return Err(Unread::OverBudget),
            Some(_) => return Err(Unread::Unwanted),
        }
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.session.hold(more).map_err(|_| Unread::OverBudget)?,
            None => self.session.release(self.bytes - bytes),
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl<S> Drop for Held<S> {
    fn drop(&mut self) {
        self.session.release(self.bytes);
    }
}
