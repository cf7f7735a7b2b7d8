//! What is compressed can be inflated, by this and by the library itself; what a client may send, and what it may not.

use std::io::Write as _;

use flate2::{Compression, write::DeflateEncoder};
use proptest::prelude::*;

use super::{Uninflatable, compressed, inflated};

/// As a client compresses: flushed, without the four bytes that end a flush.
fn by_client(message: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(message).unwrap();
    encoder.flush().unwrap();
    let mut compressed = encoder.get_ref().clone();
    assert_eq!(compressed.split_off(compressed.len() - 4), [0, 0, 0xff, 0xff]);
    compressed
}

/// The same with a final block, and the zero that RFC 7692, 7.2.3.4 has behind it.
fn by_client_with_a_final_block(message: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(message).unwrap();
    let mut compressed = encoder.finish().unwrap();
    compressed.push(0);
    compressed
}

/// Bytes that do not shrink.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

/// Rows as programs send them.
fn json(bytes: usize) -> String {
    let mut text = String::from(r#"[null,null,"board:7","rows",{"rows":["#);
    let mut row = 0_u64;
    while text.len() < bytes {
        row += 1;
        let (id, price) = (row * 7_919 % 100_003, row * 104_729 % 9_973);
        let status = ["open", "waiting", "done"][row as usize % 3];
        text +=
            &format!(r#"{{"id":{id},"status":"{status}","price":{price}.5,"owner":"user-{}"}},"#, id % 97);
    }
    text + "{}]}]"
}

#[test]
fn json_of_two_kilobytes_becomes_less_than_four_tenths() {
    let text = json(2_048);
    let compressed = compressed(text.as_bytes()).expect("it is worth it");
    println!("{} bytes of {}", compressed.len(), text.len());
    assert!(compressed.len() * 10 <= text.len() * 4, "{} of {}", compressed.len(), text.len());
    assert_eq!(inflated(&compressed, text.len()).as_deref(), Ok(text.as_bytes()));
}

#[test]
fn what_does_not_shrink_by_a_tenth_stays_as_it_is() {
    for bytes in [0, 1, 5, 11, 100, 1_000, 32 * 1024, 200_000] {
        assert_eq!(compressed(&noise(bytes)), None, "{bytes}");
    }
    // An eighth of it repeats, but not at its beginning.
    let mut image = noise(100_000);
    image.extend([0; 100_000]);
    assert_eq!(compressed(&image), None, "what begins so is taken for compressed already");
    let mut mixed = noise(1_000);
    mixed.extend(vec![b'x'; 1_000]);
    assert!(compressed(&mixed).is_some_and(|compressed| compressed.len() < 1_100));
}

/// As much is looked at first only where that is little beside the whole.
#[test]
fn from_32_kilobytes_on_the_beginning_says_whether_the_rest_is_tried() {
    for (bytes, is_tried) in [(32 * 1024 - 1, true), (32 * 1024, false)] {
        let mut message = noise(8 * 1024);
        message.resize(bytes, 0);
        assert_eq!(compressed(&message).is_some(), is_tried, "{bytes}");
    }
}

#[test]
fn one_message_tells_nothing_of_another() {
    let (first, second) = (json(3_000), noise(600));
    let alone = compressed(first.as_bytes());
    for _ in 0..3 {
        assert_eq!(compressed(&second), None);
        assert_eq!(compressed(first.as_bytes()), alone, "the same bytes, whatever was before");
    }
}

#[test]
fn the_examples_of_rfc_7692_are_read() {
    let hello = Ok(b"Hello".to_vec());
    for (what, bytes) in [
        ("7.2.3.1", &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..]),
        ("7.2.3.3, not compressed", &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]),
        ("7.2.3.4, a final block", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]),
        (
            "7.2.3.5, two blocks",
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ),
    ] {
        assert_eq!(inflated(bytes, 5), hello, "{what}");
        assert_eq!(inflated(bytes, 4), Err(Uninflatable::TooLong), "{what}");
    }
    assert_eq!(inflated(&[0x00], 0), Ok(Vec::new()), "7.2.3.6, an empty message");
    assert_eq!(inflated(&[], 0), Ok(Vec::new()));
}

