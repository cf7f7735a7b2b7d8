//! Joins, callbacks, messages, broadcasts, presence and kept topics.

use std::{io, sync::Arc};

use lapwing::{
    Accept, Broadcast, BroadcastError, Channel, Context, Failure, Handled, Joining, Keep, Lapwing,
    MailboxLimits, Mount, NameLimits, Payload, Rate, Rates, Receive, Refusal, Sender, Topic, noreply, reply,
    testing::TestServer,
};
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};

use super::Counts;
use crate::support::{
    channels::{Client, Vsn},
    lab,
};

/// Lets callbacks go on, and hands out what sends to a join.
struct Shared {
    gate: Semaphore,
    senders: mpsc::UnboundedSender<Sender<Room>>,
}

struct Room;

impl Channel for Room {
    type State = Shared;

    const INTERCEPT: &'static [&'static str] = &["whisper"];

    async fn join(topic: &Topic, _: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        joining.state().senders.send(joining.sender()).ok();
        match topic.as_str() {
            "room:refused" => Err(Failure::reason("no")),
            "room:failed" => Err(Failure::internal(io::Error::other("disk full"))),
            "room:panicked" => panic!("asked to"),
            _ => Ok(Self),
        }
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        match event {
            "echo" => Ok(reply("ok", payload)),
            "wait" => {
                cx.state().gate.acquire().await.unwrap().forget();
                Ok(reply("ok", json!({})))
            }
            "fail" => Err(Failure::reason("asked to")),
            "say" => {
                cx.broadcast("said", payload)?;
                Ok(noreply())
            }
            "hear" => {
                cx.subscribe("news").await?;
                Ok(reply("ok", json!({})))
            }
            "track" => {
                cx.track("bob", json!({})).await?;
                Ok(reply("ok", json!({})))
            }
            _ => panic!("asked to"),
        }
    }

    async fn handle_broadcast(&mut self, _: Arc<Broadcast>, cx: &Context<Self>) -> Handled {
        cx.push("heard", json!({}))?;
        Ok(noreply())
    }
}

impl Receive<()> for Room {
    async fn handle_info(&mut self, (): (), cx: &Context<Self>) -> Handled {
        cx.push("informed", json!({}))?;
        Ok(noreply())
    }
}

struct Lab {
    server: TestServer,
    shared: Arc<Shared>,
    senders: mpsc::UnboundedReceiver<Sender<Room>>,
}

fn lab(set: impl FnOnce(Mount) -> Mount) -> Lab {
    let (send, senders) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared { gate: Semaphore::new(0), senders: send });
    let mount = Mount::new().connect(|_| async { Ok(Accept::new().id("bob")) });
    let mount = set(mount.channel::<Room>("room:*", shared.clone()));
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    Lab { server: TestServer::from(lapwing), shared, senders }
}

/// The numbers of the only route.
macro_rules! route {
    ($name:literal, $labels:literal) => {
        concat!($name, " /socket room:* ", $labels)
    };
}

#[tokio::test]
async fn joins_are_counted_by_what_becomes_of_them() {
    let Lab { server, .. } = lab(|mount| mount);
    let before = Counts::of(&server);
    let mut wanted = vec![];
    for (n, (topic, result)) in
        [("refused", "refused +1"), ("failed", "failed +1"), ("panicked", "panicked +1")]
            .into_iter()
            .enumerate()
    {
        server.join(format!("room:{topic}"), json!({})).await.err().unwrap();
        let called = format!(route!("callback_duration_seconds", "join +{}"), n + 1);
        wanted.push(format!(route!("joins_decided_total", "{}"), result));
        let crashed = route!("callbacks_failed_total", "join panicked +1");
        let mut all: Vec<&str> = wanted.iter().map(String::as_str).chain([&*called]).collect();
        all.extend((topic == "panicked").then_some(crashed));
        before.expect(&server, &all).await;
    }
}

