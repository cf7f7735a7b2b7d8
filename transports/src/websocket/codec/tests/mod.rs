//! The codec against RFC 6455, in the order of the Autobahn suite: framing, control frames, reserved bits,
//! opcodes, fragmentation, UTF-8, limits, closing. Then the laws that hold for every stream.

mod closing;
#[cfg(feature = "deflate")]
mod deflate;
mod fragmentation;
mod framing;
mod laws;
mod limits;
mod text;

use super::{Decoder, Event, OpCode, ProtocolError, masked::masked_frame};
use crate::{frame::Message, options::DecodeLimits};

const FIN: u8 = 0x80;

/// An [`Event`] that owns what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Message(Message::Text(text)) => Self::Text(text.to_owned()),
            Event::Message(Message::Binary(bytes)) => Self::Binary(bytes.to_owned()),
            Event::Ping(payload) => Self::Ping(payload.to_owned()),
            Event::Pong(payload) => Self::Pong(payload.to_owned()),
            Event::Close(close) => {
                Self::Close(close.map(|(code, reason)| (code.as_u16(), reason.to_owned())))
            }
        }
    }
}

/// A final frame.
fn whole(opcode: OpCode, payload: impl AsRef<[u8]>) -> Vec<u8> {
    masked_frame(FIN | opcode as u8, payload.as_ref())
}

/// A frame that others of its message follow.
fn open(opcode: OpCode, payload: impl AsRef<[u8]>) -> Vec<u8> {
    masked_frame(opcode as u8, payload.as_ref())
}

/// Feeds the stream in reads of `read_bytes`. Returns what was seen, the error if any, and the index of the
/// read that brought it.
fn decode_reads(
    decoder: &mut Decoder,
    stream: &[u8],
    read_bytes: usize,
    limits: &DecodeLimits,
) -> (Vec<Seen>, Option<(usize, ProtocolError)>) {
    let mut seen = Vec::new();
    for (index, read) in stream.chunks(read_bytes).enumerate() {
        let mut read = read.to_vec();
        let mut used = 0;
        loop {
            let (newly_used, event) = decoder.decode(&mut read[used..], limits);
            used += newly_used;
            match event {
                Ok(Some(event)) => seen.push(event.into()),
                Ok(None) => break,
                Err(error) => return (seen, Some((index, error))),
            }
        }
        assert_eq!(used, read.len(), "a decoder that wants more has used everything");
    }
    (seen, None)
}

/// What is seen of a stream, whole and one byte at a time, which must agree.
fn decode(stream: &[u8]) -> (Vec<Seen>, Option<ProtocolError>) {
    decode_within(stream, &DecodeLimits::default())
}

fn decode_within(stream: &[u8], limits: &DecodeLimits) -> (Vec<Seen>, Option<ProtocolError>) {
    let (seen, error) = decode_reads(&mut Decoder::new(), stream, stream.len().max(1), limits);
    let in_one = (seen, error.map(|(_, error)| error));
    let (seen, error) = decode_reads(&mut Decoder::new(), stream, 1, limits);
    assert_eq!(
        (&seen, error.map(|(_, error)| error)),
        (&in_one.0, in_one.1),
        "read sizes make no difference"
    );
    in_one
}

fn accepted(stream: &[u8]) -> Vec<Seen> {
    let (seen, error) = decode(stream);
    assert_eq!(error, None);
    seen
}

fn refused(stream: &[u8]) -> ProtocolError {
    decode(stream).1.unwrap_or_else(|| panic!("accepted: {stream:x?}"))
}
