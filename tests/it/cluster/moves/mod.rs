//! Sessions that go from one node to another: when theirs is shut down, and where their streams stay at the other one.

mod client;
mod cuts;
mod following;
mod meanwhile;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lapwing::{
    Accept, Broadcast, Channel, ClusterOptions, Context, Failure, Gap, Handled, Joining, Keep, LeaveReason,
    Mount, OutboxLimits, Payload, Topic, cluster::Hub, noreply, reply, testing::TestServer,
};
use lapwing_engine_contract::eventually;
use serde_json::json;
use tokio::{sync::mpsc, task::JoinHandle, time::sleep};

use self::{
    client::{Restless, Said},
    following::a_session_follows_a_stream_that_stays_at_another_node,
};
use super::carriers::{Carrier, Keeps, NatsServer, RedisServer, meet, node_with};
use crate::support::{
    PATIENCE,
    channels::{Client, Vsn, ok},
    lab,
    sessions::{Session, TRANSPORTS, Transport},
    websocket::Frame,
};

on_each_engine! {
    a_session_misses_nothing_when_its_node_goes_down
    nothing_that_is_kept_intercepted_or_from_elsewhere_is_missed
    a_session_finds_its_way_through_a_rolling_restart
    a_session_follows_a_stream_that_stays_at_another_node
}

/// Tells what becomes of it.
struct Room;

type Told = mpsc::UnboundedSender<String>;

impl Channel for Room {
    type State = Told;

    const INTERCEPT: &'static [&'static str] = &["whispered"];

    async fn join(topic: &Topic, params: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        if joining.is_move() && topic == "room:home" {
            return Err(Failure::reason("it is not home"));
        }
        if joining.is_move() {
            // Nobody may listen.
            let _ =
                joining.state().send(format!("{topic} is joined again with {}", params.as_json().unwrap()));
        }
        Ok(Self)
    }

    async fn joined(&mut self, cx: &Context<Self>) -> Handled {
        if cx.topic().ends_with("curious") {
            cx.subscribe("news").await?;
        }
        if !cx.is_move() {
            cx.push("joined", json!({}))?;
        }
        Ok(noreply())
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        let time = payload.parse::<serde_json::Value>()?["for"].as_u64().unwrap_or(3_000);
        let time = Duration::from_millis(time);
        match (event, cx.take_reply()) {
            ("promise", Some(later)) => {
                tokio::spawn(async move {
                    sleep(time).await;
                    later.reply("ok", payload)
                });
                return Ok(noreply());
            }
            ("think", Some(later)) => {
                sleep(time).await;
                later.reply("ok", payload)?;
            }
            (_, Some(later)) => later.reply("ok", payload)?,
            (_, None) => {}
        }
        Ok(noreply())
    }

    async fn handle_out(&mut self, _: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        cx.push("said", payload)?;
        Ok(noreply())
    }

    async fn handle_broadcast(&mut self, broadcast: Arc<Broadcast>, cx: &Context<Self>) -> Handled {
        cx.push("said", broadcast.payload.clone())?;
        Ok(noreply())
    }

    async fn leave(&mut self, reason: LeaveReason, cx: &Context<Self>) -> Result<(), Failure> {
        let _ = cx.state().send(format!("{reason:?}"));
        Ok(())
    }
}

fn rooms() -> (Mount, mpsc::UnboundedReceiver<String>) {
    let (told, hears) = mpsc::unbounded_channel();
    let mount = Mount::new().channel::<Room>("room:*", told.clone()).channel::<Room>("kept:*", told);
    // A busy machine is no slow client: what waits meanwhile is said thousands of times a second.
    let mount = mount.outbox(OutboxLimits::default().frames_max(200_000).bytes_max(64 << 20));
    let mount = mount.connect(|request| async move {
        let user = request.param("user").map(|user| format!("user:{user}"));
        Ok(user.map_or_else(Accept::new, |id| Accept::new().id(id)))
    });
    (mount, hears)
}

/// A node whose sessions go to others, and where it listens.
struct Node {
    server: TestServer,
    address: SocketAddr,
    told: mpsc::UnboundedReceiver<String>,
}

impl Node {
    async fn start(carrier: &impl Carrier, name: &str) -> Self {
        Self::with(carrier, name, |mount| mount).await
    }

    async fn keeping(carrier: &impl Keeps, name: &str) -> Self {
        let keep = Keep::last(10_000).bytes_max(4 * 1024 * 1024);
        Self::with(carrier, name, |mount| mount.keep("kept:*", keep)).await
    }

