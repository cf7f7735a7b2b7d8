//! What relays tell their program.

use bytes::Bytes;

use super::{RelayKey, wire::Why};

/// What the program is to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayOutput {
    /// A peer carries a request here.
    Opened(RelayKey, Bytes),
    /// Bytes of the other side; say with [`Relays::handle_used`](super::Relays::handle_used) when they are used.
    Data(RelayKey, Bytes),
    /// The carrier sends nothing more.
    Finished(RelayKey),
    /// There is room again for a relay to which [`Relays::send`](super::Relays::send) had said that there is none.
    Room(RelayKey),
    /// The relay is over. Nothing follows, but for [`Dropped`](Self::Dropped).
    Ended(RelayKey, RelayEnd),
    /// The relay is over, and what came of it and is not used is to be dropped, as others need the place: say with
    /// [`Relays::handle_used`](super::Relays::handle_used) what was. Told once at most.
    Dropped(RelayKey),
}

/// Why a relay is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayEnd {
    /// The owner's last piece has arrived.
    Done,
    /// The other side cut it.
    Cut(Why),
    /// Something is missing, or the other side was silent for too long.
    Lost,
    /// The other node is dead, or has departed.
    Gone,
}

/// Why a relay does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotOpened {
    /// The engine is away.
    Away,
    /// There are as many relays as may be, or as many bytes are under way to this peer.
    Full,
    /// The head has more bytes than it may.
    TooLarge,
}

/// Why a piece was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotSent {
    /// [`RelayOutput::Room`] follows once there is room.
    Full,
    /// The relay is over, or this side has sent its last piece.
    Over,
    /// It has more bytes than a piece may.
    TooLarge,
}
