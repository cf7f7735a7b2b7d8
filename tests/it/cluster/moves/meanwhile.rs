//! What happens to sessions, their channels and their nodes while they go.

use lapwing::{BroadcastError, Lapwing, Refusal, cluster::driver::HalfOpen};
use tokio::sync::Semaphore;

use super::*;
use crate::support::{PATIENCE, channels, http, sessions::Attachment};

/// Three nodes on a hub with a channel of the test's, whose state all of them have.
async fn three_with<C: Channel>(state: &Arc<C::State>) -> ([Node; 3], [SocketAddr; 3]) {
    let hub = Hub::new();
    let keep = Keep::last(100);
    let with = |mount: Mount| mount.channel::<C>("busy:*", state.clone()).keep("busy:kept:*", keep);
    let nodes = [
        Node::with(&hub, "one", with).await,
        Node::with(&hub, "two", with).await,
        Node::with(&hub, "three", with).await,
    ];
    meet_all(&nodes).await;
    let addresses = nodes.each_ref().map(|node| node.address);
    (nodes, addresses)
}

/// Two of them, and the hub.
async fn two_with<C: Channel>(state: &Arc<C::State>) -> (Hub, [Node; 2]) {
    let hub = Hub::new();
    let keep = Keep::last(100);
    let with = |mount: Mount| mount.channel::<C>("busy:*", state.clone()).keep("busy:kept:*", keep);
    let nodes = [Node::with(&hub, "one", with).await, Node::with(&hub, "two", with).await];
    meet(&[&nodes[0].server, &nodes[1].server]).await;
    (hub, nodes)
}

impl Node {
    fn joins(&self) -> u64 {
        self.server.stats().joins
    }
}

/// A session at a node, with a join.
async fn joined(address: SocketAddr, topic: &str) -> Session {
    let mut session = Session::open(address, "/socket", Transport::Sse).await;
    session.send_json(json!(["1", "1", topic, "phx_join", {}])).await;
    session.expect_json(ok("1", "1", topic, json!({}))).await;
    session
}

/// Joins where it comes to when the gate opens.
struct Gated;

struct Gate {
    /// Those that have come so far.
    comes: Semaphore,
    opens: Semaphore,
}

impl Gate {
    fn new() -> Arc<Self> {
        Arc::new(Self { comes: Semaphore::new(0), opens: Semaphore::new(0) })
    }

    async fn pass(&self) {
        self.comes.add_permits(1);
        self.opens.acquire().await.unwrap().forget();
    }

    async fn comes(&self) {
        tokio::time::timeout(PATIENCE, self.comes.acquire()).await.unwrap().unwrap().forget();
    }

    fn open(&self) {
        self.opens.add_permits(1_000);
    }
}

impl Channel for Gated {
    type State = Gate;

    async fn join(_: &Topic, _: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        if joining.is_move() {
            joining.state().pass().await;
        }
        Ok(Self)
    }

    async fn handle_in(&mut self, _: &str, payload: Payload, _: &Context<Self>) -> Handled {
        Ok(reply("ok", payload))
    }
}

/// The node that a session is promised to goes down itself before it is there: it goes to the third.
#[tokio::test]
async fn a_session_whose_other_node_goes_down_as_well_goes_to_a_third() {
    let gate = Gate::new();
    let (nodes, addresses) = three_with::<Gated>(&gate).await;
    let mut session = joined(addresses[0], "busy:1").await;
    let gone = nodes[0].go();
    gate.comes().await;
    let asked = nodes[1..].iter().position(|node| node.joins() == 1).unwrap() + 1;
    let gone_as_well = nodes[asked].go();
    eventually("it goes down", || !nodes[asked].server.is_ready()).await;
    gate.open();
    gone.await.unwrap();
    gone_as_well.await.unwrap();
    let third = 3 - asked;
    assert_eq!(nodes[third].sessions(), 1);
    session.address = addresses[third];
    session.resume(Transport::Sse).await;
    session.send_json(json!(["1", "2", "busy:1", "echo", {"n": 1}])).await;
    session.expect_json(ok("1", "2", "busy:1", json!({"n": 1}))).await;
}

/// Says to all others what its client says, when the gate opens.
struct Teller;

impl Channel for Teller {
    type State = Gate;

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn handle_in(&mut self, _: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        cx.state().pass().await;
        cx.broadcast_from("said", payload)?;
        Ok(reply("ok", json!({})))
    }
}

