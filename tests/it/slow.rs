//! Clients that are slow or away on topics with a policy for them: what they get, and what stays as it was.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use lapwing::{
    Backlog, Broadcast, Channel, Context, Failure, Handled, Joining, Keep, Lapwing, Mount, OutboxLimits,
    Payload, ResumeOptions, SlowPolicy, Topic, noreply,
};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};

use crate::support::{
    PATIENCE,
    channels::{Client, Vsn, ok},
    lab,
    sessions::{Line, Session, TRANSPORTS, Transport},
};

/// A board that sees some of its events before its clients do, when it may.
struct Board;

#[derive(Default)]
struct Gate {
    /// A callback has begun.
    begun: Notify,
    may_go_on: Option<Semaphore>,
}

impl Channel for Board {
    type State = Gate;

    const INTERCEPT: &'static [&'static str] = &["seen"];

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn joined(&mut self, cx: &Context<Self>) -> Handled {
        if cx.topic() == "board:people" {
            cx.track(cx.channel_id().0.to_string(), json!({})).await?;
        }
        Ok(noreply())
    }

    async fn handle_out(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        cx.state().begun.notify_one();
        if let Some(gate) = &cx.state().may_go_on {
            gate.acquire().await?.forget();
        }
        cx.push(event, payload)?;
        Ok(noreply())
    }
}

/// The same without a look at anything.
struct Plain;

impl Channel for Plain {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }
}

async fn serve_with(mount: Mount, gate: Gate) -> (Lapwing, SocketAddr, Arc<Gate>) {
    let gate = Arc::new(gate);
    let mount = mount.channel::<Board>("board:*", gate.clone()).channel::<Plain>("*", ());
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    (lapwing, address, gate)
}

