//! A frame: one encoded message, text or bytes. The transports never look inside.

#[cfg(feature = "net")]
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

#[cfg(feature = "net")]
use crate::budget::{Budget, Charge, STEP};
#[cfg(feature = "net")]
use crate::deflate::gzip::Part;
use crate::policy::{Policy, Told};
#[cfg(feature = "deflate")]
use crate::{deflate, forms::Forms};

/// Whether a message is UTF-8 text or raw bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// UTF-8 text.
    Text,
    /// Raw bytes.
    Binary,
}

/// One encoded message on its way out, cheap to clone and shared by all who are to receive it.
///
/// A broadcast to ten thousand sessions is encoded once; each outbox then holds one pointer to it.
///
/// ```
/// use lapwing_transports::frame::{Frame, FrameKind};
///
/// let frame = Frame::text("hello");
/// assert_eq!(frame.kind(), FrameKind::Text);
/// assert_eq!(frame.payload(), "hello");
/// ```
#[derive(Clone, Debug)]
pub struct Frame(Arc<Encoded>);

#[derive(Debug)]
struct Encoded {
    kind: FrameKind,
    /// No state that comes behind it takes the place of one that is before it.
    is_fence: bool,
    payload: Bytes,
    /// What few frames have, in one pointer.
    rare: OnceLock<Box<Rare>>,
    /// Where it is counted, once it waits where more than a little does: once for all who wait for it, for as long as it lives.
    #[cfg(feature = "net")]
    counted: OnceLock<Arc<Budget>>,
    /// Its [`Look`] once somebody has looked, in one number. Who polls again and again would have megabytes looked through each time.
    #[cfg(feature = "net")]
    look: AtomicU64,
}

/// What of a payload matters to who writes it into JSON or as a line.
#[cfg(feature = "net")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Bytes that a JSON string has more, its quotes aside.
    pub(crate) escapes: usize,
    pub(crate) has_line_breaks: bool,
}

/// What few frames have.
#[derive(Debug, Default)]
struct Rare {
    policy: Option<Policy>,
    /// The frame as an event of an event stream, once somebody needed it: the same bytes for all who get it.
    #[cfg(feature = "net")]
    event: OnceLock<Event>,
    /// The same for streams that are gzip, with what their ends have to know of it.
    #[cfg(feature = "net")]
    packed_event: OnceLock<(Event, Part)>,
    /// The payload compressed, for connections that take that. Never changed once others have the frame: how much of it a connection
    /// has written is a number, and what it takes is counted once.
    #[cfg(feature = "deflate")]
    compressed: Option<Box<[u8]>>,
    /// The same of the payload as a string of JSON.
    #[cfg(feature = "deflate")]
    string: Option<Box<Packed>>,
}

/// A form of a payload, compressed.
#[cfg(feature = "net")]
#[derive(Debug)]
pub(crate) struct Packed {
    /// Without what ends a flushed block.
    pub(crate) bytes: Box<[u8]>,
    /// What it stands for.
    pub(crate) part: Part,
}

/// A frame as an event, counted if it is more than a little.
#[cfg(feature = "net")]
#[derive(Debug)]
struct Event {
    bytes: Bytes,
    _charge: Option<Charge>,
}

/// What a frame takes besides its payload: its counts and pointers, and its place in a queue.
#[cfg(feature = "net")]
pub(crate) const FRAME_BYTES: usize = 192;

