//! Sizes, control frames, reserved bits, opcodes, masks.

use super::*;
use crate::websocket::{
    close_code::CloseCode,
    codec::{append_frame, encode_header, frame_bytes, mark_compressed, write_frame},
};

const SIZES: [usize; 11] = [0, 1, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 131_072];

#[test]
fn messages_of_every_length_form_arrive() {
    for size in SIZES {
        let text = "*".repeat(size);
        assert_eq!(accepted(&whole(OpCode::Text, &text)), [Seen::Text(text.clone())], "{size}");
        let bytes: Vec<u8> = (0..size).map(|at| at as u8).collect();
        assert_eq!(accepted(&whole(OpCode::Binary, &bytes)), [Seen::Binary(bytes)], "{size}");
    }
}

#[test]
fn whole_frames_are_borrowed_from_the_read_buffer() {
    let mut read =
        [whole(OpCode::Text, "one"), whole(OpCode::Ping, "?"), whole(OpCode::Binary, "two")].concat();
    let place = read.as_ptr_range();
    let mut decoder = Decoder::new();
    let mut used = 0;
    let mut events = 0;
    while used < read.len() {
        let (newly_used, event) = decoder.decode(&mut read[used..], &DecodeLimits::default());
        match event {
            Ok(Some(Event::Message(message))) => assert!(place.contains(&message.as_bytes().as_ptr())),
            Ok(Some(Event::Ping(payload))) => assert!(place.contains(&payload.as_ptr())),
            other => panic!("{other:?}"),
        }
        used += newly_used;
        events += 1;
        assert!(decoder.is_idle());
    }
    assert_eq!(events, 3);
}

#[test]
fn a_frame_is_borrowed_even_if_its_header_was_cut() {
    let frame = whole(OpCode::Binary, [7; 200]);
    for cut in 1..8 {
        let mut decoder = Decoder::new();
        let (mut head, mut rest) = (frame[..cut].to_vec(), frame[cut..].to_vec());
        assert_eq!(decoder.decode(&mut head, &DecodeLimits::default()), (cut, Ok(None)));
        let place = rest.as_ptr_range();
        let (_, event) = decoder.decode(&mut rest, &DecodeLimits::default());
        let Ok(Some(Event::Message(Message::Binary(bytes)))) = event else { panic!("{event:?}") };
        assert_eq!(bytes, [7; 200]);
        assert!(place.contains(&bytes.as_ptr()));
    }
}

#[test]
fn an_idle_decoder_is_one_pointer_to_nothing() {
    assert_eq!(size_of::<Decoder>(), size_of::<usize>());
    let mut decoder = Decoder::new();
    let stream = [open(OpCode::Text, "ab"), whole(OpCode::Continuation, "cd")].concat();
    for read_bytes in [1, 3, stream.len()] {
        let (seen, _) = decode_reads(&mut decoder, &stream, read_bytes, &DecodeLimits::default());
        assert_eq!(seen, [Seen::Text("abcd".into())]);
        assert_eq!(format!("{decoder:?}"), "Decoder { partial: None }");
    }
}

#[test]
fn pings_and_pongs_carry_up_to_125_bytes() {
    for size in [0, 1, 125] {
        let payload = vec![0xfe; size];
        assert_eq!(accepted(&whole(OpCode::Ping, &payload)), [Seen::Ping(payload.clone())]);
        assert_eq!(accepted(&whole(OpCode::Pong, &payload)), [Seen::Pong(payload)]);
    }
    for opcode in [OpCode::Ping, OpCode::Pong, OpCode::Close] {
        for size in [126, 65_536] {
            assert_eq!(refused(&whole(opcode, vec![0; size])), ProtocolError::ControlTooLong);
        }
        assert_eq!(refused(&open(opcode, "")), ProtocolError::FragmentedControl);
    }
}

#[test]
fn every_reserved_bit_is_refused_on_every_opcode() {
    for reserved in 1..8_u8 {
        for opcode in 0..16_u8 {
            let stream =
                [whole(OpCode::Text, "a"), masked_frame(FIN | reserved << 4 | opcode, b"x")].concat();
            let expected = (vec![Seen::Text("a".into())], Some(ProtocolError::ReservedBits));
            assert_eq!(decode(&stream), expected);
        }
    }
}

#[test]
fn every_reserved_opcode_is_refused() {
    for opcode in (3..8).chain(11..16) {
        for payload in ["", "x"] {
            assert_eq!(
                refused(&masked_frame(FIN | opcode, payload.as_bytes())),
                ProtocolError::UnknownOpCode(opcode)
            );
        }
    }
}

#[test]
fn what_two_bytes_show_is_refused_with_them() {
    for (start, error) in [
        ([0xc1, 0x81], ProtocolError::ReservedBits),
        ([0x83, 0x81], ProtocolError::UnknownOpCode(3)),
        ([0x81, 0x01], ProtocolError::Unmasked),
        ([0x09, 0x80], ProtocolError::FragmentedControl),
        ([0x89, 0xfe], ProtocolError::ControlTooLong),
    ] {
        assert_eq!(refused(&start), error);
        assert_eq!(error.close_code(), CloseCode::PROTOCOL_ERROR);
    }
}

#[test]
fn lengths_that_are_not_the_shortest_are_refused() {
    for length in [0_u16, 1, 125] {
        let header = [&[0x82, 0xfe][..], &length.to_be_bytes(), &[0; 4]].concat();
        assert_eq!(refused(&header), ProtocolError::LengthEncoding, "{length}");
    }
    for length in [0_u64, 125, 126, 65_535, 1 << 63, u64::MAX] {
        let header = [&[0x82, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
        assert_eq!(refused(&header), ProtocolError::LengthEncoding, "{length}");
    }
}

#[test]
fn what_is_encoded_is_what_the_rfc_says() {
    for size in SIZES {
        for (opcode, first) in
            [(OpCode::Text, 0x81), (OpCode::Binary, 0x82), (OpCode::Close, 0x88), (OpCode::Ping, 0x89)]
        {
            let payload = vec![b'a'; size];
            let mut frame = Vec::new();
            append_frame(opcode, &payload, &mut frame);
            let expected = match size {
                0..126 => vec![first, size as u8],
                126..65_536 => [&[first, 126][..], &(size as u16).to_be_bytes()].concat(),
                _ => [&[first, 127][..], &(size as u64).to_be_bytes()].concat(),
            };
            let mut header = [0; 10];
            let header_bytes = encode_header(opcode, size, &mut header);
            assert_eq!(header[..header_bytes], expected);
            assert_eq!(frame, [expected, payload.clone()].concat());
            assert_eq!(frame.len(), frame_bytes(size));
            let mut exact = vec![0; frame.len()];
            assert_eq!(write_frame(opcode, &payload, &mut exact), Some(frame.len()));
            assert_eq!(exact, frame);
            assert_eq!(write_frame(opcode, &payload, &mut exact[1..]), None);
        }
    }
}

#[test]
fn a_frame_that_is_said_to_be_compressed_differs_in_one_bit() {
    for opcode in [OpCode::Text, OpCode::Binary] {
        let (mut frame, mut marked) = (Vec::new(), Vec::new());
        append_frame(opcode, b"payload", &mut frame);
        append_frame(opcode, b"payload", &mut marked);
        mark_compressed(&mut marked);
        assert_eq!(marked[0], 0xc0 | opcode as u8);
        assert_eq!(marked[1..], frame[1..]);
    }
}
