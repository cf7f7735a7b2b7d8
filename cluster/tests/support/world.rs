//! The nodes with their programs, the engine, and time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use lapwing_cluster::{
    Config, Event, Gap, Identity, Instance, Interest, Node, Output, PeerEnd, Sent, Spread, TopicHasher,
    wire::{Message, PayloadKind, WireLimits},
};

use super::{dice::Dice, engine::Engine};

/// Beats of a node's own that come back without one of a peer's before that counts as dead, at least.
const ECHOES_OF_DEATH: u32 = 8;

pub const TOPICS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// A node with what its program did and heard.
pub struct Program {
    pub node: Node,
    pub instance: Instance,
    /// Topics that it has members on, and since which step they are confirmed.
    pub members: BTreeMap<&'static str, Option<u64>>,
    /// What was delivered, in order: from whom, which publication, and at which step.
    pub delivered: Vec<(Instance, u64, u64)>,
    pub gaps: Vec<(Gap, u64)>,
    pub peers: BTreeSet<Instance>,
    /// When each peer was last found to be there.
    pub last_up: BTreeMap<Instance, u64>,
    pub deaths: Vec<(Instance, PeerEnd)>,
    /// Its own beats that came back since each peer's last one.
    echoes: BTreeMap<Instance, u32>,
    paused_until: Duration,
    cut_off_until: Duration,
    /// When it goes at the latest, if it is about to.
    leaves_until: Option<Duration>,
}

/// A broadcast as it was published.
pub struct Published {
    pub from: Instance,
    pub topic: &'static str,
    /// Its number among the publisher's.
    pub number: u64,
    pub step: u64,
    /// Nodes that had the topic confirmed, by their index.
    pub owed: Vec<usize>,
}

pub struct World {
    pub config: Config,
    ring_bytes_max: usize,
    pub programs: Vec<Option<Program>>,
    pub published: Vec<Published>,
    /// Instances that died or departed.
    pub dead: Vec<Instance>,
    pub hasher: TopicHasher,
    numbers: BTreeMap<Instance, u64>,
    engine: Engine,
    dice: Dice,
    now: Duration,
    step: u64,
    engine_back: Duration,
    stalled_until: Duration,
    /// Commands that the engine executes while a step of time passes.
    pace: u32,
    is_traced: bool,
}

impl Program {
    fn note_beat(&mut self, event: &Event) {
        let Event::Message { bytes, .. } = event else { return };
        let Ok((from, Message::Beat(_))) = Message::decode(bytes, &WireLimits::default()) else { return };
        if from == self.instance {
            self.echoes.values_mut().for_each(|echoes| *echoes += 1);
        } else {
            self.echoes.insert(from, 0);
        }
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self::with(seed, |config| config)
    }

    /// Nodes that remember all channels, and an engine that takes what they say while it is up: what it has not confirmed is a part of the ring, and more
    /// than is said between two of its answers.
    pub fn for_outage(seed: u64) -> Self {
        Self::with(seed, |config| config.keys_max(64).in_flight_bytes_max(1_000))
    }

    fn with(seed: u64, adjust: impl Fn(Config) -> Config) -> Self {
        let mut dice = Dice::new(seed);
        let mut config = Config::default();
        if dice.one_in(2) {
            config = config.spread(Spread::Topics);
            config = config.keys_max(if dice.one_in(2) { 3 } else { 64 });
        } else {
            config = config.spread(Spread::Partitions(if dice.one_in(2) { 1 } else { 4 }));
        }
        let ring_bytes_max = [600, 4_000, 1_000_000][dice.below(3) as usize];
        config = config.ring_bytes_max(ring_bytes_max);
        config = config.in_flight_bytes_max([200, 100_000][dice.below(2) as usize]);
        config = config.held_max([2, 256][dice.below(2) as usize]);
        config = config.wire(WireLimits {
            tops_max: [1, 4_096][dice.below(2) as usize],
            publishes_max: [1, 1_024][dice.below(2) as usize],
            ..WireLimits::default()
        });
        let config = adjust(config);
        let mut engine = Engine::default();
        engine.drops = [0, 0, 0, 20][dice.below(4) as usize];
        let mut world = Self {
            config,
            ring_bytes_max,
            programs: Vec::new(),
            published: Vec::new(),
            dead: Vec::new(),
            hasher: TopicHasher::new("app"),
            numbers: BTreeMap::new(),
            engine,
            dice,
            now: Duration::from_secs(1),
            step: 0,
            engine_back: Duration::ZERO,
            stalled_until: Duration::ZERO,
            pace: 40,
            is_traced: std::env::var_os("TRACE").is_some(),
        };
        for _ in 0..3 {
            world.add_node();
        }
        world
    }

