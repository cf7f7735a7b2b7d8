//! The plain version: a task that reads, a task that writes, and a flush after each frame.

use std::sync::Arc;

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};

use crate::rooms::{Member, Rooms};

/// join_ref, ref, topic, event, payload.
type Frame = (Option<String>, Option<String>, String, String, Value);

pub async fn talk(socket: WebSocket, rooms: Arc<Rooms>) {
    let (mut sink, mut stream) = socket.split();
    let (mut member, mut frames) = Member::new(rooms);
    let writer = tokio::spawn(async move {
        while let Some(frame) = frames.recv().await {
            if sink.send(Message::Text(frame)).await.is_err() {
                break;
            }
        }
    });
    while let Some(Ok(message)) = stream.next().await {
        let Message::Text(text) = message else { continue };
        let Ok(frame) = serde_json::from_str::<Frame>(&text) else { break };
        if let Some(answer) = handle(frame, &mut member)
            && member.outbox().send(answer).await.is_err()
        {
            break;
        }
    }
    writer.abort();
}

fn handle((join_ref, r, topic, event, payload): Frame, member: &mut Member) -> Option<Utf8Bytes> {
    let (status, response) = match event.as_str() {
        "heartbeat" if topic == "phoenix" => ("ok", json!({})),
        "phx_join" if topic.starts_with("room:") => {
            member.join(&topic);
            ("ok", json!({}))
        }
        "ping" if member.is_in(&topic) => ("ok", payload),
        "shout" if member.is_in(&topic) => {
            let frame = json!([null, null, topic, "shout", payload]).to_string();
            member.broadcast(&topic, &frame.into());
            return None;
        }
        _ => ("error", json!({"reason": "unmatched topic"})),
    };
    let reply = json!([join_ref, r, topic, "phx_reply", {"status": status, "response": response}]);
    Some(reply.to_string().into())
}
