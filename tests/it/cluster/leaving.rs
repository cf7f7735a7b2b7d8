//! Who was present on a node that is shut down, and comes back to another one.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use lapwing::{
    ClusterOptions, Drain, Lapwing, Mount, PresenceOptions, ShutdownReport, cluster::AtStart,
    testing::TestServer,
};
use lapwing_engine_contract::eventually;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{
    carriers::{Carrier, NatsServer, RedisServer, meet},
    presence::{Present, shows},
};
use crate::support::{
    channels::{Client, Vsn, ok},
    lab, websocket,
};

use lapwing::cluster::Hub;

on_each_engine! {
    who_comes_back_to_another_node_is_not_seen_to_leave
    who_does_not_come_back_is_gone_when_the_grace_is_over
    who_leaves_while_the_node_goes_is_gone_at_once
    a_node_that_comes_soon_after_shows_who_is_expected_back
    a_node_that_comes_soon_after_expects_nobody_for_longer_than_the_others
}

/// Longer than a test waits for anything.
const LONG: Duration = Duration::from_secs(60);

const SHORT: Duration = Duration::from_millis(300);

async fn start(carrier: &impl Carrier, name: &str, grace: Duration) -> TestServer {
    start_with(carrier, name, grace, Mount::new()).await
}

async fn start_with(carrier: &impl Carrier, name: &str, grace: Duration, mount: Mount) -> TestServer {
    let options = ClusterOptions::new("tests").name(name).at_start(AtStart::Wait);
    let cluster = options.start(carrier.engine(name)).await.unwrap();
    let presence = PresenceOptions::default().departure_grace(grace);
    let mount = mount.channel::<Present>("room:*", ());
    let builder = Lapwing::builder().cluster(cluster).presence(presence);
    TestServer::from(builder.mount("/socket", mount).build().unwrap())
}

/// A client with a connection of its own, in the room.
async fn come(address: SocketAddr, key: &str) -> Client {
    let mut client = Client::connect(address, Vsn::V2).await;
    client.send(json!(["1", "1", "room:1", "phx_join", key])).await;
    client.expect(ok("1", "1", "room:1", json!({}))).await;
    client
}

fn shut_down(node: &TestServer) -> JoinHandle<ShutdownReport> {
    let node = node.clone();
    tokio::spawn(async move { node.shutdown().await })
}

/// Reads until the server closes the connection, with the code of a server that goes.
async fn sent_away(mut client: Client) {
    assert_eq!(client.close_code_within(crate::support::PATIENCE).await, Some(1012));
    client.socket.send(websocket::Frame::close(1012, "")).await;
}

/// The list of who is there as a page has it, by what it was told.
struct Page {
    client: Client,
    there: BTreeMap<String, BTreeSet<String>>,
}

impl Page {
    async fn open(address: SocketAddr, key: &str) -> Page {
        let mut page = Page { client: come(address, key).await, there: BTreeMap::new() };
        while page.next().await != "presence_state" {}
        page
    }

    /// Takes in what comes next, as phoenix.js does. Returns what it was.
    async fn next(&mut self) -> String {
        let message = self.client.next_message().await;
        let (event, payload) = (message[3].as_str().unwrap(), &message[4]);
        match event {
            "presence_state" => self.there = refs(payload).collect(),
            "presence_diff" => {
                for (key, refs) in refs(&payload["joins"]) {
                    self.there.entry(key).or_default().extend(refs);
                }
                for (key, gone) in refs(&payload["leaves"]) {
                    let there = self.there.entry(key).or_default();
                    there.retain(|there| !gone.contains(there));
                }
                self.there.retain(|_, refs| !refs.is_empty());
            }
            _ => {}
        }
        event.to_owned()
    }
}

fn refs(metas: &Value) -> impl Iterator<Item = (String, BTreeSet<String>)> {
    metas.as_object().unwrap().iter().map(|(key, presence)| {
        let metas = presence["metas"].as_array().unwrap();
        (key.clone(), metas.iter().map(|meta| meta["phx_ref"].as_str().unwrap().to_owned()).collect())
    })
}

async fn who_comes_back_to_another_node_is_not_seen_to_leave<C: Carrier>() {
    let carrier = C::start().await;
    let [one, two, three] = [
        start(&carrier, "one", LONG).await,
        start(&carrier, "two", LONG).await,
        start(&carrier, "three", LONG).await,
    ];
    meet(&[&one, &two, &three]).await;
    let (at_one, at_two) = (lab::serve(&one).await, lab::serve(&two).await);
    let at_three = lab::serve(&three).await;
    let (ada, bob) = (come(at_one, "ada").await, come(at_one, "bob").await);
    let everybody = [("ada", "ada"), ("bob", "bob"), ("tom", "tom"), ("zoe", "zoe")];
    let mut pages = [Page::open(at_two, "tom").await, Page::open(at_three, "zoe").await];
    for page in &mut pages {
        while page.there.len() < everybody.len() {
            page.next().await;
        }
    }
    let before = pages[0].there["ada"].clone();
    let going = shut_down(&one);
    tokio::join!(sent_away(ada), sent_away(bob));
    let ada = come(at_two, "ada").await;
    for page in &mut pages {
        while page.there["ada"].is_subset(&before) {
            page.next().await;
            assert!(["ada", "bob"].iter().all(|key| page.there.contains_key(*key)), "{:?}", page.there);
        }
    }
    assert!(going.await.unwrap().is_clean());
    eventually("it is gone", || two.cluster().unwrap().nodes.len() == 2).await;
    // Who has not come back yet is still expected.
    for node in [&two, &three] {
        shows(node, &everybody).await;
    }
    drop(ada);
}

