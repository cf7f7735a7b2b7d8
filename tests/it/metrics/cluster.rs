//! The numbers of a node of a cluster.

use lapwing::{
    Channel, ClusterOptions, Failure, Joining, Keep, Lapwing, Mount, Payload, Topic, cluster::Hub,
    testing::TestServer,
};
use serde_json::json;

use super::{count, gauge, until};
use crate::support::{
    lab,
    sessions::{Session, Transport},
};

struct Room;

impl Channel for Room {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }
}

async fn node(hub: &Hub, name: &str) -> TestServer {
    let options = ClusterOptions::new("tests").name(name).ring_bytes_max(2_500);
    let cluster = options.start(hub.engine(name)).await.unwrap();
    let mount = Mount::new().channel::<Room>("room:*", ());
    TestServer::from(Lapwing::builder().cluster(cluster).mount("/socket", mount).build().unwrap())
}

#[tokio::test]
async fn what_goes_between_nodes_is_counted() {
    let hub = Hub::new();
    let [one, two] = [node(&hub, "one").await, node(&hub, "two").await];
    let nodes = |node: &TestServer| gauge(&node.metrics(), "lapwing_cluster_nodes", &[]);
    until("the nodes meet", || nodes(&one) == 2.0 && nodes(&two) == 2.0 && one.is_ready() && two.is_ready())
        .await;
    let join = two.join("room:1", json!({})).await.unwrap();
    let number = |node: &TestServer, name: &str, label: &str| count(&node.metrics(), name, &[label]);
    let published = |label| number(&one, "lapwing_cluster_published_total", label);
    let delivered = |label| number(&two, "lapwing_cluster_delivered_total", label);
    one.broadcast("room:1", "said", json!({"n": 1})).unwrap();
    join.expect("said", json!({"n": 1})).await;
    until("it is counted", || published("sent") == 1 && delivered("direct") == 1).await;
    let received = two.metrics();
    let Some(lapwing::metrics::Value::Histogram(read)) =
        received.value("lapwing_broadcast_receivers", &["node"])
    else {
        panic!("broadcasts of other nodes are counted")
    };
    assert_eq!((read.count(), read.sum), (1, 1));
    let up = |node: &TestServer| gauge(&node.metrics(), "lapwing_engine_up", &[]);
    assert_eq!((up(&one), gauge(&one.metrics(), "lapwing_ready", &[])), (1.0, 1.0));
    hub.stop();
    until("the engine is missed", || up(&one) == 0.0 && up(&two) == 0.0).await;
    assert_eq!(gauge(&one.metrics(), "lapwing_ready", &[]), 0.0);
    let long = "x".repeat(900);
    for n in 2..=4 {
        one.broadcast("room:1", "said", json!({"n": n, "text": long})).unwrap();
    }
    until("they are kept, and the first makes room", || published("later") == 3 && published("lost") == 1)
        .await;
    assert!((1_800.0..2_500.0).contains(&gauge(&one.metrics(), "lapwing_cluster_ring_bytes", &[])));
    // The next attempt may come between two looks.
    until("it is tried", || {
        let known = one.cluster().unwrap().engine.connect_failures;
        known > 0 && number(&one, "lapwing_engine_connects_total", "failed") == known
    })
    .await;
    hub.start();
    until("the gap is told", || {
        two.metrics().value("lapwing_cluster_gaps_total", &["overwritten"])
            == Some(&lapwing::metrics::Value::Count(1))
    })
    .await;
    until("the engine is there", || up(&one) == 1.0 && up(&two) == 1.0).await;
    assert_eq!(number(&one, "lapwing_engine_connects_total", "made"), 2);
    // The next beat may come between two looks.
    until("a beat has come back", || {
        let known = one.stats().cluster.and_then(|cluster| cluster.round_trip_us);
        let told = match one.metrics().value("lapwing_engine_round_trip_seconds", &[]) {
            Some(lapwing::metrics::Value::Gauge(seconds)) => Some((seconds * 1e6) as u64),
            _ => None,
        };
        told.is_some_and(|us| us > 0) && known == told
    })
    .await;
    let too_large = one.broadcast("room:1", "said", json!({"text": "x".repeat(2_000_000)}));
    assert!(too_large.is_err());
    assert_eq!(number(&one, "lapwing_broadcasts_failed_total", "too_large"), 1);
}

