//! Whatever clients do with their sessions: what the server holds for them stays within its limits, work follows what they
//! send, and when it is gone nothing is left.

#![no_main]

use std::time::Duration;

use lapwing_fuzz::{allocations, live, session::*};
use libfuzzer_sys::fuzz_target;

/// What stays when the server is gone: what the runtime and the program keep, and what its caches have not collected.
const LEFT_BYTES_MAX: usize = 64 * 1024;

fuzz_target!(|input: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime starts").block_on(run(input));
});

async fn run(input: &[u8]) {
    let nothing = live();
    let mut world = World::new();
    world.open().await;
    let (base, before) = (live(), allocations());
    let mut waited = Duration::ZERO;
    let mut input = Input(input);
    while let Some(deed) = input.byte() {
        let place = usize::from(deed >> 4);
        if world.has_none() {
            world.open().await;
        }
        match deed & 7 {
            0 => world.open().await,
            1 | 2 => {
                let piece_bytes = usize::from(input.byte().unwrap_or_default());
                let count = 1 + usize::from(input.byte().unwrap_or_default());
                let mut lines = Vec::new();
                for _ in 0..1 + count % 4 {
                    lines.push(line(&mut input));
                }
                // The last line again and again, as somebody would who has found something.
                let last = lines[lines.len() - 1].clone();
                lines.resize(lines.len() + count / 8, last);
                world.send(place, &lines, piece_bytes).await;
            }
            3 => world.poll(place).await,
            4 => world.read().await,
            5 => {
                let time = Duration::from_millis(50 * u64::from(input.byte().unwrap_or_default()));
                waited += time;
                wait(time).await;
            }
            6 => world.stall(place, bytes(&mut input), usize::from(input.byte().unwrap_or_default())).await,
            _ => {
                waited += Duration::from_secs(60);
                wait(Duration::from_secs(60)).await;
            }
        }
        let held = live().saturating_sub(base);
        assert!(held <= HELD_BYTES_MAX, "{held} bytes are held, and {HELD_BYTES_MAX} may be");
        let made = allocations() - before;
        let may = ALLOCATIONS_PER_LINE * world.lines
            + ALLOCATIONS_PER_REQUEST * (1 + world.requests)
            + ALLOCATIONS_PER_SECOND * waited.as_secs() as usize;
        assert!(made <= may, "{made} allocations were made, and {may} may be");
        assert!(world.sessions() <= SESSIONS_MAX);
    }
    world.end().await;
    let left = live().saturating_sub(nothing);
    assert!(left <= LEFT_BYTES_MAX, "{left} bytes are left");
}

/// A message, or something like it.
fn line(input: &mut Input<'_>) -> String {
    let kind = input.byte().unwrap_or_default();
    let topic = format!("{}:{}", if kind & 16 == 0 { "echo" } else { "slow" }, name(input));
    let join_ref = kind >> 5;
    match kind & 15 {
        0..=3 => format!(r#"["{join_ref}","1","{topic}","phx_join",{{}}]"#),
        4 => format!(r#"["{join_ref}","2","{topic}","phx_leave",{{}}]"#),
        5 => r#"[null,"3","phoenix","heartbeat",{}]"#.to_owned(),
        6 => format!("*{}", "A".repeat(bytes(input) / 4 * 4)),
        7 => format!("!from {join_ref}"),
        8 => format!("!ack {join_ref}"),
        9 => "x".repeat(bytes(input)),
        10 => format!(r#"["{join_ref}","{}","{topic}","phx_join",{{}}]"#, "4".repeat(bytes(input))),
        _ => format!(
            r#"["{join_ref}","5","{topic}","{}",{{"a":"{}"}}]"#,
            name(input),
            "b".repeat(bytes(input))
        ),
    }
}

/// A name that is short most of the time.
fn name(input: &mut Input<'_>) -> String {
    let byte = input.byte().unwrap_or_default();
    let long = if byte >= 240 { bytes(input) } else { 1 };
    char::from(b'a' + byte % 8).to_string().repeat(long)
}

/// Nothing, a little, or a lot.
fn bytes(input: &mut Input<'_>) -> usize {
    match input.byte().unwrap_or_default() {
        few @ 0..128 => usize::from(few) / 4,
        many => (usize::from(many) - 127) * 120,
    }
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
}