#[tokio::test]
async fn a_join_is_counted_with_its_callbacks_to_its_end() {
    let Lab { server, .. } = lab(|mount| mount);
    let before = Counts::of(&server);
    let join = server.join("room:1", json!({})).await.unwrap();
    join.ask("echo", json!({})).await.ok();
    join.ask("echo", json!({})).await.ok();
    join.ask("fail", json!({})).await.error();
    let so_far = [
        route!("joins_decided_total", "ok +1"),
        route!("callback_duration_seconds", "join +1"),
        route!("callback_duration_seconds", "joined +1"),
        route!("callbacks_failed_total", "handle_in failed +1"),
    ];
    let three = [route!("callback_duration_seconds", "handle_in +3")];
    before.expect(&server, &[&so_far[..], &three].concat()).await;
    join.leave().await;
    let left = [route!("joins_ended_total", "left +1"), route!("callback_duration_seconds", "leave +1")];
    before.expect(&server, &[&so_far[..], &three, &left].concat()).await;
}

#[tokio::test]
async fn joins_are_counted_by_why_they_end() {
    for (reason, end) in [
        ("crashed +1", "unknown"),
        ("kicked +1", "kick"),
        ("disconnected +1", "disconnect"),
        ("joined_again +1", "join"),
    ] {
        let Lab { server, .. } = lab(|mount| mount);
        let client = server.connect("/socket").await.unwrap();
        let join = client.join("room:1", json!({})).await.unwrap();
        let before = Counts::of(&server);
        let mut _again = None;
        match end {
            "kick" => server.kick("room:1", "bob", "asked to").unwrap(),
            "disconnect" => client.disconnect(),
            "join" => _again = client.join("room:1", json!({})).await.ok(),
            event => join.send(event, json!({})),
        }
        let ended = format!(route!("joins_ended_total", "{}"), reason);
        super::until(reason, || before.moved(&server).contains(&ended)).await;
        let ends = before.moved(&server).into_iter().filter(|line| line.starts_with("joins_ended_total"));
        assert_eq!(ends.collect::<Vec<_>>(), [ended]);
    }
}

#[tokio::test]
async fn messages_that_come_to_no_channel_are_counted_by_the_reason() {
    let names = NameLimits::default().event_bytes_max(10);
    let rates = Rates::none().joins(Rate::new(1, std::time::Duration::from_secs(600)).burst(2));
    let (send, _senders) = mpsc::unbounded_channel();
    let shared = Shared { gate: Semaphore::new(0), senders: send };
    let mount = Mount::new().channel::<Room>("room:*", shared).joins_max(1).names(names).rates(rates);
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    let mut client = Client::connect(address, Vsn::V2).await;
    client.join("1", "room:1").await;
    let before = Counts::of(&lapwing);
    for (message, reason) in [
        (json!(["2", "2", "room:2", "phx_join", {}]), "too_many_joins +1"),
        (json!(["3", "3", "room:3", "phx_join", {}]), "joins_too_fast +1"),
        (json!(["1", "4", "room:4", "echo", {}]), "unmatched +1"),
        (json!(["1", "5", "room:1", "01234567890", {}]), "name_too_long +1"),
    ] {
        client.send(message).await;
        client.next_message().await;
        let moved = before.moved(&lapwing);
        assert!(moved.contains(&format!("messages_refused_total /socket {reason}")), "{moved:#?}");
    }
    client.send_text("nonsense").await;
    let unreadable = "messages_refused_total /socket unreadable +1".to_owned();
    super::until("it is counted", || before.moved(&lapwing).contains(&unreadable)).await;
    let refused = before.moved(&lapwing).into_iter().filter(|line| line.starts_with("messages_refused"));
    assert_eq!(refused.count(), 5);
}

