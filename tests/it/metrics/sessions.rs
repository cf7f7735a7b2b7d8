//! Sessions, what carries them, why they end, and what goes over them.

use std::{net::SocketAddr, time::Duration};

use hyper::StatusCode;
use lapwing::{
    Accept, Channel, CheckOrigin, Context, Failure, Handled, Joining, Lapwing, Mount, OutboxLimits, Payload,
    Rate, Rates, Refusal, ResumeOptions, Topic, metrics::Value, noreply,
};
use serde_json::json;

use super::{Counts, count, gauge, until};
use crate::support::{
    channels::{Client, Vsn},
    http, lab,
    longpoll::LongPoll,
    sessions::{Session, TRANSPORTS, Transport},
    websocket::{Frame, RawSocket},
};

struct Room;

impl Channel for Room {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn handle_in(&mut self, _: &str, _: Payload, _: &Context<Self>) -> Handled {
        Ok(noreply())
    }
}

async fn serve(mount: Mount) -> (Lapwing, SocketAddr) {
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    (lapwing, address)
}

const WEBSOCKET: &str = "/socket/websocket?vsn=2.0.0";

#[tokio::test]
async fn a_plain_session_is_counted_from_its_beginning_to_its_end() {
    let (lapwing, address) = serve(Mount::new()).await;
    let before = Counts::of(&lapwing);
    let mut client = Client::connect(address, Vsn::V2).await;
    client.expect_heartbeat().await;
    let begun = ["sessions_opened_total /socket websocket plain +1"];
    let one_each =
        ["frames_total /socket websocket receive +1", "frames_total /socket websocket transmit +1"];
    before.expect(&lapwing, &[&begun[..], &one_each].concat()).await;
    client.socket.send(Frame::close(1000, "")).await;
    let ended = ["sessions_ended_total /socket client +1", "session_duration_seconds /socket websocket +1"];
    before.expect(&lapwing, &[&begun[..], &one_each, &ended].concat()).await;
}

#[tokio::test]
async fn a_polled_session_is_counted() {
    let (lapwing, address) = serve(Mount::new()).await;
    let before = Counts::of(&lapwing);
    let mut client = LongPoll::open(address, "/socket").await;
    client.send(json!([null, "1", "phoenix", "heartbeat", {}])).await;
    client.poll().await;
    before
        .expect(
            &lapwing,
            &[
                "sessions_opened_total /socket longpoll plain +1",
                "frames_total /socket longpoll receive +1",
                "frames_total /socket longpoll transmit +1",
            ],
        )
        .await;
}

#[tokio::test]
async fn bytes_are_those_of_the_frames() {
    for transport in TRANSPORTS {
        let (lapwing, address) = serve(Mount::new()).await;
        let mut session = Session::open(address, "/socket", transport).await;
        let heartbeat = json!([null, "1", "phoenix", "heartbeat", {}]);
        let answer = json!([null, "1", "phoenix", "phx_reply", {"status": "ok", "response": {}}]);
        session.send_json(heartbeat.clone()).await;
        session.expect_json(answer.clone()).await;
        let name = match transport {
            Transport::Websocket => "websocket",
            Transport::Sse => "sse",
            Transport::Longpoll => "longpoll",
        };
        let bytes =
            |direction| count(&lapwing.metrics(), "lapwing_frame_bytes_total", &["/socket", name, direction]);
        assert_eq!(bytes("receive"), heartbeat.to_string().len() as u64, "{transport:?}");
        until("the answer is counted", || bytes("transmit") > 0).await;
        // With what the wire puts around it.
        let text = answer.to_string().len() as u64;
        assert!(
            (text..text + 20).contains(&bytes("transmit")),
            "{transport:?}: {} for {text}",
            bytes("transmit")
        );
    }
}

#[tokio::test]
async fn a_session_that_moves_is_counted_by_where_from_and_where_to() {
    let (lapwing, address) = serve(Mount::new()).await;
    let before = Counts::of(&lapwing);
    let mut session = Session::open(address, "/socket", Transport::Websocket).await;
    let mut wanted = vec!["sessions_opened_total /socket websocket resumable +1"];
    for (transport, moved) in [
        (Transport::Sse, "resumes_total /socket websocket sse +1"),
        (Transport::Longpoll, "resumes_total /socket sse longpoll +1"),
        (Transport::Websocket, "resumes_total /socket longpoll websocket +1"),
        (Transport::Websocket, "resumes_total /socket websocket websocket +1"),
    ] {
        session.resume(transport).await;
        wanted.push(moved);
        before.expect(&lapwing, &wanted).await;
    }
    session.say("!close").await;
    wanted
        .extend(["sessions_ended_total /socket client +1", "session_duration_seconds /socket websocket +1"]);
    before.expect(&lapwing, &wanted).await;
    assert_eq!(session.refusal(Transport::Sse).await, "closed");
    wanted.push("resumes_refused_total /socket closed +1");
    before.expect(&lapwing, &wanted).await;
}

