//! What a node and its engine say to each other.

use bytes::Bytes;

use crate::channel::Channel;

/// What the engine says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new connection, on which nothing is subscribed.
    Up,
    /// The connection is lost; nothing more comes from it.
    Down,
    /// Messages were dropped between the engine and this node, which goes on. Comes before any message that the engine sent behind one of them.
    Dropped,
    /// These channels are delivered from now on.
    Subscribed(Vec<Channel>),
    /// These are not delivered any more, as asked.
    Unsubscribed(Vec<Channel>),
    /// The engine will not deliver these, for want of a permission.
    Refused(Vec<Channel>),
    /// All numbered publications up to this one are executed.
    Published(u64),
    /// A message came.
    Message {
        /// By this channel.
        channel: Channel,
        /// Its bytes.
        bytes: Bytes,
    },
}

/// What the engine is to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Deliver these channels; answered by [`Event::Subscribed`] or [`Event::Refused`].
    Subscribe(Vec<Channel>),
    /// Deliver these no more; answered by [`Event::Unsubscribed`].
    Unsubscribe(Vec<Channel>),
    /// Give this to all who are subscribed to the channel.
    Publish {
        /// If there is one, [`Event::Published`] must follow once the engine has executed it.
        number: Option<u64>,
        /// The channel.
        channel: Channel,
        /// The message.
        bytes: Bytes,
    },
}
