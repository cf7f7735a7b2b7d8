//! Sections 1, 3, 4, 5 and 10: lengths, reserved bits, opcodes, fragments.

use super::{Case, PROTOCOL_ERROR, run};
use crate::support::websocket::{BINARY, CONTINUATION, Event, Frame, PING, PONG, TEXT};

/// Both sides of every border of the length field, and of common buffer sizes.
const LENGTHS: &[usize] = &[0, 1, 125, 126, 127, 128, 4095, 4096, 4097, 65_535, 65_536, 65_537];

#[tokio::test]
async fn messages_of_every_length_class_come_back_as_they_are() {
    let mut cases = Vec::new();
    for &length in LENGTHS {
        let text = "*".repeat(length);
        let bytes: Vec<u8> = (0..length).map(|index| (index % 256) as u8).collect();
        cases.push(Case::new(format!("text of {length}"), &[Frame::text(&text)]).echo_text(&text));
        let binary = Frame::new(BINARY, &bytes);
        cases.push(Case::new(format!("binary of {length}"), &[binary]).echo(Event::Binary(bytes)));
    }
    let text = "*".repeat(65_536);
    cases.push(Case::new("text of 65536", &[Frame::text(&text)]).echo_text(&text).chopped(997));
    let text = "*".repeat(300);
    cases.push(Case::new("text of 300", &[Frame::text(&text)]).echo_text(&text).chopped(1));
    run(cases).await;
}

#[tokio::test]
async fn many_messages_in_one_packet_come_back_in_order() {
    let frames: Vec<_> = (0..100).map(|number| Frame::text(format!("message {number}"))).collect();
    let case = Case::new("a hundred messages", &frames);
    run(vec![(0..100).fold(case, |case, number| case.echo_text(&format!("message {number}")))]).await;
}

#[tokio::test]
async fn a_reserved_bit_fails_the_connection_after_what_came_before() {
    let mut cases = Vec::new();
    for rsv in 1..=7 {
        for (name, opcode) in [("text", TEXT), ("binary", BINARY), ("ping", PING), ("close", 8)] {
            let payload: &[u8] = if opcode == 8 { &[0x03, 0xe8] } else { b"x" };
            let frames = [Frame::text("before"), Frame::new(opcode, payload).rsv(rsv)];
            cases.push(Case::new(format!("{name} with rsv {rsv}"), &frames[1..]).fails(PROTOCOL_ERROR));
            cases.push(
                Case::new(format!("{name} with rsv {rsv} after a text"), &frames)
                    .echo_text("before")
                    .fails(PROTOCOL_ERROR),
            );
        }
    }
    cases.push(Case::new("rsv 4", &[Frame::text("x").rsv(4)]).chopped(1).fails(PROTOCOL_ERROR));
    run(cases).await;
}

#[tokio::test]
async fn a_reserved_opcode_fails_the_connection_after_what_came_before() {
    let mut cases = Vec::new();
    for opcode in (3..=7).chain(11..=15) {
        for payload in ["", "x"] {
            let bad = Frame::new(opcode, payload);
            cases.push(
                Case::new(
                    format!("opcode {opcode} with {payload:?}"),
                    &[Frame::text("before"), bad, Frame::text("")],
                )
                .echo_text("before")
                .fails(PROTOCOL_ERROR),
            );
        }
        let bad = Frame::new(opcode, "");
        cases.push(Case::new(format!("opcode {opcode}"), &[bad]).chopped(1).fails(PROTOCOL_ERROR));
    }
    run(cases).await;
}

#[tokio::test]
async fn an_unmasked_frame_fails_the_connection() {
    let mut cases = Vec::new();
    for (name, opcode) in [("text", TEXT), ("binary", BINARY), ("ping", PING), ("pong", PONG), ("close", 8)] {
        cases.push(Case::new(name, &[Frame::new(opcode, "").unmasked()]).fails(PROTOCOL_ERROR));
    }
    let frames = [Frame::text("a").more(), Frame::new(CONTINUATION, "b").unmasked()];
    cases.push(Case::new("continuation", &frames).fails(PROTOCOL_ERROR));
    run(cases).await;
}

#[tokio::test]
async fn a_length_in_more_bytes_than_it_needs_fails_the_connection() {
    let as_16_bits = |length: u16| {
        let mut bytes = vec![0x81, 0xfe];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend(std::iter::repeat_n(b'x', usize::from(length)));
        bytes
    };
    let cases = vec![
        Case::bytes("0 in 16 bits", as_16_bits(0)).fails(PROTOCOL_ERROR),
        Case::bytes("125 in 16 bits", as_16_bits(125)).fails(PROTOCOL_ERROR),
        Case::new("5 in 64 bits", &[Frame::text("*****").announcing(5)]).fails(PROTOCOL_ERROR),
        Case::new("65535 in 64 bits", &[Frame::text("*".repeat(65_535)).announcing(65_535)])
            .fails(PROTOCOL_ERROR),
    ];
    run(cases).await;
}

