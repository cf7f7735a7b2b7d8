//! Broadcasts: an event that is published on a topic, and by whom.

use crate::{protocol::Payload, topic::Topic, topics::position::Position};
use smol_str::SmolStr;

/// The number of a join, unique on its node for as long as the node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u64);

/// The number of a session, unique on its node for as long as the node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransportId(pub u64);

/// One event on a topic: what [`Lapwing::publish`](crate::Lapwing::publish) and
/// [`Socket::publish`](crate::Socket::publish) send, and what subscribers get.
///
/// ```
/// use lapwing::{Broadcast, ChannelId, Lapwing};
/// use serde_json::json;
///
/// let lapwing = Lapwing::builder().build()?;
/// let broadcast = Broadcast::new("room:lobby", "shout", json!({"text": "hi"}));
/// assert_eq!(broadcast.topic, "room:lobby");
/// // To all but one join, on this node alone.
/// lapwing.publish(broadcast.except(ChannelId(7)).local())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
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
    /// The join that is passed by: the sender of a `broadcast_from`. Joins have numbers on their own node only; what
    /// goes to other nodes says nothing of it.
    pub from: Option<ChannelId>,
    /// Where it is in the history of its topic, if that is kept and this was recorded.
    pub position: Option<Position>,
    /// Whether other nodes are not told.
    pub(crate) is_local: bool,
    /// Whether a kept topic does not record it.
    pub(crate) is_unrecorded: bool,
}

impl Broadcast {
    /// A broadcast to everybody on the topic.
    #[must_use]
    pub fn new(topic: impl Into<Topic>, event: impl AsRef<str>, payload: impl Into<Payload>) -> Self {
        Self {
            topic: topic.into(),
            event: SmolStr::new(event),
            payload: payload.into(),
            from: None,
            position: None,
            is_local: false,
            is_unrecorded: false,
        }
    }

    /// Passes by one join of this node.
    #[must_use]
    pub fn except(mut self, join: ChannelId) -> Self {
        self.from = Some(join);
        self
    }

    /// Is not recorded by a kept topic: for what is of no use to a client that comes back, such as who is typing.
    #[must_use]
    pub fn unrecorded(mut self) -> Self {
        self.is_unrecorded = true;
        self
    }

    /// Whether a kept topic remembers it. A [`PubSub`](crate::pubsub::PubSub) that carries it to other nodes carries that along.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        !self.is_unrecorded
    }

    /// Stays on this node.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.is_local = true;
        self
    }
}
