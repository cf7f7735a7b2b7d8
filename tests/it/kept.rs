//! Kept topics on the wire: what a client that asks is told and gets, and that others see no difference.

use std::{net::SocketAddr, time::Duration};

use lapwing::{
    Broadcast, Channel, Context, Failure, Handled, HistoryError, Joining, Keep, Lapwing, Mount, NotRecovered,
    Payload, Read, Topic, noreply, reply,
};
use serde_json::{Value, json};

use crate::support::{
    channels::{BOTH, Client, Vsn, binary, ok},
    lab,
};

/// Broadcasts what its client says, and answers what it learned in `joined`.
struct Room {
    recovery: Value,
}

impl Channel for Room {
    type State = ();

    /// The client gets these with the channel's mark on them; odd ones are kept from it.
    const INTERCEPT: &'static [&'static str] = &["marked"];

    async fn join(topic: &Topic, _: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        match topic.as_str() {
            "room:reply" => joining.set_reply(json!({"own": [1]}))?,
            "room:array" => joining.set_reply(json!([1]))?,
            _ => {}
        }
        Ok(Self { recovery: Value::Null })
    }

    async fn joined(&mut self, cx: &Context<Self>) -> Handled {
        self.recovery = cx.recovery().map_or(Value::Null, |recovery| {
            json!([recovery.replayed, recovery.not_recovered.map(NotRecovered::word)])
        });
        Ok(noreply())
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        match event {
            "recovery" => return Ok(reply("ok", json!({"recovery": self.recovery}))),
            "whisper" => cx.publish(Broadcast::new(cx.topic(), "said", payload).unrecorded())?,
            "from" => cx.broadcast_from("said", payload)?,
            event => cx.broadcast(event, payload)?,
        };
        Ok(noreply())
    }

    async fn handle_out(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        let number: u64 = payload.parse::<Value>().unwrap()["n"].as_u64().unwrap();
        if number.is_multiple_of(2) {
            cx.push(event, json!({"n": number, "mark": true}))?;
        }
        Ok(noreply())
    }
}

fn keep() -> Keep {
    Keep::last(5).for_at_most(Duration::from_secs(3600))
}

async fn serve_with(mount: Mount, history_bytes_max: usize) -> (Lapwing, SocketAddr) {
    let mount = mount.channel::<Room>("room:*", ()).channel::<Room>("plain:*", ());
    let builder = Lapwing::builder().mount("/socket", mount).history_bytes_max(history_bytes_max);
    let lapwing = builder.build().unwrap();
    let address = lab::serve(&lapwing).await;
    (lapwing, address)
}

async fn serve() -> (Lapwing, SocketAddr) {
    serve_with(Mount::new().keep("room:*", keep()), 1024 * 1024).await
}

fn say(lapwing: &Lapwing, topic: &str, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        lapwing.broadcast(topic, "said", json!({"n": number})).unwrap();
    }
}

/// A client that has joined with `_since`, and the response.
async fn joined(address: SocketAddr, vsn: Vsn, topic: &str, since: Value) -> (Client, Value) {
    let mut client = Client::connect(address, vsn).await;
    let response = join(&mut client, topic, since).await;
    (client, response)
}

async fn join(client: &mut Client, topic: &str, since: Value) -> Value {
    client.send(json!(["1", "1", topic, "phx_join", {"_since": since}])).await;
    let reply = client.next_message().await;
    let payload = match client.vsn {
        Vsn::V1 => &reply["payload"],
        Vsn::V2 => &reply[4],
    };
    assert_eq!(payload["status"], "ok");
    payload["response"].clone()
}

/// What a broadcast of a number looks like to a client that asked.
fn said(topic: &str, offset: u64, number: u64) -> Value {
    json!([null, format!("@{offset}"), topic, "said", {"n": number}])
}

