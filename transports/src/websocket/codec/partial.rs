//! What a decoder keeps while a frame or message is incomplete.

use super::{
    error::ProtocolError,
    header::{CONTROL_BYTES_MAX, FrameHeader, HEADER_BYTES_MAX, OpCode},
    unmask::unmask,
    utf8::{InvalidUtf8, TextBuffer},
};
use crate::{
    deflate::{self, Uninflatable},
    frame::{FrameKind, Message},
};

/// Lives from the first byte that cannot be judged at once to the delivery of what it began.
#[derive(Debug, Default)]
pub(super) struct Partial {
    pub(super) header: PartialHeader,
    /// The frame whose header is complete and whose payload is not.
    pub(super) frame: Option<OpenFrame>,
    /// The message of which at least one header was seen. Its frames are counted here.
    pub(super) message: Option<OpenMessage>,
    /// The payload of an incomplete control frame, at most 125 bytes. It has its own place since it may stand
    /// between the fragments of `message`.
    pub(super) control: Vec<u8>,
}

/// The first bytes of a header.
#[derive(Debug, Default)]
pub(super) struct PartialHeader {
    bytes: [u8; HEADER_BYTES_MAX],
    /// How many of `bytes` have arrived.
    arrived: u8,
}

#[derive(Debug)]
pub(super) struct OpenFrame {
    pub(super) opcode: OpCode,
    pub(super) is_final: bool,
    mask: [u8; 4],
    payload_bytes: usize,
    /// How much of the payload has arrived, less than `payload_bytes` except for an empty one.
    arrived: usize,
}

#[derive(Debug)]
pub(super) struct OpenMessage {
    /// Of a compressed message, until all of it has come, its bytes as they came.
    payload: Payload,
    /// What the message is that is still compressed.
    compressed: Option<FrameKind>,
    /// Frames that began, the present one included.
    pub(super) fragments: usize,
    /// Whether all has arrived and was handed out.
    pub(super) is_delivered: bool,
}

#[derive(Debug)]
enum Payload {
    Text(TextBuffer),
    Binary(Vec<u8>),
    /// Nobody wants it: so many bytes have gone by.
    Discarded(usize),
}

impl Partial {
    /// A compressed message that came in one piece, ready to be handed out.
    pub(super) fn inflated(
        kind: FrameKind,
        compressed: &[u8],
        message_bytes_max: usize,
    ) -> Result<Self, ProtocolError> {
        let payload = Payload::inflated(kind, compressed, message_bytes_max)?;
        let message = OpenMessage { payload, compressed: None, fragments: 1, is_delivered: true };
        Ok(Self { message: Some(message), ..Self::default() })
    }

    /// Whether nothing in here is needed any more.
    pub(super) fn is_spent(&self) -> bool {
        self.header.arrived == 0
            && self.frame.is_none()
            && self.message.as_ref().is_none_or(|message| message.is_delivered)
    }

    /// Begins the frame of `header`, whose limits and place in the message have been checked.
    pub(super) fn open_frame(&mut self, header: &FrameHeader, payload_bytes: usize) {
        match header.opcode {
            OpCode::Text | OpCode::Binary if header.is_compressed => {
                let mut message = OpenMessage::new(Payload::Binary(Vec::new()));
                message.compressed = Some(header.opcode.kind());
                self.message = Some(message);
            }
            OpCode::Text => self.message = Some(OpenMessage::new(Payload::Text(TextBuffer::default()))),
            OpCode::Binary => self.message = Some(OpenMessage::new(Payload::Binary(Vec::new()))),
            OpCode::Close | OpCode::Ping | OpCode::Pong => self.control.clear(),
            OpCode::Continuation => {}
        }
        if let Some(message) = self.message.as_mut().filter(|_| !header.opcode.is_control()) {
            message.fragments += 1;
        }
        self.frame = Some(OpenFrame {
            opcode: header.opcode,
            is_final: header.is_final,
            mask: header.mask,
            payload_bytes,
            arrived: 0,
        });
    }

    /// Moves what `input` holds of the open frame in here, and returns how much that was and the frame if it
    /// is now complete.
    pub(super) fn fill_frame(
        &mut self,
        input: &mut [u8],
    ) -> Result<(usize, Option<OpenFrame>), ProtocolError> {
        let Some(mut frame) = self.frame.take() else { return Ok((0, None)) };
        let missing = frame.payload_bytes - frame.arrived;
        let used = missing.min(input.len());
        let chunk = &mut input[..used];
        unmask(chunk, frame.mask, frame.arrived);
        if frame.opcode.is_control() {
            self.control.reserve_exact(chunk.len());
            self.control.extend_from_slice(chunk);
            debug_assert!(self.control.len() <= CONTROL_BYTES_MAX);
        } else if let Some(message) = &mut self.message {
            // No fragment follows a final frame, so that the message ends where the frame does.
            let missing = frame.is_final.then_some(missing);
            message.push(chunk, missing)?;
        }
        frame.arrived += used;
        if frame.arrived < frame.payload_bytes {
            self.frame = Some(frame);
            return Ok((used, None));
        }
        Ok((used, Some(frame)))
    }
}

