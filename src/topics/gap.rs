//! Broadcasts of other nodes that are lost, as channels and tasks are told.

use std::fmt;

use smol_str::SmolStr;

use crate::topic::Topic;

/// Broadcasts of another node on a topic are lost, or may be, and do not come any more. Those that come later are of later times.
///
/// Channels are told by [`handle_gap`](crate::Channel::handle_gap), tasks by [`Lagged`](crate::Lagged). Where it says
/// "may be", the topic shares its channel of the engine with others: nothing needs to have been said on this one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The topic.
    pub topic: Topic,
    /// The name of the node whose broadcasts they were, or its number, if it was not known yet. Empty where they were the store's: of any node.
    pub node: SmolStr,
    /// The cause.
    pub cause: GapCause,
}

impl Gap {
    /// A gap as a node would tell it, for tests of [`handle_gap`](crate::Channel::handle_gap).
    ///
    /// ```
    /// use lapwing::{Gap, GapCause};
    ///
    /// let gap = Gap::new("room:lobby".into(), "node-2", GapCause::NodeDied);
    /// assert_eq!(gap.node, "node-2");
    /// ```
    pub fn new(topic: Topic, node: impl Into<SmolStr>, cause: GapCause) -> Self {
        Self { topic, node: node.into(), cause }
    }
}

/// The causes for which broadcasts are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapCause {
    /// The node does not have them any more: the outage was longer than what it keeps.
    Overwritten,
    /// The node did not answer when they were asked for.
    Unanswered,
    /// More came behind them than may be held back.
    HeldTooMany,
    /// The node was heard of for the first time after a connection to the engine had been lost, or could not keep something of which it is
    /// not known whether it was owed.
    Uncertain,
    /// The node died, and what it had not handed to the engine died with it.
    NodeDied,
    /// A message could not be read: it is of a later release, or malformed.
    Unreadable,
    /// They were kept by the cluster's store, which has lost them: it was started without its data, or another server took its place before it had
    /// them. The topic has another history from here on.
    StoreLost,
    /// They were kept by the cluster's store, and are not any more: more was said than is kept while this node could not hear.
    Trimmed,
    /// A cause that this release does not know.
    Other,
}

impl GapCause {
    /// Its word, for logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Overwritten => "overwritten",
            Self::Unanswered => "unanswered",
            Self::HeldTooMany => "held_too_many",
            Self::Uncertain => "uncertain",
            Self::NodeDied => "node_died",
            Self::Unreadable => "unreadable",
            Self::StoreLost => "store_lost",
            Self::Trimmed => "trimmed",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for GapCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_a_word_that_logs_show() {
        for (cause, word) in [
            (GapCause::Overwritten, "overwritten"),
            (GapCause::Unanswered, "unanswered"),
            (GapCause::HeldTooMany, "held_too_many"),
            (GapCause::Uncertain, "uncertain"),
            (GapCause::NodeDied, "node_died"),
            (GapCause::Unreadable, "unreadable"),
            (GapCause::StoreLost, "store_lost"),
            (GapCause::Trimmed, "trimmed"),
            (GapCause::Other, "other"),
        ] {
            assert_eq!((cause.word(), cause.to_string()), (word, word.to_owned()));
        }
    }
}
