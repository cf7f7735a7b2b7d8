#![doc = include_str!("../README.md")]

// The rooms, each using only those to its right; those in braces do not use each other, those with * are pure:
//
// engine ─ greeting ─ connection ─ {address* protocol* socket}

mod address;
mod connection;
mod engine;
mod greeting;
mod protocol;
mod socket;

pub use address::BadAddress;
pub use connection::NatsConnection;
pub use engine::Nats;