async fn serve(mount: Mount) -> (Lapwing, SocketAddr) {
    let (lapwing, address, _) = serve_with(mount, Gate::default()).await;
    (lapwing, address)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

async fn joined(address: SocketAddr, topic: &str) -> Session {
    let mut session = Session::open(address, "/socket", Transport::Websocket).await;
    session.send_json(json!(["1", "1", topic, "phx_join", {}])).await;
    session.expect_json(ok("1", "1", topic, json!({}))).await;
    session
}

/// Nothing carries the session any more, and the server knows.
async fn away(lapwing: &Lapwing, session: &mut Session) {
    session.cut();
    until("it is away", || lapwing.sessions().all(|session| !session.is_attached)).await;
}

fn say(lapwing: &Lapwing, broadcast: Broadcast) {
    lapwing.publish(broadcast).unwrap();
}

fn state(topic: &str, key: &str, number: usize) -> Broadcast {
    Broadcast::new(topic, "state", json!({key: number})).latest(key)
}

fn event(topic: &str, number: usize) -> Broadcast {
    Broadcast::new(topic, "said", json!({"n": number}))
}

fn told(topic: &str, event: &str, payload: Value) -> Value {
    json!([null, null, topic, event, payload])
}

/// Says so much to a client that does not read that its connection takes no more, and some of it waits. Everything runs on the thread of
/// the test: what had a turn and wrote nothing cannot write.
async fn stall(lapwing: &Lapwing, topic: &str) {
    let waiting = || lapwing.sessions().map(|session| session.waiting.frames).sum::<usize>();
    let wait = async {
        loop {
            let before = waiting();
            tokio::time::sleep(Duration::from_millis(50)).await;
            if before >= 6 && waiting() == before {
                return;
            }
            if waiting() < 6 {
                say(lapwing, Broadcast::new(topic, "filler", json!({"text": "x".repeat(300_000)})));
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("its connection takes no more");
}

/// The next message that is none of those.
async fn next_but_fillers(client: &mut Client) -> Value {
    loop {
        let message = client.next_message().await;
        if message[3] != "filler" {
            return message;
        }
    }
}

#[tokio::test]
async fn a_session_that_was_away_comes_back_to_one_state_of_each_thing_and_to_all_events() {
    let (lapwing, address) = serve(Mount::new()).await;
    for (round, transport) in TRANSPORTS.into_iter().enumerate() {
        let mut session = joined(address, "map:1").await;
        away(&lapwing, &mut session).await;
        for number in 0..100 {
            say(&lapwing, state("map:1", "a", number));
            if number % 50 == 0 {
                say(&lapwing, event("map:1", number));
            }
            say(&lapwing, state("map:1", "b", number));
            say(&lapwing, event("map:1", number).volatile());
        }
        let slow = lapwing.stats().slow;
        assert_eq!((slow.replaced, slow.left_out), ((round as u64 + 1) * 198, (round as u64 + 1) * 100));
        session.resume(transport).await;
        session.expect_json(told("map:1", "state", json!({"a": 99}))).await;
        session.expect_json(told("map:1", "said", json!({"n": 0}))).await;
        session.expect_json(told("map:1", "state", json!({"b": 99}))).await;
        session.expect_json(told("map:1", "said", json!({"n": 50}))).await;
        say(&lapwing, event("map:1", 1_000));
        session.expect_json(told("map:1", "said", json!({"n": 1_000}))).await;
        session.post("!close").await;
        until("it is over", || lapwing.sessions().count() == 0).await;
    }
}

/// Little things, so that the HTTP server queues them by their number, and asks for no more before the client reads.
#[tokio::test]
async fn an_event_stream_that_nobody_reads_is_behind_however_little_each_event_is() {
    let outbox = OutboxLimits::new()
        .frames_max(1_000_000)
        .bytes_max(1 << 30)
        .unacknowledged_frames_max(1_000_000)
        .unacknowledged_bytes_max(1 << 30);
    let (lapwing, address) = serve(Mount::new().outbox(outbox)).await;
    let mut session = joined(address, "map:1").await;
    session.resume(Transport::Sse).await;
    let waiting = || backlog(&lapwing).frames;
    let stalled = async {
        loop {
            let before = waiting();
            tokio::time::sleep(Duration::from_millis(20)).await;
            if before > 0 && waiting() == before {
                return;
            }
            for _ in 0..100 {
                say(&lapwing, Broadcast::new("map:1", "filler", json!({"text": "x".repeat(2_000)})));
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, stalled).await.expect("its connection takes no more");
    (0..1_000).for_each(|number| say(&lapwing, event("map:1", number).volatile()));
    assert_eq!(lapwing.stats().slow.left_out, 1_000);
    say(&lapwing, event("map:1", 1_000));
    loop {
        let message = session.next_json().await;
        if message[3] != "filler" {
            assert_eq!(message, told("map:1", "said", json!({"n": 1_000})));
            break;
        }
    }
    say(&lapwing, event("map:1", 1_001).volatile());
    session.expect_json(told("map:1", "said", json!({"n": 1_001}))).await;
}

/// What waits for the only client that there is.
fn backlog(lapwing: &Lapwing) -> Backlog {
    lapwing.sessions().next().unwrap().waiting
}

#[tokio::test]
async fn for_how_long_the_oldest_has_waited_is_known_whether_the_client_is_away_or_does_not_read() {
    // The sweep comes by eight times in that.
    let resume = ResumeOptions::default().away_after(Duration::from_millis(400));
    let (lapwing, address) = serve(Mount::new().resume(resume)).await;
    let mut session = joined(address, "map:1").await;
    session.settle().await;
    assert_eq!((backlog(&lapwing).frames, backlog(&lapwing).age), (0, Duration::ZERO));
    away(&lapwing, &mut session).await;
    let begun = Instant::now();
    say(&lapwing, state("map:1", "a", 0));
    for number in 1..4 {
        until("it is older", || backlog(&lapwing).age > Duration::from_millis(200 * number)).await;
        // It takes the place of the one before, and the client has known nothing of the thing for so long.
        say(&lapwing, state("map:1", "a", number as usize));
        assert!(backlog(&lapwing).frames == 1 && backlog(&lapwing).age <= begun.elapsed());
    }
    session.resume(Transport::Websocket).await;
    session.expect_json(told("map:1", "state", json!({"a": 3}))).await;
    until("nothing waits", || backlog(&lapwing) == Backlog::default()).await;
    session.post("!close").await;
    until("it is over", || lapwing.sessions().count() == 0).await;

    let mut client = Client::joined(address, Vsn::V2, "map:1").await;
    let begun = Instant::now();
    stall(&lapwing, "map:1").await;
    until("it is older", || backlog(&lapwing).age > Duration::from_millis(200)).await;
    assert!(backlog(&lapwing).age <= begun.elapsed());
    say(&lapwing, event("map:1", 1));
    assert_eq!(next_but_fillers(&mut client).await, told("map:1", "said", json!({"n": 1})));
    until("nothing waits", || backlog(&lapwing) == Backlog::default()).await;
}

#[tokio::test]
async fn what_was_sent_before_the_connection_was_lost_comes_again_as_it_was() {
    let (lapwing, address) = serve(Mount::new()).await;
    for transport in TRANSPORTS {
        let mut session = joined(address, "map:1").await;
        let said = session.received;
        say(&lapwing, state("map:1", "a", 1));
        session.expect_json(told("map:1", "state", json!({"a": 1}))).await;
        away(&lapwing, &mut session).await;
        say(&lapwing, state("map:1", "a", 2));
        say(&lapwing, state("map:1", "a", 3));
        // As if the last one had not arrived.
        session.received = said;
        session.resume(transport).await;
        session.expect_json(told("map:1", "state", json!({"a": 1}))).await;
        session.expect_json(told("map:1", "state", json!({"a": 3}))).await;
        session.post("!close").await;
        until("it is over", || lapwing.sessions().count() == 0).await;
    }
}

#[tokio::test]
async fn a_stock_client_whose_connection_takes_no_more_gets_the_newest_state_and_no_volatile_events() {
    let (lapwing, address) = serve(Mount::new()).await;
    let mut client = Client::joined(address, Vsn::V2, "map:1").await;
    stall(&lapwing, "map:1").await;
    for number in 0..1_000 {
        say(&lapwing, state("map:1", "a", number));
        say(&lapwing, event("map:1", number).volatile());
        say(&lapwing, state("map:1", "b", number));
    }
    say(&lapwing, event("map:1", 1));
    assert_eq!(next_but_fillers(&mut client).await, told("map:1", "state", json!({"a": 999})));
    client.expect(told("map:1", "state", json!({"b": 999}))).await;
    client.expect(told("map:1", "said", json!({"n": 1}))).await;
    client.expect_heartbeat().await;
    let slow = lapwing.stats().slow;
    assert_eq!((slow.replaced, slow.left_out, slow.closed), (1_998, 1_000, 0));
}

#[tokio::test]
async fn who_reads_gets_every_state_and_every_volatile_event() {
    let (lapwing, address) = serve(Mount::new()).await;
    let mut client = Client::joined(address, Vsn::V2, "map:1").await;
    for number in 0..50 {
        say(&lapwing, state("map:1", "a", number));
        client.expect(told("map:1", "state", json!({"a": number}))).await;
        // Several at once, before its connection has come to any of them.
        for n in 0..5 {
            say(&lapwing, event("map:1", n).volatile());
        }
        for n in 0..5 {
            client.expect(told("map:1", "said", json!({"n": n}))).await;
        }
    }
    assert_eq!(lapwing.stats().slow, Default::default());
}

/// A state in the place of one that was told to the join before would come before the reply to the new join, which drops it.
#[tokio::test]
async fn no_state_comes_before_the_reply_to_the_join_that_it_is_for() {
    let (lapwing, address) = serve(Mount::new()).await;
    let mut client = Client::joined(address, Vsn::V2, "map:1").await;
    stall(&lapwing, "map:1").await;
    say(&lapwing, state("map:1", "a", 1));
    let first = lapwing.members("map:1").next().unwrap().channel_id;
    client.send(json!(["1", "2", "map:1", "phx_leave", {}])).await;
    client.send(json!(["3", "3", "map:1", "phx_join", {}])).await;
    until("it has joined again", || {
        lapwing.members("map:1").next().is_some_and(|member| member.channel_id != first)
    })
    .await;
    say(&lapwing, state("map:1", "a", 2));
    say(&lapwing, state("map:1", "a", 3));
    assert_eq!(next_but_fillers(&mut client).await, told("map:1", "state", json!({"a": 1})));
    client.expect(ok("1", "2", "map:1", json!({}))).await;
    client.expect(json!(["1", "1", "map:1", "phx_close", {}])).await;
    client.expect(ok("3", "3", "map:1", json!({}))).await;
    client.expect(told("map:1", "state", json!({"a": 3}))).await;
}

#[tokio::test]
async fn a_channel_that_looks_at_states_gets_the_newest_when_it_comes_to_them() {
    let gate = Gate { may_go_on: Some(Semaphore::new(0)), ..Gate::default() };
    let (lapwing, address, gate) = serve_with(Mount::new(), gate).await;
    let mut client = Client::joined(address, Vsn::V2, "board:1").await;
    let seen = |key: &str, number: usize| Broadcast::new("board:1", "seen", json!({key: number})).latest(key);
    let pushed = |payload: Value| json!(["1", null, "board:1", "seen", payload]);
    say(&lapwing, seen("a", 0));
    tokio::time::timeout(PATIENCE, gate.begun.notified()).await.unwrap();
    for number in 1..2_000 {
        say(&lapwing, seen("a", number));
        say(&lapwing, seen("b", number));
    }
    say(&lapwing, Broadcast::new("board:1", "seen", json!({"volatile": 1})).volatile());
    say(&lapwing, event("board:1", 1));
    client.expect(told("board:1", "said", json!({"n": 1}))).await;
    for payload in [json!({"a": 0}), json!({"a": 1_999}), json!({"b": 1_999})] {
        gate.may_go_on.as_ref().unwrap().add_permits(1);
        client.expect(pushed(payload)).await;
    }
    client.expect_heartbeat().await;
    let slow = lapwing.stats().slow;
    assert_eq!((slow.replaced_in_mailboxes, slow.left_out_of_mailboxes), (2 * 1_998, 1));
}

/// What the channel makes of a state waits in its client's outbox as a state.
#[tokio::test]
async fn what_a_channel_pushes_of_a_state_takes_the_place_of_what_it_pushed_before() {
    let (lapwing, address, _) = serve_with(Mount::new(), Gate::default()).await;
    let mut session = joined(address, "board:1").await;
    away(&lapwing, &mut session).await;
    for number in 0..20 {
        say(&lapwing, Broadcast::new("board:1", "seen", json!({"a": number})).latest("a"));
        let is_pushed = || {
            let slow = lapwing.stats().slow;
            slow.replaced + slow.replaced_in_mailboxes == number
        };
        until("it is pushed, or waits for that", is_pushed).await;
    }
    session.resume(Transport::Sse).await;
    session.expect_json(json!(["1", null, "board:1", "seen", {"a": 19}])).await;
    say(&lapwing, event("board:1", 1));
    session.expect_json(told("board:1", "said", json!({"n": 1}))).await;
}

#[tokio::test]
async fn a_topic_has_the_first_policy_that_matches_unless_the_broadcast_has_its_own() {
    let mount = Mount::new().slow("prices:shown", SlowPolicy::close()).slow("prices:*", SlowPolicy::latest());
    let (lapwing, address) = serve(mount).await;
    for (topic, wanted) in [
        ("prices:shown", vec![("up", 0), ("down", 0), ("up", 1), ("down", 1), ("up", 9)]),
        ("prices:1", vec![("up", 1), ("down", 1), ("up", 9)]),
        ("other", vec![("up", 0), ("down", 0), ("up", 1), ("down", 1), ("up", 9)]),
    ] {
        let mut session = joined(address, topic).await;
        away(&lapwing, &mut session).await;
        for number in 0..2 {
            for event in ["up", "down"] {
                lapwing.broadcast(topic, event, json!({"n": number})).unwrap();
            }
        }
        say(&lapwing, Broadcast::new(topic, "up", json!({"n": 9})).slow(SlowPolicy::close()));
        session.resume(Transport::Websocket).await;
        for (event, number) in wanted {
            session.expect_json(told(topic, event, json!({"n": number}))).await;
        }
        session.settle_but_pings().await;
        session.post("!close").await;
        until("it is over", || lapwing.sessions().count() == 0).await;
    }
}

#[tokio::test]
async fn of_what_waits_the_oldest_are_dropped_and_the_client_is_told_how_many_where_they_were() {
    let mount = Mount::new().slow("feed:*", SlowPolicy::drop_oldest(3));
    let (lapwing, address) = serve(mount).await;
    for (round, transport) in TRANSPORTS.into_iter().enumerate() {
        let mut session = joined(address, "feed:1").await;
        away(&lapwing, &mut session).await;
        for number in 0..10 {
            say(&lapwing, event("feed:1", number));
            if number == 0 {
                say(&lapwing, event("feed:1", 100).slow(SlowPolicy::close()));
            }
        }
        assert_eq!(lapwing.stats().slow.dropped, 7 * (round as u64 + 1));
        session.resume(transport).await;
        session.expect_json(told("feed:1", "gap", json!({"dropped": 7}))).await;
        for number in [100, 7, 8, 9] {
            session.expect_json(told("feed:1", "said", json!({"n": number}))).await;
        }
        session.post("!close").await;
        until("it is over", || lapwing.sessions().count() == 0).await;
    }
}

/// However little of it has been written when the last of it is said.
#[tokio::test]
async fn a_burst_comes_in_full_to_those_who_read_and_its_end_to_those_who_are_late() {
    let (lapwing, address) = serve(Mount::new().slow("feed:*", SlowPolicy::drop_oldest(3))).await;
    for transport in TRANSPORTS {
        let mut session = joined(address, "feed:1").await;
        session.resume(transport).await;
        (0..30).for_each(|number| say(&lapwing, event("feed:1", number)));
        for number in 0..30 {
            session.expect_json(told("feed:1", "said", json!({"n": number}))).await;
        }
        session.post("!close").await;
        until("it is over", || lapwing.sessions().count() == 0).await;
    }
    let mut client = Client::joined(address, Vsn::V2, "feed:1").await;
    (0..30).for_each(|number| say(&lapwing, event("feed:1", number)));
    for number in 0..30 {
        client.expect(told("feed:1", "said", json!({"n": number}))).await;
    }
    assert_eq!(lapwing.stats().slow.dropped, 0);
    client.join("2", "other").await;
    stall(&lapwing, "other").await;
    until("it is late", || lapwing.sessions().all(|session| !session.waiting.age.is_zero())).await;
    (0..30).for_each(|number| say(&lapwing, event("feed:1", number)));
    assert_eq!(lapwing.stats().slow.dropped, 27);
    assert_eq!(next_but_fillers(&mut client).await, told("feed:1", "gap", json!({"dropped": 27})));
    for number in 27..30 {
        assert_eq!(next_but_fillers(&mut client).await, told("feed:1", "said", json!({"n": number})));
    }
    // It has taken all, and reads.
    client.expect_heartbeat().await;
    (0..30).for_each(|number| say(&lapwing, event("feed:1", number)));
    for number in 0..30 {
        client.expect(told("feed:1", "said", json!({"n": number}))).await;
    }
    assert_eq!(lapwing.stats().slow.dropped, 27);
}

#[tokio::test]
async fn presence_and_what_is_recorded_are_told_in_full_whatever_the_policy() {
    let mount = Mount::new().slow("*", SlowPolicy::volatile()).keep("kept:*", Keep::last(100));
    let (lapwing, address) = serve(mount).await;
    let mut session = joined(address, "kept:1").await;
    session.send_json(json!(["2", "2", "board:people", "phx_join", {}])).await;
    session.expect_json(ok("2", "2", "board:people", json!({}))).await;
    assert_eq!(session.next_json().await[3], "presence_diff");
    away(&lapwing, &mut session).await;
    let mut kept = Vec::new();
    for number in 0..3 {
        lapwing.broadcast("kept:1", "said", json!({"n": number})).unwrap();
        kept.push(lapwing.track("board:people", number.to_string(), json!({})).await.unwrap());
        say(&lapwing, event("kept:1", number).unrecorded());
    }
    session.resume(Transport::Websocket).await;
    let (mut said, mut came) = (Vec::new(), 0);
    while said.len() < 3 || came < 3 {
        match session.next_but_busy().await {
            Line::Text(text) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                if message[3] == "said" {
                    said.push(message[4]["n"].as_u64().unwrap());
                } else {
                    came += message[4]["joins"].as_object().unwrap().len();
                }
            }
            line => assert!(matches!(line, Line::Control(_)), "{line:?}"),
        }
    }
    assert_eq!((said, came), (vec![0, 1, 2], 3));
    assert_eq!(lapwing.stats().slow.left_out, 3);
}