/// Those that a node does not get are told by its number, and got again.
#[tokio::test]
async fn what_was_missing_is_counted_while_it_is_and_when_it_is_repaired() {
    let hub = Hub::new();
    let [one, two, three] = [node(&hub, "one").await, node(&hub, "two").await, node(&hub, "three").await];
    let meets =
        |node: &TestServer| gauge(&node.metrics(), "lapwing_cluster_nodes", &[]) == 3.0 && node.is_ready();
    until("the nodes meet", || meets(&one) && meets(&two) && meets(&three)).await;
    let join = two.join("room:1", json!({})).await.unwrap();
    let witness = three.join("room:1", json!({})).await.unwrap();
    let say = |n: u32| one.broadcast("room:1", "said", json!({"n": n})).unwrap();
    say(1);
    join.expect("said", json!({"n": 1})).await;
    hub.drop_one_in("two", 1);
    say(2);
    for n in 1..=2 {
        witness.expect("said", json!({"n": n})).await;
    }
    // The node is asked late.
    hub.delay("one", std::time::Duration::from_secs(1));
    hub.drop_one_in("two", 0);
    say(3);
    let held = || gauge(&two.metrics(), "lapwing_cluster_held_bytes", &[]);
    until("it is held back", || held() > 0.0).await;
    assert_eq!(held(), two.stats().cluster.unwrap().held_bytes as f64);
    for n in 2..=3 {
        join.expect("said", json!({"n": n})).await;
    }
    // The answer may be before what is held back, and then has that, too.
    let delivered = |how| count(&two.metrics(), "lapwing_cluster_delivered_total", &[how]);
    let known = two.stats().cluster.unwrap();
    assert!(known.repaired > 0);
    assert_eq!((delivered("repaired"), delivered("repaired") + delivered("direct")), (known.repaired, 3));
    assert_eq!(held(), 0.0);
}

#[tokio::test]
async fn requests_that_a_node_carries_for_another_are_counted_by_both() {
    let hub = Hub::new();
    let [owner, carrier] = [node(&hub, "one").await, node(&hub, "two").await];
    let nodes = |node: &TestServer| gauge(&node.metrics(), "lapwing_cluster_nodes", &[]);
    until("the nodes meet", || {
        nodes(&owner) == 2.0 && nodes(&carrier) == 2.0 && owner.is_ready() && carrier.is_ready()
    })
    .await;
    let relays = |node: &TestServer| {
        ["carrier", "owner"].map(|role| gauge(&node.metrics(), "lapwing_cluster_relays", &[role]))
    };
    let relayed =
        |node: &TestServer, result: &str| count(&node.metrics(), "lapwing_cluster_relayed_total", &[result]);
    let mut session = Session::open(lab::serve(&owner).await, "/socket", Transport::Sse).await;
    assert_eq!((relays(&owner), relays(&carrier)), ([0.0, 0.0], [0.0, 0.0]));
    session.address = lab::serve(&carrier).await;
    session.resume(Transport::Sse).await;
    assert_eq!((relays(&owner), relays(&carrier)), ([0.0, 1.0], [1.0, 0.0]));
    assert_eq!((relayed(&carrier, "begun"), relayed(&owner, "taken")), (1, 1));
    session.post("!ack 0").await;
    assert_eq!((relayed(&carrier, "begun"), relayed(&owner, "taken")), (2, 2));
    // The next beat may come between two looks.
    until("what they say to each other is counted", || {
        let known = carrier.stats().cluster.unwrap().relays.messages;
        known > 0 && count(&carrier.metrics(), "lapwing_cluster_relay_messages_total", &[]) == known
    })
    .await;
    session.cut();
    until("it is over", || relays(&owner) == [0.0, 0.0] && relays(&carrier) == [0.0, 0.0]).await;
    assert_eq!(relayed(&owner, "broken"), 1);
    hub.stop();
    until("the engine is missed", || !carrier.is_ready()).await;
    assert_eq!(session.post("!ack 0").await.status, 503);
    assert_eq!((relayed(&carrier, "refused"), relayed(&carrier, "begun")), (1, 2));
}

#[tokio::test]
async fn joins_that_are_not_confirmed_and_messages_that_nobody_believes_are_counted() {
    let hub = Hub::new();
    let with = async |name: &str, options: ClusterOptions| {
        let cluster = options.name(name).start(hub.engine(name)).await.unwrap();
        let mount = Mount::new().channel::<Room>("room:*", ());
        TestServer::from(Lapwing::builder().cluster(cluster).mount("/socket", mount).build().unwrap())
    };
    let secret = ClusterOptions::new("tests").secret("0123456789abcdef");
    let one = with("one", secret.join_timeout(crate::support::SILENCE)).await;
    let forger = with("forger", ClusterOptions::new("tests")).await;
    until("both are ready", || one.is_ready() && forger.is_ready()).await;
    forger.broadcast("room:1", "said", json!({})).unwrap();
    // Its beats are not believed either, and the other's are sealed for it: more may come between two looks.
    for (node, why, not) in [(&one, "forged", "unreadable"), (&forger, "unreadable", "forged")] {
        until(why, || {
            let known = node.cluster().unwrap().engine.unreadable;
            let told = |why| count(&node.metrics(), "lapwing_cluster_unreadable_total", &[why]);
            known > 0 && (told(why), told(not)) == (known, 0)
        })
        .await;
    }
    hub.stall();
    one.join("room:1", json!({})).await.err().unwrap();
    let result =
        |result| count(&one.metrics(), "lapwing_joins_decided_total", &["/socket", "room:*", result]);
    assert_eq!((result("unavailable"), result("ok")), (1, 0));
    hub.go_on();
}

