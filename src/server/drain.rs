//! How a server that goes down sends its clients away.

use std::time::Duration;

use lapwing_transports::options::error::{FOREVER, OptionError, check_bound};

/// The pace at which a server that shuts down sends the clients of a mount away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Drain {
    pub(crate) batch: usize,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

impl Drain {
    /// Sessions closed at a time. Default 10,000, as many clients as another server lets in within two seconds.
    pub fn batch(mut self, sessions: usize) -> Self {
        self.batch = sessions;
        self
    }

    /// Time between two batches. Default 2 s, as in Phoenix.
    pub fn interval(mut self, time: Duration) -> Self {
        self.interval = time.min(FOREVER);
        self
    }

    /// Time for all batches. Default 30 s, as in Phoenix. Then the rest is closed at once; with 0 everybody is.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time.min(FOREVER);
        self
    }

    pub(crate) fn check(&self) -> Result<(), OptionError> {
        check_bound("Drain::batch", self.batch)
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self { batch: 10_000, interval: Duration::from_secs(2), timeout: Duration::from_secs(30) }
    }
}
