//! Whatever a node says about sessions that move: reading it costs no more than it weighs, what was read is written back as the same, and a node that
//! hears it holds no more than it may.

#![no_main]

use std::time::Duration;

use bytes::Bytes;
use lapwing_cluster::{
    Instance,
    moves::{
        MoveConfig, MoveOutput, Moves,
        wire::{Item, begin, items},
    },
};
use lapwing_fuzz::Bound;
use libfuzzer_sys::fuzz_target;

/// Reading copies nothing.
const BOUND: Bound = Bound { bytes_per_byte: 16, bytes_per_allocation: 1 };

const BYTES_MAX: usize = 4_096;

fuzz_target!(|input: &[u8]| {
    let bytes = Bytes::copy_from_slice(input);
    for item in items(&bytes) {
        let Ok(item) = item else { break };
        let mut out = begin();
        item.append(&mut out);
        let again: Vec<Result<Item, _>> = items(&out.freeze()).collect();
        assert_eq!(again, [Ok(item)]);
    }
    BOUND.hold(bytes.len(), || items(&bytes).filter(Result::is_ok).count());

    // Messages one after the other: whose they are and their length, and they themselves.
    let config = MoveConfig::default().gathering_bytes_max(BYTES_MAX).sending_bytes_max(BYTES_MAX);
    let mut moves = Moves::new(config.incoming_max(8).outgoing_max(8).peers_max(4).replies_max(16));
    moves.handle_up();
    let mut now = Duration::ZERO;
    let mut rest = input;
    while let [from, len, more @ ..] = rest {
        let (message, after) = more.split_at(usize::from(*len).min(more.len()));
        rest = after;
        let peer = Instance(u64::from(from % 8));
        match from / 8 {
            0 => drop(moves.offer(peer, Bytes::copy_from_slice(message))),
            1 => moves.handle_gone(peer),
            2 => moves.handle_down(),
            3 => moves.handle_up(),
            _ => moves.handle_message(peer, &Bytes::copy_from_slice(message)),
        }
        now += Duration::from_millis(u64::from(*from) * 10);
        moves.handle_tick(now);
        while let Some(output) = moves.poll_output() {
            match output {
                MoveOutput::Offered(key, about) if about.len() % 2 == 0 => drop(moves.accept(key)),
                MoveOutput::Accepted(key) => drop(moves.send(key, Bytes::copy_from_slice(input))),
                MoveOutput::Arrived(key, bytes) if bytes.len() % 2 == 0 => drop(moves.ready(key)),
                MoveOutput::Arrived(key, _) => drop(moves.refuse(key)),
                _ => {}
            }
        }
        while moves.poll_message().is_some() {}
        let (sending, gathering) = moves.held();
        assert!(sending <= BYTES_MAX && gathering <= BYTES_MAX);
        assert!(moves.outgoing() <= 8 && moves.incoming() <= 8);
    }
});
