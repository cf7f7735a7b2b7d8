#![doc = include_str!("../README.md")]

// The rooms, each using only those to its right; those in braces do not use each other:
//
// proxy ─ connection ─ exchange ─ response ─ {inlet outlet message} ─ {life body} ─ shared ─ {plan counters line} ─ {dice fault}

mod body;
mod connection;
mod counters;
mod dice;
mod exchange;
mod fault;
mod inlet;
mod life;
mod line;
mod message;
mod outlet;
mod plan;
mod proxy;
mod response;
mod shared;

pub use counters::Counters;
pub use fault::{BUFFER_BYTES_MAX, Fault, Of};
pub use proxy::{Options, Proxy};
