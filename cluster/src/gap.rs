//! What was lost, as far as it is known.

use crate::{channel::Key, id::Instance};

/// Publications that this node missed, or may have missed, and will not get any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Whose publications.
    pub from: Instance,
    /// On which channels.
    pub scope: Scope,
    /// Why.
    pub cause: GapCause,
}

/// The channels that a gap is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The topics of one channel; of the publications with numbers above the first and up to the second some are missing, or all. Those that are
    /// not are delivered behind it, and no other gap tells of any of them.
    Key {
        /// The channel.
        key: Key,
        /// The last number before the gap.
        after: u64,
        /// The last number in the gap.
        upto: u64,
    },
    /// All channels of the publisher.
    All,
}

/// Why publications are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapCause {
    /// The publisher does not have them any more: the outage was longer than its ring.
    Overwritten,
    /// The publisher did not answer.
    Unanswered,
    /// More came behind them than may be held back.
    HeldTooMany,
    /// The publisher was heard of for the first time after a connection had been lost, or could not keep something of which it is not known
    /// whether it was owed.
    Uncertain,
    /// The publisher died, and what it had not handed to the engine died with it; or it departed, and cannot be asked for what this node missed.
    PublisherDied,
    /// A message could not be read: its version or kind is unknown, or it is malformed.
    Unreadable,
}

impl GapCause {
    /// The word for statistics and logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Overwritten => "overwritten",
            Self::Unanswered => "unanswered",
            Self::HeldTooMany => "held_too_many",
            Self::Uncertain => "uncertain",
            Self::PublisherDied => "node_died",
            Self::Unreadable => "unreadable",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_cause_has_a_word_of_its_own() {
        let causes = [
            GapCause::Overwritten,
            GapCause::Unanswered,
            GapCause::HeldTooMany,
            GapCause::Uncertain,
            GapCause::PublisherDied,
            GapCause::Unreadable,
        ];
        // Dashboards and alarms are written for these.
        let words = ["overwritten", "unanswered", "held_too_many", "uncertain", "node_died", "unreadable"];
        assert_eq!(causes.map(GapCause::word), words);
        assert_eq!(BTreeSet::from(words).len(), causes.len());
    }
}
