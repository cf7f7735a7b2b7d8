//! Two to seven replicas over a bad network: loss, repetition, delay, reordering, splits, kills, restarts,
//! departures.

use std::{collections::BTreeSet, time::Duration};

use lapwing_presence::{Destination, Message, Presences, Replica, ReplicaConfig, ReplicaId};
use proptest::prelude::*;

use crate::support::{Dice, Listener, Op, Seen, op, shown};

const MS: Duration = Duration::from_millis(1);

/// Short, so that a few minutes hold many hours' worth of events.
pub(crate) fn hasty() -> ReplicaConfig {
    ReplicaConfig::default()
        .period(100 * MS)
        .silence_max(500 * MS)
        .down_after(1500 * MS)
        .forget_after(6000 * MS)
        .presences(lapwing_presence::Config::default().shards(3).history_changes_max(20).held_changes_max(40))
}

/// What the network does to a message, in percent, and how long it may keep it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) lost: usize,
    pub(crate) repeated: usize,
    pub(crate) delay_ms_max: usize,
}

pub(crate) const FAIR: Weather = Weather { lost: 0, repeated: 0, delay_ms_max: 5 };

pub(crate) struct Node {
    pub(crate) replica: Replica,
    pub(crate) listener: Listener,
    pub(crate) running: bool,
}

/// The nodes and what is on its way between them.
pub(crate) struct Network {
    pub(crate) now: Duration,
    pub(crate) nodes: Vec<Node>,
    pub(crate) weather: Weather,
    /// Nodes of different groups do not reach each other.
    pub(crate) groups: Vec<usize>,
    /// From whom to whom nothing passes but heartbeats, without their deltas.
    pub(crate) silenced: Vec<(usize, usize)>,
    /// When, to whom, what.
    in_flight: Vec<(Duration, usize, Message)>,
    dice: Dice,
    config: ReplicaConfig,
    pub(crate) whole_transfers: usize,
    pub(crate) requests: usize,
}

impl Network {
    pub(crate) fn new(nodes: usize, seed: u64, config: ReplicaConfig) -> Self {
        let mut network = Self {
            now: Duration::ZERO,
            nodes: Vec::new(),
            weather: FAIR,
            groups: vec![0; nodes],
            silenced: Vec::new(),
            in_flight: Vec::new(),
            dice: Dice(seed),
            config,
            whole_transfers: 0,
            requests: 0,
        };
        for number in 0..nodes {
            let node = network.start(ReplicaId::new(number as u64, 1));
            network.nodes.push(node);
        }
        network
    }

    fn start(&mut self, id: ReplicaId) -> Node {
        let replica = Replica::new(id, self.config.clone(), self.now).unwrap();
        Node { replica, listener: Listener::default(), running: true }
    }

    pub(crate) fn work(&mut self, node: usize, op: Op) {
        if self.nodes[node].running {
            let Node { replica, listener, .. } = &mut self.nodes[node];
            listener.hear(&op.apply(replica.presences_mut()));
        }
    }