async fn who_does_not_come_back_is_gone_when_the_grace_is_over<C: Carrier>() {
    let carrier = C::start().await;
    let [one, two] = [start(&carrier, "one", SHORT).await, start(&carrier, "two", SHORT).await];
    meet(&[&one, &two]).await;
    let at_one = lab::serve(&one).await;
    let bob = come(at_one, "bob").await;
    // It goes with its node, and not before.
    let tracked = one.track("room:1", "eve", json!({"name": "eve"})).await.unwrap();
    shows(&two, &[("bob", "bob"), ("eve", "eve")]).await;
    let going = shut_down(&one);
    sent_away(bob).await;
    shows(&two, &[]).await;
    assert!(going.await.unwrap().is_clean());
    drop(tracked);
}

async fn who_leaves_while_the_node_goes_is_gone_at_once<C: Carrier>() {
    let carrier = C::start().await;
    let slowly = Mount::new().drain(Drain::default().batch(1).interval(LONG));
    let one = start_with(&carrier, "one", LONG, slowly).await;
    let two = start(&carrier, "two", LONG).await;
    meet(&[&one, &two]).await;
    let at_one = lab::serve(&one).await;
    let (ada, mut bob) = (come(at_one, "ada").await, come(at_one, "bob").await);
    shows(&two, &[("ada", "ada"), ("bob", "bob")]).await;
    let going = shut_down(&one);
    sent_away(ada).await;
    // His turn comes when the next one is sent away, which is not soon.
    bob.send(json!(["1", "2", "room:1", "phx_leave", {}])).await;
    shows(&two, &[("ada", "ada")]).await;
    going.abort();
}

/// A page that comes back to a node that has just started has the others who have not come back yet in its list.
async fn a_node_that_comes_soon_after_shows_who_is_expected_back<C: Carrier>() {
    let carrier = C::start().await;
    let [one, two] = [start(&carrier, "one", LONG).await, start(&carrier, "two", LONG).await];
    meet(&[&one, &two]).await;
    let (at_one, at_two) = (lab::serve(&one).await, lab::serve(&two).await);
    let [ada, bob, eve] = [come(at_one, "ada").await, come(at_one, "bob").await, come(at_one, "eve").await];
    shows(&two, &[("ada", "ada"), ("bob", "bob"), ("eve", "eve")]).await;
    let going = shut_down(&one);
    tokio::join!(sent_away(ada), sent_away(bob), sent_away(eve));
    let _eve = come(at_two, "eve").await;
    assert!(going.await.unwrap().is_clean());
    eventually("it is gone", || two.cluster().unwrap().nodes.len() == 1).await;

    let three = start(&carrier, "three", LONG).await;
    let at_three = lab::serve(&three).await;
    let mut page = Page::open(at_three, "bob").await;
    let everybody = |page: &Page| page.there.keys().map(String::as_str).eq(["ada", "bob", "eve"]);
    // One of those who are back and one of those who are not.
    assert!(["ada", "eve"].iter().all(|key| page.there.contains_key(*key)), "{:?}", page.there);
    while !everybody(&page) {
        page.next().await;
    }
    let before = page.there["ada"].clone();
    let _ada = come(at_two, "ada").await;
    while page.there["ada"].is_subset(&before) {
        page.next().await;
        assert!(everybody(&page), "{:?}", page.there);
    }
    for node in [&two, &three] {
        shows(node, &[("ada", "ada"), ("bob", "bob"), ("eve", "eve")]).await;
    }
}

async fn a_node_that_comes_soon_after_expects_nobody_for_longer_than_the_others<C: Carrier>() {
    let carrier = C::start().await;
    let grace = Duration::from_secs(4);
    let [one, two] = [start(&carrier, "one", grace).await, start(&carrier, "two", grace).await];
    meet(&[&one, &two]).await;
    let at_one = lab::serve(&one).await;
    let bob = come(at_one, "bob").await;
    shows(&two, &[("bob", "bob")]).await;
    let going = shut_down(&one);
    sent_away(bob).await;
    assert!(going.await.unwrap().is_clean());
    // Its own grace has nothing to say here.
    let three = start(&carrier, "three", LONG).await;
    shows(&two, &[]).await;
    shows(&three, &[]).await;
    let _ada = three.track("room:1", "ada", json!({"name": "ada"})).await.unwrap();
    for node in [&two, &three] {
        shows(node, &[("ada", "ada")]).await;
    }
}
