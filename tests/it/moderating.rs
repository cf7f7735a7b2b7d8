//! What a program does about its clients: it lists them, sees how much waits for them, and has them leave a topic.

use std::net::SocketAddr;

use lapwing::{
    Accept, Broadcast, Channel, Context, Failure, Handled, Joining, Lapwing, LeaveReason, Mount, Payload,
    Subscription, Topic, noreply, reply, transports::connect,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    PATIENCE,
    channels::{Client, Vsn, closed, ok, reply as replied},
    lab,
    sessions::{Session, Transport},
};

/// Tells the topic `left` why it ends, and does what a moderator asks for.
struct Room;

impl Channel for Room {
    type State = ();

    const INTERCEPT: &'static [&'static str] = &["whisper"];

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        let user: String = payload.parse().unwrap();
        match event {
            "kick" => cx.kick("room:1", user, "moderated").unwrap(),
            "ban" => cx.disconnect(user).unwrap(),
            _ => {
                return Ok(reply(
                    "ok",
                    json!({"frames": cx.waiting().frames, "unacknowledged": cx.unacknowledged().frames}),
                ));
            }
        }
        Ok(noreply())
    }

    async fn leave(&mut self, reason: LeaveReason, cx: &Context<Self>) -> Result<(), Failure> {
        let left = json!([cx.socket_id(), format!("{reason:?}")]);
        cx.publish(Broadcast::new("left", &*cx.topic().clone(), left).local()).unwrap();
        Ok(())
    }
}

async fn serve() -> (Lapwing, SocketAddr) {
    let mount = Mount::new().channel::<Room>("room:*", ()).connect(|request| async move {
        let id = request.param("user").map(|user| format!("user:{user}"));
        Ok(id.map_or_else(Accept::new, |id| Accept::new().id(id)))
    });
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    (lapwing, address)
}

async fn joined(address: SocketAddr, user: &str, topics: &[&str]) -> Client {
    let mut client = Client::connect_to(address, "/socket", Vsn::V2, &format!("user={user}&")).await;
    for topic in topics {
        client.send(json!(["1", "1", topic, "phx_join", {}])).await;
        client.expect(ok("1", "1", topic, json!({}))).await;
    }
    client
}

async fn next_left(left: &mut Subscription) -> (String, Value) {
    let broadcast = timeout(PATIENCE, left.recv()).await.expect("somebody leaves").unwrap();
    (broadcast.event.to_string(), broadcast.payload.parse().unwrap())
}

#[tokio::test]
async fn the_joins_of_a_user_on_a_topic_are_ended_and_nothing_else_is() {
    let (lapwing, address) = serve().await;
    let mut left = lapwing.subscribe("left");
    let mut phone = joined(address, "bob", &["room:1", "room:2"]).await;
    let mut laptop = joined(address, "bob", &["room:1"]).await;
    let mut eve = joined(address, "eve", &["room:1"]).await;
    lapwing.kick("room:1", "user:bob", "spam").unwrap();
    for client in [&mut phone, &mut laptop] {
        client.expect(closed("1", "room:1")).await;
        let reason = json!(["user:bob", "Kicked(\"spam\")"]);
        assert_eq!(next_left(&mut left).await, ("room:1".to_owned(), reason));
        client.expect_heartbeat().await;
    }
    eve.expect_heartbeat().await;
    assert_eq!(lapwing.members("room:1").count(), 1);
    // One that comes back is let in, as the channel refuses nobody, and a channel can do the same.
    laptop.send(json!(["2", "2", "room:1", "phx_join", {}])).await;
    laptop.expect(ok("2", "2", "room:1", json!({}))).await;
    eve.send(json!(["1", "2", "room:1", "kick", "user:bob"])).await;
    laptop.expect(closed("2", "room:1")).await;
    assert_eq!(next_left(&mut left).await.1, json!(["user:bob", "Kicked(\"moderated\")"]));
    eve.send(json!(["1", "3", "room:1", "ban", "user:bob"])).await;
    laptop.expect_close(1001).await;
    phone.expect_close(1001).await;
    assert_eq!(next_left(&mut left).await, ("room:2".to_owned(), json!(["user:bob", "Disconnect"])));
    lapwing.kick("room:1", "user:nobody", "is not there").unwrap();
    eve.expect_heartbeat().await;
}

