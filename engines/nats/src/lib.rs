#![doc = include_str!("../README.md")]

mod address;
mod connection;
mod engine;
mod greeting;
mod protocol;
mod socket;

pub use address::BadAddress;
pub use connection::NatsConnection;
pub use engine::Nats;
