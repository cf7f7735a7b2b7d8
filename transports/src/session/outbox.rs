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
    #[inline]
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
    #[inline]
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
mod tests {
    use super::*;
    use crate::policy::compared;

    fn texts(outbox: &Outbox) -> Vec<&[u8]> {
        outbox.iter().map(|frame| &frame.payload()[..]).collect()
    }

    #[test]
    fn frames_come_out_in_the_order_they_went_in() {
        let mut outbox = Outbox::default();
        for text in ["a", "bb", "ccc"] {
            outbox.push(Frame::text(text));
        }
        assert_eq!((outbox.len(), outbox.bytes()), (3, 6));
        assert_eq!(texts(&outbox), [&b"a"[..], b"bb", b"ccc"]);
        assert_eq!(outbox.pop().unwrap().payload(), "a");
        assert_eq!(outbox.pop().unwrap().payload(), "bb");
        assert_eq!(outbox.pop().unwrap().payload(), "ccc");
        assert!(outbox.pop().is_none() && outbox.is_empty() && outbox.bytes() == 0);
    }

    #[test]
    fn the_bounds_in_bytes_are_passed_by_one_frame_at_most() {
        let limits = OutboxLimits::new().frames_max(3).bytes_max(4);
        let limits = limits.unacknowledged_frames_max(3).unacknowledged_bytes_max(4);
        let may = |frames, bytes| {
            let waiting = Waiting { frames, bytes };
            assert_eq!(limits.admits(waiting), limits.may_send(waiting));
            limits.admits(waiting)
        };
        assert!(may(0, 0) && may(1, 3) && may(2, 3));
        assert!(!may(1, 4) && !may(1, 1_000) && !may(3, 3) && !may(4, 0));
    }

    #[test]
    fn a_frame_is_found_by_its_key_behind_the_last_fence_and_replaced_with_its_bytes() {
        let key = |name: &str| Policy::Latest(Key::new(name));
        let (a, b) = (Key::new("a"), Key::new("b"));
        let mut outbox = Outbox::default();
        outbox.replace(0, Frame::text("nothing to replace"));
        outbox.replace(1, Frame::text("nothing to replace"));
        assert!(outbox.is_empty() && outbox.place_of(0, &a).is_none());
        for (text, policy) in
            [("1", Some(key("a"))), ("2", None), ("3", Some(key("b"))), ("4", Some(key("a")))]
        {
            let frame = Frame::text(text);
            outbox.push(policy.map_or(frame.clone(), |policy| frame.with_policy(policy)));
        }
        assert_eq!((outbox.place_of(0, &a), outbox.place_of(0, &b)), (Some(3), Some(2)));
        assert_eq!(
            (outbox.place_of(3, &a), outbox.place_of(3, &b), outbox.place_of(9, &a)),
            (Some(3), None, None)
        );
        outbox.replace(3, Frame::text("444").with_policy(key("a")));
        outbox.replace(0, Frame::text("11").with_policy(key("a")));
        assert_eq!((texts(&outbox), outbox.bytes()), (vec![&b"11"[..], b"2", b"3", b"444"], 7));
        assert_eq!(outbox.remove(1).unwrap().payload(), "2");
        assert_eq!((texts(&outbox), outbox.bytes()), (vec![&b"11"[..], b"3", b"444"], 6));
        assert_eq!(outbox.remove(0).unwrap().payload(), "11");
        assert_eq!((texts(&outbox), outbox.bytes()), (vec![&b"3"[..], b"444"], 4));
        assert!(outbox.remove(2).is_none());
        assert_eq!((outbox.remove(1).unwrap().payload().len(), outbox.bytes()), (3, 1));
        outbox.push(Frame::text("5").as_fence());
        assert_eq!((outbox.place_of(0, &a), outbox.place_of(0, &b)), (None, None));
        outbox.push(Frame::text("6").with_policy(key("b")));
        assert_eq!((outbox.place_of(0, &a), outbox.place_of(0, &b)), (None, Some(2)));
    }

