//! Taking the mask off a payload.

/// XORs `payload` with `mask`, whose first byte falls on the byte `offset` before `payload`'s first.
///
/// Masks repeat every four bytes, so turning the mask by the offset once lets whole words be done from any
/// place in the frame and at any alignment. The compiler makes vector instructions of it: on long payloads it
/// runs at the speed of a copy, and blocks wider than a word were no faster but slower on short ones.
pub(super) fn unmask(payload: &mut [u8], mask: [u8; 4], offset: usize) {
    let turned: [u8; 4] = std::array::from_fn(|index| mask[(offset + index) % 4]);
    let half = u64::from(u32::from_ne_bytes(turned));
    let word = half << 32 | half;
    let (words, rest) = payload.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(word.to_ne_bytes()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::unmask;

    #[test]
    fn every_offset_and_length_agrees_with_the_definition() {
        let mask = [0x11, 0x22, 0x44, 0x88];
        for offset in 0..9 {
            for length in 0..140_usize {
                let payload: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
                let expected: Vec<u8> =
                    payload.iter().enumerate().map(|(at, byte)| byte ^ mask[(offset + at) % 4]).collect();
                let mut actual = payload.clone();
                unmask(&mut actual, mask, offset);
                assert_eq!(actual, expected, "offset {offset}, length {length}");
            }
        }
    }

    #[test]
    fn every_alignment_agrees_with_the_definition() {
        let mask = [1, 2, 3, 4];
        for start in 0..16 {
            let mut bytes = [0_u8; 100];
            unmask(&mut bytes[start..], mask, 0);
            assert!(bytes[start..].iter().enumerate().all(|(at, &byte)| byte == mask[at % 4]));
            assert!(bytes[..start].iter().all(|&byte| byte == 0));
        }
    }
}
