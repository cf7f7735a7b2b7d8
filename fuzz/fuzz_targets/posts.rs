//! No body of a POST makes its reader panic, take more lines than its limit or more memory than a few times the body.

#![no_main]

use lapwing_fuzz::Bound;
use lapwing_transports::fuzzing;
use libfuzzer_sys::fuzz_target;

/// Low, so that the fuzzer reaches it.
const LINES_MAX: usize = 5;

/// A line that is an escaped text or base64 is a copy; its list and its refusal are bounded by the number of lines.
const BOUND: Bound = Bound { bytes_per_byte: 4, bytes_per_allocation: 4 };

fuzz_target!(|body: &[u8]| {
    if let Some(lines) = BOUND.hold(body.len(), || fuzzing::post(body, LINES_MAX)) {
        assert!(lines <= LINES_MAX && lines < body.len());
        // Line endings and empty lines do not matter.
        let text = std::str::from_utf8(body).expect("it was read");
        let respaced = text.replace("\r\n", "\n").replace('\n', "\r\n\n");
        assert_eq!(fuzzing::post(respaced.as_bytes(), LINES_MAX), Some(lines));
    }
});