#[tokio::test]
async fn what_cannot_be_kept_is_counted_by_why() {
    let hub = Hub::new();
    let options = ClusterOptions::new("tests").name("one").ring_bytes_max(1_000);
    let cluster = options.start(hub.engine("one")).await.unwrap();
    let mount = Mount::new().channel::<Room>("room:*", ()).keep("room:*", Keep::last(10));
    let one = Lapwing::builder().cluster(cluster).mount("/socket", mount).build().unwrap();
    until("it is ready", || one.is_ready()).await;
    let failed = |why| count(&one.metrics(), "lapwing_broadcasts_failed_total", &[why]);
    one.broadcast("room:1", "said", json!({"text": "x".repeat(2_000_000)})).unwrap_err();
    assert_eq!((failed("too_large"), failed("not_kept")), (1, 0));
    hub.stop();
    until("the engine is missed", || !one.is_ready()).await;
    let publish = || one.broadcast("room:1", "said", json!({"text": "x".repeat(400)}));
    publish().unwrap();
    while publish().is_ok() {}
    assert_eq!((failed("too_large"), failed("not_kept")), (1, 1));
}

#[tokio::test]
async fn what_the_store_of_kept_topics_is_given_and_asked_for_is_counted() {
    let hub = Hub::new();
    let kept = async |name: &str| {
        let cluster = ClusterOptions::new("tests").name(name).start(hub.engine(name)).await.unwrap();
        let mount = Mount::new().channel::<Room>("room:*", ()).keep("room:*", Keep::last(3));
        TestServer::from(Lapwing::builder().cluster(cluster).mount("/socket", mount).build().unwrap())
    };
    let [one, two] = [kept("one").await, kept("two").await];
    until("both are ready", || one.is_ready() && two.is_ready()).await;
    assert_eq!(node(&Hub::new(), "else").await.stats().cluster.unwrap().store, None);
    let store = |node: &TestServer| node.stats().cluster.unwrap().store.unwrap();
    let join = two.join("room:1", json!({"_since": ""})).await.unwrap();
    let first = store(&two).reads;
    assert!(first > 0 && store(&one).reads == 0);
    let say = |n: u32| one.broadcast("room:1", "said", json!({"n": n})).unwrap();
    say(1);
    join.expect("said", json!({"n": 1})).await;
    until("it is counted", || store(&one).appended == 1).await;
    assert_eq!(store(&two).healed, 0, "it came by itself");

    let append = async |numbers: std::ops::RangeInclusive<u32>| {
        let before = store(&one).appended;
        numbers.clone().for_each(|n| _ = say(n));
        until("the store has them", || store(&one).appended == before + numbers.clone().count() as u64).await;
    };
    hub.drop_one_in("two", 1);
    append(2..=2).await;
    hub.drop_one_in("two", 0);
    append(3..=3).await;
    join.expect("said", json!({"n": 2})).await;
    join.expect("said", json!({"n": 3})).await;
    until("it is counted", || store(&two).healed > 0 && store(&two).reads > first).await;
    hub.drop_one_in("two", 1);
    append(4..=8).await;
    hub.drop_one_in("two", 0);
    append(9..=9).await;
    until("it is told", || store(&two).gaps.trimmed == 1).await;

    hub.stop();
    until("the engine is missed", || !one.is_ready() && !two.is_ready()).await;
    say(10);
    until("it is tried", || store(&one).append_failures > 0).await;
    assert_eq!(store(&one).waiting, 1);
    assert!((100..400).contains(&store(&one).waiting_bytes));
    let told = |name: &str, label: &[&str]| count(&two.metrics(), name, label);
    two.fetch_position("room:2").await.unwrap_err();
    assert!(store(&two).read_failures > 0);
    assert_eq!(gauge(&one.metrics(), "lapwing_store_waiting", &[]), 1.0);
    assert_eq!(gauge(&one.metrics(), "lapwing_store_waiting_bytes", &[]), store(&one).waiting_bytes as f64);
    hub.forget_kept();
    hub.start();
    until("it is told", || store(&two).gaps.store_lost == 1).await;
    until("nothing waits", || store(&one).waiting == 0).await;
    assert_eq!((store(&one).waiting_bytes, store(&one).appended), (0, 10));

    // The numbers of a scrape are the same.
    until("nothing is read any more", || told("lapwing_store_reads_total", &[]) == store(&two).reads).await;
    let known = store(&two);
    assert_eq!(told("lapwing_store_failures_total", &["read"]), known.read_failures);
    assert_eq!(told("lapwing_store_healed_total", &[]), known.healed);
    for cause in ["trimmed", "store_lost"] {
        assert_eq!(told("lapwing_store_gaps_total", &[cause]), 1);
    }
    assert_eq!(count(&one.metrics(), "lapwing_store_appended_total", &[]), 10);
    assert_eq!(
        count(&one.metrics(), "lapwing_store_failures_total", &["append"]),
        store(&one).append_failures
    );
}
