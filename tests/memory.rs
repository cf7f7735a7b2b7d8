//! What an idle client costs, in bytes asked of the allocator, and that a broadcast asks for none per subscriber: a
//! regression is seen when it is made.
//!
//! `cargo test --test memory -- --nocapture` prints the sizes of all allocations.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that fails says so; sizes are for reading"
)]
#![allow(unsafe_code, reason = "an allocator that counts cannot be written without")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use hyper_util::rt::TokioIo;
use lapwing::{
    Channel, CheckOrigin, Context, Failure, Handled, Joining, Lapwing, Mount, Payload, Topic, noreply,
};

/// Live allocations by size; the last is for all that are larger.
static LIVE: [AtomicI64; SIZES] = [const { AtomicI64::new(0) }; SIZES];
/// All allocations so far.
static ALLOCATIONS: AtomicI64 = AtomicI64::new(0);
/// One test counts at a time.
static COUNTS: Mutex<()> = Mutex::new(());
const SIZES: usize = 4_097;

struct Counting;

// SAFETY: everything is handed on to the system's allocator; counting touches no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE[layout.size().min(SIZES - 1)].fetch_add(1, Ordering::Relaxed);
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE[layout.size().min(SIZES - 1)].fetch_sub(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CLIENTS: i64 = 500;

const JOIN: &str = r#"["1","1","room:lobby","phx_join",{}]"#;

struct Room;

impl Channel for Room {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn handle_in(&mut self, _: &str, _: Payload, _: &Context<Self>) -> Handled {
        Ok(noreply())
    }
}

/// Starts a server on a thread of its own.
fn start() -> (SocketAddr, Lapwing) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let mount = Mount::new().channel::<Room>("room:*", ()).check_origin(CheckOrigin::Off);
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let served = lapwing.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let service = served.service();
                tokio::spawn(async move {
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
                });
            }
        });
    });
    (address, lapwing)
}

fn connect(address: SocketAddr, subprotocol: &str, messages: &[&str]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{subprotocol}\r\n"
    )
    .unwrap();
    for message in messages {
        let mut frame = vec![0x81, 0x80 | message.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(message.as_bytes());
        stream.write_all(&frame).unwrap();
    }
    let (mut seen, mut buffer) = (Vec::new(), [0; 1_024]);
    while !seen.windows(9).any(|window| window == b"phx_reply") {
        let filled = stream.read(&mut buffer).unwrap();
        assert!(filled > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..filled]);
    }
    stream
}

fn live() -> Vec<i64> {
    LIVE.iter().map(|count| count.load(Ordering::Relaxed)).collect()
}

fn settled(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "it does not come to rest");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(100));
}

/// Bytes and allocations per client since `before`, of all that there is at least one of for every other client; what
/// grows by doubling is left out.
fn per_client(what: &str, before: &[i64]) -> (i64, i64) {
    let (mut bytes, mut allocations) = (0, 0);
    println!("{what}:");
    for (size, (now, before)) in live().iter().zip(before).enumerate() {
        let more = now - before;
        if more >= CLIENTS / 2 && size < SIZES - 1 {
            let each = (more + CLIENTS / 2) / CLIENTS;
            println!("  {each} of {size} bytes");
            bytes += each * size as i64;
            allocations += each;
        }
    }
    println!("  {bytes} bytes in {allocations} allocations");
    (bytes, allocations)
}

#[test]
fn an_idle_client_costs_what_it_did() {
    let _counts = COUNTS.lock().unwrap();
    let (address, lapwing) = start();
    // The first client makes the server make all that there is one of.
    let _first = connect(address, "", &[JOIN]);
    let _second = connect(address, "Sec-WebSocket-Protocol: lapwing.1\r\n", &["!open 60000", JOIN]);
    settled(|| lapwing.stats().joins == 2);

    let before = live();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| connect(address, "", &[JOIN])).collect();
    settled(|| lapwing.stats().sessions == CLIENTS as usize + 2);
    let (bytes, allocations) = per_client("a plain WebSocket with one join", &before);
    assert!(bytes <= 920 && allocations <= 5, "{bytes} bytes, {allocations} allocations");

    clients.clear();
    settled(|| lapwing.stats().sessions == 2);
    let before = live();
    let offer = "Sec-WebSocket-Protocol: lapwing.1\r\n";
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| connect(address, offer, &["!open 60000", JOIN])).collect();
    settled(|| lapwing.stats().sessions == CLIENTS as usize + 2);
    let (bytes, _) = per_client("a resumable WebSocket with one join", &before);
    // Eight of them for a frame that was read as the session was about to go to another node.
    assert!(bytes <= 1_224, "{bytes} bytes");

    clients.clear();
    settled(|| lapwing.stats().detached == CLIENTS as usize);
    let (bytes, _) = per_client("a detached session with one join and an empty buffer", &before);
    assert!(bytes <= 700, "{bytes} bytes");
}

#[test]
fn a_broadcast_asks_for_no_memory_per_subscriber() {
    const BROADCASTS: usize = 50;
    let _counts = COUNTS.lock().unwrap();
    let (address, lapwing) = start();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| connect(address, "", &[JOIN])).collect();
    let mut message = vec![0x81, 0];
    message.extend_from_slice(br#"[null,null,"room:lobby","tick",{}]"#);
    message[1] = (message.len() - 2) as u8;
    let mut allocations_of_one = || {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        lapwing.broadcast("room:lobby", "tick", serde_json::json!({})).unwrap();
        for client in &mut clients {
            let mut received = [0; 64];
            client.read_exact(&mut received[..message.len()]).unwrap();
            assert_eq!(&received[..message.len()], message);
        }
        ALLOCATIONS.load(Ordering::Relaxed) - before
    };
    // The first brings every buffer that is kept to its size. A connection that has not come to take its last frame off, on a busy
    // machine, asks for a queue of two: the quietest is what a broadcast needs.
    allocations_of_one();
    let each = (0..BROADCASTS).map(|_| allocations_of_one()).min().unwrap();
    println!("{each} allocations for a broadcast to {CLIENTS}");
    assert!(each < 20, "{each} allocations for a broadcast to {CLIENTS}");
}

/// What a scrape asks for. Others may be at work meanwhile; in the quietest of some it is all.
fn allocations_of_a_scrape(lapwing: &Lapwing) -> i64 {
    let scrape = || {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        drop(lapwing.openmetrics());
        ALLOCATIONS.load(Ordering::Relaxed) - before
    };
    (0..20).map(|_| scrape()).min().unwrap()
}

#[test]
fn a_scrape_costs_no_memory_per_session() {
    let _counts = COUNTS.lock().unwrap();
    let (address, lapwing) = start();
    let _first = connect(address, "", &[JOIN]);
    settled(|| lapwing.stats().joins == 1);
    let alone = allocations_of_a_scrape(&lapwing);
    let _clients: Vec<_> = (0..CLIENTS).map(|_| connect(address, "", &[JOIN])).collect();
    settled(|| lapwing.stats().sessions == CLIENTS as usize + 1);
    let before = live();
    let among_many = allocations_of_a_scrape(&lapwing);
    println!("{alone} allocations for a scrape, {among_many} among {CLIENTS} sessions");
    assert_eq!(among_many, alone);
    for (size, (now, before)) in live().iter().zip(&before).enumerate() {
        assert!(now - before < CLIENTS / 2, "{} of {size} bytes are there since", now - before);
    }
}
