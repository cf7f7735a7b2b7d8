//! The serializers against what is known of the wire: the vectors, the recordings of a Phoenix server, and laws.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

mod codec;
mod given;
mod hostile;
mod left_out;
mod recorded;
mod round_trips;
