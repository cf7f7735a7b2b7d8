//! No text makes the readers of tokens panic, a text is one token or none, and no guess is a ticket.

#![no_main]

use lapwing_fuzz::Bound;
use lapwing_transports::fuzzing::{stock_token, ticket, token};
use libfuzzer_sys::fuzz_target;

/// A token is read into a place on the stack: only what is written again takes memory, and that is short.
const BOUND: Bound = Bound { bytes_per_byte: 0, bytes_per_allocation: usize::MAX };

fuzz_target!(|text: &str| {
    for read in [token, stock_token] {
        if let Some(again) = BOUND.hold(text.len(), || read(text)) {
            assert_eq!(again, text);
        }
    }
    assert!(!ticket(text));
});