#[tokio::test]
async fn mailboxes_without_room_are_counted_by_who_had_to_wait_or_go() {
    let Lab { server, shared, mut senders } =
        lab(|mount| mount.mailbox(MailboxLimits::new().messages_max(2)));
    let client = server.connect("/socket").await.unwrap();
    let join = client.join("room:1", json!({})).await.unwrap();
    let sender = senders.recv().await.unwrap();
    let full = |before: &Counts| -> Vec<String> {
        before.moved(&server).into_iter().filter(|line| line.starts_with("mailbox_full")).collect()
    };
    join.send("wait", json!({}));
    let before = Counts::of(&server);
    sender.send(()).unwrap();
    sender.send(()).unwrap();
    sender.send(()).unwrap_err();
    assert_eq!(full(&before), [route!("mailbox_full_total", "sender +1")]);
    server.broadcast("room:1", "whisper", json!({})).unwrap();
    shared.gate.add_permits(10);
    join.expect_crash().await;
    super::until("the broadcast is counted", || {
        full(&before).contains(&route!("mailbox_full_total", "broadcast +1").to_owned())
    })
    .await;

    let Lab { server, shared, .. } = lab(|mount| mount.mailbox(MailboxLimits::new().messages_max(2)));
    let join = server.join("room:1", json!({})).await.unwrap();
    let before = Counts::of(&server);
    for _ in 0..4 {
        join.send("wait", json!({}));
    }
    let paused = format!(route!("mailbox_full_total", "client +{}"), 1);
    super::until("the client is counted", || before.moved(&server).contains(&paused)).await;
    shared.gate.add_permits(10);
}

#[tokio::test]
async fn broadcasts_are_counted_with_their_receivers() {
    let Lab { server, .. } = lab(|mount| mount);
    let joins =
        [server.join("room:1", json!({})).await.unwrap(), server.join("room:1", json!({})).await.unwrap()];
    let mut task = server.subscribe("room:1");
    let before = Counts::of(&server);
    let receivers = || match server.metrics().value("lapwing_broadcast_receivers", &["program"]) {
        Some(lapwing::metrics::Value::Histogram(read)) => (read.count(), read.sum),
        other => panic!("{other:?}"),
    };
    let (count, sum) = receivers();
    server.broadcast("room:1", "said", json!({})).unwrap();
    assert_eq!(receivers(), (count + 1, sum + 3));
    server.broadcast("room:nobody", "said", json!({})).unwrap();
    assert_eq!(receivers(), (count + 2, sum + 3));
    joins[0].send("say", json!({}));
    joins[1].expect("said", json!({})).await;
    joins[1].expect("said", json!({})).await;
    before
        .expect(
            &server,
            &[
                "broadcast_receivers program +3",
                "broadcast_duration_seconds program +3",
                route!("callback_duration_seconds", "handle_in +1"),
            ],
        )
        .await;
    let before = Counts::of(&server);
    let reserved = server.broadcast("room:1", "phx_join", json!({}));
    assert!(matches!(reserved, Err(BroadcastError::ReservedEvent)));
    before.expect(&server, &["broadcasts_failed_total reserved_event +1"]).await;
    for _ in 0..1_024 {
        server.broadcast("room:1", "said", json!({})).unwrap();
    }
    let dropped = || super::count(&server.metrics(), "lapwing_subscription_dropped_total", &[]);
    assert_eq!(dropped(), 2, "two were there before");
    task.recv().await.unwrap_err();
}

#[tokio::test]
async fn presence_is_counted_by_what_is_asked() {
    let Lab { server, .. } = lab(|mount| mount);
    let join = server.join("room:1", json!({})).await.unwrap();
    let before = Counts::of(&server);
    join.ask("track", json!({})).await.ok();
    server.presences("room:1").await.unwrap();
    server.presence_count("room:1").await.unwrap();
    join.wait_for("presence_diff").await;
    let tracked = server.track("room:1", "__proto__", json!({})).await;
    assert!(tracked.is_err());
    before
        .expect(
            &server,
            &[
                "presence_requests_total track +1",
                "presence_requests_total list +1",
                "presence_requests_total look_up +1",
                // What was refused leaves nothing behind.
                "presence_requests_total end +1",
                "presence_requests_refused_total invalid +1",
                "broadcast_receivers presence +1",
                "broadcast_duration_seconds presence +1",
                route!("callback_duration_seconds", "handle_in +1"),
            ],
        )
        .await;
    assert_eq!(super::gauge(&server.metrics(), "lapwing_presences", &[]), 1.0);
    assert_eq!(super::gauge(&server.metrics(), "lapwing_joins", &[]), 1.0);
    assert_eq!(super::gauge(&server.metrics(), "lapwing_topics", &[]), 1.0);
}