#[tokio::test]
async fn round_trips_are_those_that_clients_tell_of() {
    for (transport, name) in
        [(Transport::Websocket, "websocket"), (Transport::Sse, "sse"), (Transport::Longpoll, "longpoll")]
    {
        let (lapwing, address) = serve(Mount::new()).await;
        let mut session = Session::open(address, "/socket", transport).await;
        session.say("!path 40 websocket:closed").await;
        // One that it does not know is none.
        session.say("!path 0").await;
        let told = || match lapwing.metrics().value("lapwing_round_trip_seconds", &["/socket", name]) {
            Some(Value::Histogram(read)) => (read.count(), read.sum),
            other => panic!("{other:?}"),
        };
        until("it is counted", || told() == (1, 40_000_000)).await;
        session.send_json(json!([null, "1", "phoenix", "heartbeat", {}])).await;
        session.next().await;
        assert_eq!(told(), (1, 40_000_000));
    }
}

/// What ends one session, and the word for it.
async fn expect_end(mount: Mount, reason: &str, end: impl AsyncFnOnce(&Lapwing, &mut Session)) {
    let (lapwing, address) = serve(mount.channel::<Room>("room:*", ())).await;
    // It may end as soon as it has begun.
    let before = Counts::of(&lapwing);
    let mut session = Session::open_as(address, "/socket", Transport::Websocket, "&user=bob", 30_000).await;
    end(&lapwing, &mut session).await;
    let ended = format!("sessions_ended_total /socket {reason} +1");
    until(reason, || before.moved(&lapwing).contains(&ended)).await;
    let ends = before.moved(&lapwing).into_iter().filter(|line| line.starts_with("sessions_ended_total"));
    assert_eq!(ends.collect::<Vec<_>>(), [ended]);
}