/// A position some messages after another.
fn later(position: &Value, messages: u64) -> Value {
    let (epoch, offset) = position.as_str().unwrap().split_once(':').unwrap();
    json!(format!("{epoch}:{}", offset.parse::<u64>().unwrap() + messages))
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed_in_order_and_then_what_follows() {
    for vsn in BOTH {
        let (lapwing, address) = serve().await;
        let (mut client, first) = joined(address, vsn, "room:1", json!("")).await;
        let start = &first["_at"];
        assert_eq!(first, json!({"_at": start, "_recovered": true, "_replayed": 0}));
        say(&lapwing, "room:1", 1..=2);
        client.expect(said("room:1", 1, 1)).await;
        client.expect(said("room:1", 2, 2)).await;
        drop(client);
        say(&lapwing, "room:1", 3..=4);
        // The history began with the first message, and its epoch is the one that was told before.
        let (mut client, back) = joined(address, vsn, "room:1", later(start, 2)).await;
        assert_eq!(back, json!({"_at": later(start, 2), "_recovered": true, "_replayed": 2}));
        client.expect(said("room:1", 3, 3)).await;
        client.expect(said("room:1", 4, 4)).await;
        say(&lapwing, "room:1", 5..=5);
        client.expect(said("room:1", 5, 5)).await;
        client.expect_heartbeat().await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_ask_gets_the_frames_of_a_topic_that_is_not_kept() {
    let (lapwing, address) = serve().await;
    for vsn in BOTH {
        let mut asks = joined(address, vsn, "room:1", json!("")).await.0;
        let mut kept = Client::joined(address, vsn, "room:1").await;
        let mut plain = joined(address, vsn, "plain:1", json!("")).await;
        assert_eq!(plain.1, json!({}), "the topic is not kept, so that nobody says where it stands");
        for topic in ["room:1", "plain:1"] {
            lapwing.broadcast(topic, "said", json!({"n": 1})).unwrap();
        }
        kept.expect(json!([null, null, "room:1", "said", {"n": 1}])).await;
        plain.0.expect(json!([null, null, "plain:1", "said", {"n": 1}])).await;
        let offset = lapwing.history("room:1", Read::Last, 100).unwrap().len() as u64;
        asks.expect(said("room:1", offset, 1)).await;
    }
    assert_eq!(lapwing.position("plain:1"), None);
    assert_eq!(lapwing.history("plain:1", Read::Last, 1).unwrap_err(), HistoryError::NotKept);
}

#[tokio::test]
async fn what_cannot_be_given_in_full_is_not_given_and_the_client_is_told_why() {
    let (lapwing, address) = serve_with(Mount::new().keep("room:*", keep().replay_max(3)), 1024 * 1024).await;
    let start = lapwing.position("room:1").unwrap();
    say(&lapwing, "room:1", 1..=4);
    let top = json!(lapwing.position("room:1"));
    let refused = |reason| json!({"_at": top, "_recovered": false, "_replayed": 0, "_reason": reason});
    let ask = async |since| {
        let (mut client, response) = joined(address, Vsn::V2, "room:1", since).await;
        client.expect_heartbeat().await;
        response
    };
    assert_eq!(ask(json!(start)).await, refused("too_many"));
    assert_eq!(ask(json!("1:1")).await, refused("epoch"));
    assert_eq!(ask(later(&top, 1)).await, refused("epoch"));
    assert_eq!(
        ask(later(&top, u64::MAX - 4)).await,
        refused("epoch"),
        "there is none behind the last number"
    );
    for unreadable in [json!("now"), json!(7), json!(["1:1"]), json!("-"), json!("x".repeat(10_000))] {
        assert_eq!(ask(unreadable).await, refused("unreadable"));
    }
    say(&lapwing, "room:1", 5..=6);
    let top = json!(lapwing.position("room:1"));
    let trimmed = json!({"_at": top, "_recovered": false, "_replayed": 0, "_reason": "trimmed"});
    assert_eq!(ask(json!(start)).await, trimmed);
}

#[tokio::test]
async fn params_that_have_no_since_ask_for_nothing() {
    let (lapwing, address) = serve().await;
    say(&lapwing, "room:1", 1..=1);
    for params in [json!(["-1"]), json!([""]), json!("_since"), json!({"_since": null}), json!({"since": ""})]
    {
        let mut client = Client::connect(address, Vsn::V2).await;
        client.send(json!(["1", "1", "room:1", "phx_join", params])).await;
        client.expect(ok("1", "1", "room:1", json!({}))).await;
        client.expect_heartbeat().await;
    }
    // Other names may be anything.
    let mut client = Client::connect(address, Vsn::V2).await;
    client.send_text(r#"["1","1","room:1","phx_join",{"half":"\ud83d","_since":"-1"}]"#).await;
    assert_eq!(client.next_message().await[4]["response"]["_replayed"], 1);
}

#[tokio::test]
async fn the_last_few_can_be_had_without_a_position() {
    let (lapwing, address) = serve().await;
    say(&lapwing, "room:1", 1..=7);
    let top = json!(lapwing.position("room:1"));
    let (mut client, response) = joined(address, Vsn::V2, "room:1", json!("-2")).await;
    assert_eq!(response["_replayed"], 2);
    assert_eq!(later(&response["_at"], 2), top);
    client.expect(said("room:1", 6, 6)).await;
    client.expect(said("room:1", 7, 7)).await;
    client.expect_heartbeat().await;
    let (_, response) = joined(address, Vsn::V2, "room:1", json!("-20")).await;
    assert_eq!(response["_replayed"], 5, "as many as are remembered");
}

#[tokio::test]
async fn a_position_stands_beside_the_channels_own_reply_and_the_channel_knows() {
    let (lapwing, address) = serve().await;
    let (mut client, response) = joined(address, Vsn::V2, "room:reply", json!("")).await;
    assert_eq!(response["own"], json!([1]));
    assert_eq!(response["_at"], json!(lapwing.position("room:reply")));
    let recovery = async |client: &mut Client, topic: &str, recovery: Value| {
        client.send(json!(["1", "2", topic, "recovery", {}])).await;
        client.expect(ok("1", "2", topic, json!({"recovery": recovery}))).await;
    };
    recovery(&mut client, "room:reply", json!([0, null])).await;
    let (mut client, response) = joined(address, Vsn::V2, "room:array", json!("?")).await;
    assert_eq!(response, json!([1]), "there is no place for a position in it");
    recovery(&mut client, "room:array", json!([0, "unreadable"])).await;
    let mut client = Client::joined(address, Vsn::V2, "room:3").await;
    recovery(&mut client, "room:3", Value::Null).await;
}

#[tokio::test]
async fn what_is_no_object_is_not_remembered_and_clients_of_the_oldest_wire_get_it() {
    let (lapwing, address) = serve().await;
    let mut old = Client::joined(address, Vsn::V1, "room:1").await;
    lapwing.broadcast("room:1", "said", json!([1])).unwrap();
    old.expect(json!([null, null, "room:1", "said", [1]])).await;
    for _ in 0..2 {
        let before = lapwing.position("room:1");
        for payload in [json!("text"), json!([1]), json!(7), Value::Null] {
            // An error where somebody is there who cannot be given it.
            let _ = lapwing.broadcast("room:1", "said", payload);
        }
        assert_eq!(lapwing.position("room:1"), before);
        let (mut client, response) = joined(address, Vsn::V2, "room:1", json!("-5")).await;
        assert_eq!(response["_replayed"], 0);
        client.expect_heartbeat().await;
    }
}

#[tokio::test]
async fn a_replay_for_which_there_is_no_room_is_refused_and_closes_nobody() {
    let outbox = lapwing::OutboxLimits::new().frames_max(20);
    let mount = Mount::new().outbox(outbox).keep("room:*", Keep::last(100));
    let (lapwing, address) = serve_with(mount, 1024 * 1024).await;
    let start = lapwing.position("room:1").unwrap();
    say(&lapwing, "room:1", 1..=50);
    let (mut client, response) = joined(address, Vsn::V2, "room:1", json!(start)).await;
    assert_eq!([&response["_recovered"], &response["_reason"]], [&json!(false), &json!("too_many")]);
    client.expect_heartbeat().await;
    let (mut client, response) = joined(address, Vsn::V2, "room:1", json!("-50")).await;
    assert_eq!(response["_replayed"], 10, "half of the room");
    for number in 41..=50 {
        client.expect(said("room:1", number, number)).await;
    }
    client.expect_heartbeat().await;
}

#[tokio::test]
async fn bytes_take_the_room_of_two_frames_and_close_nobody() {
    let mount = || {
        let outbox = lapwing::OutboxLimits::new().frames_max(20);
        Mount::new().outbox(outbox).keep("room:*", Keep::last(100))
    };
    let (lapwing, address) = serve_with(mount(), 1024 * 1024).await;
    let start = lapwing.position("room:1").unwrap();
    for byte in 1..=10 {
        lapwing.broadcast("room:1", "bin", vec![byte]).unwrap();
    }
    let (mut client, response) = joined(address, Vsn::V2, "room:1", json!(start)).await;
    assert_eq!([&response["_recovered"], &response["_reason"]], [&json!(false), &json!("too_many")]);
    client.expect_heartbeat().await;
    let (mut client, response) = joined(address, Vsn::V2, "room:1", json!("-10")).await;
    assert_eq!(response["_replayed"], 5);
    for byte in 6..=10 {
        client.expect_binary(&binary(2, &["room:1", "bin"], &[byte])).await;
        client.expect(json!([null, format!("@{byte}"), "room:1", "_at", {}])).await;
    }
    client.expect_heartbeat().await;
}

#[tokio::test]
async fn a_broadcast_that_was_heard_elsewhere_brings_no_place_along() {
    let (lapwing, address) = serve().await;
    let mut subscription = lapwing.subscribe("room:other");
    say(&lapwing, "room:other", 1..=1);
    let (mut client, _) = joined(address, Vsn::V2, "room:1", json!("")).await;
    let mut heard = subscription.recv().await.unwrap().as_ref().clone();
    heard.topic = Topic::from("room:1");
    lapwing.publish(heard.unrecorded()).unwrap();
    client.expect(json!([null, null, "room:1", "said", {"n": 1}])).await;
}

#[tokio::test]
async fn what_is_remembered_is_not_held_for_clients() {
    let (lapwing, address) =
        serve_with(Mount::new().keep("room:*", Keep::last(1_000).bytes_max(8 << 20)), 8 << 20).await;
    let (client, _) = joined(address, Vsn::V2, "room:1", json!("")).await;
    for _ in 0..1_000 {
        lapwing.broadcast("room:1", "said", json!({"n": 1, "x": "x".repeat(2_000)})).unwrap();
    }
    drop(client);
    let (client, _) = joined(address, Vsn::V2, "room:1", json!("-500")).await;
    drop(client);
    for _ in 0..2_000 {
        if lapwing.stats().bytes_held == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} bytes are held", lapwing.stats().bytes_held);
}

#[tokio::test]
async fn bytes_are_followed_by_an_event_that_has_their_place() {
    let (lapwing, address) = serve().await;
    lapwing.broadcast("room:1", "bin", vec![7]).unwrap();
    let (mut client, _) = joined(address, Vsn::V2, "room:1", json!("-1")).await;
    lapwing.broadcast("room:1", "bin", vec![8]).unwrap();
    for (offset, byte) in [(1, 7), (2, 8)] {
        client.expect_binary(&binary(2, &["room:1", "bin"], &[byte])).await;
        client.expect(json!([null, format!("@{offset}"), "room:1", "_at", {}])).await;
    }
    // A client that takes no bytes is passed by, live and in a replay.
    let (mut client, response) = joined(address, Vsn::V1, "room:1", json!("-2")).await;
    assert_eq!(response["_replayed"], 2);
    client.expect_heartbeat().await;
}

#[tokio::test]
async fn what_is_unrecorded_has_no_place_and_who_was_left_out_gets_it_when_it_comes_back() {
    let (lapwing, address) = serve().await;
    let (mut client, first) = joined(address, Vsn::V2, "room:1", json!("")).await;
    client.send(json!(["1", "2", "room:1", "whisper", {"n": 0}])).await;
    client.expect(json!([null, null, "room:1", "said", {"n": 0}])).await;
    assert_eq!(json!(lapwing.position("room:1")), first["_at"]);
    client.send(json!(["1", "3", "room:1", "from", {"n": 1}])).await;
    client.send(json!(["1", "4", "room:1", "said", {"n": 2}])).await;
    client.expect(said("room:1", 2, 2)).await;
    let (mut client, _) = joined(address, Vsn::V2, "room:1", first["_at"].clone()).await;
    client.expect(said("room:1", 1, 1)).await;
    client.expect(said("room:1", 2, 2)).await;
}

#[tokio::test]
async fn what_a_channel_intercepts_goes_through_its_hands_again() {
    let (lapwing, address) = serve().await;
    let marked = |number: u64| lapwing.broadcast("room:1", "marked", json!({"n": number})).unwrap().position;
    let sees = |offset: u64, number: u64| json!([null, format!("@{offset}"), "room:1", "marked", {"n": number, "mark": true}]);
    marked(1);
    marked(2);
    say(&lapwing, "room:1", 3..=3);
    let (mut client, response) = joined(address, Vsn::V2, "room:1", json!("-3")).await;
    assert_eq!(response["_replayed"], 3);
    client.expect(sees(2, 2)).await;
    client.expect(said("room:1", 3, 3)).await;
    marked(4);
    say(&lapwing, "room:1", 5..=5);
    client.expect(sees(4, 4)).await;
    client.expect(said("room:1", 5, 5)).await;
    let mut plain = Client::joined(address, Vsn::V2, "room:1").await;
    marked(6);
    plain.expect(json!(["1", null, "room:1", "marked", {"n": 6, "mark": true}])).await;
}

#[tokio::test]
async fn a_program_reads_a_history_forwards_and_backwards_and_subscribers_learn_places() {
    let (lapwing, _) = serve().await;
    let mut subscription = lapwing.subscribe("room:1");
    let start = lapwing.position("room:1").unwrap();
    say(&lapwing, "room:1", 1..=5);
    let last = lapwing.broadcast("room:1", "said", json!({"n": 6})).unwrap().position.unwrap();
    assert_eq!(subscription.recv().await.unwrap().position.unwrap().to_string(), later(&json!(start), 1));
    let numbers = |read, limit| -> Result<Vec<u64>, HistoryError> {
        let messages = lapwing.history("room:1", read, limit)?;
        Ok(messages.iter().map(|m| m.payload.parse::<Value>().unwrap()["n"].as_u64().unwrap()).collect())
    };
    let trimmed = HistoryError::NotRecovered(NotRecovered::Trimmed);
    assert_eq!(numbers(Read::After(start), 2), Err(trimmed));
    let second = lapwing.history("room:1", Read::Last, 5).unwrap()[0].position.unwrap();
    assert_eq!(numbers(Read::After(second), 2), Ok(vec![3, 4]));
    assert_eq!(numbers(Read::After(last), 2), Ok(vec![]));
    assert_eq!(numbers(Read::Before(last), 2), Ok(vec![5, 6]));
    assert_eq!(numbers(Read::Before(second), 7), Ok(vec![2]));
    assert_eq!(numbers(Read::Last, 3), Ok(vec![4, 5, 6]));
    assert_eq!(numbers(Read::Last, 0), Ok(vec![]));
    let other = HistoryError::NotRecovered(NotRecovered::Epoch);
    assert_eq!(numbers(Read::Before("1:1".parse().unwrap()), 3), Err(other));
}

#[tokio::test]
async fn histories_stay_within_their_bytes_whatever_is_said_where() {
    const BYTES_MAX: usize = 20_000;
    let (lapwing, _) = serve_with(Mount::new().keep("room:*", keep()), BYTES_MAX).await;
    for number in 0..1_000u64 {
        let topic = format!("room:{}", number % 100);
        lapwing.broadcast(topic.as_str(), "said", json!({"n": number, "x": "x".repeat(500)})).unwrap();
        let kept = lapwing.stats().kept;
        assert!(kept.bytes <= BYTES_MAX, "{kept:?}");
    }
    assert!(lapwing.stats().kept.messages > 10, "there is room for some");
    // A topic that found no room has no history, and says so.
    let before = lapwing.position("room:new").unwrap();
    let position = lapwing.broadcast("room:new", "said", json!({"n": 1})).unwrap().position.unwrap();
    let error = lapwing.history("room:new", Read::After(before), 10).unwrap_err();
    assert_eq!(error, HistoryError::NotRecovered(NotRecovered::Trimmed));
    assert_eq!(lapwing.history("room:new", Read::After(position), 10).unwrap().len(), 0);
}

/// Publishers, and clients that are cut and come back at any moment: each client gets every message once and in order, between
/// the reply, the replay and what is live.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_no_seam_between_what_was_missed_and_what_is_live() {
    const MESSAGES: u64 = 3_000;
    let keep =
        Keep::last(usize::MAX).bytes_max(usize::MAX).replay_max(usize::MAX).replay_bytes_max(usize::MAX);
    // A client may be as far behind as there are messages; half of the room is a replay's, and what a channel intercepts goes
    // through its mailbox.
    const ROOM: usize = 4 * MESSAGES as usize;
    let outbox = lapwing::OutboxLimits::new().frames_max(ROOM);
    let mailbox = lapwing::MailboxLimits::new().messages_max(ROOM);
    let mount = Mount::new().keep("room:*", keep).outbox(outbox).mailbox(mailbox);
    let (lapwing, address) = serve_with(mount, 64 * 1024 * 1024).await;
    let start = json!(lapwing.position("room:1"));
    let publisher = tokio::spawn(async move {
        for number in 1..=MESSAGES {
            lapwing.broadcast("room:1", "said", json!({"n": number})).unwrap();
            if number.is_multiple_of(10) {
                tokio::task::yield_now().await;
            }
        }
        lapwing
    });
    let clients = (0..8u64).map(|client| {
        let start = start.clone();
        tokio::spawn(async move {
            let (mut last, mut lives) = (0, 0u64);
            while last < MESSAGES {
                lives += 1;
                let (mut connection, response) =
                    joined(address, Vsn::V2, "room:1", later(&start, last)).await;
                assert_eq!(response["_recovered"], true, "{response} after {last}");
                // Each life is of another length.
                for _ in 0..1 + (client * 7 + lives * 13) % 400 {
                    let message = connection.next_message().await;
                    last += 1;
                    assert_eq!(message, said("room:1", last, last));
                    if last == MESSAGES {
                        break;
                    }
                }
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    publisher.await.unwrap();
}
