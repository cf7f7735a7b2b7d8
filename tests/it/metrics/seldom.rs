//! What happens seldom: to those who are late, in the way, or wrong.

use std::{sync::Arc, time::Duration};

use lapwing::{
    Broadcast, Channel, Context, Failure, Handled, Joining, Lapwing, LeaveReason, MailboxLimits, Mount,
    OutboxLimits, Payload, Rate, Rates, SlowPolicy, Topic, noreply,
    protocol::{ChannelMsg, DecodeError, EncodeError, Outgoing, Serializer, SerializerList, V2},
    pubsub::{Deliver, PubSub, PubSubError, PubSubMsg},
    reply,
    testing::TestServer,
    transports::frame::{Frame, Message},
};
use serde_json::json;
use tokio::sync::Semaphore;

use super::{Counts, gauge, until};
use crate::support::{
    channels::{Client, Vsn},
    lab,
    sessions::{Session, Transport},
};

/// Waits with what it is told, and with its end, until the gate lets it.
struct Room;

impl Channel for Room {
    type State = Semaphore;

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        if event == "wait" {
            cx.state().acquire().await.unwrap().forget();
            return Ok(noreply());
        }
        Ok(reply("ok", payload))
    }

    async fn leave(&mut self, _: LeaveReason, cx: &Context<Self>) -> Result<(), Failure> {
        match cx.topic().as_str() {
            "room:lingers" => cx.state().acquire().await.unwrap().forget(),
            "room:fails" => return Err(Failure::reason("asked to")),
            "room:panics" => panic!("asked to"),
            _ => {}
        }
        Ok(())
    }
}

fn server(set: impl FnOnce(Mount) -> Mount) -> (Lapwing, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let mount = set(Mount::new().channel::<Room>("room:*", gate.clone()));
    (Lapwing::builder().mount("/socket", mount).build().unwrap(), gate)
}

/// What has moved of one metric.
fn moved(before: &Counts, lapwing: &Lapwing, name: &str) -> Vec<String> {
    before.moved(lapwing).into_iter().filter(|line| line.starts_with(name)).collect()
}

#[tokio::test]
async fn a_join_that_gives_up_and_one_that_finds_too_many_ending_are_counted() {
    let (lapwing, gate) = server(|mount| mount.joins_max(1));
    let server = TestServer::from(lapwing);
    let client = server.connect("/socket").await.unwrap();
    let first = client.join("room:lingers", json!({})).await.unwrap();
    let before = Counts::of(&server);
    let (gave_up, second) = tokio::join!(
        async {
            let answer = client.join("room:lingers", json!({})).await.err();
            gate.add_permits(1);
            answer.unwrap()
        },
        async { client.join("room:lingers", json!({})).await.unwrap() },
    );
    assert_eq!(gave_up, json!({"reason": "joined again"}));
    first.expect_close().await;
    let decided = moved(&before, &server, "joins_decided");
    assert_eq!(
        decided,
        ["joins_decided_total /socket room:* joined_again +1", "joins_decided_total /socket room:* ok +1"]
    );
    let before = Counts::of(&server);
    second.leave().await;
    client.join("room:2", json!({})).await.err().unwrap();
    assert_eq!(moved(&before, &server, "messages"), ["messages_refused_total /socket too_many_ending +1"]);
    gate.add_permits(1);
}

/// Time goes on by itself where nothing else does.
#[tokio::test(start_paused = true)]
async fn a_join_that_does_not_end_for_the_next_one_is_killed_and_counted_once() {
    let (lapwing, _gate) = server(|mount| mount);
    let server = TestServer::from(lapwing);
    let client = server.connect("/socket").await.unwrap();
    let _first = client.join("room:lingers", json!({})).await.unwrap();
    let before = Counts::of(&server);
    let _second = client.join("room:lingers", json!({})).await.unwrap();
    let ended = moved(&before, &server, "joins_ended");
    // It was ending already, for the second: what is counted twice is that it was killed for it.
    assert!(ended.contains(&"joins_ended_total /socket room:* killed +1".to_owned()), "{ended:?}");
}

