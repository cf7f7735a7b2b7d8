//! What a client can do wrong in its frames.

use std::{error, fmt};

use crate::websocket::close_code::CloseCode;

/// Why the bytes of a client are refused. The connection is over: answer with
/// [`close_code`](Self::close_code).
///
/// ```
/// use lapwing_transports::options::DecodeLimits;
/// use lapwing_transports::websocket::{close_code::CloseCode, codec::{Decoder, ProtocolError}};
///
/// // A text frame without a mask: only servers may send these.
/// let mut decoder = Decoder::new();
/// let mut read = [0x81, 0x01, b'a'];
/// let (_, result) = decoder.decode(&mut read, &DecodeLimits::default());
/// assert_eq!(result, Err(ProtocolError::Unmasked));
/// assert_eq!(ProtocolError::Unmasked.close_code(), CloseCode::PROTOCOL_ERROR);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit was set, and no extension is in force that gives it a meaning.
    ReservedBits,
    /// An opcode that the RFC does not define.
    UnknownOpCode(u8),
    /// A frame without a mask. Clients must mask, so that they cannot be made to speak another protocol.
    Unmasked,
    /// A close, ping or pong that is not final.
    FragmentedControl,
    /// A close, ping or pong that announced more than 125 bytes.
    ControlTooLong,
    /// A length written with more bytes than it needs, or with the top bit of 64 set.
    LengthEncoding,
    /// A continuation while no message was open.
    UnexpectedContinuation,
    /// A new message began while another was open.
    UnfinishedMessage,
    /// A close frame with a payload of one byte: half a code.
    TruncatedCloseCode,
    /// A close frame with a code that no endpoint may send.
    BadCloseCode(u16),
    /// A text message or close reason that is not UTF-8.
    InvalidUtf8,
    /// A compressed message that is no DEFLATE, ends in the middle of it, or goes on behind its end.
    MalformedDeflate,
    /// One frame announced more than `frame_bytes_max`.
    FrameTooBig {
        /// What the header announced.
        announced: u64,
        /// The limit.
        frame_bytes_max: usize,
    },
    /// One message would be longer than `message_bytes_max`.
    MessageTooBig {
        /// The limit.
        message_bytes_max: usize,
    },
    /// One message came in more than `fragments_max` frames.
    TooManyFragments {
        /// The limit.
        fragments_max: usize,
    },
}

impl ProtocolError {
    /// The code to close the connection with.
    ///
    /// Too many fragments are answered with 1008, as Bandit answers the empty fragments that they usually
    /// are.
    #[must_use]
    pub fn close_code(&self) -> CloseCode {
        match self {
            // RFC 7692 names no code for the latter. 1007 is for data that is not what the message says it is.
            Self::InvalidUtf8 | Self::MalformedDeflate => CloseCode::INVALID_PAYLOAD,
            Self::FrameTooBig { .. } | Self::MessageTooBig { .. } => CloseCode::TOO_BIG,
            Self::TooManyFragments { .. } => CloseCode::POLICY_VIOLATION,
            Self::ReservedBits
            | Self::UnknownOpCode(_)
            | Self::Unmasked
            | Self::FragmentedControl
            | Self::ControlTooLong
            | Self::LengthEncoding
            | Self::UnexpectedContinuation
            | Self::UnfinishedMessage
            | Self::TruncatedCloseCode
            | Self::BadCloseCode(_) => CloseCode::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits => f.write_str("reserved bit set without an extension"),
            Self::UnknownOpCode(opcode) => write!(f, "unknown opcode {opcode:#x}"),
            Self::Unmasked => f.write_str("frame without a mask"),
            Self::FragmentedControl => f.write_str("fragmented control frame"),
            Self::ControlTooLong => f.write_str("control frame longer than 125 bytes"),
            Self::LengthEncoding => f.write_str("frame length not in its shortest form"),
            Self::UnexpectedContinuation => f.write_str("continuation without a message"),
            Self::UnfinishedMessage => f.write_str("new message before the end of the last"),
            Self::TruncatedCloseCode => f.write_str("close frame with half a code"),
            Self::BadCloseCode(code) => write!(f, "close code {code} is not for the wire"),
            Self::InvalidUtf8 => f.write_str("text is not utf-8"),
            Self::MalformedDeflate => f.write_str("compressed message cannot be inflated"),
            Self::FrameTooBig { announced, frame_bytes_max } => {
                write!(f, "frame of {announced} bytes, at most {frame_bytes_max} are accepted")
            }
            Self::MessageTooBig { message_bytes_max } => {
                write!(f, "message longer than the {message_bytes_max} bytes that are accepted")
            }
            Self::TooManyFragments { fragments_max } => {
                write!(f, "message of more than {fragments_max} fragments")
            }
        }
    }
}

impl error::Error for ProtocolError {}
