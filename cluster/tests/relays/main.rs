//! Nodes that carry requests for each other over an engine that loses, repeats, reorders and goes away, while they die: the laws of relays hold for
//! every schedule.
//!
//! `SEED=7 cargo test -p lapwing-cluster --test relays` replays one; `SCHEDULES=1000` sets how many are tried.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that fails says so, and how it came to it"
)]

mod cases;
#[path = "../support/dice.rs"]
#[allow(unreachable_pub, reason = "it is a file of the simulator's, too")]
mod dice;
mod wire;
mod world;

use world::World;

#[test]
fn the_laws_hold_for_every_schedule() {
    if let Ok(seed) = std::env::var("SEED") {
        return schedule(seed.parse().unwrap());
    }
    let schedules: u64 = std::env::var("SCHEDULES").map_or(20_000, |count| count.parse().unwrap());
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for seed in (thread..schedules).step_by(threads as usize) {
                    schedule(seed);
                }
            });
        }
    });
}

fn schedule(seed: u64) {
    let replay = Replay(seed);
    let mut world = World::new(seed);
    world.run(400);
    world.heal();
    std::mem::forget(replay);
}

/// Says which schedule it was when a law does not hold.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        eprintln!("replay with SEED={}", self.0);
    }
}