/// What a callback says to all others that was running when its session was held is no message to its own client on the other node either.
#[tokio::test]
async fn what_a_channel_says_to_all_others_its_own_client_does_not_hear() {
    for topic in ["busy:1", "busy:kept:1"] {
        let gate = Gate::new();
        let (nodes, addresses) = three_with::<Teller>(&gate).await;
        let mut session = joined(addresses[0], topic).await;
        let mut other = joined(addresses[1], topic).await;
        session.send_json(json!(["1", "2", topic, "tell", {"n": 1}])).await;
        gate.comes().await;
        let gone = nodes[0].go();
        eventually("it may go", || nodes[1].joins() + nodes[2].joins() == 2).await;
        // The other node knows how far it has heard the topic with the next beat, and then it is held. If it is not by then, it hears nothing where it is.
        sleep(Duration::from_secs(1)).await;
        gate.open();
        gone.await.unwrap();
        other.expect_json(json!([null, null, topic, "said", {"n": 1}])).await;
        session.address = addresses[1];
        session.resume(Transport::Sse).await;
        session.expect_json(ok("1", "2", topic, json!({}))).await;
        nodes[2].server.broadcast(topic, "said", json!({"n": 2})).unwrap();
        session.expect_json(json!([null, null, topic, "said", {"n": 2}])).await;
    }
}

/// The node that has let a session in goes down itself before that comes: it goes to the third, and nothing of it is left there.
#[tokio::test]
async fn a_session_that_is_refused_when_it_comes_leaves_nothing_there() {
    let gate = Gate::new();
    let (nodes, addresses) = three_with::<Teller>(&gate).await;
    let mut session = joined(addresses[0], "busy:1").await;
    session.send_json(json!(["1", "2", "busy:1", "tell", {"n": 1}])).await;
    gate.comes().await;
    let gone = nodes[0].go();
    eventually("it is let in", || nodes[1].joins() + nodes[2].joins() == 1).await;
    let asked = if nodes[1].joins() == 1 { 1 } else { 2 };
    let gone_as_well = nodes[asked].go();
    eventually("it goes down", || !nodes[asked].server.is_ready()).await;
    gate.open();
    gone.await.unwrap();
    gone_as_well.await.unwrap();
    assert_eq!(nodes[3 - asked].sessions(), 1);
}

/// Says on another topic, which is kept, what its own client is not to hear.
struct Whisperer;

impl Channel for Whisperer {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn handle_in(&mut self, _: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        cx.publish(Broadcast::new("busy:kept:1", "said", payload).except(cx.channel_id()))?;
        Ok(reply("ok", json!({})))
    }
}

/// It is not waited for what comes back to nobody here.
#[tokio::test]
async fn a_session_goes_whose_channel_has_said_something_where_nobody_is() {
    let (nodes, addresses) = three_with::<Whisperer>(&Arc::new(())).await;
    let mut session = joined(addresses[0], "busy:1").await;
    session.send_json(json!(["1", "2", "busy:1", "whisper", {"n": 1}])).await;
    session.expect_json(ok("1", "2", "busy:1", json!({}))).await;
    nodes[0].go().await.unwrap();
    assert_eq!(nodes[1].sessions() + nodes[2].sessions(), 1);
}

/// Nor for what comes back when nobody is there any more.
#[tokio::test]
async fn a_session_goes_whose_channel_has_said_something_where_nobody_is_any_more() {
    let (hub, nodes) = two_with::<Whisperer>(&Arc::new(())).await;
    let mut listener = joined(nodes[0].address, "busy:kept:1").await;
    let mut session = joined(nodes[0].address, "busy:1").await;
    hub.stop();
    session.send_json(json!(["1", "2", "busy:1", "whisper", {"n": 1}])).await;
    session.expect_json(ok("1", "2", "busy:1", json!({}))).await;
    listener.send_json(json!(["1", "2", "busy:kept:1", "phx_leave", {}])).await;
    eventually("nobody listens", || nodes[0].joins() == 1).await;
    hub.start();
    eventually("the store has it", || nodes[0].server.stats().cluster.unwrap().store.unwrap().waiting == 0)
        .await;
    nodes[0].go().await.unwrap();
    assert_eq!(nodes[1].sessions(), 2);
}

