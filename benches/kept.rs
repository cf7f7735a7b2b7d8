//! What kept topics cost, in memory: a broadcast kept beside one that is not, bytes of what is remembered, and a crowd that comes back.
//!
//!     cargo bench --bench kept
//!
//! Broadcasts of all kinds take turns in one run, as the speed of a machine changes, and what was interrupted is left out; the lowest, the middle and the highest ratio
//! of seven are told.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench says what it found, or why it cannot")]
#![allow(unsafe_code, reason = "an allocator that counts cannot be written without")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        LazyLock,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use lapwing::{
    Channel, Failure, Joining, Keep, Lapwing, Mount, Payload, Topic,
    testing::{TestJoin, TestServer},
};
use serde_json::{Value, json};

static BYTES: AtomicI64 = AtomicI64::new(0);

/// Whether they are counted: what is timed does not pay for that.
static COUNTS: AtomicBool = AtomicBool::new(false);

struct Counting;

// SAFETY: everything is handed on to the system's allocator; counting touches no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn count(bytes: i64) {
    if COUNTS.load(Ordering::Relaxed) {
        BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Ratios, of which the spread is told.
const SITTINGS: usize = 7;

/// Broadcasts of each kind in a sitting.
const BROADCASTS: usize = 200;

const TEXT: &str = "A message of about a hundred bytes, such as people send to each other.";

struct Room;

impl Channel for Room {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }
}

/// Topics `kept:*` are, and `room:*` are not.
fn server() -> TestServer {
    let keep = Keep::last(100).bytes_max(1 << 20).for_at_most(Duration::from_secs(3_600));
    let mount = Mount::new().channel::<Room>("*", ()).keep("kept:*", keep).joins_max(usize::MAX);
    TestServer::from(Lapwing::builder().history_bytes_max(1 << 30).mount("/socket", mount).build().unwrap())
}

fn say(server: &TestServer, topic: &str) {
    server.broadcast(topic, "said", json!({"text": TEXT})).unwrap();
}

async fn hear(join: &TestJoin) {
    while join.next().await.event != "said" {}
}

/// A broadcast to so many: on a topic that is not kept, on one that is, and there to members that asked for positions; in turns.
async fn broadcasts(members: usize) {
    let server = server();
    let mut joins = [Vec::new(), Vec::new(), Vec::new()];
    let kinds = [("room:1", json!({})), ("kept:1", json!({})), ("kept:2", json!({"_since": ""}))];
    for (joins, (topic, params)) in joins.iter_mut().zip(&kinds) {
        for _ in 0..members {
            joins.push(server.join(*topic, params.clone()).await.unwrap());
        }
    }
    let (mut of_kept, mut of_asked) = ([0.0; SITTINGS], [0.0; SITTINGS]);
    let mut plain = f64::MAX;
    for (of_kept, of_asked) in of_kept.iter_mut().zip(&mut of_asked) {
        let mut taken = [const { Vec::new() }; 3];
        for _ in 0..BROADCASTS {
            for (index, (topic, _)) in kinds.iter().enumerate() {
                let start = Instant::now();
                say(&server, topic);
                taken[index].push(start.elapsed());
                for join in &joins[index] {
                    hear(join).await;
                }
            }
        }
        let [none, kept, asked] = taken.map(typical);
        plain = plain.min(none);
        (*of_kept, *of_asked) = (kept / none, asked / none);
    }
    let [kept, asked] = [of_kept, of_asked].map(spread);
    println!(
        "a broadcast to {members:>5}: {plain:>7.2} µs, kept {kept} ×, to members with positions {asked} ×"
    );
}

/// Microseconds of what was not interrupted: of a hundred times the twenty-fifth.
fn typical(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 4].as_secs_f64() * 1e6
}

/// The lowest, the middle and the highest.
fn spread(mut ratios: [f64; SITTINGS]) -> String {
    ratios.sort_unstable_by(f64::total_cmp);
    format!("{:.3} · {:.3} · {:.3}", ratios[0], ratios[SITTINGS / 2], ratios[SITTINGS - 1])
}

/// Processor time of this thread, where Linux counts it; elsewhere the time.
fn busy() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat");
    let ns = counted.ok().and_then(|text| text.split(' ').next()?.parse().ok());
    ns.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

/// What is remembered, in bytes asked of the allocator.
async fn bytes() {
    const TOPICS: i64 = 1_000;
    COUNTS.store(true, Ordering::Relaxed);
    for (what, kind, messages) in [
        ("a topic that is not kept", "room", 100),
        ("a kept topic with a message", "kept", 1),
        ("a kept topic with a hundred", "kept", 100),
    ] {
        let server = server();
        // What grows once is there.
        say(&server, "room:warm");
        let before = BYTES.load(Ordering::Relaxed);
        for topic in 0..TOPICS {
            for _ in 0..messages {
                say(&server, &format!("{kind}:{topic}"));
            }
        }
        let each = (BYTES.load(Ordering::Relaxed) - before) as f64 / TOPICS as f64;
        let message = each / f64::from(messages);
        println!("{what:<30} {each:>9.0} B, {message:>6.0} B a message");
    }
    COUNTS.store(false, Ordering::Relaxed);
}

/// Clients who missed fifty messages each come back, beside as many that ask for nothing. Few: with many it is the tests' own clients that are measured. See
/// `tests/cluster/rejoin.js` for a crowd over sockets.
async fn rejoins() {
    const MISSED: usize = 50;
    const CLIENTS: usize = 200;
    let server = server();
    let since = json!(server.position("kept:1").unwrap());
    for _ in 0..MISSED {
        say(&server, "kept:1");
    }
    let (params, start, began) = (json!({"_since": since}), busy(), Instant::now());
    let mut joins = Vec::new();
    for _ in 0..CLIENTS {
        joins.push(server.join("kept:1", params.clone()).await.unwrap());
    }
    let joined = busy() - start;
    for join in &joins {
        let response: Value = join.response().parse().unwrap();
        assert_eq!([&response["_recovered"], &response["_replayed"]], [&json!(true), &json!(MISSED)]);
        for _ in 0..MISSED {
            hear(join).await;
        }
    }
    let (all, elapsed) = (busy() - start, began.elapsed());
    let start = busy();
    for _ in 0..CLIENTS {
        joins.push(server.join("kept:2", json!({})).await.unwrap());
    }
    let fresh = busy() - start;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / CLIENTS as f64;
    println!(
        "{CLIENTS} clients come back, {MISSED} missed each: {:.1} µs a join, {:.1} µs with hearing all; {:.1} µs one that asks for nothing ({elapsed:.2?})",
        each(joined),
        each(all),
        each(fresh),
    );
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for members in [1, 100, 1_000] {
            broadcasts(members).await;
        }
        bytes().await;
        rejoins().await;
    });
}
