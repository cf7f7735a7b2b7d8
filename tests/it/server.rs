//! What a program does with its server, in one process.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use lapwing::{
    Accept, Broadcast, BuildError, Channel, Context, Failure, Handled, Joining, Lapwing, LeaveReason, Mount,
    Payload, Receive, Refusal, SendError, Sender, StopReason, Topic, noreply,
    protocol::{FiveKey, SerializerList},
    pubsub::{Deliver, PubSub, PubSubError, PubSubMsg},
    reply, stop,
};
use serde_json::{Value, json};

use crate::support::{
    channels::{BOTH, Client, Vsn, closed, crashed, ok},
    http, lab,
    websocket::{Event, Frame, RawSocket},
};

/// What the channels of a test tell it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn push(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    /// Waits until something was told that `is_it`.
    async fn wait_for(&self, is_it: impl Fn(&str) -> bool) -> String {
        for _ in 0..500 {
            if let Some(line) = self.0.lock().unwrap().iter().find(|line| is_it(line)) {
                return line.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not told within 5 s: {:?}", self.0.lock().unwrap());
    }
}

/// What the joins of a test share with it.
#[derive(Default)]
struct Told {
    log: Log,
    /// Of the last join.
    sender: Mutex<Option<Sender<Worker>>>,
}

/// Does whatever the tests here need of a channel.
struct Worker;

impl Channel for Worker {
    type State = Told;
    const INTERCEPT: &'static [&'static str] = &["secret"];

    async fn join(_: &Topic, params: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        joining.set_reply(json!({"params": params.parse::<Value>().unwrap_or_default()}))?;
        *joining.state().sender.lock().unwrap() = Some(joining.sender());
        Ok(Self)
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        match event {
            "subscribe" => {
                cx.subscribe("news");
                cx.subscribe("news");
                Ok(reply("ok", Payload::empty()))
            }
            "unsubscribe" => {
                cx.unsubscribe("news");
                Ok(reply("ok", Payload::empty()))
            }
            "push_array" => match cx.push("array", json!([1])) {
                Ok(()) => Ok(reply("ok", Payload::empty())),
                Err(error) => Ok(reply("error", json!({"reason": error.to_string()}))),
            },
            "kick" => Ok(stop(StopReason::Kicked("spam".into()))),
            "crash" => panic!("asked to"),
            "wait" => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                Ok(reply("ok", payload))
            }
            _ => Ok(reply("ok", payload)),
        }
    }

    async fn handle_out(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        let mut payload: Value = payload.parse().unwrap();
        payload["for"] = json!(cx.channel_id().0);
        cx.push(event, payload).unwrap();
        Ok(noreply())
    }

    async fn handle_broadcast(&mut self, broadcast: Arc<Broadcast>, cx: &Context<Self>) -> Handled {
        cx.push(&broadcast.event, json!({"from": broadcast.topic.as_str()})).unwrap();
        Ok(noreply())
    }

    async fn leave(&mut self, reason: LeaveReason, cx: &Context<Self>) -> Result<(), Failure> {
        cx.state().log.push(format!("{} {reason:?}", cx.topic()));
        Ok(())
    }
}

impl Receive<Value> for Worker {
    async fn handle_info(&mut self, message: Value, cx: &Context<Self>) -> Handled {
        cx.push("info", message).unwrap();
        Ok(noreply())
    }
}

/// Cannot be dropped.
struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

impl Channel for Fragile {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn handle_in(&mut self, _: &str, payload: Payload, _: &Context<Self>) -> Handled {
        Ok(reply("ok", payload))
    }
}

struct Lab {
    lapwing: Lapwing,
    address: std::net::SocketAddr,
    log: Log,
    told: Arc<Told>,
}

