//! What moves tell their program.

use std::fmt;

use bytes::Bytes;

use super::{MoveKey, wire::Why};

/// What the program is to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveOutput {
    /// The target gets ready for the session: freeze it, and [send](super::Moves::send) it.
    Accepted(MoveKey),
    /// The session is not this node's any more: it must not go on here, whatever happens.
    Released(MoveKey),
    /// The session stays here, and goes on. Nothing follows.
    Back(MoveKey, Back),
    /// The target has a session that was released. Nothing follows.
    Done(MoveKey),
    /// Nobody is known to have a session that was released: its client is to be told. Nothing follows.
    Lost(MoveKey),
    /// A peer offers a session; this is about it. [Accept](super::Moves::accept) it or [refuse](super::Moves::refuse) it.
    Offered(MoveKey, Bytes),
    /// All of a session is here, and it is not this node's yet: say whether this node is [ready](super::Moves::ready) for it.
    Arrived(MoveKey, Bytes),
    /// The session is this node's from now on. Nothing follows.
    Taken(MoveKey),
    /// The session does not come. Nothing follows.
    Dropped(MoveKey),
}

/// Why a session stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Back {
    /// The target does not take it.
    Refused(Why),
    /// The move made no headway for too long.
    Silent,
    /// The target is dead, or has departed.
    Gone,
}

/// Why a session is not offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotOffered {
    /// The engine is away.
    Away,
    /// As many are on their way as may be, or to as many nodes.
    Full,
    /// More is said about it than may be.
    TooLarge,
}

impl fmt::Display for NotOffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Away => "the other node cannot be reached",
            Self::Full => "as many sessions are on their way as may be",
            Self::TooLarge => "more is said about the session than may be",
        })
    }
}

impl std::error::Error for NotOffered {}

/// Why a session was not sent. The move is as it was: [withdraw](super::Moves::withdraw) it, or try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotSent {
    /// As many bytes are on their way as may be.
    Full,
    /// It has more bytes than one may, or none.
    Size,
    /// The move is over, or not at this point.
    Over,
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "as many bytes of sessions are on their way as may be",
            Self::Size => "the session has more bytes than one may, or none",
            Self::Over => "the move is over, or not at this point",
        })
    }
}

impl std::error::Error for NotSent {}
