//! Options of resumable sessions.

use std::time::Duration;

use super::error::{FOREVER, OptionError, check_bound, check_time};

/// Options of sessions that outlive their connections.
#[derive(Clone, Debug)]
#[must_use]
pub struct ResumeOptions {
    pub(crate) window: Duration,
    pub(crate) unproven: Duration,
    pub(crate) away_after: Option<Duration>,
    pub(crate) greeting_timeout: Duration,
    pub(crate) ended_max: u64,
    pub(crate) ended_lifetime: Duration,
    pub(crate) body_bytes_max: usize,
    pub(crate) body_timeout: Duration,
    pub(crate) lines_max: usize,
    pub(crate) ready_timeout: Duration,
}

impl ResumeOptions {
    /// Sets the time that a session is kept after the last sign of life of its client. Default 60 s: as long as Phoenix waits for a
    /// silent WebSocket, so that somebody who vanishes is seen to leave no later than there. Then the session ends, and a
    /// late client is told `expired`.
    pub fn window(mut self, time: Duration) -> Self {
        self.window = time.min(FOREVER);
        self
    }

    /// Sets the time that a session is kept that was only opened: no second connection has carried it, its client has acknowledged
    /// nothing, and the connection it was opened by does not carry it. Default 10 s: enough for a client with two seconds of
    /// delay to poll for the first time, and little for one who opens sessions and forgets them. Then the session ends.
    pub fn unproven(mut self, time: Duration) -> Self {
        self.unproven = time.min(FOREVER);
        self
    }

    /// After how long without a connection the channels are told that the client is away; less than the
    /// [`window`](Self::window). Default: they never are.
    pub fn away_after(mut self, time: Duration) -> Self {
        self.away_after = Some(time.min(FOREVER));
        self
    }

    /// Sets the time that a WebSocket may take to say which session it is for. Default 10 s. Then it is closed.
    pub fn greeting_timeout(mut self, time: Duration) -> Self {
        self.greeting_timeout = time.min(FOREVER);
        self
    }

    /// Sets the number of ended sessions that are remembered, to tell a late client why. Default 10,000, a few hundred kilobytes. The oldest are
    /// forgotten first, and their clients are told `unknown`.
    pub fn ended_max(mut self, sessions: u64) -> Self {
        self.ended_max = sessions;
        self
    }

    /// Sets the time that ended sessions are remembered. Default 5 min. Then their clients are told `unknown`.
    pub fn ended_lifetime(mut self, time: Duration) -> Self {
        self.ended_lifetime = time.min(FOREVER);
        self
    }

    /// Bytes of a POST. Default 13,400,000: the largest message that a WebSocket takes has its place in it, as text and in
    /// base64. Clients are told this bound, and do not send a message beyond it over any transport; a larger POST is answered with 413.
    pub fn body_bytes_max(mut self, bytes: usize) -> Self {
        self.body_bytes_max = bytes;
        self
    }

    /// Sets the time that a POST may take to arrive. Default 30 s. Then it is answered with 408.
    pub fn body_timeout(mut self, time: Duration) -> Self {
        self.body_timeout = time.min(FOREVER);
        self
    }

    /// Lines in one POST. Default 2,000, half of what an outbox holds. A longer POST is refused (400).
    pub fn lines_max(mut self, lines: usize) -> Self {
        self.lines_max = lines;
        self
    }

    /// Sets the time that a POST waits for a handler that is not ready, over all its frames. Default 500 ms: no longer than clients wait
    /// before they think that nobody heard them. Then it is answered with how far it came.
    pub fn ready_timeout(mut self, time: Duration) -> Self {
        self.ready_timeout = time.min(FOREVER);
        self
    }

    pub(super) fn check(&self) -> Result<(), OptionError> {
        check_time("ResumeOptions::window", self.window)?;
        check_time("ResumeOptions::unproven", self.unproven)?;
        check_time("ResumeOptions::greeting_timeout", self.greeting_timeout)?;
        check_bound("ResumeOptions::body_bytes_max", self.body_bytes_max)?;
        check_time("ResumeOptions::body_timeout", self.body_timeout)?;
        check_bound("ResumeOptions::lines_max", self.lines_max)?;
        match self.away_after {
            Some(away_after) if away_after >= self.window => Err(OptionError::new(
                "ResumeOptions::away_after",
                "a session ends before its client is away: give less than the window, or a longer window",
            )),
            _ => Ok(()),
        }
    }
}

impl Default for ResumeOptions {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
            unproven: Duration::from_secs(10),
            away_after: None,
            greeting_timeout: Duration::from_secs(10),
            ended_max: 10_000,
            ended_lifetime: Duration::from_secs(300),
            body_bytes_max: 13_400_000,
            body_timeout: Duration::from_secs(30),
            lines_max: 2_000,
            ready_timeout: Duration::from_millis(500),
        }
    }
}
