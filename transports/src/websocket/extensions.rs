//! What client and server agreed on besides RFC 6455: whether messages may be compressed.

#[cfg(feature = "deflate")]
use http::header::SEC_WEBSOCKET_EXTENSIONS;
use http::{HeaderMap, HeaderValue};

#[cfg(feature = "deflate")]
use crate::deflate::offers::{Agreement, agree};
use crate::{
    forms::Forms,
    frame::Frame,
    options::{DecodeLimits, WebsocketOptions},
    websocket::codec::{Event, ProtocolError, append_frame, encode_header, frame_bytes, mark_compressed},
};

/// Bytes that take about as long to inflate as a message takes to be handled.
const MESSAGE_BYTES: usize = 4 * 1024;

/// The extensions of a connection, in one byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    /// The base-2 logarithm of the window of the client's inflater; 0 without permessage-deflate.
    window_bits: u8,
}

/// How a connection writes: its extensions, whether it has written something since it last flushed, and whether something of a frame since it
/// last looked for more. One byte, as idle connections are the many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Writing(u8);

/// The other bits are those of a window.
const UNFLUSHED: u8 = 0x80;
const MOVED: u8 = 0x40;

/// A frame as a connection writes it. For one connection it is always the same: how much of it was written is a number.
#[derive(Clone, Copy)]
pub(super) struct Form<'f> {
    frame: &'f Frame,
    compressed: Option<&'f [u8]>,
}

impl Extensions {
    /// Agrees with a client on what it offers and the mount allows. Returns the header that says so, too.
    pub(super) fn agree(options: &WebsocketOptions, headers: &HeaderMap) -> (Self, Option<HeaderValue>) {
        #[cfg(feature = "deflate")]
        if options.deflate.is_some()
            && let Some(agreement) =
                agree(headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter().map(HeaderValue::as_bytes))
        {
            return (agreement.into(), HeaderValue::from_str(&agreement.to_string()).ok());
        }
        let _ = (options, headers);
        (Self::default(), None)
    }

    /// What another node has agreed on; one window that is none is as no compression.
    pub(super) fn carried(window_bits: u8) -> Self {
        Self { window_bits: if (8..=15).contains(&window_bits) { window_bits } else { 0 } }
    }

    /// For the node that a connection is carried to.
    pub(super) fn window_bits(self) -> u8 {
        self.window_bits
    }

    /// Whether messages may be compressed.
    pub(super) fn has_deflate(self) -> bool {
        self.window_bits > 0
    }

    /// In which form the client takes frames compressed.
    pub(super) fn forms(self) -> Forms {
        if self.has_deflate() { Forms::MESSAGES } else { Forms::NONE }
    }

    /// What the client may send.
    pub(super) fn limits(self, limits: &DecodeLimits) -> DecodeLimits {
        DecodeLimits { inflates: self.has_deflate(), ..*limits }
    }

    /// How many messages an event counts as, so that other tasks get their turn: what is inflated took its time.
    #[inline]
    pub(super) fn weight(self, event: &Result<Option<Event<'_>>, ProtocolError>) -> usize {
        match event {
            Ok(Some(Event::Message(message))) if self.has_deflate() => {
                1 + message.as_bytes().len() / MESSAGE_BYTES
            }
            _ => 1,
        }
    }

    /// A frame as it is written. Compressed only if it was when it was pushed; a connection compresses nothing itself.
    #[inline]
    pub(super) fn form(self, frame: &Frame) -> Form<'_> {
        let compressed = if self.has_deflate() { self.compressed(frame) } else { None };
        Form { frame, compressed }
    }

    /// What is written of a frame that was compressed, if the client can inflate it.
    fn compressed(self, frame: &Frame) -> Option<&[u8]> {
        // What is no longer than the window refers to nothing farther behind.
        let fits = self.window_bits == 15 || frame.payload().len() <= 1 << self.window_bits;
        frame.compressed().filter(|_| fits)
    }
}

impl Writing {
    #[inline]
    pub(super) fn extensions(self) -> Extensions {
        Extensions { window_bits: self.0 & !(UNFLUSHED | MOVED) }
    }

    /// Something was written, or something of a frame.
    pub(super) fn set_written(&mut self, is_of_frame: bool) {
        self.0 |= if is_of_frame { UNFLUSHED | MOVED } else { UNFLUSHED };
    }

    pub(super) fn set_flushed(&mut self) {
        self.0 &= !UNFLUSHED;
    }

    pub(super) fn is_unflushed(self) -> bool {
        self.0 & UNFLUSHED != 0
    }

    /// Returns whether something of a frame was written since this was last asked.
    pub(super) fn take_moved(&mut self) -> bool {
        let moved = self.0 & MOVED != 0;
        self.0 &= !MOVED;
        moved
    }
}

impl From<Extensions> for Writing {
    fn from(extensions: Extensions) -> Self {
        Self(extensions.window_bits)
    }
}

#[cfg(feature = "deflate")]
impl From<Agreement> for Extensions {
    fn from(agreement: Agreement) -> Self {
        Self { window_bits: agreement.window_bits() }
    }
}

impl<'f> Form<'f> {
    /// What follows the header.
    #[inline]
    pub(super) fn payload(self) -> &'f [u8] {
        self.compressed.unwrap_or(self.frame.payload())
    }

    /// The length of the whole frame.
    #[inline]
    pub(super) fn frame_bytes(self) -> usize {
        frame_bytes(self.payload().len())
    }

    /// Writes the header and returns its length.
    pub(super) fn encode_header(self, header: &mut [u8; 10]) -> usize {
        let length = encode_header(self.frame.kind().into(), self.payload().len(), header);
        if self.compressed.is_some() {
            mark_compressed(header);
        }
        length
    }

    /// Appends the whole frame.
    #[inline]
    pub(super) fn append(self, out: &mut Vec<u8>) {
        match self.compressed {
            None => append_frame(self.frame.kind().into(), self.frame.payload(), out),
            Some(compressed) => {
                let start = out.len();
                append_frame(self.frame.kind().into(), compressed, out);
                mark_compressed(&mut out[start..]);
            }
        }
    }
}
