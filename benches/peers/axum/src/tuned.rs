//! The tuned version: one task for a connection, which writes all that waits and then flushes once; a small buffer to
//! read into; and nothing of a frame is parsed that is only passed on.

use std::sync::Arc;

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use futures_util::SinkExt;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::rooms::{Member, Rooms, WAITING_MAX};

/// join_ref, ref, topic, event, payload, each as it was written: topics are compared with their quotes.
#[derive(Deserialize)]
struct Frame<'a>(
    #[serde(borrow)] &'a RawValue,
    #[serde(borrow)] &'a RawValue,
    #[serde(borrow)] &'a RawValue,
    #[serde(borrow)] &'a RawValue,
    #[serde(borrow)] &'a RawValue,
);

pub async fn talk(mut socket: WebSocket, rooms: Arc<Rooms>) {
    let (mut member, mut frames) = Member::new(rooms);
    loop {
        let frame = tokio::select! {
            frame = frames.recv() => frame,
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(frame) => handle(&frame, &mut member),
                    Err(_) => return,
                },
                Some(Ok(_)) => None,
                Some(Err(_)) | None => return,
            },
        };
        let Some(mut frame) = frame else { continue };
        for _ in 0..WAITING_MAX {
            if socket.feed(Message::Text(frame)).await.is_err() {
                return;
            }
            match frames.try_recv() {
                Ok(next) => frame = next,
                Err(_) => break,
            }
        }
        if socket.flush().await.is_err() {
            return;
        }
    }
}

fn handle(&Frame(join_ref, r, topic, event, payload): &Frame<'_>, member: &mut Member) -> Option<Utf8Bytes> {
    let name = topic.get();
    let (status, response) = match event.get() {
        r#""heartbeat""# if name == r#""phoenix""# => ("ok", "{}"),
        r#""phx_join""# if name.starts_with(r#""room:"#) => {
            member.join(name);
            ("ok", "{}")
        }
        r#""ping""# if member.is_in(name) => ("ok", payload.get()),
        r#""shout""# if member.is_in(name) => {
            let frame = format!(r#"[null,null,{name},"shout",{}]"#, payload.get());
            member.broadcast(name, &frame.into());
            return None;
        }
        _ => ("error", r#"{"reason":"unmatched topic"}"#),
    };
    let reply = format!(
        r#"[{},{},{name},"phx_reply",{{"status":"{status}","response":{response}}}]"#,
        join_ref.get(),
        r.get(),
    );
    Some(reply.into())
}