/// Nor for what the store does not have any more.
#[tokio::test]
async fn a_session_goes_whose_channel_has_said_what_was_forgotten_before_it_came() {
    let (hub, nodes) = two_with::<Whisperer>(&Arc::new(())).await;
    let _listener = joined(nodes[0].address, "busy:kept:1").await;
    let mut session = joined(nodes[0].address, "busy:1").await;
    // This node hears nothing of what the store has.
    hub.half_open("one", HalfOpen::ToNode);
    session.send_json(json!(["1", "2", "busy:1", "whisper", {"n": 1}])).await;
    session.expect_json(ok("1", "2", "busy:1", json!({}))).await;
    eventually("the store has it", || nodes[0].server.stats().cluster.unwrap().store.unwrap().waiting == 0)
        .await;
    hub.evict("busy:kept:1");
    hub.cut("one");
    eventually("it is told a gap", || {
        nodes[0].server.stats().cluster.unwrap().store.unwrap().gaps.trimmed == 1
    })
    .await;
    nodes[0].go().await.unwrap();
    assert_eq!(nodes[1].sessions(), 2);
}

fn check(token: Option<&str>, is_first_over: &AtomicBool) -> Result<Accept, Refusal> {
    match token {
        Some("first") if !is_first_over.load(Ordering::Relaxed) => Ok(Accept::new().id("user:1")),
        Some("second") => Ok(Accept::new().id("user:1")),
        _ => Err(Refusal::default()),
    }
}

/// A client that has connected with a token which is over by now, and has brought another one since.
#[tokio::test]
async fn a_client_that_has_brought_another_token_goes_with_that() {
    let is_over = never();
    let with = |mount: Mount| {
        let (at_connect, at_token) = (is_over.clone(), is_over.clone());
        let mount = mount.with_auth_tokens().connect(move |request| {
            let decided = check(request.auth_token.as_deref(), &at_connect);
            async move { decided }
        });
        mount.on_token(move |request| {
            let decided = check(Some(&request.token), &at_token);
            async move { decided }
        })
    };
    let hub = Hub::new();
    let nodes = [
        Node::with(&hub, "one", with).await,
        Node::with(&hub, "two", with).await,
        Node::with(&hub, "three", with).await,
    ];
    meet_all(&nodes).await;
    let path = Transport::Longpoll.path("/socket");
    let opening = [("x-phoenix-authtoken", "first")];
    let opened = http::request(nodes[0].address, "POST", &path, &opening, Some(b"!open 30000")).await;
    let token = opened.text().split(' ').nth(1).unwrap().to_owned();
    let attachment = Attachment::Longpoll(Default::default());
    let (address, mount) = (nodes[0].address, "/socket".to_owned());
    let mut session = Session { address, mount, token, received: 0, sent: Vec::new(), attachment };
    session.send_json(json!([null, "1", "phoenix", "token", {"token": "second"}])).await;
    session.expect_json(channels::reply(json!(null), "1", "phoenix", "ok", json!({}))).await;
    is_over.store(true, Ordering::Relaxed);
    nodes[0].go().await.unwrap();
    assert_eq!(nodes[1].sessions() + nodes[2].sessions(), 1);
    session.address = nodes[1].address;
    session.resume(Transport::Sse).await;
}

/// Subscribes a topic when the gate opens, and passes on what is said there.
struct Reader;

impl Channel for Reader {
    type State = Gate;

    async fn join(_: &Topic, _: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        if joining.is_move() {
            joining.state().pass().await;
        }
        Ok(Self)
    }

    async fn handle_in(&mut self, topic: &str, _: Payload, cx: &Context<Self>) -> Handled {
        cx.subscribe(topic).await?;
        Ok(reply("ok", json!({})))
    }

    async fn handle_broadcast(&mut self, broadcast: Arc<Broadcast>, cx: &Context<Self>) -> Handled {
        cx.push("said", broadcast.payload.clone())?;
        Ok(noreply())
    }
}

