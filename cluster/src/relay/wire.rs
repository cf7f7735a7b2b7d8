//! The bytes of relays: what one node says to another about those between them, in one message.
//!
//! Numbers are LEB128 varints unless said otherwise.
//!
//! ```text
//! version u8 (1) · items:
//!
//! 1 open   relay · length · head
//! 2 data   count · (address · number) each · length · bytes
//! 3 end    address · number
//! 4 ack    address · received · used
//! 5 cut    address · why u8
//!
//! address  the relay's number twice, and one more if the sender is its owner
//! ```

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::varint::{self, NoNumber};

/// The version that is written and read.
pub const VERSION: u8 = 1;

/// What a node is to a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The client reached it.
    Carrier,
    /// It has the session.
    Owner,
}

/// A relay, as one of its two sides says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// What the sender of the message is to it.
    pub sender: Role,
    /// The carrier's number for it, below 2⁶³.
    pub relay: u64,
}

/// Why a relay is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// Nobody wants it any more.
    GivenUp,
    /// Something of it is lost, or it is not known here.
    Lost,
    /// There are as many as may be.
    Busy,
}

/// One thing said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A relay begins; its head is the first piece.
    Open {
        /// The carrier's number for it.
        relay: u64,
        /// What the program says.
        head: Bytes,
    },
    /// The same piece for one relay or more.
    Data {
        /// For which, and the piece's number in each.
        to: Vec<(Address, u64)>,
        /// The piece.
        bytes: Bytes,
    },
    /// The last piece of the sender, without bytes.
    End {
        /// Of this relay.
        address: Address,
        /// The piece's number.
        number: u64,
    },
    /// Where the sender stands.
    Ack {
        /// With this relay.
        address: Address,
        /// Pieces that have come.
        received: u64,
        /// Bytes of them that were used.
        used: u64,
    },
    /// The relay is over.
    Cut {
        /// This one.
        address: Address,
        /// Why.
        why: Why,
    },
}

/// Why a message could not be read, or the rest of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayWireError {
    /// It ends within an item.
    Length,
    /// It is of a version that is not read here.
    Version(u8),
    /// An item is of a kind that is not known here.
    Kind(u8),
    /// A number does not fit, or makes no sense.
    Value,
}

impl std::fmt::Display for RelayWireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Length => f.write_str("the message ends too soon"),
            Self::Version(version) => write!(f, "version {version} is not read here"),
            Self::Kind(kind) => write!(f, "items of kind {kind} are not known here"),
            Self::Value => f.write_str("a value is out of its range"),
        }
    }
}

impl std::error::Error for RelayWireError {}

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
    /// use lapwing_cluster::relay::wire::{Address, Item, Role, begin, items};
    ///
    /// let end = Item::End { address: Address { sender: Role::Owner, relay: 7 }, number: 3 };
    /// let mut message = begin();
    /// end.append(&mut message);
    /// let read: Vec<_> = items(&message.freeze()).collect();
    /// assert_eq!(read, [Ok(end)]);
    /// ```
    pub fn append(&self, out: &mut BytesMut) {
        match self {
            Self::Open { relay, head } => {
                out.put_u8(1);
                varint::put(*relay, out);
                counted(head, out);
            }
            Self::Data { to, bytes } => {
                out.put_u8(2);
                varint::put(to.len() as u64, out);
                for (address, number) in to {
                    varint::put(address.word(), out);
                    varint::put(*number, out);
                }
                counted(bytes, out);
            }
            Self::End { address, number } => numbers(3, [address.word(), *number], out),
            Self::Ack { address, received, used } => numbers(4, [address.word(), *received, *used], out),
            Self::Cut { address, why } => {
                numbers(5, [address.word()], out);
                out.put_u8(match why {
                    Why::GivenUp => 0,
                    Why::Lost => 1,
                    Why::Busy => 2,
                });
            }
        }
    }
}

