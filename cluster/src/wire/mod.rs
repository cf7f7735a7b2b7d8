//! The bytes between nodes: a version, a kind, the sender, and what the kind has.
//!
//! Numbers are LEB128 varints unless said otherwise, texts and bytes have their length before them. Everything that arrives is
//! bounded by [`WireLimits`]; what cannot be read is an error that says whose message it was, if that much is known, so that a
//! loss can be told.
//!
//! ```text
//! version u8 (1) · kind u8 · sender u64 (big-endian) · body
//!
//! 1 publish   number · prev · topic · event · payload kind u8 · payload (the rest)
//! 2 beat      number · name · oldest version u8 · newest version u8 · flags u8 (1 draining) · tops
//! 3 departed
//! 4 ask       key · after · upto
//! 5 repair    key · after · upto · complete u8 · count · publish messages, each with its length
//! 6 ask tops  after
//! 7 tops      tops
//! 8 presence  bytes (the rest)
//! 9 call      id · bytes (the rest)
//! 10 answer   id · bytes (the rest)
//!
//! tops        top · since · lost · part u8 · parts u8 · count · (key · number) each
//! ```

mod read;
mod write;

use bytes::Bytes;

use crate::{channel::Key, id::Instance};

/// The version that is written, and the newest that is read.
pub const VERSION: u8 = 1;
/// The oldest version that is read.
pub const VERSION_OLDEST: u8 = 1;

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
    /// The last number that was handed to the engine.
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

/// Who sent a message, without reading the rest: a node's own messages come back to it, and are dropped by this.
#[must_use]
pub fn sender(bytes: &[u8]) -> Option<Instance> {
    let sender = bytes.get(2..10)?;
    Some(Instance(u64::from_be_bytes(sender.try_into().ok()?)))
}
