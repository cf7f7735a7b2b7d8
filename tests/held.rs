//! What clients that mean harm can make a server hold, in bytes of its allocator: no more than the budget says, whatever the
//! budget counts. Each attack is run against a small budget, and what it took is given back afterwards.
//!
//! `cargo test --test held -- --nocapture` prints the figures, and the resident size beside them.

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
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hyper_util::rt::TokioIo;
use lapwing::transports::{
    close::CloseReason,
    connect::{ConnectRequest, Refusal},
    endpoint::Endpoint,
    frame::{Frame, Message},
    handler::Handler,
    live::LiveSession,
    options::{DeflateOptions, LongpollOptions, SseOptions, TransportOptions, WebsocketOptions},
    session::outbox::OutboxLimits,
};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// One test measures at a time.
static MEASURES: Mutex<()> = Mutex::new(());

struct Counting;

// SAFETY: everything is handed on to the system's allocator; counting touches no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    /// What grows is moved by the system's allocator, large blocks without a second copy; the default would count both.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match size.checked_sub(layout.size()) {
            Some(more) => {
                let live = LIVE.fetch_add(more, Ordering::Relaxed) + more;
                PEAK.fetch_max(live, Ordering::Relaxed);
            }
            None => {
                LIVE.fetch_sub(layout.size() - size, Ordering::Relaxed);
            }
        }
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MB: usize = 1_000_000;
const BUDGET: usize = 16 * MB;
/// What a server has besides what the budget counts, with up to a hundred connections: the buffers of their reads, tasks.
const SLACK: usize = 6 * MB;
/// What stays of it when the connections are gone.
const KEPT: usize = 2 * MB;

struct Echo;

impl Handler for Echo {
    type State = ();

    async fn connect(&self, _: ConnectRequest) -> Result<(), Refusal> {
        Ok(())
    }

    fn received(&self, session: &Arc<LiveSession<()>>, message: Message<'_>) -> Result<(), CloseReason> {
        session.push(match message {
            Message::Text(text) => Frame::text(text),
            Message::Binary(bytes) => Frame::binary(bytes.to_vec()),
        });
        Ok(())
    }
}

/// A server, and what was allocated before anybody came.
struct Lab {
    _measures: MutexGuard<'static, ()>,
    endpoint: Endpoint<Echo>,
    address: SocketAddr,
    before: usize,
    /// Connected before the attack.
    honest: TcpStream,
}

impl Lab {
    fn start(set: impl FnOnce(TransportOptions) -> TransportOptions) -> Self {
        let measures = MEASURES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let options = set(TransportOptions::default().budget_bytes_max(BUDGET));
        let endpoint = Endpoint::new(Echo, options);
        let served = endpoint.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let mut server = hyper::server::conn::http1::Builder::new();
                    server.timer(hyper_util::rt::TokioTimer::new());
                    lapwing::transports::http1::configure(&mut server);
                    let serving = server.serve_connection(TokioIo::new(stream), served.clone());
                    tokio::spawn(serving.with_upgrades());
                }
            });
        });
        let mut honest = websocket(address, "").unwrap();
        echo(&mut honest);
        let mut lab = Self { _measures: measures, endpoint, address, before: 0, honest };
        lab.measure_from_here();
        lab
    }

    /// What is held by now is what the test itself has made.
    fn measure_from_here(&mut self) {
        self.before = LIVE.load(Ordering::Relaxed);
        PEAK.store(self.before, Ordering::Relaxed);
    }

    /// The attack is at its height: no more is held than may be, and honest clients are served.
    fn check(&mut self, what: &str) {
        echo(&mut self.honest);
        let peak = PEAK.load(Ordering::Relaxed).saturating_sub(self.before);
        let held = self.endpoint.bytes_held();
        println!("{what}: {peak} bytes at most, {held} counted now, resident {} KB", resident_kb());
        assert!(peak <= BUDGET + SLACK, "{what}: {peak} bytes");
    }

    /// The attackers are gone: so is what they took.
    fn finish(mut self) {
        let settled = Instant::now();
        while self.endpoint.bytes_held() > 0 || LIVE.load(Ordering::Relaxed) > self.before + KEPT {
            let (held, live) =
                (self.endpoint.bytes_held(), LIVE.load(Ordering::Relaxed).saturating_sub(self.before));
            assert!(
                settled.elapsed() < Duration::from_secs(30),
                "{held} held, {live} bytes are not given back"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        echo(&mut self.honest);
    }
}

fn resident_kb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

fn websocket(address: SocketAddr, headers: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /echo/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
    .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    head.starts_with(b"HTTP/1.1 101").then_some(stream)
}

fn echo(stream: &mut TcpStream) {
    stream.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).unwrap();
    let mut answer = [0; 4];
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"\x81\x02hi");
}

