//! The frames that wait for one client, bounded in number and in bytes.
//!
//! Pure: no lock, no waker, no clock. Most outboxes are empty most of the time and the rest mostly hold one
//! frame, which lies in the struct itself; a queue exists from the second on, until nothing waits.

use std::collections::{VecDeque, vec_deque};

use super::index::Index;
use crate::{
    frame::Frame,
    policy::{Key, Policy},
};

/// Bounds of what is kept for one client: what waits to be sent, and apart from it what was sent and is not acknowledged.
///
/// A session for which more is to wait than may is closed with 1013, and the client comes back. Where as much is unacknowledged
/// as may be, which only resumable sessions know, nothing new is sent until the client says what it has; it is asked before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct OutboxLimits {
    pub(crate) frames_max: usize,
    pub(crate) bytes_max: usize,
    pub(crate) unacknowledged_frames_max: usize,
    pub(crate) unacknowledged_bytes_max: usize,
}

impl OutboxLimits {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            frames_max: 4_096,
            bytes_max: 16 * 1024 * 1024,
            unacknowledged_frames_max: 4_096,
            unacknowledged_bytes_max: 4 * 1024 * 1024,
        }
    }

    /// Frames that may wait to be sent. Default 4,096: a client that lags by so many messages will not catch up.
    pub const fn frames_max(mut self, frames: usize) -> Self {
        self.frames_max = frames;
        self
    }

    /// Bytes that may wait to be sent before another frame is taken, so that one frame more than this may wait. Default 16 MiB:
    /// while the largest message that a client may send waits, there is room for another. Less than that message is an
    /// error of [`TransportOptions::check`](crate::options::TransportOptions::check): what is let in must be deliverable.
    pub const fn bytes_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Frames of a resumable session that were sent and are not acknowledged. Default 4,096: clients acknowledge after 32, and
    /// one that is a second away gets 4,096 frames a second. From half of it on the client is asked what it has; at the
    /// bound nothing new is sent until it answers.
    pub const fn unacknowledged_frames_max(mut self, frames: usize) -> Self {
        self.unacknowledged_frames_max = frames;
        self
    }

    /// Bytes of these frames; one frame more than this is sent, however large. Default 4 MiB, which is what a line of 40 MB a
    /// second has under way in a tenth of a second. From half of it on the client is asked what it has; at the bound
    /// nothing new is sent until it answers.
    pub const fn unacknowledged_bytes_max(mut self, bytes: usize) -> Self {
        self.unacknowledged_bytes_max = bytes;
        self
    }

    /// Whether another frame may wait beside those that do.
    pub(super) fn admits(&self, unsent: Waiting) -> bool {
        unsent.frames == 0 || (unsent.frames < self.frames_max && unsent.bytes < self.bytes_max)
    }

    /// Whether so many more may wait; beside none they always may.
    pub(super) fn admits_all(&self, unsent: Waiting, count: usize) -> bool {
        let before_last = Waiting { frames: unsent.frames + count.saturating_sub(1), bytes: unsent.bytes };
        unsent.frames == 0 || self.admits(before_last)
    }

    /// Whether less than half of what may wait does.
    pub(super) fn is_relaxed(&self, unsent: Waiting) -> bool {
        unsent.frames <= 1 || (unsent.frames <= self.frames_max / 2 && unsent.bytes <= self.bytes_max / 2)
    }

    /// Whether hardly any more may wait: an eighth.
    pub(super) fn is_crowded(&self, unsent: Waiting) -> bool {
        unsent.frames > self.frames_max - self.frames_max / 8
            || unsent.bytes > self.bytes_max - self.bytes_max / 8
    }

    /// Whether another frame may be sent beside those that are not acknowledged.
    pub(super) fn may_send(&self, unacknowledged: Waiting) -> bool {
        let Waiting { frames, bytes } = unacknowledged;
        frames == 0 || (frames < self.unacknowledged_frames_max && bytes < self.unacknowledged_bytes_max)
    }

    /// Whether so much is not acknowledged that the client is to be asked.
    pub(super) fn is_to_be_asked(&self, unacknowledged: Waiting) -> bool {
        let Waiting { frames, bytes } = unacknowledged;
        frames > self.unacknowledged_frames_max / 2 || bytes > self.unacknowledged_bytes_max / 2
    }
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self::new()
    }
}

/// Frames for which there is room at once where there is more than one. A client acknowledges every 32 frames of a resumable
/// session, which is what lies here of one that is kept busy.
const MANY_CAPACITY: usize = 32;

/// Frames and bytes that are kept for one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// Frames.
    pub frames: usize,
    /// Bytes of their payloads.
    pub bytes: usize,
}

