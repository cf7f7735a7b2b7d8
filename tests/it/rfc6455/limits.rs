//! Section 9 and beyond: large messages, many fragments, and where the testbed's echo says no.

use super::{Case, ECHO, run};
use crate::support::{
    testbed::Testbed,
    websocket::{BINARY, CONTINUATION, Event, Frame, RawSocket, TEXT},
};

const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
const FRAGMENTS_MAX: usize = 100_000;

const TOO_BIG: &[u16] = &[1009];
/// A length that no frame may have is too big as well as a violation.
const IMPOSSIBLE: &[u16] = &[1002, 1009];
const TOO_MANY: &[u16] = &[1008, 1009];

/// A message of this many bytes in frames of this many.
fn fragmented(total: usize, size: usize) -> Vec<Frame> {
    let count = total.div_ceil(size);
    (0..count)
        .map(|index| {
            let length = size.min(total - index * size);
            let frame = Frame::new(if index == 0 { TEXT } else { CONTINUATION }, vec![b'x'; length]);
            if index + 1 == count { frame } else { frame.more() }
        })
        .collect()
}

#[tokio::test]
async fn messages_up_to_the_limit_come_back_in_one_frame_or_many() {
    let mut cases = Vec::new();
    for length in [256 * 1024, 4 * 1024 * 1024, MESSAGE_BYTES_MAX] {
        let text = "x".repeat(length);
        cases.push(Case::new(format!("text of {length}"), &[Frame::text(&text)]).echo_text(&text));
        let bytes = vec![0xfe; length];
        let binary = Frame::new(BINARY, &bytes);
        cases.push(Case::new(format!("binary of {length}"), &[binary]).echo(Event::Binary(bytes)));
    }
    let length = 4 * 1024 * 1024;
    for size in [64, 1024, 65_536, 1024 * 1024] {
        let text = "x".repeat(length);
        cases.push(
            Case::new(format!("{length} in fragments of {size}"), &fragmented(length, size)).echo_text(&text),
        );
    }
    let text = "x".repeat(MESSAGE_BYTES_MAX);
    let halves = fragmented(MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX / 2);
    cases.push(Case::new("the limit in two fragments", &halves).echo_text(&text));
    run(cases).await;
}

#[tokio::test]
async fn a_message_over_the_limit_is_too_big() {
    let over = MESSAGE_BYTES_MAX + 1;
    let cases = vec![
        Case::new("one frame", &[Frame::text("x".repeat(over))]).fails(TOO_BIG),
        Case::new("two fragments", &fragmented(over, MESSAGE_BYTES_MAX)).fails(TOO_BIG),
        Case::new("many fragments", &fragmented(over, 65_536)).fails(TOO_BIG),
    ];
    run(cases).await;
}

/// So much that the server has long refused it when the rest is sent.
#[tokio::test]
async fn a_message_far_over_the_limit_is_too_big() {
    let over = 3 * MESSAGE_BYTES_MAX;
    let cases = vec![
        Case::new("one frame", &[Frame::text("x".repeat(over))]).fails(TOO_BIG),
        Case::new("two fragments", &fragmented(over, MESSAGE_BYTES_MAX)).fails(TOO_BIG),
        Case::new("many fragments", &fragmented(over, 65_536)).fails(TOO_BIG),
    ];
    run(cases).await;
}

#[tokio::test]
async fn an_announced_length_over_the_limit_is_refused_before_its_bytes_arrive() {
    let announced = |length: u64| Frame::text("").announcing(length);
    let one_more = Frame::new(CONTINUATION, "").announcing(MESSAGE_BYTES_MAX as u64);
    let cases = vec![
        Case::new("the limit and one", &[announced(MESSAGE_BYTES_MAX as u64 + 1)]).fails(TOO_BIG),
        Case::new("2^32", &[announced(1 << 32)]).fails(TOO_BIG),
        Case::new("2^62", &[announced(1 << 62)]).fails(TOO_BIG),
        Case::new("2^63", &[announced(1 << 63)]).fails(IMPOSSIBLE),
        Case::new("2^64 - 1", &[announced(u64::MAX)]).fails(IMPOSSIBLE),
        Case::new("2^62 bytes of binary", &[Frame::new(BINARY, "").announcing(1 << 62)]).fails(TOO_BIG),
        Case::new("a fragment that makes it too much", &[Frame::text("x").more(), one_more]).fails(TOO_BIG),
    ];
    run(cases).await;
}

#[tokio::test]
async fn as_many_fragments_as_the_limit_are_one_message_and_one_more_is_refused() {
    let text = "x".repeat(FRAGMENTS_MAX);
    let cases = vec![
        Case::new("the limit", &fragmented(FRAGMENTS_MAX, 1)).echo_text(&text),
        Case::new("the limit and one", &fragmented(FRAGMENTS_MAX + 1, 1)).fails(TOO_MANY),
    ];
    run(cases).await;
}

/// Empty fragments cost a sender nothing: they must count too.
#[tokio::test]
async fn empty_fragments_count() {
    let mut frames = vec![Frame::text("").more()];
    frames.extend((0..FRAGMENTS_MAX).map(|_| Frame::new(CONTINUATION, "").more()));
    run(vec![Case::new("the limit and one, all empty", &frames).fails(TOO_MANY)]).await;
}

#[tokio::test]
async fn an_announced_length_takes_no_memory() {
    const SOCKETS: usize = 100;
    const PER_SOCKET_MAX: u64 = 200 * 1024;
    let testbed = Testbed::start();
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        sockets.push(RawSocket::connect(testbed.address(), ECHO).await);
    }
    let before = testbed.rss();
    for socket in &mut sockets {
        socket.send(Frame::new(BINARY, "only this").announcing(MESSAGE_BYTES_MAX as u64)).await;
    }
    // A ping inside a frame would be part of it: another socket tells when the server has come round.
    let mut other = RawSocket::connect(testbed.address(), ECHO).await;
    other.send(Frame::text("?")).await;
    assert_eq!(other.next().await, Event::Text("?".to_owned()));
    let grown = testbed.rss().saturating_sub(before);
    assert!(grown < PER_SOCKET_MAX * SOCKETS as u64, "{SOCKETS} announcements of 16 MiB took {grown} bytes");
}
