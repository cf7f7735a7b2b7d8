//! Logins that end, new tokens, refusals that pages can read, and clients that are sent away for good: over all transports.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use lapwing::{
    Accept, Channel, Disconnect, Failure, Joining, Lapwing, Mount, Payload, Refusal, ResumeRequest, Topic,
    http::StatusCode, testing::TestServer, transports::close::CloseReason,
};
use serde_json::{Value, json};

use crate::support::{
    PATIENCE,
    channels::{Client, Vsn, ok, reply},
    events::EventStream,
    gateway,
    http::{self, get},
    lab,
    longpoll::LongPoll,
    sessions::{Attachment, Line, Session, TRANSPORTS, Transport, attach, lines_of},
    websocket::Event,
};

const HOUR: u64 = 3_600_000;

struct Room;

impl Channel for Room {
    type State = ();

    async fn join(_: &Topic, _: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        joining.set_reply(json!({"role": joining.get_assign::<String>("role").as_deref()}))?;
        Ok(Self)
    }
}

/// Reads a token: who, and for how many milliseconds, as in `bob:200`. One that is none is refused.
fn verify(token: &str) -> Result<Accept, Refusal> {
    let refused = || Refusal::new(StatusCode::UNAUTHORIZED).with_body("the token\nhas expired");
    let (user, ms) = token.split_once(':').ok_or_else(refused)?;
    let accept = Accept::new().id(format!("user:{user}"));
    match ms {
        "forever" => Ok(accept),
        "busy" => Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS)),
        "barred" => Err(Refusal::default()),
        ms => Ok(accept.expires_in(Duration::from_millis(ms.parse().map_err(|_| refused())?))),
    }
}

fn mount() -> Mount {
    Mount::new()
        .channel::<Room>("room:*", ())
        .connect(|request| async move { verify(request.param("token").unwrap_or("anybody:forever")) })
        .on_token(|request| async move {
            verify(&request.token).map(|accept| accept.assign("role", "renewed".to_owned()))
        })
}

async fn serve(mount: Mount) -> (Lapwing, SocketAddr) {
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    (lapwing, address)
}

async fn open(address: SocketAddr, transport: Transport, token: &str) -> Session {
    Session::open_as(address, "/socket", transport, &format!("&token={token}"), 30_000).await
}

/// The session is over, which its attachment is told, and whoever comes to carry it on.
async fn expect_closed(session: &mut Session, code: u16, reason: &str) {
    match &mut session.attachment {
        // A poll that comes late finds no session.
        Attachment::Longpoll(_) => {
            let Line::Control(line) = session.next().await else { panic!("the session goes on") };
            assert!(
                line == format!("!closed {code} {reason}") || line.starts_with("!refused closed"),
                "{line}"
            );
        }
        attachment => attachment.expect_end(&format!("!closed {code} {reason}"), code).await,
    }
}

