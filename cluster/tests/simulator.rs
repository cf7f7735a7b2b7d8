//! Nodes, an engine and what goes wrong between them, from one seed: the laws of the crate hold for every schedule.
//!
//! `SEED=7 cargo test -p lapwing-cluster --test simulator` replays one; `SCHEDULES=1000` sets how many are tried: `scripts/schedules` tries
//! 20,000.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that fails says so, and how it came to it"
)]

mod support;

use support::{laws, world::World};

#[test]
fn the_laws_hold_for_every_schedule() {
    for_every_seed(|seed| {
        let mut world = World::new(seed);
        world.run(400);
        world.heal();
        laws::check(&world);
    });
}

#[test]
fn one_outage_of_the_engine_is_one_gap_of_each_publisher() {
    for_every_seed(|seed| {
        let mut world = World::for_outage(seed);
        let began = world.outage();
        world.heal();
        laws::check(&world);
        laws::one_outage_is_one_gap(&world, began);
    });
}

fn for_every_seed(schedule: impl Fn(u64) + Sync) {
    let schedule = |seed| {
        let replay = Replay(seed);
        schedule(seed);
        std::mem::forget(replay);
    };
    if let Ok(seed) = std::env::var("SEED") {
        return schedule(seed.parse().unwrap());
    }
    let schedules: u64 = std::env::var("SCHEDULES").map_or(5_000, |count| count.parse().unwrap());
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

/// Says which schedule it was when a law does not hold.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        eprintln!("replay with SEED={}", self.0);
    }
}
