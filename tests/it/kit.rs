//! The test kit, by a channel that does what channels do.

use std::{sync::Arc, time::Duration};

use lapwing::{
    Accept, Broadcast, Channel, Context, Failure, Handled, Joining, Lapwing, LeaveReason, Mount, Payload,
    Receive, Refusal, Sender, SlowPolicy, StopReason, Topic, noreply, reply, stop,
    testing::{TestClient, TestServer},
    transports::close::CloseReason,
};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

/// What the joins share with the test.
struct Shared {
    /// Lets callbacks go on.
    gate: Notify,
    told: mpsc::UnboundedSender<String>,
    senders: mpsc::UnboundedSender<Sender<Room>>,
}

struct Room {
    user: String,
}

impl Channel for Room {
    type State = Shared;

    const INTERCEPT: &'static [&'static str] = &["whisper"];

    async fn join(topic: &Topic, params: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        if topic == "room:closed" {
            return Err(Failure::reason("closed"));
        }
        joining.set_reply(params)?;
        let _ = joining.state().senders.send(joining.sender());
        let user = joining.get_assign::<String>("user");
        Ok(Self { user: user.map_or_else(|| "nobody".to_owned(), |user| user.to_string()) })
    }

    async fn joined(&mut self, cx: &Context<Self>) -> Handled {
        if cx.topic() == "room:present" {
            cx.track_and_push_presences(&self.user, json!({})).await?;
        }
        Ok(noreply())
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        match event {
            "say" => drop(cx.broadcast_from("said", payload)?),
            "whisper" => drop(cx.broadcast("whisper", payload)?),
            "echo" => return Ok(reply("ok", payload)),
            "push" => cx.push("pushed", payload)?,
            "remind" => {
                let socket = (**cx).clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(3_600)).await;
                    socket.push("reminder", json!({}))
                });
            }
            "wait" => {
                cx.state().gate.notified().await;
                cx.push("waited", json!({}))?;
            }
            "crash" => panic!("asked to"),
            "stop" => return Ok(stop(StopReason::Normal).with_reply("ok", json!({"stopped": true}))),
            _ => return Err(Failure::reason("unmatched event")),
        }
        Ok(noreply())
    }

    async fn handle_out(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        if self.user != "deaf" {
            cx.push(event, payload)?;
        }
        Ok(noreply())
    }

    async fn away(&mut self, cx: &Context<Self>) -> Handled {
        cx.state().told.send("away".to_owned())?;
        Ok(noreply())
    }

    async fn back(&mut self, cx: &Context<Self>) -> Handled {
        cx.state().told.send("back".to_owned())?;
        Ok(noreply())
    }

    async fn leave(&mut self, reason: LeaveReason, cx: &Context<Self>) -> Result<(), Failure> {
        Ok(cx.state().told.send(format!("{reason:?}"))?)
    }
}

impl Receive<u32> for Room {
    async fn handle_info(&mut self, number: u32, cx: &Context<Self>) -> Handled {
        cx.push("number", json!({"n": number}))?;
        Ok(noreply())
    }
}

struct Lab {
    server: TestServer,
    shared: Arc<Shared>,
    told: mpsc::UnboundedReceiver<String>,
    senders: mpsc::UnboundedReceiver<Sender<Room>>,
}

