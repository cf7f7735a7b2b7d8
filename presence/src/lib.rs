//! Replicated presence as values: who is here, on every replica, at a cost that follows the changes.
//!
//! This crate is pure. It has no runtime, no I/O, no clock and no randomness: time and ids are arguments, and
//! what should be sent is returned. The framework drives it from one thread; the work of one call is spread
//! over rayon's threads when it is large enough to pay for it.
//!
//! # The state
//!
//! A *presence* is one [`Entry`]: a key (who) in a topic (where), for one [`Owner`] (the join that said so),
//! with a meta (opaque bytes, in practice an encoded JSON object) and a [`Tag`]. Several entries may share a
//! key: one person in three browser tabs is one key with three entries.
//!
//! Each *replica* (one node, one start of it: [`ReplicaId`]) has its own [`Clock`] and writes only its own
//! entries. Every change it makes (track, update, untrack) takes the next tick of that clock, and the tick
//! tags the entry. Seen as a whole this is an add-wins observed-remove set: a removal names the tags that the
//! remover wrote and has seen, so a concurrent addition by anybody else survives. But because nobody else
//! writes a replica's part, we need neither the dots nor the clouds of the general set: *a replica's part at
//! clock n is one value*, a copy of it is an older or a newer value of the same history, and merging two
//! copies is taking the newer.
//!
//! So a node's state is, for each replica that it knows:
//!
//! * the part, complete up to a clock, never with a hole: what is shown is always something that the replica
//!   once was;
//! * deltas that arrived ahead of a gap, held back until the gap closes (bounded);
//! * the last changes of the part (bounded), so that what another node lacks is extracted at the price of
//!   what it lacks;
//! * whether it is shown. A replica that is down is hidden as a whole, and shown or forgotten as a whole
//!   later.
//!
//! # The laws
//!
//! These hold for every interleaving of operations, messages and time, and the property tests in `tests/` say
//! so:
//!
//! 1. Merging is idempotent, commutative and associative (while the held-back deltas are within their bound).
//! 2. Once messages flow, every node shows the same: the union of what the living replicas track.
//! 3. A second merge of the same delta returns an empty [`Diff`].
//! 4. The diffs returned by all calls, applied in order, give exactly what [`Presences::list`] gives. In one
//!    diff no tag is in both the joins and the leaves.
//! 5. No merge changes what this node tracks itself, and nothing of an owner remains after
//!    [`Presences::untrack_all`], here at once and elsewhere once messages flow.
//! 6. A replica that is down, forgotten or departed shows nothing; no message brings a departed one back.
//!
//! # Example
//!
//! ```
//! use lapwing_presence::{Config, Owner, Presences, ReplicaId};
//!
//! let mut here = Presences::new(ReplicaId::new(1, 1), Config::default());
//! let mut there = Presences::new(ReplicaId::new(2, 1), Config::default());
//!
//! let diff = here.track("room:lobby", "ada", Owner(7), br#"{"away":false}"#)?;
//! assert_eq!(diff.first_join().map(|entry| entry.key()), Some("ada"));
//!
//! // The other node has heard of us; give it what it has not seen.
//! there.replica_up(here.id())?;
//! let diff = there.merge(&here.extract(&there.clocks()));
//! assert_eq!(diff.topics()[0].joins().len(), 1);
//! assert_eq!(there.count("room:lobby").presences, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits
//!
//! The size of keys and metas, the number of presences and of topics are the caller's to limit: this crate
//! stores what it is given. What the crate keeps for its own purposes (history, held-back deltas, messages to
//! send, replicas that are known) is bounded in bytes and in number, see [`Config`] and [`ReplicaConfig`]; of
//! departed replicas the last 4,096 nodes are remembered.

// The rooms, each using only those to its right; all are pure:
//
// wire* ─ replica* ─ shards* ─ state* ─ ledger* ─ {history* diff*} ─ {delta* clock* config*} ─ entry* ─ tag*

mod clock;
mod config;
mod delta;
mod diff;
mod entry;
mod history;
mod ledger;
mod replica;
mod shards;
mod state;
mod tag;
mod wire;

pub use clock::Clocks;
pub use config::Config;
pub use delta::Delta;
pub use diff::{Diff, TopicDiff};
pub use entry::Entry;
pub use replica::{Destination, Message, Replica, ReplicaConfig, ReplicaConfigError, Transmit};
pub use shards::{Presences, TrackError, UpdateError, liveness::UpError};
pub use state::{Count, List};
pub use tag::{Clock, Owner, PhxRef, ReplicaId, Tag};
pub use wire::WireError;

/// The examples of the read-me are run like any other.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
