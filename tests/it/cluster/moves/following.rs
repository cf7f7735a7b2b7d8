//! Sessions whose streams stay at another node.

use std::time::Instant;

use serde_json::Value;

use super::*;
use crate::{cluster::presence::Present, support::sessions::BEAT};

/// How long a stream comes by another node.
const AFTER: Duration = Duration::from_millis(500);

async fn three_that_let_follow(carrier: &impl Carrier, after: Duration) -> ([Node; 3], [SocketAddr; 3]) {
    let with = |mount: Mount| mount.channel::<Present>("present:*", ());
    let nodes = [
        Node::that_lets_follow(carrier, "one", after, with).await,
        Node::that_lets_follow(carrier, "two", after, with).await,
        Node::that_lets_follow(carrier, "three", after, with).await,
    ];
    meet_all(&nodes).await;
    let addresses = nodes.each_ref().map(|node| node.address);
    (nodes, addresses)
}

fn gone(node: &Node) -> u64 {
    node.server.stats().cluster.unwrap().moves.gone
}

/// Clients whose balancer has them come to another node from some moment on: their sessions go there, once, and miss nothing. Polls stay nowhere.
pub(super) async fn a_session_follows_a_stream_that_stays_at_another_node<C: Carrier>() {
    let carrier = C::start().await;
    let (nodes, [one, two, _]) = three_that_let_follow(&carrier, AFTER).await;
    let said = Said::by(3);
    let mut clients = Vec::new();
    for transport in TRANSPORTS.iter().chain(&TRANSPORTS) {
        let mut addresses = vec![two; 30];
        addresses[0] = one;
        let mut client = Restless::join(&addresses, *transport, "room:1", json!({})).await;
        client.come_back().await;
        clients.push(tokio::spawn(client.hear(said.clone())));
    }
    for (from, node) in nodes.iter().enumerate() {
        said.speak(&node.server, from as u64, ("room:1", "said"), never());
    }
    // Two of six are polled.
    eventually("they follow", || (nodes[0].sessions(), nodes[1].sessions()) == (2, 4)).await;
    sleep(3 * AFTER).await;
    said.end();
    assert_eq!(all_hear(clients).await, 6 + 4, "each was cut once");
    assert_eq!(nodes.each_ref().map(gone), [4, 0, 0]);
}

/// Who is present is so all the time, on one node or the other.
#[tokio::test]
async fn who_follows_is_not_seen_to_leave() {
    let hub = Hub::new();
    let (nodes, [one, two, three]) = three_that_let_follow(&hub, AFTER).await;
    let mut watcher = Client::connect(three, Vsn::V2).await;
    watcher.send(json!(["1", "1", "present:1", "phx_join", "tom"])).await;
    let mut ada = Session::open(one, "/socket", Transport::Sse).await;
    ada.send_json(json!(["1", "1", "present:1", "phx_join", "ada"])).await;
    ada.address = two;
    ada.resume(Transport::Sse).await;
    eventually("the session follows", || (nodes[0].sessions(), nodes[1].sessions()) == (0, 1)).await;
    // Her metas, as the page of another client has them.
    let mut metas: Vec<Value> = Vec::new();
    let mut changes = 0;
    while changes < 3 {
        let message = watcher.next_message().await;
        let refs = |change: &str| {
            let metas = message[4][change]["ada"]["metas"].as_array().cloned().unwrap_or_default();
            metas.into_iter().map(|meta| meta["phx_ref"].clone()).collect::<Vec<_>>()
        };
        if message[3] == "presence_diff" {
            let (joins, leaves) = (refs("joins"), refs("leaves"));
            changes += joins.len() + leaves.len();
            metas.extend(joins);
            metas.retain(|meta| !leaves.contains(meta));
            assert!(changes == 0 || !metas.is_empty(), "she was seen to leave: {message}");
        }
    }
    assert_eq!(metas.len(), 1, "here once");
}

/// Clients that come to another node again and again stay nowhere long enough.
#[tokio::test]
async fn a_session_whose_streams_come_by_all_nodes_stays() {
    let (hub, after) = (Hub::new(), Duration::from_secs(2));
    let (nodes, addresses) = three_that_let_follow(&hub, after).await;
    let mut session = Session::open(addresses[0], "/socket", Transport::Sse).await;
    for round in 0..30 {
        session.address = addresses[1 + round % 2];
        session.resume(Transport::Sse).await;
        sleep(after / 20).await;
    }
    assert_eq!(nodes.each_ref().map(gone), [0, 0, 0]);
    assert_eq!(nodes[0].sessions(), 1);
}

/// One of a user's sessions has gone from each of two nodes to the other, and both pass on to each other what comes late: not for ever.
#[tokio::test]
async fn an_order_about_a_user_whose_sessions_went_both_ways_comes_to_an_end() {
    let hub = Hub::new();
    let (nodes, [one, two, _]) = three_that_let_follow(&hub, AFTER).await;
    let mut sessions = Vec::new();
    for (from, to) in [(one, two), (two, one)] {
        let mut session = Session::open_as(from, "/socket", Transport::Sse, "&user=1", BEAT).await;
        session.address = to;
        session.resume(Transport::Sse).await;
        sessions.push(session);
    }
    eventually("they follow", || [gone(&nodes[0]), gone(&nodes[1])] == [1, 1]).await;
    nodes[2].server.disconnect_everywhere("user:1").await.unwrap();
    eventually("they are over", || nodes.iter().all(|node| node.sessions() == 0)).await;
    sleep(Duration::from_millis(500)).await;
    let _back = Session::open_as(one, "/socket", Transport::Sse, "&user=1", BEAT).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(nodes[0].sessions(), 1, "who comes back is not sent away again");
}

