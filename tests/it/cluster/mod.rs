//! Several nodes that are one server to their clients: on each engine what holds on all, and on the hub what only it can be made to do.

/// Makes a test of each function on each engine.
macro_rules! on_each_engine {
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

mod carried;
mod carriers;
mod faults;
mod kept;
mod leaving;
mod moves;
mod presence;
mod under_way;

use std::{sync::Arc, time::Duration};

use lapwing::{
    Accept, Broadcast, BroadcastError, BuildError, Channel, ClusterOptions, Context, Failure, Gap, Handled,
    Joining, Keep, Lapwing, LeaveReason, Mount, Payload, Sent, SlowPolicy, StopReason, Topic,
    cluster::{Hub, Spread},
    noreply,
    pubsub::LocalPubSub,
    reply, stop,
    transports::close::CloseReason,
};
use serde_json::json;
use tokio::sync::mpsc;

use self::carriers::{Carrier, NatsServer, RedisServer, meet, node, node_with};

/// Tells what it hears, and broadcasts what it is told to.
struct Room;

/// Where the test reads what callbacks were told that no client hears of.
type Told = mpsc::UnboundedSender<String>;

impl Channel for Room {
    type State = Told;

    const INTERCEPT: &'static [&'static str] = &["whisper"];

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn joined(&mut self, cx: &Context<Self>) -> Handled {
        if cx.topic() == "room:curious" {
            cx.subscribe("news").await?;
        }
        cx.push("joined", json!({}))?;
        Ok(noreply())
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        let sent = match event {
            "say" => cx.broadcast("said", payload)?,
            "say_to_others" => cx.broadcast_from("said", payload)?,
            "whisper" => cx.broadcast("whisper", payload)?,
            _ => return Err(Failure::reason("unknown event")),
        };
        assert_eq!(sent.sent, Sent::Now);
        Ok(reply("ok", json!({})))
    }

    async fn handle_out(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        cx.push(format!("{event}ed"), payload)?;
        Ok(noreply())
    }

    async fn handle_broadcast(&mut self, broadcast: Arc<Broadcast>, cx: &Context<Self>) -> Handled {
        cx.push("news", broadcast.payload.clone())?;
        Ok(noreply())
    }

    async fn handle_gap(&mut self, gap: &Gap, cx: &Context<Self>) -> Handled {
        cx.push("missed", json!({"topic": &*gap.topic, "node": &*gap.node, "cause": gap.cause.word()}))?;
        Ok(noreply())
    }

    async fn leave(&mut self, reason: LeaveReason, cx: &Context<Self>) -> Result<(), Failure> {
        // Nobody may listen.
        let _ = cx.state().send(format!("{reason:?}"));
        Ok(())
    }
}

/// Intercepts nothing, so that its joins are members whom the topic knows by their sessions alone.
struct Plain;

impl Channel for Plain {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn handle_gap(&mut self, gap: &Gap, _: &Context<Self>) -> Handled {
        Ok(stop(StopReason::Error(gap.cause.to_string())))
    }
}

fn rooms() -> (Mount, mpsc::UnboundedReceiver<String>) {
    let (told, hears) = mpsc::unbounded_channel();
    (Mount::new().channel::<Plain>("room:plain", ()).channel::<Room>("room:*", told), hears)
}

on_each_engine! {
    what_is_said_on_one_node_is_heard_on_all_once
    a_join_that_is_answered_misses_nothing
    what_is_said_while_the_engine_is_away_is_heard_when_it_is_back
    a_node_that_goes_down_says_so
    a_user_is_reached_wherever_they_are
}

