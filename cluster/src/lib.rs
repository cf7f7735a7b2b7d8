//! What the nodes of a cluster say to each other, as values: no socket, no clock, no task, no randomness.
//!
//! A [`Node`] decides what to subscribe and publish, numbers what it publishes, finds what is missing of what others
//! published, asks for it again, and knows who is alive. An *engine* (Redis, NATS, or a list in memory) carries the bytes:
//! give the node each [`Event`] of the engine, do each [`Work`] it asks for, and act on each [`Output`].
//!
//! ```text
//!   program ── publish, subscribe, call ──▶ ┌──────┐ ── Work ──▶ engine ──▶ other nodes
//!           ◀── Output: deliver, gap, peer ─│ Node │ ◀─ Event ── engine ◀──
//!                                           └──────┘
//! ```
//!
//! The rooms, each using only those to its right; all are pure:
//!
//! ```text
//! {node* relay* moves*} ─ {members* outbound* subscriptions* calls* output* engine*} ─ inbound* ─ {config* gap* names*} ─ wire* ─ channel* ─ {id* varint*}
//! ```
//!
//! # Laws
//!
//! For every order of calls, with an engine that may stall, cut connections, forget subscriptions, execute what a closed
//! connection had sent, or be away (`tests/simulator.rs`):
//!
//! 1. *Once, in order.* What one instance publishes on one topic is delivered to each other node at most once, in the order
//!    in which it was published.
//! 2. *No silent loss.* What was published after a node's subscription was confirmed is delivered to it, or lies in a
//!    [`Gap`] that the node reports, once the engine has been up for a while. So is what a node published before it departed.
//! 3. *Nobody dies of an outage.* A peer is declared gone only while this node's own beats come back
//!    ([`Output::PeerDown`]); a peer that stopped is declared gone within [`Config::silence_beats`] beats.
//! 4. *Bounded.* The ring of what was published, what is held back behind a gap, and what is in flight never exceed
//!    [`Config`].
//! 5. *One outage, one gap.* Of an outage of the engine each node reports one gap at most for each publisher and channel that it had before, however long
//!    the outage was, whichever node is back first, and whatever is published meanwhile; unless the engine then takes less than is published.

mod calls;
mod channel;
mod config;
mod engine;
mod gap;
mod id;
mod inbound;
mod members;
pub mod moves;
mod names;
mod node;
mod outbound;
mod output;
pub mod relay;
mod subscriptions;
mod varint;
pub mod wire;

pub use channel::{Channel, Key, Spread, TopicHasher};
pub use config::Config;
pub use engine::{Event, Work};
pub use gap::{Gap, GapCause, Scope};
pub use id::Instance;
pub use members::Peer;
pub use names::{AppNameError, Names};
pub use node::{Identity, Node};
pub use output::{Interest, Output, PeerEnd, Sent, Standing};
