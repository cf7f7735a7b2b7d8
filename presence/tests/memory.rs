//! How many bytes a presence takes, counted by the allocator. Pinned: a field more in a row is seen here.
//!
//! One test in a binary of its own, because the counter counts for the whole process.

#![allow(missing_docs, clippy::unwrap_used)]
// An allocator that counts cannot be written without it; it adds nothing but counting to the system's.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicIsize, Ordering},
};

use lapwing_presence::{Config, Owner, Presences, ReplicaId};

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call is handed to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size as isize - layout.size() as isize, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const KEY_BYTES: usize = 16;
const META_BYTES: usize = 60;

fn track(presences: &mut Presences, topics: usize, count: usize) {
    let meta = [b'm'; META_BYTES];
    for number in 0..count {
        let (topic, key) = (format!("room:{:06}", number % topics), format!("user:{number:011}"));
        assert_eq!(key.len(), KEY_BYTES);
        presences.track(&topic, &key, Owner(number as u64), &meta).unwrap();
    }
}

fn live() -> isize {
    LIVE.load(Ordering::Relaxed)
}

/// Bytes per presence on the node that tracks, and on one that merged it.
fn bytes(topics: usize, count: usize) -> (isize, isize) {
    let before = live();
    let mut here = Presences::new(ReplicaId::new(1, 1), Config::default());
    track(&mut here, topics, count);
    let own = (live() - before) / count as isize;

    let mut there = Presences::new(ReplicaId::new(2, 1), Config::default());
    there.replica_up(here.id()).unwrap();
    drop(there.merge(&here.extract(&there.clocks())));
    drop(here);
    let merged = (live() - before) / count as isize;
    assert_eq!(there.topics().map(|topic| there.count(topic).presences).sum::<usize>(), count);

    // What was taken is given back.
    drop(there.replica_forgotten(ReplicaId::new(1, 1)));
    let left = live() - before;
    assert!(left < 200_000, "{left} bytes are left when nobody is");
    (own, merged)
}

#[test]
fn a_presence_takes_so_many_bytes() {
    // The bound of the history is part of it: 16,384 changes at 48 bytes are 16 of each presence at 50,000.
    let pinned = [
        ("one topic", 1, 50_000, (263, 213)),
        ("1,000 topics", 1_000, 50_000, (270, 218)),
        ("a topic each", 50_000, 50_000, (364, 314)),
    ];
    let mut wrong = Vec::new();
    for (name, topics, count, pinned) in pinned {
        let measured = bytes(topics, count);
        eprintln!("{name}: {measured:?} bytes per presence, {} of them key and meta", KEY_BYTES + META_BYTES);
        let near = |measured: isize, pinned: isize| (measured - pinned).abs() <= pinned / 20;
        if !near(measured.0, pinned.0) || !near(measured.1, pinned.1) {
            wrong.push((name, measured, pinned));
        }
    }
    assert!(wrong.is_empty(), "measured and pinned bytes differ: {wrong:?}");
}