async fn what_is_said_on_one_node_is_heard_on_all_once<C: Carrier>() {
    let carrier = C::start().await;
    let [one, two, three] = [
        node(&carrier, "one", rooms().0).await,
        node(&carrier, "two", rooms().0).await,
        node(&carrier, "three", rooms().0).await,
    ];
    meet(&[&one, &two, &three]).await;
    let mut joins = Vec::new();
    for node in [&one, &two, &three] {
        let join = node.join("room:1", json!({})).await.unwrap();
        join.expect("joined", json!({})).await;
        joins.push(join);
    }
    // The first join of each node has the same number: one that is passed by on its own node is not on another.
    joins[0].ask("say_to_others", json!({"n": 1})).await.ok();
    joins[0].ask("say", json!({"n": 2})).await.ok();
    let local = Broadcast::new("room:1", "said", json!({"n": 4})).local();
    assert_eq!(one.publish(local).unwrap().sent, Sent::Now);
    let image = Payload::from(vec![0, 159, 255]);
    one.broadcast("room:1", "drawn", image.clone()).unwrap();
    for (at, join) in joins.iter().enumerate() {
        if at > 0 {
            join.expect("said", json!({"n": 1})).await;
        }
        join.expect("said", json!({"n": 2})).await;
        if at == 0 {
            join.expect("said", json!({"n": 4})).await;
        }
        join.expect("drawn", image.clone()).await;
    }
    joins[0].ask("whisper", json!({"n": 3})).await.ok();
    for join in &joins {
        join.expect("whispered", json!({"n": 3})).await;
    }
    // Neither tasks nor joins that listen to other topics are forgotten.
    let curious = two.join("room:curious", json!({})).await.unwrap();
    curious.expect("joined", json!({})).await;
    let mut task = three.subscribe("news");
    task.confirmed().await.unwrap();
    one.broadcast("news", "headline", json!({"n": 5})).unwrap();
    curious.expect("news", json!({"n": 5})).await;
    let heard = task.recv().await.unwrap();
    assert_eq!((&heard.payload, heard.may_be_compressed()), (&json!({"n": 5}).into(), true));
    one.publish(Broadcast::new("news", "headline", json!({"n": 6})).uncompressed()).unwrap();
    curious.expect("news", json!({"n": 6})).await;
    assert!(!task.recv().await.unwrap().may_be_compressed(), "a secret is one on every node");
    for policy in [SlowPolicy::latest_of("weather"), SlowPolicy::drop_oldest(3).told_by("missed")] {
        one.publish(Broadcast::new("news", "headline", json!({"n": 7})).slow(policy.clone())).unwrap();
        curious.expect("news", json!({"n": 7})).await;
        assert_eq!(task.recv().await.unwrap().slow_policy(), Some(&policy));
    }
    for join in &joins {
        join.expect_nothing().await;
    }
}

async fn a_join_that_is_answered_misses_nothing<C: Carrier>() {
    const JOINS: u64 = 200;
    let carrier = C::start().await;
    // A channel for each topic, so that each join is the first.
    let options = |name| ClusterOptions::new("tests").name(name).spread(Spread::Topics);
    let one = node_with(&carrier, options("one"), "one", rooms().0).await;
    let two = node_with(&carrier, options("two"), "two", rooms().0).await;
    meet(&[&one, &two]).await;
    for n in 0..JOINS {
        let topic = format!("room:{n}");
        let join = two.join(&*topic, json!({})).await.unwrap();
        one.broadcast(&*topic, "said", json!({"n": n})).unwrap();
        join.expect("joined", json!({})).await;
        join.expect("said", json!({"n": n})).await;
    }
    assert_eq!(two.cluster().unwrap().engine.repaired, 0);
}

async fn what_is_said_while_the_engine_is_away_is_heard_when_it_is_back<C: Carrier>() {
    let mut carrier = C::start().await;
    let [one, two] = [node(&carrier, "one", rooms().0).await, node(&carrier, "two", rooms().0).await];
    meet(&[&one, &two]).await;
    let (here, there) =
        (one.join("room:1", json!({})).await.unwrap(), two.join("room:1", json!({})).await.unwrap());
    for join in [&here, &there] {
        join.expect("joined", json!({})).await;
    }
    // Whoever has heard a node on a topic knows what it is owed from there on.
    one.broadcast("room:1", "said", json!({"n": "before"})).unwrap();
    for join in [&here, &there] {
        join.expect("said", json!({"n": "before"})).await;
    }
    assert!(one.is_ready() && two.is_ready());
    carrier.kill();
    for node in [&one, &two] {
        lapwing_engine_contract::eventually("the engine is missed", || !node.is_ready()).await;
    }
    for n in 0..10 {
        let sent = one.broadcast("room:1", "said", json!({"n": n})).unwrap().sent;
        assert_eq!(sent, Sent::Later);
        here.expect("said", json!({"n": n})).await;
    }
    carrier.restart().await;
    for n in 0..10 {
        there.expect("said", json!({"n": n})).await;
    }
    assert_eq!(two.cluster().unwrap().engine.gaps, 0);
}

async fn a_node_that_goes_down_says_so<C: Carrier>() {
    let carrier = C::start().await;
    let [one, two] = [node(&carrier, "one", rooms().0).await, node(&carrier, "two", rooms().0).await];
    meet(&[&one, &two]).await;
    assert!(two.shutdown().await.is_clean());
    assert!(!two.is_ready());
    lapwing_engine_contract::eventually("it is gone", || one.cluster().unwrap().nodes.len() == 1).await;
    assert_eq!(one.cluster().unwrap().nodes[0].name, "one");
}