#[tokio::test]
async fn sessions_topics_and_members_are_listed() {
    let (lapwing, address) = serve().await;
    let mut subscription = Some(lapwing.subscribe("room:1"));
    let mut bob = joined(address, "bob", &["room:1", "room:2"]).await;
    let _eve = joined(address, "eve", &["room:1"]).await;
    let sessions: Vec<_> = lapwing.sessions().collect();
    assert_eq!(sessions.len(), 2);
    let of_bob = sessions.iter().find(|session| session.socket_id.as_deref() == Some("user:bob")).unwrap();
    assert_eq!(
        (&*of_bob.mount, of_bob.transport, of_bob.is_attached),
        ("/socket", connect::Transport::Websocket, true)
    );
    assert!(!of_bob.is_resumable);
    let mut topics = of_bob.topics.clone();
    topics.sort();
    assert_eq!(topics, [Topic::from("room:1"), Topic::from("room:2")]);
    for (topic, subscribers) in [("room:1", 3), ("room:2", 1)] {
        let info = lapwing.topics().find(|info| info.topic == topic).unwrap();
        assert_eq!(info.subscribers, subscribers, "{topic}");
    }
    let members: Vec<_> = lapwing.members("room:1").collect();
    assert_eq!(members.len(), 2, "a task is no member: {members:?}");
    assert!(members.iter().any(|member| member.transport_id == of_bob.transport_id));
    assert!(members.iter().any(|member| member.socket_id.as_deref() == Some("user:eve")));
    assert_eq!(lapwing.members("room:3").count(), 0);
    subscription.take();
    bob.send(json!(["1", "2", "room:2", "phx_leave", {}])).await;
    bob.expect(ok("1", "2", "room:2", json!({}))).await;
    bob.expect(closed("1", "room:2")).await;
    assert_eq!(lapwing.topics().map(|info| info.topic).collect::<Vec<_>>(), ["room:1"].map(Topic::from));
}

#[tokio::test]
async fn what_waits_for_a_client_can_be_asked() {
    let (lapwing, address) = serve().await;
    let mut client = Session::open(address, "/socket", Transport::Websocket).await;
    client.send_json(json!(["1", "1", "room:1", "phx_join", {}])).await;
    client.expect_json(ok("1", "1", "room:1", json!({}))).await;
    client.say("!ack 1").await;
    let info = || lapwing.sessions().next().unwrap();
    for n in 0..3 {
        lapwing.broadcast("room:1", "news", json!({"n": n})).unwrap();
    }
    let bytes = r#"[null,null,"room:1","news",{"n":0}]"#.len() * 3;
    assert_eq!((info().waiting.frames, info().waiting.bytes), (3, bytes));
    for n in 0..3 {
        client.expect_json(json!([null, null, "room:1", "news", {"n": n}])).await;
    }
    // They came, but the client has not said so.
    client.send_json(json!(["1", "2", "room:1", "waiting", ""])).await;
    let told = json!({"frames": 0, "unacknowledged": 3});
    client.expect_json(replied(json!("1"), "2", "room:1", "ok", told.clone())).await;
    let bytes = bytes + replied(json!("1"), "2", "room:1", "ok", told).to_string().len();
    assert_eq!((info().unacknowledged.frames, info().unacknowledged.bytes), (4, bytes));
    assert_eq!(info().waiting.frames, 0);
    client.say("!ack 5").await;
    client.send_json(json!(["1", "3", "room:1", "waiting", ""])).await;
    client
        .expect_json(replied(json!("1"), "3", "room:1", "ok", json!({"frames": 0, "unacknowledged": 0})))
        .await;
}
