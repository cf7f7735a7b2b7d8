//! Section 6: text must be UTF-8, and is known not to be as soon as it cannot become it.

use super::{Case, INVALID_PAYLOAD, run};
use crate::support::websocket::{BINARY, CONTINUATION, Event, Frame, PING};

/// Greek, then what no continuation can make valid, then more.
const VALID: &[u8] = "κόσμε".as_bytes();

const VALID_TEXTS: &[&str] = &[
    "Hello-µ@ßöäüàá-UTF-8!!",
    "κόσμε",
    "\u{0}",
    "\u{7f}",
    "\u{80}",
    "\u{7ff}",
    "\u{800}",
    "\u{d7ff}",
    "\u{e000}",
    "\u{fffd}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{feff}bom",
    "\u{10000}",
    "\u{1fffe}",
    "\u{1ffff}",
    "\u{10fffe}",
    "\u{10ffff}",
    "👩‍👩‍👧‍👦 e\u{301}",
];

const INVALID_TEXTS: &[(&str, &[u8])] = &[
    ("a lone continuation, first", &[0x80]),
    ("a lone continuation, last", &[0xbf]),
    ("six continuations", &[0x80, 0xbf, 0x80, 0xbf, 0x80, 0xbf]),
    ("a lead of two without its tail", &[0xc3]),
    ("a lead of two and a space", &[0xc3, 0x20]),
    ("a lead of three without its tail", &[0xe1, 0xbd]),
    ("a lead of three and a space", &[0xe1, 0x20]),
    ("a lead of four without its tail", &[0xf1, 0x80, 0x80]),
    ("a lead of four and a space", &[0xf1, 0x80, 0x20]),
    ("a five byte sequence", &[0xf8, 0x88, 0x80, 0x80, 0x80]),
    ("a six byte sequence", &[0xfc, 0x84, 0x80, 0x80, 0x80, 0x80]),
    ("fe", &[0xfe]),
    ("ff", &[0xff]),
    ("an overlong slash in two", &[0xc0, 0xaf]),
    ("an overlong slash in three", &[0xe0, 0x80, 0xaf]),
    ("an overlong slash in four", &[0xf0, 0x80, 0x80, 0xaf]),
    ("an overlong 7f", &[0xc1, 0xbf]),
    ("an overlong 7ff", &[0xe0, 0x9f, 0xbf]),
    ("an overlong ffff", &[0xf0, 0x8f, 0xbf, 0xbf]),
    ("an overlong zero", &[0xc0, 0x80]),
    ("the first surrogate", &[0xed, 0xa0, 0x80]),
    ("the last surrogate", &[0xed, 0xbf, 0xbf]),
    ("a surrogate pair", &[0xed, 0xa0, 0x80, 0xed, 0xb0, 0x80]),
    ("one beyond 10ffff", &[0xf4, 0x90, 0x80, 0x80]),
    ("a lead beyond 10ffff", &[0xf5, 0x80, 0x80, 0x80]),
];

fn one_octet_per_fragment(bytes: &[u8]) -> Vec<Frame> {
    let mut frames = vec![Frame::text("").more()];
    frames.extend(bytes.iter().map(|byte| Frame::new(CONTINUATION, [*byte]).more()));
    frames.push(Frame::new(CONTINUATION, ""));
    frames
}

#[tokio::test]
async fn valid_utf8_comes_back_however_it_is_cut() {
    let mut cases = Vec::new();
    for text in VALID_TEXTS {
        cases.push(Case::new(format!("{text:?}"), &[Frame::text(text)]).echo_text(text));
        cases.push(Case::new(format!("{text:?}"), &[Frame::text(text)]).echo_text(text).chopped(1));
        cases.push(
            Case::new(
                format!("{text:?} in fragments of one octet"),
                &one_octet_per_fragment(text.as_bytes()),
            )
            .echo_text(text),
        );
        let middle = text.len() / 2;
        let halves = [
            Frame::text(&text.as_bytes()[..middle]).more(),
            Frame::new(PING, ""),
            Frame::new(CONTINUATION, &text.as_bytes()[middle..]),
        ];
        cases.push(
            Case::new(format!("{text:?} with a ping inside"), &halves)
                .echo(Event::Pong(vec![]))
                .echo_text(text),
        );
    }
    run(cases).await;
}

