//! What TLS costs a server: connections that begin, that are idle, and that get broadcasts, under rustls beside those in the clear.
//!
//!     cargo bench --bench tls
//!
//! The server has a thread of its own, whose processor time and allocations are counted; the clients have another one. Kinds take turns, as the speed of a
//! machine changes; the middle of five rounds is told. Needs Linux, which counts the time of a thread.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench says what it found, or why it cannot")]
#![allow(unsafe_code, reason = "an allocator that counts cannot be written without")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use lapwing::{Channel, CheckOrigin, Failure, Joining, Lapwing, Mount, Payload, Topic};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Handle,
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ClientConfig, HandshakeKind, RootCertStore, ServerConfig,
        client::Resumption,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    },
};

thread_local! {
    /// The bytes that this thread has allocated, and not given back.
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

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
    // A thread that ends counts no more.
    let _ = BYTES.try_with(|held| held.set(held.get() + bytes));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: usize = 5;
const CLIENTS: usize = 500;
const AT_ONCE: usize = 8;
const BROADCASTS: usize = 100;

/// How clients connect.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Clear,
    /// Each with a handshake of its own. So many tickets are sent, by which a client can resume.
    Full {
        tickets: usize,
    },
    /// By a ticket of an earlier connection, which the server reads with a key and does not remember.
    Resumed,
}

/// Connections that went on with a ticket.
static RESUMED: AtomicUsize = AtomicUsize::new(0);

const KINDS: [(&str, Kind); 4] = [
    ("in the clear", Kind::Clear),
    ("TLS 1.3", Kind::Full { tickets: 2 }),
    ("TLS 1.3, no tickets", Kind::Full { tickets: 0 }),
    ("TLS 1.3, resumed", Kind::Resumed),
];

struct Room;

impl Channel for Room {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }
}

/// A server on a thread of its own.
struct Server {
    lapwing: Lapwing,
    address: SocketAddr,
    runtime: Handle,
    client: Option<Arc<ClientConfig>>,
}

impl Server {
    fn start(kind: Kind) -> Self {
        let tls = match kind {
            Kind::Clear => None,
            Kind::Full { tickets } => Some(configs(tickets, Resumption::disabled())),
            Kind::Resumed => Some(configs(2, Resumption::in_memory_sessions(CLIENTS))),
        };
        let (server, client) = tls.unzip();
        let acceptor = server.map(TlsAcceptor::from);
        let mount = Mount::new().channel::<Room>("room:*", ()).check_origin(CheckOrigin::Off);
        let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let served = lapwing.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send((listener.local_addr().unwrap(), Handle::current())).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    lapwing::transports::tcp::configure(&stream).unwrap();
                    tokio::spawn(serve(served.clone(), acceptor.clone(), stream));
                }
            });
        });
        let (address, runtime) = told.recv().unwrap();
        Self { lapwing, address, runtime, client }
    }

    /// Processor time of its thread, and the bytes that it has allocated.
    async fn spent(&self) -> (Duration, i64) {
        let spent = async {
            let counted = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
            let ns = counted.split(' ').next().unwrap().parse().unwrap();
            (Duration::from_nanos(ns), BYTES.get())
        };
        self.runtime.spawn(spent).await.unwrap()
    }

    async fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut io: Box<dyn Io> = match &self.client {
            None => Box::new(stream),
            Some(config) => {
                let name = ServerName::try_from("localhost").unwrap();
                let stream = TlsConnector::from(config.clone()).connect(name, stream).await.unwrap();
                let is_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
                RESUMED.fetch_add(usize::from(is_resumed), Ordering::Relaxed);
                Box::new(stream)
            }
        };
        let request = "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n\
            connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
        io.write_all(request.as_bytes()).await.unwrap();
        let mut client = Client { io, read: Vec::new() };
        client.read_until(b"\r\n\r\n").await;
        let join = br#"["1","1","room:1","phx_join",{}]"#;
        // A mask of zeros changes nothing.
        let frame = [&[0x81, 0x80 | join.len() as u8, 0, 0, 0, 0], &join[..]].concat();
        client.io.write_all(&frame).await.unwrap();
        client.read_until(b"phx_reply").await;
        client
    }
}

