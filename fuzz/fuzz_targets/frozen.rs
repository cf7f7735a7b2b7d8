//! Whatever is said to be a frozen session: reading it costs no more than it weighs, and what was read is written back as the same and is a
//! session that goes on.

#![no_main]

use lapwing_fuzz::Bound;
use lapwing_transports::{
    frame::Frame,
    policy::{Few, Key},
    session::{
        Seq,
        frozen::{Thawed, thaw},
        life::Tick,
        outbox::OutboxLimits,
    },
};
use libfuzzer_sys::fuzz_target;

/// An empty frame is five bytes, and two hundred once it is read; a key is one allocation more, and a policy another.
const BOUND: Bound = Bound { bytes_per_byte: 100, bytes_per_allocation: 1 };

fuzz_target!(|input: &[u8]| {
    let (limits, now) = (OutboxLimits::default(), Tick(7));
    let few = |key: &str, frames_max| Some(Few::new(Key::new(key), frames_max, |_| None));
    let Ok(Thawed { session, heard }) = BOUND.hold(input.len(), || thaw(input, now, &limits, &few)) else {
        return;
    };
    let (received, taken, last) = (session.last_received(), session.last_taken(), session.last_pushed());
    let again = session.freeze(heard, now).expect("it is open").encode();
    // The attachment is another one each time, and a beat is within bounds.
    assert_eq!(again[..2], input[..2]);
    assert_eq!(again[10..], input[10..]);

    let mut session = thaw(&again, now, &limits, &few).expect("it was read before").session;
    assert_eq!(session.last_received(), received);
    session.take(Seq(taken.0 + 1));
    let attachment = session.resume(received).expect("the client may have no more than that");
    assert!(session.is_current(attachment));
    session.push(Frame::text("more"), &limits);
    session.handle_sent(last);
    session.handle_receipt(last);
    assert!(session.waiting().count() <= 1);
});
