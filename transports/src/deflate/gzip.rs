//! Gzip (RFC 1952) for bodies that are made of parts, some of which were compressed before, once for many.
//!
//! ```text
//!   header │ stored: greeting, tokens, "data: " │ block of a frame │ stored: "\n\n" │ … │ empty last block │ CRC-32, length
//! ```
//!
//! What was compressed from its beginning and flushed at its end is a block that ends on a byte and refers to nothing before it: it
//! can stand in any stream of DEFLATE, between blocks of other origin. So a frame that was compressed for WebSockets is written to event
//! streams and polls as it is, and everything else in stored blocks, which only say how long they are. Nobody compresses for one
//! connection, no connection has a window, and nothing is ever compressed together with something else: what is in one frame tells
//! nothing of another, of a token or of a control line.
//!
//! It is one member from the beginning to the end, as many clients take no second one. What is left for a connection to remember is what
//! the end has to say: the CRC-32 of all plain bytes and their number. That of a shared part is known once, and put behind what
//! came before by one multiplication of polynomials ([`Part`]).
//!
//! Pure.

use super::crc32;

/// The most that a stored block holds.
const STORED_BYTES_MAX: usize = 0xffff;

/// A stored block's header: neither the last nor compressed, up to the next byte; its length twice.
const STORED_HEADER_BYTES: usize = 5;

/// DEFLATE, no name, no time, an unknown system.
pub(crate) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// What ends a flushed block: an empty stored one. WebSockets leave it out, so it is not kept with a frame.
pub(crate) const FLUSHED: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// An empty block that is the last one, with the shortest code there is.
const LAST: [u8; 2] = [0x03, 0x00];

/// Bytes behind the last part.
pub(crate) const END_BYTES: usize = LAST.len() + 8;

/// x to the power of nothing, and of a byte, as CRC-32 has its bits: the highest power is the lowest bit.
const X_0: u32 = 1 << 31;
const X_8: u32 = 1 << 23;

/// The polynomial of CRC-32.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// What was written of a member: what its end has to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    crc: u32,
    /// Modulo 2^32, as the format has it.
    bytes: u32,
}

/// What has to be known of plain bytes to put them behind others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    crc: u32,
    bytes: u32,
    /// x to the power of as many bits, modulo the polynomial.
    shift: u32,
}

impl Member {
    /// These plain bytes are written next.
    #[inline]
    pub(crate) fn put(&mut self, part: Part) {
        self.crc = product(part.shift, self.crc) ^ part.crc;
        self.bytes = self.bytes.wrapping_add(part.bytes);
    }

    /// Writes bytes as they are.
    pub(crate) fn store(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        self.put(Part::of(plain));
        store(plain, out);
    }

    /// Writes what comes last.
    pub(crate) fn end(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&LAST);
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
    }
}

impl Part {
    pub(crate) fn of(plain: &[u8]) -> Self {
        Self { crc: crc32(plain), bytes: plain.len() as u32, shift: power(plain.len() as u64) }
    }
}

/// Bytes of stored blocks that hold so many.
pub(crate) fn stored_bytes(plain: usize) -> usize {
    plain + STORED_HEADER_BYTES * plain.div_ceil(STORED_BYTES_MAX)
}

/// How much of so many bytes the next stored block holds, behind its header.
pub(crate) fn begin_stored(plain: usize, out: &mut Vec<u8>) -> usize {
    let length = plain.min(STORED_BYTES_MAX);
    let [low, high] = (length as u16).to_le_bytes();
    out.extend_from_slice(&[0, low, high, !low, !high]);
    length
}

/// Writes stored blocks. Whoever does it has to tell the member.
pub(crate) fn store(plain: &[u8], out: &mut Vec<u8>) {
    for block in plain.chunks(STORED_BYTES_MAX) {
        begin_stored(block.len(), out);
        out.extend_from_slice(block);
    }
}

/// The product of two polynomials, modulo that of CRC-32.
#[inline]
fn product(a: u32, b: u32) -> u32 {
    let (mut product, mut b) = (0, b);
    for bit in (0..32).rev() {
        product ^= b & ((a >> bit) & 1).wrapping_neg();
        b = (b >> 1) ^ (POLYNOMIAL & (b & 1).wrapping_neg());
    }
    product
}

/// x to the power of so many bytes, modulo the polynomial.
fn power(bytes: u64) -> u32 {
    let (mut power, mut square, mut left) = (X_0, X_8, bytes);
    while left > 0 {
        if left & 1 == 1 {
            power = product(square, power);
        }
        square = product(square, square);
        left >>= 1;
    }
    power
}

