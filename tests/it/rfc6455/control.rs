//! Section 2: pings and pongs.

use super::{Case, PROTOCOL_ERROR, run};
use crate::support::websocket::{Event, Frame, PING, PONG};

#[tokio::test]
async fn a_ping_is_answered_with_its_own_bytes() {
    let mut cases = Vec::new();
    for payload in [&b""[..], b"hello", &[0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff], &[0xfe; 125]] {
        let case = || Case::new(format!("{} octets", payload.len()), &[Frame::new(PING, payload)]);
        cases.push(case().echo(Event::Pong(payload.to_vec())));
        cases.push(case().echo(Event::Pong(payload.to_vec())).chopped(1));
    }
    run(cases).await;
}

#[tokio::test]
async fn pings_are_answered_in_order() {
    let frames: Vec<_> = (0_u8..10).map(|number| Frame::new(PING, [number])).collect();
    let case =
        |name| (0..10).fold(Case::new(name, &frames), |case, number| case.echo(Event::Pong(vec![number])));
    run(vec![case("ten pings"), case("ten pings").chopped(1)]).await;
}

#[tokio::test]
async fn a_control_frame_over_125_octets_fails_the_connection() {
    let mut cases = Vec::new();
    for (name, opcode) in [("ping", PING), ("pong", PONG)] {
        for length in [126, 127, 65_536] {
            let frame = Frame::new(opcode, vec![0xfe; length]);
            cases.push(Case::new(format!("{name} of {length}"), &[frame]).fails(PROTOCOL_ERROR));
        }
        let header = Frame::new(opcode, [0xfe; 126]).encode()[..2].to_vec();
        cases.push(Case::bytes(format!("{name}, only its first two octets"), header).fails(PROTOCOL_ERROR));
    }
    run(cases).await;
}

#[tokio::test]
async fn a_pong_that_nobody_asked_for_is_ignored() {
    let cases = vec![
        Case::new("an empty pong", &[Frame::new(PONG, "")]),
        Case::new("a pong with a payload", &[Frame::new(PONG, "unasked")]),
        Case::new("a pong, then a ping", &[Frame::new(PONG, "unasked"), Frame::new(PING, "asked")])
            .echo(Event::Pong(b"asked".to_vec())),
    ];
    run(cases).await;
}
