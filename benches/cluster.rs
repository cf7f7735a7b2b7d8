//! What a broadcast costs that comes from another node, beside one of the same node: both in one run, without sockets.
//!
//!     cargo bench --bench cluster
//!
//! Two nodes and an engine in memory on one thread, so that elapsed time is the processor's; each figure is the best of several rounds, in
//! turns. `scripts/cluster-load` has the same over Redis and NATS, with what those take.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench says what it found, or why it cannot")]

use std::time::{Duration, Instant};

use lapwing::{ClusterOptions, Lapwing, Payload, Subscription, cluster::Hub};

const ROUNDS: usize = 7;

/// Broadcasts of a round, in bursts that fit into what a subscription holds.
const BURSTS: usize = 200;
const BURST: usize = 50;

const TOPIC: &str = "room:lobby";
const TEXT: &str =
    "A message of about a hundred bytes, such as people send to each other, most of the time, in rooms.";

async fn node(hub: &Hub, name: &str) -> Lapwing {
    let cluster = ClusterOptions::new("bench").name(name).start(hub.engine(name)).await.unwrap();
    Lapwing::builder().cluster(cluster).build().unwrap()
}

/// Subscribers of a node that hear what other nodes say.
async fn subscribed(node: &Lapwing, count: usize) -> Vec<Subscription> {
    let mut subscriptions: Vec<_> = (0..count).map(|_| node.subscribe(TOPIC)).collect();
    for subscription in &mut subscriptions {
        subscription.confirmed().await.unwrap();
    }
    subscriptions
}

/// The time that a broadcast takes until all have heard it, publishing included.
async fn round(publisher: &Lapwing, subscribers: &mut [Subscription], payload: &Payload) -> Duration {
    let start = Instant::now();
    for _ in 0..BURSTS {
        for _ in 0..BURST {
            publisher.broadcast(TOPIC, "said", payload.clone()).unwrap();
        }
        for subscriber in &mut *subscribers {
            for _ in 0..BURST {
                subscriber.recv().await.unwrap();
            }
        }
    }
    start.elapsed() / (BURSTS * BURST) as u32
}

/// What a server that is alone, a node of a cluster for its own subscribers, and one for those of another take.
async fn measure(count: usize, payload: &Payload) {
    let alone = Lapwing::builder().build().unwrap();
    let (own_hub, hub) = (Hub::new(), Hub::new());
    let in_cluster = node(&own_hub, "in a cluster").await;
    let (publisher, hearer) = (node(&hub, "publisher").await, node(&hub, "hearer").await);
    let mut of_alone = subscribed(&alone, count).await;
    let mut of_cluster = subscribed(&in_cluster, count).await;
    let mut of_other = subscribed(&hearer, count).await;
    let mut best = [Duration::MAX; 3];
    for _ in 0..ROUNDS {
        best[0] = best[0].min(round(&alone, &mut of_alone, payload).await);
        best[1] = best[1].min(round(&in_cluster, &mut of_cluster, payload).await);
        best[2] = best[2].min(round(&publisher, &mut of_other, payload).await);
    }
    let us = best.map(|time| time.as_secs_f64() * 1e6);
    println!(
        "{count:>5} subscribers, {:>5} B: alone {:>6.2} us, in a cluster {:>6.2} us, from another node {:>6.2} us, {:>5.2} of alone",
        payload.size(),
        us[0],
        us[1],
        us[2],
        us[2] / us[0],
    );
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for bytes in [100, 2_048] {
        let text: String = TEXT.chars().cycle().take(bytes).collect();
        let payload = Payload::from(serde_json::json!({"text": text}));
        for count in [1, 100, 1_000] {
            measure(count, &payload).await;
        }
    }
}
