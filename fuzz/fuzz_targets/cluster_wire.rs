//! Whatever comes from an engine: reading it costs no more than it weighs, what was read is written back as the same, and a node that hears it
//! holds no more than it may.

#![no_main]

use std::time::Duration;

use bytes::Bytes;
use lapwing_cluster::{
    Channel, Config, Event, Identity, Instance, Key, Node, Work,
    wire::{self, Message, WireLimits},
};
use lapwing_fuzz::Bound;
use libfuzzer_sys::fuzz_target;

/// A channel with its number is two bytes at least, and sixteen once it is read; a publication in a repair is eleven, and thirty-two.
const BOUND: Bound = Bound { bytes_per_byte: 16, bytes_per_allocation: 8 };

/// Bytes that are held back for one peer.
const HELD_BYTES_MAX: usize = 4096;

const PEERS_MAX: usize = 4;

fuzz_target!(|input: &[u8]| {
    let bytes = Bytes::copy_from_slice(input);
    let limits = WireLimits::default();
    if let Ok((from, message)) = BOUND.hold(bytes.len(), || Message::decode(&bytes, &limits)) {
        assert_eq!(wire::sender(&bytes), Some(from));
        let again = message.encode(from);
        assert!(
            again.len() <= bytes.len(),
            "a number may be written in more bytes than it needs, and is not"
        );
        assert_eq!(Message::decode(&again, &limits), Ok((from, message)));
    }

    // Messages one after the other: their channel, their length, and they themselves.
    let identity = Identity { app: "app".into(), name: "node".into(), instance: Instance(1) };
    let config = Config::default().held_bytes_max(HELD_BYTES_MAX).peers_max(PEERS_MAX);
    let mut node = Node::new(identity, config, Duration::ZERO);
    let topic = node.subscribe("room:1");
    let mut now = Duration::ZERO;
    let mut rest = input;
    node.handle_event(now, Event::Up);
    while let [channel, len, more @ ..] = rest {
        let (message, after) = more.split_at(usize::from(*len).min(more.len()));
        rest = after;
        let channel = match channel % 4 {
            0 => Channel::Control,
            1 => Channel::Node(Instance(1)),
            2 => Channel::Topics(Key(0)),
            _ => match topic {
                lapwing_cluster::Interest::Waiting(key) => Channel::Topics(key),
                lapwing_cluster::Interest::Confirmed => unreachable!("nothing is confirmed yet"),
            },
        };
        let bytes = Bytes::copy_from_slice(message);
        node.handle_event(now, Event::Message { channel, bytes });
        now += Duration::from_millis(60);
        node.handle_tick(now);
        while let Some(work) = node.poll_work(now) {
            if let Work::Subscribe(channels) = work {
                node.handle_event(now, Event::Subscribed(channels));
            }
        }
        while node.poll_output().is_some() {}
        assert!(node.held_bytes() <= PEERS_MAX * HELD_BYTES_MAX);
        assert!(node.living().count() <= PEERS_MAX);
    }
});