/// A first-in first-out queue of frames with the number of bytes in it. Its bounds are the session's to keep.
///
/// ```
/// use lapwing_transports::{frame::Frame, session::outbox::Outbox};
///
/// let mut outbox = Outbox::default();
/// outbox.push(Frame::text("a"));
/// outbox.push(Frame::text("bc"));
/// assert_eq!((outbox.len(), outbox.bytes()), (2, 3));
/// assert_eq!(outbox.pop().unwrap().payload(), "a");
/// ```
#[derive(Debug, Default)]
pub struct Outbox(Kept);

/// What an outbox holds. Most hold nothing, or one frame, and have no queue for it.
#[derive(Debug, Default)]
enum Kept {
    #[default]
    Nothing,
    One(Frame),
    /// As long as one is left: never without any.
    Many(Box<Many>),
}

#[derive(Debug)]
struct Many {
    frames: VecDeque<Frame>,
    /// Payload bytes of these frames.
    bytes: usize,
    /// Where the states of things wait, once somebody had to look for long.
    index: Option<Box<Index>>,
}

/// Frames of an outbox. The first is alone most of the time, so that a chain of two iterators would be slower than what is done with it.
struct Frames<'a> {
    one: Option<&'a Frame>,
    many: vec_deque::Iter<'a, Frame>,
}

impl<'a> Iterator for Frames<'a> {
    type Item = &'a Frame;

    #[inline]
    fn next(&mut self) -> Option<&'a Frame> {
        self.one.take().or_else(|| self.many.next())
    }
}

impl Many {
    #[inline(always)]
    fn push(&mut self, frame: Frame) {
        self.bytes += frame.payload().len();
        if let Some(index) = &mut self.index {
            index.push(self.frames.len(), &frame);
        }
        self.frames.push_back(frame);
    }

    #[inline]
    fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.payload().len();
        if let Some(index) = &mut self.index {
            index.pop(&frame);
        }
        Some(frame)
    }

    fn replace(&mut self, place: usize, frame: Frame) {
        let Some(known) = self.frames.get_mut(place) else { return };
        if let Some(index) = &mut self.index {
            index.replace(place, known, &frame);
        }
        self.bytes = self.bytes - known.payload().len() + frame.payload().len();
        *known = frame;
    }

    fn remove(&mut self, place: usize) -> Option<Frame> {
        let frame = self.frames.remove(place)?;
        self.bytes -= frame.payload().len();
        if let Some(index) = &mut self.index {
            index.remove(place, &frame);
        }
        Some(frame)
    }
}

/// Frames that are looked at before an index is made. So many are looked at in less than the time that it takes to find one by a hash and
/// to keep the index as it should be.
const SCAN_MAX: usize = 64;

impl Outbox {
    /// Puts a frame at the end.
    // As a session's, of which it is the greater part.
    #[inline(always)]
    pub fn push(&mut self, frame: Frame) {
        match &mut self.0 {
            Kept::Nothing => self.0 = Kept::One(frame),
            Kept::One(_) => self.push_second(frame),
            Kept::Many(many) => many.push(frame),
        }
    }

    fn push_second(&mut self, frame: Frame) {
        let mut many = Many { frames: VecDeque::with_capacity(MANY_CAPACITY), bytes: 0, index: None };
        if let Kept::One(first) = std::mem::take(&mut self.0) {
            many.push(first);
        }
        many.push(frame);
        self.0 = Kept::Many(Box::new(many));
    }

    /// Takes the oldest frame.
    #[inline]
    pub fn pop(&mut self) -> Option<Frame> {
        match &mut self.0 {
            Kept::Nothing => None,
            Kept::One(_) => {
                let Kept::One(frame) = std::mem::take(&mut self.0) else { return None };
                Some(frame)
            }
            Kept::Many(many) => {
                let frame = many.pop();
                if many.frames.is_empty() {
                    self.0 = Kept::Nothing;
                }
                frame
            }
        }
    }

    /// Drops the oldest frames, as long as each may go. Returns how many they were.
    #[inline]
    pub fn pop_while(&mut self, mut may_go: impl FnMut(&Frame) -> bool) -> usize {
        let many = match &mut self.0 {
            Kept::Many(many) => many,
            Kept::One(frame) if may_go(frame) => {
                self.0 = Kept::Nothing;
                return 1;
            }
            Kept::Nothing | Kept::One(_) => return 0,
        };
        let before = many.frames.len();
        while many.frames.front().is_some_and(&mut may_go) {
            many.pop();
        }
        let gone = before - many.frames.len();
        if gone == before {
            self.0 = Kept::Nothing;
        }
        gone
    }

