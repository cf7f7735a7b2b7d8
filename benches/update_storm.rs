//! Does a storm of presence updates hold up other topics?
//!
//!     cargo bench --bench update_storm
//!
//! 10,000 presences on one topic, which 20 WebSocket clients follow, are updated 1,000 times a second for ten seconds, while
//! 200 other clients get a broadcast every 10 ms on topics of their own. Prints how late those arrive, before and during
//! the storm, server and clients in this one process.

#![allow(clippy::print_stdout, reason = "a bench says what it found")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use lapwing::{
    Channel, CheckOrigin, Context, Failure, Handled, Joining, Lapwing, Mount, Payload, Topic, noreply,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

const PRESENCES: usize = 10_000;
const FOLLOWERS: usize = 20;
const OTHERS: usize = 200;
const UPDATES_PER_SECOND: usize = 1_000;
const SECONDS: u64 = 10;

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

async fn serve(lapwing: Lapwing) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = lapwing.service();
            tokio::spawn(async move {
                let server = hyper::server::conn::http1::Builder::new();
                let _ = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
            });
        }
    });
    address
}

/// Joins a topic and hands every message on.
async fn follow(address: SocketAddr, topic: String, mut seen: impl FnMut(&str) + Send + 'static) {
    let url = format!("ws://{address}/socket/websocket?vsn=2.0.0");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("a connection");
    let join = json!(["1", "1", topic, "phx_join", {}]).to_string();
    socket.send(Message::text(join)).await.expect("sent");
    socket.next().await.expect("a reply").expect("a reply");
    tokio::spawn(async move {
        while let Some(Ok(Message::Text(text))) = socket.next().await {
            seen(&text);
        }
    });
}

/// Broadcasts to the others in turn for `SECONDS`, and returns how late the messages were, sorted.
async fn measure(lapwing: &Lapwing, start: Instant, late: &Mutex<Vec<Duration>>) -> Vec<Duration> {
    late.lock().expect("no panic").clear();
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..SECONDS * 100 {
        tick.tick().await;
        for n in 0..OTHERS / 10 {
            let at = start.elapsed().as_nanos() as u64;
            lapwing.broadcast(format!("room:{n}"), "at", json!({"at": at})).expect("an object");
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut late = late.lock().expect("no panic").clone();
    late.sort_unstable();
    late
}

fn say(what: &str, late: &[Duration]) -> Duration {
    let at = |quantile: f64| late[((late.len() - 1) as f64 * quantile) as usize];
    println!("{what:14} {} deliveries  p50 {:?}  p99 {:?}  max {:?}", late.len(), at(0.5), at(0.99), at(1.0));
    at(0.99)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mount = Mount::new().channel::<Room>("room:*", ()).check_origin(CheckOrigin::Off);
        let lapwing = Lapwing::builder().mount("/socket", mount).build().expect("the mount is valid");
        let address = serve(lapwing.clone()).await;
        let (start, late) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
        for n in 0..OTHERS {
            let late = late.clone();
            let seen = move |text: &str| {
                let message: Value = serde_json::from_str(text).expect("JSON");
                let at = Duration::from_nanos(message[4]["at"].as_u64().expect("a time"));
                late.lock().expect("no panic").push(start.elapsed().saturating_sub(at));
            };
            follow(address, format!("room:{}", n % (OTHERS / 10)), seen).await;
        }
        let diffs = Arc::new(Mutex::new((0u64, 0u64)));
        for _ in 0..FOLLOWERS {
            let diffs = diffs.clone();
            follow(address, "room:storm".into(), move |text| {
                let mut diffs = diffs.lock().expect("no panic");
                (diffs.0, diffs.1) = (diffs.0 + 1, diffs.1 + text.len() as u64);
            })
            .await;
        }
        let mut presences = Vec::new();
        for n in 0..PRESENCES {
            let meta = json!({"name": format!("User {n}"), "status": "here"});
            presences.push(lapwing.track("room:storm", format!("user {n}"), meta).await.expect("tracked"));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let quiet = say("without storm", &measure(&lapwing, start, &late).await);
        *diffs.lock().expect("no panic") = (0, 0);
        let presences = Arc::new(presences);
        let updates = presences.clone();
        let storm = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(10));
            for n in 0.. {
                tick.tick().await;
                for k in 0..UPDATES_PER_SECOND / 100 {
                    let presence = &updates[(n * 7 + k * 101) % PRESENCES];
                    presence.update(json!({"name": presence.key(), "status": n})).await.expect("tracked");
                }
            }
        });
        let stormy = say("during storm", &measure(&lapwing, start, &late).await);
        storm.abort();
        let (frames, bytes) = *diffs.lock().expect("no panic");
        println!("p99 ratio {:.2}", stormy.as_secs_f64() / quiet.as_secs_f64());
        println!(
            "each follower got {:.1} diffs and {:.0} KB a second",
            frames as f64 / FOLLOWERS as f64 / SECONDS as f64,
            bytes as f64 / 1_000.0 / FOLLOWERS as f64 / SECONDS as f64
        );
    });
}
