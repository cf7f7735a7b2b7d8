//! Bytes from a client to events.

use std::str;

use super::{
    error::ProtocolError,
    header::{FrameHeader, OpCode, RESERVED, RSV1},
    partial::Partial,
    unmask::unmask,
};
use crate::{frame::Message, options::DecodeLimits, websocket::close_code::CloseCode};

/// Something that a client said, borrowed from the read buffer or, if it came in pieces, from the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole message.
    Message(Message<'a>),
    /// To be answered with a pong of the same payload, at most 125 bytes.
    Ping(&'a [u8]),
    /// A sign of life.
    Pong(&'a [u8]),
    /// The client's last frame: its code, a valid one, and its reason, if it gave any.
    Close(Option<(CloseCode, &'a str)>),
}

/// The bytes of one client to [`Event`]s, strictly as RFC 6455 has it and however the network cut them.
///
/// One pointer long, and between messages it points to nothing. A frame that lies whole in the read buffer is
/// unmasked there and borrowed: nothing is copied or allocated. Only what arrives in pieces is collected on
/// the heap, in step with its arrival, and freed by the call after the one that yielded it. A compressed message, where
/// [`DecodeLimits`] allow them, is inflated when all of it has come, and never beyond the limit of a message.
///
/// ```
/// use lapwing_transports::frame::Message;
/// use lapwing_transports::options::DecodeLimits;
/// use lapwing_transports::websocket::codec::{Decoder, Event, ProtocolError};
///
/// fn texts(decoder: &mut Decoder, read: &mut [u8]) -> Result<Vec<String>, ProtocolError> {
///     let mut texts = Vec::new();
///     let mut used = 0;
///     loop {
///         let (consumed, event) = decoder.decode(&mut read[used..], &DecodeLimits::default());
///         used += consumed;
///         match event? {
///             Some(Event::Message(Message::Text(text))) => texts.push(text.to_owned()),
///             Some(_) => {}
///             None => return Ok(texts),
///         }
///     }
/// }
///
/// let mut decoder = Decoder::new();
/// // "hi" under the mask 1 2 3 4, and the header of a second frame.
/// let mut read = [0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2, 0x81, 0x81];
/// assert_eq!(texts(&mut decoder, &mut read), Ok(vec!["hi".to_owned()]));
/// assert!(!decoder.is_idle());
///
/// let mut read = [0, 0, 0, 0, b'!'];
/// assert_eq!(texts(&mut decoder, &mut read), Ok(vec!["!".to_owned()]));
/// assert!(decoder.is_idle());
///
/// // Reserved bits mean nothing here.
/// assert_eq!(texts(&mut decoder, &mut [0xc1, 0x80]), Err(ProtocolError::ReservedBits));
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    /// None while nothing is incomplete. Boxed so that a silent connection pays for one pointer.
    pub(super) partial: Option<Box<Partial>>,
}

/// How far one frame's worth of input went.
enum Progress {
    /// All input is used and something is incomplete, or nothing was begun.
    Starved,
    /// A fragment ended that makes no event: go on with the next frame.
    FragmentDone,
    /// The event's payload is the last `payload_bytes` bytes used of the input.
    InPlace { opcode: OpCode, payload_bytes: usize },
    /// A collected message is complete.
    Message,
    /// A collected control frame is complete.
    Control { opcode: OpCode },
}

impl Decoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes from `input` up to the first event. Returns how many, and the event.
    ///
    /// `None` means that all of `input` is used and more is needed. Call again, with what was not used, until
    /// then: the call after an event also frees what that event borrowed from the decoder. `input` is scratch
    /// space afterwards, since payloads are unmasked in it.
    ///
    /// # Errors
    ///
    /// A [`ProtocolError`] ends the stream. What was collected is dropped, and decoding on would begin in the
    /// middle of a frame: close the connection.
    pub fn decode<'a>(
        &'a mut self,
        input: &'a mut [u8],
        limits: &DecodeLimits,
    ) -> (usize, Result<Option<Event<'a>>, ProtocolError>) {
        self.free();
        let mut used = 0;
        loop {
            let (newly_used, progress) = match self.advance(&mut input[used..], limits) {
                Ok(advanced) => advanced,
                Err(error) => {
                    self.partial = None;
                    return (used, Err(error));
                }
            };
            used += newly_used;
            match progress {
                Progress::FragmentDone => {}
                Progress::Starved => return (used, Ok(None)),
                Progress::InPlace { opcode, payload_bytes } => {
                    let payload = &input[used - payload_bytes..used];
                    return (used, event(opcode, payload).map(Some));
                }
                Progress::Control { opcode } => {
                    let payload = self.partial.as_ref().map_or(&[][..], |partial| &partial.control);
                    return (used, event(opcode, payload).map(Some));
                }
                Progress::Message => {
                    let message = self.partial.as_ref().and_then(|partial| partial.message.as_ref());
                    return (used, Ok(message.map(|message| Event::Message(message.as_message()))));
                }
            }
        }
    }

    /// Returns whether the stream is between messages. If it ends elsewhere, the client was cut off.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.partial.as_ref().is_none_or(|partial| partial.is_spent())
    }

    /// How many bytes of memory the incomplete message takes, most of them for what has arrived.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let message = self.partial.as_ref().and_then(|partial| partial.message.as_ref());
        message.map_or(0, |message| message.capacity())
    }

    /// Keeps nothing of the incomplete message: what still comes of it is counted and dropped, and in the end it is an empty one.
    pub fn discard_message(&mut self) {
        if let Some(message) = self.partial.as_mut().and_then(|partial| partial.message.as_mut()) {
            message.discard();
        }
    }

    /// Frees what the last event borrowed from the decoder. Without it the next call of [`decode`](Self::decode) does.
    pub fn free(&mut self) {
        if self.partial.as_ref().is_some_and(|partial| partial.is_spent()) {
            self.partial = None;
        }
    }

    /// Goes through at most one frame.
    fn advance(
        &mut self,
        input: &mut [u8],
        limits: &DecodeLimits,
    ) -> Result<(usize, Progress), ProtocolError> {
        if self.partial.as_ref().is_some_and(|partial| partial.frame.is_some()) {
            return self.collect(input, limits);
        }
        let (header_bytes, header) = self.read_header(input, limits)?;
        let Some(header) = header else { return Ok((header_bytes, Progress::Starved)) };
        let payload_bytes = self.check(&header, limits)?;
        let input = &mut input[header_bytes..];
        let is_whole_event =
            header.opcode.is_control() || (header.is_final && header.opcode != OpCode::Continuation);
        if is_whole_event && input.len() >= payload_bytes {
            let payload = &mut input[..payload_bytes];
            unmask(payload, header.mask, 0);
            self.free();
            let opcode = header.opcode;
            if header.is_compressed {
                let partial = Partial::inflated(opcode.kind(), payload, limits.message_bytes_max)?;
                self.partial = Some(Box::new(partial));
                return Ok((header_bytes + payload_bytes, Progress::Message));
            }
            return Ok((header_bytes + payload_bytes, Progress::InPlace { opcode, payload_bytes }));
        }
        self.partial.get_or_insert_default().open_frame(&header, payload_bytes);
        let (used, progress) = self.collect(input, limits)?;
        Ok((header_bytes + used, progress))
    }

    /// The next header, and how much of `input` belongs to it.
    fn read_header(
        &mut self,
        input: &[u8],
        limits: &DecodeLimits,
    ) -> Result<(usize, Option<FrameHeader>), ProtocolError> {
        if input.is_empty() {
            return Ok((0, None));
        }
        let reserved = if limits.inflates { RESERVED & !RSV1 } else { RESERVED };
        if let Some(partial) = &mut self.partial {
            return partial.header.fill(input, reserved);
        }
        match FrameHeader::parse(input, reserved)? {
            Some((header, header_bytes)) => Ok((header_bytes, Some(header))),
            None => self.partial.get_or_insert_default().header.fill(input, reserved),
        }
    }

    /// Refuses a header that is over a limit or out of place, and returns its payload's length.
    fn check(&self, header: &FrameHeader, limits: &DecodeLimits) -> Result<usize, ProtocolError> {
        let too_big = ProtocolError::FrameTooBig {
            announced: header.payload_bytes,
            frame_bytes_max: limits.frame_bytes_max,
        };
        let open = self.partial.as_ref().and_then(|partial| partial.message.as_ref());
        let is_compressed = header.is_compressed || open.is_some_and(|open| open.is_compressed());
        // What does not shrink is a little longer when it is compressed, and what it stands for has a limit of its own.
        let on_the_wire = |bytes: usize| if is_compressed { longest_compressed(bytes) } else { bytes };
        let payload_bytes = usize::try_from(header.payload_bytes).map_err(|_| too_big)?;
        if payload_bytes > on_the_wire(limits.frame_bytes_max) {
            return Err(too_big);
        }
        if header.opcode.is_control() {
            return Ok(payload_bytes);
        }
        let (message_bytes, fragments) = match (header.opcode, open) {
            (OpCode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            (OpCode::Continuation, Some(open)) => (open.bytes(), open.fragments),
            (_, Some(_)) => return Err(ProtocolError::UnfinishedMessage),
            (_, None) => (0, 0),
        };
        if message_bytes.saturating_add(payload_bytes) > on_the_wire(limits.message_bytes_max) {
            return Err(ProtocolError::MessageTooBig { message_bytes_max: limits.message_bytes_max });
        }
        if fragments >= limits.fragments_max {
            return Err(ProtocolError::TooManyFragments { fragments_max: limits.fragments_max });
        }
        Ok(payload_bytes)
    }

    /// Moves input into the open frame, and sees what its end means.
    fn collect(
        &mut self,
        input: &mut [u8],
        limits: &DecodeLimits,
    ) -> Result<(usize, Progress), ProtocolError> {
        let Some(partial) = &mut self.partial else { return Ok((0, Progress::Starved)) };
        let (used, frame) = partial.fill_frame(input)?;
        let progress = match frame {
            None => Progress::Starved,
            Some(frame) if frame.opcode.is_control() => Progress::Control { opcode: frame.opcode },
            Some(frame) if !frame.is_final => Progress::FragmentDone,
            Some(_) => {
                if let Some(message) = &mut partial.message {
                    message.finish(limits.message_bytes_max)?;
                }
                Progress::Message
            }
        };
        Ok((used, progress))
    }
}

