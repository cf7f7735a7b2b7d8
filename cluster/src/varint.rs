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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_up_to_the_largest_take_a_byte_for_seven_bits() {
        for (number, bytes) in [(0, 1), (127, 1), (128, 2), (1 << 63, 10), (u64::MAX >> 1, 9), (u64::MAX, 10)]
        {
            let mut out = BytesMut::new();
            put(number, &mut out);
            assert_eq!(out.len(), bytes, "{number}");
            let mut written = out.freeze();
            assert_eq!((take(&mut written), written.len()), (Ok(number), 0));
        }
    }

    #[test]
    fn what_does_not_fit_or_does_not_end_is_no_number() {
        let read = |last: &[u8]| take(&mut [&[0xff; 9], last].concat().into());
        assert_eq!(read(&[0x01]), Ok(u64::MAX));
        assert_eq!((read(&[0x02]), read(&[0x7f])), (Err(NoNumber::TooLarge), Err(NoNumber::TooLarge)));
        assert_eq!(read(&[0x81, 0x00]), Err(NoNumber::TooLarge));
        assert_eq!(read(&[]), Err(NoNumber::Short));
    }
}