/// What a channel subscribes after its session was offered comes on the other node as well.
#[tokio::test]
async fn a_topic_that_is_subscribed_meanwhile_is_heard_on_the_other_node() {
    let gate = Gate::new();
    let (nodes, addresses) = three_with::<Reader>(&gate).await;
    let mut session = joined(addresses[0], "busy:1").await;
    let gone = nodes[0].go();
    gate.comes().await;
    session.send_json(json!(["1", "2", "busy:1", "news", {}])).await;
    session.expect_json(ok("1", "2", "busy:1", json!({}))).await;
    gate.open();
    gone.await.unwrap();
    assert_eq!(nodes[1].sessions() + nodes[2].sessions(), 1);
    nodes[1].server.broadcast("news", "said", json!({"n": 1})).unwrap();
    session.address = addresses[1];
    session.resume(Transport::Sse).await;
    session.expect_json(json!(["1", null, "busy:1", "said", {"n": 1}])).await;
}

/// What the program says of a token while its session is offered, its client hears, and it counts on the other node.
#[tokio::test]
async fn a_token_that_is_looked_at_meanwhile_is_answered() {
    let gate = Gate::new();
    let with = |mount: Mount| {
        let gate = gate.clone();
        let mount = mount.connect(|_| async { Ok(Accept::new().expires_in(Duration::from_secs(600))) });
        mount.on_token(move |request| {
            let gate = gate.clone();
            async move {
                if request.token == "slow" {
                    gate.pass().await;
                }
                Ok(Accept::new().expires_in(Duration::from_secs(3_600)))
            }
        })
    };
    let hub = Hub::new();
    let nodes = [
        Node::with(&hub, "one", with).await,
        Node::with(&hub, "two", with).await,
        Node::with(&hub, "three", with).await,
    ];
    meet_all(&nodes).await;
    let mut session = Session::open(nodes[0].address, "/socket", Transport::Sse).await;
    session.send_json(json!([null, "1", "phoenix", "token", {"token": "slow"}])).await;
    gate.comes().await;
    let gone = nodes[0].go();
    sleep(Duration::from_millis(100)).await;
    gate.open();
    gone.await.unwrap();
    session.address = nodes[1].address;
    session.resume(Transport::Sse).await;
    let answer = session.next_json().await;
    assert_eq!(answer[1], "1");
    assert!(answer[4]["response"]["expires_in"].as_u64().unwrap() > 3_000_000, "{answer}");
}

/// Where it comes to it is refused, after a while.
struct Stubborn;

impl Channel for Stubborn {
    type State = ();

    async fn join(topic: &Topic, _: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        if joining.is_move() && topic != "busy:ready" {
            sleep(Duration::from_secs(1)).await;
            return Err(Failure::reason("it is at home there"));
        }
        Ok(Self)
    }
}

/// As many sessions as go at a time, and none of them can; then one that can. The time is enough for one offer of each and not for all offers of the first.
#[tokio::test]
async fn sessions_that_cannot_go_hold_up_none_that_can() {
    let hub = Hub::new();
    let mut nodes = Vec::new();
    for name in ["one", "two"] {
        let options = ClusterOptions::new("tests").name(name).with_moves();
        let cluster = options.start(hub.engine(name)).await.unwrap();
        let mount = Mount::new().channel::<Stubborn>("busy:*", ());
        let lapwing = Lapwing::builder().cluster(cluster).mount("/socket", mount);
        nodes.push(TestServer::from(lapwing.shutdown_timeout(Duration::from_millis(3_500)).build().unwrap()));
    }
    meet(&[&nodes[0], &nodes[1]]).await;
    let address = lab::serve(&nodes[0]).await;
    let mut sessions = Vec::new();
    for n in 0..64 {
        sessions.push(joined(address, &format!("busy:{n}")).await);
    }
    sessions.push(joined(address, "busy:ready").await);
    nodes[0].shutdown().await;
    assert_eq!(nodes[1].stats().sessions, 1);
    assert_eq!(nodes[1].count_members("busy:ready").await.count, 1);
}

/// A session that was sent when the engine went away, so that nobody says that it has come.
async fn one_that_comes_to_nobody() -> (Hub, [Node; 2], Session, JoinHandle<()>) {
    let gate = Gate::new();
    let (hub, nodes) = two_with::<Teller>(&gate).await;
    let mut session = joined(nodes[0].address, "busy:1").await;
    session.send_json(json!(["1", "2", "busy:1", "tell", {}])).await;
    gate.comes().await;
    let gone = nodes[0].go();
    eventually("it may go", || nodes[1].joins() == 1).await;
    // It is held when the other node knows how far it has heard the topic, with its next beat.
    sleep(Duration::from_secs(1)).await;
    hub.stop();
    gate.open();
    // And sent. Where that takes longer it is not on its way, and goes on all the same.
    sleep(Duration::from_secs(1)).await;
    (hub, nodes, session, gone)
}