impl Frame {
    /// A text frame. Taking a `String` makes invalid UTF-8 impossible.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(FrameKind::Text, Bytes::from(text.into()))
    }

    /// A binary frame.
    #[must_use]
    pub fn binary(payload: impl Into<Bytes>) -> Self {
        Self::new(FrameKind::Binary, payload.into())
    }

    fn new(kind: FrameKind, payload: Bytes) -> Self {
        Self(Arc::new(Encoded {
            kind,
            is_fence: false,
            payload,
            rare: OnceLock::new(),
            #[cfg(feature = "net")]
            counted: OnceLock::new(),
            #[cfg(feature = "net")]
            look: AtomicU64::new(0),
        }))
    }

    /// A frame that tells of others.
    #[must_use]
    pub fn told(told: Told) -> Self {
        Self::new(if told.is_text { FrameKind::Text } else { FrameKind::Binary }, told.payload)
    }

    /// A frame of the same bytes that is counted for itself: for whoever keeps frames beside the queues of clients.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self::new(self.0.kind, self.0.payload.clone())
    }

    /// The frame with a policy for clients that are behind, which all clones of it have.
    ///
    /// ```
    /// use lapwing_transports::{frame::Frame, policy::Policy};
    ///
    /// let frame = Frame::text("a cursor moved").with_policy(Policy::Volatile);
    /// assert_eq!(frame.clone().policy(), Some(&Policy::Volatile));
    /// assert_eq!(Frame::text("hello").policy(), None);
    /// ```
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        self.changed(|encoded| encoded.rare_mut().policy = Some(policy))
    }

    /// The frame as one that no state overtakes: what comes behind it does not take the place of anything before it.
    #[must_use]
    pub fn as_fence(self) -> Self {
        self.changed(|encoded| encoded.is_fence = true)
    }

    /// Another frame with the marks of this one.
    pub(crate) fn like(&self, mut other: Self) -> Self {
        if let Some(policy) = self.policy() {
            other = other.with_policy(policy.clone());
        }
        if self.is_fence() { other.as_fence() } else { other }
    }

    /// The fate of the frame where its client is behind, if that is not the end of the session.
    #[must_use]
    pub fn policy(&self) -> Option<&Policy> {
        self.0.rare.get()?.policy.as_ref()
    }

    /// Returns whether no state overtakes it.
    #[must_use]
    pub fn is_fence(&self) -> bool {
        self.0.is_fence
    }

    /// Whoever else has the frame keeps it as it is.
    fn changed(mut self, change: impl FnOnce(&mut Encoded)) -> Self {
        if Arc::get_mut(&mut self.0).is_none() {
            self = self.like(self.anew());
        }
        if let Some(encoded) = Arc::get_mut(&mut self.0) {
            change(encoded);
        }
        self
    }

    /// Compresses the payload for all connections whose clients take that, in the forms in which they do, if it is worth it. For whoever
    /// sends it, before it is pushed or cloned: a frame that others have stays as it is. What this costs grows with the payload.
    #[cfg(feature = "deflate")]
    pub fn compress(&mut self, forms: Forms) {
        let Some(encoded) = Arc::get_mut(&mut self.0).filter(|encoded| encoded.counted.get().is_none())
        else {
            return;
        };
        let is_text = encoded.kind == FrameKind::Text;
        // Bytes are base64 in a line, which is hardly worth it.
        if (forms.has(Forms::MESSAGES) || (forms.has(Forms::LINES) && is_text))
            && let Some(compressed) = deflate::compressed(&encoded.payload)
        {
            encoded.rare_mut().compressed = Some(compressed);
        }
        if forms.has(Forms::STRINGS) && is_text {
            // No error: it is made of a `String`.
            let string = serde_json::to_vec(&String::from_utf8_lossy(&encoded.payload)).unwrap_or_default();
            if let Some(bytes) = deflate::compressed(&string) {
                let part = Part::of(&string);
                encoded.rare_mut().string = Some(Box::new(Packed { bytes, part }));
            }
        }
    }

    /// Returns whether connections whose clients take that get the payload compressed, in one of its forms.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.compressed().is_some() || self.string().is_some()
    }

    /// The payload compressed, if it was.
    #[cfg(feature = "net")]
    pub(crate) fn compressed(&self) -> Option<&[u8]> {
        self.0.compressed()
    }

    /// The payload as a string of JSON, compressed, if it was.
    #[cfg(feature = "net")]
    pub(crate) fn string(&self) -> Option<&Packed> {
        self.0.string()
    }

    /// Returns whether the frame is text or bytes.
    #[must_use]
    pub fn kind(&self) -> FrameKind {
        self.0.kind
    }

    /// The frame as an event, made at the first call for all clones of the frame.
    #[cfg(feature = "net")]
    pub(crate) fn event(&self, budget: &Arc<Budget>, make: impl FnOnce(&Self) -> Bytes) -> Bytes {
        let rare = self.0.rare.get_or_init(Box::default);
        rare.event.get_or_init(|| self.0.counted_event(make(self), budget)).bytes.clone()
    }

    /// The same for streams that are gzip.
    #[cfg(feature = "net")]
    pub(crate) fn packed_event(
        &self,
        budget: &Arc<Budget>,
        make: impl FnOnce(&Self) -> (Bytes, Part),
    ) -> (Bytes, Part) {
        let rare = self.0.rare.get_or_init(Box::default);
        let (event, part) = rare.packed_event.get_or_init(|| {
            let (bytes, part) = make(self);
            (self.0.counted_event(bytes, budget), part)
        });
        (event.bytes.clone(), *part)
    }

    /// What the payload looks like, found out at the first call for all clones of the frame.
    #[cfg(feature = "net")]
    pub(crate) fn look(&self, find_out: impl FnOnce(&[u8]) -> Look) -> Look {
        const IS_KNOWN: u64 = 1 << 63;
        let known = self.0.look.load(Ordering::Relaxed);
        if known & IS_KNOWN != 0 {
            return Look { escapes: (known & !IS_KNOWN) as usize >> 1, has_line_breaks: known & 1 != 0 };
        }
        let look = find_out(self.payload());
        let number = IS_KNOWN | (look.escapes as u64) << 1 | u64::from(look.has_line_breaks);
        self.0.look.store(number, Ordering::Relaxed);
        look
    }

    /// What the frame takes.
    #[cfg(feature = "net")]
    pub(crate) fn cost(&self) -> usize {
        self.0.cost()
    }

    /// Counts the frame, unless it is counted already.
    #[cfg(feature = "net")]
    pub(crate) fn charge(&self, budget: &Arc<Budget>) {
        self.0.counted.get_or_init(|| {
            budget.add(self.cost());
            budget.clone()
        });
    }

    /// The encoded message.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.0.payload
    }
}

