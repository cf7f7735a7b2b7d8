//! What is published on a topic, and who did it.

use crate::{protocol::Payload, topic::Topic};
use smol_str::SmolStr;

/// The number of a join, unique on its node for as long as the node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u64);

/// The number of a session, unique on its node for as long as the node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransportId(pub u64);

/// One event published on a topic, as subscribers get it.
///
/// ```
/// use lapwing::Broadcast;
/// use serde_json::json;
///
/// let broadcast = Broadcast::new("room:lobby", "shout", json!({"text": "hi"}));
/// assert_eq!(broadcast.topic, "room:lobby");
/// assert_eq!(broadcast.from, None);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Broadcast {
    /// The topic it was published on.
    pub topic: Topic,
    /// The event.
    pub event: SmolStr,
    /// The payload.
    pub payload: Payload,
    /// The join that is not to get it: the sender of a `broadcast_from`. Joins have numbers on their own node only; what
    /// goes to other nodes says nothing of it.
    pub from: Option<ChannelId>,
}

impl Broadcast {
    /// A broadcast to everybody on the topic.
    #[must_use]
    pub fn new(topic: impl Into<Topic>, event: impl AsRef<str>, payload: impl Into<Payload>) -> Self {
        Self { topic: topic.into(), event: SmolStr::new(event), payload: payload.into(), from: None }
    }

    /// The same for all but one join.
    #[must_use]
    pub fn without(mut self, sender: ChannelId) -> Self {
        self.from = Some(sender);
        self
    }
}
