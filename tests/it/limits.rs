//! One test per bound that only a server of one's own reaches; the others are in `hostile`, `rfc6455` and `longpoll`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use lapwing::{
    Channel, Context, Failure, Handled, Joining, Lapwing, LongpollOptions, MailboxLimits, Mount,
    OutboxLimits, Payload, Receive, SendError, Sender, Topic, WebsocketOptions, noreply, reply,
};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::{
    PATIENCE,
    channels::{BOTH, Client, Vsn, crashed, ok},
    http, lab,
    longpoll::{LongPoll, NDJSON},
    websocket::RawSocket,
};

/// What the joins share.
struct Shared {
    /// Lets callbacks go on.
    gate: Semaphore,
    senders: Mutex<Vec<Sender<Slow>>>,
}

/// Waits at the gate for each event, and tells nobody anything by itself.
struct Slow;

impl Channel for Slow {
    type State = Shared;
    const INTERCEPT: &'static [&'static str] = &["wanted"];

    async fn join(_: &Topic, _: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        joining.state().senders.lock().unwrap().push(joining.sender());
        Ok(Self)
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        match event {
            "wait" => {
                cx.state().gate.acquire().await.unwrap().forget();
                Ok(reply("ok", payload))
            }
            "hold" => {
                cx.push("holding", Payload::empty()).unwrap();
                cx.state().gate.acquire().await.unwrap().forget();
                Ok(reply("ok", payload))
            }
            _ => Ok(reply("ok", payload)),
        }
    }
}

impl Receive<u32> for Slow {
    async fn handle_info(&mut self, _: u32, _: &Context<Self>) -> Handled {
        Ok(noreply())
    }
}

async fn serve(mount: Mount) -> (Lapwing, Arc<Shared>, std::net::SocketAddr) {
    let shared = Arc::new(Shared { gate: Semaphore::new(0), senders: Mutex::default() });
    let mount = mount.channel::<Slow>("slow:*", shared.clone());
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    (lapwing, shared, address)
}

#[tokio::test]
async fn a_client_that_floods_a_join_waits_and_loses_nothing_and_others_notice_nothing() {
    let (_lapwing, shared, address) = serve(Mount::new().mailbox(MailboxLimits::new().messages_max(8))).await;
    let mut flooder = Client::joined(address, Vsn::V2, "slow:1").await;
    let mut bystander = Client::joined(address, Vsn::V2, "slow:1").await;
    for n in 0..100 {
        flooder.send(json!(["1", n.to_string(), "slow:1", "wait", {"n": n}])).await;
    }
    bystander.send(json!(["1", "2", "slow:1", "echo", {}])).await;
    bystander.expect(ok("1", "2", "slow:1", json!({}))).await;
    flooder.expect_silence().await;
    shared.gate.add_permits(100);
    for n in 0..100 {
        flooder.expect(ok("1", &n.to_string(), "slow:1", json!({"n": n}))).await;
    }
    flooder.expect_heartbeat().await;
}

/// However many messages are in a body: nobody who sends many small ones holds it for longer than who sends one.
#[tokio::test]
async fn a_body_whose_messages_wait_for_a_channel_is_given_up_after_one_window_in_all() {
    let window = Duration::from_secs(1);
    let mount = Mount::new()
        .mailbox(MailboxLimits::new().messages_max(1))
        .longpoll(LongpollOptions::default().window(window));
    let (_lapwing, shared, address) = serve(mount).await;
    let mut client = LongPoll::open(address, "/socket").await;
    client.send(json!(["1", "1", "slow:1", "phx_join", {}])).await;
    assert_eq!(client.poll().await.messages, [ok("1", "1", "slow:1", json!({}))]);
    // Each message by itself is handled in time.
    let paced = tokio::spawn(async move {
        loop {
            tokio::time::sleep(window / 5).await;
            shared.gate.add_permits(1);
        }
    });
    let lines = (0..30).map(|n| format!("{}\n", json!(["1", n.to_string(), "slow:1", "wait", {}])));
    assert_eq!(client.post(NDJSON, lines.collect::<String>().as_bytes()).await, 408);
    paced.abort();
}