/// How long a message of so many bytes may be when it is compressed: blocks that are stored as they are cost some bytes each.
fn longest_compressed(bytes: usize) -> usize {
    bytes.saturating_add(bytes / 1_024 + 64)
}

/// The event of a frame that is complete in itself.
fn event(opcode: OpCode, payload: &[u8]) -> Result<Event<'_>, ProtocolError> {
    Ok(match opcode {
        OpCode::Text => Event::Message(Message::Text(utf8(payload)?)),
        OpCode::Binary | OpCode::Continuation => Event::Message(Message::Binary(payload)),
        OpCode::Ping => Event::Ping(payload),
        OpCode::Pong => Event::Pong(payload),
        OpCode::Close => Event::Close(close(payload)?),
    })
}

/// Empty, or a code of two bytes and a reason.
fn close(payload: &[u8]) -> Result<Option<(CloseCode, &str)>, ProtocolError> {
    let Some((&code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(ProtocolError::TruncatedCloseCode) };
    };
    let code = u16::from_be_bytes(code);
    let code = CloseCode::from_wire(code).ok_or(ProtocolError::BadCloseCode(code))?;
    Ok(Some((code, utf8(reason)?)))
}

fn utf8(bytes: &[u8]) -> Result<&str, ProtocolError> {
    str::from_utf8(bytes).map_err(|_| ProtocolError::InvalidUtf8)
}
