//! How often the wire allocates: encoding once for the text and once for the frame, decoding once for the payload.

#![allow(unsafe_code, reason = "an allocator that counts cannot be written without")]
#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use lapwing::protocol::{FiveKey, Outgoing, Payload, RawJson, Ref, Serializer, V1, V2};
use lapwing_transports::frame::Message;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: All is left to the system's allocator. The counter allocates nothing itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: The caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: The caller's promises are handed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: The caller's promises are handed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations<T>(work: impl FnOnce() -> T) -> usize {
    let before = ALLOCATIONS.get();
    let result = work();
    let count = ALLOCATIONS.get() - before;
    drop(result);
    count
}

#[test]
fn encoding_takes_two_allocations() {
    let (join_ref, reference) = (Ref::from("3"), Ref::from("1234"));
    let (join_ref, reference) = (Some(&join_ref), Some(&reference));
    let json =
        Payload::json(&[("body", "x".repeat(100))].into_iter().collect::<std::collections::BTreeMap<_, _>>());
    let (json, bytes) = (json.unwrap(), Payload::from(vec![7; 100]));
    let (topic, event) = ("room:a-topic-too-long-to-be-held-inline", "new_msg");
    for payload in [&json, &bytes] {
        for outgoing in [
            Outgoing::Push { join_ref, topic, event, payload },
            Outgoing::Broadcast { topic, event, payload },
            Outgoing::Reply { join_ref, reference, topic: topic.into(), status: "ok", response: payload },
            Outgoing::Close { join_ref, topic },
            Outgoing::Error { join_ref, topic, reason: "channel_crash" },
        ] {
            for serializer in [&V1 as &dyn Serializer, &V2, &FiveKey] {
                // Refusing bytes costs nothing.
                let count = allocations(|| serializer.encode(outgoing));
                assert!(count <= 2, "{count} for {outgoing:?} by {}", serializer.name());
            }
        }
    }
}

#[test]
fn decoding_a_usual_push_takes_one_allocation() {
    let text =
        format!(r#"["3","1234","room:lobby","new_msg",{{"body":"{}","at":1795492058}}]"#, "x".repeat(97));
    assert_eq!(text.len(), 160);
    assert_eq!(allocations(|| V2.decode(Message::Text(&text)).unwrap()), 1);

    let mut binary = b"\x00\x01\x04\x0a\x0731234room:lobbynew_msg".to_vec();
    binary.extend([7; 100]);
    assert_eq!(allocations(|| V2.decode(Message::Binary(&binary)).unwrap()), 1);

    let text = format!(
        r#"{{"topic":"room:lobby","event":"new_msg","ref":"1234","payload":{{"body":"{}"}}}}"#,
        "x".repeat(97)
    );
    assert_eq!(allocations(|| V1.decode(Message::Text(&text)).unwrap()), 1);
}

#[test]
fn a_small_message_is_decoded_without_any() {
    let heartbeat = r#"[null,"1234","phoenix","heartbeat",{}]"#;
    assert_eq!(allocations(|| V2.decode(Message::Text(heartbeat)).unwrap()), 0);
    let text = r#"["3","1234","room:lobby","typing",{"on":true}]"#;
    assert_eq!(allocations(|| V2.decode(Message::Text(text)).unwrap()), 0);
    // A payload that nests costs serde_json its stack, and a name that does not fit inline its own text.
    let text = r#"["3","1234","room:lobby","move",{"to":[1,2]}]"#;
    assert_eq!(allocations(|| V2.decode(Message::Text(text)).unwrap()), 1);
}

#[test]
fn clones_and_the_empty_payload_take_none() {
    let json = Payload::from(RawJson::new(&format!("[{}]", "1,".repeat(500) + "1")).unwrap());
    let reference = Ref::from("a ref that is too long to be held inline");
    assert_eq!(allocations(|| (json.clone(), reference.clone(), Payload::empty(), Ref::from("1"))), 0);
}
