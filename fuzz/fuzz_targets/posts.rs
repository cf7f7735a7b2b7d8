//! No body of a POST makes its reader panic or take more lines than its limit, and no token, guessed or changed, is
//! taken for another.

#![no_main]

use lapwing_transports::resumable::{fuzz_post, fuzz_token};
use libfuzzer_sys::fuzz_target;

/// Low, so that the fuzzer reaches it.
const LINES_MAX: usize = 5;

fuzz_target!(|body: &[u8]| {
    if let Some(lines) = fuzz_post(body, LINES_MAX) {
        assert!(lines <= LINES_MAX && lines < body.len());
        // Line endings and empty lines do not matter.
        let text = std::str::from_utf8(body).expect("it was read");
        let respaced = text.replace("\r\n", "\n").replace('\n', "\r\n\n");
        assert_eq!(fuzz_post(respaced.as_bytes(), LINES_MAX), Some(lines));
    }
    let Ok(text) = std::str::from_utf8(body) else { return };
    // A text is one token or none: what is read of it is written as the same text.
    if let Some(again) = fuzz_token(text) {
        assert_eq!(again, text);
    }
});