#[tokio::test]
async fn invalid_utf8_in_a_text_fails_the_connection() {
    let mut cases = Vec::new();
    for (name, bytes) in INVALID_TEXTS {
        cases.push(Case::new(*name, &[Frame::text(bytes)]).fails(INVALID_PAYLOAD));
        let framed = [VALID, bytes, b"tail"].concat();
        cases.push(
            Case::new(format!("{name}, within valid text"), &[Frame::text(&framed)]).fails(INVALID_PAYLOAD),
        );
        cases.push(
            Case::new(format!("{name}, in fragments of one octet"), &one_octet_per_fragment(bytes))
                .fails(INVALID_PAYLOAD),
        );
    }
    run(cases).await;
}

#[tokio::test]
async fn bytes_need_not_be_utf8() {
    let case = |(name, bytes): &(&str, &[u8])| {
        Case::new(*name, &[Frame::new(BINARY, bytes)]).echo(Event::Binary(bytes.to_vec()))
    };
    run(INVALID_TEXTS.iter().map(case).collect()).await;
}

#[tokio::test]
async fn a_text_that_ends_within_a_character_is_invalid_only_at_its_end() {
    let halves = [Frame::text([0xce]).more(), Frame::new(CONTINUATION, [0xba])];
    let cases = vec![
        Case::new("a character over two fragments", &halves).echo_text("κ"),
        Case::new(
            "a final fragment that ends within one",
            &[Frame::text("a").more(), Frame::new(CONTINUATION, [0xce])],
        )
        .fails(INVALID_PAYLOAD),
        Case::new("a whole message that ends within one", &[Frame::text([b'a', 0xce])])
            .fails(INVALID_PAYLOAD),
    ];
    run(cases).await;
}

#[tokio::test]
async fn invalid_utf8_fails_the_connection_before_its_message_is_over() {
    let mut cases = Vec::new();
    for (name, bytes) in INVALID_TEXTS {
        // What is only unfinished may still become valid.
        if std::str::from_utf8(bytes).unwrap_err().error_len().is_none() {
            continue;
        }
        let fragment = [VALID, bytes].concat();
        cases.push(
            Case::new(format!("{name}, in a first fragment"), &[Frame::text(&fragment).more()])
                .fails(INVALID_PAYLOAD),
        );
        let later = [Frame::text(VALID).more(), Frame::new(CONTINUATION, bytes).more()];
        cases.push(Case::new(format!("{name}, in a later fragment"), &later).fails(INVALID_PAYLOAD));
        let mut unfinished = Frame::text([&fragment[..], &[b'x'; 500]].concat()).encode();
        unfinished.truncate(unfinished.len() - 500);
        cases.push(
            Case::bytes(format!("{name}, in a frame that is not over"), unfinished).fails(INVALID_PAYLOAD),
        );
    }
    run(cases).await;
}

#[tokio::test]
async fn a_character_that_cannot_become_valid_fails_at_its_first_wrong_octet() {
    let cut = |octets: &[u8]| [Frame::text(VALID).more(), Frame::new(CONTINUATION, octets).more()];
    let cases = vec![
        Case::new("f4 90: beyond 10ffff", &cut(&[0xf4, 0x90])).fails(INVALID_PAYLOAD),
        Case::new("ed a0: a surrogate", &cut(&[0xed, 0xa0])).fails(INVALID_PAYLOAD),
        Case::new("e0 80: overlong", &cut(&[0xe0, 0x80])).fails(INVALID_PAYLOAD),
        Case::new("f0 80: overlong", &cut(&[0xf0, 0x80])).fails(INVALID_PAYLOAD),
        Case::new("c0: overlong", &cut(&[0xc0])).fails(INVALID_PAYLOAD),
        Case::new(
            "over two fragments",
            &[Frame::text([0xf4]).more(), Frame::new(CONTINUATION, [0x90]).more()],
        )
        .fails(INVALID_PAYLOAD),
    ];
    run(cases).await;
}
