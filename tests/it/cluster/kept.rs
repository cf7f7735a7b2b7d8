//! Kept topics in a cluster: one order on all nodes, and clients that come back to any of them.

use std::{collections::HashSet, time::Duration};

use lapwing::{
    Broadcast, BroadcastError, ClusterOptions, HistoryError, Keep, Mount, NotRecovered, Position, Read, Sent,
    cluster::Hub,
    testing::{TestJoin, TestServer},
};
use lapwing_engine_contract::eventually;
use serde_json::{Value, json};

use super::{
    carriers::{Carrier, Keeps, NatsServer, RedisServer, meet, node, node_with},
    rooms,
};

/// Makes a test of each function on each engine that keeps topics.
macro_rules! on_each_engine_that_keeps {
    ($($name:ident)*) => {
        mod hub {
            $(#[tokio::test] async fn $name() { super::$name::<super::Hub>().await; })*
        }
        mod redis {
            $(#[tokio::test] async fn $name() { super::$name::<super::RedisServer>().await; })*
        }
        mod nats {
            $(#[tokio::test] async fn $name() { super::$name::<super::NatsServer>().await; })*
        }
    };
}

on_each_engine_that_keeps! {
    a_client_that_was_away_returns_to_another_node_and_gets_what_it_missed
    all_nodes_hear_what_all_nodes_say_in_one_order
    nodes_that_are_started_anew_go_on_where_the_others_ended
    an_engine_that_comes_back_with_its_data_has_cost_nobody_anything
    an_engine_that_comes_back_without_its_data_is_told_of
    what_no_member_of_a_node_has_heard_is_read_from_the_store
    each_node_reads_each_topic_once_after_a_restart
    a_route_learns_the_position_of_what_it_says_where_nobody_is_joined
}

const TOPIC: &str = "room:1";

fn kept() -> Mount {
    rooms().0.keep("room:*", Keep::last(1_000).for_at_most(Duration::from_secs(300)))
}

async fn three<C: Carrier>(carrier: &C) -> [TestServer; 3] {
    let nodes = [
        node(carrier, "one", kept()).await,
        node(carrier, "two", kept()).await,
        node(carrier, "three", kept()).await,
    ];
    meet(&[&nodes[0], &nodes[1], &nodes[2]]).await;
    nodes
}

async fn join(node: &TestServer, since: &Value) -> (TestJoin, Value) {
    let join = node.join(TOPIC, json!({"_since": since})).await.unwrap();
    let response = join.response().parse().unwrap();
    (join, response)
}

/// Joins, and must have recovered.
async fn recovered(node: &TestServer, since: &Value) -> (TestJoin, u64) {
    let (join, response) = join(node, since).await;
    assert_eq!(response["_recovered"], true, "{response}");
    (join, response["_replayed"].as_u64().unwrap())
}

fn say(node: &TestServer, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        let published = node.broadcast(TOPIC, "said", json!({"n": n})).unwrap();
        assert_eq!(published.position, None, "it has its place when the store says so");
    }
}

/// The next numbers that are said to a client, and no gap.
async fn hears(join: &TestJoin, numbers: impl IntoIterator<Item = u64>) {
    for n in numbers {
        loop {
            let event = join.next().await;
            match event.event.as_str() {
                "joined" => {}
                "said" => {
                    assert_eq!(event.payload, json!({"n": n}).into());
                    break;
                }
                other => panic!("{other} {:?} in the place of {n}", event.payload),
            }
        }
    }
}

/// Where a topic stands when so much was said on it.
async fn stands_at(node: &TestServer, messages: usize) -> Value {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let history = node.fetch_history(TOPIC, Read::Last, 2_000).await.unwrap_or_default();
        if history.len() >= messages {
            return json!(history[messages - 1].position);
        }
        assert!(tokio::time::Instant::now() < deadline, "{} of {messages} are kept", history.len());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// As a route of the program does that answers with the position of what it says.
async fn said_and_kept(node: &TestServer, id: &str) -> Position {
    let mut subscription = node.subscribe(TOPIC);
    subscription.confirmed().await.unwrap();
    node.broadcast(TOPIC, "said", json!({"id": id})).unwrap();
    loop {
        let broadcast = subscription.recv().await.unwrap();
        if broadcast.payload.parse::<Value>().unwrap()["id"] == id {
            return broadcast.position.unwrap();
        }
    }
}

async fn a_route_learns_the_position_of_what_it_says_where_nobody_is_joined<C: Keeps>() {
    let carrier = C::start_keeping().await;
    let [one, two, _] = three(&carrier).await;
    let (first, other) = tokio::join!(said_and_kept(&one, "a"), said_and_kept(&two, "b"));
    assert_ne!(first, other);
    let last = said_and_kept(&one, "c").await;
    assert_eq!(one.position(TOPIC), None, "nobody has it here any more");
    assert_eq!(two.fetch_position(TOPIC).await, Ok(last));
    for (position, messages) in [(first, 2), (other, 2), (last, 0)] {
        let after = two.fetch_history(TOPIC, Read::After(position), 9).await.unwrap();
        assert!(after.len() <= messages && after.iter().all(|it| it.position != Some(position)));
    }
}

fn position(value: &Value) -> Position {
    value.as_str().unwrap().parse().unwrap()
}

async fn a_client_that_was_away_returns_to_another_node_and_gets_what_it_missed<C: Keeps>() {
    let carrier = C::start_keeping().await;
    let [one, two, three] = three(&carrier).await;
    let (here, first) = join(&one, &json!("")).await;
    assert_eq!([&first["_recovered"], &first["_replayed"]], [&json!(true), &json!(0)]);
    say(&two, 1..=3);
    hears(&here, 1..=3).await;
    let left_at = stands_at(&one, 3).await;
    here.leave().await;
    say(&two, 4..=6);
    stands_at(&two, 6).await;
    say(&three, 7..=9);
    let end = stands_at(&three, 9).await;
    // Nobody is there any more, and where the client was is as good on any node as its first position.
    for (node, since, missed) in [(&three, &left_at, 6), (&one, &first["_at"], 9), (&two, &end, 0)] {
        let (back, replayed) = recovered(node, since).await;
        assert_eq!(replayed, missed);
        hears(&back, 10 - missed..=9).await;
        back.client().disconnect();
    }
    let (back, _) = recovered(&three, &end).await;
    say(&one, 10..=11);
    hears(&back, 10..=11).await;
    // What cannot be had is told on any of them.
    let (_, refused) = join(&two, &json!("1:7")).await;
    assert_eq!([&refused["_recovered"], &refused["_reason"]], [&json!(false), &json!("epoch")]);
    let (last, replayed) = recovered(&two, &json!("-2")).await;
    assert_eq!(replayed, 2);
    hears(&last, 10..=11).await;
}

async fn all_nodes_hear_what_all_nodes_say_in_one_order<C: Keeps>() {
    const EACH: u64 = 200;
    let carrier = C::start_keeping().await;
    let nodes = three(&carrier).await;
    let mut joins = Vec::new();
    for node in &nodes {
        joins.push(join(node, &json!("")).await.0);
    }
    // The sender of this one is passed by, on its own node alone, though it has the number of joins of others.
    joins[0].ask("say_to_others", json!({"n": 0})).await.ok();
    for n in 0..EACH {
        for (number, node) in nodes.iter().enumerate() {
            node.broadcast(TOPIC, "said", json!({"n": 1 + n * 3 + number as u64})).unwrap();
        }
        tokio::task::yield_now().await;
    }
    let whisper = Broadcast::new(TOPIC, "said", json!({"n": "not kept"})).unrecorded();
    let mut heard = Vec::new();
    for (number, join) in joins.iter().enumerate() {
        let mut said = Vec::new();
        let count = EACH * 3 + u64::from(number > 0);
        while said.len() < count as usize {
            let event = join.next().await;
            if event.event == "said" {
                said.push(event.payload.parse::<Value>().unwrap()["n"].as_u64().unwrap());
            }
        }
        said.retain(|n| *n > 0);
        heard.push(said);
    }
    assert_eq!(heard[0].iter().collect::<HashSet<_>>().len() as u64, EACH * 3, "each once");
    assert!(heard[0] == heard[1] && heard[1] == heard[2], "in one order");
    for number in 0..3 {
        let of_one = heard[0].iter().filter(|n| *n % 3 == number);
        assert!(of_one.is_sorted(), "those of a node as it said them");
    }
    nodes[1].publish(whisper).unwrap();
    for join in &joins {
        join.expect("said", json!({"n": "not kept"})).await;
        join.expect_nothing().await;
    }
    let kept = nodes[0].history(TOPIC, Read::Last, 2_000).unwrap();
    assert_eq!(kept.len() as u64, EACH * 3 + 1);
    let positions: Vec<_> = kept.iter().map(|message| message.position).collect();
    for node in &nodes[1..] {
        let there = node.history(TOPIC, Read::Last, 2_000).unwrap();
        assert_eq!(there.iter().map(|message| message.position).collect::<Vec<_>>(), positions);
    }
}

async fn nodes_that_are_started_anew_go_on_where_the_others_ended<C: Keeps>() {
    let carrier = C::start_keeping().await;
    let nodes = three(&carrier).await;
    let (here, _) = join(&nodes[0], &json!("")).await;
    say(&nodes[1], 1..=3);
    hears(&here, 1..=3).await;
    let left_at = stands_at(&nodes[0], 3).await;
    say(&nodes[1], 4..=5);
    here.client().disconnect();
    // What is said last is given to the store before a node goes.
    for node in &nodes {
        node.shutdown().await;
    }
    drop(nodes);
    let nodes = three(&carrier).await;
    say(&nodes[0], 6..=6);
    stands_at(&nodes[0], 6).await;
    let (back, replayed) = recovered(&nodes[2], &left_at).await;
    assert_eq!(replayed, 3);
    say(&nodes[1], 7..=7);
    hears(&back, 4..=7).await;
}

async fn an_engine_that_comes_back_with_its_data_has_cost_nobody_anything<C: Keeps>() {
    let mut carrier = C::start_keeping().await;
    let [one, two, three] = three(&carrier).await;
    let (here, _) = join(&one, &json!("")).await;
    let (there, _) = join(&two, &json!("")).await;
    let (gone, _) = join(&three, &json!("")).await;
    say(&two, 1..=3);
    for join in [&here, &there, &gone] {
        hears(join, 1..=3).await;
    }
    let left_at = stands_at(&one, 3).await;
    gone.leave().await;
    say(&two, 4..=4);
    hears(&here, 4..=4).await;
    hears(&there, 4..=4).await;
    carrier.kill();
    for node in [&one, &two, &three] {
        eventually("the engine is missed", || !node.is_ready()).await;
    }
    for n in 5..=9 {
        let sent = one.broadcast(TOPIC, "said", json!({"n": n})).unwrap().sent;
        assert_eq!(sent, Sent::Later, "it has no place yet");
    }
    here.expect_nothing().await;
    carrier.restart().await;
    hears(&here, 5..=9).await;
    hears(&there, 5..=9).await;
    let (back, replayed) = recovered(&three, &left_at).await;
    assert_eq!(replayed, 6);
    hears(&back, 4..=9).await;
    say(&three, 10..=10);
    for join in [&here, &there, &back] {
        hears(join, 10..=10).await;
        join.expect_nothing().await;
    }
}

async fn an_engine_that_comes_back_without_its_data_is_told_of<C: Keeps>() {
    let mut carrier = C::start_keeping().await;
    let [one, two, _] = three(&carrier).await;
    let (here, first) = join(&one, &json!("")).await;
    say(&two, 1..=3);
    hears(&here, 1..=3).await;
    let left_at = stands_at(&one, 3).await;
    // What was not confirmed is given again, to a store that does not know it any more.
    eventually("all is known to be kept", || two.stats().cluster.unwrap().store.unwrap().waiting == 0).await;
    carrier.kill();
    for node in [&one, &two] {
        eventually("the engine is missed", || !node.is_ready()).await;
    }
    carrier.restart_empty().await;
    let missed = here.wait_for("missed").await;
    assert_eq!(missed, json!({"topic": TOPIC, "node": "", "cause": "store_lost"}).into());
    say(&two, 4..=5);
    hears(&here, 4..=5).await;
    for since in [&left_at, &first["_at"]] {
        let (_, refused) = join(&two, since).await;
        assert_eq!([&refused["_recovered"], &refused["_reason"]], [&json!(false), &json!("epoch")]);
    }
    let at = stands_at(&one, 1).await;
    assert_ne!(position(&at), position(&left_at));
    let (back, replayed) = recovered(&two, &at).await;
    assert_eq!(replayed, 1);
    hears(&back, 5..=5).await;
}

async fn what_no_member_of_a_node_has_heard_is_read_from_the_store<C: Keeps>() {
    let carrier = C::start_keeping().await;
    let [one, two, _] = three(&carrier).await;
    assert_eq!(two.position(TOPIC), None, "nobody is joined there");
    assert_eq!(two.history(TOPIC, Read::Last, 9).unwrap_err(), HistoryError::NotHere);
    let start = two.fetch_position(TOPIC).await.unwrap();
    say(&one, 1..=5);
    let end = stands_at(&two, 5).await;
    assert_eq!(two.fetch_position(TOPIC).await.unwrap(), position(&end));
    let read = async |read, limit| {
        let messages = two.fetch_history(TOPIC, read, limit).await?;
        let n =
            messages.iter().map(|message| message.payload.parse::<Value>().unwrap()["n"].as_u64().unwrap());
        Ok::<_, HistoryError>(n.collect::<Vec<_>>())
    };
    assert_eq!(read(Read::After(start), 3).await, Ok(vec![1, 2, 3]));
    assert_eq!(read(Read::After(position(&end)), 3).await, Ok(vec![]));
    assert_eq!(read(Read::Last, 2).await, Ok(vec![4, 5]));
    let third = two.fetch_history(TOPIC, Read::Last, 3).await.unwrap()[0].position.unwrap();
    assert_eq!(read(Read::Before(third), 2).await, Ok(vec![2, 3]));
    for read_of in [Read::After, Read::Before] {
        let other = read(read_of(position(&json!("1:7"))), 9).await;
        assert_eq!(other, Err(HistoryError::NotRecovered(NotRecovered::Epoch)));
    }
    assert_eq!(two.fetch_position("else:1").await, Err(HistoryError::NotKept));
}

/// What is read from the store, for a page, is not what is given to members.
#[tokio::test]
async fn a_sender_is_passed_by_though_what_it_said_was_read_before_it_came_back() {
    let hub = Hub::new();
    let [one, two, _] = three(&hub).await;
    let (here, _) = join(&one, &json!("")).await;
    hub.delay("one", Duration::from_secs(1));
    say(&two, 1..=1);
    let first = position(&stands_at(&two, 1).await);
    here.ask("say_to_others", json!({"n": 0})).await.ok();
    stands_at(&two, 2).await;
    // This node has heard neither yet, so that it asks the store.
    assert_eq!(one.fetch_history(TOPIC, Read::After(first), 9).await.unwrap().len(), 1);
    say(&two, 2..=2);
    hears(&here, 1..=2).await;
}

/// A client that has heard something on one node, and is on another before that has.
#[tokio::test]
async fn a_node_that_is_behind_its_client_reads_before_it_answers() {
    let hub = Hub::new();
    let [one, two, _] = three(&hub).await;
    let (here, _) = join(&one, &json!("")).await;
    let (slow, _) = join(&two, &json!("")).await;
    hub.delay("two", Duration::from_millis(300));
    say(&one, 1..=3);
    hears(&here, 1..=3).await;
    let heard = stands_at(&one, 3).await;
    let (back, replayed) = recovered(&two, &heard).await;
    assert_eq!(replayed, 0);
    say(&one, 4..=4);
    hears(&back, 4..=4).await;
    hears(&slow, 1..=4).await;
}

#[tokio::test]
async fn messages_that_are_dropped_are_read_and_nobody_sees_a_hole() {
    let hub = Hub::new();
    let [one, two, _] = three(&hub).await;
    let (there, _) = join(&two, &json!("")).await;
    hub.drop_one_in("two", 3);
    for n in 1..=200 {
        say(&one, n..=n);
        tokio::task::yield_now().await;
    }
    // The last may be lost without a trace until something follows.
    stands_at(&one, 200).await;
    hub.drop_one_in("two", 0);
    say(&one, 201..=201);
    hears(&there, 1..=201).await;
    there.expect_nothing().await;
}

#[tokio::test]
async fn a_lost_tail_is_told_to_members_and_to_those_who_come_back() {
    let hub = Hub::new();
    let [one, two, _] = three(&hub).await;
    let (here, _) = join(&one, &json!("")).await;
    say(&two, 1..=10);
    hears(&here, 1..=10).await;
    let (kept, lost) = (stands_at(&one, 6).await, stands_at(&one, 8).await);
    hub.stop();
    eventually("the engine is missed", || !one.is_ready()).await;
    hub.lose_tail(TOPIC, 4);
    hub.start();
    here.wait_for("missed").await;
    say(&two, 11..=16);
    hears(&here, 11..=16).await;
    let (_, refused) = join(&two, &lost).await;
    assert_eq!([&refused["_recovered"], &refused["_reason"]], [&json!(false), &json!("epoch")]);
    let (back, replayed) = recovered(&two, &kept).await;
    assert_eq!(replayed, 6);
    hears(&back, 11..=16).await;
}

#[tokio::test]
async fn what_finds_no_room_while_the_engine_is_away_is_an_error_and_reaches_nobody() {
    let hub = Hub::new();
    let options = ClusterOptions::new("tests").name("one").ring_bytes_max(1_000);
    let one = node_with(&hub, options, "one", kept()).await;
    eventually("the node is ready", || one.is_ready()).await;
    let (here, _) = join(&one, &json!("")).await;
    hub.stop();
    eventually("the engine is missed", || !one.is_ready()).await;
    let long = "x".repeat(200);
    let publish = || one.broadcast(TOPIC, "said", json!({"text": long}));
    assert_eq!(publish().unwrap().sent, Sent::Later);
    assert_eq!(publish().unwrap().sent, Sent::Later);
    let error = publish().unwrap_err();
    assert!(matches!(error, BroadcastError::NotKept(_)), "{error}");
    hub.start();
    for _ in 0..2 {
        assert_eq!(here.wait_for("said").await, json!({"text": long}).into());
    }
    here.expect_nothing().await;
    assert!(publish().is_ok());
}

#[tokio::test]
async fn what_the_store_never_took_is_counted_when_the_node_ends() {
    let hub = Hub::new();
    let one = node(&hub, "one", kept()).await;
    eventually("the node is ready", || one.is_ready()).await;
    hub.stop();
    eventually("the engine is missed", || !one.is_ready()).await;
    for n in 0..3 {
        assert_eq!(one.broadcast(TOPIC, "said", json!({"n": n})).unwrap().sent, Sent::Later);
    }
    let report = one.shutdown().await;
    assert_eq!(report.unkept, 3);
    assert!(!report.is_clean());
}

/// The engine of many topics is restarted.
#[tokio::test]
async fn each_node_reads_each_topic_once_when_the_engine_is_back_and_sends_nobody_away() {
    const TOPICS: u64 = 100;
    let hub = Hub::new();
    let nodes = three(&hub).await;
    let mut joins = Vec::new();
    for topic in 0..TOPICS {
        for node in &nodes {
            joins.push(node.join(format!("room:{topic}"), json!({"_since": ""})).await.unwrap());
        }
    }
    let before = hub.kept_reads();
    hub.stop();
    for node in &nodes {
        eventually("the engine is missed", || !node.is_ready()).await;
    }
    hub.start();
    for topic in 0..TOPICS {
        nodes[0].broadcast(format!("room:{topic}"), "said", json!({"n": topic})).unwrap();
    }
    for join in &joins {
        join.wait_for("said").await;
    }
    eventually("all have read", || hub.kept_reads() - before >= TOPICS * 3).await;
    assert_eq!(hub.kept_reads() - before, TOPICS * 3);
    assert_eq!(nodes.iter().map(|node| node.stats().joins).sum::<u64>(), TOPICS * 3);
}

/// The engine of many topics is restarted. `KEPT_TOPICS` and `KEPT_MEMBERS` make them more; `scripts/kept-figures` does.
#[allow(clippy::print_stdout, reason = "whoever makes it large reads how long it took")]
async fn each_node_reads_each_topic_once_after_a_restart<C: Keeps>() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
    };
    let (topics, members) = (number("KEPT_TOPICS", 60), number("KEPT_MEMBERS", 2));
    let mut carrier = C::start_keeping().await;
    let nodes = three(&carrier).await;
    let mut joins = Vec::new();
    for topic in 0..topics {
        for member in 0..members {
            let node = &nodes[(topic + member) as usize % 3];
            joins.push(node.join(format!("room:{topic}"), json!({"_since": ""})).await.unwrap());
        }
    }
    let reads = || nodes.iter().map(|node| node.stats().cluster.unwrap().store.unwrap().reads).sum::<u64>();
    let copies = topics * members.min(3);
    eventually("all have read", || reads() >= copies).await;
    let before = reads();
    carrier.kill();
    for node in &nodes {
        eventually("the engine is missed", || !node.is_ready()).await;
    }
    let down_at = tokio::time::Instant::now();
    carrier.restart().await;
    for topic in 0..topics {
        nodes[0].broadcast(format!("room:{topic}"), "said", json!({"n": topic})).unwrap();
    }
    for join in &joins {
        join.wait_for("said").await;
    }
    eventually("all have read", || reads() - before >= copies).await;
    println!("{topics} topics × {members}: {} reads, {:.1?}", reads() - before, down_at.elapsed());
    assert!(reads() - before <= copies, "{} reads of {copies} copies", reads() - before);
    assert_eq!(
        nodes.iter().map(|node| node.stats().joins).sum::<u64>(),
        topics * members,
        "nobody is sent away"
    );
}

#[tokio::test]
async fn entries_are_sealed_as_messages_are() {
    let hub = Hub::new();
    let options = |name: &str| ClusterOptions::new("tests").name(name).secret("0123456789abcdef");
    let one = node_with(&hub, options("one"), "one", kept()).await;
    let two = node_with(&hub, options("two"), "two", kept()).await;
    meet(&[&one, &two]).await;
    let (there, first) = join(&two, &json!("")).await;
    say(&one, 1..=2);
    hears(&there, 1..=2).await;
    // A node of the application that does not know the secret can write, and nobody believes it.
    let forger = node_with(&hub, ClusterOptions::new("tests").name("forger"), "forger", kept()).await;
    say(&forger, 3..=3);
    stands_at(&forger, 1).await;
    say(&one, 4..=4);
    let missed = there.wait_for("missed").await;
    assert_eq!(missed, json!({"topic": TOPIC, "node": "", "cause": "trimmed"}).into());
    hears(&there, 4..=4).await;
    let (_, refused) = join(&two, &first["_at"]).await;
    assert_eq!(refused["_reason"], "trimmed");
    assert!(two.cluster().unwrap().engine.unreadable > 0);
}
