//! What a client makes of the bytes that it gets.

use crate::{
    frame::Message,
    options::DecodeLimits,
    websocket::codec::{Decoder, Event},
};

/// Something that a client has got in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Frame(Vec<u8>),
    /// A control line of the session dialect.
    Line(String),
    Pong(Vec<u8>),
    /// With the code and the reason.
    Close(u16, String),
}

/// The client's end: all bytes so far, and how many of them are whole frames.
#[derive(Default)]
pub(super) struct Client {
    bytes: Vec<u8>,
    whole: usize,
    decoder: Decoder,
    /// Whether lines are told from frames.
    knows_lines: bool,
    pub(super) inflates: bool,
}

impl Client {
    pub(super) fn new(knows_lines: bool) -> Self {
        Self { knows_lines, ..Self::default() }
    }

    /// How many bytes have come.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// How many of them are whole frames.
    pub(super) fn whole_bytes(&self) -> usize {
        self.whole
    }

    /// Whether a part of a frame has come.
    pub(super) fn is_within_a_frame(&self) -> bool {
        self.whole < self.bytes.len()
    }

    pub(super) fn get(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next that is whole.
    pub(super) fn hear(&mut self) -> Option<Heard> {
        let rest = &self.bytes[self.whole..];
        let (header, payload) = lengths(rest)?;
        let frame = rest.get(..header + payload)?;
        self.whole += frame.len();
        // As a client's, masked with zeros.
        let mut frame =
            [&frame[..1], &[frame[1] | 0x80], &frame[2..header], &[0; 4], &frame[header..]].concat();
        let mut limits = DecodeLimits::new();
        limits.inflates = self.inflates;
        let all = frame.len();
        let (used, event) = self.decoder.decode(&mut frame, &limits);
        assert_eq!(used, all, "a frame is whole");
        Some(match event.expect("the frame is sound").expect("the frame is whole") {
            Event::Message(Message::Text(text)) if self.knows_lines && text.starts_with('!') => {
                Heard::Line(text.to_owned())
            }
            Event::Message(message) => Heard::Frame(message.as_bytes().to_vec()),
            Event::Pong(payload) => Heard::Pong(payload.to_vec()),
            Event::Close(Some((code, reason))) => Heard::Close(code.as_u16(), reason.to_owned()),
            other => panic!("a server says no such thing: {other:?}"),
        })
    }
}

/// The lengths of the header of the frame that begins here, and of its payload.
fn lengths(frame: &[u8]) -> Option<(usize, usize)> {
    match frame.get(1)? {
        126 => Some((4, u16::from_be_bytes(frame.get(2..4)?.try_into().ok()?).into())),
        127 => Some((10, u64::from_be_bytes(frame.get(2..10)?.try_into().ok()?) as usize)),
        short => Some((2, usize::from(*short))),
    }
}
