//! RFC 6455 frames, the server's side: bytes to events and back, without I/O.
//!
//! ```text
//!  one read                    Decoder                         events
//! ┌───────────────┐   whole frame: unmasked in place   ┌─────────────────────┐
//! │ masked frames │ ─────────────────────────────────▶ │ borrowed from input │
//! └───────────────┘                                    └─────────────────────┘
//!         │ part of a frame, or a fragment             ┌─────────────────────┐
//!         └──────────────▶ Partial (heap) ───────────▶ │ borrowed from heap  │
//!                          freed at the next call      └─────────────────────┘
//! ```
//!
//! An own codec because of idle memory: no published one holds nothing at all while a connection is silent.

mod decoder;
mod encoder;
mod error;
mod header;
#[cfg(test)]
mod masked;
mod partial;
#[cfg(test)]
mod tests;
mod unmask;
mod utf8;

pub use decoder::{Decoder, Event};
pub(crate) use encoder::mark_compressed;
pub use encoder::{ClosePayload, append_frame, encode_header, frame_bytes, write_frame};
pub use error::ProtocolError;
pub use header::OpCode;
