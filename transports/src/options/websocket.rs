//! Options of the WebSocket transport.

use std::time::Duration;

#[cfg(feature = "deflate")]
use super::deflate::DeflateOptions;
use super::error::{FOREVER, OptionError, check_bound, check_path, check_time};

/// Bounds of what a client may send at once. At each bound the connection is refused with an error, never trimmed.
///
/// All of them are checked against the announced length, before the payload arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct DecodeLimits {
    pub(crate) frame_bytes_max: usize,
    pub(crate) message_bytes_max: usize,
    pub(crate) fragments_max: usize,
    /// Whether messages may come compressed, as client and server have agreed.
    pub(crate) inflates: bool,
}

impl DecodeLimits {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            frame_bytes_max: 10_000_000,
            message_bytes_max: 10_000_000,
            fragments_max: 65_536,
            inflates: false,
        }
    }

    /// Payload bytes of one frame. Default 10,000,000: what Phoenix's WebSocket adapter accepts, so that a client that
    /// works there works here. Nothing is reserved for it: memory follows what has arrived. A larger frame closes the
    /// connection with 1009.
    pub const fn frame_bytes_max(mut self, bytes: usize) -> Self {
        self.frame_bytes_max = bytes;
        self
    }

    /// Payload bytes of one message, over all its fragments. Default 10,000,000: cutting a message into fragments should
    /// neither win nor lose anything. A larger message closes the connection with 1009.
    pub const fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.message_bytes_max = bytes;
        self
    }

    /// Frames of one message, empty ones included. Default 65,536: a message of 4 MiB in fragments of 64 bytes, the worst
    /// that the Autobahn suite expects to work. Empty fragments are not refused one by one (the RFC allows them) but
    /// count here, so that nobody can keep a message open with them for ever. One more closes the connection with 1008.
    pub const fn fragments_max(mut self, fragments: usize) -> Self {
        self.fragments_max = fragments;
        self
    }

    /// Takes compressed messages, too, as RFC 7692 has them. The limits are those of what they stand for: beyond them inflating
    /// stops. One that cannot be inflated closes the connection with 1007.
    #[cfg(feature = "deflate")]
    pub const fn with_deflate(mut self) -> Self {
        self.inflates = true;
        self
    }
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self::new()
    }
}

/// Options of the WebSocket transport. The defaults are Phoenix's, where it has the option.
///
/// ```
/// use std::time::Duration;
/// use lapwing_transports::options::WebsocketOptions;
///
/// let options = WebsocketOptions::default().idle_timeout(Duration::from_secs(45)).message_bytes_max(64 * 1024);
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct WebsocketOptions {
    pub(crate) path: String,
    pub(crate) idle_timeout: Duration,
    pub(crate) limits: DecodeLimits,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) message_timeout: Duration,
    pub(crate) linger: Duration,
    #[cfg(feature = "deflate")]
    pub(crate) deflate: Option<DeflateOptions>,
}

impl WebsocketOptions {
    /// The last segment of the transport's path, below the mount. Default `websocket`, where the stock client looks for it.
    pub fn path(mut self, segment: impl Into<String>) -> Self {
        self.path = segment.into();
        self
    }

    /// Sets the time that a client may say nothing. Default 60 s, twice the stock client's heartbeat interval. Then the connection is closed
    /// with 1002.
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.idle_timeout = time.min(FOREVER);
        self
    }

    /// Payload bytes of one frame, see [`DecodeLimits::frame_bytes_max`]. Default 10,000,000; a larger one closes the
    /// connection with 1009.
    pub fn frame_bytes_max(mut self, bytes: usize) -> Self {
        self.limits.frame_bytes_max = bytes;
        self
    }

    /// Payload bytes of one message, see [`DecodeLimits::message_bytes_max`]. Default 10,000,000; a larger one closes the
    /// connection with 1009. Clients of resumable sessions are told, and send none.
    pub fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.limits.message_bytes_max = bytes;
        self
    }

    /// Frames of one message, see [`DecodeLimits::fragments_max`]. Default 65,536; one more closes the connection with 1008.
    pub fn fragments_max(mut self, fragments: usize) -> Self {
        self.limits.fragments_max = fragments;
        self
    }

    /// Adds a subprotocol that may be chosen besides `phoenix`, which goes with tokens. Default: none, and then what the
    /// client offers is ignored. With one, a client that offers only others is refused (403).
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocols.push(name.into());
        self
    }

    /// Sets the time that a message may take from its first byte to its last. Default 180 s: the largest message arrives at 64 KB a
    /// second with time to spare. While the handler is not ready it is not counted. Then the connection is closed with 1008.
    pub fn message_timeout(mut self, time: Duration) -> Self {
        self.message_timeout = time.min(FOREVER);
        self
    }

    /// Sets the time in which a closed connection has to take what is left, to answer the close, and to end its side. What it says
    /// meanwhile goes nowhere. Default 5 s: a client that is in the middle of a message over a slow line has long read by
    /// then why it was closed. Then it is dropped; with 0 at once.
    pub fn linger(mut self, time: Duration) -> Self {
        self.linger = time.min(FOREVER);
        self
    }

    /// Compresses messages for clients that offer permessage-deflate, as browsers do, and takes compressed ones from them: see
    /// [`DeflateOptions`] for which. Default: not, and the offer is ignored.
    #[cfg(feature = "deflate")]
    pub fn deflate(mut self, options: DeflateOptions) -> Self {
        self.deflate = Some(options);
        self
    }

    pub(super) fn check(&self) -> Result<(), OptionError> {
        check_path("WebsocketOptions::path", &self.path)?;
        check_time("WebsocketOptions::idle_timeout", self.idle_timeout)?;
        check_bound("WebsocketOptions::frame_bytes_max", self.limits.frame_bytes_max)?;
        check_bound("WebsocketOptions::message_bytes_max", self.limits.message_bytes_max)?;
        check_bound("WebsocketOptions::fragments_max", self.limits.fragments_max)?;
        check_time("WebsocketOptions::message_timeout", self.message_timeout)
    }
}

impl Default for WebsocketOptions {
    fn default() -> Self {
        Self {
            path: "websocket".into(),
            idle_timeout: Duration::from_secs(60),
            limits: DecodeLimits::new(),
            subprotocols: Vec::new(),
            message_timeout: Duration::from_secs(180),
            linger: Duration::from_secs(5),
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }
}
