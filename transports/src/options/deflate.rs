//! Options of compressed messages.

/// Which messages are compressed for clients that take them so.
///
/// Messages are compressed one by one, without what was in others (`no_context_takeover`): a broadcast once for all its
/// subscribers, and a connection holds nothing for it. The price is that small messages do not shrink. What does not become
/// smaller by a tenth goes as it is.
///
/// ```
/// use lapwing_transports::options::{DeflateOptions, WebsocketOptions};
///
/// let options = WebsocketOptions::default().deflate(DeflateOptions::default().pushes_from(8 * 1024));
/// # let _ = options;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct DeflateOptions {
    broadcast_bytes_min: usize,
    push_bytes_min: usize,
    bytes_max: usize,
}

impl DeflateOptions {
    /// The defaults.
    pub const fn new() -> Self {
        Self { broadcast_bytes_min: 256, push_bytes_min: 1_024, bytes_max: 1024 * 1024 }
    }

    /// Bytes from which on what goes to many is compressed. Default 256: below it there is little to win by the words of one
    /// message alone.
    pub const fn broadcasts_from(mut self, bytes: usize) -> Self {
        self.broadcast_bytes_min = bytes;
        self
    }

    /// Bytes from which on what goes to one client is compressed, which costs some ten microseconds for each kilobyte. Default
    /// 1,024: below it a message fits into a packet anyway. `usize::MAX` for never.
    pub const fn pushes_from(mut self, bytes: usize) -> Self {
        self.push_bytes_min = bytes;
        self
    }

    /// Bytes up to which messages are compressed. Default 1 MiB: a thread does nothing else for the ten milliseconds that this
    /// takes. Larger ones go as they are.
    pub const fn up_to(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Returns whether a message of so many bytes is compressed that goes to many.
    #[must_use]
    pub fn takes_broadcast(&self, bytes: usize) -> bool {
        (self.broadcast_bytes_min..=self.bytes_max).contains(&bytes)
    }

    /// Returns whether a message of so many bytes is compressed that goes to one client.
    #[must_use]
    pub fn takes_push(&self, bytes: usize) -> bool {
        (self.push_bytes_min..=self.bytes_max).contains(&bytes)
    }
}

impl Default for DeflateOptions {
    fn default() -> Self {
        Self::new()
    }
}
