//! Numbers in as few bytes as they need: LEB128.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// Why there is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoNumber {
    /// The bytes end within it.
    Short,
    /// It does not fit into 64 bits.
    TooLarge,
}

/// Appends a number.
pub(crate) fn put(mut number: u64, out: &mut BytesMut) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

/// Takes a number off the front.
pub(crate) fn take(bytes: &mut Bytes) -> Result<u64, NoNumber> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = bytes.try_get_u8().map_err(|_| NoNumber::Short)?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(NoNumber::TooLarge);
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(NoNumber::TooLarge)
}