#[tokio::test]
async fn leave_callbacks_that_fail_are_counted() {
    let (lapwing, _gate) = server(|mount| mount);
    let server = TestServer::from(lapwing);
    for (topic, how) in [("room:fails", "failed"), ("room:panics", "panicked")] {
        let join = server.join(topic, json!({})).await.unwrap();
        let before = Counts::of(&server);
        join.leave().await;
        let wanted = format!("callbacks_failed_total /socket room:* leave {how} +1");
        until(how, || moved(&before, &server, "callbacks_failed") == [wanted.clone()]).await;
    }
}

#[tokio::test]
async fn a_message_too_many_is_counted() {
    let few = Rates::none().events(Rate::new(1, Duration::from_secs(600)).burst(1));
    let (lapwing, _gate) = server(|mount| mount.rates(few));
    let mut client = Client::connect(lab::serve(&lapwing).await, Vsn::V2).await;
    let before = Counts::of(&lapwing);
    for _ in 0..2 {
        client.send(json!([null, "1", "phoenix", "heartbeat", {}])).await;
    }
    until("it is counted", || !moved(&before, &lapwing, "messages").is_empty()).await;
    assert_eq!(moved(&before, &lapwing, "messages"), ["messages_refused_total /socket too_fast +1"]);
}

#[tokio::test]
async fn who_is_held_back_and_what_is_not_acknowledged_is_known_by_the_next_sweep() {
    let (lapwing, gate) = server(|mount| mount.mailbox(MailboxLimits::new().messages_max(2)));
    let address = lab::serve(&lapwing).await;
    let mut session = Session::open(address, "/socket", Transport::Websocket).await;
    session.send_json(json!(["1", "1", "room:1", "phx_join", {}])).await;
    session.next().await;
    let now = |what| gauge(&lapwing.metrics(), what, &["/socket"]);
    let unacknowledged = || lapwing.sessions().map(|session| session.unacknowledged.bytes).sum::<usize>();
    until("it is counted", || now("lapwing_unacknowledged_bytes") > 0.0).await;
    assert_eq!(now("lapwing_unacknowledged_bytes"), unacknowledged() as f64);
    for _ in 0..4 {
        session.send_json(json!(["1", "2", "room:1", "wait", {}])).await;
    }
    until("it is held back", || now("lapwing_sessions_held_back") == 1.0).await;
    gate.add_permits(10);
    until("it is read from again", || now("lapwing_sessions_held_back") == 0.0).await;
    // What is unsent is held for it, and is no more when it is over.
    session.cut();
    until("nothing carries it", || lapwing.sessions().all(|session| !session.is_attached)).await;
    lapwing.broadcast("room:1", "said", json!({"text": "x".repeat(100_000)})).unwrap();
    until("it is held", || now("lapwing_held_bytes") > 0.0).await;
    let held = now("lapwing_held_bytes");
    assert!((100_000.0..150_000.0).contains(&held), "{held}");
}

#[tokio::test]
async fn frames_that_a_client_is_spared_are_counted() {
    let (lapwing, _gate) = server(|mount| mount);
    let mut session = Session::open(lab::serve(&lapwing).await, "/socket", Transport::Websocket).await;
    session.send_json(json!(["1", "1", "room:1", "phx_join", {}])).await;
    session.next().await;
    session.cut();
    until("nothing carries it", || lapwing.sessions().all(|session| !session.is_attached)).await;
    let before = Counts::of(&lapwing);
    for n in 0..3 {
        lapwing.publish(Broadcast::new("room:1", "state", json!({"n": n})).latest("a")).unwrap();
    }
    lapwing.publish(Broadcast::new("room:1", "moved", json!({})).volatile()).unwrap();
    for _ in 0..4 {
        lapwing
            .publish(Broadcast::new("room:1", "news", json!({})).slow(SlowPolicy::drop_oldest(1)))
            .unwrap();
    }
    let spared = moved(&before, &lapwing, "frames_spared");
    assert_eq!(
        spared,
        [
            "frames_spared_total /socket dropped +3",
            "frames_spared_total /socket left_out +1",
            "frames_spared_total /socket replaced +2"
        ]
    );
}