#[tokio::test]
async fn fragments_make_one_message() {
    let two = [Frame::text("fragment1").more(), Frame::new(CONTINUATION, "fragment2")];
    let empty = [Frame::text("").more(), Frame::new(CONTINUATION, "").more(), Frame::new(CONTINUATION, "")];
    let padded =
        [Frame::text("").more(), Frame::new(CONTINUATION, "middle").more(), Frame::new(CONTINUATION, "")];
    let binary = [Frame::new(BINARY, [1, 2]).more(), Frame::new(CONTINUATION, [3])];
    let pinged = [
        Frame::text("a").more(),
        Frame::new(PING, "1"),
        Frame::new(CONTINUATION, "b").more(),
        Frame::new(PONG, "unasked"),
        Frame::new(PING, "2"),
        Frame::new(CONTINUATION, "c"),
    ];
    let pinged_case = |name| {
        Case::new(name, &pinged)
            .echo(Event::Pong(b"1".to_vec()))
            .echo(Event::Pong(b"2".to_vec()))
            .echo_text("abc")
    };
    let mut letters = vec![Frame::text("a").more()];
    letters.extend((0..998).map(|_| Frame::new(CONTINUATION, "b").more()));
    letters.push(Frame::new(CONTINUATION, "c"));
    let cases = vec![
        Case::new("two fragments", &two).echo_text("fragment1fragment2"),
        Case::new("two fragments", &two).echo_text("fragment1fragment2").chopped(1),
        Case::new("three empty fragments", &empty).echo_text(""),
        Case::new("only the middle has content", &padded).echo_text("middle"),
        Case::new("binary", &binary).echo(Event::Binary(vec![1, 2, 3])),
        pinged_case("pings between fragments"),
        pinged_case("pings between fragments").chopped(1),
        Case::new("a thousand fragments", &letters).echo_text(&format!("a{}c", "b".repeat(998))),
        Case::new("two fragmented messages", &[&two[..], &binary[..]].concat())
            .echo_text("fragment1fragment2")
            .echo(Event::Binary(vec![1, 2, 3])),
    ];
    run(cases).await;
}

#[tokio::test]
async fn fragments_out_of_place_fail_the_connection() {
    let orphan = |fin: bool| {
        let frame = Frame::new(CONTINUATION, "x");
        if fin { frame } else { frame.more() }
    };
    let done = [Frame::text("a").more(), Frame::new(CONTINUATION, "b")];
    let cases = vec![
        Case::new("a final continuation of nothing", &[orphan(true), Frame::text("x")]).fails(PROTOCOL_ERROR),
        Case::new("a continuation of nothing", &[orphan(false), Frame::text("x")]).fails(PROTOCOL_ERROR),
        Case::new("a continuation of nothing", &[orphan(true)]).chopped(1).fails(PROTOCOL_ERROR),
        Case::new("a continuation after the last", &[&done[..], &[orphan(true)]].concat())
            .echo_text("ab")
            .fails(PROTOCOL_ERROR),
        Case::new("a text within a text", &[Frame::text("a").more(), Frame::text("b")]).fails(PROTOCOL_ERROR),
        Case::new("a binary within a text", &[Frame::text("a").more(), Frame::new(BINARY, "b")])
            .fails(PROTOCOL_ERROR),
        Case::new(
            "a text that begins within a binary",
            &[Frame::new(BINARY, "a").more(), Frame::text("b").more()],
        )
        .fails(PROTOCOL_ERROR),
        Case::new("a fragmented ping", &[Frame::new(PING, "a").more(), Frame::new(CONTINUATION, "b")])
            .fails(PROTOCOL_ERROR),
        Case::new("a fragmented pong", &[Frame::new(PONG, "a").more(), Frame::new(CONTINUATION, "b")])
            .fails(PROTOCOL_ERROR),
        Case::new("a fragmented close", &[Frame::close(1000, "").more()]).fails(PROTOCOL_ERROR),
    ];
    run(cases).await;
}

#[tokio::test]
async fn a_message_in_1300_byte_fragments_comes_back_whole() {
    let text: String = ('a'..='z').cycle().take(65_536).collect();
    let pieces: Vec<&[u8]> = text.as_bytes().chunks(1300).collect();
    let frames: Vec<Frame> = pieces
        .iter()
        .enumerate()
        .map(|(index, piece)| {
            let frame = Frame::new(if index == 0 { TEXT } else { CONTINUATION }, piece);
            if index + 1 == pieces.len() { frame } else { frame.more() }
        })
        .collect();
    run(vec![Case::new("65536 in pieces of 1300", &frames).echo_text(&text)]).await;
}