impl PartialHeader {
    /// Adds what `input` holds of the header. Returns how much of `input` belongs to it, and the header if it
    /// is now complete.
    pub(super) fn fill(
        &mut self,
        input: &[u8],
        reserved: u8,
    ) -> Result<(usize, Option<FrameHeader>), ProtocolError> {
        let before = usize::from(self.arrived);
        let copied = input.len().min(HEADER_BYTES_MAX - before);
        let arrived = before + copied;
        self.bytes[before..arrived].copy_from_slice(&input[..copied]);
        let Some((header, header_bytes)) = FrameHeader::parse(&self.bytes[..arrived], reserved)? else {
            self.arrived = arrived as u8;
            return Ok((copied, None));
        };
        self.arrived = 0;
        // Earlier calls would have returned the header if it ended in their bytes, so it ends in `input`.
        Ok((header_bytes - before, Some(header)))
    }
}

impl OpenMessage {
    fn new(payload: Payload) -> Self {
        Self { payload, compressed: None, fragments: 0, is_delivered: false }
    }

    /// Appends an unmasked piece of a frame. `missing` is how much the message lacks before it, if that is
    /// known.
    fn push(&mut self, chunk: &[u8], missing: Option<usize>) -> Result<(), ProtocolError> {
        if let Payload::Discarded(bytes) = &mut self.payload {
            *bytes += chunk.len();
            return Ok(());
        }
        let needed = self.bytes() + chunk.len();
        if needed > self.capacity() {
            // Twice what has arrived, so that copying stays linear, but not more than the message can fill.
            // The announced length alone never reserves anything: it costs the client fourteen bytes.
            let total_bytes = missing.map_or(needed * 2, |missing| (needed * 2).min(self.bytes() + missing));
            match &mut self.payload {
                Payload::Text(text) => text.reserve(total_bytes),
                Payload::Binary(bytes) => {
                    bytes.reserve_exact(total_bytes - bytes.len());
                }
                Payload::Discarded(_) => {}
            }
        }
        match &mut self.payload {
            Payload::Text(text) => text.push(chunk).map_err(|InvalidUtf8| ProtocolError::InvalidUtf8),
            Payload::Binary(bytes) => {
                bytes.extend_from_slice(chunk);
                Ok(())
            }
            Payload::Discarded(_) => Ok(()),
        }
    }

    /// Keeps nothing of the message, neither what has arrived nor what will.
    pub(super) fn discard(&mut self) {
        self.payload = Payload::Discarded(self.bytes());
    }

    /// Declares the message complete.
    pub(super) fn finish(&mut self, message_bytes_max: usize) -> Result<(), ProtocolError> {
        self.is_delivered = true;
        if let (Payload::Binary(bytes), Some(kind)) = (&self.payload, self.compressed.take()) {
            self.payload = Payload::inflated(kind, bytes, message_bytes_max)?;
        }
        match &self.payload {
            Payload::Text(text) if text.ends_inside_character() => Err(ProtocolError::InvalidUtf8),
            Payload::Text(_) | Payload::Binary(_) | Payload::Discarded(_) => Ok(()),
        }
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.compressed.is_some()
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.payload {
            Payload::Text(text) => text.bytes(),
            Payload::Binary(bytes) => bytes.len(),
            Payload::Discarded(bytes) => *bytes,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        match &self.payload {
            Payload::Text(text) => text.capacity(),
            Payload::Binary(bytes) => bytes.capacity(),
            Payload::Discarded(_) => 0,
        }
    }

    pub(super) fn as_message(&self) -> Message<'_> {
        match &self.payload {
            Payload::Text(text) => Message::Text(text.as_str()),
            Payload::Binary(bytes) => Message::Binary(bytes),
            Payload::Discarded(_) => Message::Binary(&[]),
        }
    }
}

impl Payload {
    fn inflated(kind: FrameKind, compressed: &[u8], message_bytes_max: usize) -> Result<Self, ProtocolError> {
        let bytes = deflate::inflated(compressed, message_bytes_max).map_err(|error| match error {
            Uninflatable::Malformed => ProtocolError::MalformedDeflate,
            Uninflatable::TooLong => ProtocolError::MessageTooBig { message_bytes_max },
        })?;
        Ok(match kind {
            FrameKind::Text => {
                Self::Text(TextBuffer::from_utf8(bytes).map_err(|InvalidUtf8| ProtocolError::InvalidUtf8)?)
            }
            FrameKind::Binary => Self::Binary(bytes),
        })
    }
}
