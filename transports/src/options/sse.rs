//! Options of the SSE transport.

use std::time::Duration;

#[cfg(feature = "deflate")]
use super::deflate::DeflateOptions;
use super::error::{FOREVER, OptionError, check_path, check_time};

/// Options of the SSE transport, which only resumable sessions use.
#[derive(Clone, Debug)]
#[must_use]
pub struct SseOptions {
    pub(crate) path: String,
    pub(crate) prelude_bytes: usize,
    pub(crate) ticket_lifetime: Duration,
    pub(crate) tickets_max: u64,
    #[cfg(feature = "deflate")]
    pub(crate) gzip: Option<DeflateOptions>,
}

impl SseOptions {
    /// The last segment of the transport's path, below the mount. Default `sse`, where `lapwing-transport` looks for it.
    pub fn path(mut self, segment: impl Into<String>) -> Self {
        self.path = segment.into();
        self
    }

    /// Bytes of comment before the first event, for proxies that hold back the first bytes of a response. Default 2,048,
    /// which is what they are known to hold back; 0 for none.
    pub fn prelude_bytes(mut self, bytes: usize) -> Self {
        self.prelude_bytes = bytes;
        self
    }

    /// Sets the time for which a ticket for an `EventSource` is good. Default 5 s: it travels in a URL and must be worthless soon. A late one is
    /// refused, and the client asks for another.
    pub fn ticket_lifetime(mut self, time: Duration) -> Self {
        self.ticket_lifetime = time.min(FOREVER);
        self
    }

    /// Tickets that may wait to be used. Default 10,000: as many clients as may come in five seconds. The oldest are forgotten
    /// first.
    pub fn tickets_max(mut self, tickets: u64) -> Self {
        self.tickets_max = tickets;
        self
    }

    /// Sends event streams as gzip to clients that accept it, as browsers do: see [`DeflateOptions`] for which messages are compressed
    /// in them. Everything else is in them as it is, tokens and control lines among it. Default: not, and what clients accept is not
    /// looked at.
    ///
    /// The options are those of [`WebsocketOptions::deflate`](super::WebsocketOptions::deflate) and
    /// [`LongpollOptions::gzip`](super::LongpollOptions::gzip), where these compress, too: a message is compressed once for all transports.
    ///
    /// ```
    /// use lapwing_transports::options::{DeflateOptions, SseOptions, TransportOptions, WebsocketOptions};
    ///
    /// let websocket = WebsocketOptions::default().deflate(DeflateOptions::default());
    /// let options = TransportOptions::default().websocket(websocket);
    /// assert!(options.clone().sse(SseOptions::default().gzip(DeflateOptions::default())).check().is_ok());
    /// let other = DeflateOptions::default().broadcasts_from(8 * 1024);
    /// assert!(options.sse(SseOptions::default().gzip(other)).check().is_err());
    /// ```
    #[cfg(feature = "deflate")]
    pub fn gzip(mut self, options: DeflateOptions) -> Self {
        self.gzip = Some(options);
        self
    }

    /// Whether clients that accept gzip get it.
    pub(crate) fn gzips(&self) -> bool {
        #[cfg(feature = "deflate")]
        let gzips = self.gzip.is_some();
        #[cfg(not(feature = "deflate"))]
        let gzips = false;
        gzips
    }

    pub(super) fn check(&self) -> Result<(), OptionError> {
        check_path("SseOptions::path", &self.path)?;
        check_time("SseOptions::ticket_lifetime", self.ticket_lifetime)?;
        match self.tickets_max {
            0 => Err(OptionError::new(
                "SseOptions::tickets_max",
                "0 lets no EventSource in: use without_sse to mean that",
            )),
            _ => Ok(()),
        }
    }
}

impl Default for SseOptions {
    fn default() -> Self {
        Self {
            path: "sse".into(),
            prelude_bytes: 2_048,
            ticket_lifetime: Duration::from_secs(5),
            tickets_max: 10_000,
            #[cfg(feature = "deflate")]
            gzip: None,
        }
    }
}