#[test]
fn what_follows_the_end_is_refused() {
    let whole = by_client_with_a_final_block(b"Hello");
    assert_eq!(inflated(&whole, 5), Ok(b"Hello".to_vec()));
    assert_eq!(inflated(&whole[..whole.len() - 1], 5), Ok(b"Hello".to_vec()), "the zero may be left out");
    for more in [&[0, 0][..], b"x", &[0, 0, 0xff, 0xff], &whole] {
        let trailed = [&whole[..whole.len() - 1], more].concat();
        assert_eq!(inflated(&trailed, 1_000), Err(Uninflatable::Malformed), "{more:x?}");
    }
}

#[test]
fn what_ends_in_the_middle_or_is_no_deflate_is_refused() {
    let text = json(1_000);
    let whole = by_client(text.as_bytes(), 6);
    for cut in 1..whole.len() {
        let result = inflated(&whole[..cut], text.len());
        assert!(result.is_err(), "{cut} of {} bytes were taken for {:?}", whole.len(), result);
    }
    for bytes in [
        &[0x06][..], // A block of a type that there is not.
        &[0xff, 0xff, 0xff],
        &[0x00, 0x05, 0x00, 0x00, 0x00], // A length and its complement that do not agree.
        &[0x03, 0x02, 0x00],             // A reference to before the beginning.
        b"Hello",
    ] {
        assert_eq!(inflated(bytes, 1_000).err(), Some(Uninflatable::Malformed), "{bytes:x?}");
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let bomb = by_client(&vec![0; 100_000_000], 9);
    assert!(bomb.len() < 110_000, "{}", bomb.len());
    for limit in [0, 1, 100, 1_000_000, 99_999_999] {
        assert_eq!(inflated(&bomb, limit).err(), Some(Uninflatable::TooLong), "{limit}");
    }
    assert_eq!(inflated(&bomb, 100_000_000).map(|bytes| bytes.len()), Ok(100_000_000));
}

#[test]
fn a_message_gets_as_much_memory_as_it_takes_and_never_more_than_it_may() {
    for (bytes, limit) in
        [(1, 10), (1_000, 10_000), (16 * 1024, 1 << 20), (50_000, 50_000), (900_000, 1_000_000)]
    {
        let message = inflated(&by_client(&vec![7; bytes], 1), limit).unwrap();
        assert_eq!(message.len(), bytes);
        assert!(message.capacity() <= limit.min(2 * bytes), "{bytes}: {}", message.capacity());
    }
}

proptest! {
    #[test]
    fn what_is_compressed_is_inflated_to_the_same(
        seed in prop::collection::vec(any::<u8>(), 0..200),
        times in 1_usize..400,
        level in 0_u32..10,
    ) {
        let message = seed.repeat(times);
        if let Some(compressed) = compressed(&message) {
            prop_assert!(compressed.len() * 10 <= message.len() * 9);
            let bytes = inflated(&compressed, message.len());
            prop_assert_eq!(bytes.as_ref(), Ok(&message));
        }
        let bytes = inflated(&by_client(&message, level), message.len());
        prop_assert_eq!(bytes.as_ref(), Ok(&message));
        let bytes = inflated(&by_client_with_a_final_block(&message), message.len());
        prop_assert_eq!(bytes.as_ref(), Ok(&message));
    }

    #[test]
    fn no_bytes_make_it_panic_or_pass_the_limit(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        limit in 0_usize..2_000,
    ) {
        if let Ok(message) = inflated(&bytes, limit) {
            prop_assert!(message.len() <= limit && message.capacity() <= limit);
        }
    }
}
