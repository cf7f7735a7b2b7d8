//! What presence costs: operations at 1,000, 100,000 and 1,000,000 entries, on one thread and on all.
//!
//! Prints tables. Each figure is the best of several rounds, because other load on the machine only ever
//! adds. Arguments: `threshold` measures from how many changes on threads pay, `quick` leaves out the largest
//! size.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]
// An allocator that counts cannot be written without it; it adds nothing but counting to the system's.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    sync::atomic::{AtomicIsize, Ordering},
    time::{Duration, Instant},
};

use lapwing_presence::{Clock, Clocks, Config, Delta, Diff, Owner, Presences, ReplicaId};
use rayon::{ThreadPool, ThreadPoolBuilder};

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
}

#[global_allocator]
static COUNTING: Counting = Counting;

const HERE: ReplicaId = ReplicaId::new(1, 1);
const THERE: ReplicaId = ReplicaId::new(2, 1);
const META: &[u8] = br#"{"name":"Ada Lovelace","color":"4f9","online_at":1764000000}"#;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |name: &str| arguments.iter().any(|argument| argument == name);
    let one = pool(1);
    let all = pool(0);
    println!("{} threads; key 16 bytes, meta {} bytes", all.current_num_threads(), META.len());
    if asked("threshold") {
        threshold(&one, &all);
        return;
    }
    let mut cases = vec![(1_000, 1), (1_000, 10), (100_000, 1), (100_000, 1_000), (1_000_000, 10_000)];
    if asked("quick") {
        cases.pop();
    }
    println!();
    println!(
        "| entries | topics | keys | bytes each | track | update | untrack | count | list of a topic, per entry |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (entries, topics) in &cases {
        operations(*entries, *topics, *entries);
    }
    operations(100_000, 1, 1);
    println!();
    println!("| entries | topics | work | 1 thread | all threads | gain |");
    println!("|---|---|---|---|---|---|");
    for (entries, topics) in &cases {
        replication(*entries, *topics, &one, &all);
    }
}

/// What the node's own users cost.
fn operations(entries: usize, topics: usize, keys: usize) {
    let names = Names::new(entries, topics, keys);
    let before = LIVE.load(Ordering::Relaxed);
    let mut presences = Presences::new(HERE, Config::default());
    let per = |time: Duration, count: usize| format!("{} ns", time.as_nanos() / count.max(1) as u128);

    let filled = clock(|| names.track(&mut presences, 0..entries));
    let bytes = (LIVE.load(Ordering::Relaxed) - before) / entries as isize;

    // A sample in the state at its full size, again and again: the best round.
    let sample = entries.min(10_000);
    let track = best(5, || {
        names.untrack(&mut presences, 0..sample);
        clock(|| names.track(&mut presences, 0..sample))
    });
    let update = best(5, || clock(|| names.update(&mut presences, 0..sample)));
    let untrack = best(5, || {
        let time = clock(|| names.untrack(&mut presences, 0..sample));
        names.track(&mut presences, 0..sample);
        time
    });
    let count = best(5, || {
        clock(|| {
            for number in 0..sample {
                black_box(presences.count(names.topic(number)));
            }
        })
    });
    let topic = names.topic(0);
    let listed = presences.list(topic).count();
    let list = best(5, || {
        clock(|| {
            black_box(presences.list(topic).map(|entry| entry.meta().len()).sum::<usize>());
        })
    });
    println!(
        "| {entries} | {topics} | {keys} | {bytes} | {} ({} while filling) | {} | {} | {} | {} |",
        per(track, sample),
        per(filled, entries),
        per(update, sample),
        per(untrack, sample),
        per(count, sample),
        per(list, listed),
    );
}

/// What other nodes cost.
fn replication(entries: usize, topics: usize, one: &ThreadPool, all: &ThreadPool) {
    let names = Names::new(entries, topics, entries);
    let changed = (entries / 100).max(1);
    let mut writer = Presences::new(THERE, Config::default().history_changes_max(changed));
    names.track(&mut writer, 0..entries);
    let before = writer.clocks();
    let whole = writer.extract(&nothing());
    names.update(&mut writer, 0..changed);
    let percent = writer.extract(&before);
    assert!(whole.has_whole() && !percent.has_whole() && percent.len() == changed);

    let row = |work: &str, measure: &(dyn Fn() -> Duration + Sync)| {
        let (single, multi) = (one.install(measure), all.install(measure));
        let gain = single.as_secs_f64() / multi.as_secs_f64();
        println!("| {entries} | {topics} | {work} | {single:.1?} | {multi:.1?} | {gain:.2} |");
    };
    let rounds = if entries >= 1_000_000 { 3 } else { 10 };
    row("extract of the whole part", &|| {
        best(rounds, || clock(|| drop(black_box(writer.extract(&nothing())))))
    });
    row("extract of a 1 % delta", &|| best(rounds, || clock(|| drop(black_box(writer.extract(&before))))));
    row("merge of the whole part into nothing", &|| {
        best(rounds, || {
            let mut reader = reader();
            keep(|| reader.merge(&whole))
        })
    });
    row("merge of a 1 % delta (diff: leaves and joins)", &|| {
        best(rounds, || {
            let mut reader = reader();
            drop(reader.merge(&whole));
            keep(|| reader.merge(&percent))
        })
    });
    row("merge of the whole part of which 1 % is new", &|| {
        let whole = writer.extract(&nothing());
        best(rounds, || {
            let mut reader = reader();
            drop(reader.merge(&first(&names, entries)));
            keep(|| reader.merge(&whole))
        })
    });
    row("replica down (diff: everybody leaves)", &|| {
        let mut reader = reader();
        drop(reader.merge(&whole));
        best(rounds, || {
            let time = keep(|| reader.replica_down(THERE));
            drop(reader.replica_up(THERE).unwrap());
            time
        })
    });
}

