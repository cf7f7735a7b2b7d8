//! The vectors of `docs/sessions.json` against the server's own writer. What is pure of them is tested in `src/dialect/tests.rs`.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use lapwing_transports::{
    close::CloseReason,
    connect::{ConnectRequest, PathVariables, Refusal, Transport},
    endpoint::Endpoint,
    frame::{Frame, Message},
    handler::Handler,
    live::LiveSession,
    options::TransportOptions,
};
use serde_json::Value;

/// Sends every frame back.
struct Echo;

impl Handler for Echo {
    type State = ();

    async fn connect(&self, _: ConnectRequest) -> Result<(), Refusal> {
        Ok(())
    }

    fn received(&self, session: &Arc<LiveSession<()>>, message: Message<'_>) -> Result<(), CloseReason> {
        session.push(match message {
            Message::Text(text) => Frame::text(text),
            Message::Binary(bytes) => Frame::binary(bytes.to_vec()),
        });
        Ok(())
    }
}

async fn post(endpoint: &Endpoint<Echo>, body: String) -> String {
    let request = Request::post("/longpoll?lapwing=1").body(Full::new(Bytes::from(body))).unwrap();
    let answer = endpoint.serve(Transport::Longpoll, request, PathVariables::default()).await.unwrap();
    assert_eq!(answer.status(), 200);
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// The writer has no other door than a session: what comes back must be the line of the document, to the byte.
#[tokio::test]
async fn every_frame_is_written_as_its_line() {
    let vectors: Value = serde_json::from_str(include_str!("../../docs/sessions.json")).unwrap();
    let cases = vectors["frames"]["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 16);
    let endpoint = Endpoint::new(Echo, TransportOptions::default());
    let opened = post(&endpoint, "!open 5000".into()).await;
    let token = opened.split(' ').nth(1).unwrap();
    let lines: Vec<_> = cases.iter().map(|case| case["line"].as_str().unwrap()).collect();
    let answer = post(&endpoint, format!("!resume {token} 0 0\n!from 1\n{}", lines.join("\n"))).await;
    assert_eq!(answer.strip_suffix('\n').unwrap().split('\n').next(), Some("!resumed 16"));
    let written: Vec<_> = answer.lines().skip(1).collect();
    assert_eq!(written, lines);
}
