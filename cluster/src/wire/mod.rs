//! The bytes between nodes: a version, a kind, the sender, and what the kind has.
//!
//! Numbers are LEB128 varints unless said otherwise, texts and bytes have their length before them. Everything that arrives is
//! bounded by [`WireLimits`]; what cannot be read is an error that says whose message it was, if that much is known, so that a
//! loss can be told.
//!
//! ```text
//! version u8 · kind u8 · sender u64 (big-endian) · body
//!
//! 1 publish   number · prev · topic · event · payload kind u8 · in version 2: slow · payload (the rest)
//! 2 beat      number · name · oldest version u8 · newest version u8 · flags u8 (1 draining) · tops
//! 3 departed
//! 4 ask       key · after · upto
//! 5 repair    key · after · upto · complete u8 · count · publish messages, each with its length
//! 6 ask tops  after
//! 7 tops      tops
//! 8 presence  bytes (the rest)
//! 9 call      id · bytes (the rest)
//! 10 answer   id · bytes (the rest)
//! 11 kept     epoch u64 · number u64 · check u32 · before u32 (all big-endian) · entry (the rest)
//! 12 relay    bytes (the rest): see [`relay::wire`](crate::relay::wire)
//! 13 move     in version 3: bytes (the rest): see [`moves::wire`](crate::moves::wire)
//!
//! tops        top · since · lost · part u8 · parts u8 · count · (key · number) each
//! slow        0 u8 close | 1 volatile | 2 latest of each event | 3 latest, key | 4 few, count · event
//! ```
//!
//! A payload's kind is 0 for JSON and 1 for bytes, and 2 and 3 where it is not to be compressed on its way to clients.
//!
//! A message is written in the oldest version that has room for it: version 2 is that of publications with a policy for slow clients, version 3
//! that of what is said about moves, and everything else is written in version 1. While a node lives that reads version 1 alone, policies are
//! left out; no session is offered to a node that does not read version 3.

mod read;
mod slow;
mod write;

use bytes::Bytes;

use crate::{channel::Key, id::Instance};

pub use self::slow::Slow;

/// The newest version that is read. Messages are written in the oldest that has room for them.
pub const VERSION: u8 = 3;
/// The first version that has room for a policy for slow clients.
pub const VERSION_SLOW: u8 = 2;
/// The first version that has room for what is said about moves.
pub const VERSION_MOVES: u8 = 3;
/// The oldest version that is read.
pub const VERSION_OLDEST: u8 = 1;

/// The kind of what a store has kept.
const KEPT: u8 = 11;

/// A message between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A broadcast.
    Publish(Publish),
    /// The sender lives.
    Beat(Beat),
    /// The sender has ended as planned.
    Departed,
    /// Say again what you published on a channel, above the first number and up to the second.
    Ask {
        /// The channel.
        key: Key,
        /// The last number that the sender has.
        after: u64,
        /// The last number that it wants.
        upto: u64,
    },
    /// The answer.
    Repair(Repair),
    /// Say the last numbers of the channels that you used since a number.
    AskTops {
        /// That number.
        after: u64,
    },
    /// The answer.
    Tops(Tops),
    /// A message of the presence replica.
    Presence(Bytes),
    /// A question of the program.
    Call {
        /// The sender's number for it.
        id: u64,
        /// What is asked.
        body: Bytes,
    },
    /// The answer.
    Answer {
        /// The number of the call.
        id: u64,
        /// What is answered.
        body: Bytes,
    },
    /// A broadcast that a store has put in its place; its sender is who gave it to the store.
    Kept(Kept),
    /// What is said about relays.
    Relay(Bytes),
    /// What is said about sessions that go from one node to another.
    Move(Bytes),
}

/// A place in the order in which a store keeps what is broadcast on a topic: behind one entry and before the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Which order: a store that has lost a topic begins another.
    pub epoch: u64,
    /// The number of the entry before it, from 1 without a hole; 0 before the first.
    pub number: u64,
    /// Stands for all entries up to here, [`CHECK_BITS`] bits: two orders that differ anywhere before a place have different
    /// checks there. 0 before the first.
    pub check: u32,
}

/// Bits of [`Place::check`].
pub const CHECK_BITS: u32 = 24;

