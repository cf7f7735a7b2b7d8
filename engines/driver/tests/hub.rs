//! The contract, on the hub; and what only the hub can do to a node.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use std::time::Duration;

use bytes::Bytes;
use lapwing_cluster::{
    Channel, Config, Instance, Names, Sent, Spread, Work,
    moves::MoveConfig,
    relay::{RelayConfig, RelayEnd},
    wire::{Beat, Message, Tops, VERSION_MOVES, VERSION_OLDEST},
};
use lapwing_cluster_driver::{
    AtStart, ConnectError, Connection as _, Engine as _, HalfOpen, Hub, HubEngine, NotConfirmed, Options,
    StartError,
};
use lapwing_engine_contract::{
    KeepingServer, PATIENCE, Server, TestNode, contract, eventually, store_contract,
};

struct HubServer(Hub);

impl Server for HubServer {
    type Engine = HubEngine;

    async fn start() -> Self {
        Self(Hub::new())
    }

    fn engine(&self, label: &str) -> HubEngine {
        self.0.engine(label)
    }

    async fn breakable(&mut self, label: &str) -> HubEngine {
        self.0.engine(label)
    }

    fn half_open(&mut self, label: &str, direction: HalfOpen) {
        self.0.half_open(label, direction);
    }

    async fn kill(&mut self) {
        self.0.stop();
    }

    async fn restart(&mut self) {
        self.0.start();
    }

    fn pause(&mut self) {
        self.0.stall();
    }

    fn go_on(&mut self) {
        self.0.go_on();
    }

    async fn cut(&mut self) {
        for label in ["one", "two", "three"] {
            self.0.cut(label);
        }
    }
}

contract!(HubServer);

impl KeepingServer for HubServer {
    async fn start_keeping() -> Self {
        Self::start().await
    }

    async fn restart_keeping(&mut self, with_data: bool) {
        self.0.stop();
        if !with_data {
            self.0.forget_kept();
        }
        self.0.start();
    }

    async fn save(&mut self, _: &str) {}

    async fn lose(&mut self, topic: &str, entries: usize) {
        self.0.lose_tail(topic, entries);
    }

    async fn evict(&mut self, topic: &str) {
        self.0.evict(topic);
    }
}

mod store {
    use super::*;

    store_contract!(HubServer);
}

/// Two nodes that know each other, with a member on a topic each, and who have heard each other there.
async fn two(hub: &Hub) -> [TestNode; 2] {
    let one = TestNode::start("one", hub.engine("one")).await;
    let two = TestNode::start("two", hub.engine("two")).await;
    TestNode::meet(&[&one, &two]).await;
    for node in [&one, &two] {
        node.join("room:1").await;
    }
    for node in [&one, &two] {
        node.publish("room:1", "hello");
    }
    eventually("both hear", || {
        one.heard_of(&two, "room:1") == ["hello"] && two.heard_of(&one, "room:1") == ["hello"]
    })
    .await;
    [one, two]
}

/// Waits until `to` has heard these numbers of `from` behind the greeting, once and in order, and was told no gap.
async fn numbers_arrive(to: &TestNode, from: &TestNode, count: usize) {
    eventually("everything arrives", || to.heard_of(from, "room:1").len() > count).await;
    let numbers = (0..count).map(|number| number.to_string());
    let expected: Vec<_> = std::iter::once("hello".to_owned()).chain(numbers).collect();
    assert_eq!(to.heard_of(from, "room:1"), expected);
    assert_eq!(to.heard().gaps, []);
}

#[tokio::test]
async fn a_publication_of_which_nobody_knows_whether_it_was_executed_arrives_once() {
    let hub = Hub::new();
    let [one, two] = two(&hub).await;
    for number in 0..50 {
        hub.cut_after_publish("one");
        one.publish("room:1", &number.to_string());
        eventually("it is connected again", || {
            one.heard().engine_downs == number + 1 && one.cluster.is_ready()
        })
        .await;
    }
    numbers_arrive(&two, &one, 50).await;
    assert_eq!(two.cluster.stats().repaired, 0, "it was there the first time");
}

#[tokio::test]
async fn messages_that_are_dropped_in_silence_are_found_and_got_again() {
    let hub = Hub::new();
    let [one, two] = two(&hub).await;
    hub.drop_one_in("two", 7);
    // Fewer than may be held back behind a hole, whose question or answer may be dropped as well.
    for number in 0..200 {
        one.publish("room:1", &number.to_string());
        tokio::task::yield_now().await;
    }
    // The last ones may be among them: the next beat tells.
    tokio::time::sleep(Duration::from_millis(50)).await;
    hub.drop_one_in("two", 0);
    numbers_arrive(&two, &one, 200).await;
    assert!(two.cluster.stats().repaired > 0, "{:?}", two.cluster.stats());
}

