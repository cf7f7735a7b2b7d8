//! Frames from the server: unmasked, unfragmented.

use super::header::{CONTROL_BYTES_MAX, FIN, OpCode, RSV1};
use crate::websocket::close_code::CloseCode;

/// A server's longest header: two bytes and a 64-bit length.
const HEADER_BYTES_MAX: usize = 10;

/// Writes the header of one whole frame into `header` and returns its length: 2, 4 or 10.
///
/// Separate from the payload so that shared bytes can follow it in a vectored write.
///
/// ```
/// use lapwing_transports::websocket::codec::{OpCode, encode_header};
///
/// let mut header = [0; 10];
/// let length = encode_header(OpCode::Text, 300, &mut header);
/// assert_eq!(header[..length], [0x81, 126, 1, 44]);
/// ```
#[inline]
pub fn encode_header(opcode: OpCode, payload_bytes: usize, header: &mut [u8; HEADER_BYTES_MAX]) -> usize {
    header[0] = FIN | opcode as u8;
    if payload_bytes < 126 {
        header[1] = payload_bytes as u8;
        2
    } else if let Ok(length) = u16::try_from(payload_bytes) {
        header[1] = 126;
        header[2..4].copy_from_slice(&length.to_be_bytes());
        4
    } else {
        header[1] = 127;
        header[2..].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
        10
    }
}

/// The length of a whole frame with a payload of `payload_bytes`.
#[inline]
#[must_use]
pub fn frame_bytes(payload_bytes: usize) -> usize {
    let header_bytes = match payload_bytes {
        0..126 => 2,
        126..65_536 => 4,
        _ => 10,
    };
    header_bytes + payload_bytes
}

/// Appends one whole frame to `out`.
///
/// ```
/// use lapwing_transports::websocket::codec::{OpCode, append_frame};
///
/// let mut out = Vec::new();
/// append_frame(OpCode::Pong, b"x", &mut out);
/// assert_eq!(out, [0x8a, 1, b'x']);
/// ```
#[inline]
pub fn append_frame(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(HEADER_BYTES_MAX + payload.len());
    let first = FIN | opcode as u8;
    // Headers of a length that is known here are written by a move or two.
    if payload.len() < 126 {
        out.extend_from_slice(&[first, payload.len() as u8]);
    } else if let Ok(length) = u16::try_from(payload.len()) {
        let [high, low] = length.to_be_bytes();
        out.extend_from_slice(&[first, 126, high, low]);
    } else {
        let mut header = [0; HEADER_BYTES_MAX];
        let header_bytes = encode_header(opcode, payload.len(), &mut header);
        out.extend_from_slice(&header[..header_bytes]);
    }
    out.extend_from_slice(payload);
}

/// Marks the frame that begins here, header first, as a compressed message (RFC 7692, 6).
#[inline]
pub(crate) fn mark_compressed(frame: &mut [u8]) {
    frame[0] |= RSV1;
}

/// Writes one whole frame to the start of `out` and returns its length, or none, with `out` untouched, if
/// there is no room for it.
///
/// ```
/// use lapwing_transports::websocket::codec::{OpCode, write_frame};
///
/// let mut scratch = [0; 4];
/// assert_eq!(write_frame(OpCode::Text, b"ab", &mut scratch), Some(4));
/// assert_eq!(scratch, [0x81, 2, b'a', b'b']);
/// assert_eq!(write_frame(OpCode::Text, b"abc", &mut scratch), None);
/// ```
#[inline]
#[must_use]
pub fn write_frame(opcode: OpCode, payload: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut header = [0; HEADER_BYTES_MAX];
    let header_bytes = encode_header(opcode, payload.len(), &mut header);
    let frame_bytes = header_bytes + payload.len();
    let frame = out.get_mut(..frame_bytes)?;
    frame[..header_bytes].copy_from_slice(&header[..header_bytes]);
    frame[header_bytes..].copy_from_slice(payload);
    Some(frame_bytes)
}

/// What a close frame carries: a code and a short reason.
///
/// ```
/// use lapwing_transports::websocket::{close_code::CloseCode, codec::{ClosePayload, OpCode, append_frame}};
///
/// let payload = ClosePayload::new(CloseCode::SERVICE_RESTART, "");
/// let mut out = Vec::new();
/// append_frame(OpCode::Close, payload.as_bytes(), &mut out);
/// assert_eq!(out, [0x88, 2, 0x03, 0xf4]);
///
/// // A reason that is too long loses its end.
/// let long = ClosePayload::new(CloseCode::NORMAL, &"é".repeat(100));
/// assert_eq!(long.as_bytes().len(), 2 + 122);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ClosePayload {
    bytes: [u8; CONTROL_BYTES_MAX],
    /// How many of `bytes` are the payload, at least the two of the code.
    length: u8,
}

impl ClosePayload {
    /// The payload of `code` and as many whole characters of `reason` as fit into 123 bytes.
    #[must_use]
    pub fn new(code: CloseCode, reason: &str) -> Self {
        let reason = &reason[..reason.floor_char_boundary(CONTROL_BYTES_MAX - 2)];
        let length = 2 + reason.len();
        let mut bytes = [0; CONTROL_BYTES_MAX];
        bytes[..2].copy_from_slice(&code.as_u16().to_be_bytes());
        bytes[2..length].copy_from_slice(reason.as_bytes());
        Self { bytes, length: length as u8 }
    }

    /// The payload.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}
