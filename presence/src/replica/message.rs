//! What replicas say to each other.

use crate::clock::Clocks;
use crate::delta::Delta;
use crate::tag::{Clock, ReplicaId};

/// A message between replicas. Any of them may be lost, repeated or late.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Message {
    /// The sender lives.
    #[non_exhaustive]
    Heartbeat {
        /// The sender.
        from: ReplicaId,
        /// What the sender has seen of the replicas that it shows, itself among them.
        clocks: Clocks,
        /// What the sender changed since its last heartbeat.
        delta: Delta,
    },
    /// The sender lacks something that the receiver is said to have.
    #[non_exhaustive]
    TransferRequest {
        /// The sender.
        from: ReplicaId,
        /// The replicas of which it lacks something, with what it has seen of them.
        seen: Clocks,
    },
    /// What was requested.
    #[non_exhaustive]
    Transfer {
        /// The sender.
        from: ReplicaId,
        /// What the receiver lacked.
        delta: Delta,
    },
    /// The sender has ended.
    #[non_exhaustive]
    Departure {
        /// The sender.
        from: ReplicaId,
    },
}

impl Message {
    /// What the message takes in memory at most, as if it shared nothing with a state.
    pub(super) fn bytes(&self) -> usize {
        let (clocks, delta) = match self {
            Self::Heartbeat { clocks, delta, .. } => (clocks.len(), delta.bytes()),
            Self::TransferRequest { seen, .. } => (seen.len(), 0),
            Self::Transfer { delta, .. } => (0, delta.bytes()),
            Self::Departure { .. } => (0, 0),
        };
        size_of::<Transmit>() + clocks * size_of::<(ReplicaId, Clock)>() + delta
    }
}

/// To whom a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Every other replica, also those of which the sender does not know.
    All,
    /// One replica.
    One(ReplicaId),
}

/// A message to send.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Transmit {
    /// To whom.
    pub to: Destination,
    /// What.
    pub message: Message,
}