/// What a store keeps, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its place: behind it.
    pub place: Place,
    /// The check of the place before it.
    pub before: u32,
    /// What was given to the store: a whole message of kind 1, sealed where messages are.
    pub entry: Bytes,
}

impl Kept {
    /// The place before it.
    #[must_use]
    pub fn place_before(&self) -> Place {
        Place { number: self.place.number.saturating_sub(1), check: self.before, ..self.place }
    }
}

/// A publication and its place among what its publisher published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Its number: each publisher counts from 1 over all channels.
    pub number: u64,
    /// No publication of this publisher on this channel has a number between this one and `number`.
    pub prev: u64,
    /// The topic.
    pub topic: Box<str>,
    /// The event.
    pub event: Box<str>,
    /// What the payload is.
    pub kind: PayloadKind,
    /// The policy for clients that are slow, where it has one of its own.
    pub slow: Option<Slow>,
    /// The payload as it was published.
    pub payload: Bytes,
}

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadKind {
    /// JSON text.
    Json,
    /// Raw bytes.
    Binary,
    /// JSON text that is not to be compressed on its way to clients.
    JsonAsItIs,
    /// Raw bytes of the same kind.
    BinaryAsItIs,
}

/// A sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Its number, from 1.
    pub number: u64,
    /// The node's name.
    pub name: Box<str>,
    /// The oldest and newest version that the node reads.
    pub versions: (u8, u8),
    /// Whether the node is about to go.
    pub is_draining: bool,
    /// What it has published.
    pub tops: Tops,
}

/// The last numbers of a publisher's channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tops {
    /// The last number that was handed to the engine; in a node's last beat, that it gave.
    pub top: u64,
    /// Every channel with a last number above this one is in `changed`, of this part or another.
    pub since: u64,
    /// The last number above `since` whose publication was not kept and reaches nobody; 0 for none.
    pub lost: u64,
    /// Which part this is, from 0, and of how many.
    pub part: (u8, u8),
    /// Channels and their last numbers.
    pub changed: Vec<(Key, u64)>,
}

impl Tops {
    /// Whether a beat tells nothing: its node has more to hand to the engine, and has not told of what was handed over.
    pub(crate) fn says_nothing(&self) -> bool {
        self.top > 0 && self.top == self.since
    }
}

/// What was published on a channel, again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The channel.
    pub key: Key,
    /// The numbers that are answered for: above this one …
    pub after: u64,
    /// … and up to this one.
    pub upto: u64,
    /// Whether nothing in that range is missing from `publishes`.
    pub is_complete: bool,
    /// Whole messages of kind 1, oldest first.
    pub publishes: Vec<Bytes>,
}

/// Bounds on what arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireLimits {
    /// Bytes of a message. Default 1 MiB and 64 KiB: the largest payload that is published, and what is around it.
    pub message_bytes_max: usize,
    /// Bytes of a topic, an event or a name. Default 1,024, as clients may have.
    pub text_bytes_max: usize,
    /// Channels in one part of a list of last numbers. Default 4,096, some 50 KiB.
    pub tops_max: usize,
    /// Publications in a repair. Default 1,024.
    pub publishes_max: usize,
}

impl Default for WireLimits {
    fn default() -> Self {
        Self {
            message_bytes_max: 1024 * 1024 + 64 * 1024,
            text_bytes_max: 1_024,
            tops_max: 4_096,
            publishes_max: 1_024,
        }
    }
}

/// Why a message could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireError {
    /// It ended too soon, or goes on behind its end.
    Length,
    /// It is of a version that is not read here.
    Version(u8),
    /// It is of a kind that is not known here.
    Kind(u8),
    /// A number does not fit, a text is no UTF-8, or a flag is none.
    Value,
    /// It is larger than [`WireLimits`] allow.
    TooLarge,
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Length => f.write_str("the message has the wrong length"),
            Self::Version(version) => write!(f, "version {version} is not read here"),
            Self::Kind(kind) => write!(f, "messages of kind {kind} are not known here"),
            Self::Value => f.write_str("a value is out of its range"),
            Self::TooLarge => f.write_str("the message is larger than allowed"),
        }
    }
}

impl std::error::Error for WireError {}

impl Message {
    /// The message as bytes.
    #[must_use]
    pub fn encode(&self, from: Instance) -> Bytes {
        write::message(self, from)
    }

