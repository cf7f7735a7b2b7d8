//! The contract, on the hub; and what only the hub can do to a node.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use lapwing_cluster_driver::{HalfOpen, Hub, HubEngine};
use lapwing_engine_contract::{Server, contract};

struct HubServer(Hub);

impl Server for HubServer {
    type Engine = HubEngine;

    async fn start() -> Self {
        Self(Hub::new())
    }

    fn engine(&self, label: &str) -> HubEngine {
        self.0.engine(label)
    }

    async fn breakable(&mut self, label: &str) -> HubEngine {
        self.0.engine(label)
    }

    fn half_open(&mut self, label: &str, direction: HalfOpen) {
        self.0.half_open(label, direction);
    }

    async fn kill(&mut self) {
        self.0.stop();
    }

    async fn restart(&mut self) {
        self.0.start();
    }

    fn pause(&mut self) {
        self.0.stall();
    }

    fn go_on(&mut self) {
        self.0.go_on();
    }

    async fn cut(&mut self) {
        for label in ["one", "two", "three"] {
            self.0.cut(label);
        }
    }
}

contract!(HubServer);