    /// Beside what a look at each frame finds.
    #[test]
    fn what_waits_among_many_is_found_as_among_few() {
        let mut dice = 1_u64;
        let mut roll = |below: usize| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) as usize % below
        };
        let keys: Vec<_> = (0..300).map(|number| Key::new(&number.to_string())).collect();
        let (mut outbox, mut indexed) = (Outbox::default(), 0);
        for step in 0..60_000 {
            let key = &keys[roll(keys.len())];
            let frame = Frame::text(step.to_string()).with_policy(Policy::Latest(key.clone()));
            let skip = roll(4) * 20;
            let naive = (skip..outbox.len()).rev().find_map(|place| {
                let frame = outbox.get(place).unwrap();
                let is_it = matches!(frame.policy(), Some(Policy::Latest(known)) if known == key);
                (is_it || frame.is_fence()).then_some(is_it.then_some(place))
            });
            let place = outbox.place_of(skip, key);
            assert_eq!(place, naive.flatten(), "step {step}");
            let many = 150 + 150 * (step / 5_000 % 3);
            let any = roll(outbox.len() + 1);
            let stays = outbox.get(any).is_none_or(|frame| frame.policy().is_some() || frame.is_fence());
            match (roll(100), place) {
                (0, _) => outbox.push(Frame::text("fence").as_fence()),
                (1..10, _) => outbox.push(Frame::text("event")),
                // A state leaves when it is sent, and in no other way; so does a fence.
                (10..20, _) if !stays => drop(outbox.remove(any)),
                (20..30, _) if !stays => outbox.replace(any, Frame::text("what tells of others")),
                (_, Some(place)) => outbox.replace(place, frame),
                (_, None) => outbox.push(frame),
            }
            while outbox.len() > many || (step % 10_000 == 0 && !outbox.is_empty()) {
                outbox.pop();
            }
            indexed += usize::from(matches!(&outbox.0, Kept::Many(many) if many.index.is_some()));
        }
        assert!(indexed > 30_000, "it is looked for in an index: {indexed}");
    }

    /// As many comparisons of keys for each state that is pushed, however many others wait.
    #[test]
    fn a_state_is_found_among_ten_thousand_as_fast_as_among_a_hundred() {
        const ROUNDS: usize = 30_000;
        for keys in [100, 1_000, 10_000] {
            let keys: Vec<_> = (0..keys).map(|number| Key::new(&number.to_string())).collect();
            let mut outbox = Outbox::default();
            let push = |outbox: &mut Outbox, key: &Key| {
                let frame = Frame::text("state").with_policy(Policy::Latest(key.clone()));
                match outbox.place_of(0, key) {
                    Some(place) => outbox.replace(place, frame),
                    None => outbox.push(frame),
                }
            };
            keys.iter().for_each(|key| push(&mut outbox, key));
            compared::take();
            for round in 0..ROUNDS {
                push(&mut outbox, &keys[round * 7_919 % keys.len()]);
                // The client has taken one, which tells of another thing than the next that is said.
                if round % 3 == 0 {
                    outbox.pop();
                }
            }
            let each = compared::take() as f64 / ROUNDS as f64;
            assert!(each < 4.0, "{each} comparisons for each, among {}", keys.len());
            assert!(outbox.len() > keys.len() / 2, "{} wait", outbox.len());
        }
    }

    #[test]
    fn truncation_keeps_the_frame_that_may_be_half_written() {
        let mut outbox = Outbox::default();
        for text in ["a", "bb", "ccc"] {
            outbox.push(Frame::text(text));
        }
        outbox.truncate_to_first();
        assert_eq!((outbox.len(), outbox.bytes()), (1, 1));
    }

    #[test]
    fn a_queue_is_crowded_when_an_eighth_of_either_bound_is_left() {
        let limits = OutboxLimits::new().frames_max(80).bytes_max(800);
        let crowded = |frames, bytes| limits.is_crowded(Waiting { frames, bytes });
        assert!(!crowded(70, 0) && crowded(71, 0));
        assert!(!crowded(0, 700) && crowded(0, 701));
        assert!(!crowded(70, 700) && crowded(71, 701));
    }
}
