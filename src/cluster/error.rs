//! What can go wrong between nodes.

use std::{error::Error, fmt};

use crate::topics::history::{HistoryError, NotRecovered};

/// The reason why it is not known that the broadcasts of other nodes on a topic reach this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotConfirmed {
    /// The engine is away, or did not confirm in time. It is asked on.
    Late,
    /// The engine refuses the topic's channel, for want of a permission.
    Refused,
    /// The server has gone down.
    Ended,
}

impl fmt::Display for NotConfirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Late => "the cluster's engine did not confirm the subscription in time",
            Self::Refused => "the cluster's engine refuses the subscription",
            Self::Ended => "the server has gone down",
        })
    }
}

impl Error for NotConfirmed {}

/// A broadcast that other nodes would not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TooLarge {
    /// The part that is too large: its topic, its event, the key or event of its policy, or its payload.
    pub what: &'static str,
    /// Its bytes.
    pub bytes: usize,
    /// The most that there may be: 1,024 of a topic, an event or a policy, 1 MiB of a payload.
    pub bytes_max: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, bytes, bytes_max } = self;
        write!(f, "other nodes take {bytes_max} bytes of a broadcast's {what}, and this has {bytes}")
    }
}

impl Error for TooLarge {}

/// A broadcast on a kept topic that nobody gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotKept;

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store of kept topics is away, and as many broadcasts wait for it as may")
    }
}

impl Error for NotKept {}

/// Why the store did not say what it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotRead {
    /// It is away, or did not answer in time.
    #[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "there is no store to be away"))]
    Away,
    /// What was asked for is in another history.
    #[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "there is no store"))]
    Epoch,
    /// Some of what was asked for is not kept any more.
    #[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "there is no store"))]
    Trimmed,
}

impl From<NotRead> for HistoryError {
    fn from(not_read: NotRead) -> Self {
        match not_read {
            NotRead::Away => Self::Away,
            NotRead::Epoch => Self::NotRecovered(NotRecovered::Epoch),
            NotRead::Trimmed => Self::NotRecovered(NotRecovered::Trimmed),
        }
    }
}
