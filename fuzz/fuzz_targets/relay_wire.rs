//! Whatever a node says about relays: reading it costs no more than it weighs, what was read is written back as the same, and a node that
//! hears it holds no more than it may.

#![no_main]

use std::time::Duration;

use bytes::Bytes;
use lapwing_cluster::{
    Instance,
    relay::{
        RelayConfig, RelayOutput, Relays,
        wire::{Item, begin, items},
    },
};
use lapwing_fuzz::Bound;
use libfuzzer_sys::fuzz_target;

/// A relay with a piece's number is two bytes at least, and twenty-four once it is read.
const BOUND: Bound = Bound { bytes_per_byte: 16, bytes_per_allocation: 1 };

const HELD_BYTES_MAX: usize = 4_096;
const PIECE_BYTES_MAX: usize = 512;

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
    let config = RelayConfig::default().held_bytes_max(HELD_BYTES_MAX).piece_bytes_max(PIECE_BYTES_MAX);
    let mut relays = Relays::new(config.owned_max(8).carried_max(8).peers_max(4).controls_max(16));
    relays.handle_up();
    let mut now = Duration::ZERO;
    let mut rest = input;
    while let [from, len, more @ ..] = rest {
        let (message, after) = more.split_at(usize::from(*len).min(more.len()));
        rest = after;
        let peer = Instance(u64::from(from % 8));
        match from / 8 {
            0 => drop(relays.open(peer, Bytes::copy_from_slice(message))),
            1 => relays.handle_gone(peer),
            2 => relays.handle_down(),
            3 => relays.handle_up(),
            _ => relays.handle_message(peer, &Bytes::copy_from_slice(message)),
        }
        now += Duration::from_millis(u64::from(*from) * 10);
        relays.handle_tick(now);
        while let Some(output) = relays.poll_output() {
            match output {
                RelayOutput::Opened(key, head) if head.len() % 2 == 0 => {
                    relays.handle_used(key, head.len());
                    // It may have ended already.
                    let _ = relays.send(key, head).and_then(|_| relays.finish(key));
                }
                RelayOutput::Data(key, bytes) if bytes.len() % 2 == 0 => relays.handle_used(key, bytes.len()),
                _ => {}
            }
        }
        while relays.poll_message().is_some() {}
        assert!(relays.held() <= HELD_BYTES_MAX + PIECE_BYTES_MAX.max(32 * 1024));
        assert!(relays.carried() <= 8 && relays.len() <= 16);
    }
});
