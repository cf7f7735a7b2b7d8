//! Several nodes, a store that loses things, and clients that go from node to node: whatever happens in whatever order, a client is told that it
//! has recovered when, and only when, it has.
//!
//! The nodes are what they are in a program, [`Mirror`] and [`Histories`], without their sockets; the store is [`Shelf`]. Laws:
//!
//! 1. A client that has recovered, and heard of no gap since, has all that stands before its position in the store's order, once and in order.
//! 2. One that has not is told so for a reason: its place is in no order of the store's, or something that it missed is not kept.
//! 3. No node delivers anything twice, but for what the store had lost, which was told, and was given again.
//! 4. When everything has come, every node is where the store is.
//! 5. What has come to a node is delivered or stands before its place, or a gap is told.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use lapwing_cluster::{
    Channel, Instance, Key,
    wire::{Kept, Place},
};
use lapwing_cluster_driver::{
    Shelf,
    store::{Append, Page, Read},
};
use proptest::prelude::*;

use super::{
    keeper::{place, position},
    mirror::{Mirror, Step},
    pages::bounds,
};
use crate::{
    topic::{Topic, TopicPattern},
    topics::{
        broadcast::Broadcast,
        history::{Histories, NotRecovered, Since},
        keep::Keep,
        position::Position,
        room::Room,
    },
};

const NODES: usize = 3;

const CLIENTS: usize = 5;

const CHANNEL: Channel = Channel::Topics(Key(0));

fn keep() -> Keep {
    Keep::last(8).for_at_most(Duration::from_secs(20)).replay_max(6)
}

fn topic() -> Topic {
    Topic::from("t")
}

#[derive(Clone, Debug)]
enum Action {
    Publish {
        node: usize,
        again: bool,
    },
    /// So many of the messages on their way to a node arrive.
    Arrive {
        node: usize,
        count: usize,
    },
    /// The store does what a node has asked it for …
    Execute {
        node: usize,
    },
    /// … and the node hears of it.
    Answer {
        node: usize,
    },
    /// A node's connection is lost, or is there again.
    Cut {
        node: usize,
    },
    Up {
        node: usize,
    },
    /// Nobody has needed the topic there for a moment.
    Release {
        node: usize,
    },
    Join {
        client: usize,
        node: usize,
    },
    Leave {
        client: usize,
    },
    Wait(u64),
    LoseTail(usize),
    Evict,
    Forget,
}

fn action() -> impl Strategy<Value = Action> {
    let (node, client) = (0..NODES, 0..CLIENTS);
    prop_oneof![
        8 => (node.clone(), proptest::bool::weighted(0.1)).prop_map(|(node, again)| Action::Publish { node, again }),
        6 => (node.clone(), 1..4usize).prop_map(|(node, count)| Action::Arrive { node, count }),
        4 => node.clone().prop_map(|node| Action::Execute { node }),
        4 => node.clone().prop_map(|node| Action::Answer { node }),
        1 => node.clone().prop_map(|node| Action::Cut { node }),
        2 => node.clone().prop_map(|node| Action::Up { node }),
        1 => node.clone().prop_map(|node| Action::Release { node }),
        5 => (client.clone(), node).prop_map(|(client, node)| Action::Join { client, node }),
        1 => client.prop_map(|client| Action::Leave { client }),
        1 => (0..15u64).prop_map(Action::Wait),
        1 => (1..6usize).prop_map(Action::LoseTail),
        1 => Just(Action::Evict),
        1 => Just(Action::Forget),
    ]
}

struct Node {
    mirror: Mirror,
    histories: Histories,
    is_up: bool,
    arriving: VecDeque<Kept>,
    reading: Option<(Option<Place>, Option<Page>)>,
    published: u64,
    delivered: HashSet<Place>,
    /// What has come since the last gap was told.
    came: HashSet<Place>,
}

impl Node {
    fn new() -> Self {
        let rules = [(TopicPattern::new("*").expect("it is a pattern"), keep())].into();
        Self {
            mirror: Mirror::default(),
            histories: Histories::of_store(rules, Arc::new(Room::new(1_000_000))),
            is_up: true,
            arriving: VecDeque::new(),
            reading: None,
            published: 0,
            delivered: HashSet::new(),
            came: HashSet::new(),
        }
    }
}

#[derive(Default)]
struct Client {
    node: Option<usize>,
    position: Option<Position>,
    /// All that stands before its position, if it is one; none where it missed something, and nobody knows what.
    has: Option<Vec<Place>>,
}

struct World {
    shelf: Shelf,
    /// What stands before each place that there ever was, it included.
    orders: HashMap<Place, Vec<Place>>,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    now: Duration,
    epochs: u64,
}

impl World {
    fn new() -> Self {
        let (nodes, clients) = ((0..NODES).map(|_| Node::new()), (0..CLIENTS).map(|_| Client::default()));
        let mut world = Self {
            shelf: Shelf::default(),
            orders: HashMap::new(),
            nodes: nodes.collect(),
            clients: clients.collect(),
            now: Duration::ZERO,
            epochs: 0,
        };
        for node in 0..NODES {
            world.verify(node);
        }
        world
    }

