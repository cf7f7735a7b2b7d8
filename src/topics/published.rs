//! What became of a broadcast.

use crate::topics::position::Position;

/// The outcome of a broadcast. All subscribers on this node have it, or will have it in their turn; those of a topic that the store of a cluster
/// keeps, when the store has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Its position in the history of its topic, if that is kept and it was recorded.
    pub position: Option<Position>,
    /// The outcome on its way to other nodes.
    pub sent: Sent,
}

/// The outcome of a broadcast on its way to the other nodes of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sent {
    /// It is on its way; or there are no other nodes, or it is for this one alone.
    #[default]
    Now,
    /// The engine is away. The other nodes get it when that is back, in its turn. If more is said meanwhile than is kept, the oldest is
    /// forgotten, and they are told of a gap.
    ///
    /// On a topic that the store of a cluster keeps nobody has it before the engine is back, this node's subscribers included. Of more than may
    /// wait the newest is refused ([`BroadcastError::NotKept`](crate::BroadcastError::NotKept)).
    Later,
    /// As much waits for the engine as may, though it is there: it takes less than is said. The other nodes do not get it, and are told of a gap.
    /// Not on a topic that the store of a cluster keeps.
    Here,
}

impl Sent {
    /// The outcome in a word, as the HTTP API tells it.
    ///
    /// ```
    /// use lapwing::{Lapwing, Sent};
    /// use serde_json::json;
    ///
    /// assert_eq!(Sent::Later.word(), "later");
    /// let published = Lapwing::builder().build()?.broadcast("room:1", "said", json!({}))?;
    /// assert_eq!(published.sent.word(), "now");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Later => "later",
            Self::Here => "here",
        }
    }
}