async fn until_nobody_is_there(lapwing: &Lapwing) {
    let ended = async {
        while lapwing.stats().sessions > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the sessions end");
}

#[tokio::test]
async fn a_session_ends_with_its_login_and_its_page_can_read_why() {
    for transport in TRANSPORTS {
        let (lapwing, address) = serve(mount()).await;
        let mut session = open(address, transport, "bob:400").await;
        let mut other = open(address, transport, "eve:forever").await;
        expect_closed(&mut session, 4401, "login_expired").await;
        for transport in TRANSPORTS {
            assert_eq!(session.refusal(transport).await, "closed 4401 login_expired", "{transport:?}");
        }
        assert_eq!(lapwing.stats().sessions, 1);
        other.resume(transport).await;
    }
}

#[tokio::test]
async fn a_session_that_nothing_carries_ends_with_its_login() {
    let (lapwing, address) = serve(mount()).await;
    let mut session = open(address, Transport::Websocket, "bob:300").await;
    session.cut();
    until_nobody_is_there(&lapwing).await;
    assert_eq!(session.refusal(Transport::Sse).await, "closed 4401 login_expired");
    assert_eq!(lines_of(&session.post("!ack 0").await), ["!refused closed 4401 login_expired"]);
}

#[tokio::test]
async fn stock_clients_end_with_their_logins_too() {
    let (lapwing, address) = serve(mount()).await;
    for vsn in [Vsn::V1, Vsn::V2] {
        let mut client = Client::connect_to(address, "/socket", vsn, "token=bob:300&").await;
        assert_eq!(client.socket.next().await, Event::Close(4401, "login_expired".into()));
    }
    let polling = LongPoll::open_as(
        address,
        "/socket",
        Vsn::V2,
        "token=bob:300&",
        crate::support::longpoll::TokenIn::Query,
    )
    .await;
    let path = format!("/socket/longpoll?token=gone&vsn=2.0.0&token={}", polling.token);
    let answer: Value = serde_json::from_str(&get(address, &path).await.text()).unwrap();
    // A poll that comes late finds no session, and no new one is opened with what it has.
    let reasons = [json!("login_expired"), json!("the token has expired")];
    assert!(answer["status"] == 403 && reasons.contains(&answer["reason"]), "{answer}");
    until_nobody_is_there(&lapwing).await;
}

#[tokio::test]
async fn the_client_is_told_for_how_long_its_login_is_good() {
    let (_lapwing, address) = serve(mount()).await;
    for transport in TRANSPORTS {
        for (token, range) in [("bob:3600000", HOUR - 60_000..=HOUR), ("bob:forever", 0..=0)] {
            let path = format!("{}&token={token}", transport.path("/socket"));
            let (_attachment, greeting) = attach(address, transport, &path, "!open 30000").await;
            let login_ms = greeting.split(' ').nth(6).map_or(0, |ms| ms.parse().unwrap());
            assert!(range.contains(&login_ms), "{transport:?}: {greeting}");
        }
    }
}

fn token(reference: &str, token: Value) -> Value {
    json!([null, reference, "phoenix", "token", token])
}

#[tokio::test]
async fn a_new_token_counts_from_when_it_is_taken_on_every_wire() {
    for transport in TRANSPORTS {
        let (_lapwing, address) = serve(mount()).await;
        let mut session = open(address, transport, "bob:3600000").await;
        session.send_json(json!(["1", "1", "room:1", "phx_join", {}])).await;
        session.expect_json(ok("1", "1", "room:1", json!({"role": null}))).await;
        for (wrong, reason, code) in [
            ("eve:5000", "the token is another client's", 4403),
            ("nonsense", "the token has expired", 4401),
            ("bob:busy", "too many", 4429),
        ] {
            session.send_json(token("2", json!({"token": wrong}))).await;
            let told = json!({"reason": reason, "code": code});
            session.expect_json(reply(Value::Null, "2", "phoenix", "error", told)).await;
        }
        for (none, reason) in [
            (json!({}), "a token is missing"),
            (json!({"token": "x".repeat(16 * 1024 + 1)}), "the token is too long"),
        ] {
            session.send_json(token("3", none)).await;
            let told = json!({"reason": reason});
            session.expect_json(reply(Value::Null, "3", "phoenix", "error", told)).await;
        }
        session.send_json(token("4", json!({"token": "bob:3600000"}))).await;
        let renewed = session.next_json().await;
        let expires_in = renewed[4]["response"]["expires_in"].as_u64().unwrap();
        assert!((HOUR - 60_000..=HOUR).contains(&expires_in), "{renewed}");
        session.send_json(json!(["2", "5", "room:2", "phx_join", {}])).await;
        session.expect_json(ok("2", "5", "room:2", json!({"role": "renewed"}))).await;
        session.send_json(token("6", json!({"token": "bob:100"}))).await;
        assert_eq!(session.next_json().await[4]["status"], "ok");
        expect_closed(&mut session, 4401, "login_expired").await;
    }
}

#[tokio::test]
async fn stock_clients_bring_new_tokens_by_an_event() {
    let (_lapwing, address) = serve(mount()).await;
    for vsn in [Vsn::V1, Vsn::V2] {
        let mut client = Client::connect_to(address, "/socket", vsn, "token=bob:3600000&").await;
        client.send(token("1", json!({"token": "bob:forever"}))).await;
        client.expect(reply(Value::Null, "1", "phoenix", "ok", json!({}))).await;
        client.send(token("2", json!({"token": "bob:100"}))).await;
        assert!(matches!(client.socket.next().await, Event::Text(_)));
        assert_eq!(client.socket.next().await, Event::Close(4401, "login_expired".into()));
    }
    // A mount that takes none answers as it does to any event that nobody knows.
    let (_lapwing, address) = serve(Mount::new()).await;
    let mut client = Client::connect(address, Vsn::V2).await;
    client.send(token("1", json!({"token": "bob:forever"}))).await;
    client.expect(reply(Value::Null, "1", "phoenix", "error", json!({"reason": "unmatched topic"}))).await;
}

#[tokio::test(start_paused = true)]
async fn a_login_lasts_as_long_as_the_last_token_says() {
    let server = TestServer::from(Lapwing::builder().mount("/socket", mount()).build().unwrap());
    let [first, second, third] =
        ["bob:60000", "bob:60000", "bob:60000"].map(|token| format!("/socket?token={token}"));
    let (first, second, third) = (
        server.connect(&first).await.unwrap(),
        server.connect(&second).await.unwrap(),
        server.connect(&third).await.unwrap(),
    );
    let begun = tokio::time::Instant::now();
    second.bring_token("bob:3600000").await.ok();
    third.bring_token("bob:forever").await.ok();
    assert_eq!(first.closed().await, CloseReason::LoginExpired);
    assert_eq!(begun.elapsed().as_secs(), 60);
    assert_eq!(second.closed().await, CloseReason::LoginExpired);
    assert_eq!(begun.elapsed().as_secs(), 3_600);
    tokio::time::sleep(Duration::from_secs(1_000_000)).await;
    third.bring_token("bob:5000").await.ok();
    assert_eq!(third.closed().await, CloseReason::LoginExpired);
}

#[tokio::test]
async fn one_token_of_a_session_is_looked_at_at_a_time() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let waiting = gate.clone();
    let mount = Mount::new().connect(|_| async { Ok(Accept::new()) }).on_token(move |_| {
        let gate = waiting.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(Accept::new())
        }
    });
    let (_lapwing, address) = serve(mount).await;
    let mut client = Client::connect(address, Vsn::V2).await;
    for reference in ["1", "2"] {
        client.send(token(reference, json!({"token": "t"}))).await;
    }
    let told = json!({"reason": "another token is being looked at"});
    client.expect(reply(Value::Null, "2", "phoenix", "error", told)).await;
    gate.add_permits(2);
    client.expect(reply(Value::Null, "1", "phoenix", "ok", json!({}))).await;
    client.send(token("3", json!({"token": "t"}))).await;
    client.expect(reply(Value::Null, "3", "phoenix", "ok", json!({}))).await;
}

