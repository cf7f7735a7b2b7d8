//! The bytes of relays: as they were, and whatever else arrives. `fuzz/fuzz_targets/relay_wire.rs` has the same laws.

use bytes::Bytes;
use lapwing_cluster::{
    Instance,
    relay::{
        RelayConfig, RelayOutput, Relays, Role,
        wire::{Address, Item, RelayWireError, Why, begin, items},
    },
};
use proptest::prelude::*;

/// One item of each kind, in the order of the frozen file.
fn samples() -> Vec<(&'static str, Item)> {
    let carrier = Address { sender: Role::Carrier, relay: 300 };
    let owner = Address { sender: Role::Owner, relay: 5 };
    vec![
        ("open", Item::Open { relay: 300, head: Bytes::from_static(b"head") }),
        ("data", Item::Data { to: vec![(carrier, 2), (owner, 700)], bytes: Bytes::from_static(b"bytes") }),
        ("end", Item::End { address: owner, number: 701 }),
        ("ack", Item::Ack { address: carrier, received: 701, used: 65_536 }),
        ("cut-given-up", Item::Cut { address: carrier, why: Why::GivenUp }),
        ("cut-lost", Item::Cut { address: owner, why: Why::Lost }),
        ("cut-busy", Item::Cut { address: owner, why: Why::Busy }),
    ]
}

fn message(of: &[Item]) -> Bytes {
    let mut out = begin();
    for item in of {
        item.append(&mut out);
    }
    out.freeze()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A later release must read what this one wrote, and this one says what it writes.
#[test]
fn the_frozen_bytes_of_version_1_are_written_and_read() {
    let frozen = include_str!("../data/relay-1.txt");
    let lines: Vec<(&str, &str)> = frozen.lines().map(|line| line.split_once(' ').unwrap()).collect();
    let samples = samples();
    assert_eq!(lines.len(), samples.len());
    for ((name, bytes), (sample, item)) in lines.into_iter().zip(samples) {
        let written = message(std::slice::from_ref(&item));
        assert_eq!((name, bytes), (sample, hex(&written).as_str()));
        assert_eq!(items(&written).collect::<Vec<_>>(), [Ok(item)], "{name}");
    }
}

#[test]
fn what_is_not_known_ends_the_reading_and_what_came_before_it_counts() {
    let known = Item::End { address: Address { sender: Role::Owner, relay: 1 }, number: 1 };
    let mut unknown = message(std::slice::from_ref(&known)).to_vec();
    unknown.extend([9, 1, 2, 3]);
    let read: Vec<_> = items(&unknown.into()).collect();
    assert_eq!(read, [Ok(known), Err(RelayWireError::Kind(9))]);
    assert_eq!(items(&Bytes::from_static(&[2, 3])).collect::<Vec<_>>(), [Err(RelayWireError::Version(2))]);
    assert_eq!(items(&Bytes::new()).collect::<Vec<_>>(), [Err(RelayWireError::Length)]);
    // A piece for a thousand relays, of which there are none.
    let lies = Bytes::from_static(&[1, 2, 0xe8, 0x07]);
    assert_eq!(items(&lies).collect::<Vec<_>>(), [Err(RelayWireError::Length)]);
}

proptest! {
    /// Whatever arrives: an answer, and what was read is written back as it came or shorter.
    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u8..7) {
        if bytes.len() > 2 {
            (bytes[0], bytes[1]) = (1, kind);
        }
        let bytes = Bytes::from(bytes);
        let read: Vec<Item> = items(&bytes).map_while(Result::ok).collect();
        let again = message(&read);
        prop_assert!(again.len() <= bytes.len().max(1));
        prop_assert_eq!(items(&again).map_while(Result::ok).collect::<Vec<_>>(), read);
    }

    /// Whatever a peer says, a node holds no more than it may and owes its program an end of all that it was told to begin.
    #[test]
    fn relays_bear_whatever_comes(
        messages in proptest::collection::vec((0_usize..9, proptest::collection::vec((any::<u8>(), 0_u8..4), 1..40)), 1..40),
    ) {
        let config = RelayConfig::default().owned_max(3).held_bytes_max(500).peers_max(2).window_bytes(100);
        let mut relays = Relays::new(config.piece_bytes_max(50));
        relays.handle_up();
        let opened = relays.open(Instance(7), Bytes::from_static(b"mine")).unwrap();
        let mut heard = vec![opened];
        for (sample, changes) in messages {
            let mut bytes = match samples().get(sample) {
                Some((_, item)) => message(std::slice::from_ref(item)).to_vec(),
                None => vec![1],
            };
            for (byte, small) in changes {
                // Small numbers, so that they hit relays that are there.
                bytes.push(if byte < 200 { small } else { byte });
            }
            relays.handle_message(Instance(7 + u64::from(bytes.len() % 3 == 0)), &bytes.into());
            while relays.poll_message().is_some() {}
            while let Some(output) = relays.poll_output() {
                match output {
                    RelayOutput::Opened(key, _) => heard.push(key),
                    RelayOutput::Dropped(key) => relays.handle_used(key, usize::MAX),
                    _ => {}
                }
            }
            prop_assert!(relays.held() <= 500 && relays.len() <= 1 + 3);
        }
        heard.into_iter().for_each(|key| relays.cut(key));
        prop_assert_eq!((relays.is_empty(), relays.len(), relays.held()), (true, 0, 0));
        relays.handle_gone(Instance(7));
        relays.handle_gone(Instance(8));
        prop_assert!(relays.is_empty() && relays.held() == 0);
        prop_assert!(relays.in_flight(Instance(7)) == 0 && relays.in_flight(Instance(8)) == 0);
    }
}