    /// Puts a frame into the place of another, counted from the oldest; nothing if there is none.
    pub fn replace(&mut self, place: usize, frame: Frame) {
        match &mut self.0 {
            Kept::One(known) if place == 0 => *known = frame,
            Kept::Nothing | Kept::One(_) => {}
            Kept::Many(many) => many.replace(place, frame),
        }
    }

    /// Takes the frame out of a place; those behind it move up.
    pub fn remove(&mut self, place: usize) -> Option<Frame> {
        let Kept::Many(many) = &mut self.0 else { return if place == 0 { self.pop() } else { None } };
        let frame = many.remove(place);
        if many.frames.is_empty() {
            self.0 = Kept::Nothing;
        }
        frame
    }

    /// Takes out the first so many frames from a place on that are meant; those behind them move up. Looks at each once, however many go.
    pub fn remove_first(&mut self, from: usize, count: usize, is_meant: impl Fn(&Frame) -> bool) {
        let first =
            |outbox: &Self| (from..outbox.len()).find(|place| outbox.get(*place).is_some_and(&is_meant));
        if count <= 1 {
            // As of a client that stays late, of whose index nothing else is lost.
            if let Some(place) = first(self).filter(|_| count == 1) {
                self.remove(place);
            }
            return;
        }
        let Kept::Many(many) = &mut self.0 else { return };
        let (mut left, mut bytes) = (count, 0);
        let behind = many.frames.split_off(from.min(many.frames.len()));
        many.frames.extend(behind.into_iter().filter(|frame| {
            let goes = left > 0 && is_meant(frame);
            left -= usize::from(goes);
            bytes += if goes { frame.payload().len() } else { 0 };
            !goes
        }));
        many.bytes -= bytes;
        many.index = None;
        if many.frames.is_empty() {
            self.0 = Kept::Nothing;
        }
    }

    /// Drops all frames but the oldest, which may be half written.
    pub fn truncate_to_first(&mut self) {
        if let Kept::Many(many) = &mut self.0 {
            self.0 = many.frames.pop_front().map_or(Kept::Nothing, Kept::One);
        }
    }

    /// The frames, oldest first.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &Frame> {
        self.frames(0)
    }

    /// The frames but for the first `skip`, oldest first. Skipping costs nothing.
    pub fn iter_from(&self, skip: usize) -> impl Iterator<Item = &Frame> {
        self.frames(skip)
    }

    #[inline]
    fn frames(&self, skip: usize) -> Frames<'_> {
        match &self.0 {
            Kept::One(frame) if skip == 0 => Frames { one: Some(frame), many: vec_deque::Iter::default() },
            Kept::Many(many) if skip <= many.frames.len() => {
                Frames { one: None, many: many.frames.range(skip..) }
            }
            _ => Frames { one: None, many: vec_deque::Iter::default() },
        }
    }

    /// The frame in a place.
    #[inline]
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&Frame> {
        match &self.0 {
            Kept::One(frame) if place == 0 => Some(frame),
            Kept::Nothing | Kept::One(_) => None,
            Kept::Many(many) => many.frames.get(place),
        }
    }

    /// The place of the last frame that tells the state of something, if no fence is behind it. The first `skip` are passed by.
    ///
    /// Looks at some frames at most: where that is not enough, an index is made, and kept until nothing waits.
    #[must_use]
    pub fn place_of(&mut self, skip: usize, key: &Key) -> Option<usize> {
        if let Kept::Many(many) = &self.0
            && let Some(index) = &many.index
        {
            return index.place_of(key).filter(|place| *place >= skip);
        }
        let newest = self.len().saturating_sub(SCAN_MAX).max(skip);
        let mut frames = (newest..self.len()).rev().map_while(|place| Some((place, self.get(place)?)));
        let is_it = |frame: &Frame| matches!(frame.policy(), Some(Policy::Latest(known)) if known == key);
        if let Some((place, frame)) = frames.find(|(_, frame)| frame.is_fence() || is_it(frame)) {
            return is_it(frame).then_some(place);
        }
        if newest == skip {
            return None;
        }
        let index = Box::new(Index::of(self.iter()));
        let place = index.place_of(key).filter(|place| *place >= skip);
        if let Kept::Many(many) = &mut self.0 {
            many.index = Some(index);
        }
        place
    }

    /// How many frames wait.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Kept::Nothing => 0,
            Kept::One(_) => 1,
            Kept::Many(many) => many.frames.len(),
        }
    }

    /// Returns whether nothing waits.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Kept::Nothing)
    }

    /// How many payload bytes wait.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Kept::Nothing => 0,
            Kept::One(frame) => frame.payload().len(),
            Kept::Many(many) => many.bytes,
        }
    }
}

#[cfg(test)]
mod tests;
