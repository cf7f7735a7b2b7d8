//! Section 7: the closing handshake.

use super::{Case, ECHO, INVALID_PAYLOAD, PROTOCOL_ERROR, run};
use crate::support::{
    channels::brief,
    testbed::Testbed,
    websocket::{CLOSE, CONTINUATION, Event, Frame, PING, RawSocket},
};

const VALID_CODES: &[u16] =
    &[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
pub(super) const INVALID_CODES: &[u16] =
    &[0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];

/// A close is answered with a close: 1000, or the code that was sent. Then the stream ends.
async fn close_is_answered(name: &str, frames: &[Frame], code: u16) -> Result<(), String> {
    let testbed = Testbed::shared();
    let mut socket = RawSocket::connect(testbed.address(), ECHO).await;
    let bytes: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
    socket.send_bytes(&bytes).await.map_err(|error| format!("{name}: {error}"))?;
    match socket.next().await {
        Event::Close(answer, reason) if (answer == 1000 || answer == code) && reason.is_empty() => {}
        event => return Err(format!("{name}: wanted close {code} or 1000, got {}", brief(&event))),
    }
    match socket.next().await {
        Event::End => Ok(()),
        event => Err(format!("{name}: wanted the end of the stream, got {}", brief(&event))),
    }
}

async fn all_answered(cases: Vec<(String, Vec<Frame>, u16)>) {
    let mut failures = Vec::new();
    for (name, frames, code) in cases {
        failures.extend(close_is_answered(&name, &frames, code).await.err());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn a_close_with_a_legal_code_is_answered_and_ends_the_stream() {
    let case = |code: &u16| (format!("{code}"), vec![Frame::close(*code, "bye")], *code);
    all_answered(VALID_CODES.iter().map(case).collect()).await;
}

#[tokio::test]
async fn a_close_with_an_illegal_code_is_a_protocol_error() {
    let case = |code: &u16| Case::new(format!("{code}"), &[Frame::close(*code, "")]).fails(PROTOCOL_ERROR);
    run(INVALID_CODES.iter().map(case).collect()).await;
}

#[tokio::test]
async fn a_close_may_say_nothing_or_up_to_123_bytes_of_utf8() {
    let cases = vec![
        ("nothing".to_owned(), vec![Frame::new(CLOSE, "")], 1005),
        ("only a code".to_owned(), vec![Frame::close(1000, "")], 1000),
        ("123 bytes".to_owned(), vec![Frame::close(1000, "*".repeat(123))], 1000),
        ("not only ASCII".to_owned(), vec![Frame::close(1000, "ça suffit, κόσμε")], 1000),
    ];
    all_answered(cases).await;
}

#[tokio::test]
async fn a_malformed_close_is_answered_with_what_is_wrong() {
    let cases = vec![
        Case::new("one byte", &[Frame::new(CLOSE, [3])]).fails(PROTOCOL_ERROR),
        Case::new("124 bytes of reason", &[Frame::close(1000, "*".repeat(124))]).fails(PROTOCOL_ERROR),
        Case::new("a reason that is not UTF-8", &[Frame::close(1000, [0xce, 0xba, 0xff])])
            .fails(INVALID_PAYLOAD),
        Case::new("a reason that ends within a character", &[Frame::close(1000, [b'a', 0xce])])
            .fails(INVALID_PAYLOAD),
    ];
    run(cases).await;
}

#[tokio::test]
async fn what_follows_a_close_is_ignored() {
    let close = Frame::close(1000, "");
    let cases = vec![
        ("a text".to_owned(), vec![close.clone(), Frame::text("late")], 1000),
        ("a ping".to_owned(), vec![close.clone(), Frame::new(PING, "late")], 1000),
        ("a second close".to_owned(), vec![close.clone(), Frame::close(1001, "")], 1000),
        ("garbage".to_owned(), vec![close.clone(), Frame::new(7, "late").rsv(7)], 1000),
        (
            "the rest of a message".to_owned(),
            vec![Frame::text("a").more(), close, Frame::new(CONTINUATION, "b")],
            1000,
        ),
    ];
    all_answered(cases).await;
}

#[tokio::test]
async fn what_came_before_a_close_is_still_answered() {
    let testbed = Testbed::shared();
    let mut socket = RawSocket::connect(testbed.address(), ECHO).await;
    let text = "*".repeat(100_000);
    let frames = [Frame::text(&text), Frame::new(PING, "p"), Frame::close(1000, "")];
    let bytes: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
    socket.send_bytes(&bytes).await.unwrap();
    // A pong may overtake a message.
    let answers = [socket.next().await, socket.next().await];
    assert!(answers.contains(&Event::Text(text)) && answers.contains(&Event::Pong(b"p".to_vec())));
    assert_eq!(socket.next().await, Event::Close(1000, String::new()));
    assert_eq!(socket.next().await, Event::End);
}
