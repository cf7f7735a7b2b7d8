//! Every frame that was recorded from a Phoenix server: what clients sent is read or refused as Phoenix did, and what
//! the server sent is written again byte for byte.

use std::sync::Arc;

use lapwing::protocol::{Outgoing, Serializer, SerializerList, V2};
use lapwing_transports::frame::{FrameKind, Message};
use serde_json::Value;

use crate::given::{Given, bytes};

const RECORDINGS: &str = include_str!("../data/phoenix-1.8.12.jsonl");

/// The cases that were played over a WebSocket.
fn cases() -> impl Iterator<Item = Value> {
    RECORDINGS
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|case| case["transport"] == "ws")
}

/// The serializer of one client of a case, from the last `vsn` in the URL it connected to.
fn serializer(case: &Value, step: &Value) -> Arc<dyn Serializer> {
    let connect =
        case["steps"].as_array().unwrap().iter().find(|s| s["op"] == "connect" && s["c"] == step["c"]);
    let url = connect.and_then(|connect| connect["url"].as_str()).unwrap_or_default();
    let vsn = url.rsplit_once("vsn=").map_or(SerializerList::VERSION_WHEN_ABSENT, |(_, vsn)| vsn);
    SerializerList::default().select(vsn).unwrap()
}

#[test]
fn what_clients_sent_is_read_or_refused_as_recorded() {
    let (mut read, mut refused) = (0, 0);
    for case in cases() {
        let steps = case["steps"].as_array().unwrap();
        for (at, step) in steps.iter().enumerate().filter(|(_, step)| step["op"] == "send") {
            let binary = step["hex"].as_str().map(bytes);
            let message = match (&binary, step["text"].as_str()) {
                (Some(frame), _) => Message::Binary(frame),
                (None, Some(text)) => Message::Text(text),
                // Bytes in a text frame are refused by the transport.
                (None, None) => continue,
            };
            let mut later = steps[at + 1..].iter().filter(|later| later["c"] == step["c"]);
            let expected = later.next().is_none_or(|next| next["op"] != "close" || next["code"] != 1011);
            let result = serializer(&case, step).decode(message);
            assert_eq!(result.is_ok(), expected, "{} {step}: {result:?}", case["case"]);
            if expected { read += 1 } else { refused += 1 }
        }
    }
    assert!(read > 200 && refused > 20, "{read} {refused}");
}

#[test]
fn what_the_server_sent_is_written_byte_for_byte() {
    let (mut text_frames, mut binary_frames) = (0, 0);
    for case in cases() {
        for step in case["steps"].as_array().unwrap().iter().filter(|step| step["op"] == "recv") {
            let serializer = serializer(&case, step);
            if let Some(hex) = step["hex"].as_str() {
                let given = Given::from_binary(&bytes(hex));
                let frame = serializer.encode(given.outgoing()).unwrap();
                assert_eq!(frame.kind(), FrameKind::Binary);
                assert_eq!(frame.payload()[..], bytes(hex), "{} {step}", case["case"]);
                binary_frames += 1;
                continue;
            }
            let text = step["text"].as_str().unwrap();
            // The recorder cut a few long frames short.
            let Ok(given) = Given::from_text(&*serializer, text) else {
                assert_eq!(case["case"], "big_frames", "{step}");
                continue;
            };
            let frame = serializer.encode(given.outgoing()).unwrap();
            assert_eq!(frame.kind(), FrameKind::Text);
            assert_eq!(std::str::from_utf8(frame.payload()).unwrap(), text, "{}", case["case"]);
            text_frames += 1;
        }
    }
    assert!(text_frames > 390 && binary_frames == 5, "{text_frames} {binary_frames}");
}

/// Phoenix reads a payload and writes it anew; we pass it on. The bytes are then the client's own.
#[test]
fn a_payload_is_echoed_in_the_bytes_it_came_in() {
    let case = cases().find(|case| case["case"] == "raw_json_roundtrip" && case["vsn"] == "2.0.0").unwrap();
    let mut echoed = 0;
    for step in case["steps"].as_array().unwrap().iter().filter(|step| step["op"] == "send") {
        let sent = step["text"].as_str().unwrap();
        let msg = V2.decode(Message::Text(sent)).unwrap();
        let reply = V2.encode(Outgoing::Reply {
            join_ref: msg.join_ref.as_ref(),
            reference: msg.reference.as_ref(),
            topic: msg.topic.as_ref(),
            status: "ok",
            response: &msg.payload,
        });
        let (head, payload) = sent.split_at(sent.find('{').unwrap());
        let head = head.replace("\"ping\"", "\"phx_reply\"").replace("\"phx_join\"", "\"phx_reply\"");
        let payload = payload.strip_suffix(']').unwrap();
        let expected = format!("{head}{{\"response\":{payload},\"status\":\"ok\"}}]");
        assert_eq!(std::str::from_utf8(reply.unwrap().payload()).unwrap(), expected);
        echoed += 1;
    }
    assert_eq!(echoed, 3);
}
