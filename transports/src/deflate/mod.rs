//! Messages made smaller: permessage-deflate (RFC 7692), without context takeover in either direction; and the same blocks in event
//! streams and answers to polls, as gzip.
//!
//! ```text
//!   handshake ──▶ offers: what client and server agree on
//!   outgoing  ──▶ compressing: once for each frame, for all who get it ──▶ gzip: the blocks among what is not compressed
//!   incoming  ──▶ inflating: bounded while it grows
//! ```
//!
//! Nothing is kept from one message to the next, so that a connection holds no window, one compressed form serves all
//! connections, and what is in one message tells nothing of another. There is one compressor and one inflater for each thread.

#[cfg(feature = "deflate")]
mod compressing;
pub(crate) mod gzip;
#[cfg(feature = "deflate")]
mod inflating;
#[cfg(not(feature = "deflate"))]
mod off;
#[cfg(feature = "deflate")]
pub mod offers;
#[cfg(feature = "deflate")]
#[cfg(test)]
mod tests;

#[cfg(not(feature = "deflate"))]
pub(crate) use self::off::{crc32, inflated};
#[cfg(feature = "deflate")]
pub(crate) use self::{
    compressing::{compressed, crc32},
    inflating::inflated,
};

/// Why a compressed message cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Uninflatable {
    /// It is no DEFLATE, or ends in the middle, or goes on behind its end.
    Malformed,
    /// It would be longer than it may be.
    #[cfg_attr(not(feature = "deflate"), allow(dead_code, reason = "nothing is inflated"))]
    TooLong,
}
