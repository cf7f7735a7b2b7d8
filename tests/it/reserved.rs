//! Names that are not for programs to send, and numbers and ids that are not what they look like elsewhere.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use lapwing::{
    Accept, Broadcast, BroadcastError, Channel, ChannelId, Context, Failure, Handled, Joining, Lapwing,
    Mount, Payload, PushError, Topic,
    protocol::EncodeError,
    pubsub::{Audience, Deliver, PubSub, PubSubError, PubSubMsg},
    reply,
};
use serde_json::json;

use crate::support::{
    channels::{Client, Vsn, closed, ok, reply as replied},
    lab,
};

/// Passes on whatever a client says, as a careless program does.
struct Careless;

impl Channel for Careless {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        let refused = [
            cx.push(event, payload.clone()).map_err(|error| error.to_string()),
            cx.broadcast(event, payload.clone()).map(drop).map_err(|error| error.to_string()),
            cx.broadcast_from(event, payload).map(drop).map_err(|error| error.to_string()),
        ];
        Ok(reply("ok", json!(refused.map(|result| result.err()))))
    }
}

const RESERVED: [&str; 10] = [
    "phx_close",
    "phx_error",
    "phx_reply",
    "phx_leave",
    "phx_something",
    "chan_reply_1",
    "chan_reply_",
    "presence_state",
    "presence_diff",
    "presence_count",
];

fn mount() -> Mount {
    Mount::new().channel::<Careless>("*", ()).connect(|request| async move {
        let user = request.param("user").unwrap_or("nobody").to_owned();
        Ok(Accept::new().id(format!("user:{user}")))
    })
}

async fn serve() -> (Lapwing, SocketAddr) {
    let lapwing = Lapwing::builder().mount("/socket", mount()).build().unwrap();
    let address = lab::serve(&lapwing).await;
    (lapwing, address)
}

#[tokio::test]
async fn a_client_cannot_have_the_protocols_own_events_sent_to_others() {
    let (_lapwing, address) = serve().await;
    for vsn in [Vsn::V1, Vsn::V2] {
        let mut attacker = Client::joined(address, vsn, "room:1").await;
        let mut victim = Client::joined(address, vsn, "room:1").await;
        // The protocol takes `phx_leave` for itself.
        for event in RESERVED.into_iter().filter(|event| *event != "phx_leave") {
            attacker.send(json!(["1", "2", "room:1", event, {"reason": "x"}])).await;
            let refused = "the event's name is reserved";
            attacker.expect(ok("1", "2", "room:1", json!([refused, refused, refused]))).await;
        }
        attacker.send(json!(["1", "3", "room:1", "presence", {}])).await;
        for event in ["presence", "presence"] {
            victim.expect(json!([null, null, "room:1", event, {}])).await;
        }
        victim.expect_heartbeat().await;
    }
}

#[tokio::test]
async fn the_program_cannot_broadcast_them_either() {
    let lapwing = Lapwing::builder().build().unwrap();
    let mut task = lapwing.subscribe("t");
    for event in RESERVED {
        for result in [
            lapwing.broadcast("t", event, json!({})),
            lapwing.publish(Broadcast::new("t", event, json!({})).except(ChannelId(1))),
            lapwing.publish(Broadcast::new("t", event, json!({})).local()),
        ] {
            assert!(matches!(result, Err(BroadcastError::ReservedEvent)), "{event}: {result:?}");
        }
    }
    lapwing.broadcast("t", "phx", json!({})).unwrap();
    assert_eq!(task.recv().await.unwrap().event, "phx");
    let (socket, _) = lapwing::testing::new_socket("t".into(), ChannelId(1), lapwing::TransportId(1), None);
    assert!(matches!(
        socket.push("phx_close", json!({})),
        Err(PushError::Encode(EncodeError::ReservedEvent))
    ));
}

#[tokio::test]
async fn what_is_published_on_a_topic_named_like_an_id_ends_no_connection() {
    let (lapwing, address) = serve().await;
    let mut victim = Client::connect_to(address, "/socket", Vsn::V2, "user=bob&").await;
    let mut attacker = Client::joined(address, Vsn::V2, "user:bob").await;
    attacker.send(json!(["1", "2", "user:bob", "disconnect", {}])).await;
    attacker.expect(json!(["1", null, "user:bob", "disconnect", {}])).await;
    lapwing.broadcast("user:bob", "disconnect", json!({})).unwrap();
    victim.expect_heartbeat().await;
    assert_eq!(lapwing.stats().topics, 1, "an id is no topic");
    lapwing.disconnect("user:bob").unwrap();
    victim.expect_close(1001).await;
}