#[tokio::test]
async fn messages_that_are_late_or_of_different_publishers_in_another_order_are_all_heard() {
    let hub = Hub::new();
    let [one, two] = two(&hub).await;
    let three = TestNode::start("three", hub.engine("three")).await;
    TestNode::meet(&[&one, &two, &three]).await;
    three.publish("room:1", "hello");
    for label in ["one", "two"] {
        hub.reorder(label);
        hub.delay(label, Duration::from_millis(300));
    }
    for number in 0..300 {
        for node in [&one, &two, &three] {
            node.publish("room:1", &number.to_string());
        }
        tokio::task::yield_now().await;
    }
    for (to, from) in [(&one, &two), (&one, &three), (&two, &one), (&two, &three)] {
        numbers_arrive(to, from, 300).await;
    }
    let slow = || one.cluster.stats().round_trip.is_some_and(|time| time >= Duration::from_millis(300));
    eventually("the round trip says so", slow).await;
}

#[tokio::test]
async fn an_engine_that_refuses_is_an_error_at_start_and_tried_again_later() {
    let hub = Hub::new();
    hub.refuse("one", true);
    let start = Options::new("contract").at_start(AtStart::Wait).start(hub.engine("one")).await;
    assert!(matches!(start, Err(StartError::Engine(ConnectError::Refused(_)))), "{start:?}");

    hub.refuse("one", false);
    let [_one, two] = two(&hub).await;
    hub.refuse("two", true);
    hub.cut("two");
    eventually("it is tried", || two.cluster.stats().connect_failures > 1).await;
    assert!(two.cluster.stats().last_error.unwrap().contains("told to refuse"));
    hub.refuse("two", false);
    eventually("it is let in", || two.cluster.is_ready()).await;

    hub.refuse_topics("two", true);
    hub.cut("two");
    eventually("it is back", || two.heard().engine_ups == 3 && two.cluster.is_ready()).await;
    let refused = tokio::time::timeout(PATIENCE, two.cluster.subscribe("room:1")).await.unwrap();
    assert_eq!(refused, Err(NotConfirmed::Refused));
}

#[tokio::test]
async fn an_application_whose_name_is_none_is_refused() {
    let start = Options::new("chat.*").start(Hub::new().engine("one")).await;
    assert!(matches!(start, Err(StartError::App(_))), "{start:?}");
}

/// As of a variable of the environment that is set to nothing.
#[tokio::test]
async fn an_empty_secret_is_refused() {
    let hub = Hub::new();
    for at_start in [AtStart::Refuse, AtStart::Wait] {
        let start = Options::new("contract").secret("").at_start(at_start).start(hub.engine("one")).await;
        assert!(matches!(start, Err(StartError::EmptySecret)), "{start:?}");
        assert!(start.unwrap_err().to_string().starts_with("the secret is empty"));
    }
}

#[tokio::test]
async fn an_outage_that_is_longer_than_the_ring_is_one_gap_and_the_newest_arrives() {
    let hub = Hub::new();
    let config = Config::default().ring_bytes_max(2_000);
    let options = Options::new("contract").config(config);
    let one = TestNode::with(options, hub.engine("one")).await;
    let two = TestNode::start("two", hub.engine("two")).await;
    TestNode::meet(&[&one, &two]).await;
    two.join("room:1").await;
    one.publish("room:1", "hello");
    eventually("it is heard", || two.heard_of(&one, "room:1") == ["hello"]).await;
    hub.stop();
    eventually("it is noticed", || one.heard().engine_downs == 1).await;
    let sent: Vec<_> = (0..40).map(|number| one.publish("room:1", &number.to_string())).collect();
    assert_eq!(sent, [Sent::Later; 40]);
    let stats = one.cluster.stats();
    assert_eq!((stats.kept_for_later, stats.here_alone), (40, 0));
    let forgotten = stats.forgotten;
    assert!((5..35).contains(&forgotten), "{forgotten}");
    assert!(stats.ring_bytes <= 2_000);
    hub.start();
    eventually("the gap is told", || two.heard().gaps.len() == 1).await;
    let mut expected = vec!["hello".to_owned()];
    expected.extend((forgotten..40).map(|number| number.to_string()));
    assert_eq!(two.heard_of(&one, "room:1"), expected, "what was kept arrives");
    assert_eq!(two.cluster.stats().gaps.values().sum::<u64>(), 1);
}

