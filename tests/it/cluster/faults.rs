//! What an engine does to the nodes that stalls, is away for long, or drops.

use std::time::Duration;

use lapwing::{
    Accept, Broadcast, ClusterOptions, Lagged, NotConfirmed, Sent,
    cluster::{Hub, Spread, driver::HalfOpen},
    transports::close::CloseReason,
};
use lapwing_engine_contract::eventually;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::{
    SILENCE,
    carriers::{meet, node, node_with},
    rooms,
};

#[derive(Deserialize)]
struct Said {
    n: u32,
}

#[tokio::test]
async fn a_join_waits_until_its_topic_is_delivered() {
    let hub = Hub::new();
    let [one, two] = [node(&hub, "one", rooms().0).await, node(&hub, "two", rooms().0).await];
    meet(&[&one, &two]).await;
    hub.stall();
    let mut joining = std::pin::pin!(two.join("room:1", json!({})));
    assert!(timeout(SILENCE, &mut joining).await.is_err(), "it is answered before its topic is delivered");
    hub.go_on();
    let join = joining.await.unwrap();
    // The next one has nothing to wait for.
    hub.stall();
    let next = two.join("room:1", json!({})).await.unwrap();
    hub.go_on();
    one.broadcast("room:1", "said", json!({"n": 1})).unwrap();
    for join in [join, next] {
        join.expect("joined", json!({})).await;
        join.expect("said", json!({"n": 1})).await;
    }
}

#[tokio::test]
async fn a_join_that_is_not_confirmed_in_time_is_refused_and_leaves() {
    let hub = Hub::new();
    let (mount, mut told) = rooms();
    let options = ClusterOptions::new("tests").join_timeout(SILENCE);
    let node = node_with(&hub, options, "one", mount).await;
    eventually("the node is ready", || node.is_ready()).await;
    hub.stall();
    let refused = node.join("room:1", json!({})).await.err().unwrap();
    assert_eq!(refused, json!({"reason": "unavailable"}));
    assert_eq!(told.recv().await.unwrap(), "Unavailable");
    let mut task = node.subscribe("news");
    assert_eq!(task.confirmed().await, Err(NotConfirmed::Late));
    hub.go_on();
    task.confirmed().await.unwrap();
    // A client that tries again is let in, and the node's own broadcasts never needed the engine.
    let join = node.join("room:1", json!({})).await.unwrap();
    join.expect("joined", json!({})).await;
    assert_eq!(node.members("room:1").count(), 1);
    hub.refuse_topics("one", true);
    hub.cut("one");
    node.broadcast("room:1", "said", json!({})).unwrap();
    join.expect("said", json!({})).await;
}

#[tokio::test]
async fn what_is_lost_is_told_once_to_each_join_and_task() {
    let hub = Hub::new();
    // All topics share a channel.
    let options = |name| ClusterOptions::new("tests").name(name).spread(Spread::Partitions(1));
    let one = node_with(&hub, options("one").ring_bytes_max(2_500), "one", rooms().0).await;
    let two = node_with(&hub, options("two"), "two", rooms().0).await;
    meet(&[&one, &two]).await;
    let join = two.join("room:1", json!({})).await.unwrap();
    let plain = two.join("room:plain", json!({})).await.unwrap();
    let mut task = two.subscribe("room:1");
    task.confirmed().await.unwrap();
    join.expect("joined", json!({})).await;
    let publish = |text: &str, n: u32| {
        let broadcast = Broadcast::new("room:1", "said", json!({"n": n, "text": text}));
        one.publish(broadcast).unwrap().sent
    };
    assert_eq!(publish("", 1), Sent::Now);
    join.expect("said", json!({"n": 1, "text": ""})).await;
    hub.stop();
    eventually("the engine is missed", || !one.is_ready() && !two.is_ready()).await;
    let long = "x".repeat(900);
    assert_eq!([publish(&long, 2), publish(&long, 3), publish(&long, 4)], [Sent::Later; 3]);
    hub.start();
    // The channel is told before what was kept comes, and what it pushes then may come behind that.
    let (mut said, mut missed) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let event = join.next().await;
        if event.event == "missed" { &mut missed } else { &mut said }.push(event.payload);
    }
    assert_eq!(missed, [json!({"topic": "room:1", "node": "one", "cause": "overwritten"}).into()]);
    assert_eq!(said, [3, 4].map(|n| json!({"n": n, "text": long}).into()));
    eventually("the engine is there", || one.is_ready() && two.is_ready()).await;
    assert_eq!(publish("", 5), Sent::Now);
    join.expect("said", json!({"n": 5, "text": ""})).await;
    join.expect_nothing().await;
    let (mut heard, mut gaps) = (Vec::new(), 0);
    while heard.last() != Some(&5) {
        match task.recv().await {
            Ok(broadcast) => heard.push(broadcast.payload.parse::<Said>().unwrap().n),
            Err(Lagged(0)) => gaps += 1,
            Err(lagged) => panic!("{lagged}"),
        }
    }
    assert_eq!((heard, gaps), (vec![1, 3, 4, 5], 1));
    let engine = (one.cluster().unwrap().engine, two.cluster().unwrap().engine);
    assert_eq!((engine.0.lost, engine.1.gaps), (1, 1));
    let stats = (one.stats().cluster.unwrap(), two.stats().cluster.unwrap());
    assert_eq!((stats.0.lost, stats.1.gaps.overwritten, stats.1.nodes), (1, 1, 2));
    assert!(stats.0.is_ready && stats.0.up_ms.is_some() && stats.0.ring_bytes > 0);
    // A member of another topic on the channel may have missed something, and ends as its channel says.
    plain.expect_crash().await;
}

