//! The laws of the replicated set, from outside.

#![allow(missing_docs, clippy::unwrap_used)]

mod bounds;
mod laws;
mod liveness;
mod network;
mod regressions;
mod support;
