//! Compressed messages: whatever a client sends is judged alike however it is cut, and no bytes are held beyond the limit of a
//! message, however few stand for however many. What is compressed here is inflated to the same. No offer makes the handshake
//! panic, and its answer says what was agreed on.

#![no_main]

#[path = "../../transports/src/websocket/codec/masked.rs"]
mod masked;

use std::sync::Once;

use lapwing_fuzz::{Bound, live, peak};
use lapwing_transports::{
    deflate::offers::agree,
    frame::Message,
    fuzzing,
    options::DecodeLimits,
    websocket::codec::{Decoder, Event, ProtocolError},
};
use libfuzzer_sys::fuzz_target;

/// Low, so that the fuzzer reaches it.
const MESSAGE_BYTES_MAX: usize = 4_000;
const LIMITS: DecodeLimits = DecodeLimits::new()
    .frame_bytes_max(2_000)
    .message_bytes_max(MESSAGE_BYTES_MAX)
    .fragments_max(5)
    .with_deflate();

/// What a decoder may hold besides the input: what has arrived of a message, in blocks that grow by doubling, and what it becomes,
/// once more by a half while it is moved.
const PEAK_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;

/// The first byte of a final frame of bytes that are compressed.
const COMPRESSED: u8 = 0xc2;

const OFFER: Bound = Bound { bytes_per_byte: 0, bytes_per_allocation: usize::MAX };

fuzz_target!(|input: &[u8]| {
    // What there is one of for each thread is made.
    static WARM: Once = Once::new();
    WARM.call_once(|| {
        let _ = Decoder::new().decode(&mut masked::masked_frame(COMPRESSED, &[0]), &LIMITS);
        fuzzing::compressed(&[0; 100]);
    });

    if let Some(agreement) = OFFER.hold(input.len(), || agree([input])) {
        let answer = agreement.to_string();
        assert_eq!(agree([answer.as_bytes()]), Some(agreement), "{answer}");
        assert!((8..=15).contains(&agreement.window_bits()));
    }

    let whole = masked::masked_frame(COMPRESSED, input);
    let in_one = decode(&whole, whole.len());
    assert_eq!(decode(&whole, 100), in_one);

    if let Some(compressed) = fuzzing::compressed(input) {
        assert!(compressed.len() * 10 <= input.len() * 9);
        if input.len() <= MESSAGE_BYTES_MAX {
            let stream = masked::masked_frame(COMPRESSED, &compressed);
            let event = Event::Message(Message::Binary(input));
            assert_eq!(decode(&stream, stream.len()), (vec![format!("{event:?}")], None));
        }
    }

    let [read_bytes, input @ ..] = input else { return };
    let stream = frames(input);
    let in_one = decode(&stream, stream.len().max(1));
    assert_eq!(decode(&stream, 1), in_one);
    assert_eq!(decode(&stream, usize::from(*read_bytes).max(1)), in_one);
});

/// Well-formed frames of the input: the first byte of each, the length of its payload, the payload.
fn frames(mut input: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let [first, length, rest @ ..] = input {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        stream.extend(masked::masked_frame(*first, payload));
        input = rest;
    }
    stream
}

/// Every event as text, and the error.
fn decode(stream: &[u8], read_bytes: usize) -> (Vec<String>, Option<ProtocolError>) {
    let mut decoder = Decoder::new();
    let mut seen = Vec::new();
    // What the test itself notes is not the decoder's.
    let mut held = 0;
    for read in stream.chunks(read_bytes) {
        let mut read = read.to_vec();
        let mut used = 0;
        loop {
            peak();
            let before = live();
            let (newly_used, event) = decoder.decode(&mut read[used..], &LIMITS);
            used += newly_used;
            let most = held + peak() as isize - before as isize;
            assert!(most <= PEAK_BYTES_MAX as isize, "{most} bytes at once");
            held += live() as isize - before as isize;
            match event {
                Ok(Some(event)) => {
                    if let Event::Message(message) = &event {
                        assert!(message.as_bytes().len() <= MESSAGE_BYTES_MAX);
                    }
                    seen.push(format!("{event:?}"));
                }
                Ok(None) => break,
                Err(error) => return (seen, Some(error)),
            }
        }
        assert_eq!(used, read.len());
    }
    (seen, None)
}