    /// Reads a message, and who sent it.
    ///
    /// # Errors
    /// See [`WireError`]; [`sender`] may still know whose it was.
    pub fn decode(bytes: &Bytes, limits: &WireLimits) -> Result<(Instance, Self), WireError> {
        read::message(bytes, limits)
    }
}

/// What a message of kind 11 begins with, before the epoch: a store writes the rest itself.
#[must_use]
pub fn kept_head(from: Instance) -> [u8; 10] {
    let mut head = [0; 10];
    (head[0], head[1]) = (VERSION_OLDEST, KEPT);
    head[2..].copy_from_slice(&from.0.to_be_bytes());
    head
}

/// Whether a message is of kind 11. It comes from a store, which knows no secret: its entry alone is sealed.
#[must_use]
pub fn is_kept(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|version| (VERSION_OLDEST..=VERSION).contains(version))
        && bytes.get(1) == Some(&KEPT)
}

/// Who sent a message, without reading the rest: a node's own messages come back to it, and are dropped by this.
#[must_use]
pub fn sender(bytes: &[u8]) -> Option<Instance> {
    let sender = bytes.get(2..10)?;
    Some(Instance(u64::from_be_bytes(sender.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_writes_the_head_that_a_node_would() {
        let place = Place { epoch: 9, number: 5, check: 7 };
        let kept = Kept { place, before: 6, entry: Bytes::from_static(b"entry") };
        assert_eq!(kept.place_before(), Place { number: 4, check: 6, ..place });
        let first = Kept { place: Place { number: 0, ..place }, ..kept.clone() };
        assert_eq!(first.place_before().number, 0);
        let from = Instance(0x0102);
        let bytes = Message::Kept(kept).encode(from);
        assert_eq!(bytes[..10], kept_head(from));
        assert!(is_kept(&bytes) && !is_kept(&bytes[..1]) && !is_kept(&[]));
        assert!(!is_kept(&Message::Departed.encode(from)));
        assert!(!is_kept(&[VERSION + 1, KEPT]) && is_kept(&[VERSION, KEPT]));
    }

    #[test]
    fn a_message_is_as_long_as_it_may_be_and_no_longer() {
        let bytes = Message::Presence(Bytes::from(vec![0; 90])).encode(Instance(1));
        let read = |message_bytes_max| {
            Message::decode(&bytes, &WireLimits { message_bytes_max, ..WireLimits::default() }).is_ok()
        };
        assert!(read(bytes.len()) && !read(bytes.len() - 1));
    }

    #[test]
    fn last_numbers_that_contradict_themselves_are_not_read() {
        for (top, since, part, is_read) in [
            (5, 5, (0, 1), true),
            (5, 6, (0, 1), false),
            (5, 5, (1, 1), false),
            (5, 5, (1, 2), true),
            (5, 5, (0, 0), false),
        ] {
            let tops = Tops { top, since, lost: 0, part, changed: vec![(Key(1), 5)] };
            let bytes = Message::Tops(tops).encode(Instance(1));
            let limits = WireLimits { tops_max: 1, ..WireLimits::default() };
            let read = Message::decode(&bytes, &limits);
            assert_eq!(read.is_ok(), is_read, "{top} {since} {part:?}: {read:?}");
        }
    }

    #[test]
    fn a_check_has_no_more_bits_than_it_has() {
        let place = Place { epoch: 1, number: 1, check: (1 << CHECK_BITS) - 1 };
        for (check, before, is_read) in
            [(place.check, place.check, true), (1 << CHECK_BITS, 0, false), (0, u32::MAX, false)]
        {
            let kept = Kept { place: Place { check, ..place }, before, entry: Bytes::new() };
            let read = Message::decode(&Message::Kept(kept).encode(Instance(1)), &WireLimits::default());
            assert_eq!(read.is_ok(), is_read, "{check} {before}");
        }
    }

    #[test]
    fn an_error_names_what_it_cannot_read() {
        assert!(
            WireError::Version(7).to_string().contains('7') && WireError::Kind(8).to_string().contains('8')
        );
        let errors =
            [WireError::Length, WireError::Value, WireError::TooLarge].map(|error| error.to_string());
        assert!(
            errors.iter().all(|text| !text.is_empty()) && errors[0] != errors[1] && errors[1] != errors[2]
        );
    }
}