impl Encoded {
    /// What few frames have, to be set before others have the frame.
    fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_init(Box::default);
        self.rare.get_mut().expect("it is there now")
    }
}

#[cfg(feature = "net")]
impl Encoded {
    fn cost(&self) -> usize {
        let string = self.string().map_or(0, |string| string.bytes.len() + size_of::<Packed>());
        self.payload.len() + self.compressed().map_or(0, <[u8]>::len) + string + FRAME_BYTES
    }

    fn counted_event(&self, bytes: Bytes, budget: &Arc<Budget>) -> Event {
        let is_counted = bytes.len() >= STEP || self.counted.get().is_some();
        let charge = is_counted.then(|| budget.charge(bytes.len()));
        Event { bytes, _charge: charge }
    }

    #[cfg(feature = "deflate")]
    fn compressed(&self) -> Option<&[u8]> {
        self.rare.get()?.compressed.as_deref()
    }

    #[cfg(feature = "deflate")]
    fn string(&self) -> Option<&Packed> {
        self.rare.get()?.string.as_deref()
    }

    /// Nothing is compressed without the feature `deflate`.
    #[cfg(not(feature = "deflate"))]
    fn compressed(&self) -> Option<&[u8]> {
        None
    }

    #[cfg(not(feature = "deflate"))]
    fn string(&self) -> Option<&Packed> {
        None
    }
}

#[cfg(feature = "net")]
impl Drop for Encoded {
    fn drop(&mut self) {
        if let Some(budget) = self.counted.get() {
            budget.remove(self.cost());
        }
    }
}

