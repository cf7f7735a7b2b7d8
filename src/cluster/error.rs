//! What can go wrong between nodes.

use std::{error::Error, fmt};

/// Why it is not known that the broadcasts of other nodes on a topic reach this one.
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
    /// What of it is too large: its topic, its event or its payload.
    pub what: &'static str,
    /// Its bytes.
    pub bytes: usize,
    /// How many there may be: 1,024 of a topic or an event, 1 MiB of a payload.
    pub bytes_max: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, bytes, bytes_max } = self;
        write!(f, "other nodes take {bytes_max} bytes of a broadcast's {what}, and this has {bytes}")
    }
}

impl Error for TooLarge {}
