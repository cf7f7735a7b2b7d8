//! How often replicas talk, and how much silence they bear.

use std::{fmt, time::Duration};

use crate::config::Config;

/// The durations and bounds of a [`Replica`](crate::Replica).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use lapwing_presence::{Replica, ReplicaConfig, ReplicaConfigError, ReplicaId};
///
/// let hasty = ReplicaConfig::default().down_after(Duration::from_secs(1));
/// let refused = Replica::new(ReplicaId::new(1, 1), hasty, Duration::ZERO);
/// assert!(matches!(refused, Err(ReplicaConfigError::DownTooEarly)));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ReplicaConfig {
    pub(crate) presences: Config,
    pub(crate) period: Duration,
    pub(crate) silence_max: Duration,
    pub(crate) down_after: Duration,
    pub(crate) forget_after: Duration,
    pub(crate) transmits_max: usize,
    pub(crate) transmits_bytes_max: usize,
}

impl ReplicaConfig {
    /// The layout and bounds of the state.
    pub fn presences(mut self, config: Config) -> Self {
        self.presences = config;
        self
    }

    /// How long changes are gathered before they are sent; 500 ms unless said otherwise.
    ///
    /// A change is seen on other nodes after half of it on average. Phoenix's is 1.5 s.
    pub fn period(mut self, period: Duration) -> Self {
        self.period = period;
        self
    }

    /// The longest time without a heartbeat; 5 s unless said otherwise.
    pub fn silence_max(mut self, silence: Duration) -> Self {
        self.silence_max = silence;
        self
    }

    /// After how much silence a replica is hidden; 15 s unless said otherwise, and at least twice the longest
    /// time without a heartbeat.
    ///
    /// For so long the presences of a node that was killed remain.
    pub fn down_after(mut self, silence: Duration) -> Self {
        self.down_after = silence;
        self
    }

    /// After how much silence a hidden replica is forgotten; 20 minutes unless said otherwise, and more than
    /// [`down_after`](Self::down_after).
    ///
    /// A split of the network that heals before costs only what changed meanwhile; later, everything is sent
    /// again.
    pub fn forget_after(mut self, silence: Duration) -> Self {
        self.forget_after = silence;
        self
    }

    /// How many messages wait to be polled at most; 1,024 unless said otherwise. At the bound the oldest is
    /// dropped, as the network might have done.
    pub fn transmits_max(mut self, messages: usize) -> Self {
        self.transmits_max = messages;
        self
    }

    /// How many bytes the messages that wait to be polled may take; 64 MiB unless said otherwise.
    ///
    /// At the bound the oldest are dropped, but never the newest: a whole part that is larger than the bound
    /// still has to be sent.
    pub fn transmits_bytes_max(mut self, bytes: usize) -> Self {
        self.transmits_bytes_max = bytes;
        self
    }

    pub(super) fn check(&self) -> Result<(), ReplicaConfigError> {
        if self.period.is_zero() || self.silence_max < self.period {
            return Err(ReplicaConfigError::PeriodOutOfRange);
        }
        if self.down_after < self.silence_max * 2 {
            return Err(ReplicaConfigError::DownTooEarly);
        }
        if self.forget_after <= self.down_after {
            return Err(ReplicaConfigError::ForgottenTooEarly);
        }
        Ok(())
    }
}

impl Default for ReplicaConfig {
    fn default() -> Self {
        Self {
            presences: Config::default(),
            period: Duration::from_millis(500),
            silence_max: Duration::from_secs(5),
            down_after: Duration::from_secs(15),
            forget_after: Duration::from_secs(20 * 60),
            transmits_max: 1024,
            transmits_bytes_max: 64 << 20,
        }
    }
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplicaConfigError {
    /// The period is zero, or longer than the longest silence.
    PeriodOutOfRange,
    /// One lost heartbeat would hide a replica: it is down after less than twice the longest silence.
    DownTooEarly,
    /// A replica would be forgotten before it is down.
    ForgottenTooEarly,
}

impl fmt::Display for ReplicaConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeriodOutOfRange => "the period is zero or longer than the longest silence",
            Self::DownTooEarly => "a replica is down after less than twice the longest silence",
            Self::ForgottenTooEarly => "a replica is forgotten before it is down",
        })
    }
}

impl std::error::Error for ReplicaConfigError {}
