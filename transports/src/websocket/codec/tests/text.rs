//! UTF-8, and how early what is not is refused. The table of sequences is with `TextBuffer`.

use super::*;
use crate::websocket::close_code::CloseCode;

const CRAB: &[u8] = "🦀".as_bytes();

#[test]
fn text_that_is_not_utf8_is_refused() {
    for payload in [&b"\xff"[..], b"a\xc0\xafb", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"ok\xe2\x82"] {
        assert_eq!(refused(&whole(OpCode::Text, payload)), ProtocolError::InvalidUtf8, "{payload:x?}");
        let (start, end) = payload.split_at(1);
        let fragments = [open(OpCode::Text, start), whole(OpCode::Continuation, end)].concat();
        assert_eq!(refused(&fragments), ProtocolError::InvalidUtf8, "{payload:x?}");
        assert_eq!(accepted(&whole(OpCode::Binary, payload)), [Seen::Binary(payload.to_vec())]);
    }
    assert_eq!(ProtocolError::InvalidUtf8.close_code(), CloseCode::INVALID_PAYLOAD);
}

#[test]
fn characters_may_be_cut_by_fragments() {
    for cut in 1..4 {
        let (start, end) = CRAB.split_at(cut);
        let stream = [
            open(OpCode::Text, start),
            open(OpCode::Continuation, ""),
            whole(OpCode::Ping, b"\xff"),
            whole(OpCode::Continuation, end),
        ];
        assert_eq!(accepted(&stream.concat()), [Seen::Ping(vec![0xff]), Seen::Text("🦀".into())]);
    }
}

#[test]
fn a_message_may_not_end_inside_a_character() {
    for cut in 1..4 {
        assert_eq!(refused(&whole(OpCode::Text, &CRAB[..cut])), ProtocolError::InvalidUtf8);
        let stream = [open(OpCode::Text, &CRAB[..cut]), whole(OpCode::Continuation, "")].concat();
        assert_eq!(refused(&stream), ProtocolError::InvalidUtf8);
    }
}

#[test]
fn an_impossible_byte_is_refused_before_the_frame_is_complete() {
    // A frame that announces 1,000 bytes, of which the fifth cannot be.
    let mut payload = b"abcd".to_vec();
    payload.resize(1_000, 0xff);
    let stream = whole(OpCode::Text, &payload);
    let header_bytes = stream.len() - payload.len();
    let (_, error) = decode_reads(&mut Decoder::new(), &stream, 1, &DecodeLimits::default());
    assert_eq!(error, Some((header_bytes + 4, ProtocolError::InvalidUtf8)));
}

#[test]
fn an_impossible_byte_is_refused_before_the_next_fragment() {
    let stream = [open(OpCode::Text, b"\xf4"), open(OpCode::Continuation, b"\x90")].concat();
    assert_eq!(refused(&stream), ProtocolError::InvalidUtf8);
}