    /// Ends a node without a word.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].running = false;
    }

    /// Ends a node with a word.
    pub(crate) fn depart(&mut self, node: usize) {
        self.nodes[node].replica.depart();
        assert_eq!(self.nodes[node].replica.poll_timeout(), None);
        self.send(node);
        self.nodes[node].running = false;
    }

    /// Starts a node anew, whether it ran or not.
    pub(crate) fn restart(&mut self, node: usize) {
        let id = self.nodes[node].replica.presences().id();
        self.nodes[node] = self.start(ReplicaId::new(id.node(), id.incarnation() + 1));
    }

    /// Lets time pass, millisecond by millisecond of those in which something happens.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let due = self.in_flight.iter().map(|(at, ..)| *at);
            let ticks =
                self.nodes.iter().filter(|node| node.running).filter_map(|n| n.replica.poll_timeout());
            let next = due.chain(ticks).min().unwrap_or(end).max(self.now);
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            self.deliver();
            for node in 0..self.nodes.len() {
                if self.nodes[node].running {
                    self.step(node, |replica, now| replica.handle_timeout(now));
                }
            }
            if next == end {
                return;
            }
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let mut due: Vec<_> = self.in_flight.extract_if(.., |(at, ..)| *at <= now).collect();
        self.dice.shuffle(&mut due);
        for (_, to, message) in due {
            if self.nodes[to].running {
                self.step(to, |replica, now| replica.handle(now, message));
            }
        }
    }

    fn step(&mut self, node: usize, act: impl FnOnce(&mut Replica, Duration) -> lapwing_presence::Diff) {
        let Node { replica, listener, .. } = &mut self.nodes[node];
        listener.hear(&act(replica, self.now));
        listener.agrees(replica.presences());
        self.send(node);
    }

    fn send(&mut self, from: usize) {
        while let Some(transmit) = self.nodes[from].replica.poll_transmit() {
            match &transmit.message {
                Message::Transfer { delta, .. } => self.whole_transfers += usize::from(delta.has_whole()),
                Message::TransferRequest { .. } => self.requests += 1,
                _ => {}
            }
            for to in 0..self.nodes.len() {
                let meant = match transmit.to {
                    Destination::All => to != from,
                    Destination::One(id) => self.nodes[to].replica.presences().id() == id,
                };
                if !meant || self.groups[from] != self.groups[to] {
                    continue;
                }
                match &transmit.message {
                    Message::Heartbeat { delta, .. } if delta.is_empty() => {}
                    _ if self.silenced.contains(&(from, to)) => continue,
                    _ => {}
                }
                self.throw(to, transmit.message.clone());
            }
        }
    }

    fn throw(&mut self, to: usize, message: Message) {
        if self.dice.roll(100) < self.weather.lost {
            return;
        }
        if self.dice.roll(100) < self.weather.repeated {
            self.throw(to, message.clone());
        }
        let delay = MS * self.dice.roll(self.weather.delay_ms_max + 1) as u32;
        self.in_flight.push((self.now + delay, to, message));
    }

    /// Good weather for longer than any timer but the last.
    pub(crate) fn settle(&mut self) {
        self.weather = FAIR;
        self.groups.fill(0);
        self.run(3000 * MS);
    }

    pub(crate) fn shown(&self, node: usize) -> BTreeSet<Seen> {
        shown(self.nodes[node].replica.presences())
    }

    pub(crate) fn presences(&mut self, node: usize) -> &mut Presences {
        self.nodes[node].replica.presences_mut()
    }

    /// All running nodes show the union of what the running nodes track.
    #[track_caller]
    pub(crate) fn assert_converged(&self) {
        let running = || self.nodes.iter().enumerate().filter(|(_, node)| node.running);
        let mut union = BTreeSet::new();
        for (place, node) in running() {
            // What a node tracks itself is what it shows when it knows nobody else.
            let mut alone = Presences::new(ReplicaId::new(99, 99), lapwing_presence::Config::default());
            let id = node.replica.presences().id();
            alone.replica_up(id).unwrap();
            alone.merge(&node.replica.presences().extract(&alone.clocks()));
            let own = shown(&alone);
            assert!(own.is_subset(&self.shown(place)));
            union.extend(own);
        }
        for (place, _) in running() {
            assert_eq!(self.shown(place), union, "node {place} after all is well");
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Work(usize, Op),
    Wait(u32),
    Weather(Weather),
    Split(Vec<usize>),
    Heal,
    Kill(usize),
    Restart(usize),
    Depart(usize),
}

fn event(nodes: usize) -> impl Strategy<Value = Event> {
    let weather = (0..60usize, 0..40usize, 0..800usize);
    prop_oneof![
        12 => (0..nodes, op()).prop_map(|(node, op)| Event::Work(node, op)),
        6 => (1..400u32).prop_map(Event::Wait),
        2 => (400..9000u32).prop_map(Event::Wait),
        2 => weather.prop_map(|(lost, repeated, delay_ms_max)| {
            Event::Weather(Weather { lost, repeated, delay_ms_max })
        }),
        2 => prop::collection::vec(0..3usize, nodes).prop_map(Event::Split),
        1 => Just(Event::Heal),
        1 => (0..nodes).prop_map(Event::Kill),
        1 => (0..nodes).prop_map(Event::Restart),
        1 => (0..nodes).prop_map(Event::Depart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn replicas_converge_whatever_the_network_did(
        (nodes, events) in (2..=7usize)
            .prop_flat_map(|nodes| (Just(nodes), prop::collection::vec(event(nodes), 1..60))),
        seed: u64,
    ) {
        let mut network = Network::new(nodes, seed, hasty());
        for event in events {
            match event {
                Event::Work(node, op) => network.work(node, op),
                Event::Wait(ms) => network.run(MS * ms),
                Event::Weather(weather) => network.weather = weather,
                Event::Split(groups) => network.groups = groups,
                Event::Heal => network.groups.fill(0),
                Event::Kill(node) => network.kill(node),
                Event::Restart(node) => network.restart(node),
                Event::Depart(node) if network.nodes[node].running => network.depart(node),
                Event::Depart(_) => {}
            }
        }
        network.settle();
        network.assert_converged();
    }
}

#[test]
fn a_change_is_everywhere_one_period_later() {
    let mut network = Network::new(5, 1, hasty());
    network.run(1000 * MS);
    network.work(0, Op::Track { topic: 0, key: 0, owner: 0, meta: 0 });
    network.run(110 * MS);
    network.assert_converged();
    assert_eq!((network.shown(4).len(), network.requests), (1, 0), "the heartbeat brought it");
}

#[test]
fn a_lost_delta_is_noticed_with_the_next_heartbeat() {
    let mut network = Network::new(2, 1, hasty());
    network.run(1000 * MS);
    network.work(0, Op::Track { topic: 0, key: 0, owner: 0, meta: 0 });
    network.weather.lost = 100;
    network.run(105 * MS);
    network.weather.lost = 0;
    network.run(120 * MS);
    network.assert_converged();
    assert_eq!((network.requests, network.whole_transfers), (1, 0));
}

#[test]
fn a_new_node_asks_each_replica_for_its_own_part_once() {
    let mut network = Network::new(5, 1, hasty());
    for node in 0..4 {
        for key in 0..3 {
            network.work(node, Op::Track { topic: 0, key, owner: 0, meta: 0 });
        }
    }
    network.kill(4);
    network.run(1000 * MS);
    network.requests = 0;
    network.restart(4);
    network.run(1000 * MS);
    network.assert_converged();
    assert_eq!(network.requests, 4);
}

#[test]
fn who_gets_no_answer_asks_somebody_else() {
    let mut network = Network::new(3, 1, hasty());
    network.run(1000 * MS);
    network.work(0, Op::Track { topic: 0, key: 0, owner: 0, meta: 0 });
    // Node 2 is heard by the first, and cannot be reached by it with more than a sign of life.
    network.silenced = vec![(0, 2)];
    network.run(1400 * MS);
    assert_eq!(network.shown(2).len(), 1, "node 1 has given it");
    network.assert_converged();
}

#[test]
fn who_is_silent_for_long_is_forgotten_and_welcome_again() {
    let mut network = Network::new(2, 1, hasty());
    for key in 0..3 {
        network.work(1, Op::Track { topic: 0, key, owner: 0, meta: 0 });
    }
    network.run(1000 * MS);
    let id = network.nodes[1].replica.presences().id();
    network.groups = vec![0, 1];
    network.run(5000 * MS);
    assert!(!network.presences(0).is_up(id));
    assert!(network.presences(0).clock(id).is_some(), "hidden and kept");
    network.run(2000 * MS);
    assert_eq!(network.presences(0).clock(id), None);
    network.settle();
    network.assert_converged();
    assert_eq!(network.shown(0).len(), 3);
}

#[test]
fn a_quiet_network_stays_quiet() {
    let mut network = Network::new(3, 1, hasty());
    network.work(0, Op::Track { topic: 0, key: 0, owner: 0, meta: 0 });
    network.run(1000 * MS);
    network.requests = 0;
    network.run(20_000 * MS);
    assert_eq!(network.requests, 0);
    network.assert_converged();
}

#[test]
fn messages_that_nobody_polls_are_bounded() {
    let config = hasty().transmits_max(3);
    let mut replica = Replica::new(ReplicaId::new(1, 1), config, Duration::ZERO).unwrap();
    for tick in 0..100 {
        replica.handle_timeout(MS * 600 * tick);
    }
    assert_eq!(std::iter::from_fn(|| replica.poll_transmit()).count(), 3);
}