/// The items of a message, up to the first that cannot be read. Reading allocates twelve times as many bytes as the message has at most.
pub fn items(message: &Bytes) -> impl Iterator<Item = Result<Item, RelayWireError>> {
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

fn counted(bytes: &Bytes, out: &mut BytesMut) {
    varint::put(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

impl Address {
    fn word(self) -> u64 {
        self.relay << 1 | u64::from(self.sender == Role::Owner)
    }

    fn of_word(word: u64) -> Self {
        let sender = if word & 1 == 1 { Role::Owner } else { Role::Carrier };
        Self { sender, relay: word >> 1 }
    }
}

impl Role {
    /// What the other side is.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Carrier => Self::Owner,
            Self::Owner => Self::Carrier,
        }
    }
}

struct Reader(Bytes);

impl Reader {
    fn version(&mut self) -> Result<(), RelayWireError> {
        match self.byte()? {
            VERSION => Ok(()),
            version => Err(RelayWireError::Version(version)),
        }
    }

    fn item(&mut self) -> Result<Item, RelayWireError> {
        Ok(match self.byte()? {
            1 => {
                let relay = self.number()?;
                if relay >= 1 << 63 {
                    return Err(RelayWireError::Value);
                }
                Item::Open { relay, head: self.counted()? }
            }
            2 => Item::Data { to: self.addressees()?, bytes: self.counted()? },
            3 => Item::End { address: self.address()?, number: self.number()? },
            4 => Item::Ack { address: self.address()?, received: self.number()?, used: self.number()? },
            5 => Item::Cut { address: self.address()?, why: self.why()? },
            kind => return Err(RelayWireError::Kind(kind)),
        })
    }

    fn addressees(&mut self) -> Result<Vec<(Address, u64)>, RelayWireError> {
        let count = usize::try_from(self.number()?).map_err(|_| RelayWireError::Value)?;
        // Checked against what is left, so that a count alone costs nothing.
        if count == 0 || count > self.0.len() / 2 {
            return Err(if count == 0 { RelayWireError::Value } else { RelayWireError::Length });
        }
        let mut to = Vec::with_capacity(count);
        for _ in 0..count {
            to.push((self.address()?, self.number()?));
        }
        Ok(to)
    }

    fn why(&mut self) -> Result<Why, RelayWireError> {
        Ok(match self.byte()? {
            0 => Why::GivenUp,
            1 => Why::Lost,
            2 => Why::Busy,
            _ => return Err(RelayWireError::Value),
        })
    }

    fn address(&mut self) -> Result<Address, RelayWireError> {
        self.number().map(Address::of_word)
    }

    fn counted(&mut self) -> Result<Bytes, RelayWireError> {
        let len = usize::try_from(self.number()?).map_err(|_| RelayWireError::Value)?;
        if len > self.0.len() {
            return Err(RelayWireError::Length);
        }
        Ok(self.0.split_to(len))
    }

    fn byte(&mut self) -> Result<u8, RelayWireError> {
        self.0.try_get_u8().map_err(|_| RelayWireError::Length)
    }

    fn number(&mut self) -> Result<u64, RelayWireError> {
        varint::take(&mut self.0).map_err(|none| match none {
            NoNumber::Short => RelayWireError::Length,
            NoNumber::TooLarge => RelayWireError::Value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_items_are_read_as_well() {
        let address = |relay| Address { sender: Role::Carrier, relay };
        for count in 1..5 {
            let to = (0..count).map(|relay| (address(relay), 1)).collect();
            let item = Item::Data { to, bytes: Bytes::new() };
            let mut message = begin();
            item.append(&mut message);
            assert_eq!(items(&message.freeze()).collect::<Vec<_>>(), [Ok(item)]);
        }
    }

    #[test]
    fn an_error_names_what_it_cannot_read() {
        let [version, kind] =
            [RelayWireError::Version(7), RelayWireError::Kind(8)].map(|error| error.to_string());
        assert!(version.contains('7') && kind.contains('8'));
        assert_ne!(RelayWireError::Length.to_string(), RelayWireError::Value.to_string());
    }
}