/// Takes no events with this name.
struct Fussy;

impl Serializer for Fussy {
    fn decode(&self, message: Message<'_>) -> Result<ChannelMsg, DecodeError> {
        V2.decode(message)
    }

    fn encode(&self, outgoing: Outgoing<'_>) -> Result<Frame, EncodeError> {
        match outgoing {
            Outgoing::Broadcast { event: "unspeakable", .. } => Err(EncodeError::Custom("no".into())),
            other => V2.encode(other),
        }
    }
}

struct Unlucky;

impl PubSub for Unlucky {
    fn start(&self, _: Deliver) {}

    fn publish(&self, _: &PubSubMsg) -> Result<(), PubSubError> {
        Err(PubSubError("the link is down".into()))
    }
}

#[tokio::test]
async fn broadcasts_that_fail_are_counted_by_why() {
    let serializers = SerializerList::new().with("~> 2.0.0", Fussy);
    let (lapwing, _gate) = server(|mount| mount.serializers(serializers));
    let mut client = Client::connect(lab::serve(&lapwing).await, Vsn::V2).await;
    client.join("1", "room:1").await;
    let before = Counts::of(&lapwing);
    lapwing.broadcast("room:1", "unspeakable", json!({})).unwrap_err();
    assert_eq!(moved(&before, &lapwing, "broadcasts_failed"), ["broadcasts_failed_total encode +1"]);
    let before = Counts::of(&lapwing);
    lapwing.broadcast("", "said", json!({})).unwrap_err();
    assert_eq!(moved(&before, &lapwing, "broadcasts_failed"), ["broadcasts_failed_total invalid +1"]);

    let lapwing = Lapwing::builder().pubsub(Arc::new(Unlucky)).build().unwrap();
    let before = Counts::of(&lapwing);
    lapwing.broadcast("room:1", "said", json!({})).unwrap_err();
    assert_eq!(moved(&before, &lapwing, "broadcasts_failed"), ["broadcasts_failed_total pubsub +1"]);
}

#[tokio::test]
async fn requests_to_presence_that_has_ended_are_counted() {
    let (lapwing, _gate) = server(|mount| mount);
    // It begins with the first that is tracked.
    drop(lapwing.track("room:1", "ada", json!({})).await.unwrap());
    lapwing.shutdown().await;
    let before = Counts::of(&lapwing);
    lapwing.presence_count("room:1").await.unwrap_err();
    assert_eq!(moved(&before, &lapwing, "presence"), ["presence_requests_refused_total closed +1"]);
}

#[tokio::test]
async fn a_handshake_that_finds_the_last_place_taken_is_counted_by_every_way_in() {
    let (lapwing, _gate) = server(|mount| mount.sessions_max(1).outbox(OutboxLimits::new()));
    let address = lab::serve(&lapwing).await;
    let _first = Session::open(address, "/socket", Transport::Websocket).await;
    let before = Counts::of(&lapwing);
    for (n, transport) in [Transport::Websocket, Transport::Sse, Transport::Longpoll].into_iter().enumerate()
    {
        let (_, greeting) =
            crate::support::sessions::attach(address, transport, &transport.path("/socket"), "!open 30000")
                .await;
        assert_eq!(greeting, "!refused full", "{transport:?}");
        let wanted = format!("connects_refused_total /socket sessions +{}", n + 1);
        assert_eq!(moved(&before, &lapwing, "connects_refused"), [wanted]);
    }
}
