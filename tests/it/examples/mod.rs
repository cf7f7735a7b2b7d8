//! The examples as programs of their own, attacked: they are copied, so they have to be safe as they stand.
//!
//! The README's first program is `examples/chat.rs` (`text`), which has a fixed port; `axum.rs` is the same at a port of choice. What
//! the documents show of servers is in one of the others.

mod demo;
mod end;
mod events;
mod files;
mod hostile;
mod origins;
mod program;
mod silence;
mod text;

use serde_json::{Value, json};

use crate::support::{
    channels::{Client, Vsn},
    websocket::Event,
};
use program::Program;

/// Every example but `chat`. All have a mount `/socket` with topics `room:*`.
const NAMES: [&str; 5] = ["axum", "demo", "hyper", "presence", "tls"];

/// Those with a room in which members speak to each other, and the event by which the others hear it.
const ROOMS: [(&str, &str); 4] = [("axum", "say"), ("demo", "said"), ("hyper", "say"), ("tls", "said")];

/// Enough for each of the examples to let somebody in.
fn member(name: &str) -> Value {
    json!({"name": name, "user": name, "color": "#123456"})
}

async fn joined(program: &Program, name: &str) -> Client {
    let mut client = Client::connect(program.address, Vsn::V2).await;
    client.send(json!(["1", "1", "room:lobby", "phx_join", member(name)])).await;
    let answer = reply_to(&mut client, "1").await.pop().unwrap();
    assert_eq!(answer[4]["status"], "ok", "{}: {answer}", program.name);
    client
}

/// Everything up to the reply to a message, which comes last.
async fn reply_to(client: &mut Client, reference: &str) -> Vec<Value> {
    let mut messages = Vec::new();
    loop {
        let message = client.next_message().await;
        let is_reply = message[3] == "phx_reply" && message[1] == reference;
        messages.push(message);
        if is_reply {
            return messages;
        }
    }
}

/// Everything that was sent to a client so far.
async fn heard(client: &mut Client) -> Vec<Value> {
    client.send(json!([null, "heard", "phoenix", "heartbeat", {}])).await;
    reply_to(client, "heard").await
}

/// That the program lives, lets somebody in, and that this one hears another.
async fn serves(program: &Program, other: &mut Client) {
    let mut client = joined(program, "late").await;
    client.send(json!(["1", "nonsense", "room:lobby", "nonsense", {}])).await;
    let answer = reply_to(&mut client, "nonsense").await.pop().unwrap();
    assert_eq!(
        answer[4],
        json!({"status": "error", "response": {"reason": "unmatched event"}}),
        "{}",
        program.name
    );
    if let Some((_, event)) = ROOMS.iter().find(|(name, _)| *name == program.name) {
        client.send(json!(["1", null, "room:lobby", "say", {"text": "I am late"}])).await;
        // Read as text: what went through the room before may be no JSON to us.
        loop {
            match other.socket.next().await {
                Event::Text(text) if text.contains(event) && text.contains("I am late") => break,
                Event::Text(_) => {}
                event => panic!("{}: {event:?}", program.name),
            }
        }
    }
}