async fn lab() -> Lab {
    let told = Arc::new(Told::default());
    let mount = Mount::new()
        .channel::<Worker>("work:*", told.clone())
        .channel::<Fragile>("fragile", ())
        .connect(|request| async move {
            Ok(match request.param("user") {
                Some(user) => Accept::new().id(format!("user:{user}")),
                None => Accept::new(),
            })
        });
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    Lab { lapwing, address, log: told.log.clone(), told }
}

impl Lab {
    async fn joined(&self, vsn: Vsn, topic: &str) -> Client {
        let mut client = Client::connect(self.address, vsn).await;
        client.send(json!(["1", "1", topic, "phx_join", {}])).await;
        client.expect(ok("1", "1", topic, json!({"params": {}}))).await;
        client
    }
}

#[tokio::test]
async fn the_program_publishes_to_clients_and_tasks_and_counts_them() {
    let lab = lab().await;
    let mut task = lab.lapwing.subscribe("work:1");
    for vsn in BOTH {
        let mut client = lab.joined(vsn, "work:1").await;
        lab.lapwing.broadcast("work:1", "news", json!({"n": 1})).unwrap();
        lab.lapwing.publish(Broadcast::new("work:1", "news", json!({"n": 2})).local()).unwrap();
        for n in [1, 2] {
            client.expect(json!([null, null, "work:1", "news", {"n": n}])).await;
            let got = task.recv().await.unwrap();
            assert_eq!(
                (got.event.as_str(), got.payload.parse::<Value>().unwrap()),
                ("news", json!({"n": n}))
            );
        }
        let stats = lab.lapwing.stats();
        assert_eq!((stats.connections, stats.sessions, stats.joins), (1, 1, 1));
        assert!(stats.topics >= 1 && stats.frames_out >= 3);
        client.send(json!(["1", "2", "work:1", "phx_leave", {}])).await;
        client.expect(ok("1", "2", "work:1", json!({}))).await;
        client.expect(closed("1", "work:1")).await;
        client.socket.send(Frame::close(1000, "")).await;
        assert_eq!(client.socket.next().await, Event::Close(1000, String::new()));
        assert_eq!(client.socket.next().await, Event::End);
    }
    lab.log.wait_for(|line| line == "work:1 NormalLeave").await;
}

#[tokio::test]
async fn a_task_that_lags_is_told_how_much_it_missed() {
    let lapwing = Lapwing::builder().build().unwrap();
    let mut task = lapwing.subscribe("busy");
    for n in 0..1_030 {
        lapwing.broadcast("busy", "n", json!({"n": n})).unwrap();
    }
    assert_eq!(task.recv().await.unwrap_err().0, 6);
    assert_eq!(task.recv().await.unwrap().payload.parse::<Value>().unwrap(), json!({"n": 6}));
    assert_eq!(lapwing.stats().topics, 1);
    drop(task);
    assert_eq!(lapwing.stats().topics, 0, "a topic without subscribers is forgotten");
}

#[tokio::test]
async fn all_connections_of_a_user_are_disconnected_by_id() {
    let lab = lab().await;
    let mut clients = [
        Client::connect_to(lab.address, "/socket", Vsn::V2, "user=bob&").await,
        Client::connect_to(lab.address, "/socket", Vsn::V2, "user=bob&").await,
    ];
    let mut other = Client::connect_to(lab.address, "/socket", Vsn::V2, "user=eve&").await;
    for client in &mut clients {
        client.expect_heartbeat().await;
    }
    lab.lapwing.disconnect("user:bob").unwrap();
    for client in &mut clients {
        client.expect_close(1001).await;
    }
    other.expect_heartbeat().await;
}

#[tokio::test]
async fn a_sender_reaches_one_join_until_it_ends() {
    let lab = lab().await;
    let mut client = lab.joined(Vsn::V2, "work:1").await;
    let sender = lab.told.sender.lock().unwrap().clone().unwrap();
    sender.send(json!({"hello": true})).unwrap();
    client.expect(json!(["1", null, "work:1", "info", {"hello": true}])).await;
    client.send(json!(["1", "2", "work:1", "kick", {}])).await;
    client.expect(closed("1", "work:1")).await;
    lab.log.wait_for(|line| line == "work:1 Kicked(\"spam\")").await;
    let gone = async {
        while sender.send(json!({})).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, gone).await.expect("a join that is over takes nothing");
    assert_eq!(sender.send(json!(1)), Err(SendError::Ended(json!(1))), "the message is given back");
}

