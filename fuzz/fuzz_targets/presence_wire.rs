//! Whatever other nodes say about who is present: reading it costs no more than it weighs, what was read is written back as the same, and a
//! replica that hears it goes on, and says what others can read.

#![no_main]

use std::time::Duration;

use lapwing_fuzz::Bound;
use lapwing_presence::{Config, Message, Owner, Replica, ReplicaConfig, ReplicaId};
use libfuzzer_sys::fuzz_target;

/// A clock with its replica is seventeen bytes at least, a part is twenty, a change three; each is kept apart once it is read.
const BOUND: Bound = Bound { bytes_per_byte: 32, bytes_per_allocation: 1 };

/// This node, which the fuzzer knows by its number.
const OWN: ReplicaId = ReplicaId::new(1, 0);

fuzz_target!(|input: &[u8]| {
    if let Ok(message) = BOUND.hold(64 + input.len(), || Message::decode(input)) {
        let again = message.encode();
        assert!(
            again.len() <= input.len(),
            "a number may be written in more bytes than it needs, and is not"
        );
        let twice = Message::decode(&again).expect("what was written can be read");
        assert_eq!(twice.encode(), again);
        assert_eq!(twice.sender(), message.sender());
    }

    // Messages one after the other, each behind its length.
    let config = ReplicaConfig::default().presences(Config::default().shards(1));
    let mut replica =
        Replica::new(OWN, config, Duration::ZERO).expect("its times do not contradict each other");
    replica.presences_mut().track("room", "own", Owner(1), b"{}").expect("there is room for one");
    let mut now = Duration::ZERO;
    let mut rest = input;
    while let [len, more @ ..] = rest {
        let (bytes, after) = more.split_at(usize::from(*len).min(more.len()));
        rest = after;
        // The cluster gives nobody what it said itself, and nobody's messages but the sender's.
        if let Ok(message) = Message::decode(bytes)
            && message.sender() != OWN
        {
            replica.handle(now, message);
        }
        now += Duration::from_millis(300);
        replica.handle_timeout(now);
        while let Some(transmit) = replica.poll_transmit() {
            Message::decode(&transmit.message.encode()).expect("others can read it");
        }
        // What this node tracks is nobody else's to end.
        assert!(replica.presences().find("room", "own", Owner(1)).is_some());
        assert_eq!(replica.presences().list("room").count(), replica.presences().count("room").presences);
    }
});
