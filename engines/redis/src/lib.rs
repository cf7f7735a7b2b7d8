#![doc = include_str!("../README.md")]

// The rooms, each using only those to its right:
//
// engine ─ connection ─ sink

mod connection;
mod engine;
mod sink;

pub use connection::RedisConnection;
pub use engine::{BadAddress, Redis};
