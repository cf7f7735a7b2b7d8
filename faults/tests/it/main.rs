//! Every fault as both ends see it, with real sockets and a real server.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

mod connections;
mod passing;
mod program;
mod requests;
mod responses;
mod support;
mod websockets;