    async fn with(carrier: &impl Carrier, name: &str, change: impl FnOnce(Mount) -> Mount) -> Self {
        Self::that_lets_follow(carrier, name, Duration::from_secs(60), change).await
    }

    /// One whose sessions follow their streams after so long.
    async fn that_lets_follow(
        carrier: &impl Carrier,
        name: &str,
        after: Duration,
        change: impl FnOnce(Mount) -> Mount,
    ) -> Self {
        let (mount, told) = rooms();
        let options = ClusterOptions::new("tests").name(name).with_moves().follow_after(after);
        let server = node_with(carrier, options, name, change(mount)).await;
        Self { address: lab::serve(&server).await, server, told }
    }

    fn sessions(&self) -> usize {
        self.server.stats().sessions
    }

    /// Shuts it down, and waits until so many sessions are at the others.
    fn go(&self) -> JoinHandle<()> {
        let server = self.server.clone();
        tokio::spawn(async move {
            let report = server.shutdown().await;
            assert!(report.is_clean(), "{report:?}");
        })
    }
}

/// Waits until three nodes know each other.
async fn meet_all(nodes: &[Node; 3]) {
    meet(&[&nodes[0].server, &nodes[1].server, &nodes[2].server]).await;
}

/// Three nodes that know each other.
async fn three(carrier: &impl Carrier) -> [Node; 3] {
    let nodes = [
        Node::start(carrier, "one").await,
        Node::start(carrier, "two").await,
        Node::start(carrier, "three").await,
    ];
    meet_all(&nodes).await;
    nodes
}

fn never() -> Arc<AtomicBool> {
    Arc::default()
}

async fn all_hear(clients: Vec<JoinHandle<Restless>>) -> usize {
    let mut returns = 0;
    for client in clients {
        let client = client.await.unwrap();
        client.assert_missed_nothing();
        returns += client.returns;
    }
    returns
}

