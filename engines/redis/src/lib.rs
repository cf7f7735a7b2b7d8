#![doc = include_str!("../README.md")]

mod connection;
mod engine;
mod sink;

pub use connection::RedisConnection;
pub use engine::{BadAddress, Redis};
