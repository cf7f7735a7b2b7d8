//! What frames are, and what is counted of them.

use super::*;

#[test]
fn a_message_is_its_bytes_whichever_kind_it_is() {
    assert_eq!((Message::Text("hi").as_bytes(), Message::Binary(b"ho").as_bytes()), (&b"hi"[..], &b"ho"[..]));
}

#[cfg(feature = "net")]
#[test]
fn a_frame_is_counted_once_for_as_long_as_it_lives() {
    let (budget, frame) = (Arc::new(Budget::new(usize::MAX)), Frame::text("x".repeat(100)));
    assert_eq!((frame.compressed(), frame.string().is_some()), (None, false));
    assert_eq!(frame.cost(), 100 + FRAME_BYTES);
    for clone in [&frame, &frame.clone()] {
        clone.charge(&budget);
        assert_eq!(budget.held(), frame.cost());
    }
    let other = frame.anew();
    other.charge(&budget);
    assert_eq!(budget.held(), 2 * frame.cost(), "the same bytes, counted for themselves");
    drop((frame, other));
    assert_eq!(budget.held(), 0);
}

#[test]
fn a_mark_is_on_a_frame_and_its_clones_and_not_on_others_of_the_same_bytes() {
    let frame = Frame::text("x");
    let marked = frame.clone().with_policy(Policy::Volatile);
    assert_eq!((frame.policy(), marked.clone().policy()), (None, Some(&Policy::Volatile)));
    assert_eq!((marked.payload(), marked.anew().policy()), (frame.payload(), None));
    let fence = frame.clone().as_fence();
    assert!(fence.clone().is_fence() && !frame.is_fence());
    let both = fence.with_policy(Policy::Volatile).as_fence();
    assert!(both.is_fence() && both.policy().is_some());
}

#[test]
fn a_frame_apart_has_the_same_bytes_and_marks_and_another_count() {
    let frame = Frame::binary("x").with_policy(Policy::Volatile).as_fence();
    let apart = frame.apart();
    let of_apart = apart.apart();
    for other in [&apart, &of_apart] {
        assert_eq!((other.payload().as_ptr(), other.kind()), (frame.payload().as_ptr(), frame.kind()));
        assert_eq!((other.policy(), other.is_fence()), (frame.policy(), true));
    }
    let clones = [apart.clone(), apart.clone()];
    assert_eq!((Arc::strong_count(&frame.0), Arc::strong_count(&apart.0)), (3, 3));
    drop(clones);
    // What is marked later is another frame.
    let marked = Frame::text("x").apart().with_policy(Policy::Volatile).as_fence();
    assert!(marked.policy() == Some(&Policy::Volatile) && marked.is_fence());
    assert_eq!((frame.apart().anew().policy(), Frame::text("x").apart().policy()), (None, None));
}

#[cfg(feature = "net")]
#[test]
fn frames_apart_are_counted_and_looked_at_and_made_events_once_together() {
    let (budget, frame) = (Arc::new(Budget::new(usize::MAX)), Frame::text("x".repeat(100)));
    let aparts = [frame.apart(), frame.apart().apart()];
    for apart in &aparts {
        apart.charge(&budget);
        assert_eq!((apart.cost(), budget.held()), (frame.cost(), frame.cost()));
    }
    let look = Look { escapes: 3, has_line_breaks: true };
    assert_eq!(aparts[0].look(|_| look), look);
    let event = aparts[0].event(&budget, |_| Bytes::from("event"));
    for other in [&frame, &aparts[1]] {
        assert_eq!(other.look(|_| unreachable!("it is known")), look);
        assert_eq!(other.event(&budget, |_| unreachable!("it is made")).as_ptr(), event.as_ptr());
    }
    drop((frame, event));
    assert!(budget.held() > 100, "those apart are still there");
    drop(aparts);
    assert_eq!(budget.held(), 0);
}

#[cfg(feature = "deflate")]
#[test]
fn a_frame_apart_is_compressed_as_the_one_that_it_is() {
    let mut frame = Frame::text("again and again, ".repeat(50));
    frame.compress(Forms::MESSAGES | Forms::STRINGS);
    let mut apart = frame.apart();
    apart.compress(Forms::MESSAGES);
    assert!(apart.is_compressed() && apart.cost() == frame.cost());
    assert!(std::ptr::eq(apart.compressed().unwrap(), frame.compressed().unwrap()));
    assert!(std::ptr::eq(apart.string().unwrap(), frame.string().unwrap()));
    let mut plain = Frame::text("again and again, ".repeat(50)).apart();
    plain.compress(Forms::MESSAGES);
    assert!(!plain.is_compressed(), "others have it");
}