#[tokio::test]
async fn sessions_end_by_their_reasons() {
    let short = || Mount::new().resume(ResumeOptions::default().window(Duration::from_millis(300)));
    expect_end(short(), "expired", async |_, session| session.cut()).await;
    let named = || Mount::new().connect(|_| async { Ok(Accept::new().id("bob")) });
    expect_end(named(), "disconnected", async |lapwing, _| lapwing.disconnect("bob").unwrap()).await;
    let for_good = lapwing::Disconnect::because("no").for_good();
    expect_end(named(), "dismissed", async |lapwing, _| lapwing.disconnect_with("bob", for_good).unwrap())
        .await;
    let until_now =
        Mount::new().connect(|_| async { Ok(Accept::new().expires_in(Duration::from_millis(200))) });
    expect_end(until_now, "login_expired", async |_, _| {}).await;
    expect_end(Mount::new(), "bad_message", async |_, session| session.say("nonsense").await).await;
    let slow = Mount::new().rates(Rates::none().events(Rate::new(1, Duration::from_secs(600)).burst(1)));
    expect_end(slow, "too_fast", async |_, session| {
        for _ in 0..2 {
            session.send_json(json!([null, "1", "phoenix", "heartbeat", {}])).await;
        }
    })
    .await;
    let small = Mount::new().outbox(OutboxLimits::new().frames_max(1));
    expect_end(small, "too_slow", async |lapwing, session| {
        session.send_json(json!(["1", "1", "room:1", "phx_join", {}])).await;
        session.next().await;
        session.cut();
        until("nothing carries it", || lapwing.stats().detached == 1).await;
        for n in 0..2 {
            lapwing.broadcast("room:1", "n", json!({"n": n})).unwrap();
        }
    })
    .await;
    expect_end(Mount::new(), "draining", async |lapwing, session| {
        session.cut();
        lapwing.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn clients_that_are_not_let_in_are_counted_by_the_reason() {
    let mount = Mount::new()
        .sessions_max(1)
        .check_origin(CheckOrigin::list(["https://good.example"]).unwrap())
        .connect_timeout(Duration::from_millis(50))
        .connect(|request| async move {
            match request.param("user") {
                Some("nobody") => Err(Refusal::new(StatusCode::UNAUTHORIZED)),
                Some("undecided") => std::future::pending().await,
                _ => Ok(Accept::new()),
            }
        });
    let (lapwing, address) = serve(mount).await;
    let before = Counts::of(&lapwing);
    let evil = [("origin", "https://evil.example")];
    let mut wanted = Vec::new();
    for (query, headers, status, reason) in [
        ("", &evil[..], 403, "connects_refused_total /socket origin +1"),
        ("&%", &[], 400, "connects_refused_total /socket query +1"),
        ("&vsn=9", &[], 403, "connects_refused_total /socket version +1"),
        ("&user=nobody", &[], 401, "connects_refused_total /socket program +1"),
        ("&user=undecided", &[], 503, "connects_refused_total /socket timeout +1"),
    ] {
        let refused = RawSocket::handshake(address, &format!("{WEBSOCKET}{query}"), headers).await;
        assert_eq!(refused.err().unwrap().status, status, "{reason}");
        wanted.push(reason);
        before.expect(&lapwing, &wanted).await;
    }
    let _client = RawSocket::connect(address, WEBSOCKET).await;
    until("it is there", || lapwing.stats().sessions == 1).await;
    assert_eq!(RawSocket::handshake(address, WEBSOCKET, &[]).await.err().unwrap().status, 503);
    let begun =
        ["sessions_opened_total /socket websocket plain +1", "connects_refused_total /socket sessions +1"];
    wanted.extend(begun);
    before.expect(&lapwing, &wanted).await;
    let other = lapwing.clone();
    tokio::spawn(async move { other.shutdown().await });
    until("it goes down", || !lapwing.is_ready()).await;
    until("nobody is let in", || lapwing.stats().sessions == 0).await;
    http::get(address, "/socket/longpoll?vsn=2.0.0").await;
    until("it is counted", || {
        before.moved(&lapwing).contains(&"connects_refused_total /socket draining +1".to_owned())
    })
    .await;
}

#[tokio::test]
async fn what_there_is_is_known_by_the_next_sweep() {
    let (lapwing, address) = serve(Mount::new().channel::<Room>("room:*", ())).await;
    let mut sessions = Vec::new();
    for transport in [Transport::Websocket, Transport::Websocket, Transport::Sse, Transport::Longpoll] {
        sessions.push(Session::open(address, "/socket", transport).await);
    }
    let _plain = RawSocket::connect(address, WEBSOCKET).await;
    let by = |transport| gauge(&lapwing.metrics(), "lapwing_sessions", &["/socket", transport]);
    let all = || ["websocket", "sse", "longpoll", "none"].map(by);
    sessions[3].poll(0, "").await;
    until("all are counted", || all().iter().sum::<f64>() == 5.0 && all()[0] == 3.0 && all()[1] == 1.0).await;
    assert_eq!(gauge(&lapwing.metrics(), "lapwing_sessions_resumable", &["/socket"]), 4.0);
    sessions[2].send_json(json!(["1", "1", "room:1", "phx_join", {}])).await;
    sessions[2].next().await;
    sessions[2].cut();
    // Nobody polls the one that was polled: it may be carried by nothing, too.
    let is_without = || by("none") >= 1.0 && by("sse") == 0.0 && all().iter().sum::<f64>() == 5.0;
    until("one is carried by nothing", is_without).await;
    lapwing.broadcast("room:1", "n", json!({"text": "x".repeat(1_000)})).unwrap();
    let waiting = |what| gauge(&lapwing.metrics(), what, &["/socket"]);
    until("it waits", || waiting("lapwing_waiting_frames") == 1.0).await;
    assert!((1_000.0..1_200.0).contains(&waiting("lapwing_waiting_bytes")));
    // Of two looks at the same age the later one finds no less, and not twice as much.
    until("it has waited for a while", || waiting("lapwing_waiting_seconds") >= 2.5).await;
    let told = waiting("lapwing_waiting_seconds");
    let age = lapwing.sessions().map(|session| session.waiting.age).max().unwrap().as_secs_f64();
    assert!(told <= age, "{told} s, and {age} s a moment later");
    assert_eq!(waiting("lapwing_held_bytes_max"), 512.0 * 1024.0 * 1024.0);
}

/// Who goes on scraping a server that has gone down is not told for ever what the last sweep found.
#[tokio::test]
async fn a_server_that_has_gone_down_has_no_sessions() {
    let (lapwing, address) = serve(Mount::new()).await;
    let mut session = Session::open(address, "/socket", Transport::Websocket).await;
    session.cut();
    let by = |transport| gauge(&lapwing.metrics(), "lapwing_sessions", &["/socket", transport]);
    until("it is counted", || by("none") == 1.0).await;
    lapwing.shutdown().await;
    assert_eq!(["websocket", "sse", "longpoll", "none"].map(by), [0.0; 4]);
    assert_eq!(gauge(&lapwing.metrics(), "lapwing_sessions_resumable", &["/socket"]), 0.0);
}
