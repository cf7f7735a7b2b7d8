//! Several nodes that are one server to their clients.
//!
//! ```text
//!   Node::publish ──▶ Link ──▶ lapwing_cluster_driver ──▶ engine
//!   Node::claim ────▶   │
//!                       ├─ Keeper ─ store: kept topics, in one order on all nodes
//!                       └─ Pump ◀── events: broadcasts, gaps, peers
//!   Program (Node) ◀────────┘
//! ```
//!
//! `docs/guide/cluster.md` says how to use it, and `docs/cluster.md` what the nodes say to each other. A server that is alone has no link, and
//! nothing here costs it anything.

#[cfg(feature = "cluster")]
mod appends;
#[cfg(feature = "cluster")]
mod asking;
pub(crate) mod confirming;
pub(crate) mod error;
#[cfg(feature = "cluster")]
mod going;
#[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "there is no other node"))]
pub(crate) mod headers;
#[cfg(feature = "cluster")]
mod heirs;
#[cfg(feature = "cluster")]
mod info;
#[cfg(feature = "cluster")]
mod keeper;
#[cfg(feature = "cluster")]
pub(crate) mod link;
#[cfg(feature = "cluster")]
mod mirror;
#[cfg(all(test, feature = "cluster"))]
mod model;
#[cfg(feature = "cluster")]
mod moving;
#[cfg(feature = "cluster")]
mod options;
#[cfg(feature = "cluster")]
mod owing;
#[cfg(feature = "cluster")]
mod pages;
#[cfg(feature = "cluster")]
mod pump;
pub(crate) mod question;
#[cfg(feature = "cluster")]
pub(crate) mod relay;
#[cfg(feature = "cluster")]
mod slow;
#[cfg(feature = "cluster")]
mod tally;

#[cfg(not(feature = "cluster"))]
#[path = "off.rs"]
pub(crate) mod link;

use std::sync::Arc;

use bytes::Bytes;

use self::question::{Answer, Question};
use crate::{
    topic::Topic,
    topics::{broadcast::Broadcast, gap::Gap, position::Position},
};

#[cfg(feature = "cluster")]
pub(crate) use self::heirs::Moved;
#[cfg(feature = "cluster")]
pub use self::{
    info::{
        ClusterInfo, ClusterStats, EngineInfo, GapCounts, MoveCounts, NodeInfo, NodeState, RelayCounts,
        StoreGaps, StoreStats,
    },
    options::{Cluster, ClusterOptions},
};
#[cfg(feature = "cluster")]
pub use lapwing_cluster::Spread;
#[cfg(feature = "cluster")]
pub use lapwing_cluster_driver::{self as driver, AtStart, Engine, Hub, StartError};
#[cfg(feature = "nats")]
pub use lapwing_nats::{self as nats, KeptStream, Nats};
#[cfg(feature = "redis")]
pub use lapwing_redis::{self as redis, Redis};

/// A broadcast that the store has put in its place: its position.
pub(crate) struct Stored {
    pub(crate) broadcast: Broadcast,
    /// The check of the place before it.
    pub(crate) before: u64,
    /// Whether it is this node's.
    pub(crate) is_own: bool,
}

/// The program as the cluster calls it.
#[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "nobody calls where there is no cluster"))]
pub(crate) trait Program: Send + Sync {
    /// A broadcast of another node.
    fn deliver(&self, broadcast: &Broadcast);

    /// A broadcast of any node that the store has put in its place, the next one of its topic.
    fn deliver_stored(&self, stored: Stored);

    /// What is remembered of a topic goes on from a position, with these, which nobody is given.
    fn restart_stored(&self, topic: &Topic, position: Position, stored: Vec<Stored>);

    /// A topic of the store's has no members here.
    fn forget_stored(&self, topic: &Topic);

    /// The check of a place in a topic of the store's, if it is known here.
    fn check_at(&self, topic: &Topic, number: u64) -> Option<u64>;

    /// The topics with subscribers that something concerns.
    fn concerned(&self, concerns: &dyn Fn(&str) -> bool) -> Vec<Topic>;

    /// Subscribers of a topic missed something.
    fn tell_gap(&self, gap: &Arc<Gap>);

    /// Another node says something about who is present there.
    fn hear_presence(&self, node: u64, piece: Bytes);

    /// A node is there.
    fn handle_peer(&self, node: u64);

    /// All nodes that live were told of.
    fn handle_settled(&self);

    /// A node is gone, for good or perhaps not.
    fn handle_gone(&self, node: u64, is_for_good: bool);

    /// Other nodes can be heard, or not.
    fn handle_reach(&self, is_up: bool);

    /// Another node asks, and may ask the same again, but for orders. None where there is no cluster any more.
    fn answer(&self, question: Question) -> Option<Answer>;
}