async fn serve(lapwing: Lapwing, acceptor: Option<TlsAcceptor>, stream: TcpStream) {
    let mut server = http1::Builder::new();
    lapwing::transports::http1::configure(&mut server);
    let service = lapwing.service();
    let _ = match acceptor {
        None => server.serve_connection(TokioIo::new(stream), service).with_upgrades().await,
        Some(acceptor) => {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            server.serve_connection(TokioIo::new(stream), service).with_upgrades().await
        }
    };
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

struct Client {
    io: Box<dyn Io>,
    read: Vec<u8>,
}

impl Client {
    /// Reads until these bytes have come, and forgets all that has.
    async fn read_until(&mut self, wanted: &[u8]) {
        while !self.read.windows(wanted.len()).any(|bytes| bytes == wanted) {
            assert!(self.io.read_buf(&mut self.read).await.unwrap() > 0, "the server has closed it");
        }
        self.read.clear();
    }
}

/// A server and a client that trust each other.
fn configs(tickets: usize, resumption: Resumption) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let certificate = CertificateDer::from(made.cert);
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let server = server.unwrap().with_no_client_auth();
    let mut server = server.with_single_cert(vec![certificate.clone()], key).unwrap();
    server.send_tls13_tickets = tickets;
    server.ticketer = ring::Ticketer::new().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut client = client.unwrap().with_root_certificates(roots).with_no_client_auth();
    client.resumption = resumption;
    (Arc::new(server), Arc::new(client))
}

/// Microseconds of a connection that begins, bytes of one that is idle, and microseconds of a delivery.
async fn round(kind: Kind) -> [f64; 3] {
    let server = Server::start(kind);
    // What is done once is done, and there are tickets.
    let mut first = Vec::new();
    for _ in 0..20 {
        first.push(server.connect().await);
    }
    RESUMED.store(0, Ordering::Relaxed);
    let (began, empty) = server.spent().await;
    let connecting = stream::iter(0..CLIENTS).map(|_| server.connect()).buffer_unordered(AT_ONCE);
    let mut clients: Vec<_> = connecting.collect().await;
    let connected = server.spent().await.0 - began;
    let resumed = RESUMED.load(Ordering::Relaxed);
    assert!(
        if kind == Kind::Resumed { resumed > CLIENTS * 9 / 10 } else { resumed == 0 },
        "{resumed} resumed"
    );
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (start, full) = server.spent().await;
    for n in 0..BROADCASTS {
        let said = json!({"n": n, "text": "about a hundred bytes, such as people send to each other"});
        server.lapwing.broadcast("room:1", "said", said).unwrap();
        let wanted = format!(r#"{{"n":{n},"#);
        for client in first.iter_mut().chain(&mut clients) {
            client.read_until(wanted.as_bytes()).await;
        }
    }
    let delivered = server.spent().await.0 - start;
    let us = |time: Duration, count: usize| time.as_secs_f64() * 1e6 / count as f64;
    [
        us(connected, CLIENTS),
        (full - empty) as f64 / CLIENTS as f64,
        us(delivered, BROADCASTS * (CLIENTS + first.len())),
    ]
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut seen = KINDS.map(|_| [const { Vec::new() }; 3]);
    for _ in 0..ROUNDS {
        for (seen, (_, kind)) in seen.iter_mut().zip(KINDS) {
            let values = runtime.block_on(round(kind));
            seen.iter_mut().zip(values).for_each(|(seen, value)| seen.push(value));
        }
    }
    println!("{:<20} {:>14} {:>10} {:>12}", "", "begins with join", "idle", "delivery");
    for ((name, _), seen) in KINDS.iter().zip(seen) {
        let [begins, idle, delivery] = seen.map(middle);
        println!("{name:<20} {begins:>13.1} µs {idle:>8.0} B {delivery:>9.2} µs");
    }
}