/// One message on its way in, borrowed from the buffer it was read into.
///
/// ```
/// use lapwing_transports::frame::Message;
///
/// assert_eq!(Message::Text("hi").as_bytes(), b"hi");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// UTF-8 text, already validated.
    Text(&'a str),
    /// Raw bytes.
    Binary(&'a [u8]),
}

impl<'a> Message<'a> {
    /// The message's bytes, whichever kind it is.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_its_bytes_whichever_kind_it_is() {
        assert_eq!(
            (Message::Text("hi").as_bytes(), Message::Binary(b"ho").as_bytes()),
            (&b"hi"[..], &b"ho"[..])
        );
    }

    #[cfg(feature = "net")]
    #[test]
    fn a_frame_is_counted_once_for_as_long_as_it_lives() {
        let (budget, frame) = (Arc::new(Budget::new(usize::MAX)), Frame::text("x".repeat(100)));
        assert_eq!((frame.compressed(), frame.string().is_some()), (None, false));
        assert_eq!(frame.cost(), 100 + FRAME_BYTES);
        for clone in [&frame, &frame.clone()] {
            clone.charge(&budget);
            assert_eq!(budget.held(), frame.cost());
        }
        let other = frame.anew();
        other.charge(&budget);
        assert_eq!(budget.held(), 2 * frame.cost(), "the same bytes, counted for themselves");
        drop((frame, other));
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_mark_is_on_a_frame_and_its_clones_and_not_on_others_of_the_same_bytes() {
        let frame = Frame::text("x");
        let marked = frame.clone().with_policy(Policy::Volatile);
        assert_eq!((frame.policy(), marked.clone().policy()), (None, Some(&Policy::Volatile)));
        assert_eq!((marked.payload(), marked.anew().policy()), (frame.payload(), None));
        let fence = frame.clone().as_fence();
        assert!(fence.clone().is_fence() && !frame.is_fence());
        let both = fence.with_policy(Policy::Volatile).as_fence();
        assert!(both.is_fence() && both.policy().is_some());
    }

    #[cfg(feature = "deflate")]
    #[test]
    fn a_frame_is_compressed_before_others_have_it_or_never() {
        let mut frame = Frame::text("again and again, ".repeat(50));
        frame.compress(Forms::MESSAGES);
        let clone = frame.clone();
        let bytes = clone.compressed().unwrap();
        assert!(bytes.len() < 100 && clone.is_compressed());
        frame.compress(Forms::MESSAGES);
        assert!(std::ptr::eq(frame.compressed().unwrap(), bytes), "the same bytes for all");

        // Half of it may be on its way.
        let mut written = frame.anew();
        let connection = written.clone();
        written.compress(Forms::MESSAGES);
        assert_eq!((written.compressed(), connection.is_compressed()), (None, false));

        let mut short = Frame::text("short");
        short.compress(Forms::MESSAGES);
        assert_eq!((short.compressed(), short.is_compressed()), (None, false));

        let mut marked = Frame::text("x".repeat(1_000));
        marked.compress(Forms::MESSAGES);
        let marked = marked.with_policy(Policy::Volatile).as_fence();
        assert!(marked.is_compressed() && marked.is_fence() && marked.policy().is_some());
    }

    #[cfg(feature = "deflate")]
    #[test]
    fn a_frame_is_compressed_in_the_forms_that_are_asked_for_and_bytes_as_messages_alone() {
        for (forms, of_text, of_bytes) in [
            (Forms::NONE, (false, false), (false, false)),
            (Forms::MESSAGES, (true, false), (true, false)),
            (Forms::LINES, (true, false), (false, false)),
            (Forms::STRINGS, (false, true), (false, false)),
            (Forms::MESSAGES | Forms::LINES | Forms::STRINGS, (true, true), (true, false)),
        ] {
            let text = "\"again\" and ".repeat(50);
            for (mut frame, has) in [(Frame::text(text.clone()), of_text), (Frame::binary(text), of_bytes)] {
                frame.compress(forms);
                assert_eq!((frame.compressed().is_some(), frame.string().is_some()), has, "{forms:?}");
                assert_eq!(frame.is_compressed(), has.0 || has.1);
            }
        }
    }

    #[cfg(feature = "deflate")]
    #[test]
    fn the_string_of_a_frame_stands_for_its_text_between_quotes() {
        let mut frame = Frame::text("a\"b\n".repeat(100));
        frame.compress(Forms::STRINGS);
        let (plain, packed) = (format!("\"{}\"", "a\\\"b\\n".repeat(100)), frame.string().unwrap());
        assert_eq!(deflate::inflated(&packed.bytes, plain.len()).as_deref(), Ok(plain.as_bytes()));
        assert_eq!(packed.part, Part::of(plain.as_bytes()));
        assert_eq!(frame.cost(), 400 + packed.bytes.len() + size_of::<Packed>() + FRAME_BYTES);
    }

    #[cfg(feature = "deflate")]
    #[test]
    fn a_frame_is_counted_with_what_it_is_compressed_to() {
        let (budget, mut frame) = (Arc::new(Budget::new(usize::MAX)), Frame::text("x".repeat(1_000)));
        let mut plain = frame.anew();
        frame.compress(Forms::MESSAGES);
        frame.charge(&budget);
        assert_eq!(budget.held(), 1_000 + frame.compressed().unwrap().len() + FRAME_BYTES);
        drop(frame);
        assert_eq!(budget.held(), 0);
        plain.charge(&budget);
        plain.compress(Forms::MESSAGES);
        assert_eq!(plain.compressed(), None, "what is counted stays as it is");
        drop(plain);
        assert_eq!(budget.held(), 0);
    }

    /// Whoever has no use for a mark pays nothing for it.
    #[cfg(feature = "net")]
    #[test]
    fn a_frame_without_a_mark_is_no_larger_for_it() {
        assert!(size_of::<Encoded>() <= 80, "{} bytes", size_of::<Encoded>());
    }

    #[cfg(feature = "net")]
    #[test]
    fn an_event_is_made_once_and_counted_if_it_is_much_or_its_frame_is() {
        for (bytes, is_charged, held) in
            [(STEP - 1, false, 0), (STEP, false, STEP), (10, true, 10 + FRAME_BYTES + 1)]
        {
            let (budget, frame) = (Arc::new(Budget::new(usize::MAX)), Frame::text("x"));
            if is_charged {
                frame.charge(&budget);
            }
            let event = frame.event(&budget, |_| Bytes::from(vec![b'e'; bytes]));
            assert_eq!((event.len(), budget.held()), (bytes, held));
            assert_eq!(frame.clone().event(&budget, |_| unreachable!("it is made already")), event);
            assert_eq!(budget.held(), held);
        }
    }

    #[cfg(feature = "net")]
    #[test]
    fn a_payload_is_looked_through_once() {
        for (escapes, has_line_breaks) in [(0, false), (0, true), (5, false), (1 << 40, true)] {
            let (frame, look) = (Frame::text("x"), Look { escapes, has_line_breaks });
            let found = frame.look(|payload| {
                assert_eq!(payload, b"x");
                look
            });
            assert_eq!((found, frame.clone().look(|_| unreachable!("it is known"))), (look, look));
        }
    }
}