#[tokio::test]
async fn recoveries_and_what_is_kept_are_counted() {
    let Lab { server, .. } = lab(|mount| mount.keep("room:*", Keep::last(2)));
    let first = server.broadcast("room:1", "said", json!({"n": 0})).unwrap().position.unwrap();
    let before = Counts::of(&server);
    let recovered = server.join("room:1", json!({"_since": first.to_string()})).await.unwrap();
    let mut wanted = vec!["recoveries_total recovered +1"];
    let recoveries = || -> Vec<String> {
        before.moved(&server).into_iter().filter(|line| line.starts_with("recoveries")).collect()
    };
    assert_eq!(recoveries(), wanted);
    for n in 1..=3 {
        server.broadcast("room:1", "said", json!({"n": n})).unwrap();
    }
    let trimmed = server.join("room:1", json!({"_since": first.to_string()})).await.unwrap();
    let nonsense = server.join("room:1", json!({"_since": "nonsense"})).await.unwrap();
    wanted.extend(["recoveries_total trimmed +1", "recoveries_total unreadable +1"]);
    assert_eq!(recoveries(), wanted);
    let kept = |what| super::gauge(&server.metrics(), what, &[]);
    assert_eq!((kept("lapwing_kept_topics"), kept("lapwing_kept_messages")), (1.0, 2.0));
    assert_eq!(kept("lapwing_kept_bytes"), server.stats().kept.bytes as f64);
    assert!(kept("lapwing_kept_bytes") > 0.0);
    drop((recovered, trimmed, nonsense));
}

#[tokio::test]
async fn new_tokens_are_counted() {
    let Lab { server, .. } = lab(|mount| {
        mount.on_token(|request| async move {
            match &*request.token {
                "good" => Ok(Accept::new().id("bob")),
                _ => Err(Refusal::default()),
            }
        })
    });
    let client = server.connect("/socket").await.unwrap();
    let before = Counts::of(&server);
    client.bring_token("good").await.ok();
    client.bring_token("bad").await.error();
    client.bring_token(&"x".repeat(20_000)).await.error();
    before.expect(&server, &["tokens_total /socket ok +1", "tokens_total /socket refused +2"]).await;
}

#[tokio::test]
async fn callbacks_of_all_kinds_are_counted() {
    let Lab { server, mut senders, .. } = lab(|mount| mount);
    let client = server.connect("/socket").await.unwrap();
    let join = client.join("room:1", json!({})).await.unwrap();
    let sender = senders.recv().await.unwrap();
    join.ask("hear", json!({})).await.ok();
    let before = Counts::of(&server);
    let mut wanted = Vec::new();
    sender.send(()).unwrap();
    join.expect("informed", json!({})).await;
    wanted.push(route!("callback_duration_seconds", "handle_info +1"));
    before.expect(&server, &wanted).await;
    server.broadcast("news", "new", json!({})).unwrap();
    join.expect("heard", json!({})).await;
    wanted.push(route!("callback_duration_seconds", "handle_broadcast +1"));
    wanted.extend(["broadcast_receivers program +1", "broadcast_duration_seconds program +1"]);
    before.expect(&server, &wanted).await;
    let before = Counts::of(&server);
    server.broadcast("room:1", "whisper", json!({})).unwrap();
    client.away();
    client.back();
    before
        .expect(
            &server,
            &[
                route!("callback_duration_seconds", "handle_out +1"),
                route!("callback_duration_seconds", "away +1"),
                route!("callback_duration_seconds", "back +1"),
                "broadcast_receivers program +1",
                "broadcast_duration_seconds program +1",
            ],
        )
        .await;
}
