//! No line makes the reader panic, what it reads is within its bounds, and a frame has the same meaning in every form.

#![no_main]

use lapwing_fuzz::Bound;
use lapwing_transports::dialect::{
    client::{ClientControl, ClientLine},
    lines::CONTROL_BYTES_MAX,
};
use libfuzzer_sys::fuzz_target;

/// What every language's floating-point numbers can count to.
const NUMBER_MAX: u64 = (1 << 53) - 1;

/// An escaped text is a copy that grows.
const BOUND: Bound = Bound { bytes_per_byte: 4, bytes_per_allocation: 16 };

fuzz_target!(|line: &str| {
    // Any text may come as a JSON string.
    let quoted = serde_json::to_string(line).expect("a string always serializes");
    assert_eq!(ClientLine::parse(&quoted), Ok(ClientLine::Text(line.into())));
    let read = BOUND.hold(line.len(), || ClientLine::parse(line));
    match &read {
        Ok(ClientLine::Control(control)) => check(line, *control),
        Ok(ClientLine::Text(text)) => {
            assert!(line.starts_with('"') || text == line, "a text that is not quoted is itself");
        }
        Ok(ClientLine::Binary(bytes)) => assert!(line.starts_with('*') && bytes.len() < line.len()),
        Ok(ClientLine::Nothing) => assert!(line.is_empty() || line.starts_with('!')),
        Err(_) => assert!(line.starts_with(['!', '"', '*'])),
    }
    let is_frame = matches!(read, Ok(ClientLine::Text(_) | ClientLine::Binary(_)));
    assert_eq!(read.ok().is_some_and(|line| line.message().is_some()), is_frame);
});

fn check(line: &str, control: ClientControl<'_>) {
    assert!(line.starts_with('!') && line.len() <= CONTROL_BYTES_MAX);
    let (token, numbers) = match control {
        ClientControl::Open { beat } => (None, vec![beat]),
        ClientControl::Resume { token, received, beat } => (Some(token), vec![received.0, beat]),
        ClientControl::Send { token } => (Some(token), Vec::new()),
        ClientControl::From(first) => {
            assert!(first.0 > 0);
            (None, vec![first.0])
        }
        ClientControl::Ack(received) => (None, vec![received.0]),
        // What follows is all of its own.
        ClientControl::Path { .. } => return,
        ClientControl::Ping | ClientControl::Close | ClientControl::Ticket => (None, Vec::new()),
    };
    assert!(numbers.iter().all(|number| *number <= NUMBER_MAX));
    assert!(token.is_none_or(|token| !token.contains(' ')));
    // Words at the end are for later versions.
    if line.len() + 4 <= CONTROL_BYTES_MAX {
        assert_eq!(ClientLine::parse(&format!("{line} new")), Ok(ClientLine::Control(control)));
    }
}