async fn a_user_is_reached_wherever_they_are<C: Carrier>() {
    let carrier = C::start().await;
    let known = || {
        rooms().0.connect(|request| async move {
            Ok(request.param("user").map_or_else(Accept::new, |user| Accept::new().id(user)))
        })
    };
    let [one, two, three] = [
        node(&carrier, "one", known()).await,
        node(&carrier, "two", known()).await,
        node(&carrier, "three", known()).await,
    ];
    meet(&[&one, &two, &three]).await;
    let (mut bobs, mut eves) = (Vec::new(), Vec::new());
    for node in [&one, &two, &three] {
        for (user, joins) in [("bob", &mut bobs), ("eve", &mut eves)] {
            let client = node.connect(&format!("/socket?user={user}")).await.unwrap();
            let join = client.join("room:1", json!({})).await.unwrap();
            join.expect("joined", json!({})).await;
            joins.push(join);
        }
    }
    assert_eq!(three.count_members("room:1").await.count, 6);
    let listed = three.list_members("room:1", 5).await;
    assert_eq!((listed.members.len(), listed.count, listed.missing.len()), (5, 6, 0));
    let mut listed = three.list_members("room:1", 100).await.members;
    let own = listed.iter().position(|member| member.node != "three");
    assert_eq!(own, Some(2), "this node's come first");
    listed.sort_by(|one, other| {
        (&one.node, &one.member.socket_id).cmp(&(&other.node, &other.member.socket_id))
    });
    let listed: Vec<_> =
        listed.iter().map(|member| (&*member.node, member.member.socket_id.as_deref().unwrap())).collect();
    let each = ["one", "three", "two"].into_iter().flat_map(|node| [(node, "bob"), (node, "eve")]);
    assert_eq!(listed, each.collect::<Vec<_>>());
    let kicked = two.kick_everywhere("room:1", "bob", "spam").await.unwrap();
    assert_eq!((kicked.count, kicked.missing.len()), (3, 0));
    for bob in &bobs {
        bob.expect_close().await;
    }
    assert_eq!(one.count_members("room:1").await.count, 3);
    let ended = one.disconnect_everywhere("bob").await.unwrap();
    assert_eq!((ended.count, ended.missing.len()), (3, 0));
    for bob in &bobs {
        assert_eq!(bob.client().closed().await, CloseReason::Disconnected);
    }
    // Who does not wait for it has it done, too.
    one.disconnect("eve").unwrap();
    for eve in &eves {
        assert_eq!(eve.client().closed().await, CloseReason::Disconnected);
    }
    assert_eq!(three.count_members("room:1").await, one.count_members("room:1").await);
}

#[tokio::test]
async fn what_contradicts_a_cluster_is_refused() {
    let cluster = async || ClusterOptions::new("tests").start(Hub::new().engine("one")).await.unwrap();
    let both = Lapwing::builder().cluster(cluster().await).pubsub(Arc::new(LocalPubSub)).build();
    assert_eq!(both.err(), Some(BuildError::TwoWays));
    let nats = NatsServer::start().await;
    let nats = ClusterOptions::new("tests").start(nats.engine("one")).await.unwrap();
    let kept = Mount::new().keep("room:*", Keep::last(10));
    let kept = Lapwing::builder().cluster(nats).mount("/socket", kept).build();
    assert_eq!(kept.err(), Some(BuildError::KeptInCluster("room:*".to_owned())), "NATS keeps nothing");
    assert!(ClusterOptions::new("no name").start(Hub::new().engine("one")).await.is_err());
    let hub = Hub::new();
    hub.stop();
    let error = ClusterOptions::new("tests").start(hub.engine("one")).await.unwrap_err();
    assert_eq!(error.to_string(), "the engine cannot be reached");
}

#[tokio::test]
async fn what_other_nodes_would_not_take_is_an_error_and_stays_here() {
    let hub = Hub::new();
    let [one, two] = [node(&hub, "one", rooms().0).await, node(&hub, "two", rooms().0).await];
    meet(&[&one, &two]).await;
    let (here, there) =
        (one.join("room:1", json!({})).await.unwrap(), two.join("room:1", json!({})).await.unwrap());
    for join in [&here, &there] {
        join.expect("joined", json!({})).await;
    }
    let long = Payload::from(vec![0; 1024 * 1024 + 1]);
    let error = one.broadcast("room:1", "drawn", long.clone()).unwrap_err();
    assert!(matches!(error, BroadcastError::TooLarge(_)), "{error}");
    assert!(one.broadcast("room:1", "d".repeat(1_025), json!({})).is_err());
    let with_key = |bytes| Broadcast::new("room:1", "at", json!({})).latest("k".repeat(bytes));
    assert!(one.publish(with_key(1_025)).is_err());
    one.publish(with_key(1_024)).unwrap();
    there.expect("at", json!({})).await;
    here.expect("drawn", long).await;
    let longest = Payload::from(vec![0; 1024 * 1024]);
    one.broadcast("room:1", "drawn", longest.clone()).unwrap();
    one.broadcast("room:1", "d".repeat(1_024), json!({})).unwrap();
    there.expect("drawn", longest).await;
    there.expect(&"d".repeat(1_024), json!({})).await;
    assert_eq!(two.cluster().unwrap().engine.gaps, 0);
}

/// How long a test watches that nothing happens.
const SILENCE: Duration = Duration::from_millis(200);
