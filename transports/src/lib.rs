//! The session manager of lapwing and its transports: ordered streams of frames over WebSocket, SSE and HTTP long-poll.
//!
//! This crate knows frames and sessions, never topics. Whoever gives the frames their meaning implements one
//! trait, [`handler::Handler`]; an [`endpoint::Endpoint`] makes an HTTP service of it. Most users want the
//! crate `lapwing`, which puts channels on top.
//!
//! The rooms, each using only those to its right; those in braces do not use each other:
//!
//! ```text
//! endpoint ─ requests ─ {websocket sse longpoll} ─ manager ─ {handler elsewhere} ─ bodies ─ live ─ connect ─ options ─ http ─
//! dialect* ─ session* ─ frame* ─ {budget deflate* forms* policy* surrogates*} ─ {http1 tcp sync shrink tally quoted*} ─ http2 ─ {patient turns close*}
//! ```
//!
//! Rooms marked with * are pure: no task, no clock, no socket. They are all there is without the default
//! feature `net`.

pub mod close;
pub mod dialect;
pub mod forms;
pub mod frame;
pub mod policy;
pub mod quoted;
pub mod session;
pub mod surrogates;

#[cfg(feature = "net")]
mod bodies;
#[cfg(feature = "net")]
pub mod budget;
#[cfg(feature = "net")]
pub mod connect;
#[cfg(feature = "deflate")]
pub mod deflate;
#[cfg(all(feature = "net", not(feature = "deflate")))]
mod deflate;
#[cfg(feature = "net")]
pub mod elsewhere;
#[cfg(feature = "net")]
pub mod endpoint;
#[cfg(all(fuzzing, feature = "net"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "net")]
pub mod handler;
#[cfg(feature = "net")]
mod http;
#[cfg(feature = "net")]
pub mod http1;
#[cfg(feature = "net")]
pub mod http2;
#[cfg(feature = "net")]
pub mod live;
#[cfg(feature = "net")]
pub mod longpoll;
#[cfg(feature = "net")]
mod manager;
#[cfg(all(test, shuttle))]
mod models;
#[cfg(feature = "net")]
pub mod options;
#[cfg(feature = "net")]
mod patient;
#[cfg(feature = "net")]
mod requests;
#[cfg(feature = "net")]
pub mod shrink;
#[cfg(feature = "net")]
mod sse;
#[cfg(feature = "net")]
mod sync;
#[cfg(feature = "net")]
pub mod tally;
#[cfg(feature = "net")]
pub mod tcp;
#[cfg(feature = "net")]
mod turns;
#[cfg(feature = "net")]
pub mod websocket;

#[cfg(feature = "net")]
pub use self::http::{body, origin, query, refusal};
