//! The bytes of moves: what one node says to another about those between them, in one message.
//!
//! Numbers are LEB128 varints unless said otherwise.
//!
//! ```text
//! version u8 (1) · items:
//!
//! by the source                                  by the target
//! 1 offer     number · length · about            5 have     number · bytes that it has
//! 2 piece     number · bytes in all · offset     6 ready    number
//!             · length · bytes                   7 taken    number
//! 3 released  number                             8 refused  number · why u8
//! 4 gone      number
//! ```

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::varint::{self, NoNumber};

/// The version that is written and read.
pub const VERSION: u8 = 1;

/// Why a target does not take a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The program does not want it, or cannot have it go on.
    Unwanted,
    /// As many are on their way as may be, or as many bytes.
    Busy,
    /// It has more bytes than one may.
    TooLarge,
    /// The move is not known there, or not any more.
    Unknown,
}

/// One thing said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A session is to be had.
    Offer {
        /// The source's number for its move.
        number: u64,
        /// About it.
        about: Bytes,
    },
    /// A piece of the session.
    Piece {
        /// The move.
        number: u64,
        /// Bytes of the session in all.
        total: u64,
        /// Those before this piece.
        offset: u64,
        /// The piece.
        bytes: Bytes,
    },
    /// The session is the target's.
    Released {
        /// The move.
        number: u64,
    },
    /// There is no such move at the source, or not any more.
    Gone {
        /// The move.
        number: u64,
    },
    /// The target accepts, and has so much of the session.
    Have {
        /// The move.
        number: u64,
        /// Bytes from the first.
        bytes: u64,
    },
    /// The target has all of it, and could go on with it.
    Ready {
        /// The move.
        number: u64,
    },
    /// The target has heard that the session is its own.
    Taken {
        /// The move.
        number: u64,
    },
    /// There is no such move at the target, nor will there be.
    Refused {
        /// The move.
        number: u64,
        /// Why.
        why: Why,
    },
}

/// Why a message could not be read, or the rest of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MoveWireError {
    /// It ends within an item.
    Length,
    /// It is of a version that is not read here.
    Version(u8),
    /// An item is of a kind that is not known here.
    Kind(u8),
    /// A number does not fit, or makes no sense.
    Value,
}

impl std::fmt::Display for MoveWireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Length => f.write_str("the message ends too soon"),
            Self::Version(version) => write!(f, "version {version} is not read here"),
            Self::Kind(kind) => write!(f, "items of kind {kind} are not known here"),
            Self::Value => f.write_str("a value is out of its range"),
        }
    }
}

impl std::error::Error for MoveWireError {}

/// Begins a message.
#[must_use]
pub fn begin() -> BytesMut {
    let mut out = BytesMut::with_capacity(256);
    out.put_u8(VERSION);
    out
}

impl Item {
    /// Appends the item to a message.
    ///
    /// ```
    /// use lapwing_cluster::moves::wire::{Item, begin, items};
    ///
    /// let have = Item::Have { number: 7, bytes: 300 };
    /// let mut message = begin();
    /// have.append(&mut message);
    /// let read: Vec<_> = items(&message.freeze()).collect();
    /// assert_eq!(read, [Ok(have)]);
    /// ```
    pub fn append(&self, out: &mut BytesMut) {
        match self {
            Self::Offer { number, about } => {
                numbers(1, [*number, about.len() as u64], out);
                out.extend_from_slice(about);
            }
            Self::Piece { number, total, offset, bytes } => {
                numbers(2, [*number, *total, *offset, bytes.len() as u64], out);
                out.extend_from_slice(bytes);
            }
            Self::Released { number } => numbers(3, [*number], out),
            Self::Gone { number } => numbers(4, [*number], out),
            Self::Have { number, bytes } => numbers(5, [*number, *bytes], out),
            Self::Ready { number } => numbers(6, [*number], out),
            Self::Taken { number } => numbers(7, [*number], out),
            Self::Refused { number, why } => {
                numbers(8, [*number], out);
                out.put_u8(match why {
                    Why::Unwanted => 0,
                    Why::Busy => 1,
                    Why::TooLarge => 2,
                    Why::Unknown => 3,
                });
            }
        }
    }
}

/// The items of a message, up to the first that cannot be read. Reading copies nothing.
pub fn items(message: &Bytes) -> impl Iterator<Item = Result<Item, MoveWireError>> {
    let mut reader = Reader(message.clone());
    let mut is_begun = false;
    std::iter::from_fn(move || {
        if !std::mem::replace(&mut is_begun, true)
            && let Err(error) = reader.version()
        {
            reader.0.clear();
            return Some(Err(error));
        }
        if reader.0.is_empty() {
            return None;
        }
        let item = reader.item();
        if item.is_err() {
            reader.0.clear();
        }
        Some(item)
    })
}

fn numbers<const N: usize>(kind: u8, numbers: [u64; N], out: &mut BytesMut) {
    out.put_u8(kind);
    for number in numbers {
        varint::put(number, out);
    }
}

struct Reader(Bytes);

impl Reader {
    fn version(&mut self) -> Result<(), MoveWireError> {
        match self.byte()? {
            VERSION => Ok(()),
            version => Err(MoveWireError::Version(version)),
        }
    }

    fn item(&mut self) -> Result<Item, MoveWireError> {
        let kind = self.byte()?;
        if !(1..=8).contains(&kind) {
            return Err(MoveWireError::Kind(kind));
        }
        let number = self.number()?;
        Ok(match kind {
            1 => Item::Offer { number, about: self.counted()? },
            2 => {
                let (total, offset) = (self.number()?, self.number()?);
                Item::Piece { number, total, offset, bytes: self.counted()? }
            }
            3 => Item::Released { number },
            4 => Item::Gone { number },
            5 => Item::Have { number, bytes: self.number()? },
            6 => Item::Ready { number },
            7 => Item::Taken { number },
            _ => Item::Refused { number, why: self.why()? },
        })
    }

    fn why(&mut self) -> Result<Why, MoveWireError> {
        Ok(match self.byte()? {
            0 => Why::Unwanted,
            1 => Why::Busy,
            2 => Why::TooLarge,
            3 => Why::Unknown,
            _ => return Err(MoveWireError::Value),
        })
    }

    fn counted(&mut self) -> Result<Bytes, MoveWireError> {
        let len = usize::try_from(self.number()?).map_err(|_| MoveWireError::Value)?;
        if len > self.0.len() {
            return Err(MoveWireError::Length);
        }
        Ok(self.0.split_to(len))
    }

    fn byte(&mut self) -> Result<u8, MoveWireError> {
        self.0.try_get_u8().map_err(|_| MoveWireError::Length)
    }

    fn number(&mut self) -> Result<u64, MoveWireError> {
        varint::take(&mut self.0).map_err(|none| match none {
            NoNumber::Short => MoveWireError::Length,
            NoNumber::TooLarge => MoveWireError::Value,
        })
    }
}
