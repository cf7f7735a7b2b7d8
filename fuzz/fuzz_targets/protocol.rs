//! Whatever a client sends is read or refused, and what is read can be said again.

#![no_main]

use lapwing::protocol::{FiveKey, Outgoing, Serializer, V1, V2, parse, serialize};
use lapwing_fuzz::Bound;
use lapwing_transports::frame::{Frame, FrameKind, Message};
use libfuzzer_sys::fuzz_target;

/// A message is read into a copy of each of its parts, and written into one block that may have to grow: a control
/// character takes six bytes.
const BOUND: Bound = Bound { bytes_per_byte: 16, bytes_per_allocation: 4 };

fuzz_target!(|data: &[u8]| {
    for serializer in [&V1 as &dyn Serializer, &V2, &FiveKey] {
        check(serializer, Message::Binary(data));
        if let Ok(text) = std::str::from_utf8(data) {
            check(serializer, Message::Text(text));
        }
    }
});

fn check(serializer: &dyn Serializer, message: Message<'_>) {
    let bytes = message.as_bytes().len();
    let Ok(msg) = BOUND.hold(bytes, || serializer.decode(message)) else { return };
    if let Ok(text) = serialize(&msg) {
        assert_eq!(parse(&text).expect("what was serialized parses"), msg);
    }
    let reply = Outgoing::Reply {
        join_ref: msg.join_ref.as_ref(),
        reference: msg.reference.as_ref(),
        topic: msg.topic.as_ref(),
        status: "ok",
        response: &msg.payload,
    };
    let reply = BOUND.hold(bytes, || serializer.encode(reply));
    let (Some(topic), Some(event)) = (msg.topic.as_str(), msg.event.as_str()) else {
        check_text(
            serializer,
            reply.expect("a message whose topic is no string came as text and can be answered"),
        );
        return;
    };
    let broadcast = serializer.encode(Outgoing::Broadcast { topic, event, payload: &msg.payload });
    for frame in [reply, broadcast].into_iter().flatten() {
        check_text(serializer, frame);
    }
}

/// A text frame of the server is a message for whoever reads the same wire.
fn check_text(serializer: &dyn Serializer, frame: Frame) {
    if frame.kind() == FrameKind::Text {
        let text = std::str::from_utf8(frame.payload()).expect("a text frame is text");
        serializer.decode(Message::Text(text)).expect("a frame of the server is a message");
    }
}
