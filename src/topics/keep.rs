//! How much a kept topic remembers.

use std::time::Duration;

use lapwing_transports::options::error::{OptionError, check_bound, check_time};

use crate::topics::log::{Bounds, Cap};

/// Bounds of what the topics of a pattern remember of their broadcasts, for clients that come back.
///
/// ```
/// use std::time::Duration;
/// use lapwing::{Keep, Mount};
///
/// let keep = Keep::last(100).for_at_most(Duration::from_secs(300));
/// let mount = Mount::new().keep("room:*", keep);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Keep {
    pub(crate) bounds: Bounds,
    pub(crate) cap: Cap,
}

impl Keep {
    /// Remembers the last `messages` of each topic.
    pub fn last(messages: usize) -> Self {
        Self {
            bounds: Bounds { messages, bytes: 256 * 1024, age: Duration::from_secs(300) },
            cap: Cap { messages: 300, bytes: 1024 * 1024 },
        }
    }

    /// Forgets messages that are older. Default 5 minutes: a page that was closed longer than that loads its state anew.
    pub fn for_at_most(mut self, age: Duration) -> Self {
        self.bounds.age = age;
        self
    }

    /// Forgets the oldest messages of a topic when all of them take more bytes: topic, event, payload, and 128 B for each.
    /// Default 256 KiB. A message that is larger alone is sent, and not remembered.
    pub fn bytes_max(mut self, bytes: usize) -> Self {
        self.bounds.bytes = bytes;
        self
    }

    /// Gives one join so many messages at most; a client that missed more is told that it was not recovered. Default 300: a
    /// crowd that comes back must not be sent all that is remembered.
    pub fn replay_max(mut self, messages: usize) -> Self {
        self.cap.messages = messages;
        self
    }

    /// Gives one join so many bytes at most, counted as by [`bytes_max`](Self::bytes_max). Default 1 MiB.
    pub fn replay_bytes_max(mut self, bytes: usize) -> Self {
        self.cap.bytes = bytes;
        self
    }

    /// Checks that each bound lets something through.
    pub(crate) fn check(&self) -> Result<(), OptionError> {
        check_bound("Keep::last", self.bounds.messages)?;
        check_time("Keep::for_at_most", self.bounds.age)?;
        check_bound("Keep::bytes_max", self.bounds.bytes)?;
        check_bound("Keep::replay_max", self.cap.messages)?;
        check_bound("Keep::replay_bytes_max", self.cap.bytes)
    }
}
