//! The laws of the replicated set, from outside.

#![allow(missing_docs, clippy::unwrap_used)]

mod bounds;
mod conversation;
mod laws;
mod liveness;
mod network;
mod regressions;
mod support;
mod values;