    fn run(&mut self, action: &Action) {
        match *action {
            Action::Publish { node, again } => self.publish(node, again),
            Action::Arrive { node, count } => self.arrive(node, count),
            Action::Execute { node } => self.execute(node),
            Action::Answer { node } => self.answer(node),
            Action::Cut { node } => self.cut(node),
            Action::Up { node } => self.up(node),
            Action::Release { node } => self.release(node),
            Action::Join { client, node } => self.join(client, node),
            Action::Leave { client } => self.clients[client].node = None,
            Action::Wait(seconds) => self.now += Duration::from_secs(seconds),
            Action::LoseTail(entries) => {
                self.shelf.lose_tail("t", entries);
                (0..NODES).for_each(|node| self.cut(node));
            }
            Action::Evict => self.shelf.evict("t"),
            Action::Forget => {
                self.shelf.forget();
                (0..NODES).for_each(|node| self.cut(node));
            }
        }
    }

    fn publish(&mut self, from: usize, again: bool) {
        let node = &mut self.nodes[from];
        node.published += u64::from(!again || node.published == 0);
        let append = Append {
            topic: "t".into(),
            channel: CHANNEL,
            publisher: Instance(from as u64 + 1),
            number: node.published,
            entry: "entry".into(),
            bounds: bounds(keep()),
        };
        self.epochs += 1;
        let Some(kept) = self.shelf.append(&append, self.now, self.epochs) else { return };
        let mut order = self.orders.get(&kept.place_before()).cloned().unwrap_or_default();
        order.push(kept.place);
        self.orders.insert(kept.place, order);
        for node in self.nodes.iter_mut().filter(|node| node.is_up) {
            node.arriving.push_back(kept.clone());
        }
    }

    fn arrive(&mut self, number: usize, count: usize) {
        for _ in 0..count {
            let node = &mut self.nodes[number];
            let Some(kept) = node.arriving.pop_front() else { return };
            // What is old and not remembered cannot be told from what was heard.
            let (at, came) = (place(node.histories.position(&topic())), kept.place.number);
            if node.mirror.reads() > 0 && (came > at.number || check_at(&node.histories, came).is_some()) {
                node.came.insert(kept.place);
            }
            let mut steps = Vec::new();
            node.mirror.handle_kept(kept, |number| check_at(&node.histories, number), &mut steps);
            self.take(number, steps);
        }
    }

    fn execute(&mut self, node: usize) {
        let Some((after, page @ None)) = &mut self.nodes[node].reading else { return };
        self.epochs += 1;
        let read = Read {
            topic: "t".into(),
            channel: CHANNEL,
            after: *after,
            entries_max: 1_000,
            bounds: bounds(keep()),
        };
        *page = Some(self.shelf.read(&read, self.now, self.epochs));
    }

    fn answer(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        let Some((_, Some(page))) = node.reading.take_if(|(_, page)| page.is_some()) else { return };
        if page.refused.is_some() {
            let order = self.orders.get(&page.end()).cloned().unwrap_or_default();
            node.delivered.retain(|place| order.contains(place));
        }
        let mut steps = Vec::new();
        node.mirror.handle_page(page, |number| check_at(&node.histories, number), &mut steps);
        self.take(number, steps);
    }

    /// What was sent before may still arrive, until there is another connection.
    fn cut(&mut self, node: usize) {
        self.nodes[node].is_up = false;
    }

    fn up(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if !std::mem::replace(&mut node.is_up, true) {
            node.arriving.clear();
            self.verify(number);
        }
    }

    fn verify(&mut self, node: usize) {
        let mut steps = Vec::new();
        self.nodes[node].mirror.verify(&mut steps);
        self.take(node, steps);
    }

    fn release(&mut self, number: usize) {
        for client in self.clients.iter_mut().filter(|client| client.node == Some(number)) {
            client.node = None;
        }
        let node = &mut self.nodes[number];
        (node.mirror, node.reading) = (Mirror::default(), None);
        // Whoever comes now is another member.
        node.delivered.clear();
        node.came.clear();
        node.histories.forget(&topic());
        self.verify(number);
    }

    /// Does what was read for a node, until it reads nothing more.
    fn settle(&mut self, node: usize) {
        while self.nodes[node].reading.is_some() {
            self.execute(node);
            self.answer(node);
        }
    }

