//! Nodes that move sessions to each other over an engine that loses, repeats, reorders and goes away, while they die: the laws of moves hold for
//! every schedule.
//!
//! `SEED=7 cargo test -p lapwing-cluster --test moves` replays one; `SCHEDULES=1000` sets how many are tried.

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

use world::{Fates, World};

#[test]
fn the_laws_hold_for_every_schedule() {
    if let Ok(seed) = std::env::var("SEED") {
        schedule(seed.parse().unwrap());
        return;
    }
    let schedules: u64 = std::env::var("SCHEDULES").map_or(20_000, |count| count.parse().unwrap());
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let fates: Vec<Fates> = std::thread::scope(|scope| {
        let run = |thread| (thread..schedules).step_by(threads as usize).map(schedule).collect::<Vec<_>>();
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let sum = |count: fn(&Fates) -> u64| fates.iter().map(count).sum::<u64>();
    let counts = [sum(|fates| fates.taken), sum(|fates| fates.back), sum(|fates| fates.lost)];
    println!("taken, back, lost: {counts:?}");
    if schedules >= 1_000 {
        // Each fate is well represented.
        assert!(counts.iter().all(|count| *count > schedules / 20), "{counts:?}");
    }
}

fn schedule(seed: u64) -> Fates {
    let replay = Replay(seed);
    let mut world = World::new(seed);
    world.run(400);
    world.heal();
    std::mem::forget(replay);
    world.fates
}

/// Says which schedule it was when a law does not hold.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        eprintln!("replay with SEED={}", self.0);
    }
}
