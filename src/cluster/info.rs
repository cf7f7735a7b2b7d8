//! What a node knows of its cluster.

use std::{collections::BTreeMap, time::Duration};

use lapwing_cluster_driver as driver;
use serde::Serialize;

/// A cluster as one of its nodes sees it now.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ClusterInfo {
    /// This node's name.
    pub node: String,
    /// The nodes that live, this one first.
    pub nodes: Vec<NodeInfo>,
    /// The engine, which carries the messages between them.
    pub engine: EngineInfo,
    /// Whether the engine is there and delivers all that was asked for: whether a balancer may send clients here.
    pub is_ready: bool,
}

/// The numbers of a [`ClusterInfo`], for [`Stats::cluster`](crate::Stats::cluster).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ClusterStats {
    /// Nodes that live, this one included.
    pub nodes: usize,
    /// Whether the engine is there and delivers all that was asked for.
    pub is_ready: bool,
    /// Milliseconds since the connection to the engine was made; none without one.
    pub up_ms: Option<u64>,
    /// The time that this node's last beat took to come back, in microseconds.
    pub round_trip_us: Option<u64>,
    /// Broadcasts of other nodes that came.
    pub delivered: u64,
    /// Those of them that were missing first, and were got from their publisher.
    pub repaired: u64,
    /// Broadcasts of this node that did not reach others, as too many waited.
    pub lost: u64,
    /// Gaps that were told, by cause.
    pub gaps: GapCounts,
    /// Bytes that are kept for nodes that missed something, or for an engine that is away.
    pub ring_bytes: usize,
    /// Bytes that are held back behind something that is missing.
    pub held_bytes: usize,
    /// Requests that nodes carry for each other.
    pub relays: RelayCounts,
    /// Sessions that go from one node to another.
    pub moves: MoveCounts,
    /// The store of kept topics; none where this node keeps none.
    pub store: Option<StoreStats>,
}

/// Requests for sessions of another node than the one that they came to: see `docs/cluster.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RelayCounts {
    /// Those for sessions of other nodes that this node carries at the moment.
    pub carrying: usize,
    /// Those for this node's own sessions that others carry at the moment.
    pub carried: usize,
    /// Those that this node has begun to carry so far.
    pub begun: u64,
    /// Those that others have begun to carry here so far.
    pub taken: u64,
    /// Those of both that ended early: something was lost, the other node is gone, or it gave them up, as when a client leaves a stream.
    pub broken: u64,
    /// Those that this node did not carry: the engine was away, or there were as many as may be.
    pub refused: u64,
    /// Messages about them that this node has given to the engine.
    pub messages: u64,
}

impl RelayCounts {
    fn of(stats: driver::RelayStats) -> Self {
        let driver::RelayStats { carrying, carried, begun, taken, broken, refused, messages, .. } = stats;
        Self { carrying, carried, begun, taken, broken, refused, messages }
    }
}

/// Sessions that go from one node to another: see [`ClusterOptions::with_moves`](crate::ClusterOptions::with_moves).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MoveCounts {
    /// Those that are on their way from this node at the moment.
    pub leaving: usize,
    /// Those that are on their way to it at the moment.
    pub coming: usize,
    /// How often this node has offered one so far.
    pub offered: u64,
    /// Those that have gone from this node so far.
    pub gone: u64,
    /// How often one stayed that was offered: the other node did not take it, or this one could not give it away.
    pub stayed: u64,
    /// Those that were given to a node that died then.
    pub lost: u64,
    /// Those that have come to this node so far.
    pub came: u64,
    /// How often one did not come that this node was ready for, or was to be.
    pub missed: u64,
    /// Messages about them that this node has given to the engine.
    pub messages: u64,
}

impl MoveCounts {
    fn of(stats: driver::MoveStats) -> Self {
        let driver::MoveStats { leaving, coming, offered, messages, .. } = stats;
        let driver::MoveStats { done: gone, back: stayed, lost, taken: came, dropped: missed, .. } = stats;
        Self { leaving, coming, offered, gone, stayed, lost, came, missed, messages }
    }
}

/// What a node gave to the store of kept topics and got from it since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StoreStats {
    /// Broadcasts of this node that the store has.
    pub appended: u64,
    /// How often it did not take some, which were tried again.
    pub append_failures: u64,
    /// Broadcasts that wait for it now.
    pub waiting: usize,
    /// Bytes of them.
    pub waiting_bytes: usize,
    /// How often a topic was read from it.
    pub reads: u64,
    /// How often one could not be.
    pub read_failures: u64,
    /// Broadcasts that did not come by themselves, and that subscribers have from a read.
    pub healed: u64,
    /// Gaps that were told, by cause.
    pub gaps: StoreGaps,
}

/// The number of gaps of kept topics that were told, by [`GapCause`](crate::GapCause). They are not in [`GapCounts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "they have the names of the causes")]
pub struct StoreGaps {
    pub trimmed: u64,
    pub store_lost: u64,
}

