//! Compressed messages: the first reserved bit, fragments, limits, and what of the rest of RFC 6455 stays as it is.

use super::*;
use crate::{deflate::compressed, websocket::close_code::CloseCode};

const RSV1: u8 = 0x40;
const INFLATING: DecodeLimits = DecodeLimits::new().with_deflate();

fn small(text: &str) -> Vec<u8> {
    compressed(text.as_bytes()).expect("it shrinks").into_vec()
}

/// A final frame of a message that is said to be compressed.
fn whole_compressed(opcode: OpCode, payload: impl AsRef<[u8]>) -> Vec<u8> {
    masked_frame(FIN | RSV1 | opcode as u8, payload.as_ref())
}

fn open_compressed(opcode: OpCode, payload: impl AsRef<[u8]>) -> Vec<u8> {
    masked_frame(RSV1 | opcode as u8, payload.as_ref())
}

/// A text that shrinks.
fn text() -> String {
    "to be or not to be, ".repeat(20)
}

#[test]
fn a_compressed_message_is_inflated_in_one_piece_or_many() {
    let (text, bytes) = (text(), small(&text()));
    let seen = (vec![Seen::Text(text.clone())], None);
    assert_eq!(decode_within(&whole_compressed(OpCode::Text, &bytes), &INFLATING), seen);
    let binary = (vec![Seen::Binary(text.clone().into_bytes())], None);
    assert_eq!(decode_within(&whole_compressed(OpCode::Binary, &bytes), &INFLATING), binary);
    for at in 0..=bytes.len() {
        let (first, rest) = bytes.split_at(at);
        let stream = [
            open_compressed(OpCode::Text, first),
            whole(OpCode::Ping, "between"),
            open(OpCode::Continuation, ""),
            whole(OpCode::Continuation, rest),
        ];
        let seen = (vec![Seen::Ping(b"between".to_vec()), Seen::Text(text.clone())], None);
        assert_eq!(decode_within(&stream.concat(), &INFLATING), seen, "cut at {at}");
    }
}

#[test]
fn messages_may_be_compressed_and_need_not_be() {
    let (text, bytes) = (text(), small(&text()));
    let stream = [
        whole(OpCode::Text, "as it is"),
        whole_compressed(OpCode::Text, &bytes),
        open(OpCode::Text, "as it "),
        whole(OpCode::Continuation, "is"),
        whole_compressed(OpCode::Text, [0]),
        whole_compressed(OpCode::Text, ""),
    ];
    let seen = ["as it is", &text, "as it is", "", ""].map(|text| Seen::Text(text.to_owned()));
    assert_eq!(decode_within(&stream.concat(), &INFLATING), (seen.to_vec(), None));
}

#[test]
fn the_first_reserved_bit_is_for_the_first_frame_of_a_message_alone() {
    let bytes = small(&text());
    let begun = open_compressed(OpCode::Text, &bytes[..4]);
    for (what, frame) in [
        ("a ping", whole_compressed(OpCode::Ping, "")),
        ("a pong", whole_compressed(OpCode::Pong, "")),
        ("a close", whole_compressed(OpCode::Close, "")),
        (
            "a fragment of a compressed message",
            [begun, whole_compressed(OpCode::Continuation, &bytes[4..])].concat(),
        ),
        ("a fragment", [open(OpCode::Text, "a"), whole_compressed(OpCode::Continuation, "b")].concat()),
        ("the second bit", masked_frame(FIN | RSV1 | 0x20 | 1, &bytes)),
        ("the third bit", masked_frame(FIN | 0x10 | 1, b"x")),
    ] {
        assert_eq!(decode_within(&frame, &INFLATING), (vec![], Some(ProtocolError::ReservedBits)), "{what}");
    }
    let stream = whole_compressed(OpCode::Text, &bytes);
    assert_eq!(refused(&stream), ProtocolError::ReservedBits, "nothing was agreed on");
    assert_eq!(refused(&stream[..2]), ProtocolError::ReservedBits, "which two bytes show");
    assert_eq!(ProtocolError::ReservedBits.close_code(), CloseCode::PROTOCOL_ERROR);
}