#[tokio::test]
async fn intercepted_events_pass_through_the_channel_and_others_do_not() {
    let lab = lab().await;
    let mut client = lab.joined(Vsn::V2, "work:1").await;
    lab.lapwing.broadcast("work:1", "secret", json!({})).unwrap();
    let seen = client.next_message().await;
    assert_eq!((&seen[0], &seen[3]), (&json!("1"), &json!("secret")), "a push of the channel's own");
    assert!(seen[4]["for"].is_u64(), "changed on the way: {seen}");
    lab.lapwing.broadcast("work:1", "open", json!({})).unwrap();
    client.expect(json!([null, null, "work:1", "open", {}])).await;
}

#[tokio::test]
async fn a_channel_hears_other_topics_that_it_subscribed_to_once() {
    let lab = lab().await;
    let mut client = lab.joined(Vsn::V2, "work:1").await;
    for (event, heard) in [("subscribe", true), ("unsubscribe", false)] {
        client.send(json!(["1", "2", "work:1", event, {}])).await;
        client.expect(ok("1", "2", "work:1", json!({}))).await;
        lab.lapwing.broadcast("news", "flash", json!({})).unwrap();
        if heard {
            client.expect(json!(["1", null, "work:1", "flash", {"from": "news"}])).await;
        }
        client.expect_silence().await;
    }
}

#[tokio::test]
async fn leave_runs_once_and_says_why_however_the_join_ends() {
    let lab = lab().await;
    let mut client = lab.joined(Vsn::V2, "work:crash").await;
    client.send(json!(["1", "2", "work:crash", "crash", {}])).await;
    client.expect(crashed("1", "work:crash")).await;
    lab.log.wait_for(|line| line == "work:crash Crashed(\"asked to\")").await;

    client.send(json!(["3", "3", "work:twice", "phx_join", {}])).await;
    client.expect(ok("3", "3", "work:twice", json!({"params": {}}))).await;
    client.send(json!(["4", "4", "work:twice", "phx_join", {}])).await;
    client.expect(ok("4", "4", "work:twice", json!({"params": {}}))).await;
    client.expect(closed("3", "work:twice")).await;
    lab.log.wait_for(|line| line == "work:twice DuplicateJoin").await;

    drop(client);
    lab.log.wait_for(|line| line == "work:twice Disconnect").await;
    assert_eq!(lab.log.0.lock().unwrap().len(), 3, "each join has left once");
}

#[tokio::test]
async fn a_callback_that_waits_holds_up_nobody() {
    let lab = lab().await;
    let mut client = lab.joined(Vsn::V2, "work:slow").await;
    client.send(json!(["2", "2", "work:fast", "phx_join", {}])).await;
    client.expect(ok("2", "2", "work:fast", json!({"params": {}}))).await;
    client.send(json!(["1", "3", "work:slow", "wait", {"n": 1}])).await;
    client.send(json!(["1", "4", "work:slow", "echo", {"n": 2}])).await;
    client.send(json!(["2", "5", "work:fast", "echo", {"n": 3}])).await;
    client.expect(ok("2", "5", "work:fast", json!({"n": 3}))).await;
    client.expect_heartbeat().await;
    client.expect(ok("1", "3", "work:slow", json!({"n": 1}))).await;
    client.expect(ok("1", "4", "work:slow", json!({"n": 2}))).await;
}

