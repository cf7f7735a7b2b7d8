//! No body makes the splitter panic or yield more lines than its limit, and every line is what it claims to
//! be.

#![no_main]

use lapwing_fuzz::Bound;
use lapwing_transports::longpoll::ndjson::{Line, split};
use libfuzzer_sys::fuzz_target;

/// A line of base64 is a copy.
const BOUND: Bound = Bound { bytes_per_byte: 4, bytes_per_allocation: 4 };

fuzz_target!(|body: &[u8]| {
    const LINES_MAX: usize = 5;
    let Ok(lines) = BOUND.hold(body.len(), || split(body, LINES_MAX)) else { return };
    assert!(lines.len() <= LINES_MAX);
    for line in &lines {
        match line {
            Line::Text(text) => {
                assert!(text.starts_with(['[', '{']) && !text.contains('\n'));
            }
            Line::Binary(bytes) => assert!(bytes.len() < body.len()),
        }
    }
    // Line endings and empty lines do not matter.
    let text = std::str::from_utf8(body).expect("it was split");
    let respaced = text.replace("\r\n", "\n").replace('\n', "\r\n\n");
    assert_eq!(split(respaced.as_bytes(), LINES_MAX), Ok(lines));
});