#[test]
fn what_cannot_be_inflated_or_is_no_text_is_refused() {
    let bytes = small(&text());
    let trailed = [&bytes[..], b"and more"].concat();
    for (payload, error) in [
        (&b"no deflate"[..], ProtocolError::MalformedDeflate),
        (&bytes[..bytes.len() - 2], ProtocolError::MalformedDeflate),
        (&trailed, ProtocolError::MalformedDeflate),
        (&[0x00, 0x01, 0x00, 0xfe, 0xff, 0xff, 0x00], ProtocolError::InvalidUtf8),
    ] {
        for stream in [
            whole_compressed(OpCode::Text, payload),
            [open_compressed(OpCode::Text, &payload[..3]), whole(OpCode::Continuation, &payload[3..])]
                .concat(),
        ] {
            assert_eq!(decode_within(&stream, &INFLATING), (vec![], Some(error)), "{payload:x?}");
        }
    }
    assert_eq!(ProtocolError::MalformedDeflate.close_code(), CloseCode::INVALID_PAYLOAD);
}

#[test]
fn the_limit_of_a_message_is_for_what_it_becomes() {
    let text = text();
    let stream = whole_compressed(OpCode::Text, small(&text));
    let within = INFLATING.message_bytes_max(text.len());
    assert_eq!(decode_within(&stream, &within), (vec![Seen::Text(text.clone())], None));
    let message_bytes_max = text.len() - 1;
    let over = INFLATING.message_bytes_max(message_bytes_max);
    let error = ProtocolError::MessageTooBig { message_bytes_max };
    assert_eq!(decode_within(&stream, &over), (vec![], Some(error)));
    assert_eq!(error.close_code(), CloseCode::TOO_BIG);
}

/// What does not shrink is a little longer than it was, and may be sent all the same.
#[test]
fn a_message_at_the_limit_that_does_not_shrink_is_taken() {
    let message: Vec<u8> =
        (0..60_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let length = (message.len() as u16).to_le_bytes();
    let stored = [&[0][..], &length, &length.map(|byte| !byte), &message, &[0]].concat();
    let limits = INFLATING.message_bytes_max(message.len()).frame_bytes_max(message.len());
    let stream = whole_compressed(OpCode::Binary, &stored);
    assert_eq!(decode_within(&stream, &limits), (vec![Seen::Binary(message.clone())], None));
    let (first, rest) = stored.split_at(1);
    let fragments = [open_compressed(OpCode::Binary, first), whole(OpCode::Continuation, rest)].concat();
    assert_eq!(decode_within(&fragments, &limits), (vec![Seen::Binary(message.clone())], None));
    let announcing = masked_frame(FIN | RSV1 | 2, &vec![0; message.len() + 200]);
    let error = decode_within(&announcing, &limits).1;
    assert!(matches!(error, Some(ProtocolError::FrameTooBig { .. })), "{error:?}");
}

#[test]
fn a_bomb_is_refused_and_nothing_is_held_of_it() {
    let bomb = compressed(&vec![0; 10_000_001]).expect("it shrinks");
    assert!(bomb.len() < 50_000, "{}", bomb.len());
    let mut decoder = Decoder::new();
    let stream = whole_compressed(OpCode::Binary, &bomb);
    let (seen, error) = decode_reads(&mut decoder, &stream, stream.len(), &INFLATING);
    assert_eq!(seen, []);
    assert!(matches!(error, Some((_, ProtocolError::MessageTooBig { .. }))), "{error:?}");
    assert_eq!((decoder.held_bytes(), decoder.is_idle()), (0, true));
}

#[test]
fn what_is_held_of_an_incomplete_message_is_what_came() {
    let bytes = small(&"x".repeat(100_000));
    let mut decoder = Decoder::new();
    let mut read = open_compressed(OpCode::Text, &bytes);
    let (_, event) = decoder.decode(&mut read, &INFLATING);
    assert_eq!(event, Ok(None));
    assert!(decoder.held_bytes() <= 2 * bytes.len(), "{}", decoder.held_bytes());
    decoder.discard_message();
    let mut read = whole(OpCode::Continuation, "");
    let (_, event) = decoder.decode(&mut read, &INFLATING);
    assert_eq!(event, Ok(Some(Event::Message(Message::Binary(&[])))), "it is not inflated any more");
}

/// A client that the handler does not take anything from for now holds nothing of the message before.
#[test]
fn an_inflated_message_is_freed_when_it_was_handed_on() {
    let mut decoder = Decoder::new();
    let mut read = whole_compressed(OpCode::Text, small(&"x".repeat(100_000)));
    let (_, event) = decoder.decode(&mut read, &INFLATING);
    assert!(matches!(event, Ok(Some(Event::Message(_)))));
    assert!(decoder.held_bytes() >= 100_000);
    decoder.free();
    assert_eq!(decoder.held_bytes(), 0);
}
