//! What a node tells its program.

use bytes::Bytes;

use crate::{
    channel::Key,
    gap::Gap,
    id::Instance,
    wire::{Kept, Publish},
};

/// What the program is to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A broadcast of another node.
    Deliver {
        /// Who published it.
        from: Instance,
        /// By which channel it came.
        key: Key,
        /// The broadcast.
        publish: Publish,
    },
    /// A broadcast that a store has kept, of this node or another. It may come twice, or not at all: its place tells.
    Kept {
        /// By which channel it came.
        key: Key,
        /// The broadcast and its place.
        kept: Kept,
    },
    /// Broadcasts are lost, or may be.
    Gap(Gap),
    /// The engine delivers this channel from now on: joins that waited for it can be answered.
    Confirmed(Key),
    /// The engine does not deliver this channel.
    Refused(Key),
    /// A peer is there, or is there again.
    PeerUp(Instance),
    /// A peer is gone.
    PeerDown(Instance, PeerEnd),
    /// A message of a peer's presence replica.
    Presence(Instance, Bytes),
    /// What a peer says about relays: for [`Relays::handle_message`](crate::relay::Relays::handle_message).
    Relay(Instance, Bytes),
    /// What a peer says about moves: for [`Moves::handle_message`](crate::moves::Moves::handle_message).
    Move(Instance, Bytes),
    /// A peer asks; answer with [`Node::answer`](crate::Node::answer).
    Call(Instance, u64, Bytes),
    /// A call of this node is over.
    Answered {
        /// What [`Node::call`](crate::Node::call) returned.
        id: u64,
        /// What was answered.
        answers: Vec<(Instance, Bytes)>,
        /// Who did not answer in time.
        missing: Vec<Instance>,
    },
    /// Nothing comes back from the engine: close the connection and make another one.
    Reconnect,
}

/// What became of a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The engine gets it now.
    Now,
    /// The engine is away; it is kept until it is back, or until newer ones need the room: then the other nodes report a gap.
    Later,
    /// The ring is full of what the engine does not have, though it is there, or the publication is larger than the ring: only this node's
    /// clients get it. The other nodes will report a gap.
    Here,
}

/// Whether a topic's channel is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// It is.
    Confirmed,
    /// [`Output::Confirmed`] with this key follows once it is.
    Waiting(Key),
}

/// Why a peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerEnd {
    /// It said so.
    Departed,
    /// It fell silent.
    Silent,
}

/// Whether an instance is there, as far as it is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It lives.
    Living,
    /// It is gone, or was never there.
    Gone,
    /// This node has not heard the others for long enough to know.
    Unsure,
}