#[tokio::test]
async fn a_refusal_reaches_the_page_with_a_code_and_a_reason() {
    let (lapwing, address) = serve(mount()).await;
    for (token, line) in [
        ("nonsense", "!refused forbidden 4401 the token has expired"),
        ("bob:busy", "!refused full 4429 too many"),
        ("bob:barred", "!refused forbidden"),
        // A session that ends as soon as it begins would be opened again and again.
        ("bob:0", "!refused forbidden 4401 login_expired"),
    ] {
        for transport in TRANSPORTS {
            let path = format!("{}&token={token}", transport.path("/socket"));
            assert_eq!(attach(address, transport, &path, "!open 30000").await.1, line, "{transport:?}");
        }
    }
    let stats = lapwing.stats().resumes_refused;
    assert_eq!((stats.forbidden, stats.full), (9, 3));
    assert_eq!(lapwing.stats().sessions, 0);
    let polled = get(address, "/socket/longpoll?vsn=2.0.0&token=nonsense").await.text();
    assert_eq!(polled, r#"{"reason":"the token has expired","status":403}"#);
}

#[tokio::test]
async fn a_resume_can_be_checked_again_and_polls_in_a_row_are_one() {
    let (asked, allowed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
    let (asked_here, allowed_here) = (asked.clone(), allowed.clone());
    let mount = mount().on_resume(move |resume: ResumeRequest| {
        assert!(resume.request.is_resumable && resume.request.header("host").is_some());
        assert_eq!(resume.id.as_deref(), Some("user:bob"));
        asked_here.fetch_add(1, Ordering::Relaxed);
        let refusal = Refusal::default().with_body("another browser");
        std::future::ready(if allowed_here.load(Ordering::Relaxed) { Ok(()) } else { Err(refusal) })
    });
    let (lapwing, address) = serve(mount).await;
    for (round, transport) in TRANSPORTS.into_iter().enumerate() {
        let mut session = open(address, Transport::Websocket, "bob:forever").await;
        asked.store(0, Ordering::Relaxed);
        session.resume(Transport::Websocket).await;
        session.resume(Transport::Sse).await;
        session.resume(Transport::Longpoll).await;
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        for _ in 0..5 {
            assert_eq!(session.poll(0, "").await.status, 200);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 3, "a poll that follows another is no other connection");
        session.resume(Transport::Websocket).await;
        allowed.store(false, Ordering::Relaxed);
        assert_eq!(session.refusal(transport).await, "forbidden 4403 another browser", "{transport:?}");
        allowed.store(true, Ordering::Relaxed);
        assert_eq!(session.refusal(transport).await, "closed", "whoever has the token has lost it");
        assert_eq!(lapwing.stats().resumes_refused.forbidden, round as u64 + 1);
    }
    until_nobody_is_there(&lapwing).await;
}

/// An `EventSource` cannot bring its token: the POST does that asks for its ticket.
#[tokio::test]
async fn what_comes_with_the_post_for_a_ticket_is_shown_to_who_checks_the_resume() {
    let mount = mount().with_auth_tokens().on_resume(|resume: ResumeRequest| {
        let is_known = resume.request.auth_token.as_deref() == Some("bob:forever");
        std::future::ready(if is_known { Ok(()) } else { Err(Refusal::default().with_body("who is it?")) })
    });
    let (_lapwing, address) = serve(mount).await;
    let path = Transport::Sse.path("/socket");
    for (headers, greeting) in [
        (&[("x-phoenix-authtoken", "bob:forever")][..], "!resumed 0"),
        (&[][..], "!refused forbidden 4403 who is it?"),
    ] {
        let session = open(address, Transport::Websocket, "bob:forever").await;
        let line = format!("!ticket\n!resume {} 0 30000", session.token);
        let ticket = http::request(address, "POST", &path, headers, Some(line.as_bytes())).await.text();
        let ticket = ticket.trim().strip_prefix("!ticket ").expect("a ticket");
        let mut stream =
            EventStream::request(address, "GET", &format!("{path}&ticket={ticket}"), &[], None).await;
        assert_eq!(stream.next().await.as_deref(), Some(greeting));
    }
}

#[tokio::test]
async fn a_disconnect_says_why_and_whether_to_come_back() {
    for transport in TRANSPORTS {
        let (lapwing, address) = serve(mount()).await;
        let mut session = open(address, transport, "bob:forever").await;
        lapwing.disconnect_with("user:bob", Disconnect::because("the password\nhas changed")).unwrap();
        expect_closed(&mut session, 1001, "the password has changed").await;
        assert_eq!(session.refusal(transport).await, "closed");
        let mut session = open(address, transport, "bob:forever").await;
        let mut away = open(address, transport, "bob:forever").await;
        away.cut();
        lapwing.disconnect_with("user:bob", Disconnect::because("banned").for_good()).unwrap();
        expect_closed(&mut session, 4403, "banned").await;
        assert_eq!(session.refusal(transport).await, "closed 4403 banned");
        assert_eq!(away.refusal(transport).await, "closed 4403 banned");
    }
}

#[tokio::test]
async fn stock_clients_are_told_as_far_as_they_can_be() {
    let (lapwing, address) = serve(mount()).await;
    let connect = || Client::connect_to(address, "/socket", Vsn::V2, "token=bob:forever&");
    for (disconnect, close) in [
        (Disconnect::default(), Event::Close(1001, String::new())),
        (Disconnect::because("x".repeat(200)), Event::Close(1001, "x".repeat(123))),
        (Disconnect::default().for_good(), Event::Close(1000, "dismissed".into())),
        (Disconnect::because("banned").for_good(), Event::Close(1000, "banned".into())),
    ] {
        let mut client = connect().await;
        client.expect_heartbeat().await;
        lapwing.disconnect_with("user:bob", disconnect).unwrap();
        assert_eq!(client.socket.next().await, close);
    }
    let polling = LongPoll::open_as(
        address,
        "/socket",
        Vsn::V2,
        "token=bob:forever&",
        crate::support::longpoll::TokenIn::Query,
    )
    .await;
    lapwing.disconnect_with("user:bob", Disconnect::because("banned").for_good()).unwrap();
    let path = format!("/socket/longpoll?token=nonsense&vsn=2.0.0&token={}", polling.token);
    let answer: Value = serde_json::from_str(&get(address, &path).await.text()).unwrap();
    let reasons = [json!("banned"), json!("the token has expired")];
    assert!(answer["status"] == 403 && reasons.contains(&answer["reason"]), "{answer}");
}

/// Every connection is a stream of one connection of HTTP/2.
#[tokio::test]
async fn logins_end_are_renewed_and_refused_over_http2_as_well() {
    let lapwing = Lapwing::builder().mount("/socket", mount()).build().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (server, service) = (lapwing.clone(), lapwing.service());
    tokio::spawn(async move { server.serve(listener, service).await });
    let address = gateway::start(address).await;
    for transport in TRANSPORTS {
        let mut session = open(address, transport, "bob:3600000").await;
        session.send_json(token("1", json!({"token": "bob:200"}))).await;
        assert_eq!(session.next_json().await[4]["status"], "ok", "{transport:?}");
        expect_closed(&mut session, 4401, "login_expired").await;
        assert_eq!(session.refusal(transport).await, "closed 4401 login_expired", "{transport:?}");
        let path = format!("{}&token=nonsense", transport.path("/socket"));
        let refused = "!refused forbidden 4401 the token has expired";
        assert_eq!(attach(address, transport, &path, "!open 30000").await.1, refused, "{transport:?}");
        let mut session = open(address, transport, "bob:forever").await;
        lapwing.disconnect_with("user:bob", Disconnect::because("banned").for_good()).unwrap();
        expect_closed(&mut session, 4403, "banned").await;
        assert_eq!(session.refusal(transport).await, "closed 4403 banned", "{transport:?}");
    }
    let mut client = Client::connect_to(address, "/socket", Vsn::V2, "token=bob:3600000&").await;
    client.send(token("1", json!({"token": "bob:200"}))).await;
    assert_eq!(client.next_message().await[4]["status"], "ok");
    assert_eq!(client.socket.next().await, Event::Close(4401, "login_expired".into()));
}
