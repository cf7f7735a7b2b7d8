//! Messages between replicas.

use crate::{
    clock::Clocks,
    delta::Delta,
    tag::{Clock, ReplicaId},
};

/// A message between replicas. Any of them may be lost, repeated or late.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Message {
    /// The sender lives.
    #[non_exhaustive]
    Heartbeat {
        /// The sender.
        from: ReplicaId,
        /// The clocks that the sender has seen of the replicas that it shows, itself among them.
        clocks: Clocks,
        /// The sender's own changes since its last heartbeat.
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
    /// The request that this answers.
    #[non_exhaustive]
    Transfer {
        /// The sender.
        from: ReplicaId,
        /// The changes that the receiver lacked.
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
    /// The bytes that the message takes in memory at most, as if it shared nothing with a state.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, shards::Presences, tag::Owner};

    #[test]
    fn a_message_takes_its_row_its_clocks_and_its_delta() {
        let from = ReplicaId::new(1, 1);
        let mut writer = Presences::new(from, Config::default());
        writer.track("room", "ada", Owner(1), b"{}").unwrap();
        let delta = writer.extract(&[(from, Clock::ZERO)].into_iter().collect());
        let clocks: Clocks = (1..=3).map(|node| (ReplicaId::new(node, 1), Clock::ZERO)).collect();
        let (row, three) = (size_of::<Transmit>(), 3 * size_of::<(ReplicaId, Clock)>());
        assert!(delta.bytes() > 0);
        let heartbeat = Message::Heartbeat { from, clocks: clocks.clone(), delta: delta.clone() };
        assert_eq!(heartbeat.bytes(), row + three + delta.bytes());
        assert_eq!(Message::TransferRequest { from, seen: clocks }.bytes(), row + three);
        assert_eq!(Message::Transfer { from, delta: delta.clone() }.bytes(), row + delta.bytes());
        assert_eq!(Message::Departure { from }.bytes(), row);
    }
}
