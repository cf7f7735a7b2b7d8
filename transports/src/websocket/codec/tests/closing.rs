//! Close frames, and what only they may carry.

use super::*;
use crate::websocket::{
    close_code::CloseCode,
    codec::{ClosePayload, append_frame},
};

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    whole(OpCode::Close, [&code.to_be_bytes()[..], reason].concat())
}

#[test]
fn a_close_may_be_empty_or_have_a_reason() {
    assert_eq!(accepted(&whole(OpCode::Close, "")), [Seen::Close(None)]);
    assert_eq!(accepted(&close(1000, b"")), [Seen::Close(Some((1000, String::new())))]);
    let reason = "é".repeat(61) + "x";
    assert_eq!(accepted(&close(1001, reason.as_bytes())), [Seen::Close(Some((1001, reason)))]);
}

#[test]
fn half_a_code_is_refused() {
    assert_eq!(refused(&whole(OpCode::Close, [3])), ProtocolError::TruncatedCloseCode);
}

#[test]
fn every_code_for_the_wire_is_accepted() {
    for code in (1000..=1003).chain(1007..=1014).chain([3000, 3999, 4000, 4999]) {
        assert_eq!(accepted(&close(code, b"")), [Seen::Close(Some((code, String::new())))]);
    }
}

#[test]
fn every_other_code_is_refused() {
    for code in (0..1000).chain(1004..=1006).chain(1015..3000).chain(5000..=u16::MAX) {
        assert_eq!(refused(&close(code, b"x")), ProtocolError::BadCloseCode(code));
    }
    assert_eq!(ProtocolError::BadCloseCode(1005).close_code(), CloseCode::PROTOCOL_ERROR);
}

#[test]
fn a_reason_is_text() {
    assert_eq!(refused(&close(1000, b"\xf0\x9f")), ProtocolError::InvalidUtf8);
}

#[test]
fn reasons_are_cut_between_characters() {
    for (reason, expected_bytes) in [
        ("", 0),
        ("bye", 3),
        (&"x".repeat(123), 123),
        (&"x".repeat(124), 123),
        (&"é".repeat(62), 122),
        (&"🦀".repeat(31), 120),
    ] {
        let payload = ClosePayload::new(CloseCode::GOING_AWAY, reason);
        assert_eq!(payload.as_bytes()[..2], [0x03, 0xe9]);
        assert_eq!(&payload.as_bytes()[2..], &reason.as_bytes()[..expected_bytes]);
        assert!(reason.is_char_boundary(expected_bytes));
        let mut frame = Vec::new();
        append_frame(OpCode::Close, payload.as_bytes(), &mut frame);
        assert_eq!(frame[..2], [0x88, 2 + expected_bytes as u8]);
    }
}
