//! Messages that no page sends: they end the connection that sent them, or nothing.

use serde_json::json;

use super::{NAMES, joined, member, program::Program, serves};
use crate::support::{
    PATIENCE,
    channels::Client,
    websocket::{CLOSE, Event, Frame, TEXT},
};

/// A frame for each, on a connection of its own that has joined the room.
fn frames() -> Vec<(&'static str, Frame)> {
    let say = |payload: &str| format!(r#"["1","2","room:lobby","say",{payload}]"#);
    let long = "x".repeat(9_000_000);
    let join =
        |topic: &str| json!([topic, topic, format!("room:{topic}"), "phx_join", member("long")]).to_string();
    let mut frames = vec![
        ("half an emoji", Frame::text(say(r#"{"text":"\ud83d"}"#))),
        ("the other half", Frame::text(say(r#"{"text":"\ude00\ud83d"}"#))),
        ("half an emoji as the event", Frame::text(r#"["1","2","room:lobby","\ud83d",{}]"#)),
        ("a topic of 9 MB", Frame::text(join(&long))),
        ("an event of 9 MB", Frame::text(json!(["1", "2", "room:lobby", long, {}]).to_string())),
        ("a reference of 9 MB", Frame::text(json!(["1", long, "room:lobby", "say", {}]).to_string())),
        ("a message of 20 MB", Frame::text("x".repeat(20_000_000))),
        (
            "a payload of 100,000 levels",
            Frame::text(say(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)))),
        ),
        ("no JSON", Frame::text("\u{0}\u{1b}[2J")),
        ("a number", Frame::text("1e999")),
        ("not UTF-8", Frame::new(TEXT, [0xff, 0xfe])),
        ("bytes that begin a binary message", Frame::new(2, [0, 255, 255, 255])),
        ("a close of one byte", Frame::new(CLOSE, [3])),
        ("a close with a reason that is not UTF-8", Frame::new(CLOSE, [3, 232, 0xff])),
        ("a frame of 2^63 bytes", Frame::text("x").announcing(1 << 63)),
        ("an unmasked frame", Frame::text("x").unmasked()),
    ];
    frames.extend(
        [0, 999, 1004, 1005, 1006, 1015, 65535]
            .map(|code| ("a close with a bad code", Frame::close(code, ""))),
    );
    frames
}

#[tokio::test]
async fn what_no_page_sends_hurts_nobody_else() {
    for name in NAMES {
        let program = Program::start(name).await;
        let mut bystander = joined(&program, "bystander").await;
        for (what, frame) in frames() {
            let mut attacker = joined(&program, "attacker").await;
            attacker.socket.send(frame).await;
            settled(&mut attacker, what).await;
        }
        serves(&program, &mut bystander).await;
    }
}

/// The connection ends, or goes on as ever.
async fn settled(attacker: &mut Client, what: &str) {
    attacker.send(json!([null, "after", "phoenix", "heartbeat", {}])).await;
    loop {
        let event = attacker.socket.next_within(PATIENCE).await;
        match event.unwrap_or_else(|| panic!("after {what} a connection neither ends nor answers")) {
            Event::Close(..) | Event::End => return,
            Event::Text(text) if text.contains(r#""after""#) => return,
            _ => {}
        }
    }
}
