//! Whatever a node says of a session that is to come from there: reading it costs no more than it weighs, and what was read is written back as the same.
//! The frozen session and the messages have targets of their own.

#![no_main]

use lapwing::fuzzing::{about_move, cuts};
use lapwing_fuzz::Bound;
use lapwing_transports::fuzzing::baggage;
use libfuzzer_sys::fuzz_target;

/// The names of a session are copied, and it is itself when it is packed again.
const OF_BAGGAGE: Bound = Bound { bytes_per_byte: 4, bytes_per_allocation: 1 };

/// An empty header is nine bytes, and two hundred in a table; a parameter is a place in a tree, and a list of parameters doubles as it grows.
const OF_ABOUT: Bound = Bound { bytes_per_byte: 160, bytes_per_allocation: 1 };

/// A number of two bytes is sixteen with its node's, and a list doubles.
const OF_CUTS: Bound = Bound { bytes_per_byte: 64, bytes_per_allocation: 1 };

fuzz_target!(|input: &[u8]| {
    if let Some(again) = OF_BAGGAGE.hold(input.len(), || baggage(input)) {
        assert_eq!(again, input);
    }
    OF_ABOUT.hold(input.len(), || about_move(input));
    if let Some(again) = OF_CUTS.hold(input.len(), || cuts(input)) {
        assert_eq!(cuts(&again), Some(again));
    }
});