async fn a_session_misses_nothing_when_its_node_goes_down<C: Carrier>() {
    let carrier = C::start().await;
    let mut nodes = three(&carrier).await;
    let addresses = nodes.each_ref().map(|node| node.address);
    let said = Said::by(3);
    let mut clients = Vec::new();
    for _ in 0..4 {
        for transport in TRANSPORTS {
            let client = Restless::join(&addresses, transport, "room:1", json!({"key": "value"})).await;
            clients.push(tokio::spawn(client.hear(said.clone())));
        }
    }
    // One who cannot go keeps the node up until it has said everything.
    let mut stock = Client::connect(addresses[0], Vsn::V2).await;
    let is_ended = never();
    let at_one = said.speak(&nodes[0].server, 0, ("room:1", "said"), is_ended.clone());
    said.speak(&nodes[1].server, 1, ("room:1", "said"), never());
    said.speak(&nodes[2].server, 2, ("room:1", "said"), never());
    sleep(Duration::from_millis(300)).await;
    let gone = nodes[0].go();
    eventually("one is at another node", || nodes[1].sessions() + nodes[2].sessions() > 0).await;
    is_ended.store(true, Ordering::Relaxed);
    at_one.await.unwrap();
    eventually("all are", || nodes[1].sessions() + nodes[2].sessions() == clients.len()).await;
    assert_eq!(stock.close_code_within(PATIENCE).await, Some(1012));
    stock.socket.send(Frame::close(1012, "")).await;
    gone.await.unwrap();
    sleep(Duration::from_millis(200)).await;
    said.end();
    let returns = all_hear(clients).await;
    assert!((8..=36).contains(&returns), "those whose connections were cut came back {returns} times");
    for _ in 0..12 {
        assert_eq!(nodes[0].told.recv().await.unwrap(), "Moved");
    }
    assert_eq!(nodes[1].told.recv().await.unwrap(), r#"room:1 is joined again with {"key":"value"}"#);
    let moves = |node: &Node| node.server.stats().cluster.unwrap().moves;
    assert_eq!((moves(&nodes[0]).gone, moves(&nodes[0]).lost), (12, 0));
    assert_eq!(moves(&nodes[1]).came + moves(&nodes[2]).came, 12);
}

async fn nothing_that_is_kept_intercepted_or_from_elsewhere_is_missed<C: Keeps>() {
    let carrier = C::start_keeping().await;
    let nodes = [
        Node::keeping(&carrier, "one").await,
        Node::keeping(&carrier, "two").await,
        Node::keeping(&carrier, "three").await,
    ];
    meet_all(&nodes).await;
    let addresses = nodes.each_ref().map(|node| node.address);
    let (said, kept) = (Said::by(4), Said::by(2));
    let mut clients = Vec::new();
    for transport in TRANSPORTS {
        let client = Restless::join(&addresses, transport, "room:curious", json!({})).await;
        clients.push(tokio::spawn(client.hear(said.clone())));
        for params in [json!({}), json!({"_since": ""})] {
            let client = Restless::join(&addresses, transport, "kept:1", params).await;
            clients.push(tokio::spawn(client.hear(kept.clone())));
        }
    }
    said.speak(&nodes[1].server, 0, ("room:curious", "said"), never());
    said.speak(&nodes[2].server, 1, ("room:curious", "whispered"), never());
    said.speak(&nodes[1].server, 2, ("news", "said"), never());
    said.speak(&nodes[2].server, 3, ("news", "whispered"), never());
    kept.speak(&nodes[1].server, 0, ("kept:1", "said"), never());
    kept.speak(&nodes[2].server, 1, ("kept:1", "said"), never());
    sleep(Duration::from_millis(200)).await;
    nodes[0].go().await.unwrap();
    assert_eq!(nodes[1].sessions() + nodes[2].sessions(), clients.len());
    sleep(Duration::from_millis(200)).await;
    said.end();
    kept.end();
    all_hear(clients).await;
}

/// Each node is started anew, one after the other, and with it goes what it knew.
async fn a_session_finds_its_way_through_a_rolling_restart<C: Carrier>() {
    let carrier = C::start().await;
    let mut nodes = three(&carrier).await;
    // Two clients that are away all the time, and come back to any node.
    let mut away = Vec::new();
    for transport in [Transport::Websocket, Transport::Sse] {
        let mut session = Session::open(nodes[0].address, "/socket", transport).await;
        session.send_json(json!(["1", "1", "room:1", "phx_join", {}])).await;
        assert_eq!(session.next_json().await[4]["status"], "ok");
        session.expect_json(json!(["1", null, "room:1", "joined", {}])).await;
        session.cut();
        away.push(session);
    }
    for (at, name) in [(0, "one again"), (1, "two again"), (2, "three again")] {
        nodes[at].go().await.unwrap();
        nodes[at] = Node::start(&carrier, name).await;
        meet_all(&nodes).await;
        assert_eq!(nodes.iter().map(Node::sessions).sum::<usize>(), away.len(), "{name}");
    }
    nodes[0].server.broadcast("room:1", "said", json!({"n": 1})).unwrap();
    for (session, node) in away.iter_mut().zip(&nodes) {
        session.address = node.address;
        session.resume(Transport::Websocket).await;
        session.expect_json(json!([null, null, "room:1", "said", {"n": 1}])).await;
    }
}

/// Three nodes on a hub.
async fn on_a_hub() -> (Hub, [Node; 3], [SocketAddr; 3]) {
    let hub = Hub::new();
    let nodes = three(&hub).await;
    let addresses = nodes.each_ref().map(|node| node.address);
    (hub, nodes, addresses)
}

async fn six_clients(addresses: &[SocketAddr], said: &Arc<Said>) -> Vec<JoinHandle<Restless>> {
    let mut clients = Vec::new();
    for transport in TRANSPORTS.iter().chain(&TRANSPORTS) {
        let client = Restless::join(addresses, *transport, "room:1", json!({})).await;
        clients.push(tokio::spawn(client.hear(said.clone())));
    }
    clients
}

/// What a node hears later than the others, the sessions of that node have not heard when they go.
#[tokio::test]
async fn a_node_that_hears_everything_late_gives_its_sessions_whole() {
    // Where some of it is lost as well, the rest overtakes what is got again.
    for (late, drops) in [("one", 0), ("two", 0), ("one", 20)] {
        let (hub, nodes, addresses) = on_a_hub().await;
        let said = Said::by(2);
        let clients = six_clients(&addresses, &said).await;
        hub.delay(late, Duration::from_millis(80));
        hub.drop_one_in(late, drops);
        said.speak(&nodes[1].server, 0, ("room:1", "said"), never());
        said.speak(&nodes[2].server, 1, ("room:1", "said"), never());
        sleep(Duration::from_millis(200)).await;
        nodes[0].go().await.unwrap();
        assert_eq!(nodes[1].sessions() + nodes[2].sessions(), clients.len(), "{late}");
        sleep(Duration::from_millis(200)).await;
        said.end();
        all_hear(clients).await;
    }
}

/// Messages are lost between all nodes while sessions go: what is said on topics is repaired, and what is said about moves is said again. Where nearly all
/// are lost a session may take too long, and end with its node: so many are not.
#[tokio::test]
async fn messages_that_are_lost_meanwhile_lose_nothing() {
    let (hub, nodes, addresses) = on_a_hub().await;
    let said = Said::by(2);
    let clients = six_clients(&addresses, &said).await;
    for name in ["one", "two", "three"] {
        hub.drop_one_in(name, 50);
    }
    said.speak(&nodes[1].server, 0, ("room:1", "said"), never());
    said.speak(&nodes[2].server, 1, ("room:1", "said"), never());
    sleep(Duration::from_millis(200)).await;
    nodes[0].go().await.unwrap();
    assert_eq!(nodes[1].sessions() + nodes[2].sessions(), clients.len());
    for name in ["one", "two", "three"] {
        hub.drop_one_in(name, 0);
    }
    sleep(Duration::from_millis(200)).await;
    said.end();
    all_hear(clients).await;
}

/// Where the program does not let a client join again, its session stays, and is sent away as ever.
#[tokio::test]
async fn a_session_that_is_refused_elsewhere_ends_with_its_node() {
    let (_hub, mut nodes, addresses) = on_a_hub().await;
    let mut session = Session::open(addresses[0], "/socket", Transport::Sse).await;
    session.send_json(json!(["1", "1", "room:home", "phx_join", {}])).await;
    assert_eq!(session.next_json().await[4]["status"], "ok");
    session.expect_json(json!(["1", null, "room:home", "joined", {}])).await;
    let gone = nodes[0].go();
    session.expect_control("!closed 1012 draining").await;
    gone.await.unwrap();
    assert_eq!(nodes[0].told.recv().await.unwrap(), "Draining");
    assert_eq!(nodes[1].sessions() + nodes[2].sessions(), 0);
    for node in &nodes[1..] {
        eventually("nothing is left of it", || node.server.stats().joins == 0).await;
    }
    let moves = nodes[0].server.stats().cluster.unwrap().moves;
    assert_eq!((moves.gone, moves.stayed), (0, 3));
}

/// A callback that runs longer than is waited for keeps its session, which is offered again and goes when it has ended; its answer goes along.
#[tokio::test]
async fn a_session_whose_channel_is_busy_goes_when_it_is_not() {
    let (_hub, nodes, addresses) = on_a_hub().await;
    let mut session = Session::open(addresses[0], "/socket", Transport::Sse).await;
    session.send_json(json!(["1", "1", "room:1", "phx_join", {}])).await;
    assert_eq!(session.next_json().await[4]["status"], "ok");
    session.expect_json(json!(["1", null, "room:1", "joined", {}])).await;
    session.send_json(json!(["1", "2", "room:1", "think", {"of": 7}])).await;
    nodes[0].go().await.unwrap();
    let moves = nodes[0].server.stats().cluster.unwrap().moves;
    assert_eq!((moves.gone, moves.stayed), (1, 1), "the second offer");
    session.address = addresses[1];
    session.resume(Transport::Sse).await;
    session.expect_json(ok("1", "2", "room:1", json!({"of": 7}))).await;
}

/// A user is sent away, by whatever node, while their session goes: it is over wherever it is.
#[tokio::test]
async fn a_user_who_is_sent_away_meanwhile_is_gone() {
    let (_hub, nodes, addresses) = on_a_hub().await;
    let mut sessions = Vec::new();
    for n in 0..30 {
        let query = format!("&user={n}");
        let session = Session::open_as(addresses[0], "/socket", Transport::Sse, &query, 30_000).await;
        session
            .post(
                r#"!from 1
["1","1","room:1","phx_join",{}]"#,
            )
            .await;
        sessions.push(session);
    }
    let gone = nodes[0].go();
    for n in 0..30 {
        // Who is gone tells nobody.
        let by = if gone.is_finished() { 1 + n % 2 } else { n % 3 };
        let told = nodes[by].server.disconnect(format!("user:{n}"));
        assert!(told.is_ok() || by == 0);
        if told.is_err() {
            nodes[1].server.disconnect(format!("user:{n}")).unwrap();
        }
        sleep(Duration::from_millis(2)).await;
    }
    gone.await.unwrap();
    eventually("nobody is there", || nodes.iter().all(|node| node.sessions() == 0)).await;
}
