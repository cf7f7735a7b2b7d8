//! Frames that are made to hurt.

use std::{
    thread,
    time::{Duration, Instant},
};

use lapwing::protocol::{DecodeError, FiveKey, Outgoing, Payload, Serializer, V1, V2};
use lapwing_transports::frame::Message;

const LEVELS: usize = 100_000;

/// Runs on a stack that recursion over the levels could not get by with, and within a time that anything quadratic
/// would exceed many times.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let started = Instant::now();
    thread::Builder::new().stack_size(128 * 1024).spawn(test).unwrap().join().unwrap();
    assert!(started.elapsed() < Duration::from_secs(60), "took {:?}", started.elapsed());
}

fn arrays() -> String {
    format!("{}{}", "[".repeat(LEVELS), "]".repeat(LEVELS))
}

fn objects() -> String {
    format!("{}1{}", "{\"a\":".repeat(LEVELS), "}".repeat(LEVELS))
}

#[test]
fn deep_nesting_is_harmless_wherever_it_stands() {
    on_a_small_stack(|| {
        for deep in [arrays(), objects()] {
            for fields in [
                format!("[null,null,\"t\",\"e\",{deep}]"),
                format!("[{deep},{deep},{deep},{deep},{{}}]"),
                format!("[null,null,\"t\",\"e\",{{}},{deep}]"),
            ] {
                let msg = V2.decode(Message::Text(&fields)).unwrap();
                assert_eq!(msg.clone(), msg);
            }
            assert!(matches!(V2.decode(Message::Text(&objects())), Err(DecodeError::NotArray)));
            let object = format!(
                "{{\"x\":{deep},\"topic\":{deep},\"event\":{deep},\"ref\":{deep},\"payload\":{deep}}}"
            );
            let msg = V1.decode(Message::Text(&object)).unwrap();
            assert_eq!(msg.topic.as_str(), None);
            assert_eq!(FiveKey.decode(Message::Text(&object)).unwrap(), msg);
            assert!(matches!(V1.decode(Message::Text(&arrays())), Err(DecodeError::NotObject)));
        }
    });
}

#[test]
fn deep_nesting_goes_out_again_and_is_refused_only_by_who_reads_it() {
    on_a_small_stack(|| {
        let msg = V2.decode(Message::Text(&format!("[null,null,\"t\",\"e\",{}]", objects()))).unwrap();
        let broadcast = Outgoing::Broadcast { topic: "t", event: "e", payload: &msg.payload };
        assert_eq!(V2.encode(broadcast).unwrap().payload().len(), objects().len() + 20);
    });
    let payload =
        V2.decode(Message::Text(&format!("[null,null,\"t\",\"e\",{}]", objects()))).unwrap().payload;
    assert!(payload.parse::<serde_json::Value>().is_err());
}

#[test]
fn deep_nesting_that_never_ends_is_refused() {
    on_a_small_stack(|| {
        for text in ["[".repeat(LEVELS), "{\"a\":".repeat(LEVELS), format!("[1,2,3,4,{}", "[".repeat(LEVELS))]
        {
            for serializer in [&V1 as &dyn Serializer, &V2, &FiveKey] {
                assert!(matches!(serializer.decode(Message::Text(&text)), Err(DecodeError::Json(_))));
            }
        }
    });
}

#[test]
fn long_names_take_no_more_than_their_length() {
    const BYTES: usize = 1 << 20;
    on_a_small_stack(|| {
        for unit in ["t", "\\n", "\\u0001", "\\ud83d\\ude00", "ä"] {
            let topic = unit.repeat(BYTES / unit.len());
            let text = format!("[\"{topic}\",\"{topic}\",\"{topic}\",\"{topic}\",{{}}]");
            let msg = V2.decode(Message::Text(&text)).unwrap();
            let reply = Outgoing::Reply {
                join_ref: msg.join_ref.as_ref(),
                reference: msg.reference.as_ref(),
                topic: msg.topic.as_ref(),
                status: msg.event.as_str().unwrap(),
                response: &Payload::empty(),
            };
            let frame = V2.encode(reply).unwrap();
            let again = V2.decode(Message::Text(std::str::from_utf8(frame.payload()).unwrap())).unwrap();
            assert_eq!((again.join_ref, again.topic), (msg.join_ref, msg.topic));
        }
    });
}

#[test]
fn many_elements_and_many_keys_are_ignored() {
    on_a_small_stack(|| {
        let elements = format!("[null,null,\"t\",\"e\",{{}}{}]", ",0".repeat(1 << 20));
        assert!(V2.decode(Message::Text(&elements)).is_ok());
        let keys = format!(
            "{{\"topic\":1,\"event\":1,\"ref\":1,\"payload\":1{}}}",
            ",\"topic\":\"t\"".repeat(1 << 18)
        );
        assert_eq!(V1.decode(Message::Text(&keys)).unwrap().topic, "t");
    });
}
