//! Presences of the program that belong to no join.

use std::{fmt, sync::Arc};

use crate::{
    node::Node,
    presence::PresenceError,
    protocol::{IntoPayload, Payload},
    topic::Topic,
    topics::broadcast::ChannelId,
};

/// A presence that belongs to the program itself: a job, a bot, a bridge to another system. It goes when this is
/// dropped.
#[must_use = "the presence goes when this is dropped"]
pub struct Tracked {
    node: Arc<Node>,
    topic: Topic,
    key: String,
    owner: ChannelId,
}

impl Tracked {
    pub(crate) async fn new(
        node: Arc<Node>,
        topic: Topic,
        key: String,
        meta: Payload,
    ) -> Result<Self, PresenceError> {
        let owner = node.next_channel_id();
        // Made before the answer is awaited: a caller that gives up in between leaves nothing behind.
        let tracked = Self { node, topic, key, owner };
        tracked.node.tracker.track(&tracked.topic, &tracked.key, owner, &meta).answered().await?;
        Ok(tracked)
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Changes the meta, to a JSON object. Returns the new reference of the presence.
    ///
    /// Dropping the future does not take the request back.
    ///
    /// # Errors
    /// See [`PresenceError`].
    pub async fn update(&self, meta: impl IntoPayload) -> Result<String, PresenceError> {
        let meta = meta.into_payload().map_err(PresenceError::Meta)?;
        self.node.tracker.update(&self.topic, &self.key, self.owner, &meta).answered().await
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.node.tracker.end(self.owner, Box::new(|| {}));
    }
}

impl fmt::Debug for Tracked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracked").field("topic", &self.topic).field("key", &self.key).finish_non_exhaustive()
    }
}
