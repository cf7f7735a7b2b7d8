//! A client's stream is judged alike however it is cut, and never makes the decoder panic or exceed its
//! limits.

#![no_main]

#[path = "../../transports/src/websocket/codec/masked.rs"]
mod masked;

use lapwing_fuzz::live;
use lapwing_transports::{
    frame::Message,
    options::DecodeLimits,
    websocket::codec::{Decoder, Event, ProtocolError},
};
use libfuzzer_sys::fuzz_target;

/// Low, so that the fuzzer reaches them.
const FRAME_BYTES_MAX: usize = 300;
const MESSAGE_BYTES_MAX: usize = 400;
const LIMITS: DecodeLimits = DecodeLimits::new()
    .frame_bytes_max(FRAME_BYTES_MAX)
    .message_bytes_max(MESSAGE_BYTES_MAX)
    .fragments_max(5);

/// What a decoder may hold: a message at its limit and a frame at its own, in blocks that grow by doubling.
const HELD_BYTES_MAX: usize = 4 * (FRAME_BYTES_MAX + MESSAGE_BYTES_MAX);

fuzz_target!(|input: &[u8]| {
    let [form, read_bytes, input @ ..] = input else { return };
    let stream = if form & 1 == 0 { input.to_vec() } else { frames(input) };
    let in_one = decode(&stream, stream.len().max(1));
    assert_eq!(decode(&stream, 1), in_one);
    assert_eq!(decode(&stream, usize::from(*read_bytes).max(1)), in_one);
});

/// Well-formed frames of the input: the first byte of each, the length of its payload, the payload. Without
/// this the fuzzer would have to guess masks to write text.
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
            let before = live();
            let (newly_used, event) = decoder.decode(&mut read[used..], &LIMITS);
            used += newly_used;
            held += live() as isize - before as isize;
            assert!(held <= HELD_BYTES_MAX as isize, "{held} bytes are held");
            match event {
                Ok(Some(event)) => {
                    check(&event);
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

fn check(event: &Event<'_>) {
    match event {
        Event::Message(message) => {
            assert!(message.as_bytes().len() <= MESSAGE_BYTES_MAX);
            if let Message::Text(text) = message {
                assert!(std::str::from_utf8(text.as_bytes()).is_ok());
            }
        }
        Event::Ping(payload) | Event::Pong(payload) => assert!(payload.len() <= 125),
        Event::Close(Some((_, reason))) => assert!(reason.len() <= 123),
        Event::Close(None) => {}
    }
}
