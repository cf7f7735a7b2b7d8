//! What a session has heard where it was, and what it hears where it goes on, of a node that the others lose sight of meanwhile.

use super::*;

/// Passes everything on, says what it missed, and does not come back from where it is told to think.
struct Listener;

impl Channel for Listener {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, _: &Context<Self>) -> Handled {
        if event == "think" {
            std::future::pending::<()>().await;
        }
        Ok(reply("ok", payload))
    }

    async fn handle_gap(&mut self, gap: &Gap, cx: &Context<Self>) -> Handled {
        cx.push("missed", json!({"of": &*gap.node}))?;
        Ok(noreply())
    }
}

const TOPIC: &str = "heard:1";

/// So many nodes whose sessions soon follow their streams, and a session at each of the first three. All have heard what the last node says first.
async fn that_listen<const N: usize>(hub: &Hub, names: [&str; N]) -> ([Node; N], Vec<Session>) {
    let mut nodes = Vec::new();
    for name in names {
        let with = |mount: Mount| mount.channel::<Listener>("heard:*", ());
        nodes.push(Node::that_lets_follow(hub, name, Duration::from_millis(200), with).await);
    }
    let servers: Vec<_> = nodes.iter().map(|node| &node.server).collect();
    meet(&servers).await;
    let mut sessions = Vec::new();
    for node in &nodes[..3] {
        let mut session = Session::open(node.address, "/socket", Transport::Sse).await;
        session.send_json(json!(["1", "1", TOPIC, "phx_join", {}])).await;
        session.expect_json(ok("1", "1", TOPIC, json!({}))).await;
        sessions.push(session);
    }
    says(&nodes[N - 1], 0);
    for session in &mut sessions {
        session.expect_json(said(0)).await;
    }
    (nodes.try_into().ok().unwrap(), sessions)
}

fn says(node: &Node, n: u64) {
    node.server.broadcast(TOPIC, "said", json!({"n": n})).unwrap();
}

fn said(n: u64) -> serde_json::Value {
    json!([null, null, TOPIC, "said", {"n": n}])
}

/// The next message with this event. It may miss something of nodes that are cut off, and is told so.
async fn next_of(session: &mut Session, event: &str) -> serde_json::Value {
    loop {
        let message = session.next_json().await;
        if message[3] == event {
            return message;
        }
    }
}

/// A node says something and departs while another one hears nothing: of that, its sessions are told there, and go then. The node that they go to has heard it.
#[tokio::test]
async fn what_a_node_said_that_departed_unheard_is_told_as_missed_before_a_session_goes() {
    let hub = Hub::new();
    let (nodes, mut sessions) = that_listen(&hub, ["one", "two", "three"]).await;
    hub.drop_one_in("one", 1);
    says(&nodes[2], 1);
    sessions[1].expect_json(said(1)).await;
    nodes[2].go().await.unwrap();
    eventually("it is gone there", || nodes[1].server.cluster().unwrap().nodes.len() == 2).await;
    assert_eq!(nodes[0].server.cluster().unwrap().nodes.len(), 3, "and lives here");
    hub.drop_one_in("one", 0);
    nodes[0].go().await.unwrap();
    sessions[0].address = nodes[1].address;
    sessions[0].resume(Transport::Sse).await;
    sessions[0].expect_json(json!(["1", null, TOPIC, "missed", {"of": "three"}])).await;
}

/// Three nodes with a session each. That of the first has heard what the fourth has said, and the others will, when that is back.
async fn one_has_heard(hub: &Hub) -> ([Node; 4], Vec<Session>) {
    let (nodes, mut sessions) = that_listen(hub, ["one", "two", "three", "four"]).await;
    for name in ["two", "three"] {
        hub.drop_one_in(name, 1);
    }
    says(&nodes[3], 1);
    sessions[0].expect_json(said(1)).await;
    hub.refuse("four", true);
    hub.cut("four");
    for name in ["two", "three"] {
        hub.drop_one_in(name, 0);
    }
    (nodes, sessions)
}

/// Has the client of the first session come to another node, and waits until its session is there.
async fn follows(nodes: &[Node; 4], session: &mut Session, to: usize) {
    let before = nodes[to].sessions();
    session.address = nodes[to].address;
    session.resume(Transport::Sse).await;
    eventually("it follows", || nodes[to].sessions() == before + 1).await;
    session.resume(Transport::Sse).await;
    // Before the answer it gets a token that names this node.
    session.send_json(json!(["1", "2", TOPIC, "echo", {}])).await;
    next_of(session, "phx_reply").await;
}

/// What the first session has heard comes to the others, and what is said then to all of them.
async fn the_others_hear_it_and_all_the_next(hub: &Hub, nodes: &[Node; 4], sessions: &mut [Session]) {
    hub.refuse("four", false);
    for session in &mut sessions[1..] {
        assert_eq!(next_of(session, "said").await, said(1));
    }
    says(&nodes[3], 2);
    for session in sessions {
        assert_eq!(next_of(session, "said").await, said(2));
    }
}

#[tokio::test]
async fn what_a_session_has_heard_at_the_first_node_does_not_come_again_at_the_third() {
    let hub = Hub::new();
    let (nodes, mut sessions) = one_has_heard(&hub).await;
    follows(&nodes, &mut sessions[0], 1).await;
    follows(&nodes, &mut sessions[0], 2).await;
    the_others_hear_it_and_all_the_next(&hub, &nodes, &mut sessions).await;
}

#[tokio::test]
async fn what_a_session_has_heard_elsewhere_does_not_come_again_where_it_stays() {
    let hub = Hub::new();
    let (nodes, mut sessions) = one_has_heard(&hub).await;
    follows(&nodes, &mut sessions[0], 1).await;
    sessions[0].send_json(json!(["1", "3", TOPIC, "think", {}])).await;
    sessions[0].address = nodes[2].address;
    sessions[0].resume(Transport::Sse).await;
    let stayed = || nodes[1].server.stats().cluster.unwrap().moves.stayed;
    eventually("its channel is busy, and it stays", || stayed() == 1).await;
    the_others_hear_it_and_all_the_next(&hub, &nodes, &mut sessions).await;
}