#[cfg(test)]
#[cfg(feature = "deflate")]
mod tests {
    use std::io::Read as _;

    use flate2::{Decompress, FlushDecompress, read::GzDecoder};
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::deflate::compressed;

    /// What a decoder that we have not written makes of a whole member, with nothing behind it.
    fn unzipped(mut member: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        GzDecoder::new(&mut member)
            .read_to_end(&mut plain)
            .expect("it is gzip, with the right CRC and length");
        assert!(member.is_empty(), "{} bytes are left", member.len());
        plain
    }

    /// What is known of a stream of which so much has come.
    fn known(written: &[u8], plain_max: usize) -> Vec<u8> {
        let (mut inflate, mut plain) = (Decompress::new(false), Vec::with_capacity(plain_max + 1));
        inflate
            .decompress_vec(&written[HEADER.len()..], &mut plain, FlushDecompress::Sync)
            .expect("it is DEFLATE");
        plain
    }

    fn begun() -> (Member, Vec<u8>) {
        (Member::default(), HEADER.to_vec())
    }

    #[test]
    fn an_empty_member_is_one() {
        let (member, mut out) = begun();
        member.end(&mut out);
        assert_eq!((unzipped(&out), out.len()), (vec![], HEADER.len() + END_BYTES));
    }

    #[test]
    fn what_is_longer_than_a_stored_block_takes_several() {
        for bytes in
            [1, STORED_BYTES_MAX - 1, STORED_BYTES_MAX, STORED_BYTES_MAX + 1, 3 * STORED_BYTES_MAX + 7]
        {
            let (plain, (mut member, mut out)) = (vec![b'x'; bytes], begun());
            member.store(&plain, &mut out);
            assert_eq!(out.len(), HEADER.len() + stored_bytes(bytes), "{bytes}");
            member.end(&mut out);
            assert_eq!(unzipped(&out), plain, "{bytes}");
        }
    }

    /// Its end could not be told from that of a cut stream otherwise.
    #[test]
    fn what_is_missing_or_changed_is_found_out() {
        let (mut member, mut out) = begun();
        member.store(b"said", &mut out);
        member.end(&mut out);
        for at in HEADER.len()..out.len() {
            let mut wrong = out.clone();
            wrong[at] ^= 1;
            let mut plain = Vec::new();
            assert!(GzDecoder::new(&wrong[..]).read_to_end(&mut plain).is_err(), "byte {at}");
            assert!(GzDecoder::new(&out[..at]).read_to_end(&mut plain).is_err(), "up to byte {at}");
        }
    }

    #[test]
    fn lengths_beyond_four_gigabytes_are_counted_as_the_format_has_it() {
        let zeros = vec![0; 1 << 20];
        let (part, mut member, mut beside) = (Part::of(&zeros), Member::default(), flate2::Crc::new());
        for _ in 0..(1 << 12) + 3 {
            member.put(part);
        }
        (0..(1 << 12) + 3).for_each(|_| beside.update(&zeros));
        assert_eq!((member.crc, member.bytes), (beside.sum(), 3 << 20));
    }

    proptest! {
        /// Of whatever frames, in whatever order: each is known as soon as it was written, and all of it is gzip.
        #[test]
        fn parts_of_any_origin_make_one_member(
            parts in vec((any::<bool>(), "[ab]{0,300}|.{0,60}", 1usize..30), 0..12),
        ) {
            let ((mut member, mut out), mut plain) = (begun(), Vec::new());
            for (is_shared, text, times) in parts {
                let text = text.repeat(times);
                match compressed(text.as_bytes()).filter(|_| is_shared) {
                    Some(block) => {
                        out.extend_from_slice(&block);
                        out.extend_from_slice(&FLUSHED);
                        member.put(Part::of(text.as_bytes()));
                    }
                    None => member.store(text.as_bytes(), &mut out),
                }
                plain.extend_from_slice(text.as_bytes());
                prop_assert_eq!(known(&out, plain.len()), &plain[..]);
            }
            member.end(&mut out);
            prop_assert_eq!(unzipped(&out), plain);
        }

        #[test]
        fn sums_are_put_one_behind_the_other(a in vec(any::<u8>(), 0..600), b in vec(any::<u8>(), 0..600)) {
            let mut member = Member::default();
            member.put(Part::of(&a));
            member.put(Part::of(&b));
            prop_assert_eq!(member.crc, crc32(&[a, b].concat()));
        }
    }
}