    fn take(&mut self, number: usize, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Read(after) => {
                    let before = self.nodes[number].reading.replace((after, None));
                    assert!(before.is_none(), "one at a time");
                }
                Step::Restart(place, entries) => {
                    let histories = &mut self.nodes[number].histories;
                    histories.restart(0, &topic(), position(place), self.now);
                    for kept in entries {
                        histories.append_stored(broadcast(&kept), kept.before.into(), self.now);
                    }
                }
                Step::Gap(_) => {
                    self.nodes[number].came.clear();
                    for client in self.clients.iter_mut().filter(|client| client.node == Some(number)) {
                        client.has = None;
                    }
                }
                Step::Deliver(kept) => self.deliver(number, &kept),
            }
        }
    }

    fn deliver(&mut self, number: usize, kept: &Kept) {
        let node = &mut self.nodes[number];
        assert!(node.delivered.insert(kept.place), "law 3: {:?} is delivered twice", kept.place);
        node.histories.append_stored(broadcast(kept), kept.before.into(), self.now);
        let order = &self.orders[&kept.place];
        for client in self.clients.iter_mut().filter(|client| client.node == Some(number)) {
            let offset = position(kept.place).offset;
            // It hears an offset, and nothing of the epoch.
            let heard = client.position.map(|position| Position { offset, ..position });
            let is_place = heard == Some(position(kept.place));
            if let Some(has) = &mut client.has {
                has.push(kept.place);
                assert_eq!(has, order, "law 1: it has all that stands before, and heard of no gap");
            } else if is_place {
                // From here on it knows where it is, and what it missed is told.
                client.has = Some(order.clone());
            }
            client.position = heard;
        }
    }

    fn join(&mut self, client: usize, node: usize) {
        if self.nodes[node].mirror.reads() == 0 {
            self.settle(node);
        }
        let since = self.clients[client].position;
        let knows =
            |world: &Self| since.is_none_or(|since| world.nodes[node].histories.knows(&topic(), since));
        if !knows(self) {
            self.settle(node);
            self.verify(node);
            self.settle(node);
        }
        let asked = since.map_or(Since::Now, Since::After);
        let (now, there) = (self.now, self.top());
        let histories = &mut self.nodes[node].histories;
        let answer = histories.answer(&topic(), asked, &keep().cap, now);
        let top = place(histories.position(&topic()));
        let before = self.orders.get(&top).cloned().unwrap_or_default();
        let replay: Vec<Place> = (answer.replay.clone())
            .map(|number| histories.get(&topic(), number).expect("what is promised is there"))
            .map(|recorded| place(recorded.broadcast.position.expect("it has one")))
            .collect();
        let joining = &mut self.clients[client];
        // Where its position is one, this stands before it.
        let stood = since.map(place).and_then(|place| {
            if place.number == 0 { Some(Vec::new()) } else { self.orders.get(&place).cloned() }
        });
        match (since, answer.refused) {
            (None, refused) => assert!(refused.is_none() && replay.is_empty()),
            (Some(_), None) => {
                let mut has = stood.expect("law 1: its place is in some order");
                has.extend(&replay);
                assert_eq!(has, before, "law 1: it has recovered");
            }
            (Some(since), Some(NotRecovered::Epoch)) => {
                let (there, order) = there;
                let is_in_order = place(since).number == 0 || order.contains(&place(since));
                let is_here = since.epoch == there.epoch && is_in_order;
                assert!(!is_here, "law 2: its place is in the order");
            }
            (Some(_), Some(_)) => {
                // Whoever heard of a gap, and does not know the new epoch, has a place that is in no order.
                let has_missed = stood.is_none_or(|stood| before.len() > stood.len());
                assert!(has_missed, "law 2: it missed nothing");
            }
        }
        joining.node = Some(node);
        joining.has = Some(before);
        joining.position = Some(position(top));
    }

    /// Everything comes.
    fn end(&mut self) {
        for node in 0..NODES {
            self.up(node);
            while !self.nodes[node].arriving.is_empty() || self.nodes[node].reading.is_some() {
                self.arrive(node, usize::MAX);
                self.settle(node);
            }
            self.verify(node);
            self.settle(node);
        }
        let (top, order) = self.top();
        for node in &self.nodes {
            assert_eq!(place(node.histories.position(&topic())), top, "law 4");
            let lost = node.came.iter().find(|place| !order.contains(place));
            assert_eq!(lost, None, "law 5");
        }
    }

    /// Where the store is, and what stands before.
    fn top(&mut self) -> (Place, Vec<Place>) {
        self.epochs += 1;
        let read =
            Read { topic: "t".into(), channel: CHANNEL, after: None, entries_max: 0, bounds: bounds(keep()) };
        let top = self.shelf.read(&read, self.now, self.epochs).end();
        (top, self.orders.get(&top).cloned().unwrap_or_default())
    }
}

fn check_at(histories: &Histories, number: u64) -> Option<u32> {
    histories.check_at(&topic(), number).map(|check| check as u32)
}

fn broadcast(kept: &Kept) -> Broadcast {
    let mut broadcast = Broadcast::new(topic(), "said", vec![0]);
    broadcast.position = Some(position(kept.place));
    broadcast
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn a_client_has_recovered_exactly_when_it_is_told_so_whichever_node_it_returns_to(
        actions in proptest::collection::vec(action(), 1..80),
    ) {
        let mut world = World::new();
        for action in &actions {
            world.run(action);
        }
        world.end();
    }
}
