#![doc = include_str!("../README.md")]

// The rooms, each using only those to its right:
//
// engine ─ {connection store} ─ {place sink}

mod connection;
mod engine;
mod place;
mod sink;
mod store;

pub use connection::RedisConnection;
pub use engine::{BadAddress, Redis};
