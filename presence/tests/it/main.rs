//! The laws of the replicated set, from outside.

#![allow(missing_docs, clippy::unwrap_used)]

mod laws;
mod liveness;
mod network;
mod regressions;
mod support;
