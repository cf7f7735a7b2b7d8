//! Whatever an engine delivers, a node neither panics nor holds more than it may. `fuzz/fuzz_targets/cluster_wire.rs` has the same law.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use std::time::Duration;

use bytes::Bytes;
use lapwing_cluster::{
    Channel, Config, Event, Identity, Instance, Interest, Node, Work,
    wire::{Message, PayloadKind, Publish},
};
use proptest::prelude::*;

const HELD_BYTES_MAX: usize = 300;
const PEERS_MAX: usize = 2;

/// One message of each kind, as the corpus has them.
fn corpus() -> Vec<Vec<u8>> {
    let lines = include_str!("data/wire-1.txt").lines();
    let hex = lines.filter_map(|line| line.split_once(' ')).map(|(_, hex)| hex);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    hex.map(|hex| hex.as_bytes().chunks(2).map(byte).collect()).collect()
}

/// A publication with a payload of so many bytes.
fn publication(number: u64, prev: u64, bytes: usize) -> Vec<u8> {
    let (topic, event) = ("room:1".into(), "said".into());
    let payload = Bytes::from(vec![b' '; bytes]);
    let publish = Publish { number, prev, topic, event, kind: PayloadKind::Json, slow: None, payload };
    Message::Publish(publish).encode(Instance(7)).to_vec()
}

/// A node that hears of a topic, by its channel.
fn node(config: Config) -> (Node, Channel) {
    let identity = Identity { app: "app".into(), name: "node".into(), instance: Instance(1) };
    let mut node = Node::new(identity, config, Duration::ZERO);
    let Interest::Waiting(key) = node.subscribe("room:1") else { panic!("too early") };
    node.handle_event(Duration::ZERO, Event::Up);
    (node, Channel::Topics(key))
}

/// The engine does what the node wants.
fn obey(node: &mut Node, now: Duration) {
    while let Some(work) = node.poll_work(now) {
        if let Work::Subscribe(channels) = work {
            node.handle_event(now, Event::Subscribed(channels));
        }
    }
}

#[test]
fn what_is_held_and_comes_again_in_another_size_is_counted_once() {
    let (mut node, channel) = node(Config::default());
    obey(&mut node, Duration::ZERO);
    for (number, prev, bytes) in [(1, 0, 2), (5, 4, 2), (5, 4, 200), (5, 4, 20)] {
        let bytes = publication(number, prev, bytes).into();
        node.handle_event(Duration::ZERO, Event::Message { channel, bytes });
    }
    assert!((1..200).contains(&node.held_bytes()));
    // What was missing comes.
    let bytes = publication(4, 1, 2).into();
    node.handle_event(Duration::ZERO, Event::Message { channel, bytes });
    assert_eq!(node.held_bytes(), 0);
}

/// What comes.
#[derive(Clone, Debug)]
struct Arrival {
    /// Which of the corpus; none of it for a publication behind a hole.
    which: usize,
    /// Places where it is changed.
    changes: Vec<(usize, u8)>,
    channel: u8,
    /// How long before the next one.
    millis: u64,
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let changes = proptest::collection::vec((0_usize..60, any::<u8>()), 0..2);
    let arrival = (0_usize..40, changes, 0_u8..3, 0_u64..40);
    let arrival =
        arrival.prop_map(|(which, changes, channel, millis)| Arrival { which, changes, channel, millis });
    proptest::collection::vec(arrival, 1..60)
}

proptest! {
    #[test]
    fn a_node_bears_whatever_comes(arrivals in arrivals()) {
        let corpus = corpus();
        let config = Config::default().held_bytes_max(HELD_BYTES_MAX).peers_max(PEERS_MAX);
        let ((mut node, topic), mut now) = (node(config), Duration::ZERO);
        for Arrival { which, changes, channel, millis } in arrivals {
            let mut bytes = corpus.get(which).cloned().unwrap_or_else(|| {
                let number = 20 + which as u64 % 10;
                publication(number, number - 1, which / 10)
            });
            for (at, byte) in changes {
                let len = bytes.len();
                bytes[at % len] = byte;
            }
            let channel = [Channel::Control, Channel::Node(Instance(1)), topic][usize::from(channel)];
            node.handle_event(now, Event::Message { channel, bytes: Bytes::from(bytes) });
            now += Duration::from_millis(millis);
            node.handle_tick(now);
            obey(&mut node, now);
            while node.poll_output().is_some() {}
            prop_assert!(node.held_bytes() <= PEERS_MAX * HELD_BYTES_MAX);
            prop_assert!(node.living().count() <= PEERS_MAX);
        }
    }
}
