//! Messages in several frames, and what may stand between these.

use super::*;

#[test]
fn fragments_make_one_message() {
    let stream =
        [open(OpCode::Text, "fra"), open(OpCode::Continuation, "gmen"), whole(OpCode::Continuation, "ts")];
    assert_eq!(accepted(&stream.concat()), [Seen::Text("fragments".into())]);
    let stream = [open(OpCode::Binary, [0xff]), whole(OpCode::Continuation, [0xfe])];
    assert_eq!(accepted(&stream.concat()), [Seen::Binary(vec![0xff, 0xfe])]);
}

#[test]
fn empty_fragments_are_fragments() {
    let stream = [open(OpCode::Text, ""), open(OpCode::Continuation, ""), whole(OpCode::Continuation, "")];
    assert_eq!(accepted(&stream.concat()), [Seen::Text(String::new())]);
    let stream =
        [open(OpCode::Text, ""), open(OpCode::Continuation, "middle"), whole(OpCode::Continuation, "")];
    assert_eq!(accepted(&stream.concat()), [Seen::Text("middle".into())]);
}

#[test]
fn control_frames_stand_between_fragments() {
    let stream = [
        open(OpCode::Text, "a"),
        whole(OpCode::Ping, "1"),
        whole(OpCode::Ping, ""),
        open(OpCode::Continuation, "b"),
        whole(OpCode::Pong, [9; 125]),
        whole(OpCode::Continuation, "c"),
        whole(OpCode::Text, "d"),
    ];
    let expected = [
        Seen::Ping(b"1".to_vec()),
        Seen::Ping(vec![]),
        Seen::Pong(vec![9; 125]),
        Seen::Text("abc".into()),
        Seen::Text("d".into()),
    ];
    assert_eq!(accepted(&stream.concat()), expected);
}

#[test]
fn a_close_may_stand_between_fragments() {
    let stream = [open(OpCode::Binary, "a"), whole(OpCode::Close, 1000_u16.to_be_bytes())];
    assert_eq!(accepted(&stream.concat()), [Seen::Close(Some((1000, String::new())))]);
}

#[test]
fn a_continuation_needs_an_open_message() {
    for stream in [
        whole(OpCode::Continuation, "x"),
        open(OpCode::Continuation, ""),
        [whole(OpCode::Text, "done"), whole(OpCode::Continuation, "x")].concat(),
        [open(OpCode::Text, "a"), whole(OpCode::Continuation, "b"), open(OpCode::Continuation, "c")].concat(),
    ] {
        assert_eq!(refused(&stream), ProtocolError::UnexpectedContinuation);
    }
}

#[test]
fn a_new_message_waits_for_the_end_of_the_last() {
    for second in [OpCode::Text, OpCode::Binary] {
        for frame in [open(second, "b"), whole(second, "b")] {
            let stream = [open(OpCode::Text, "a"), whole(OpCode::Ping, ""), frame].concat();
            assert_eq!(decode(&stream), (vec![Seen::Ping(vec![])], Some(ProtocolError::UnfinishedMessage)));
        }
    }
}

#[test]
fn an_unfinished_message_is_not_idle() {
    let mut decoder = Decoder::new();
    let stream = [open(OpCode::Text, "a"), whole(OpCode::Ping, "")].concat();
    decode_reads(&mut decoder, &stream, 100, &DecodeLimits::default());
    assert!(!decoder.is_idle());
}
