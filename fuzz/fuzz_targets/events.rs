//! What the server writes as an event, or as a line of an answer, is read back by a client as the same frame.

#![no_main]

use lapwing_fuzz::Bound;
use lapwing_transports::{
    dialect::client::ClientLine,
    frame::{Frame, Message},
    fuzzing::{event, line},
};
use libfuzzer_sys::fuzz_target;

/// A quoted control character is six for one, and a growing buffer has room for twice as much.
const BOUND: Bound = Bound { bytes_per_byte: 40, bytes_per_allocation: 8 };

fuzz_target!(|input: &[u8]| {
    let sent = std::str::from_utf8(input).map_or(Message::Binary(input), Message::Text);
    let frame = || match sent {
        Message::Text(text) => Frame::text(text.to_owned()),
        Message::Binary(bytes) => Frame::binary(bytes.to_vec()),
    };
    let line = BOUND.hold(input.len(), || line(frame()));
    assert!(!line.is_empty() && !line.starts_with(b"!"), "it is no control line");
    assert!(!line.contains(&b'\n') && !line.contains(&b'\r'), "it is one line");
    check(&line, sent);
    let event = BOUND.hold(input.len(), || event(frame()));
    let data = read(&event);
    assert_eq!(data.len(), 1, "one event");
    check(&data[0], sent);
});

fn check(line: &[u8], sent: Message<'_>) {
    let line = std::str::from_utf8(line).expect("a line is text");
    // Frames have one form in both directions.
    let read = ClientLine::parse(line).expect("it is a line");
    assert_eq!(read.message().map(|message| message.as_bytes().to_vec()), Some(sent.as_bytes().to_vec()));
    assert_eq!(matches!(read, ClientLine::Text(_)), matches!(sent, Message::Text(_)));
}

/// The data of events, as an `EventSource` reads them: lines end in CR LF, LF or CR, an empty one ends an event, one space
/// after the colon is no data.
fn read(stream: &[u8]) -> Vec<Vec<u8>> {
    let text = std::str::from_utf8(stream).expect("an event stream is text");
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut data) = (Vec::new(), Vec::new());
    let complete = text.strip_suffix('\n').expect("the last line is complete");
    for line in complete.split('\n') {
        if line.is_empty() {
            if !data.is_empty() {
                events.push(data.join("\n").into_bytes());
                data.clear();
            }
        } else {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            assert_eq!(field, "data");
            data.push(value.strip_prefix(' ').unwrap_or(value).to_owned());
        }
    }
    assert!(data.is_empty(), "the event is complete");
    events
}
