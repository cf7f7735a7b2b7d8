//! Who is present, on all nodes of a cluster.

use std::{collections::BTreeMap, time::Duration};

use lapwing::{
    Channel, Context, Failure, Handled, Joining, Mount, Payload, Topic, Tracked, noreply,
    testing::{TestJoin, TestServer},
};
use lapwing_engine_contract::PATIENCE;
use serde_json::{Value, json};
use tokio::time::Instant;

use lapwing::cluster::Hub;

use super::carriers::{Carrier, NatsServer, RedisServer, meet, node};

/// Says who is here, and shows it.
pub(super) struct Present(String);

impl Channel for Present {
    type State = ();

    async fn join(_: &Topic, params: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self(params.parse()?))
    }

    async fn joined(&mut self, cx: &Context<Self>) -> Handled {
        cx.track_and_push_presences(&self.0, json!({"name": self.0})).await?;
        Ok(noreply())
    }

    async fn handle_in(&mut self, _: &str, _: Payload, cx: &Context<Self>) -> Handled {
        cx.update(&self.0, json!({"name": "another"})).await?;
        Ok(noreply())
    }
}

async fn start(carrier: &impl Carrier, name: &str) -> TestServer {
    node(carrier, name, Mount::new().channel::<Present>("room:*", ())).await
}

async fn joined(node: &TestServer, key: &str) -> TestJoin {
    node.join("room:1", json!(key)).await.unwrap()
}

/// Waits until a node's list has these keys, each with this name.
pub(super) async fn shows(node: &TestServer, wanted: &[(&str, &str)]) {
    let asked = Instant::now();
    loop {
        let shown: BTreeMap<String, Value> = node.presences("room:1").await.unwrap().parse().unwrap();
        let names =
            shown.iter().map(|(key, metas)| (key.as_str(), metas["metas"][0]["name"].as_str().unwrap()));
        let names: Vec<_> = names.collect();
        if names == wanted {
            assert_eq!(node.presence_count("room:1").await.unwrap().keys, wanted.len());
            return;
        }
        assert!(asked.elapsed() < PATIENCE, "shows {names:?}, and not {wanted:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

on_each_engine! {
    who_is_present_anywhere_is_shown_everywhere
    the_presences_of_a_node_go_with_it
    an_outage_of_the_engine_makes_nobody_leave
    a_node_that_has_just_joined_does_not_answer_before_it_knows_the_others
}

async fn who_is_present_anywhere_is_shown_everywhere<C: Carrier>() {
    let carrier = C::start().await;
    let [one, two] = [start(&carrier, "one").await, start(&carrier, "two").await];
    meet(&[&one, &two]).await;
    let (ada, bob) = (joined(&one, "ada").await, joined(&two, "bob").await);
    for node in [&one, &two] {
        shows(node, &[("ada", "ada"), ("bob", "bob")]).await;
    }
    // A page of the other node hears of it as of anybody.
    bob.send("rename", json!({}));
    let diff: Value = loop {
        let diff: Value = ada.wait_for("presence_diff").await.parse().unwrap();
        if diff["joins"]["bob"]["metas"][0]["name"] == "another" {
            break diff;
        }
    };
    assert_eq!(diff["leaves"]["bob"]["metas"][0]["name"], "bob");
    // One that comes later is told of all.
    let three = start(&carrier, "three").await;
    shows(&three, &[("ada", "ada"), ("bob", "another")]).await;
    ada.leave().await;
    for node in [&one, &two, &three] {
        shows(node, &[("bob", "another")]).await;
    }
}

async fn the_presences_of_a_node_go_with_it<C: Carrier>() {
    let carrier = C::start().await;
    let one = start(&carrier, "one").await;
    let ada = joined(&one, "ada").await;
    let two = start(&carrier, "two").await;
    let bob = tracked(&two, "bob").await;
    let three = start(&carrier, "three").await;
    let eve = joined(&three, "eve").await;
    meet(&[&one, &two, &three]).await;
    shows(&one, &[("ada", "ada"), ("bob", "bob"), ("eve", "eve")]).await;
    assert!(two.shutdown().await.is_clean());
    shows(&one, &[("ada", "ada"), ("eve", "eve")]).await;
    // One that dies says nothing.
    drop((eve, three));
    shows(&one, &[("ada", "ada")]).await;
    drop((ada, bob));
}

async fn an_outage_of_the_engine_makes_nobody_leave<C: Carrier>() {
    let mut carrier = C::start().await;
    let [one, two] = [start(&carrier, "one").await, start(&carrier, "two").await];
    let (ada, bob) = (joined(&one, "ada").await, joined(&two, "bob").await);
    for node in [&one, &two] {
        shows(node, &[("ada", "ada"), ("bob", "bob")]).await;
    }
    carrier.kill();
    for node in [&one, &two] {
        lapwing_engine_contract::eventually("the engine is missed", || !node.is_ready()).await;
    }
    let eve = tracked(&two, "eve").await;
    carrier.restart().await;
    for node in [&one, &two] {
        shows(node, &[("ada", "ada"), ("bob", "bob"), ("eve", "eve")]).await;
    }
    // Nobody was seen to leave meanwhile.
    while let Ok(event) = tokio::time::timeout(Duration::from_millis(1), ada.next()).await {
        let diff: Value = event.payload.parse().unwrap();
        assert!(diff["leaves"].as_object().is_none_or(|leaves| leaves.is_empty()), "{diff}");
    }
    drop((bob, eve));
}

async fn a_node_that_has_just_joined_does_not_answer_before_it_knows_the_others<C: Carrier>() {
    let carrier = C::start().await;
    let [one, two] = [start(&carrier, "one").await, start(&carrier, "two").await];
    let (ada, bob) = (joined(&one, "ada").await, joined(&two, "bob").await);
    shows(&one, &[("ada", "ada"), ("bob", "bob")]).await;
    let three = start(&carrier, "three").await;
    let (eve, list, count) =
        tokio::join!(joined(&three, "eve"), three.presences("room:1"), three.presence_count("room:1"));
    for state in [list.unwrap(), eve.wait_for("presence_state").await] {
        let shown: BTreeMap<String, Value> = state.parse().unwrap();
        assert_eq!(shown.into_keys().collect::<Vec<_>>(), ["ada", "bob", "eve"]);
    }
    assert_eq!(count.unwrap().keys, 3);
    drop((ada, bob));
}

/// Somebody of the program's own, who has no connection and no join: those wait for an engine that is away.
async fn tracked(node: &TestServer, key: &str) -> Tracked {
    node.track("room:1", key, json!({"name": key})).await.unwrap()
}