#[cfg(feature = "deflate")]
#[test]
fn a_frame_is_compressed_before_others_have_it_or_never() {
    let mut frame = Frame::text("again and again, ".repeat(50));
    frame.compress(Forms::MESSAGES);
    let clone = frame.clone();
    let bytes = clone.compressed().unwrap();
    assert!(bytes.len() < 100 && clone.is_compressed());
    frame.compress(Forms::MESSAGES);
    assert!(std::ptr::eq(frame.compressed().unwrap(), bytes), "the same bytes for all");

    // Half of it may be on its way.
    let mut written = frame.anew();
    let connection = written.clone();
    written.compress(Forms::MESSAGES);
    assert_eq!((written.compressed(), connection.is_compressed()), (None, false));

    let mut short = Frame::text("short");
    short.compress(Forms::MESSAGES);
    assert_eq!((short.compressed(), short.is_compressed()), (None, false));

    let mut marked = Frame::text("x".repeat(1_000));
    marked.compress(Forms::MESSAGES);
    let marked = marked.with_policy(Policy::Volatile).as_fence();
    assert!(marked.is_compressed() && marked.is_fence() && marked.policy().is_some());
}

#[cfg(feature = "deflate")]
#[test]
fn a_frame_is_compressed_in_the_forms_that_are_asked_for_and_bytes_as_messages_alone() {
    for (forms, of_text, of_bytes) in [
        (Forms::NONE, (false, false), (false, false)),
        (Forms::MESSAGES, (true, false), (true, false)),
        (Forms::LINES, (true, false), (false, false)),
        (Forms::STRINGS, (false, true), (false, false)),
        (Forms::MESSAGES | Forms::LINES | Forms::STRINGS, (true, true), (true, false)),
    ] {
        let text = "\"again\" and ".repeat(50);
        for (mut frame, has) in [(Frame::text(text.clone()), of_text), (Frame::binary(text), of_bytes)] {
            frame.compress(forms);
            assert_eq!((frame.compressed().is_some(), frame.string().is_some()), has, "{forms:?}");
            assert_eq!(frame.is_compressed(), has.0 || has.1);
        }
    }
}

#[cfg(feature = "deflate")]
#[test]
fn the_string_of_a_frame_stands_for_its_text_between_quotes() {
    let mut frame = Frame::text("a\"b\n".repeat(100));
    frame.compress(Forms::STRINGS);
    let (plain, packed) = (format!("\"{}\"", "a\\\"b\\n".repeat(100)), frame.string().unwrap());
    assert_eq!(deflate::inflated(&packed.bytes, plain.len()).as_deref(), Ok(plain.as_bytes()));
    assert_eq!(packed.part, Part::of(plain.as_bytes()));
    assert_eq!(frame.cost(), 400 + packed.bytes.len() + size_of::<Packed>() + FRAME_BYTES);
}

#[cfg(feature = "deflate")]
#[test]
fn a_frame_is_counted_with_what_it_is_compressed_to() {
    let (budget, mut frame) = (Arc::new(Budget::new(usize::MAX)), Frame::text("x".repeat(1_000)));
    let mut plain = frame.anew();
    frame.compress(Forms::MESSAGES);
    frame.charge(&budget);
    assert_eq!(budget.held(), 1_000 + frame.compressed().unwrap().len() + FRAME_BYTES);
    drop(frame);
    assert_eq!(budget.held(), 0);
    plain.charge(&budget);
    plain.compress(Forms::MESSAGES);
    assert_eq!(plain.compressed(), None, "what is counted stays as it is");
    drop(plain);
    assert_eq!(budget.held(), 0);
}

/// Whoever has no use for a mark pays nothing for it.
#[cfg(feature = "net")]
#[test]
fn a_frame_without_a_mark_is_no_larger_for_it() {
    assert!(size_of::<Encoded>() <= 80, "{} bytes", size_of::<Encoded>());
}

#[cfg(feature = "net")]
#[test]
fn an_event_is_made_once_and_counted_if_it_is_much_or_its_frame_is() {
    for (bytes, is_charged, held) in
        [(STEP - 1, false, 0), (STEP, false, STEP), (10, true, 10 + FRAME_BYTES + 1)]
    {
        let (budget, frame) = (Arc::new(Budget::new(usize::MAX)), Frame::text("x"));
        if is_charged {
            frame.charge(&budget);
        }
        let event = frame.event(&budget, |_| Bytes::from(vec![b'e'; bytes]));
        assert_eq!((event.len(), budget.held()), (bytes, held));
        assert_eq!(frame.clone().event(&budget, |_| unreachable!("it is made already")), event);
        assert_eq!(budget.held(), held);
    }
}

#[cfg(feature = "net")]
#[test]
fn a_payload_is_looked_through_once() {
    for (escapes, has_line_breaks) in [(0, false), (0, true), (5, false), (1 << 40, true)] {
        let (frame, look) = (Frame::text("x"), Look { escapes, has_line_breaks });
        let found = frame.look(|payload| {
            assert_eq!(payload, b"x");
            look
        });
        assert_eq!((found, frame.clone().look(|_| unreachable!("it is known"))), (look, look));
    }
}