    pub fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            self.fault();
            for _ in 0..4 {
                self.act();
            }
            let millis = self.dice.below(60);
            self.advance(Duration::from_millis(millis));
        }
    }

    /// The engine is away, and each node comes back to it at a time of its own. All the while they publish, more than a small ring keeps. Nothing else
    /// goes wrong. Returns the step at which it went.
    pub fn outage(&mut self) -> u64 {
        self.engine.drops = 0;
        self.pace = 200;
        self.go_on(50);
        let step = self.step;
        self.engine.kill();
        self.tell_down_all();
        self.engine_back = self.now + Duration::from_millis(self.dice.below(9_000));
        let latest = [50, 500, 4_000][self.dice.below(3) as usize];
        for at in 0..self.programs.len() {
            let back = self.engine_back + Duration::from_millis(self.dice.below(latest));
            self.programs[at].as_mut().unwrap().cut_off_until = back;
        }
        let end = self.engine_back + Duration::from_millis(latest + 2_000);
        while self.now < end {
            self.go_on(1);
        }
        step
    }

    /// Programs act, and nothing goes wrong that has not gone wrong yet.
    fn go_on(&mut self, steps: u64) {
        for _ in 0..steps {
            for _ in 0..4 {
                self.act();
            }
            let millis = self.dice.below(60);
            self.advance(Duration::from_millis(millis));
        }
    }

    /// All faults end, and time goes on until everything that can be repaired is.
    pub fn heal(&mut self) {
        self.engine.drops = 0;
        self.pace = 200;
        self.stalled_until = self.now;
        self.engine_back = self.now;
        for program in self.programs.iter_mut().flatten() {
            program.paused_until = self.now;
            program.cut_off_until = self.now;
        }
        for _ in 0..200 {
            self.advance(Duration::from_millis(100));
        }
    }

    fn add_node(&mut self) {
        let instance = Instance(self.dice.next());
        let identity = Identity { app: "app".into(), name: "node".into(), instance };
        self.programs.push(Some(Program {
            node: Node::new(identity, self.config.clone(), self.now),
            instance,
            members: BTreeMap::new(),
            delivered: Vec::new(),
            gaps: Vec::new(),
            peers: BTreeSet::new(),
            last_up: BTreeMap::new(),
            deaths: Vec::new(),
            echoes: BTreeMap::new(),
            paused_until: Duration::ZERO,
            cut_off_until: Duration::ZERO,
            leaves_until: None,
        }));
    }

    fn someone(&mut self) -> Option<usize> {
        let at = self.dice.below(self.programs.len() as u64) as usize;
        self.programs[at].is_some().then_some(at)
    }

    fn fault(&mut self) {
        let Some(node) = self.someone() else { return };
        let longest = if self.dice.one_in(4) { 9_000 } else { 900 };
        let length = Duration::from_millis(self.dice.below(longest));
        match self.dice.below(120) {
            0..6 => self.cut(node),
            6 => {
                self.engine.kill();
                self.engine_back = self.now + length;
                self.tell_down_all();
            }
            7 | 8 => self.stalled_until = self.now + length,
            9 => self.programs[node].as_mut().unwrap().paused_until = self.now + length,
            10 => {
                self.programs[node].as_mut().unwrap().cut_off_until = self.now + length;
                self.cut(node);
            }
            11 if self.programs.iter().flatten().count() > 2 && self.dice.one_in(3) => {
                let program = self.programs[node].take().unwrap();
                self.engine.cut(node, &mut self.dice);
                self.dead.push(program.instance);
            }
            12 if self.programs.len() < 5 => self.add_node(),
            13 if self.programs.iter().flatten().count() > 2 && self.dice.one_in(3) => {
                let program = self.programs[node].as_mut().unwrap();
                program.node.begin_drain();
                program.leaves_until.get_or_insert(self.now + length);
            }
            _ => {}
        }
    }

    fn cut(&mut self, node: usize) {
        let had = self.engine.connections.contains_key(&node);
        self.engine.cut(node, &mut self.dice);
        if had {
            self.tell(node, Event::Down);
        }
    }

    fn tell_down_all(&mut self) {
        for node in 0..self.programs.len() {
            if self.programs[node].is_some() {
                self.tell(node, Event::Down);
            }
        }
    }

    /// A program does something: members come and go, broadcasts are made.
    fn act(&mut self) {
        let Some(at) = self.someone() else { return };
        let topic = TOPICS[self.dice.below(TOPICS.len() as u64) as usize];
        match self.dice.below(20) {
            0 | 1 => self.join(at, topic),
            2 if self.dice.one_in(3) => {
                let program = self.programs[at].as_mut().unwrap();
                if program.members.remove(topic).is_some() {
                    program.node.unsubscribe(self.now, topic);
                }
            }
            3..9 => self.publish(at, topic),
            _ => {}
        }
    }

    fn join(&mut self, at: usize, topic: &'static str) {
        let step = self.step;
        let program = self.programs[at].as_mut().unwrap();
        if !program.members.contains_key(topic) {
            let since = match program.node.subscribe(topic) {
                Interest::Confirmed => Some(step),
                Interest::Waiting(_) => None,
            };
            program.members.insert(topic, since);
        }
    }

    fn publish(&mut self, at: usize, topic: &'static str) {
        self.step += 1;
        let owed = (0..self.programs.len())
            .filter(|other| *other != at)
            .filter(|other| {
                let program = self.programs[*other].as_ref();
                program.is_some_and(|program| matches!(program.members.get(topic), Some(Some(_))))
            })
            .collect();
        let id = self.published.len() as u64;
        let program = self.programs[at].as_mut().unwrap();
        let payload = Bytes::from(format!("{id:060}"));
        let sent = program.node.publish(topic, "said", PayloadKind::Json, None, payload);
        assert!(program.node.is_up() || sent != Sent::Now);
        let number = self.numbers.entry(program.instance).or_default();
        *number += 1;
        if self.is_traced {
            println!("{} node {at} PUBLISHES {id} {topic} as {number} {sent:?} owed {owed:?}", self.step);
        }
        let published = Published { from: program.instance, topic, number: *number, step: self.step, owed };
        self.published.push(published);
    }

    /// Time goes on: the engine works, messages arrive, nodes tick.
    fn advance(&mut self, by: Duration) {
        self.now += by;
        self.engine.is_stalled = self.now < self.stalled_until;
        if self.now >= self.engine_back {
            self.engine.is_away = false;
        }
        for _ in 0..self.pace {
            if self.engine.is_idle() {
                break;
            }
            self.engine.step(&mut self.dice);
            self.arrive();
        }
        for node in 0..self.programs.len() {
            self.tick(node);
        }
    }

    fn is_running(&self, node: usize) -> bool {
        self.programs[node].as_ref().is_some_and(|program| program.paused_until <= self.now)
    }

    fn arrive(&mut self) {
        for node in 0..self.programs.len() {
            if !self.is_running(node) {
                continue;
            }
            let Some(connection) = self.engine.connections.get_mut(&node) else { continue };
            let count = self.dice.below(connection.events.len() as u64 + 1);
            let events: Vec<Event> = connection.events.drain(..count as usize).collect();
            for event in events {
                self.tell(node, event);
            }
            self.hand_over(node);
        }
    }

    fn tick(&mut self, node: usize) {
        if !self.is_running(node) {
            return;
        }
        let program = self.programs[node].as_mut().unwrap();
        let may_connect = program.cut_off_until <= self.now && !program.node.is_up();
        program.node.handle_tick(self.now);
        if may_connect && self.engine.connect(node) {
            self.tell(node, Event::Up);
        }
        self.hear(node);
        self.hand_over(node);
        self.leave(node);
    }

    /// Ends a program that is about to go: once all that it had to say is said, or when it has waited for long enough.
    fn leave(&mut self, node: usize) {
        let program = self.programs[node].as_mut().unwrap();
        let Some(until) = program.leaves_until else { return };
        if program.node.is_flushed() || until <= self.now {
            program.node.depart();
            self.hand_over(node);
            self.engine.close(node);
            self.dead.push(self.programs[node].take().unwrap().instance);
        }
    }

    fn tell(&mut self, node: usize, event: Event) {
        if self.is_traced {
            self.trace(node, &event);
        }
        let program = self.programs[node].as_mut().unwrap();
        program.note_beat(&event);
        program.node.handle_event(self.now, event);
        self.hear(node);
    }

    fn trace(&self, node: usize, event: &Event) {
        match event {
            Event::Message { channel, bytes } => {
                let message = Message::decode(bytes, &WireLimits::default());
                println!("{} {:?} node {node} hears by {channel:?}: {message:?}", self.step, self.now);
            }
            other => println!("{} {:?} node {node}: {other:?}", self.step, self.now),
        }
    }

    fn hand_over(&mut self, node: usize) {
        let Some(connection) = self.engine.connections.get_mut(&node) else { return };
        let program = self.programs[node].as_mut().unwrap();
        while let Some(work) = program.node.poll_work(self.now) {
            connection.commands.push_back(work);
        }
        assert!(program.node.ring_bytes() <= self.ring_bytes_max);
    }

    fn hear(&mut self, node: usize) {
        self.step += 1;
        let mut reconnect = false;
        let program = self.programs[node].as_mut().unwrap();
        while let Some(output) = program.node.poll_output() {
            match output {
                Output::Deliver { from, publish, .. } => {
                    let id: u64 = std::str::from_utf8(&publish.payload).unwrap().parse().unwrap();
                    if self.is_traced {
                        println!(
                            "{} node {node} GETS {id}: {} {} of {from:?}",
                            self.step, publish.topic, publish.number
                        );
                    }
                    program.delivered.push((from, id, self.step));
                }
                Output::Gap(gap) if self.is_traced => {
                    println!("{} node {node} TOLD {gap:?}", self.step);
                    program.gaps.push((gap, self.step));
                }
                Output::Gap(gap) => program.gaps.push((gap, self.step)),
                Output::Confirmed(key) => {
                    for (topic, since) in &mut program.members {
                        if self.hasher.key(self.config.topic_spread(), topic) == key {
                            since.get_or_insert(self.step);
                        }
                    }
                }
                Output::PeerUp(peer) => {
                    assert!(program.peers.insert(peer), "up twice");
                    program.last_up.insert(peer, self.step);
                }
                Output::PeerDown(peer, end) => {
                    assert!(program.peers.remove(&peer), "down twice");
                    // Law 4: neither time nor an engine that is away kills anybody.
                    let echoes = program.echoes.get(&peer).copied().unwrap_or_default();
                    assert!(
                        end == PeerEnd::Departed || echoes >= ECHOES_OF_DEATH,
                        "dead after {echoes} echoes"
                    );
                    program.deaths.push((peer, end));
                }
                Output::Reconnect => reconnect = true,
                Output::Refused(_)
                | Output::Kept { .. }
                | Output::Presence(..)
                | Output::Relay(..)
                | Output::Move(..)
                | Output::Call(..)
                | Output::Answered { .. } => {}
            }
        }
        if reconnect {
            self.engine.cut(node, &mut self.dice);
            self.tell(node, Event::Down);
        }
    }
}
