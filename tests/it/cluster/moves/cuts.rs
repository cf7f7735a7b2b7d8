//! What a session has heard where it was, and what it hears where it goes on, of a node that the others lose sight of meanwhile.

use super::*;

/// Passes everything on, and says what it missed.
struct Listener;

impl Channel for Listener {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
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
