//! Runs a node of a cluster: the state machine of [`lapwing_cluster`] over an [`Engine`], in one task.
//!
//! ```text
//!   program ─ Cluster ─▶ ┌──────────────┐          ┌────────┐ ── submit ──▶ ┌────────────┐
//!           ◀─ Events ── │ Node, locked │ ◀─ task ─│ Driver │ ◀─── next ─── │ Connection │ ◀─▶ Redis, NATS, Hub
//!                        └──────────────┘          └────────┘               └────────────┘
//! ```
//!
//! [`Cluster`] is what a program says: it never waits for the engine, and each publication is numbered and kept before the call
//! returns. [`Events`] is what it hears, in a queue with bounds; a program that does not read it loses nothing in silence: what
//! finds no room is asked for again, or told as a gap. The task makes connections, gives them up when nothing comes back, and makes
//! new ones after a pause that grows and is never the same for two nodes.
//!
//! ```
//! use lapwing_cluster::{Sent, wire::PayloadKind};
//! use lapwing_cluster_driver::{ClusterEvent, Hub, Options};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Hub::new();
//! let (one, _events) = Options::new("chat").name("one").start(hub.engine("one")).await?;
//! let (two, mut events) = Options::new("chat").name("two").start(hub.engine("two")).await?;
//!
//! two.subscribe("room:1").await?;
//! assert_eq!(one.publish("room:1", "said", PayloadKind::Json, None, r#"{"text":"hi"}"#.into()), Sent::Now);
//! loop {
//!     match events.next().await.expect("the node runs") {
//!         ClusterEvent::Broadcast { publish, .. } => break assert_eq!(&*publish.payload, br#"{"text":"hi"}"#),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

// The rooms, each using only those to its right; those in braces do not use each other, those with * are pure:
//
// options ─ {cluster driver events hub} ─ shared ─ {inbox stats engine backoff* seal* shelf*} ─ {event store*} ─ {call relays moves}

mod backoff;
mod call;
mod cluster;
mod driver;
mod engine;
mod event;
mod events;
mod hub;
mod inbox;
mod moves;
mod options;
mod relays;
mod seal;
mod shared;
mod shelf;
mod stats;
pub mod store;

pub use call::{Answers, Call, CallError};
pub use cluster::{Cluster, Confirmation, NotCarried, NotConfirmed};
pub use engine::{ConnectError, Connection, Engine, Lost};
pub use event::{ClusterEvent, Mark};
pub use events::Events;
pub use hub::{HalfOpen, Hub, HubConnection, HubEngine};
pub use moves::{MoveStats, SessionMoves};
pub use options::{AtStart, Options, StartError};
pub use relays::{Relay, RelayStats};
pub use shelf::Shelf;
pub use stats::Stats;