#[tokio::test]
async fn nodes_with_a_secret_hear_nobody_without_it() {
    let hub = Hub::new();
    let with = |name: &str, secret: &str| Options::new("contract").name(name).secret(secret);
    let one = TestNode::with(with("one", "open sesame"), hub.engine("one")).await;
    let two = TestNode::with(with("two", "open sesame"), hub.engine("two")).await;
    let guesses = TestNode::with(with("guesses", "open barley"), hub.engine("guesses")).await;
    let plain = TestNode::start("plain", hub.engine("plain")).await;
    TestNode::meet(&[&one, &two]).await;
    for node in [&one, &two, &guesses, &plain] {
        node.join("room:1").await;
    }
    for (node, payload) in [(&guesses, "a guess"), (&plain, "a forgery"), (&one, "the truth")] {
        node.publish("room:1", payload);
    }
    eventually("it arrives", || two.heard_of(&one, "room:1") == ["the truth"]).await;
    eventually("the others are heard of", || two.cluster.stats().forged > 4).await;
    for node in [&one, &two, &guesses, &plain] {
        let heard = node.heard();
        let is_in = std::ptr::eq(node, &one) || std::ptr::eq(node, &two);
        assert_eq!((heard.ups.len(), heard.gaps.len()), (usize::from(is_in), 0));
        assert_eq!(heard.broadcasts.len(), usize::from(std::ptr::eq(node, &two)));
    }
    assert_eq!(one.cluster.stats().unreadable, 0);
    assert!(!format!("{:?}", with("one", "open sesame")).contains("sesame"));
}

#[tokio::test]
async fn no_session_is_offered_to_a_node_of_a_release_that_moves_none() {
    let hub = Hub::new();
    let options = Options::new("contract").name("one").moves(MoveConfig::default());
    let one = TestNode::with(options, hub.engine("one")).await;
    let names = Names::new("contract", HubEngine::SEPARATOR, Spread::default()).unwrap();
    let mut other = hub.engine("other").connect(&names).await.unwrap();
    for (instance, newest, is_offered) in [(8, VERSION_MOVES - 1, false), (9, VERSION_MOVES, true)] {
        let instance = Instance(instance);
        let tops = Tops { top: 0, since: 0, lost: 0, part: (0, 1), changed: Vec::new() };
        let versions = (VERSION_OLDEST, newest);
        let beat =
            Message::Beat(Beat { number: 1, name: "other".into(), versions, is_draining: false, tops });
        let bytes = beat.encode(instance);
        other.submit(Work::Publish { number: None, channel: Channel::Control, bytes });
        let is_known = || one.cluster.peers().iter().any(|(peer, _)| *peer == instance);
        eventually("it is known", is_known).await;
        let offered = one.cluster.moves().offer(instance, Bytes::new());
        assert_eq!(offered.is_ok(), is_offered, "{offered:?}");
    }
}

#[tokio::test]
async fn what_came_of_a_relay_and_is_not_received_is_dropped_where_others_need_the_place() {
    let hub = Hub::new();
    let relays = || Options::new("contract").relays(RelayConfig::default().held_bytes_max(100_000));
    let one = TestNode::with(relays().name("one"), hub.engine("one")).await;
    let two = TestNode::with(relays().name("two"), hub.engine("two")).await;
    TestNode::meet(&[&one, &two]).await;
    let carry = || one.cluster.carry(two.cluster.instance(), "head".into()).unwrap();
    let whole = async |bytes: usize| {
        let (relay, before) = (carry(), two.heard().relays);
        relay.send(vec![b'x'; bytes].into()).await.unwrap();
        relay.finish();
        eventually("it has answered", || two.heard().relays > before && two.cluster.relays().1 == 0).await;
        relay
    };
    let first = whole(40_000).await;
    assert_eq!(one.cluster.relays(), (1, 0), "nobody has received the answer");
    let second = whole(40_000).await;
    assert_eq!(first.recv().await.unwrap().unwrap(), "HEAD");
    let third = whole(40_000).await;
    assert_eq!(one.cluster.relays(), (2, 0), "the one that waited for longest had to go");
    assert_eq!(first.recv().await, Err(RelayEnd::Lost));
    for relay in [second, third] {
        let mut heard = 0;
        while let Some(piece) = relay.recv().await.unwrap() {
            relay.used(piece.len());
            heard += piece.len();
        }
        assert_eq!(heard, 40_004);
    }
    eventually("all is used", || one.cluster.relays() == (0, 0)).await;
    drop(first);
    assert_eq!(two.cluster.relays(), (0, 0));
}
