//! Ends of connections and joins, and counts, on all nodes.

use crate::{
    cluster::question::{Everywhere, MembersEverywhere},
    node::BroadcastError,
    pubsub::{Disconnect, PubSubMsg},
    server::Lapwing,
    topic::Topic,
};

/// On all nodes. What returns at once does so before the other nodes have done it; what is `async` waits until they say so, and names those that
/// did not in time (`ClusterOptions::call_timeout`). A node that was not known as living is not asked.
impl Lapwing {
    /// Ends all connections that were given this id on connect, on all nodes, with close code 1001. An id is no topic:
    /// what is published on a topic of the same name does nothing of the kind.
    ///
    /// # Errors
    /// [`BroadcastError::PubSub`] when the other nodes could not be told: an adapter says so, or a node of a cluster that has ended, or for whose orders
    /// more than a thousand answers are awaited. Here it is done all the same.
    pub fn disconnect(&self, socket_id: impl Into<Topic>) -> Result<(), BroadcastError> {
        self.node().order(PubSubMsg::disconnect(socket_id))
    }

    /// The same with a reason that the pages are told, and for good if it says so.
    ///
    /// # Errors
    /// When the other nodes could not be told.
    pub fn disconnect_with(
        &self,
        socket_id: impl Into<Topic>,
        disconnect: Disconnect,
    ) -> Result<(), BroadcastError> {
        self.node().order(PubSubMsg::disconnect_with(socket_id, &disconnect))
    }

    /// Ends the joins of a topic whose connections were given this id on connect, on all nodes: their clients get a
    /// `phx_close` behind what they sent before, their channels [`LeaveReason::Kicked`] with `why`, which no client is told. The
    /// connections go on, and a client may join again: let [`Channel::join`](crate::Channel::join) refuse it.
    ///
    /// # Errors
    /// [`BroadcastError::PubSub`] when the other nodes could not be told.
    ///
    /// [`LeaveReason::Kicked`]: crate::LeaveReason::Kicked
    pub fn kick(
        &self,
        topic: impl Into<Topic>,
        socket_id: impl Into<Topic>,
        why: impl AsRef<str>,
    ) -> Result<(), BroadcastError> {
        self.node().order(PubSubMsg::kick(topic, socket_id, why.as_ref()))
    }

    /// Ends all connections with this id, as [`disconnect`](Self::disconnect) does, and waits until all nodes have done so. The count is
    /// that of the connections.
    ///
    /// Once it was polled, dropping the future forgets the answers, and ends the connections all the same.
    ///
    /// ```
    /// use lapwing::Lapwing;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let lapwing = Lapwing::builder().build()?;
    /// let ended = lapwing.disconnect_everywhere("user:1").await?;
    /// assert!(ended.missing.is_empty(), "these nodes may still serve the user: {:?}", ended.missing);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`BroadcastError::PubSub`] when an adapter could not tell the other nodes. A node of a cluster that does not answer is in
    /// [`Everywhere::missing`].
    pub async fn disconnect_everywhere(
        &self,
        socket_id: impl Into<Topic>,
    ) -> Result<Everywhere, BroadcastError> {
        self.node().order_everywhere(PubSubMsg::disconnect(socket_id)).await
    }

    /// Ends all connections with this id, as [`disconnect_with`](Self::disconnect_with) does, and waits until all nodes have done so. The
    /// count is that of the connections. Dropping the future does not take the order back.
    ///
    /// # Errors
    /// As [`disconnect_everywhere`](Self::disconnect_everywhere).
    pub async fn disconnect_everywhere_with(
        &self,
        socket_id: impl Into<Topic>,
        disconnect: Disconnect,
    ) -> Result<Everywhere, BroadcastError> {
        self.node().order_everywhere(PubSubMsg::disconnect_with(socket_id, &disconnect)).await
    }

    /// Ends joins of a topic, as [`kick`](Self::kick) does, and waits until all nodes have done so. The count is that of the connections
    /// with this id, whether they had joined or not. Dropping the future does not take the order back.
    ///
    /// # Errors
    /// As [`disconnect_everywhere`](Self::disconnect_everywhere).
    pub async fn kick_everywhere(
        &self,
        topic: impl Into<Topic>,
        socket_id: impl Into<Topic>,
        why: impl AsRef<str>,
    ) -> Result<Everywhere, BroadcastError> {
        self.node().order_everywhere(PubSubMsg::kick(topic, socket_id, why.as_ref())).await
    }

    /// The joins of a topic on all nodes, `limit` at most, and 4,096 of each other node: this node's first. [`members`](Self::members) has all
    /// of this node. Cancel safe: it changes nothing.
    ///
    /// ```
    /// use lapwing::Lapwing;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let lapwing = Lapwing::builder().build()?;
    /// for member in lapwing.list_members("orders:new", 100).await.members {
    ///     println!("{}: {:?}", member.node, member.member.socket_id);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list_members(&self, topic: impl Into<Topic>, limit: usize) -> MembersEverywhere {
        self.node().list_members(topic.into(), limit).await
    }

    /// The number of joins of a topic on all nodes; those that did not answer in time are named. Cancel safe: it changes nothing.
    pub async fn count_members(&self, topic: impl Into<Topic>) -> Everywhere {
        self.node().count_members(topic.into()).await
    }
}
