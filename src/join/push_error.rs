//! Why an event was not pushed.

use std::{error::Error, fmt};

use crate::protocol::EncodeError;

/// The reason why an event was not pushed to a client. Nothing was sent then.
#[derive(Debug)]
#[non_exhaustive]
pub enum PushError {
    /// It cannot be encoded for this client, or its name is reserved.
    Encode(EncodeError),
    /// As much waits for the client as may ([`OutboxLimits`](crate::OutboxLimits)). Later there may be room:
    /// [`Socket::ready`](crate::Socket::ready) waits for it.
    ///
    /// What a callback that returns this error, as `?` does, brings about depends on whether it answers the client. That of
    /// [`handle_in`](crate::Channel::handle_in) is the error reply, which needs room as well. Where nobody is answered, and where there is no room for the
    /// reply, the session ends as one whose client is too slow, with 1013.
    Full,
    /// The client's session is over. Only who waits for room is told; otherwise the end of the join says it.
    Closed,
}

impl From<EncodeError> for PushError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode(error) => error.fmt(f),
            Self::Full => f.write_str("too much waits for the client"),
            Self::Closed => f.write_str("the client's session is over"),
        }
    }
}

impl Error for PushError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Encode(error) => error.source(),
            Self::Full | Self::Closed => None,
        }
    }
}
