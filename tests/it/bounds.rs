//! Bounds of time, and those of presence that others are held up by: each is reached, and what happens then is what is said.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use lapwing::{
    Channel, Context, Drain, Failure, Handled, Joining, Lapwing, LongpollOptions, Mount, Payload,
    PresenceDiff, PresenceState, Topic, WebsocketOptions, noreply,
};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::support::{
    PATIENCE,
    channels::{Client, Vsn},
    http::{self, ResponseReader},
    lab,
    websocket::Event,
};

struct Quiet;

impl Channel for Quiet {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn handle_in(&mut self, _: &str, _: Payload, _: &Context<Self>) -> Handled {
        Ok(noreply())
    }
}

async fn serve(mount: Mount) -> (Lapwing, std::net::SocketAddr) {
    let lapwing = Lapwing::builder().mount("/socket", mount.channel::<Quiet>("room:*", ())).build().unwrap();
    let address = lab::serve(&lapwing).await;
    (lapwing, address)
}

#[tokio::test]
async fn a_websocket_that_is_silent_for_the_idle_time_is_closed_and_one_that_speaks_is_not() {
    const IDLE: Duration = Duration::from_secs(1);
    let (lapwing, address) =
        serve(Mount::new().websocket(WebsocketOptions::default().idle_timeout(IDLE))).await;
    let mut talker = Client::joined(address, Vsn::V2, "room:1").await;
    let start = Instant::now();
    let mut silent = Client::joined(address, Vsn::V2, "room:1").await;
    let closed = tokio::spawn(async move { silent.socket.next().await });
    while !closed.is_finished() {
        talker.expect_heartbeat().await;
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(closed.await.unwrap(), Event::Close(1002, String::new()));
    assert!(start.elapsed() >= IDLE, "{:?}", start.elapsed());
    talker.expect_heartbeat().await;
    assert_eq!(lapwing.stats().joins, 1, "the joins of the other are over");
}

/// A new session of Phoenix's long-poll, by its path.
async fn longpoll(address: std::net::SocketAddr) -> String {
    let token = http::get(address, "/socket/longpoll?vsn=2.0.0").await.json()["token"].clone();
    format!("/socket/longpoll?vsn=2.0.0&token={}", token.as_str().unwrap())
}

#[tokio::test]
async fn a_post_of_phoenix_dialect_at_its_bound_is_taken_and_one_byte_more_is_not() {
    const BYTES_MAX: usize = 1_000;
    let (_lapwing, address) =
        serve(Mount::new().longpoll(LongpollOptions::default().body_bytes_max(BYTES_MAX))).await;
    let path = longpoll(address).await;
    let message = |bytes: usize| {
        let bare = json!([null, "1", "phoenix", "heartbeat", {"x": ""}]).to_string();
        json!([null, "1", "phoenix", "heartbeat", {"x": "x".repeat(bytes - bare.len())}]).to_string()
    };
    let over = http::request(address, "POST", &path, &[], Some(message(BYTES_MAX + 1).as_bytes())).await;
    assert_eq!(over.status, 400, "as Phoenix says it");
    let exact = http::request(address, "POST", &path, &[], Some(message(BYTES_MAX).as_bytes())).await;
    assert_eq!(exact.json(), json!({"status": 200}), "the session goes on");
}

#[tokio::test]
async fn a_post_of_phoenix_dialect_that_takes_too_long_is_answered_408() {
    const TIMEOUT: Duration = Duration::from_millis(300);
    let (_lapwing, address) =
        serve(Mount::new().longpoll(LongpollOptions::default().body_timeout(TIMEOUT))).await;
    let path = longpoll(address).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n[");
    let start = Instant::now();
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = timeout(PATIENCE, ResponseReader::default().read(&mut stream, false)).await;
    assert_eq!(answer.expect("an answer in time").unwrap().json()["status"], 408);
    assert!(start.elapsed() >= TIMEOUT, "{:?}", start.elapsed());
}

#[tokio::test]
async fn clients_that_are_left_when_the_time_for_a_drain_is_over_are_sent_away_at_once() {
    let time = Duration::from_millis(500);
    let drain = Drain::default().batch(1).interval(Duration::from_secs(3_600)).timeout(time);
    let (lapwing, address) = serve(Mount::new().drain(drain)).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(Client::joined(address, Vsn::V2, "room:1").await);
    }
    let start = Instant::now();
    let ending = tokio::spawn(async move { lapwing.shutdown().await });
    for client in &mut clients {
        client.expect_close(1012).await;
    }
    assert!(
        start.elapsed() >= time,
        "the second waits for its turn, until nobody waits: {:?}",
        start.elapsed()
    );
    timeout(PATIENCE, ending).await.expect("nobody is left").unwrap();
}

/// Five seconds, which is the library's own bound.
#[tokio::test]
async fn presences_go_out_without_what_takes_too_long_to_fetch() {
    let lapwing = Lapwing::builder().fetch(PATIENCE, |_, _| std::future::pending()).build().unwrap();
    let mut subscription = lapwing.subscribe("room:1");
    let tracked = lapwing.track("room:1", "ada", json!({"here": true})).await.unwrap();
    let told = async {
        let diff: Value = subscription.recv().await.unwrap().payload.parse().unwrap();
        let state: Value = lapwing.presences("room:1").await.unwrap().parse().unwrap();
        (diff["joins"].clone(), state)
    };
    let (joins, state) = timeout(3 * PATIENCE, told).await.expect("what is fetched is not waited for");
    assert_eq!(joins, state);
    assert_eq!(state["ada"]["metas"][0]["here"], true);
    drop(tracked);
}

/// More topics than may wait for what is fetched: the diffs of each come in order all the same.
#[tokio::test]
async fn what_waits_for_a_fetch_is_bounded_and_stays_in_order() {
    const TOPICS: usize = 5_000;
    static GATE: Semaphore = Semaphore::const_new(0);
    let fetch = async |_, _| {
        GATE.acquire().await.unwrap().forget();
        HashMap::new()
    };
    let lapwing =
        Lapwing::builder().fetch(PATIENCE, move |topic, keys| Box::pin(fetch(topic, keys))).build().unwrap();
    let mut subscription = lapwing.subscribe("room:watched");
    let _first = lapwing.track("room:first", "ada", json!({})).await.unwrap();
    let watched = lapwing.track("room:watched", "ada", json!({})).await.unwrap();
    let mut others = Vec::new();
    for n in 0..TOPICS {
        others.push(lapwing.track(format!("room:{n}"), "ada", json!({})).await.unwrap());
    }
    drop(watched);
    // What is dropped is taken out before this is answered.
    while lapwing.presence_count("room:watched").await.unwrap().keys > 0 {
        sleep(Duration::from_millis(5)).await;
    }
    GATE.add_permits(2 * TOPICS);
    let mut state = PresenceState::new();
    let told = async {
        let mut has_come = false;
        while !has_come || !state.is_empty() {
            let diff: PresenceDiff = subscription.recv().await.unwrap().payload.parse().unwrap();
            diff.apply_to(&mut state);
            has_come |= !state.is_empty();
        }
    };
    timeout(3 * PATIENCE, told).await.expect("who came is told before who left");
}
