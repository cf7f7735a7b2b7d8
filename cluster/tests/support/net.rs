//! A few nodes on an engine that does everything at once, for scenarios told step by step.

use std::time::Duration;

use lapwing_cluster::{Config, Event, Identity, Instance, Node, Output, wire::PayloadKind};

use super::{dice::Dice, engine::Engine};

pub struct Net {
    pub nodes: Vec<Node>,
    pub outputs: Vec<Vec<Output>>,
    pub engine: Engine,
    pub now: Duration,
    dice: Dice,
}

impl Net {
    pub fn new(count: u64, config: &Config) -> Self {
        let mut net = Self {
            nodes: Vec::new(),
            outputs: Vec::new(),
            engine: Engine::default(),
            now: Duration::ZERO,
            dice: Dice::new(1),
        };
        for number in 1..=count {
            let instance = Instance(number);
            let identity = Identity { app: "app".into(), name: format!("node-{number}"), instance };
            net.nodes.push(Node::new(identity, config.clone(), net.now));
            net.outputs.push(Vec::new());
        }
        for node in 0..net.nodes.len() {
            net.connect(node);
        }
        net.pass(Duration::from_secs(1));
        net
    }

    pub fn connect(&mut self, node: usize) {
        if self.engine.connect(node) {
            self.nodes[node].handle_event(self.now, Event::Up);
        }
    }

    pub fn cut(&mut self, node: usize) {
        self.engine.cut(node, &mut self.dice);
        self.nodes[node].handle_event(self.now, Event::Down);
    }

    /// The engine is killed, and away until [`Net::restart`].
    pub fn kill_engine(&mut self) {
        self.engine.kill();
        for node in &mut self.nodes {
            node.handle_event(self.now, Event::Down);
        }
    }

    pub fn restart(&mut self) {
        self.engine.is_away = false;
        for node in 0..self.nodes.len() {
            self.connect(node);
        }
        self.settle();
    }

    /// Everything that is on its way arrives.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            for node in 0..self.nodes.len() {
                let Some(connection) = self.engine.connections.get_mut(&node) else { continue };
                while let Some(work) = self.nodes[node].poll_work(self.now) {
                    connection.commands.push_back(work);
                }
            }
            if self.engine.is_idle() {
                break;
            }
            self.engine.step(&mut self.dice);
            for node in 0..self.nodes.len() {
                let Some(connection) = self.engine.connections.get_mut(&node) else { continue };
                for event in std::mem::take(&mut connection.events) {
                    self.nodes[node].handle_event(self.now, event);
                }
            }
        }
        for (node, outputs) in self.nodes.iter_mut().zip(&mut self.outputs) {
            outputs.extend(std::iter::from_fn(|| node.poll_output()));
        }
    }

    /// Time goes on, and all nodes tick.
    pub fn pass(&mut self, time: Duration) {
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        self.pass_for(time, &all);
    }

    /// Time goes on, and only these nodes tick; the others are paused, and hear nothing.
    pub fn pass_for(&mut self, time: Duration, running: &[usize]) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(100);
            for node in running {
                self.nodes[*node].handle_tick(self.now);
            }
            self.settle();
        }
    }

    pub fn subscribe(&mut self, node: usize, topic: &str) {
        self.nodes[node].subscribe(topic);
        self.settle();
    }

    pub fn publish(&mut self, node: usize, topic: &str, payload: &str) -> lapwing_cluster::Sent {
        let payload = payload.to_owned().into();
        let sent = self.nodes[node].publish(topic, "said", PayloadKind::Json, None, payload);
        self.settle();
        sent
    }

    /// What was delivered to a node since the last call.
    pub fn delivered(&mut self, node: usize) -> Vec<String> {
        let payloads = self.take(node, |output| match output {
            Output::Deliver { publish, .. } => Some(String::from_utf8(publish.payload.to_vec()).unwrap()),
            _ => None,
        });
        payloads.into_iter().collect()
    }

    /// Takes the outputs of one kind.
    pub fn take<T>(&mut self, node: usize, mut kind: impl FnMut(&Output) -> Option<T>) -> Vec<T> {
        let mut taken = Vec::new();
        self.outputs[node].retain(|output| match kind(output) {
            Some(it) => {
                taken.push(it);
                false
            }
            None => true,
        });
        taken
    }
}