/// The state before the last updates, whole.
fn first(names: &Names, entries: usize) -> Delta {
    let mut writer = Presences::new(THERE, Config::default().history_changes_max(0));
    names.track(&mut writer, 0..entries);
    writer.extract(&nothing())
}

/// From how many changes on other threads pay for being woken: the median and the best round, taken in turns.
fn threshold(one: &ThreadPool, all: &ThreadPool) {
    println!(
        "| changes | inline, median | all threads, median | gain | inline, best | all threads, best | gain |"
    );
    println!("|---|---|---|---|---|---|---|");
    for changes in [128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536] {
        let names = Names::new(100_000, 1_000, 100_000);
        let config = |min| Config::default().history_changes_max(100_000).parallel_changes_min(min);
        let mut writer = Presences::new(THERE, config(usize::MAX));
        names.track(&mut writer, 0..100_000);
        let mut readers = [(one, usize::MAX), (all, 0)].map(|(pool, min)| {
            let mut reader = Presences::new(HERE, config(min));
            reader.replica_up(THERE).unwrap();
            drop(reader.merge(&writer.extract(&nothing())));
            (pool, reader, Vec::new())
        });
        for _ in 0..61 {
            // The second reader finds the delta in the caches: each is that in every other round.
            readers.reverse();
            let before = writer.clocks();
            names.update(&mut writer, 0..changes);
            let delta = writer.extract(&before);
            for (pool, reader, times) in &mut readers {
                // Threads that have nothing to do go to sleep: what is measured includes waking them.
                std::thread::sleep(Duration::from_millis(2));
                times.push(pool.install(|| keep(|| reader.merge(&delta))));
            }
        }
        readers.sort_by_key(|(pool, ..)| pool.current_num_threads());
        let [inline, threads] = readers.map(|(_, _, mut times)| {
            times.sort_unstable();
            (times[times.len() / 2], times[0])
        });
        let gain = |inline: Duration, threads: Duration| inline.as_secs_f64() / threads.as_secs_f64();
        println!(
            "| {changes} | {:.2?} | {:.2?} | {:.2} | {:.2?} | {:.2?} | {:.2} |",
            inline.0,
            threads.0,
            gain(inline.0, threads.0),
            inline.1,
            threads.1,
            gain(inline.1, threads.1),
        );
    }
}

struct Names {
    topics: Vec<String>,
    keys: Vec<String>,
}

impl Names {
    fn new(entries: usize, topics: usize, keys: usize) -> Self {
        Self {
            topics: (0..topics).map(|number| format!("room:{number:06}")).collect(),
            keys: (0..entries).map(|number| format!("user:{:011}", number % keys)).collect(),
        }
    }

    fn topic(&self, number: usize) -> &str {
        &self.topics[number % self.topics.len()]
    }

    fn track(&self, presences: &mut Presences, range: std::ops::Range<usize>) {
        for number in range {
            let diff = presences.track(self.topic(number), &self.keys[number], Owner(number as u64), META);
            drop(black_box(diff.unwrap()));
        }
    }

    fn update(&self, presences: &mut Presences, range: std::ops::Range<usize>) {
        for number in range {
            let diff = presences.update(self.topic(number), &self.keys[number], Owner(number as u64), META);
            drop(black_box(diff.unwrap()));
        }
    }

    fn untrack(&self, presences: &mut Presences, range: std::ops::Range<usize>) {
        for number in range {
            drop(black_box(presences.untrack_all(Owner(number as u64))));
        }
    }
}

fn reader() -> Presences {
    let mut reader = Presences::new(HERE, Config::default());
    reader.replica_up(THERE).unwrap();
    reader
}

fn nothing() -> Clocks {
    [(THERE, Clock::ZERO)].into_iter().collect()
}

fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn best(rounds: usize, mut round: impl FnMut() -> Duration) -> Duration {
    (0..rounds).map(|_| round()).min().unwrap()
}

fn clock(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Without the time of dropping the diff, which the caller still needs.
fn keep(work: impl FnOnce() -> Diff) -> Duration {
    let start = Instant::now();
    let diff = black_box(work());
    let time = start.elapsed();
    drop(diff);
    time
}
