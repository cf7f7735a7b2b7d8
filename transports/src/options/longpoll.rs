//! Options of the long-poll transport.

use std::time::Duration;

#[cfg(feature = "deflate")]
use super::deflate::DeflateOptions;
use super::error::{FOREVER, OptionError, check_bound, check_path, check_time};

/// Options of the long-poll transport. The defaults are Phoenix's, where it has the option.
#[derive(Clone, Debug)]
#[must_use]
pub struct LongpollOptions {
    pub(crate) path: String,
    pub(crate) window: Duration,
    pub(crate) answer_bytes_max: usize,
    pub(crate) body_bytes_max: usize,
    pub(crate) body_timeout: Duration,
    pub(crate) batch_max: usize,
    #[cfg(feature = "deflate")]
    pub(crate) gzip: Option<DeflateOptions>,
}

impl LongpollOptions {
    /// The last segment of the transport's path, below the mount. Default `longpoll`, where the stock client looks for it.
    pub fn path(mut self, segment: impl Into<String>) -> Self {
        self.path = segment.into();
        self
    }

    /// Sets the time that a poll waits for a frame. Default 10 s, shorter than any proxy's patience that we know of. Then it is answered
    /// without one. A stock session that is not polled for one and a half windows is closed.
    pub fn window(mut self, time: Duration) -> Self {
        self.window = time.min(FOREVER);
        self
    }

    /// Bytes of the messages in an answer to a poll, in whatever dialect; one message at least. Default 1,000,000, a
    /// quarter of what may be unacknowledged. The next poll gets the rest.
    pub fn answer_bytes_max(mut self, bytes: usize) -> Self {
        self.answer_bytes_max = bytes;
        self
    }

    /// Bytes of a POST of the stock client. Default 8,000,000. A larger one is answered with 413, and nothing of it is applied.
    pub fn body_bytes_max(mut self, bytes: usize) -> Self {
        self.body_bytes_max = bytes;
        self
    }

    /// Sets the time that a POST of the stock client may take to arrive. Default 30 s. Then it is answered with 408.
    pub fn body_timeout(mut self, time: Duration) -> Self {
        self.body_timeout = time.min(FOREVER);
        self
    }

    /// Messages in one POST of the stock client. Default 2,000: stock clients before 1.8.6 send all that has come up in one
    /// batch, later ones cut at 100. It is half of what an outbox holds, so that a batch of which every message is
    /// answered does not overflow it. A larger batch is refused as a whole.
    pub fn batch_max(mut self, messages: usize) -> Self {
        self.batch_max = messages;
        self
    }

    /// Sends answers to polls as gzip to clients that accept it, as browsers do, if that makes them smaller: see [`DeflateOptions`] for
    /// which messages are compressed in them. Everything else is in them as it is, tokens and control lines among it. Default: not,
    /// and what clients accept is not looked at.
    ///
    /// The options are those of [`WebsocketOptions::deflate`](super::WebsocketOptions::deflate) and
    /// [`SseOptions::gzip`](super::SseOptions::gzip), where these compress, too: a message is compressed once for all transports.
    ///
    /// ```
    /// use lapwing_transports::options::{DeflateOptions, LongpollOptions, TransportOptions};
    ///
    /// let longpoll = LongpollOptions::default().gzip(DeflateOptions::default());
    /// assert!(TransportOptions::default().longpoll(longpoll).check().is_ok());
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
        check_path("LongpollOptions::path", &self.path)?;
        check_time("LongpollOptions::window", self.window)?;
        check_bound("LongpollOptions::answer_bytes_max", self.answer_bytes_max)?;
        check_bound("LongpollOptions::body_bytes_max", self.body_bytes_max)?;
        check_time("LongpollOptions::body_timeout", self.body_timeout)?;
        check_bound("LongpollOptions::batch_max", self.batch_max)
    }
}

impl Default for LongpollOptions {
    fn default() -> Self {
        Self {
            path: "longpoll".into(),
            window: Duration::from_secs(10),
            answer_bytes_max: 1_000_000,
            body_bytes_max: 8_000_000,
            body_timeout: Duration::from_secs(30),
            batch_max: 2_000,
            #[cfg(feature = "deflate")]
            gzip: None,
        }
    }
}
