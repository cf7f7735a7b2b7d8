//! A crowd on a kept topic, a tenth of which is cut off each 100 ms, while the topic is at its bound.
//!
//! `KEPT_CLIENTS` and `KEPT_SECONDS` make it larger; `scripts/kept-figures` does.

use std::{
    env,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lapwing::{Channel, Failure, Joining, Keep, Lapwing, Mount, Payload, Topic};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet, time::Instant};

use crate::support::{
    PATIENCE,
    channels::{Client, Vsn},
    lab,
    websocket::Event,
};

/// Messages that the topic remembers: a client that is away for long has missed more.
const KEPT: usize = 100;

const TOPIC: &str = "room:1";

struct Room;

impl Channel for Room {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }
}

/// What all clients together went through.
#[derive(Debug, Default)]
struct Seen {
    heard: AtomicU64,
    cuts: AtomicU64,
    recovered: AtomicU64,
    replayed: AtomicU64,
    trimmed: AtomicU64,
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

/// A client with a helper as the guide has it, that notes the place that it has read to.
struct Reader {
    at: String,
    /// The last number that was heard; none where something is missing before the next one, and was told to be.
    last: Option<u64>,
    seen: Arc<Seen>,
}

/// Why a connection is over.
#[derive(Debug, PartialEq)]
enum End {
    Cut,
    All,
}

impl Reader {
    /// Connects and joins again until everything up to `last` is heard.
    async fn run(
        mut self,
        address: SocketAddr,
        seed: u64,
        mut cuts: watch::Receiver<u64>,
        last: watch::Receiver<u64>,
    ) {
        let mut dice = seed;
        loop {
            let mut client = Client::connect(address, Vsn::V2).await;
            client.send(json!(["1", "1", TOPIC, "phx_join", {"_since": self.at}])).await;
            // Cut off at any moment, the reply's included.
            if self.listen(&mut client, &mut cuts, &last, seed).await == End::All {
                return;
            }
            drop(client);
            add(&self.seen.cuts, 1);
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            tokio::time::sleep(Duration::from_millis((dice >> 33) % 500)).await;
        }
    }

    async fn listen(
        &mut self,
        client: &mut Client,
        cuts: &mut watch::Receiver<u64>,
        last: &watch::Receiver<u64>,
        seed: u64,
    ) -> End {
        let mut is_told = false;
        loop {
            if is_told && self.last.is_some_and(|heard| heard >= *last.borrow()) {
                return End::All;
            }
            let event = tokio::select! {
                event = client.socket.next_within(PATIENCE) => event,
                () = is_cut(cuts, seed) => return End::Cut,
            };
            let Event::Text(text) = event.expect("something is said in time") else { return End::Cut };
            let message: Value = serde_json::from_str(&text).unwrap();
            match message[3].as_str().unwrap() {
                "phx_reply" => {
                    self.join(&message[4]);
                    is_told = true;
                }
                "said" => self.hear(&message),
                other => panic!("{other}: {message}"),
            }
        }
    }

    fn join(&mut self, reply: &Value) {
        assert_eq!(reply["status"], "ok", "{reply}");
        let response = &reply["response"];
        self.at = response["_at"].as_str().unwrap().to_owned();
        if response["_recovered"] == true {
            add(&self.seen.recovered, 1);
            add(&self.seen.replayed, response["_replayed"].as_u64().unwrap());
        } else {
            assert!(["trimmed", "too_many"].contains(&response["_reason"].as_str().unwrap()), "{response}");
            add(&self.seen.trimmed, 1);
            self.last = None;
        }
    }

    fn hear(&mut self, message: &Value) {
        let n = message[4]["n"].as_u64().unwrap();
        let before = self.last.replace(n);
        assert!(before.is_none_or(|before| before + 1 == n), "{n} after {before:?}, from {}", self.at);
        let place = message[1].as_str().and_then(|at| at.strip_prefix('@')).expect("a message has its place");
        let (epoch, _) = self.at.rsplit_once(':').unwrap();
        self.at = format!("{epoch}:{place}");
        add(&self.seen.heard, 1);
    }
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

/// Waits until it is the turn of a client's tenth.
async fn is_cut(cuts: &mut watch::Receiver<u64>, seed: u64) {
    loop {
        if cuts.changed().await.is_err() {
            return std::future::pending().await;
        }
        if *cuts.borrow_and_update() % 10 == seed % 10 {
            return;
        }
    }
}

#[tokio::test]
async fn a_crowd_that_is_cut_again_and_again_misses_nothing_or_is_told() {
    let (clients, seconds) = (number("KEPT_CLIENTS", 60), number("KEPT_SECONDS", 2));
    let mount =
        Mount::new().channel::<Room>("room:*", ()).keep("room:*", Keep::last(KEPT).for_at_most(PATIENCE));
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    let say = |n: u64| _ = lapwing.broadcast(TOPIC, "said", json!({"n": n})).unwrap();
    (1..=KEPT as u64).for_each(say);
    let seen = Arc::<Seen>::default();
    let ((cut, cuts), (end, last)) = (watch::channel(0), watch::channel(u64::MAX));
    let mut crowd = JoinSet::new();
    for seed in 0..clients {
        let reader = Reader { at: String::new(), last: None, seen: Arc::clone(&seen) };
        crowd.spawn(reader.run(address, seed, cuts.clone(), last.clone()));
    }
    let (began, mut n, mut round) = (Instant::now(), KEPT as u64, 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..50 {
            n += 1;
            say(n);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        round += 1;
        cut.send_replace(round);
    }
    // No more cuts: all come back, and hear what is said then.
    drop(cut);
    end.send_replace(n + 1);
    let all_have_come_back = async {
        while let Some(read) = crowd.join_next().await {
            read.unwrap()
        }
    };
    let mut all_have_come_back = std::pin::pin!(tokio::time::timeout(2 * PATIENCE, all_have_come_back));
    loop {
        n += 1;
        say(n);
        tokio::select! {
            in_time = &mut all_have_come_back => break in_time.expect("all come back"),
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
    }
    assert!(seen.cuts.load(Ordering::Relaxed) > 0 && seen.replayed.load(Ordering::Relaxed) > 0, "{seen:?}");
    println!("{clients} clients, {n} messages, {:.1?}: {seen:?}", began.elapsed());
}