#[tokio::test]
async fn joins_that_missed_something_are_ended_at_a_pace_so_that_their_clients_join_again() {
    let hub = Hub::new();
    let options = |name| ClusterOptions::new("tests").name(name).spread(Spread::Partitions(1));
    let one = node_with(&hub, options("one").ring_bytes_max(2_500), "one", rooms().0).await;
    let (mount, mut told) = rooms();
    let two = node_with(&hub, options("two"), "two", mount.rejoin_after_gaps(2)).await;
    meet(&[&one, &two]).await;
    let mut joins = Vec::new();
    for _ in 0..4 {
        let join = two.join("room:1", json!({})).await.unwrap();
        join.expect("joined", json!({})).await;
        joins.push(join);
    }
    hub.stop();
    eventually("the engine is missed", || !one.is_ready() && !two.is_ready()).await;
    for n in 0..5 {
        one.broadcast("room:1", "said", json!({"n": n, "text": "x".repeat(900)})).unwrap();
    }
    let started = Instant::now();
    hub.start();
    // The channel is told first, and the client then.
    for join in &joins {
        join.wait_for("missed").await;
        // What was kept may come between.
        join.wait_for("phx_error").await;
        assert_eq!(told.recv().await.unwrap(), "Missed");
    }
    // Two in a second: between the first and the last are three halves of it.
    assert!(started.elapsed() >= Duration::from_millis(1_500), "{:?}", started.elapsed());
    // Those that join again are not ended for what they missed before.
    let join = two.join("room:1", json!({})).await.unwrap();
    join.expect("joined", json!({})).await;
    eventually("the engine is there", || one.is_ready() && two.is_ready()).await;
    one.broadcast("room:1", "said", json!({"n": 6})).unwrap();
    join.expect("said", json!({"n": 6})).await;
}

#[tokio::test]
async fn who_does_not_answer_is_named() {
    let hub = Hub::new();
    let options = ClusterOptions::new("tests").name("one").call_timeout(SILENCE);
    let one = node_with(&hub, options, "one", rooms().0).await;
    let two = node(&hub, "two", rooms().0).await;
    meet(&[&one, &two]).await;
    let (here, there) =
        (one.join("room:1", json!({})).await.unwrap(), two.join("room:1", json!({})).await.unwrap());
    assert_eq!(two.count_members("room:1").await.count, 2);
    hub.half_open("two", HalfOpen::ToNode);
    let counted = one.count_members("room:1").await;
    assert_eq!((counted.count, counted.missing), (1, vec!["two".to_owned()]));
    drop((here, there));
}

#[tokio::test]
async fn an_order_is_carried_out_when_the_engine_is_back() {
    let hub = Hub::new();
    let known = || rooms().0.connect(|_| async { Ok(Accept::new().id("bob")) });
    let [one, two] = [node(&hub, "one", known()).await, node(&hub, "two", known()).await];
    meet(&[&one, &two]).await;
    let client = two.connect("/socket").await.unwrap();
    hub.stop();
    eventually("the engine is missed", || !one.is_ready() && !two.is_ready()).await;
    let (ended, ()) = tokio::join!(one.disconnect_everywhere("bob"), async { hub.start() });
    let ended = ended.unwrap();
    assert_eq!((ended.count, ended.missing.len()), (1, 0));
    assert_eq!(client.closed().await, CloseReason::Disconnected);
}