fn post(address: SocketAddr, path: &str, framing: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    // Both may fail: the server may have refused it already.
    let _ = write!(stream, "POST {path} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
    let _ = stream.write_all(body);
    stream
}

fn answer_to(mut stream: TcpStream) -> String {
    let mut answer = vec![0; 4_096];
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let filled = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..filled]).into_owned()
}

const LONGPOLL: &str = "/echo/longpoll?lapwing=1&vsn=2.0.0";

/// Opens a session and says its token.
fn open(address: SocketAddr) -> String {
    let answer = answer_to(post(address, LONGPOLL, "Content-Length: 11", b"!open 30000"));
    answer.split("!opened ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn messages_that_do_not_end() {
    let mut lab = Lab::start(|options| options);
    let piece = vec![0; 100_000];
    let mut hoarders: Vec<TcpStream> = Vec::new();
    for _ in 0..60 {
        let Some(mut stream) = websocket(lab.address, "") else { continue };
        // A frame of 9.9 MB, of which two come.
        let mut header = vec![0x82, 0xff];
        header.extend_from_slice(&9_900_000u64.to_be_bytes());
        header.extend_from_slice(&[0; 4]);
        let _ = stream.write_all(&header);
        for _ in 0..20 {
            if stream.write_all(&piece).is_err() {
                break;
            }
        }
        hoarders.push(stream);
        lab.check("messages that do not end");
    }
    drop((hoarders, piece));
    lab.finish();
}

#[test]
fn bodies_in_pieces_of_one_byte() {
    let mut lab = Lab::start(|options| options);
    let pieces = b"1\r\nx\r\n".repeat(100_000);
    let mut streams = Vec::new();
    for _ in 0..60 {
        streams.push(post(lab.address, LONGPOLL, "Transfer-Encoding: chunked", &pieces[..120_000]));
    }
    lab.before += pieces.capacity();
    lab.check("bodies in pieces of one byte, without a session");
    let token = open(lab.address);
    for _ in 0..60 {
        let mut body = chunk(format!("!send {token}\n!from 1\n").as_bytes());
        body.extend_from_slice(&pieces);
        streams.push(post(lab.address, LONGPOLL, "Transfer-Encoding: chunked", &body));
    }
    lab.check("bodies in pieces of one byte, for a session");
    drop((streams, pieces));
    lab.before -= 600_000;
    close(lab.address, &token);
    lab.finish();
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

fn close(address: SocketAddr, token: &str) {
    let body = format!("!send {token}\n!close");
    answer_to(post(address, LONGPOLL, &format!("Content-Length: {}", body.len()), body.as_bytes()));
}

#[test]
fn answers_that_nobody_reads() {
    let mut lab = Lab::start(|options| {
        options
            .outbox(OutboxLimits::new().bytes_max(BUDGET))
            .longpoll(LongpollOptions::default().answer_bytes_max(BUDGET))
    });
    let token = open(lab.address);
    let session = lab.endpoint.sessions().into_iter().find(|session| session.is_resumable()).unwrap();
    for _ in 0..10 {
        session.push(Frame::text("x".repeat(MB)));
    }
    drop(session);
    let body = format!("!resume {token} 0 30000");
    let framing = format!("Content-Length: {}", body.len());
    let mut polls = Vec::new();
    for _ in 0..100 {
        let mut poll = post(lab.address, LONGPOLL, &framing, body.as_bytes());
        let mut first = [0; 12];
        poll.read_exact(&mut first).unwrap();
        polls.push(poll);
    }
    lab.check("answers that nobody reads");
    drop(polls);
    close(lab.address, &token);
    lab.finish();
}

#[test]
fn tickets_with_large_heads() {
    let lifetime = Duration::from_secs(1);
    let mut lab = Lab::start(|options| options.sse(SseOptions::default().ticket_lifetime(lifetime)));
    let body = "!ticket\n!open 30000";
    let framing = format!("Content-Length: {}\r\nX-Large: {}", body.len(), "x".repeat(12_000));
    let mut refused = 0;
    for _ in 0..2_000 {
        let path = "/echo/sse?lapwing=1&vsn=2.0.0";
        let answer = answer_to(post(lab.address, path, &framing, body.as_bytes()));
        assert!(answer.contains("!ticket ") || answer.contains("!refused full"), "{answer}");
        refused += usize::from(answer.contains("!refused"));
    }
    lab.check("tickets with large heads");
    println!("{refused} were refused");
    lab.finish();
}

#[test]
fn websockets_that_do_not_say_their_session() {
    let mut lab = Lab::start(|options| options);
    let headers = format!("Sec-WebSocket-Protocol: lapwing.1\r\nX-Large: {}\r\n", "x".repeat(12_000));
    let silent: Vec<_> = (0..300).map(|_| websocket(lab.address, &headers)).collect();
    lab.check("websockets that do not say their session");
    let each = (LIVE.load(Ordering::Relaxed) - lab.before) / silent.len();
    println!("{each} bytes each");
    assert!(each <= 20_000, "{each} bytes each");
    drop((silent, headers));
    lab.finish();
}

/// A message of the handler's limit and one byte, in some ten kilobytes.
fn bomb(bytes: usize) -> Vec<u8> {
    let mut compressed = Vec::with_capacity(bytes / 500);
    let mut compressor = flate2::Compress::new(flate2::Compression::best(), false);
    compressor.compress_vec(&vec![0; bytes], &mut compressed, flate2::FlushCompress::Sync).unwrap();
    compressed.truncate(compressed.len() - 4);
    let mut frame = vec![0xc2, 0xfe];
    frame.extend_from_slice(&u16::try_from(compressed.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(&compressed);
    frame
}

/// A hundred clients send ten kilobytes each that stand for ten megabytes: those within the limit are handled one after the other, those
/// beyond it are refused, and at no time is there more than one of them.
#[test]
fn compressed_messages_that_become_a_thousand_times_as_much() {
    let mut lab = Lab::start(|options| {
        let deflate = DeflateOptions::default().pushes_from(usize::MAX);
        options.websocket(WebsocketOptions::default().deflate(deflate))
    });
    // Making them takes more than the server may: not before the other tests are through, and not counted.
    let (within, over) = (bomb(10 * MB), bomb(10 * MB + 1));
    lab.measure_from_here();
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut streams: Vec<TcpStream> = (0..100).map(|_| websocket(lab.address, offer).unwrap()).collect();
    for stream in &mut streams {
        stream.write_all(&over).unwrap();
    }
    for stream in &mut streams {
        let mut close = [0; 4];
        stream.read_exact(&mut close).unwrap();
        assert_eq!(close, [0x88, 2, 3, 241], "1009");
    }
    lab.check("compressed messages that become too much");
    drop(streams);
    // What is echoed waits in the outbox, and is counted there.
    let mut stream = websocket(lab.address, offer).unwrap();
    for _ in 0..20 {
        stream.write_all(&within).unwrap();
        let mut header = [0; 10];
        stream.read_exact(&mut header).unwrap();
        assert_eq!(header[..2], [0x82, 127]);
        let echoed = std::io::copy(&mut (&mut stream).take(10 * MB as u64), &mut std::io::sink()).unwrap();
        assert_eq!(echoed, 10 * MB as u64);
    }
    let peak = PEAK.load(Ordering::Relaxed) - lab.before;
    println!("compressed messages of the limit: {peak} bytes at most");
    // Read, and echoed.
    assert!(peak <= 3 * 10 * MB, "{peak} bytes");
    drop(stream);
    lab.finish();
}
