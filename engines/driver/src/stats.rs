//! What is counted.

use std::{collections::BTreeMap, time::Duration};

use crate::{moves::MoveStats, relays::RelayStats};

/// How a node and its engine do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Since when there is a connection to the engine; none without one.
    pub up_for: Option<Duration>,
    /// Connections that were made.
    pub connects: u64,
    /// Attempts that failed.
    pub connect_failures: u64,
    /// Why the last attempt failed or the last connection was lost, for people.
    pub last_error: Option<String>,
    /// How long the node's last beat took to come back.
    pub round_trip: Option<Duration>,
    /// Other nodes that live.
    pub peers: usize,
    /// Broadcasts that were published.
    pub published: u64,
    /// Those of them that waited for the engine.
    pub kept_for_later: u64,
    /// Those of them that reach this node alone, as there was no room for them.
    pub here_alone: u64,
    /// Those of them that were kept, and forgotten for newer ones before the engine had them: they reach this node alone as well.
    pub forgotten: u64,
    /// Broadcasts of other nodes that were delivered.
    pub delivered: u64,
    /// Those of them that were missing first, and were got from their publisher.
    pub repaired: u64,
    /// Gaps that were told, by [`GapCause::word`](lapwing_cluster::GapCause::word).
    pub gaps: BTreeMap<&'static str, u64>,
    /// Messages that could not be read.
    pub unreadable: u64,
    /// Messages that were not sealed with the secret, and were dropped.
    pub forged: u64,
    /// Messages that were dropped since the program did not read its events; most are got again.
    pub overflowed: u64,
    /// Bytes that are kept for repair, or for an engine that is away.
    pub ring_bytes: usize,
    /// Bytes that are held back behind something missing.
    pub held_bytes: usize,
    /// Requests that nodes carry for each other.
    pub relays: RelayStats,
    /// Sessions that go from one node to another.
    pub moves: MoveStats,
}