/// A session goes on once it is decided that it is here.
async fn goes_on(session: &mut Session) {
    let decided = async {
        while session.poll(0, "").await.status == 503 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, decided).await.expect("it is decided");
    session.resume(Transport::Sse).await;
    session.expect_json(ok("1", "2", "busy:1", json!({}))).await;
}

/// The engine goes away when a session is on its way: it goes on where it was, and not when the engine is back.
#[tokio::test]
async fn a_session_that_comes_to_nobody_goes_on_where_it_was() {
    let (hub, nodes, mut session, gone) = one_that_comes_to_nobody().await;
    goes_on(&mut session).await;
    hub.start();
    gone.await.unwrap();
    assert_eq!(nodes[1].sessions(), 1);
}

/// The program gives up a shutdown with a session on its way.
#[tokio::test]
async fn a_session_whose_shutdown_is_given_up_is_not_left_between_two_nodes() {
    let (_hub, _nodes, mut session, gone) = one_that_comes_to_nobody().await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    goes_on(&mut session).await;
}

/// The engine is away when a node goes down, and comes back.
#[tokio::test]
async fn an_engine_that_is_away_is_waited_for() {
    let (hub, nodes, addresses) = on_a_hub().await;
    let mut session = Session::open(addresses[0], "/socket", Transport::Sse).await;
    hub.stop();
    eventually("it is away", || !nodes[0].server.is_ready()).await;
    let gone = nodes[0].go();
    sleep(Duration::from_secs(4)).await;
    hub.start();
    gone.await.unwrap();
    session.address = addresses[1];
    session.resume(Transport::Sse).await;
}

/// Takes a while for everything.
struct Pausing;

impl Channel for Pausing {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn handle_in(&mut self, _: &str, payload: Payload, _: &Context<Self>) -> Handled {
        sleep(Duration::from_millis(1_200)).await;
        Ok(reply("ok", payload))
    }
}

/// Of two moves of a session, the second would count as heard what waits for the first.
#[tokio::test]
async fn a_node_that_is_shut_down_twice_at_a_time_gives_each_session_once() {
    const SAID: u64 = 300;
    let (nodes, addresses) = three_with::<Pausing>(&Arc::new(())).await;
    let mut sessions = Vec::new();
    for _ in 0..8 {
        sessions.push(joined(addresses[0], "busy:1").await);
    }
    for session in &mut sessions {
        session.send_json(json!(["1", "2", "busy:1", "pause", {}])).await;
    }
    let speaker = nodes[1].server.clone();
    let speaking = tokio::spawn(async move {
        for n in 1..=SAID {
            speaker.broadcast("busy:1", "said", json!({"n": n})).unwrap();
            sleep(Duration::from_millis(5)).await;
        }
    });
    let gone = nodes[0].go();
    sleep(Duration::from_millis(250)).await;
    let gone_too = nodes[0].go();
    gone.await.unwrap();
    gone_too.await.unwrap();
    speaking.await.unwrap();
    for session in &mut sessions {
        session.address = addresses[1];
        session.resume(Transport::Sse).await;
        let mut heard = Vec::new();
        while heard.len() < SAID as usize {
            let message = session.next_json().await;
            heard.extend(message[4]["n"].as_u64());
        }
        assert_eq!(heard, (1..=SAID).collect::<Vec<_>>());
    }
}

/// An order that the other nodes will not hear is an error, and not one more line of the log.
#[tokio::test]
async fn an_order_that_the_other_nodes_cannot_be_told_is_an_error() {
    let (hub, nodes, _) = on_a_hub().await;
    nodes[0].go().await.unwrap();
    let told = nodes[0].server.disconnect("user:1");
    assert!(matches!(told, Err(BroadcastError::PubSub(_))), "it has ended: {told:?}");
    hub.stop();
    let told: Vec<_> = (0..1_100).map(|n| nodes[1].server.disconnect(format!("user:{n}")).is_ok()).collect();
    let first_refused = told.iter().position(|is_told| !is_told).unwrap();
    assert!(
        first_refused >= 1_000 && !told[first_refused..].contains(&true),
        "as many wait for answers as may"
    );
}
