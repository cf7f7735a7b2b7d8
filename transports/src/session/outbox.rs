//! The frames that wait for one client, bounded in number and in bytes.
//!
//! Pure: no lock, no waker, no clock. Most outboxes are empty most of the time and the rest mostly hold one
//! frame, so the first frame lies in the struct itself and the queue behind it exists only while it is needed.

use std::collections::VecDeque;

use crate::frame::Frame;

/// How much may wait for one client. Beyond it the session is closed with 1013, and the client comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct OutboxLimits {
    pub(crate) frames_max: usize,
    pub(crate) bytes_max: usize,
}

impl OutboxLimits {
    /// The defaults.
    pub const fn new() -> Self {
        Self { frames_max: 4_096, bytes_max: 4 * 1024 * 1024 }
    }

    /// Frames that may wait. Default 4,096: a client that lags by so many messages will not catch up.
    pub const fn frames_max(mut self, frames: usize) -> Self {
        self.frames_max = frames;
        self
    }

    /// Bytes that may wait before another frame is taken, so that one frame more than this may wait and no message
    /// is too large to be delivered at all. Default 4 MiB, four of the largest messages that applications commonly
    /// send.
    pub const fn bytes_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self::new()
    }
}

/// Frames behind the first for which there is room at once. A client acknowledges every 32 frames of a resumable session,
/// which is what lies here of one that is kept busy.
const REST_CAPACITY: usize = 32;

/// How much waits for one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// Frames.
    pub frames: usize,
    /// Bytes of their payloads.
    pub bytes: usize,
}

/// The outbox is at its bound and did not take the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// A first-in first-out queue of frames with the number of bytes in it.
///
/// ```
/// use lapwing_transports::{frame::Frame, session::outbox::{Outbox, OutboxLimits, Overflow}};
///
/// let limits = OutboxLimits::new().frames_max(1);
/// let mut outbox = Outbox::default();
/// assert_eq!(outbox.push(Frame::text("a"), &limits), Ok(()));
/// assert_eq!(outbox.push(Frame::text("b"), &limits), Err(Overflow));
/// assert_eq!(outbox.pop().unwrap().payload(), "a");
/// ```
#[derive(Debug, Default)]
pub struct Outbox {
    /// The oldest frame. `None` means that the outbox is empty: `rest` is empty then, too.
    first: Option<Frame>,
    /// What follows `first`; dropped as soon as it is empty, so that an idle client holds no queue.
    rest: Option<Box<Rest>>,
}

#[derive(Debug)]
struct Rest {
    frames: VecDeque<Frame>,
    /// Payload bytes of these frames.
    bytes: usize,
}

impl Outbox {
    /// Puts a frame at the end.
    ///
    /// # Errors
    /// [`Overflow`] when the frame would exceed a bound; the outbox is unchanged then.
    pub fn push(&mut self, frame: Frame, limits: &OutboxLimits) -> Result<(), Overflow> {
        let bytes = frame.payload().len();
        if self.first.is_none() {
            self.first = Some(frame);
        } else if self.len() >= limits.frames_max || self.bytes() >= limits.bytes_max {
            return Err(Overflow);
        } else {
            let rest = self.rest.get_or_insert_with(|| {
                Box::new(Rest { frames: VecDeque::with_capacity(REST_CAPACITY), bytes: 0 })
            });
            rest.frames.push_back(frame);
            rest.bytes += bytes;
        }
        Ok(())
    }

    /// Takes the oldest frame.
    pub fn pop(&mut self) -> Option<Frame> {
        let frame = self.first.take()?;
        if let Some(rest) = &mut self.rest {
            self.first = rest.frames.pop_front();
            rest.bytes -= self.first.as_ref().map_or(0, |first| first.payload().len());
            if rest.frames.is_empty() {
                self.rest = None;
            }
        }
        Some(frame)
    }

    /// Drops all frames but the oldest, which may be half written.
    pub fn truncate_to_first(&mut self) {
        self.rest = None;
    }

    /// The frames, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Frame> {
        self.iter_from(0)
    }

    /// The frames but for the first `skip`, oldest first. Skipping costs nothing.
    pub fn iter_from(&self, skip: usize) -> impl Iterator<Item = &Frame> {
        let first = if skip == 0 { self.first.as_ref() } else { None };
        let skip = skip.saturating_sub(1);
        let rest = self.rest.as_deref().map(|rest| &rest.frames).filter(|rest| skip < rest.len());
        first.into_iter().chain(rest.into_iter().flat_map(move |rest| rest.range(skip..)))
    }

    /// How many frames wait.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.as_ref().map_or(0, |rest| rest.frames.len())
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// How much waits.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        Waiting { frames: self.len(), bytes: self.bytes() }
    }

    /// How many payload bytes wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let first = self.first.as_ref().map_or(0, |frame| frame.payload().len());
        first + self.rest.as_ref().map_or(0, |rest| rest.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(outbox: &Outbox) -> Vec<&[u8]> {
        outbox.iter().map(|frame| &frame.payload()[..]).collect()
    }

    #[test]
    fn frames_come_out_in_the_order_they_went_in() {
        let mut outbox = Outbox::default();
        for text in ["a", "bb", "ccc"] {
            outbox.push(Frame::text(text), &OutboxLimits::default()).unwrap();
        }
        assert_eq!((outbox.len(), outbox.bytes()), (3, 6));
        assert_eq!(texts(&outbox), [&b"a"[..], b"bb", b"ccc"]);
        assert_eq!(outbox.pop().unwrap().payload(), "a");
        assert_eq!(outbox.pop().unwrap().payload(), "bb");
        assert_eq!(outbox.pop().unwrap().payload(), "ccc");
        assert!(outbox.pop().is_none() && outbox.is_empty() && outbox.bytes() == 0);
    }

    #[test]
    fn the_byte_bound_is_passed_by_one_frame_at_most() {
        let limits = OutboxLimits::new().bytes_max(4);
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(Frame::text("too large"), &limits), Ok(()));
        assert_eq!(outbox.push(Frame::text("x"), &limits), Err(Overflow));
        outbox.pop();
        assert_eq!(outbox.push(Frame::text("123"), &limits), Ok(()));
        assert_eq!(outbox.push(Frame::text("a large one"), &limits), Ok(()));
        assert_eq!(outbox.push(Frame::text("5"), &limits), Err(Overflow));
        assert_eq!((outbox.len(), outbox.bytes()), (2, 14));
    }

    #[test]
    fn truncation_keeps_the_frame_that_may_be_half_written() {
        let mut outbox = Outbox::default();
        for text in ["a", "bb", "ccc"] {
            outbox.push(Frame::text(text), &OutboxLimits::default()).unwrap();
        }
        outbox.truncate_to_first();
        assert_eq!((outbox.len(), outbox.bytes()), (1, 1));
    }
}