#[tokio::test]
async fn a_channel_that_panics_when_it_is_dropped_hurts_nobody() {
    let lab = lab().await;
    let mut client = lab.joined(Vsn::V2, "work:1").await;
    for join_ref in ["2", "3"] {
        client.send(json!([join_ref, join_ref, "fragile", "phx_join", {}])).await;
        client.expect(ok(join_ref, join_ref, "fragile", json!({}))).await;
        client.send(json!([join_ref, "4", "fragile", "phx_leave", {}])).await;
        client.expect(ok(join_ref, "4", "fragile", json!({}))).await;
        client.expect(closed(join_ref, "fragile")).await;
        client.expect_heartbeat().await;
    }
    client.send(json!(["1", "5", "work:1", "echo", {}])).await;
    client.expect(ok("1", "5", "work:1", json!({}))).await;
}

#[tokio::test]
async fn what_cannot_be_pushed_is_an_error_of_the_caller() {
    let lab = lab().await;
    let mut client = lab.joined(Vsn::V2, "work:1").await;
    client.send(json!(["1", "2", "work:1", "push_array", {}])).await;
    let answer = client.next_message().await;
    assert_eq!(answer[4]["status"], "error", "{answer}");
    assert!(lab.lapwing.broadcast("work:1", "x", json!([1])).is_err());
    client.expect_heartbeat().await;
}

#[tokio::test]
async fn a_shutdown_sends_everybody_away_and_waits_for_the_last_leave() {
    let lab = lab().await;
    let mut client = lab.joined(Vsn::V2, "work:1").await;
    let shutdown = tokio::spawn({
        let lapwing = lab.lapwing.clone();
        async move { lapwing.shutdown().await }
    });
    client.expect_close(1012).await;
    tokio::time::timeout(crate::support::PATIENCE, shutdown).await.unwrap().unwrap();
    assert_eq!(*lab.log.0.lock().unwrap(), ["work:1 Draining"]);
}

#[test]
fn mistakes_of_the_program_are_found_when_the_server_is_built() {
    let bad =
        Lapwing::builder().mount("/socket", Mount::new().channel::<Worker>("wo*rk", Told::default())).build();
    assert!(matches!(bad, Err(BuildError::Pattern(_))));
    let twice = Lapwing::builder().mount("/socket", Mount::new()).mount("/socket/", Mount::new()).build();
    assert_eq!(twice.err(), Some(BuildError::DuplicateMount("/socket/".into())));
}

