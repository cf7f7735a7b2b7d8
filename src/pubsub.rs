//! Publishing beyond this process, behind a small trait.

use std::{fmt, sync::Arc};

use lapwing_transports::close::CloseReason;

use crate::{protocol::Payload, topic::Topic, topics::broadcast::Broadcast};

/// A message that an adapter carries from node to node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PubSubMsg {
    /// The event. Its `from` is `None`: the join that is not to get it is a join of the node that publishes it, and on
    /// another node another join has its number.
    pub broadcast: Broadcast,
    /// Whom it is for. An adapter has to carry it along.
    pub audience: Audience,
}

/// Whom a message between nodes is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Audience {
    /// The subscribers of the broadcast's topic.
    #[default]
    Subscribers,
    /// The connections whose socket id the topic names: they, or joins of theirs, are ended. Ids are no topics, so that
    /// nothing that is published on a topic of the same name does that.
    SocketId,
}

/// An order to the connections of a socket id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// They end, and are told in these words, if there are any.
    Disconnect { reason: CloseReason, words: String },
    /// Their joins of a topic end.
    Kick { topic: Topic, why: String },
}

impl Order {
    /// Reads it from a message for [`Audience::SocketId`]; `None` for one that a later version sends.
    pub(crate) fn of(broadcast: &Broadcast) -> Option<Self> {
        match &*broadcast.event {
            "disconnect" => {
                // A payload of a later version says no more than that.
                let (words, is_final) = broadcast.payload.parse().unwrap_or_default();
                let reason = if is_final { CloseReason::Dismissed } else { CloseReason::Disconnected };
                Some(Self::Disconnect { reason, words })
            }
            "kick" => {
                let (topic, why): (String, String) = broadcast.payload.parse().ok()?;
                Some(Self::Kick { topic: topic.into(), why })
            }
            _ => None,
        }
    }
}

impl PubSubMsg {
    /// A message as an adapter makes it of what came from another node.
    #[must_use]
    pub fn new(broadcast: Broadcast) -> Self {
        Self { broadcast, audience: Audience::Subscribers }
    }

    /// A message that ends all connections with a socket id.
    #[must_use]
    pub fn disconnect(socket_id: impl Into<Topic>) -> Self {
        let broadcast = Broadcast::new(socket_id, "disconnect", Payload::empty());
        Self { broadcast, audience: Audience::SocketId }
    }

    /// The same with a reason.
    #[must_use]
    pub fn disconnect_with(socket_id: impl Into<Topic>, disconnect: &Disconnect) -> Self {
        let payload = serde_json::json!([disconnect.reason, disconnect.is_final]);
        let broadcast = Broadcast::new(socket_id, "disconnect", payload);
        Self { broadcast, audience: Audience::SocketId }
    }

    /// A message that ends the joins of a socket id on a topic.
    #[must_use]
    pub fn kick(topic: impl Into<Topic>, socket_id: impl Into<Topic>, why: &str) -> Self {
        let payload = serde_json::json!([topic.into().as_str(), why]);
        let broadcast = Broadcast::new(socket_id, "kick", payload);
        Self { broadcast, audience: Audience::SocketId }
    }
}

/// The manner in which connections are ended: what their pages are told, and whether they are to come back.
///
/// ```
/// use lapwing::{Disconnect, Lapwing};
///
/// # fn ban(lapwing: &Lapwing) -> Result<(), lapwing::BroadcastError> {
/// lapwing.disconnect_with("user:42", Disconnect::because("your password has changed"))?;
/// lapwing.disconnect_with("user:43", Disconnect::because("banned").for_good())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disconnect {
    reason: String,
    is_final: bool,
}

impl Disconnect {
    /// A disconnect with this reason, which the page's close event has: one line of 123 bytes at most, the rest is cut off. Clients come back, and
    /// the connect callback decides about them again. The code is 1001.
    #[must_use]
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_final: false }
    }

    /// Clients are to stay away: the code is 4403, after which the transport of `js/` does not try again with the same credentials.
    /// Stock clients up to phoenix.js 1.8.15 stay away over WebSocket, where theirs is 1000; later ones and their long-poll come back, so that
    /// the connect callback has to refuse them as well.
    #[must_use]
    pub fn for_good(mut self) -> Self {
        self.is_final = true;
        self
    }
}

/// Hands what comes from other nodes to the subscribers of this one.
pub type Deliver = Arc<dyn Fn(PubSubMsg) + Send + Sync>;

/// Carries broadcasts to other nodes. The one in use by default is [`LocalPubSub`], which has no others.
///
/// A broadcast is given to the adapter first and then, by the node itself, to its own subscribers; so an
/// adapter must not deliver a node's own messages back to it. Delivery is at most once; messages of one task
/// must reach another node in the order in which they were published.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use lapwing::{Lapwing, Mount, pubsub::{Deliver, PubSub, PubSubError, PubSubMsg}};
/// use serde_json::json;
///
/// /// Two nodes in one process, joined by a function call.
/// #[derive(Default)]
/// struct Wire(Mutex<Option<Deliver>>);
///
/// impl PubSub for Wire {
///     fn start(&self, deliver: Deliver) {
///         *self.0.lock().unwrap() = Some(deliver);
///     }
///     fn publish(&self, message: &PubSubMsg) -> Result<(), PubSubError> {
///         println!("to the other node: {}", message.broadcast.topic);
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let lapwing = Lapwing::builder().pubsub(Arc::new(Wire::default())).build().unwrap();
/// lapwing.broadcast("room:lobby", "shout", json!({})).unwrap();
/// # }
/// ```
pub trait PubSub: Send + Sync + 'static {
    /// Called once, before anything is published.
    fn start(&self, deliver: Deliver) {
        let _ = deliver;
    }

    /// Sends a message to all other nodes. Must not block: queue it, within a bound.
    ///
    /// # Errors
    /// The reason why the message could not be sent. The node's own subscribers get it all the same.
    fn publish(&self, message: &PubSubMsg) -> Result<(), PubSubError>;

    /// The name of this node among the others.
    fn node_name(&self) -> &str {
        "local"
    }
}

/// The reason why an adapter could not send a message.
#[derive(Debug)]
pub struct PubSubError(pub Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for PubSubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the broadcast did not reach the other nodes")
    }
}

impl std::error::Error for PubSubError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// The adapter of a program that is one process: there is nobody else to tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalPubSub;

impl PubSub for LocalPubSub {
    fn publish(&self, _: &PubSubMsg) -> Result<(), PubSubError> {
        Ok(())
    }
}