/// One end of a wire between two nodes.
#[derive(Default)]
struct Wire {
    /// Gives messages to this node.
    deliver: Mutex<Option<Deliver>>,
    other: Mutex<Option<Arc<Wire>>>,
    sent: Mutex<Vec<PubSubMsg>>,
}

impl PubSub for Wire {
    fn start(&self, deliver: Deliver) {
        *self.deliver.lock().unwrap() = Some(deliver);
    }

    fn publish(&self, message: &PubSubMsg) -> Result<(), PubSubError> {
        self.sent.lock().unwrap().push(message.clone());
        let other = self.other.lock().unwrap();
        let deliver = other.as_ref().unwrap().deliver.lock().unwrap().clone().unwrap();
        deliver(message.clone());
        Ok(())
    }
}

async fn two_nodes() -> ([Arc<Wire>; 2], [Lapwing; 2], [SocketAddr; 2]) {
    let wires = [(); 2].map(|()| Arc::new(Wire::default()));
    *wires[0].other.lock().unwrap() = Some(wires[1].clone());
    *wires[1].other.lock().unwrap() = Some(wires[0].clone());
    let nodes = [0, 1].map(|n: usize| {
        Lapwing::builder().pubsub(wires[n].clone()).mount("/socket", mount()).build().unwrap()
    });
    let addresses = [lab::serve(&nodes[0]).await, lab::serve(&nodes[1]).await];
    (wires, nodes, addresses)
}

#[tokio::test]
async fn a_join_with_the_senders_number_on_another_node_misses_nothing() {
    let (wires, nodes, addresses) = two_nodes().await;
    // The first of its node on each, and so of the same number.
    let mut sender = Client::joined(addresses[0], Vsn::V2, "room:1").await;
    let mut remote = Client::joined(addresses[1], Vsn::V2, "room:1").await;
    sender.send(json!(["1", "2", "room:1", "say", {}])).await;
    sender.expect(json!(["1", null, "room:1", "say", {}])).await;
    sender.expect(json!([null, null, "room:1", "say", {}])).await;
    sender.expect(replied(json!("1"), "2", "room:1", "ok", json!([null, null, null]))).await;
    for how in ["broadcast", "broadcast_from"] {
        eprintln!("{how}");
        remote.expect(json!([null, null, "room:1", "say", {}])).await;
    }
    for number in 0..10 {
        let broadcast = Broadcast::new("room:1", "n", json!({"n": number})).except(ChannelId(number));
        nodes[0].publish(broadcast).unwrap();
        remote.expect(json!([null, null, "room:1", "n", {"n": number}])).await;
    }
    assert!(wires[0].sent.lock().unwrap().iter().all(|message| message.broadcast.from.is_none()));
    // Nor does an adapter that makes a number up keep anything from anybody.
    let deliver = wires[1].deliver.lock().unwrap().clone().unwrap();
    for number in 0..10 {
        let broadcast = Broadcast::new("room:1", "made up", json!({})).except(ChannelId(number));
        deliver(PubSubMsg::new(broadcast));
        remote.expect(json!([null, null, "room:1", "made up", {}])).await;
    }
}

#[tokio::test]
async fn a_disconnect_and_a_kick_cross_nodes_as_what_they_are() {
    let (wires, nodes, addresses) = two_nodes().await;
    let mut remote = Client::connect_to(addresses[1], "/socket", Vsn::V2, "user=bob&").await;
    remote.expect_heartbeat().await;
    nodes[0].broadcast("user:bob", "disconnect", json!({})).unwrap();
    remote.expect_heartbeat().await;
    remote.join("1", "room:1").await;
    nodes[0].kick("room:1", "user:bob", "spam").unwrap();
    remote.expect(closed("1", "room:1")).await;
    remote.expect_heartbeat().await;
    nodes[0].disconnect("user:bob").unwrap();
    remote.expect_close(1001).await;
    let sent: Vec<_> = wires[0].sent.lock().unwrap().iter().map(|message| message.audience).collect();
    assert_eq!(sent, [Audience::Subscribers, Audience::SocketId, Audience::SocketId]);
}