/// A channel that takes its time is no reason to end a session that was about to follow: it goes with the others when it can.
#[tokio::test]
async fn a_session_that_cannot_follow_yet_goes_when_its_node_goes_down() {
    let hub = Hub::new();
    let (nodes, [one, two, _]) = three_that_let_follow(&hub, AFTER).await;
    let mut session = joined(one).await;
    session.address = two;
    session.resume(Transport::Sse).await;
    eventually("it is offered", || nodes[1].server.stats().joins == 1).await;
    session.send_json(json!(["1", "2", "room:1", "think", {"for": 4_000}])).await;
    // It is held when the other node knows how far it has heard the topic, with its next beat.
    sleep(Duration::from_secs(1)).await;
    nodes[0].go().await.unwrap();
    assert_eq!(nodes[1].sessions() + nodes[2].sessions(), 1);
    session.address = two;
    session.resume(Transport::Sse).await;
    session.expect_json(ok("1", "2", "room:1", json!({"for": 4_000}))).await;
}

/// An answer is given where it was promised, and a session that would follow waits for it.
#[tokio::test]
async fn a_session_follows_when_its_channels_have_given_the_answers_that_they_owe() {
    let hub = Hub::new();
    let (nodes, [one, two, _]) = three_that_let_follow(&hub, AFTER).await;
    let mut session = joined(one).await;
    session.send_json(json!(["1", "2", "room:1", "promise", {"for": 2_000}])).await;
    session.address = two;
    session.resume(Transport::Sse).await;
    session.expect_json(ok("1", "2", "room:1", json!({"for": 2_000}))).await;
    eventually("the session follows", || (nodes[0].sessions(), nodes[1].sessions()) == (0, 1)).await;
}

/// Answers that are never given cost a node that goes down two seconds, and not each sixty-four sessions.
#[tokio::test]
async fn channels_that_owe_answers_for_ever_hold_up_nobody() {
    const SESSIONS: usize = 5 * 64;
    let hub = Hub::new();
    let (nodes, [one, ..]) = three_that_let_follow(&hub, Duration::MAX).await;
    for _ in 0..SESSIONS {
        let mut session = joined(one).await;
        session.send_json(json!(["1", "2", "room:1", "promise", {"for": 600_000}])).await;
    }
    let begin = Instant::now();
    nodes[0].go().await.unwrap();
    assert_eq!(nodes[1].sessions() + nodes[2].sessions(), SESSIONS);
    // Two seconds for each sixty-four would be ten.
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
}

/// A node that takes no session is asked more and more rarely, also where the stream comes anew.
#[tokio::test]
async fn a_session_that_is_refused_is_offered_more_and_more_rarely() {
    let hub = Hub::new();
    let (nodes, [one, two, _]) = three_that_let_follow(&hub, Duration::from_millis(200)).await;
    let mut session = Session::open(one, "/socket", Transport::Sse).await;
    session.send_json(json!(["1", "1", "room:home", "phx_join", {}])).await;
    session.expect_json(ok("1", "1", "room:home", json!({}))).await;
    session.address = two;
    for _ in 0..10 {
        session.resume(Transport::Sse).await;
        sleep(Duration::from_millis(700)).await;
    }
    let refused = nodes[1].server.stats().cluster.unwrap().moves;
    let offered = nodes[0].server.stats().cluster.unwrap().moves.offered;
    assert!((1..=4).contains(&offered), "of ten streams: {offered}, {refused:?}");
    assert_eq!(nodes[0].sessions(), 1);
}

/// Nobody waits for ever for an answer that may never be given.
#[tokio::test]
async fn a_session_goes_with_its_node_when_answers_are_given_or_not_in_time() {
    for (time, is_given) in [(1_000, true), (600_000, false)] {
        let hub = Hub::new();
        let (nodes, [one, two, _]) = three_that_let_follow(&hub, Duration::MAX).await;
        let mut session = joined(one).await;
        session.send_json(json!(["1", "2", "room:1", "promise", {"for": time}])).await;
        session.send_json(json!(["1", "3", "room:1", "echo", {}])).await;
        session.expect_json(ok("1", "3", "room:1", json!({}))).await;
        nodes[0].go().await.unwrap();
        assert_eq!(nodes[1].sessions() + nodes[2].sessions(), 1);
        session.address = two;
        session.resume(Transport::Sse).await;
        if is_given {
            session.expect_json(ok("1", "2", "room:1", json!({"for": time}))).await;
        }
        session.send_json(json!(["1", "4", "room:1", "echo", {}])).await;
        session.expect_json(ok("1", "4", "room:1", json!({}))).await;
    }
}

async fn joined(address: SocketAddr) -> Session {
    let mut session = Session::open(address, "/socket", Transport::Sse).await;
    session.send_json(json!(["1", "1", "room:1", "phx_join", {}])).await;
    assert_eq!(session.next_json().await[4]["status"], "ok");
    session.expect_json(json!(["1", null, "room:1", "joined", {}])).await;
    session
}
