//! What kept topics cost, in memory: a broadcast kept beside one that is not, bytes of what is remembered, and a crowd that comes back.
//!
//!     cargo bench --bench kept -- [clients that come back, 2,000]
//!
//! Broadcasts of both kinds take turns in one run, as the speed of a machine changes; the ratio is of the best rounds.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench says what it found, or why it cannot")]
#![allow(unsafe_code, reason = "an allocator that counts cannot be written without")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

use lapwing::{
    Channel, Failure, Joining, Keep, Lapwing, Mount, Payload, Topic,
    testing::{TestJoin, TestServer},
};
use serde_json::{Value, json};

static BYTES: AtomicI64 = AtomicI64::new(0);

struct Counting;

// SAFETY: everything is handed on to the system's allocator; counting touches no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: usize = 9;

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

/// A broadcast to so many, kept and not, in turns.
async fn broadcasts(members: usize) {
    const BROADCASTS: usize = 100;
    let server = server();
    let mut best = [Duration::MAX; 2];
    let mut joins = [Vec::new(), Vec::new()];
    for (joins, topic) in joins.iter_mut().zip(["room:1", "kept:1"]) {
        for _ in 0..members {
            joins.push(server.join(topic, json!({})).await.unwrap());
        }
    }
    for _ in 0..ROUNDS {
        for (index, topic) in ["room:1", "kept:1"].into_iter().enumerate() {
            let mut taken = Duration::ZERO;
            for _ in 0..BROADCASTS {
                let start = Instant::now();
                say(&server, topic);
                taken += start.elapsed();
                for join in &joins[index] {
                    hear(join).await;
                }
            }
            best[index] = best[index].min(taken);
        }
    }
    let each = |time: Duration| time.as_nanos() as f64 / BROADCASTS as f64 / 1_000.0;
    let [plain, kept] = best.map(each);
    let ratio = kept / plain;
    println!("a broadcast to {members:>5}: {plain:>8.2} µs, kept {kept:>8.2} µs: {ratio:.3} ×");
}

/// What is remembered, in bytes asked of the allocator.
async fn bytes() {
    const TOPICS: i64 = 1_000;
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
}

/// So many clients who missed fifty messages each come back at once.
async fn rejoins(clients: usize) {
    const MISSED: usize = 50;
    let server = server();
    let since = json!(server.position("kept:1").unwrap());
    for _ in 0..MISSED {
        say(&server, "kept:1");
    }
    let params = json!({"_since": since});
    let start = Instant::now();
    let mut joins = Vec::new();
    for _ in 0..clients {
        joins.push(server.join("kept:1", params.clone()).await.unwrap());
    }
    let joined = start.elapsed();
    for join in &joins {
        let response: Value = join.response().parse().unwrap();
        assert_eq!([&response["_recovered"], &response["_replayed"]], [&json!(true), &json!(MISSED)]);
        for _ in 0..MISSED {
            hear(join).await;
        }
    }
    let (all, each) = (start.elapsed(), joined.as_micros() as f64 / clients as f64);
    println!(
        "{clients} clients come back, {MISSED} missed each: {each:.1} µs a join, {all:.2?} until all have all"
    );
    let start = Instant::now();
    for _ in 0..clients {
        server.join("kept:2", json!({})).await.unwrap();
    }
    let each = start.elapsed().as_micros() as f64 / clients as f64;
    println!("as many that ask for nothing: {each:.1} µs a join");
}

fn main() {
    let clients = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(2_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for members in [1, 100, 1_000] {
            broadcasts(members).await;
        }
        bytes().await;
        rejoins(clients).await;
    });
}
