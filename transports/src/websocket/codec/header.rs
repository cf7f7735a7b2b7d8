//! The two to fourteen bytes in front of a payload.

use super::error::ProtocolError;
use crate::frame::FrameKind;

/// A client's longest header: two bytes, a 64-bit length, the mask.
pub(super) const HEADER_BYTES_MAX: usize = 14;

/// Control frames carry no more (RFC 6455, 5.5), so their length is always in the second byte.
pub(super) const CONTROL_BYTES_MAX: usize = 125;

pub(super) const FIN: u8 = 0x80;
/// Marks a compressed message on its first frame, where client and server have agreed on that (RFC 7692, 6).
pub(super) const RSV1: u8 = 0x40;

/// The bits that mean nothing without an extension.
pub(super) const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// What a frame is for (RFC 6455, 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpCode {
    /// A further fragment of the open message.
    Continuation = 0x0,
    /// A text message, or its first fragment.
    Text = 0x1,
    /// A binary message, or its first fragment.
    Binary = 0x2,
    /// The last frame of its direction.
    Close = 0x8,
    /// To be answered with a pong of the same payload.
    Ping = 0x9,
    /// The answer to a ping, or an unasked sign of life.
    Pong = 0xa,
}

impl OpCode {
    /// Returns whether the frame is about the connection, may stand between fragments and carries at most 125 bytes.
    #[must_use]
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    /// What a message is that begins so.
    pub(super) fn kind(self) -> FrameKind {
        if self == Self::Text { FrameKind::Text } else { FrameKind::Binary }
    }

    fn from_bits(bits: u8) -> Result<Self, ProtocolError> {
        Ok(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            other => return Err(ProtocolError::UnknownOpCode(other)),
        })
    }
}

impl From<FrameKind> for OpCode {
    fn from(kind: FrameKind) -> Self {
        match kind {
            FrameKind::Text => Self::Text,
            FrameKind::Binary => Self::Binary,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) opcode: OpCode,
    pub(super) is_final: bool,
    /// Whether the message that begins with this frame is compressed.
    pub(super) is_compressed: bool,
    pub(super) mask: [u8; 4],
    /// As announced: nothing has been checked against a limit yet.
    pub(super) payload_bytes: u64,
}

impl FrameHeader {
    /// The header at the start of `bytes` and its length, or none if more bytes are needed.
    ///
    /// What the first two bytes show to be wrong is refused without waiting for the rest, a bit of `reserved` among it.
    pub(super) fn parse(bytes: &[u8], reserved: u8) -> Result<Option<(Self, usize)>, ProtocolError> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        if first & reserved != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        let opcode = OpCode::from_bits(first & 0x0f)?;
        let is_compressed = first & RSV1 != 0;
        if is_compressed && !matches!(opcode, OpCode::Text | OpCode::Binary) {
            return Err(ProtocolError::ReservedBits);
        }
        let is_final = first & FIN != 0;
        if second & MASKED == 0 {
            return Err(ProtocolError::Unmasked);
        }
        let short = second & !MASKED;
        if opcode.is_control() {
            if !is_final {
                return Err(ProtocolError::FragmentedControl);
            }
            if usize::from(short) > CONTROL_BYTES_MAX {
                return Err(ProtocolError::ControlTooLong);
            }
        }
        let Some((payload_bytes, rest)) = split_length(short, rest)? else { return Ok(None) };
        let Some((&mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let header = Self { opcode, is_final, is_compressed, mask, payload_bytes };
        Ok(Some((header, bytes.len() - rest.len())))
    }
}

/// The payload's length and what follows it. The shortest form is the only one allowed.
fn split_length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, ProtocolError> {
    let (length, rest, at_least) = match short {
        126 => {
            let Some((&length, rest)) = rest.split_first_chunk::<2>() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(length)), rest, 126)
        }
        127 => {
            let Some((&length, rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
            (u64::from_be_bytes(length), rest, 1 << 16)
        }
        _ => (u64::from(short), rest, 0),
    };
    if length < at_least || length >> 63 != 0 {
        return Err(ProtocolError::LengthEncoding);
    }
    Ok(Some((length, rest)))
}
