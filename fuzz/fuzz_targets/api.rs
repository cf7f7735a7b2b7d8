//! Bodies and queries of the HTTP API: read in memory that is in proportion to them, or refused with a short sentence.

#![no_main]

use lapwing::fuzzing::api_request;
use lapwing_fuzz::Bound;
use libfuzzer_sys::fuzz_target;

/// The messages of a batch, each with its topic, its event and its payload, of which the shortest has 25 bytes; then an answer.
const BOUND: Bound = Bound { bytes_per_byte: 64, bytes_per_allocation: 1 };

fuzz_target!(|input: &[u8]| {
    let Some((&operation, request)) = input.split_first() else { return };
    let read = BOUND.hold(4096 + request.len(), || api_request(usize::from(operation), request));
    match read {
        Ok(messages) => assert!(messages <= 100),
        Err((field, message)) => {
            assert!(!message.is_empty() && message.len() <= 2_000, "{message}");
            assert!(field.is_none_or(|field| field.len() <= 3_200), "a field is named in full");
        }
    }
});
