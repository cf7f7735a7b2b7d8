//! The session manager of lapwing and its wires: ordered streams of frames over WebSocket, SSE and HTTP long-poll.
//!
//! This crate knows frames and sessions, never topics. Whoever gives the frames their meaning implements one
//! trait, [`handler::Handler`]; an [`endpoint::Endpoint`] makes an HTTP service of it. Most users want the
//! crate `lapwing`, which puts channels on top.
//!
//! The rooms, each using only those to its right:
//!
//! ```text
//! endpoint ─ {websocket sse longpoll} ─ resumable ─ caller ─ manager ─ handler, registry ─ live ─ calls, session* ─ outbox* ─ frame*
//! ```
//!
//! Rooms marked with * are pure: no task, no clock, no socket. They are all there is without the default
//! feature `net`.

pub mod close;
pub mod frame;
pub mod outbox;
pub mod quoted;
pub mod session;
pub mod surrogates;

#[cfg(feature = "net")]
pub mod body;
#[cfg(feature = "net")]
pub mod budget;
#[cfg(feature = "net")]
mod caller;
#[cfg(feature = "net")]
mod calls;
#[cfg(feature = "net")]
mod clock;
#[cfg(feature = "net")]
pub mod connect;
#[cfg(feature = "net")]
pub mod counters;
#[cfg(feature = "net")]
mod endings;
#[cfg(feature = "net")]
pub mod endpoint;
#[cfg(feature = "net")]
mod flusher;
#[cfg(all(fuzzing, feature = "net"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "net")]
pub mod handler;
#[cfg(feature = "net")]
mod head;
#[cfg(feature = "net")]
mod heard_out;
#[cfg(feature = "net")]
pub mod http1;
#[cfg(feature = "net")]
pub mod http2;
#[cfg(feature = "net")]
mod inbound;
#[cfg(shuttle)]
#[cfg(test)]
mod interleavings;
#[cfg(feature = "net")]
pub mod live;
#[cfg(feature = "net")]
pub mod longpoll;
#[cfg(feature = "net")]
mod manager;
#[cfg(feature = "net")]
pub mod options;
#[cfg(feature = "net")]
pub mod origin;
#[cfg(feature = "net")]
mod pieces;
#[cfg(feature = "net")]
pub mod query;
#[cfg(feature = "net")]
pub mod refusal;
#[cfg(feature = "net")]
pub mod registry;
#[cfg(feature = "net")]
pub mod resumable;
#[cfg(feature = "net")]
pub mod shrink;
#[cfg(feature = "net")]
mod sse;
#[cfg(feature = "net")]
mod sync;
#[cfg(feature = "net")]
pub mod websocket;
#[cfg(feature = "net")]
mod window;
#[cfg(feature = "net")]
mod writing;
