//! A model of an engine and of the nodes' program.

#![allow(unreachable_pub, dead_code, reason = "each test uses a part of it")]

pub mod dice;
pub mod engine;
pub mod laws;
pub mod net;
pub mod world;
