//! An engine in memory: several nodes in one program, and every fault an engine can have, at the moment that a test wants it.

mod connection;
mod server;
mod store;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use self::connection::{HubConnection, HubEngine};
use self::server::Server;

/// An engine in memory. Clones are the same one.
///
/// It executes what it is given at once and in one order for all, as a Redis does, until a fault is set. Faults of one node are named
/// by the label that its engine was made with.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    server: Arc<Mutex<Server>>,
}

/// A direction in which a connection may pass nothing while both ends take it for open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HalfOpen {
    /// What the node says is lost.
    ToEngine,
    /// What the engine says is lost.
    ToNode,
}

impl Hub {
    /// A hub without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The engine of one node. There is one connection with a label at a time: a newer one ends the one before.
    #[must_use]
    pub fn engine(&self, label: &str) -> HubEngine {
        HubEngine::new(self.clone(), label)
    }

    /// All connections end, everything is forgotten, and nobody can connect until [`start`](Self::start).
    pub fn stop(&self) {
        self.lock().stop();
    }

    /// Nodes can connect again.
    pub fn start(&self) {
        self.lock().is_away = false;
    }

    /// Ends a node's connection. What it had said during a [`stall`](Self::stall) is executed later nevertheless, as with a server
    /// whose kernel has the bytes.
    pub fn cut(&self, label: &str) {
        self.lock().cut(label);
    }

    /// Ends a node's connection after its next broadcast was executed, and before that is confirmed: the node cannot know.
    pub fn cut_after_publish(&self, label: &str) {
        self.lock().faults(label).cuts_after_publish = true;
    }

    /// Nothing is executed until [`go_on`](Self::go_on); connections stay open.
    pub fn stall(&self) {
        self.lock().is_stalled = true;
    }

    /// Executes what was said during the stall, and goes on.
    pub fn go_on(&self) {
        self.lock().go_on();
    }

    /// The node's present connection passes nothing in a direction any more. A new one is whole.
    pub fn half_open(&self, label: &str, direction: HalfOpen) {
        self.lock().half_open(label, direction);
    }

    /// Of the messages to a node, one in so many is dropped, and nobody is told; 0 for none.
    pub fn drop_one_in(&self, label: &str, count: u64) {
        self.lock().faults(label).drops = count;
    }

    /// What the engine says to a node arrives so much later.
    pub fn delay(&self, label: &str, delay: Duration) {
        self.lock().faults(label).delay = delay;
    }

    /// Messages of different publishers may reach a node in another order than the other nodes, as in a cluster of NATS servers.
    /// Those of one publisher keep theirs.
    pub fn reorder(&self, label: &str) {
        self.lock().faults(label).reorders = true;
    }

    /// The node may not subscribe topics; or it may again.
    pub fn refuse_topics(&self, label: &str, refuses: bool) {
        self.lock().faults(label).refuses_topics = refuses;
    }

    /// The node may not connect; or it may again.
    pub fn refuse(&self, label: &str, refuses: bool) {
        self.lock().faults(label).refuses = refuses;
    }

    /// How often what is kept of a topic was read.
    #[must_use]
    pub fn kept_reads(&self) -> u64 {
        self.lock().kept_reads
    }

    /// What was kept of all topics is lost.
    pub fn forget_kept(&self) {
        self.lock().kept.clear();
    }

    /// The newest entries of a topic are lost, so many, in all applications.
    pub fn lose_tail(&self, topic: &str, entries: usize) {
        for shelf in self.lock().kept.values_mut() {
            shelf.lose_tail(topic, entries);
        }
    }

    /// What was kept of a topic is lost, in all applications; where it stands is not.
    pub fn evict(&self, topic: &str) {
        for shelf in self.lock().kept.values_mut() {
            shelf.evict(topic);
        }
    }

    /// Connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.lock().connections()
    }

    fn lock(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
