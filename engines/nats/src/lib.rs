#![doc = include_str!("../README.md")]

// The rooms, each using only those to its right; those in braces do not use each other, those with * are pure:
//
// engine ─ {connection store} ─ jetstream ─ client ─ servers ─ greeting ─ {address* socket standing* stream*} ─ {protocol* subjects* time*}

mod address;
mod client;
mod connection;
mod engine;
mod greeting;
mod jetstream;
mod protocol;
mod servers;
mod socket;
mod standing;
mod store;
mod stream;
mod subjects;
mod time;

pub use address::BadAddress;
pub use connection::NatsConnection;
pub use engine::Nats;
pub use stream::KeptStream;
