//! What a program hears of the cluster.

use bytes::Bytes;
use lapwing_cluster::{
    Gap, Instance, Key, Peer, PeerEnd,
    moves::MoveOutput,
    wire::{Kept, Publish},
};

use tokio::sync::oneshot;

use crate::{call::Call, relays::Relay};

/// What the program is to know.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClusterEvent {
    /// A broadcast of another node. Of one node those on one topic come once and in order.
    Broadcast {
        /// Who published it.
        from: Instance,
        /// The broadcast.
        publish: Publish,
    },
    /// A broadcast that the engine's store has kept, of this node or another: its place tells whether it is the next one of its topic. Its
    /// entry is to be read with [`Cluster::open`](crate::Cluster::open).
    Kept {
        /// The key of the topic's channel.
        key: Key,
        /// The broadcast and its place.
        kept: Kept,
    },
    /// Messages were dropped on their way here: what a store has kept is to be compared with what came.
    Dropped,
    /// Broadcasts are lost, or may be; [`Cluster::key`](crate::Cluster::key) tells which topics are concerned.
    Gap(Gap),
    /// A node is there, or is there again.
    PeerUp(Instance, Peer),
    /// A node is gone.
    PeerDown(Instance, PeerEnd),
    /// A message of a node's presence replica.
    Presence {
        /// Whose.
        from: Instance,
        /// The message.
        bytes: Bytes,
    },
    /// A question of a node's program.
    Call(Call),
    /// Four of this node's own beats have come back, the first time: every node that lives is known.
    Settled,
    /// A node carries a request here that it got for this one.
    Relay {
        /// The way back.
        relay: Relay,
        /// What it says of the request; it counts as bytes that came, until they are [used](Relay::used).
        head: Bytes,
    },
    /// Something is known of a session that goes from one node to another; never unless [`Options::moves`](crate::Options::moves) says so.
    Move(MoveOutput),
    /// Everything that was known when [`Cluster::marked`](crate::Cluster::marked) was called has been told.
    Mark(Mark),
    /// There is a connection to the engine.
    EngineUp,
    /// There is none any more. Everything local goes on; publications are kept as far as the ring goes.
    EngineDown,
}

/// A place among the events of a node, for which somebody waits.
#[derive(Debug)]
pub struct Mark(oneshot::Sender<()>);

impl Mark {
    pub(crate) fn new(waiting: oneshot::Sender<()>) -> Self {
        Self(waiting)
    }

    /// What came before it is done. Dropping it says the same.
    pub fn reached(self) {
        // Who does not wait any more has dropped the other end.
        let _ = self.0.send(());
    }
}