#[tokio::test]
async fn a_full_mailbox_refuses_the_programs_messages_and_ends_a_join_that_would_miss_a_broadcast() {
    let (lapwing, shared, address) = serve(Mount::new().mailbox(MailboxLimits::new().messages_max(4))).await;
    let mut client = Client::joined(address, Vsn::V2, "slow:1").await;
    client.send(json!(["1", "2", "slow:1", "hold", {}])).await;
    client.expect(json!(["1", null, "slow:1", "holding", {}])).await;
    let sender = shared.senders.lock().unwrap()[0].clone();
    for n in 0..4 {
        sender.send(n).unwrap();
    }
    assert_eq!(sender.send(4), Err(SendError::Full(4)), "the message is given back");
    lapwing.broadcast("slow:1", "wanted", json!({})).unwrap();
    shared.gate.add_permits(1);
    client.expect(ok("1", "2", "slow:1", json!({}))).await;
    client.expect(crashed("1", "slow:1")).await;
    client.join("3", "slow:1").await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_with_1013_and_the_others_get_everything() {
    let limits = OutboxLimits::new().frames_max(64);
    let (lapwing, _shared, address) = serve(Mount::new().outbox(limits)).await;
    let mut stuck = Client::joined(address, Vsn::V2, "slow:1").await;
    let mut reader = Client::joined(address, Vsn::V2, "slow:1").await;
    let large = "x".repeat(64 * 1024);
    // What the kernel takes before the outbox fills differs between machines.
    for n in 0..2_000 {
        lapwing.broadcast("slow:1", "n", json!({"n": n, "large": large})).unwrap();
        let got = reader.next_message().await;
        assert_eq!(got[4]["n"], n);
        if lapwing.stats().sessions == 1 {
            break;
        }
    }
    let code = stuck.close_code_within(PATIENCE).await;
    assert!(matches!(code, Some(1013 | 1006)), "{code:?}");
    reader.expect_heartbeat().await;
}

/// What a client may send to a topic, every member can be given, though it may not have read the one before.
#[tokio::test]
async fn two_messages_as_large_as_may_be_said_are_both_delivered() {
    let (lapwing, _shared, address) = serve(Mount::new()).await;
    let mut members = Vec::new();
    for vsn in BOTH {
        members.push(Client::joined(address, vsn, "slow:1").await);
    }
    let large = "x".repeat(9_999_000);
    for n in 0..2 {
        lapwing.broadcast("slow:1", "large", json!({"n": n, "large": large})).unwrap();
    }
    for member in &mut members {
        for n in 0..2 {
            let message = member.next_message().await;
            assert_eq!(message.pointer("/4/n").or(message.pointer("/payload/n")), Some(&json!(n)));
        }
        member.expect_heartbeat().await;
    }
}

#[tokio::test]
async fn one_session_too_many_is_refused_with_503() {
    let (_lapwing, _shared, address) = serve(Mount::new().sessions_max(1)).await;
    let mut first = Client::joined(address, Vsn::V2, "slow:1").await;
    let refused = RawSocket::handshake(address, "/socket/websocket?vsn=2.0.0", &[]).await.err();
    assert_eq!(refused.map(|response| response.status), Some(503));
    assert_eq!(http::get(address, "/socket/longpoll?vsn=2.0.0").await.status, 503);
    first.expect_heartbeat().await;
}

#[tokio::test]
async fn a_connection_that_does_not_answer_its_close_is_dropped_when_the_linger_time_is_over() {
    let mount = Mount::new()
        .connect(|_| async { Ok(lapwing::Accept::new().id("user:1")) })
        .websocket(WebsocketOptions::default().linger(Duration::from_millis(200)));
    let (lapwing, _shared, address) = serve(mount).await;
    let client = Client::joined(address, Vsn::V2, "slow:1").await;
    lapwing.disconnect("user:1").unwrap();
    let gone = async {
        while lapwing.stats().sessions > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the connection is dropped");
    drop(client);
}

#[tokio::test]
async fn a_query_too_long_is_refused_and_says_so() {
    let (_lapwing, _shared, address) = serve(Mount::new()).await;
    let path = format!("/socket/websocket?vsn=2.0.0&x={}", "y".repeat(20_000));
    let refused = RawSocket::handshake(address, &path, &[]).await.err().unwrap();
    assert_eq!(refused.status, 400);
    assert!(!refused.text().is_empty());
}

#[tokio::test]
async fn a_post_that_the_channel_does_not_take_within_the_window_is_answered_408() {
    let mount = Mount::new()
        .mailbox(MailboxLimits::new().messages_max(4))
        .longpoll(LongpollOptions::default().window(Duration::from_millis(300)));
    let (_lapwing, shared, address) = serve(mount).await;
    let token = http::get(address, "/socket/longpoll?vsn=2.0.0").await.json()["token"].clone();
    let path = format!("/socket/longpoll?vsn=2.0.0&token={}", token.as_str().unwrap());
    let mut lines = vec![json!(["1", "1", "slow:1", "phx_join", {}]).to_string()];
    lines.extend((0..20).map(|n| json!(["1", n.to_string(), "slow:1", "wait", {}]).to_string()));
    let headers = [("content-type", "application/x-ndjson")];
    let posted = http::request(address, "POST", &path, &headers, Some(lines.join("\n").as_bytes())).await;
    assert_eq!(posted.json(), json!({"status": 408}));
    // What was taken before is handled all the same.
    shared.gate.add_permits(100);
    let polled = http::get(address, &path).await.json();
    assert!(!polled["messages"].as_array().unwrap().is_empty(), "{polled}");
}

/// What a client says behind a channel that takes its time is not read, so that its silence says nothing.
#[tokio::test]
async fn a_stock_client_behind_a_busy_channel_is_answered_and_not_taken_for_silent() {
    const IDLE: Duration = Duration::from_millis(600);
    let mount = Mount::new()
        .mailbox(MailboxLimits::new().messages_max(1))
        .websocket(WebsocketOptions::default().idle_timeout(IDLE));
    let (_lapwing, shared, address) = serve(mount).await;
    let mut client = Client::joined(address, Vsn::V2, "slow:1").await;
    let mut silent = Client::joined(address, Vsn::V2, "slow:1").await;
    client.send(json!(["1", "2", "slow:1", "hold", {}])).await;
    client.expect(json!(["1", null, "slow:1", "holding", {}])).await;
    // This one fills the mailbox. A client that only says that it lives is heard.
    client.send(json!(["1", "3", "slow:1", "wait", {}])).await;
    client.expect_heartbeat().await;
    client.expect_heartbeat().await;
    // One more is taken; what is behind it stays in the socket, for longer than a client may be silent.
    client.send(json!(["1", "4", "slow:1", "wait", {}])).await;
    client.send(json!([null, "hb", "phoenix", "heartbeat", {}])).await;
    assert!(silent.close_code_within(Duration::from_secs(10)).await.is_some(), "whoever is silent is closed");
    tokio::time::sleep(IDLE).await;
    shared.gate.add_permits(3);
    for reference in ["2", "3", "4"] {
        let next = client.next_message().await;
        if next[1] == "hb" {
            // It is answered as it is read, which may be before the last callback ends.
            assert_eq!(reference, "4");
            client.expect(ok("1", "4", "slow:1", json!({}))).await;
        } else {
            assert_eq!(next, ok("1", reference, "slow:1", json!({})));
        }
    }
    client.expect_heartbeat().await;
}