/// The number of gaps that were told, by [`GapCause`](crate::GapCause).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "they have the names of the causes")]
pub struct GapCounts {
    pub overwritten: u64,
    pub unanswered: u64,
    pub held_too_many: u64,
    pub uncertain: u64,
    pub node_died: u64,
    pub unreadable: u64,
    pub other: u64,
}

impl GapCounts {
    fn of(gaps: &BTreeMap<&'static str, u64>) -> Self {
        let mut counts = Self::default();
        for (word, count) in gaps {
            *match *word {
                "overwritten" => &mut counts.overwritten,
                "unanswered" => &mut counts.unanswered,
                "held_too_many" => &mut counts.held_too_many,
                "uncertain" => &mut counts.uncertain,
                "node_died" => &mut counts.node_died,
                "unreadable" => &mut counts.unreadable,
                _ => &mut counts.other,
            } += count;
        }
        counts
    }
}

/// A node that lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: NodeState,
}

/// The state of a node that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NodeState {
    /// It serves.
    Up,
    /// It goes down.
    Draining,
}

/// The engine's state, and counts since this node started.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct EngineInfo {
    /// Whether there is a connection.
    pub up: bool,
    /// Milliseconds since it was made.
    pub since_ms: Option<u64>,
    /// The time that this node's last beat took to come back, in microseconds.
    pub round_trip_us: Option<u64>,
    /// Connections that were made.
    pub connects: u64,
    /// Attempts that failed.
    pub connect_failures: u64,
    /// The reason why the last attempt failed or the last connection was lost, for people.
    pub last_error: Option<String>,
    /// Broadcasts of this node.
    pub published: u64,
    /// Those of them that waited for the engine.
    pub kept_for_later: u64,
    /// Those of them that did not reach other nodes, as too many waited; also of those that waited.
    pub lost: u64,
    /// Broadcasts of other nodes that came.
    pub delivered: u64,
    /// Those of them that were missing first, and were got from their publisher.
    pub repaired: u64,
    /// Gaps that were told.
    pub gaps: u64,
    /// The same by cause.
    pub gaps_by_cause: GapCounts,
    /// Messages that could not be read, or were not sealed with the secret.
    pub unreadable: u64,
    /// Bytes that are kept for nodes that missed something, or for an engine that is away.
    pub ring_bytes: usize,
    /// Bytes that are held back behind something that is missing.
    pub held_bytes: usize,
}

impl ClusterInfo {
    pub(super) fn of(cluster: &driver::Cluster, here: NodeInfo) -> Self {
        let peers = cluster.peers().into_iter().map(|(_, peer)| NodeInfo::new(peer.name, peer.is_draining));
        Self {
            node: here.name.clone(),
            nodes: std::iter::once(here).chain(peers).collect(),
            engine: EngineInfo::of(cluster.stats()),
            is_ready: cluster.is_ready(),
        }
    }
}

impl ClusterStats {
    pub(super) fn of(cluster: &driver::Cluster) -> Self {
        let stats = cluster.stats();
        Self {
            nodes: stats.peers + 1,
            is_ready: cluster.is_ready(),
            up_ms: stats.up_for.map(|up_for| number(up_for.as_millis())),
            round_trip_us: stats.round_trip.map(|round_trip| number(round_trip.as_micros())),
            delivered: stats.delivered,
            repaired: stats.repaired,
            lost: stats.here_alone + stats.forgotten,
            gaps: GapCounts::of(&stats.gaps),
            ring_bytes: stats.ring_bytes,
            held_bytes: stats.held_bytes,
            relays: RelayCounts::of(stats.relays),
            moves: MoveCounts::of(stats.moves),
            store: None,
        }
    }
}

impl NodeInfo {
    pub(super) fn new(name: String, is_draining: bool) -> Self {
        Self { name, state: if is_draining { NodeState::Draining } else { NodeState::Up } }
    }
}

impl EngineInfo {
    fn of(stats: driver::Stats) -> Self {
        Self {
            up: stats.up_for.is_some(),
            since_ms: stats.up_for.map(|up_for| number(up_for.as_millis())),
            round_trip_us: stats.round_trip.as_ref().map(Duration::as_micros).map(number),
            connects: stats.connects,
            connect_failures: stats.connect_failures,
            last_error: stats.last_error,
            published: stats.published,
            kept_for_later: stats.kept_for_later,
            lost: stats.here_alone + stats.forgotten,
            delivered: stats.delivered,
            repaired: stats.repaired,
            gaps: stats.gaps.values().sum(),
            gaps_by_cause: GapCounts::of(&stats.gaps),
            unreadable: stats.unreadable + stats.forged,
            ring_bytes: stats.ring_bytes,
            held_bytes: stats.held_bytes,
        }
    }
}

/// Half a million years are as long as can be told.
fn number(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