fn shared() -> (Arc<Shared>, mpsc::UnboundedReceiver<String>, mpsc::UnboundedReceiver<Sender<Room>>) {
    let ((tell, told), (send, senders)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    (Arc::new(Shared { gate: Notify::new(), told: tell, senders: send }), told, senders)
}

fn lab() -> Lab {
    let (shared, told, senders) = shared();
    Lab { server: TestServer::new::<Room>(shared.clone()), shared, told, senders }
}

/// A server that wants to know who its clients are.
fn strict() -> (TestServer, mpsc::UnboundedReceiver<String>) {
    let (shared, told, _) = shared();
    let mount = Mount::new().channel::<Room>("room:*", shared).joins_max(2).connect(|request| async move {
        let user = request.param("user").ok_or_else(Refusal::default)?.to_owned();
        Ok(Accept::new().id(format!("user:{user}")).assign("user", user))
    });
    (Lapwing::builder().mount("/live", mount).build().unwrap().into(), told)
}

async fn connected(server: &TestServer, user: &str) -> TestClient {
    server.connect(&format!("/live?user={user}")).await.unwrap()
}

#[tokio::test]
async fn a_client_joins_asks_hears_and_leaves() {
    let mut lab = lab();
    let ada = lab.server.join("room:1", json!({"a": 1})).await.unwrap();
    let bob = lab.server.join("room:1", json!({})).await.unwrap();
    assert_eq!((ada.topic().as_str(), ada.response()), ("room:1", &json!({"a": 1}).into()));
    assert_eq!(ada.ask("echo", json!({"n": 1})).await.ok(), json!({"n": 1}));
    assert_eq!(ada.ask("nonsense", json!({})).await.error(), json!({"reason": "unmatched event"}));
    ada.send("say", json!({"text": "hi"}));
    bob.expect("said", json!({"text": "hi"})).await;
    ada.expect_nothing().await;
    lab.server.broadcast("room:1", "news", json!({})).unwrap();
    ada.expect("news", json!({})).await;
    assert_eq!(bob.next().await.event, "news");
    lab.senders.recv().await.unwrap().send(7).unwrap();
    ada.expect("number", json!({"n": 7})).await;
    ada.leave().await;
    assert_eq!(lab.told.recv().await.unwrap(), "NormalLeave");
    lab.server.broadcast("room:1", "news", json!({})).unwrap();
    ada.expect_nothing().await;
    assert_eq!(lab.server.join("room:closed", json!({})).await.unwrap_err(), json!({"reason": "closed"}));
}

#[tokio::test]
async fn a_server_that_is_shut_down_sends_its_clients_away() {
    let mut lab = lab();
    let ada = lab.server.join("room:1", json!({})).await.unwrap();
    assert!(lab.server.shutdown().await.is_clean());
    assert_eq!(ada.client().closed().await, CloseReason::Draining);
    assert_eq!(lab.told.recv().await.unwrap(), "Draining");
}

#[tokio::test]
async fn what_is_heard_can_be_bytes() {
    let lab = lab();
    let (ada, bob) =
        (lab.server.join("room:1", json!({})).await.unwrap(), lab.server.join("room:1", vec![0]).await);
    assert_eq!(bob.unwrap().response(), &Payload::from(vec![0]));
    let echoed = ada.ask("echo", vec![1, 2, 255]).await;
    assert_eq!((echoed.status.as_str(), &echoed.response), ("ok", &Payload::from(vec![1, 2, 255])));
    ada.send("push", vec![3]);
    ada.expect("pushed", vec![3]).await;
    lab.server.broadcast("room:1", "bytes", vec![4]).unwrap();
    ada.expect("bytes", vec![4]).await;
}

#[tokio::test]
async fn a_join_ends_by_a_crash_a_stop_or_a_kick_and_a_connection_by_either_side() {
    let (server, mut told) = strict();
    let ada = connected(&server, "ada").await;
    let room = ada.join("room:1", json!({})).await.unwrap();
    room.send("crash", json!({}));
    room.expect_crash().await;
    assert_eq!(told.recv().await.unwrap(), "Crashed(\"asked to\")");
    let room = ada.join("room:1", json!({})).await.unwrap();
    assert_eq!(room.ask("stop", json!({})).await.ok(), json!({"stopped": true}));
    room.expect_close().await;
    assert_eq!(told.recv().await.unwrap(), "NormalLeave");
    let room = ada.join("room:1", json!({})).await.unwrap();
    server.kick("room:1", "user:ada", "spam").unwrap();
    room.expect_close().await;
    assert_eq!(told.recv().await.unwrap(), "Kicked(\"spam\")");
    let _room = ada.join("room:1", json!({})).await.unwrap();
    server.disconnect("user:ada").unwrap();
    assert_eq!(ada.closed().await, CloseReason::Disconnected);
    assert_eq!(told.recv().await.unwrap(), "Disconnect");
    let bob = connected(&server, "bob").await;
    let room = bob.join("room:1", json!({})).await.unwrap();
    room.client().disconnect();
    assert_eq!((told.recv().await.unwrap().as_str(), bob.closed().await), ("Disconnect", CloseReason::Lost));
}

#[tokio::test]
async fn a_client_that_is_dropped_is_gone() {
    let mut lab = lab();
    drop(lab.server.join("room:1", json!({})).await.unwrap());
    assert_eq!(lab.told.recv().await.unwrap(), "Disconnect");
    lab.server.settle().await;
    assert_eq!(lab.server.stats().topics, 0);
}

#[tokio::test]
async fn the_mount_decides_who_connects_and_how_much_one_joins() {
    let (server, _told) = strict();
    assert_eq!(server.connect("/live").await.unwrap_err().status, 403);
    let ada = connected(&server, "ada").await;
    let _rooms = (ada.join("room:1", json!({})).await.unwrap(), ada.join("room:2", json!({})).await.unwrap());
    let reason = |reason: &str| json!({"reason": reason});
    assert_eq!(ada.join("room:3", json!({})).await.unwrap_err(), reason("too many channels joined"));
    assert_eq!(ada.join("other", json!({})).await.unwrap_err(), reason("unmatched topic"));
}

#[tokio::test]
async fn a_second_join_of_a_topic_replaces_the_first() {
    let (server, mut told) = strict();
    let ada = connected(&server, "ada").await;
    let first = ada.join("room:1", json!({})).await.unwrap();
    let second = ada.join("room:1", json!({})).await.unwrap();
    // The end of the first is not the second's to hear.
    second.expect_nothing().await;
    first.expect_close().await;
    assert_eq!(told.recv().await.unwrap(), "DuplicateJoin");
    assert_eq!(second.ask("echo", json!({})).await.ok(), json!({}));
}

#[tokio::test]
async fn an_intercepted_event_reaches_whom_the_channel_lets_it_reach() {
    let (server, _told) = strict();
    let ada = connected(&server, "ada").await.join("room:1", json!({})).await.unwrap();
    let deaf = connected(&server, "deaf").await.join("room:1", json!({})).await.unwrap();
    ada.send("whisper", json!({}));
    ada.expect("whisper", json!({})).await;
    deaf.expect_nothing().await;
}

#[tokio::test]
async fn a_client_is_away_and_back() {
    let mut lab = lab();
    let ada = lab.server.join("room:1", json!({})).await.unwrap();
    ada.client().away();
    ada.client().back();
    assert_eq!(
        (lab.told.recv().await.unwrap(), lab.told.recv().await.unwrap()),
        ("away".into(), "back".into())
    );
}

#[tokio::test]
async fn presence_is_seen_as_pages_see_it() {
    let (server, _told) = strict();
    let ada = connected(&server, "ada").await.join("room:present", json!({})).await.unwrap();
    let state: Value = ada.wait_for("presence_state").await.parse().unwrap();
    assert!(state.get("ada").is_some(), "{state}");
    let bob = connected(&server, "bob").await.join("room:present", json!({})).await.unwrap();
    assert_eq!(bob.wait_for("presence_state").await.parse::<Value>().unwrap().as_object().unwrap().len(), 2);
    loop {
        let diff: Value = ada.wait_for("presence_diff").await.parse().unwrap();
        if diff["joins"].get("bob").is_some() {
            break;
        }
    }
    assert_eq!(server.presence_count("room:present").await.unwrap().keys, 2);
}

#[tokio::test(start_paused = true)]
async fn time_is_the_tests() {
    let lab = lab();
    let ada = lab.server.join("room:1", json!({})).await.unwrap();
    ada.send("remind", json!({}));
    let start = tokio::time::Instant::now();
    ada.expect_nothing().await;
    assert_eq!(start.elapsed(), Duration::ZERO, "a test that waits moves no clock");
    tokio::time::advance(Duration::from_secs(3_599)).await;
    ada.expect_nothing().await;
    tokio::time::advance(Duration::from_secs(1)).await;
    ada.expect("reminder", json!({})).await;
}

#[tokio::test]
async fn a_callback_that_waits_is_waited_for_a_moment_and_not_for_ever() {
    let lab = lab();
    let ada = lab.server.join("room:1", json!({})).await.unwrap();
    ada.send("wait", json!({}));
    ada.expect_nothing().await;
    lab.shared.gate.notify_one();
    ada.expect("waited", json!({})).await;
}

/// What a test says that fails.
async fn fails(what: impl Future<Output = ()> + Send + 'static) -> String {
    let panic = tokio::spawn(what).await.unwrap_err().into_panic();
    *panic.downcast::<String>().unwrap()
}

#[tokio::test]
async fn a_test_that_fails_says_where_and_what_it_got() {
    let lab = lab();
    let ada = Arc::new(lab.server.join("room:1", json!({})).await.unwrap());
    lab.server.broadcast("room:1", "news", json!({"n": 1})).unwrap();
    let said = fails({
        let ada = ada.clone();
        async move { ada.expect("news", json!({"n": 2})).await }
    })
    .await;
    assert!(
        said.starts_with(file!()) && said.ends_with(r#"wanted news Json({"n":2}), got news Json({"n":1})"#),
        "{said}"
    );
    ada.send("push", json!({}));
    let said = fails({
        let ada = ada.clone();
        async move { ada.expect_nothing().await }
    })
    .await;
    assert!(
        said.starts_with(file!()) && said.contains("wanted nothing, got") && said.contains("pushed"),
        "{said}"
    );
    let said = fails(async move { drop(ada.ask("echo", json!({})).await.error()) }).await;
    assert!(said.contains("the answer is Json({})"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_clock_stands_where_topics_are_kept_too() {
    let ((told, _told), (senders, _senders)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    let shared = Shared { gate: Notify::new(), told, senders };
    let mount = Mount::new().channel::<Room>("*", shared).keep("*", lapwing::Keep::last(10));
    let server = TestServer::from(Lapwing::builder().mount("/socket", mount).build().unwrap());
    let start = tokio::time::Instant::now();
    let _client = server.join("room:1", json!({})).await.unwrap();
    let position = server.broadcast("room:1", "said", json!({"n": 1})).unwrap().position.unwrap();
    server.settle().await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?} passed", start.elapsed());
    assert_eq!(server.history("room:1", lapwing::Read::Last, 1).unwrap()[0].position, Some(position));
}

#[tokio::test]
async fn a_client_that_lost_its_connection_resumes_and_has_missed_nothing() {
    let Lab { server, mut told, .. } = lab();
    let ada = server.join("room:1", json!({})).await.unwrap();
    let bob = server.join("room:1", json!({})).await.unwrap();
    let lost = bob.client();
    lost.lose_connection();
    lost.lose_connection();
    assert_eq!(told.recv().await.unwrap(), "away");
    for n in 0..3 {
        ada.send("say", json!({ "n": n }));
        bob.send("say", json!({ "n": 10 + n }));
    }
    bob.expect_nothing().await;
    ada.expect_nothing().await;
    assert!(lost.resume().is_ok() && lost.resume().is_ok());
    assert_eq!(told.recv().await.unwrap(), "back");
    for n in 0..3 {
        bob.expect("said", json!({ "n": n })).await;
        ada.expect("said", json!({ "n": 10 + n })).await;
    }
    assert_eq!(
        bob.ask("echo", json!(1)).await.ok(),
        json!(1),
        "nothing waits for a client that is connected"
    );
    assert!(told.try_recv().is_err(), "told once");
}

#[tokio::test]
async fn a_client_that_lost_its_connection_is_told_the_newest_state_and_nothing_volatile() {
    let Lab { server, .. } = lab();
    let ada = server.join("room:1", json!({})).await.unwrap();
    let state = |key: &str, n: u64| Broadcast::new("room:1", "state", json!({key: n})).latest(key);
    server.publish(state("a", 0)).unwrap();
    ada.client().lose_connection();
    for n in 1..4 {
        server.publish(state("a", n)).unwrap();
        server.publish(state("b", n)).unwrap();
        server.publish(Broadcast::new("room:1", "typing", json!({})).volatile()).unwrap();
    }
    ada.client().resume().unwrap();
    for payload in [json!({"a": 0}), json!({"a": 3}), json!({"b": 3})] {
        ada.expect("state", payload).await;
    }
    server.publish(Broadcast::new("room:1", "typing", json!({})).volatile()).unwrap();
    ada.expect("typing", json!({})).await;
    ada.expect_nothing().await;
}

#[tokio::test]
async fn a_client_that_lost_its_connection_is_told_how_many_were_dropped_and_the_others_in_full() {
    let Lab { server, .. } = lab();
    let ada = server.join("room:1", json!({})).await.unwrap();
    let said = |n: u64| Broadcast::new("room:1", "said", json!({"n": n})).slow(SlowPolicy::drop_oldest(2));
    let say = |numbers: std::ops::Range<u64>| numbers.for_each(|n| assert!(server.publish(said(n)).is_ok()));
    say(0..5);
    for n in 0..5 {
        ada.expect("said", json!({"n": n})).await;
    }
    ada.client().lose_connection();
    say(5..10);
    ada.client().resume().unwrap();
    ada.expect("gap", json!({"dropped": 3})).await;
    for n in 8..10 {
        ada.expect("said", json!({"n": n})).await;
    }
    say(10..15);
    for n in 10..15 {
        ada.expect("said", json!({"n": n})).await;
    }
    ada.expect_nothing().await;
}

#[tokio::test]
async fn a_session_that_ended_while_its_connection_was_lost_is_not_resumed() {
    let Lab { server, .. } = lab();
    let ada = server.join("room:1", json!({})).await.unwrap();
    ada.client().lose_connection();
    ada.client().disconnect();
    assert_eq!(ada.client().resume(), Err(CloseReason::Lost));
}

#[tokio::test]
async fn who_settles_has_waited_for_leave_callbacks() {
    let Lab { server, mut told, .. } = lab();
    let ada = server.join("room:1", json!({})).await.unwrap();
    ada.leave().await;
    server.settle().await;
    assert_eq!(told.try_recv().as_deref(), Ok("NormalLeave"));
}