#[tokio::test]
async fn the_connect_callback_sees_who_connects_and_can_refuse_with_any_status() {
    let seen = Log::default();
    let told = seen.clone();
    let mount = Mount::new().with_auth_tokens().connect(move |request| {
        let told = told.clone();
        async move {
            if request.param("refuse").is_some() {
                return Err(Refusal::new(hyper::StatusCode::TOO_MANY_REQUESTS).with_body("later"));
            }
            let x: Vec<_> = request.x_headers().map(|(name, value)| format!("{name}={value}")).collect();
            let trace: Vec<_> = request.trace_context().map(|(name, _)| name.to_owned()).collect();
            told.push(format!(
                "{} {:?} {:?} {:?} {x:?} {trace:?} {} {}",
                request.transport.name(),
                request.user_agent(),
                request.auth_token,
                request.param("room"),
                request.peer().is_some(),
                request.uri.path(),
            ));
            Ok(Accept::new())
        }
    });
    let lapwing = Lapwing::builder().mount("/ws/:room", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    let headers = [
        ("user-agent", "lab/1"),
        ("x-team", "blue"),
        ("traceparent", "00-1-2-01"),
        ("sec-websocket-protocol", "phoenix, base64url.bearer.phx.dG9rLmVu"),
    ];
    let socket =
        RawSocket::handshake(address, "/ws/lobby/websocket?vsn=2.0.0", &headers).await.expect("let in");
    assert_eq!(socket.response.header("sec-websocket-protocol"), Some("phoenix"));
    let line = seen.wait_for(|line| line.starts_with("websocket")).await;
    assert_eq!(
        line,
        r#"websocket Some("lab/1") Some("tok.en") Some("lobby") ["x-team=blue"] ["traceparent"] true /ws/lobby/websocket"#
    );
    let refused = RawSocket::handshake(address, "/ws/lobby/websocket?vsn=2.0.0&refuse=1", &[]).await.err();
    let refused = refused.expect("refused");
    assert_eq!((refused.status, refused.text()), (429, "later".to_owned()));
    let polled = http::get(address, "/ws/lobby/longpoll?vsn=2.0.0&refuse=1").await;
    assert_eq!(
        polled.json(),
        json!({"status": 403, "reason": "later"}),
        "stock clients understand no other status"
    );
}

#[tokio::test]
async fn serializers_are_chosen_by_version_and_can_be_added() {
    let serializers = SerializerList::default().with("~> 3.0", FiveKey);
    let mount = Mount::new().channel::<Worker>("work:*", Told::default()).serializers(serializers);
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    let mut socket = RawSocket::connect(address, "/socket/websocket?vsn=3.1.0").await;
    socket
        .send(Frame::text(r#"{"join_ref":"0","ref":"1","topic":"work:1","event":"phx_join","payload":{}}"#))
        .await;
    let Event::Text(text) = socket.next().await else { panic!("wanted a reply") };
    let reply: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&reply["join_ref"], &reply["event"]), (&json!("0"), &json!("phx_reply")));
}

/// An adapter that keeps what it is given, and can play another node.
#[derive(Default)]
struct Recorder {
    published: Mutex<Vec<String>>,
    deliver: Mutex<Option<Deliver>>,
}

impl PubSub for Recorder {
    fn start(&self, deliver: Deliver) {
        *self.deliver.lock().unwrap() = Some(deliver);
    }

    fn publish(&self, message: &PubSubMsg) -> Result<(), PubSubError> {
        self.published.lock().unwrap().push(message.broadcast.event.to_string());
        match message.broadcast.event.as_str() {
            "unlucky" => Err(PubSubError("the link is down".into())),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn an_adapter_is_given_what_is_for_all_nodes_and_delivers_what_comes_from_them() {
    let recorder = Arc::new(Recorder::default());
    let lapwing = Lapwing::builder().pubsub(recorder.clone()).build().unwrap();
    let mut task = lapwing.subscribe("t");
    lapwing.broadcast("t", "everywhere", json!({})).unwrap();
    lapwing.publish(Broadcast::new("t", "here", json!({})).local()).unwrap();
    assert!(lapwing.broadcast("t", "unlucky", json!({})).is_err());
    assert_eq!(*recorder.published.lock().unwrap(), ["everywhere", "unlucky"]);
    let deliver = recorder.deliver.lock().unwrap().clone().unwrap();
    deliver(PubSubMsg::new(Broadcast::new("t", "from afar", json!({}))));
    for event in ["everywhere", "here", "unlucky", "from afar"] {
        assert_eq!(task.recv().await.unwrap().event, event);
    }
}

#[tokio::test]
async fn a_mount_nests_in_axum() {
    let lapwing = Lapwing::builder()
        .mount("/socket", Mount::new().channel::<Worker>("work:*", Told::default()))
        .build()
        .unwrap();
    let app = axum::Router::new()
        .nest_service("/nested", lapwing.at("/socket").unwrap())
        .fallback_service(lapwing.service());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    for mount in ["/nested", "/socket"] {
        let mut client = Client::connect_to(address, mount, Vsn::V2, "").await;
        client.send(json!(["1", "1", "work:1", "phx_join", {}])).await;
        client.expect(ok("1", "1", "work:1", json!({"params": {}}))).await;
    }
    assert_eq!(http::get(address, "/elsewhere").await.status, 404);
    let unknown = lapwing.at("/nowhere").unwrap_err();
    assert_eq!((&*unknown.path, &unknown.mounts[..]), ("/nowhere", &["/socket".to_owned()][..]));
}
