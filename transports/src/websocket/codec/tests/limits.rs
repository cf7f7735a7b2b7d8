//! Each limit, from just within to just over.

use super::*;
use crate::websocket::close_code::CloseCode;

const LIMITS: DecodeLimits = DecodeLimits::new().frame_bytes_max(200).message_bytes_max(300).fragments_max(4);

/// A header for an empty mask that announces `length` bytes, in the long form.
fn announcing(length: u64) -> Vec<u8> {
    [&[0x82, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat()
}

#[test]
fn a_frame_over_the_limit_is_refused_from_its_header() {
    assert_eq!(
        decode_within(&whole(OpCode::Binary, [1; 200]), &LIMITS),
        (vec![Seen::Binary(vec![1; 200])], None)
    );
    let error = ProtocolError::FrameTooBig { announced: 201, frame_bytes_max: 200 };
    let header = &whole(OpCode::Binary, [1; 201])[..8];
    assert_eq!(decode_within(header, &LIMITS), (vec![], Some(error)));
    assert_eq!(error.close_code(), CloseCode::TOO_BIG);
}

#[test]
fn huge_announcements_are_refused_without_memory() {
    for length in [10_000_001, 1 << 32, 1 << 62, (1 << 63) - 1] {
        let error = ProtocolError::FrameTooBig { announced: length, frame_bytes_max: 10_000_000 };
        assert_eq!(refused(&announcing(length)), error);
    }
    assert_eq!(refused(&announcing(1 << 63)), ProtocolError::LengthEncoding);
}

#[test]
fn memory_follows_what_has_arrived() {
    let mut decoder = Decoder::new();
    let mut read = announcing(10_000_000);
    read.extend([0; 100]);
    assert_eq!(decoder.decode(&mut read, &DecodeLimits::default()), (114, Ok(None)));
    let message = decoder.partial.as_ref().and_then(|partial| partial.message.as_ref()).unwrap();
    assert!(message.capacity() <= 200, "{}", message.capacity());
}

#[test]
fn memory_is_never_more_than_the_frame_can_fill() {
    let frame = whole(OpCode::Text, "x".repeat(1_000));
    let mut decoder = Decoder::new();
    for read in frame[..frame.len() - 1].chunks(700) {
        decode_reads(&mut decoder, read, 700, &DecodeLimits::default());
        let message = decoder.partial.as_ref().and_then(|partial| partial.message.as_ref()).unwrap();
        assert!(message.capacity() <= 1_000, "{}", message.capacity());
    }
}

#[test]
fn memory_grows_in_few_steps_however_small_the_fragments() {
    for opcode in [OpCode::Text, OpCode::Binary] {
        let mut decoder = Decoder::new();
        let mut capacities = vec![0];
        let mut frame = open(opcode, "sixteen  letters");
        for fragment in 1..=10_000 {
            decode_reads(&mut decoder, &frame, frame.len(), &DecodeLimits::default());
            frame = open(OpCode::Continuation, "sixteen  letters");
            let held = decoder.held_bytes();
            assert!(held <= 2 * 16 * fragment, "{held} bytes for {fragment} fragments");
            capacities.push(held);
        }
        capacities.dedup();
        assert!(capacities.len() < 20, "{capacities:?}");
    }
}

#[test]
fn memory_grows_in_few_steps_however_small_the_reads() {
    for opcode in [OpCode::Text, OpCode::Binary] {
        let (mut decoder, mut capacities) = (Decoder::new(), vec![0]);
        let frame = whole(opcode, "sixteen  letters".repeat(10_000));
        for read in frame[..frame.len() - 1].chunks(16) {
            decode_reads(&mut decoder, read, 16, &DecodeLimits::default());
            capacities.push(decoder.held_bytes());
        }
        capacities.dedup();
        assert!(capacities.len() < 20, "{capacities:?}");
    }
}

#[test]
fn what_was_discarded_of_a_message_counts_towards_its_limit() {
    for (bytes, error) in [(40, None), (41, Some(ProtocolError::MessageTooBig { message_bytes_max: 300 }))] {
        let mut decoder = Decoder::new();
        decode_reads(&mut decoder, &open(OpCode::Binary, [1; 200]), 1_000, &LIMITS);
        decoder.discard_message();
        assert_eq!(decoder.held_bytes(), 0);
        let rest =
            [open(OpCode::Continuation, [1; 60]), whole(OpCode::Continuation, vec![1; bytes])].concat();
        let (seen, refused) = decode_reads(&mut decoder, &rest, 7, &LIMITS);
        assert_eq!(refused.map(|(_, error)| error), error);
        let nothing = [Seen::Binary(Vec::new())];
        assert_eq!(seen, nothing[..usize::from(error.is_none())]);
    }
}

#[test]
fn an_error_says_which_bound_was_passed() {
    for (error, numbers) in [
        (ProtocolError::FrameTooBig { announced: 201, frame_bytes_max: 200 }, &["201", "200"][..]),
        (ProtocolError::MessageTooBig { message_bytes_max: 300 }, &["300"]),
        (ProtocolError::TooManyFragments { fragments_max: 4 }, &["4"]),
        (ProtocolError::UnknownOpCode(0xb), &["0xb"]),
        (ProtocolError::BadCloseCode(1005), &["1005"]),
    ] {
        let text = error.to_string();
        assert!(numbers.iter().all(|number| text.contains(number)), "{text}");
    }
}

#[test]
fn a_message_over_the_limit_is_refused_from_the_header_that_makes_it_so() {
    let within = [open(OpCode::Binary, [1; 200]), whole(OpCode::Continuation, [1; 100])].concat();
    assert_eq!(decode_within(&within, &LIMITS), (vec![Seen::Binary(vec![1; 300])], None));
    let over = [open(OpCode::Binary, [1; 200]), whole(OpCode::Continuation, [1; 101])[..6].to_vec()].concat();
    let error = ProtocolError::MessageTooBig { message_bytes_max: 300 };
    assert_eq!(decode_within(&over, &LIMITS), (vec![], Some(error)));
    assert_eq!(error.close_code(), CloseCode::TOO_BIG);
}

#[test]
fn a_message_limit_below_the_frame_limit_holds_for_single_frames() {
    let limits = LIMITS.message_bytes_max(10);
    let error = ProtocolError::MessageTooBig { message_bytes_max: 10 };
    assert_eq!(decode_within(&whole(OpCode::Text, "12345678901"), &limits), (vec![], Some(error)));
}

#[test]
fn control_frames_are_under_no_limit_but_their_own() {
    let limits = LIMITS.message_bytes_max(1).fragments_max(1);
    let ping = whole(OpCode::Ping, [0; 125]);
    assert_eq!(decode_within(&ping, &limits), (vec![Seen::Ping(vec![0; 125])], None));
}

#[test]
fn too_many_fragments_are_refused() {
    let error = ProtocolError::TooManyFragments { fragments_max: 4 };
    for payload in ["", "x"] {
        let mut stream = open(OpCode::Text, payload);
        for _ in 0..2 {
            stream.extend(open(OpCode::Continuation, payload));
            stream.extend(whole(OpCode::Ping, ""));
        }
        let within = [stream.clone(), whole(OpCode::Continuation, payload)].concat();
        assert_eq!(decode_within(&within, &LIMITS).1, None);
        let over =
            [stream, open(OpCode::Continuation, payload), whole(OpCode::Continuation, payload)].concat();
        assert_eq!(decode_within(&over, &LIMITS).1, Some(error));
    }
    assert_eq!(error.close_code(), CloseCode::POLICY_VIOLATION);
}

#[test]
fn a_million_empty_fragments_are_not_read_to_their_end() {
    let mut stream = open(OpCode::Text, "");
    for _ in 0..1_000_000 {
        stream.extend(open(OpCode::Continuation, ""));
    }
    let (seen, error) = decode_reads(&mut Decoder::new(), &stream, 65_536, &DecodeLimits::default());
    assert!(seen.is_empty());
    assert!(matches!(error, Some((read, ProtocolError::TooManyFragments { .. })) if read < 7), "{error:?}");
}

#[test]
fn four_mebibytes_in_fragments_of_64_bytes_arrive() {
    let mut stream = open(OpCode::Binary, [7; 64]);
    for _ in 0..65_534 {
        stream.extend(open(OpCode::Continuation, [7; 64]));
    }
    stream.extend(whole(OpCode::Continuation, [7; 64]));
    let (seen, error) = decode_reads(&mut Decoder::new(), &stream, 65_536, &DecodeLimits::default());
    assert_eq!(error, None);
    assert_eq!(seen, [Seen::Binary(vec![7; 4 << 20])]);
}

#[test]
fn after_an_error_nothing_is_held() {
    let mut decoder = Decoder::new();
    let stream = [open(OpCode::Text, "held"), whole(OpCode::Text, "")].concat();
    let (_, error) = decode_reads(&mut decoder, &stream, 3, &DecodeLimits::default());
    assert!(error.is_some());
    assert!(decoder.is_idle());
}
