//! What the parts cost without a network: codecs, a session, and in memory a join, a request and a fan-out.
//!
//!     cargo bench --bench inside
//!
//! Each figure is the best of several rounds, since other load on the machine only ever adds.
//!
//! With `requests none 1000`, or `requests default 1000`, it only makes so many requests of a mount without rates, or with those by
//! default, for a tool that counts instructions: see scripts/pressure.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench says what it found, or why it cannot")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use hyper_util::rt::TokioIo;
use lapwing::{
    Channel, CheckOrigin, Context, Failure, Handled, Joining, Lapwing, Mount, Payload, Rates, Topic,
    protocol::{Outgoing, Serializer, V2},
    reply,
    transports::{
        dialect::client::ClientLine,
        frame::{Frame, Message},
        options::DecodeLimits,
        policy::{Key, Policy},
        session::{Seq, Session, outbox::OutboxLimits},
        websocket::codec::{Decoder, OpCode, append_frame},
    },
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const ROUNDS: usize = 7;
const MESSAGE: &str = r#"["1","42","room:lobby","new_msg",{"body":"A message of about a hundred bytes, such as people send to each other."}]"#;

struct Room;

impl Channel for Room {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn handle_in(&mut self, _: &str, payload: Payload, _: &Context<Self>) -> Handled {
        Ok(reply("ok", payload))
    }
}

fn report(what: &str, best: Duration, count: usize) {
    println!("{what:<58} {:>9.1} ns", best.as_nanos() as f64 / count as f64);
}

/// The best of several rounds of work that does something `count` times.
fn measure(what: &str, count: usize, mut work: impl FnMut()) {
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    report(what, rounds.min().unwrap_or_default(), count);
}

fn codecs() {
    const COUNT: usize = 100_000;
    let mut masked = vec![0x81, 0x80 | MESSAGE.len() as u8, 1, 2, 3, 4];
    masked.extend(MESSAGE.bytes().zip([1, 2, 3, 4].into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
    let (mut decoder, limits) = (Decoder::new(), DecodeLimits::default());
    measure("websocket: decode a frame", COUNT, || {
        for _ in 0..COUNT {
            let mut input = masked.clone();
            black_box(decoder.decode(&mut input, &limits)).1.unwrap();
        }
    });
    let mut out = Vec::with_capacity(1_024);
    measure("websocket: encode a frame", COUNT, || {
        for _ in 0..COUNT {
            out.clear();
            append_frame(OpCode::Text, MESSAGE.as_bytes(), black_box(&mut out));
        }
    });
    measure("phoenix v2: decode a message", COUNT, || {
        for _ in 0..COUNT {
            black_box(V2.decode(Message::Text(MESSAGE)).unwrap());
        }
    });
    let payload = V2.decode(Message::Text(MESSAGE)).unwrap().payload;
    measure("phoenix v2: encode a broadcast", COUNT, || {
        for _ in 0..COUNT {
            let broadcast = Outgoing::Broadcast { topic: "room:lobby", event: "new_msg", payload: &payload };
            black_box(V2.encode(broadcast).unwrap());
        }
    });
    measure("sessions: read a line", COUNT, || {
        for _ in 0..COUNT {
            black_box(ClientLine::parse(MESSAGE).unwrap());
        }
    });
}

fn sessions() {
    const COUNT: usize = 100_000;
    let (frame, limits) = (Frame::text(MESSAGE), OutboxLimits::default());
    let mut plain = Session::default();
    measure("session: push and write, plain", COUNT, || {
        for _ in 0..COUNT {
            plain.push(frame.clone(), &limits);
            plain.handle_written(|_| true);
        }
    });
    let mut resumable = Session::resumable();
    let mut count = 0;
    measure("session: push, send and acknowledge every 32nd, resumable", COUNT, || {
        for _ in 0..COUNT {
            resumable.push(frame.clone(), &limits);
            count += 1;
            resumable.handle_sent(Seq(count));
            if count % 32 == 0 {
                resumable.handle_receipt(Seq(count));
            }
        }
    });
}

/// A client that is away, of whom states of so many things wait: each takes the place of the one before.
fn states() {
    const COUNT: usize = 100_000;
    let limits = OutboxLimits::default().frames_max(usize::MAX).bytes_max(usize::MAX);
    for things in [100, 10_000] {
        let state = |number: usize| {
            Frame::text(MESSAGE).with_policy(Policy::Latest(Key::new(&format!("thing:{number}"))))
        };
        let states: Vec<_> = (0..things).map(state).collect();
        let mut session = Session::resumable();
        for state in &states {
            session.push(state.clone(), &limits);
        }
        measure(&format!("session: a state in an older one's place, among {things}"), COUNT, || {
            for round in 0..COUNT {
                // In another order than they wait in.
                session.push(states[round * 7_919 % things].clone(), &limits);
            }
        });
    }
}

/// A client on a pipe in memory.
struct Client(DuplexStream);

impl Client {
    async fn connect(lapwing: &Lapwing) -> Self {
        let (mut near, far) = tokio::io::duplex(16 * 1024);
        let service = lapwing.service();
        tokio::spawn(async move {
            let server = hyper::server::conn::http1::Builder::new();
            let _ = server.serve_connection(TokioIo::new(far), service).with_upgrades().await;
        });
        near.write_all(
            b"GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await
        .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(near.read_u8().await.unwrap());
        }
        Self(near)
    }

    async fn send(&mut self, text: &str) {
        let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        self.0.write_all(&frame).await.unwrap();
    }

    /// Reads one message of less than 126 bytes.
    async fn receive(&mut self) {
        let mut header = [0; 2];
        self.0.read_exact(&mut header).await.unwrap();
        let mut payload = [0; 126];
        self.0.read_exact(&mut payload[..header[1] as usize]).await.unwrap();
    }
}

async fn requests(rates: Rates, count: usize) {
    let mount = Mount::new().channel::<Room>("room:*", ()).check_origin(CheckOrigin::Off).rates(rates);
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let mut client = Client::connect(&lapwing).await;
    client.send(r#"["1","1","room:lobby","phx_join",{}]"#).await;
    client.receive().await;
    for _ in 0..count {
        client.send(r#"["1","2","room:lobby","ping",{"n":1}]"#).await;
        client.receive().await;
    }
}

async fn in_memory() {
    const MEMBERS: usize = 1_000;
    const REQUESTS: usize = 20_000;
    const BROADCASTS: usize = 20;
    let mount =
        Mount::new().channel::<Room>("room:*", ()).check_origin(CheckOrigin::Off).joins_max(usize::MAX);
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let mut clients = Vec::new();
    for _ in 0..MEMBERS {
        clients.push(Client::connect(&lapwing).await);
    }
    let start = Instant::now();
    for client in &mut clients {
        client.send(r#"["1","1","room:lobby","phx_join",{}]"#).await;
        client.receive().await;
    }
    report("in memory: join, and its reply", start.elapsed(), MEMBERS);

    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..REQUESTS {
            clients[0].send(r#"["1","2","room:lobby","ping",{"n":1}]"#).await;
            clients[0].receive().await;
        }
        best = best.min(start.elapsed());
    }
    report("in memory: request, and its reply", best, REQUESTS);

    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..BROADCASTS {
            lapwing.broadcast("room:lobby", "tick", serde_json::json!({"n": 1})).unwrap();
            for client in &mut clients {
                client.receive().await;
            }
        }
        best = best.min(start.elapsed());
    }
    report("in memory: fan-out to 1,000, each delivery", best, MEMBERS * BROADCASTS);
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let args: Vec<_> = std::env::args().skip(1).collect();
    if let [what, rates, count, ..] = &args[..]
        && what == "requests"
    {
        let rates = if rates == "none" { Rates::none() } else { Rates::default() };
        runtime.block_on(requests(rates, count.parse().unwrap()));
        return;
    }
    codecs();
    sessions();
    states();
    runtime.block_on(in_memory());
}
