//! What strangers can write into the log: at `info` nothing, at `debug` nothing that is not quoted and cut.

use std::{
    fmt, io,
    sync::{Arc, Mutex},
    time::Instant,
};

use lapwing::{
    Channel, CheckOrigin, Context, Failure, Handled, Joining, Lapwing, Mount, Payload, Topic, noreply, reply,
};
use serde_json::json;
use tracing_subscriber::{
    filter::LevelFilter,
    fmt::{MakeWriter, format::FmtSpan},
};

use crate::support::{
    channels::{Client, Vsn, closed, crashed, ok, reply as replied, unmatched},
    http, lab,
    websocket::RawSocket,
};

struct Room;

impl Channel for Room {
    type State = ();

    async fn join(topic: &Topic, _: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        if topic == "room:list" {
            joining.set_reply(json!(["kept-in-reply"]))?;
        }
        if topic == "room:forbidden" { Err(Failure::new(json!({}))) } else { Ok(Self) }
    }

    async fn joined(&mut self, cx: &Context<Self>) -> Handled {
        // Which is as long as the client likes.
        if let Some(name) = cx.topic().strip_prefix("room:member:") {
            cx.track(name, json!({})).await?;
        }
        Ok(noreply())
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        match event {
            "track" => {
                cx.track(payload.parse::<String>()?, json!({})).await?;
                Ok(reply("ok", json!({})))
            }
            "later" => {
                let asked = cx.take_reply();
                let _: u64 = payload.parse()?;
                drop(asked);
                Ok(noreply())
            }
            "bytes" => {
                cx.broadcast("bytes", vec![1, 2, 3]).ok();
                Ok(noreply())
            }
            "ok" => Ok(reply("ok", json!({}))),
            "fail" => Err(Failure::internal(Broken(io::Error::other(format!("disk full{FORGED}"))))),
            unknown => panic!("no clause for {unknown}"),
        }
    }
}

/// An error with a cause.
#[derive(Debug)]
struct Broken(io::Error);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not saved")
    }
}

impl std::error::Error for Broken {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// What is logged on this thread, where client and server run, while something is done.
async fn logged(level: LevelFilter, deed: impl AsyncFnOnce(Lapwing, std::net::SocketAddr)) -> String {
    let mount = Mount::new().channel::<Room>("room:*", ()).joins_max(2);
    // What is said when a program starts is no stranger's doing.
    logged_from_start(level, mount, async |lapwing, address, log| {
        log.0.lock().unwrap().clear();
        deed(lapwing, address).await;
    })
    .await
}

/// The same, with what is logged when the program starts.
async fn logged_from_start(
    level: LevelFilter,
    mount: Mount,
    deed: impl AsyncFnOnce(Lapwing, std::net::SocketAddr, &Log),
) -> String {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .without_time()
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(log.clone())
        .finish();
    {
        let _guard = tracing::subscriber::set_default(subscriber);
        // While there is one listener alone, `tracing` asks the first thread that comes by a place whether anybody listens,
        // and that may be another test's. With two it asks both of them.
        let _second = tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish());
        tracing::callsite::rebuild_interest_cache();
        let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
        let address = lab::serve(&lapwing).await;
        deed(lapwing, address, &log).await;
    }
    let log = log.0.lock().unwrap().clone();
    String::from_utf8(log).unwrap()
}

const FORGED: &str = "\n2026-01-01T00:00:00Z  INFO lapwing: admin logged in\u{1b}[2J";

/// Does all that a client's names get into the log by.
async fn go_through_everything(address: std::net::SocketAddr) {
    let refused = RawSocket::handshake(address, "/socket/websocket?vsn=%0Aforged%1B", &[]).await;
    assert!(refused.is_err());
    let evil = format!("https://evil.example/{}", "x".repeat(10_000));
    let path = "/socket/websocket?vsn=2.0.0";
    assert!(RawSocket::handshake(address, path, &[("origin", &evil)]).await.is_err());
    let long = "x".repeat(900);
    let mut client = Client::connect(address, Vsn::V2).await;
    for topic in [format!("nobody's{FORGED}"), format!("nobody's:{long}")] {
        client.send(json!(["1", "1", topic, "phx_join", {}])).await;
        client.expect(unmatched("1", &topic)).await;
    }
    client.send(json!(["1", "1", "room:forbidden", "phx_join", {}])).await;
    client.next_message().await;
    let (first, second) = (format!("room:1{FORGED}"), format!("room:{long}"));
    for topic in [&first, &second] {
        client.join("1", topic).await;
    }
    client.send(json!(["1", "2", "room:3", "phx_join", {}])).await;
    client.next_message().await;
    client.send(json!(["1", "3", &second, "phx_leave", {}])).await;
    client.expect(ok("1", "3", &second, json!({}))).await;
    client.next_message().await;
    // A client that cannot be sent what the others are.
    let token = http::get(address, "/socket/longpoll?vsn=2.0.0").await.json()["token"].clone();
    let path = format!("/socket/longpoll?vsn=2.0.0&token={}", token.as_str().unwrap());
    let join = json!(["1", "1", first, "phx_join", {}]).to_string();
    let headers = [("content-type", "application/x-ndjson")];
    assert_eq!(http::request(address, "POST", &path, &headers, Some(join.as_bytes())).await.status, 200);
    for _ in 0..100 {
        client.send(json!(["1", "4", &first, "bytes", {}])).await;
    }
    client.send(json!(["1", "5", &first, "ok", {}])).await;
    while client.socket.next().await
        != crate::support::websocket::Event::Text(
            ok("1", "5", &first, json!({}))
                .to_string()
                .replace("{\"status\":\"ok\",\"response\":{}}", "{\"response\":{},\"status\":\"ok\"}"),
        )
    {}
    client.socket.send(crate::support::websocket::Frame::close(1000, "")).await;
    client.socket.next().await;
}

#[tokio::test]
async fn a_mount_that_believes_what_requests_say_of_its_host_says_so_once() {
    let list = CheckOrigin::list(["https://good.example"]).unwrap();
    for (mount, lines) in [
        (Mount::new(), 1),
        (Mount::new().host("good.example"), 0),
        (Mount::new().check_origin(list), 0),
        (Mount::new().check_origin(CheckOrigin::Off), 0),
    ] {
        let log = logged_from_start(LevelFilter::INFO, mount, async |_, address, _| {
            for _ in 0..3 {
                Client::connect(address, Vsn::V2).await.expect_heartbeat().await;
            }
        })
        .await;
        assert_eq!(log.lines().count(), lines, "{log}");
        assert_eq!(log.matches("what each request says of its host").count(), lines, "{log}");
    }
}

#[tokio::test]
async fn a_stranger_writes_nothing_at_info() {
    let log = logged(LevelFilter::INFO, async |_, address| go_through_everything(address).await).await;
    assert_eq!(log, "");
}

#[tokio::test]
async fn a_pattern_of_which_no_channel_has_topics_is_a_warning_at_the_start() {
    for (pattern, lines) in [("roms:*", 1), ("r*", 0), ("room:lobby", 0)] {
        let keep = || lapwing::Keep::last(1);
        for (option, mount) in [
            ("Mount::keep", Mount::new().keep(pattern, keep())),
            ("Mount::slow", Mount::new().slow(pattern, lapwing::SlowPolicy::volatile())),
        ] {
            let mount = mount.channel::<Room>("room:*", ()).host("good.example");
            let log = logged_from_start(LevelFilter::INFO, mount, async |_, _, _| {}).await;
            let warnings = log.lines().filter(|line| line.contains("WARN") && line.contains(option));
            assert_eq!((warnings.count(), log.lines().count()), (lines, lines), "{pattern}: {log}");
            assert!(lines == 0 || log.contains(&format!("pattern=\"{pattern}\"")), "{log}");
        }
    }
}

/// Which the program is to see, and whose client learns no position.
#[tokio::test]
async fn a_reply_that_has_no_place_for_a_position_is_a_line_a_second_without_the_reply() {
    let start = Instant::now();
    let mount = Mount::new()
        .channel::<Room>("room:*", ())
        .keep("room:*", lapwing::Keep::last(1))
        .host("good.example");
    let log = logged_from_start(LevelFilter::INFO, mount, async |_, address, _| {
        let mut client = Client::connect(address, Vsn::V2).await;
        // One that does not ask needs no place.
        for (topic, params) in [("room:list", json!({})), ("room:1", json!({"_since": ""}))] {
            client.send(json!(["1", "1", topic, "phx_join", params])).await;
            client.next_message().await;
        }
        for _ in 0..100 {
            client.send(json!(["1", "1", "room:list", "phx_leave", {}])).await;
            client.next_message().await;
            client.next_message().await;
            client.send(json!(["1", "1", "room:list", "phx_join", {"_since": ""}])).await;
            client.expect(ok("1", "1", "room:list", json!(["kept-in-reply"]))).await;
        }
    })
    .await;
    let lines_max = 1 + start.elapsed().as_secs() as usize;
    assert!((1..=lines_max).contains(&log.lines().count()), "{log}");
    for line in log.lines() {
        assert!(line.contains("WARN") && line.contains("has no place for a position"), "{log}");
        assert!(
            line.contains("room:list") && line.contains("Room") && !line.contains("kept-in-reply"),
            "{log}"
        );
    }
}

/// In an answer where there is one, and in no line above `debug` where there is none.
#[tokio::test]
async fn a_key_that_does_not_fit_is_told_to_its_client_and_not_to_the_log() {
    let deed = async |_: Lapwing, address| {
        let mut client = Client::joined(address, Vsn::V2, &format!("room:member:{}", "x".repeat(300))).await;
        client.send(json!(["1", "2", format!("room:member:{}", "x".repeat(300)), "phx_leave", {}])).await;
        client.next_message().await;
        client.next_message().await;
        client.join("3", "room:1").await;
        for (key, reason) in [
            ("x".repeat(300), "a key of 300 bytes is too long: 256 at most"),
            ("__proto__".to_owned(), "the key is a name that breaks old clients"),
        ] {
            client.send(json!(["3", "4", "room:1", "track", key])).await;
            client.expect(replied(json!("3"), "4", "room:1", "error", json!({"reason": reason}))).await;
        }
    };
    assert_eq!(logged(LevelFilter::INFO, deed).await, "");
    let log = logged(LevelFilter::DEBUG, deed).await;
    assert!(log.contains("callback failed for what a client brought"), "{log}");
}

/// Serde repeats what does not fit: its client may read that, and nobody else.
#[tokio::test]
async fn what_does_not_fit_is_named_in_the_log_without_the_payload() {
    let log = logged(LevelFilter::TRACE, async |_, address| {
        let mut client = Client::joined(address, Vsn::V2, "room:1").await;
        client.send(json!(["1", "2", "room:1", "later", "kept-in-payload"])).await;
        client.send(json!(["1", "3", "room:1", "ok", {}])).await;
        client.expect(ok("1", "3", "room:1", json!({}))).await;
    })
    .await;
    assert!(log.contains("callback failed for what a client brought"), "{log}");
    assert!(log.contains("invalid payload") && !log.contains("kept-in-payload"), "{log}");
}

#[tokio::test]
async fn what_a_stranger_calls_things_is_quoted_and_cut() {
    let log = logged(LevelFilter::TRACE, async |_, address| {
        go_through_everything(address).await;
        let mut client = Client::joined(address, Vsn::V2, "room:1").await;
        // The program's panic repeats it.
        client.send(json!(["1", "2", "room:1", format!("{FORGED}{}", "x".repeat(100)), {}])).await;
        client.expect(crashed("1", "room:1")).await;
    })
    .await;
    let lines: Vec<_> = log.lines().filter(|line| line.contains(" lapwing")).collect();
    assert!(lines.len() > 10, "{log}");
    for line in lines {
        assert!(!line.contains('\u{1b}') && line.len() < 1_000, "{} bytes: {line:?}", line.len());
    }
    assert!(!log.contains("\n2026-01-01") && !log.contains("\nforged"), "{log}");
    let has = |parts: &[&str]| log.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    let quoted = r#""room:1\n2026-01-01T00:00:00Z  INFO lapwing: admin logged in\u{1b}[2J""#;
    // Whose join it was can be seen from the line alone.
    assert!(has(&["joined", quoted, "channel=", "Room", "id="]), "{log}");
    assert!(has(&["left", "topic=", "id="]), "{log}");
    assert!(has(&["channel crashed", r#"panic="no clause for \n2026-01-01"#]), "{log}");
    for line in
        ["unmatched topic", "too many channels joined", "join refused", "no serializer", "origin not allowed"]
    {
        assert!(has(&[line]), "{line:?} was not logged: {log}");
    }
    assert!(has(&["bytes more"]), "{log}");
}

/// Brings the same line about 300 times; it must be written once a second.
async fn loops(line: &str, again: impl AsyncFn(&mut Client)) -> String {
    let start = Instant::now();
    let log = logged(LevelFilter::INFO, async |_, address| {
        let mut client = Client::connect(address, Vsn::V2).await;
        for _ in 0..300 {
            again(&mut client).await;
        }
    })
    .await;
    let lines = log.lines().count();
    let lines_max = 1 + start.elapsed().as_secs() as usize;
    assert!((1..=lines_max).contains(&lines), "{lines} lines in {:?}: {log}", start.elapsed());
    assert!(log.contains(line) && log.contains("passed_over=0"), "{log}");
    log
}

#[tokio::test]
async fn a_crash_loop_writes_a_line_a_second() {
    loops("channel crashed", async |client| {
        client.join("1", "room:1").await;
        client.send(json!(["1", "2", "room:1", "crash", {}])).await;
        client.expect(crashed("1", "room:1")).await;
    })
    .await;
}

#[tokio::test]
async fn a_callback_that_fails_again_and_again_writes_a_line_a_second_with_all_causes() {
    let log = loops("callback failed", async |client| {
        client.join("1", "room:1").await;
        client.send(json!(["1", "2", "room:1", "fail", {}])).await;
        let internal = json!({"reason": "internal"});
        client.expect(replied(json!("1"), "2", "room:1", "error", internal)).await;
        client.send(json!(["1", "3", "room:1", "phx_leave", {}])).await;
        client.expect(ok("1", "3", "room:1", json!({}))).await;
        client.expect(closed("1", "room:1")).await;
    })
    .await;
    let line = log.lines().next().unwrap();
    assert!(line.contains(r#"cause="not saved: disk full\n2026-01-01"#), "quoted: {log}");
    assert!(line.contains(r#"callback="handle_in""#) && line.contains(r#"topic="room:1""#), "{log}");
}

/// Each message of a client's has a span of its own, at `debug`: no child of anything, with names that are quoted and cut, and without what was said.
#[tokio::test]
async fn a_message_has_a_span_that_knows_the_handshake_and_not_the_payload() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let deed = async |lapwing: Lapwing, address| {
        let query = format!("traceparent={PARENT}&");
        let mut client = Client::connect_to(address, "/socket", Vsn::V2, &query).await;
        client.send(json!(["1", "1", "room:1", "phx_join", {"secret": "kept-in-params"}])).await;
        client.expect(ok("1", "1", "room:1", json!({}))).await;
        for reference in ["2", "3"] {
            client.send(json!(["1", reference, "room:1", "ok", {"secret": "kept-in-payload"}])).await;
            client.expect(ok("1", reference, "room:1", json!({}))).await;
        }
        client.send(json!(["1", "4", "room:1", format!("{FORGED}{}", "x".repeat(100)), {}])).await;
        client.expect(crashed("1", "room:1")).await;
        let mut stranger = Client::connect_to(address, "/socket", Vsn::V2, "traceparent=forged&").await;
        stranger.join("1", "room:2").await;
        stranger.send(json!(["1", "2", "room:2", "ok", {}])).await;
        stranger.expect(ok("1", "2", "room:2", json!({}))).await;
        let numbers = lapwing.metrics().to_prometheus();
        assert!(!["kept-in", "room:1", "room:2", "forged", PARENT].iter().any(|text| numbers.contains(text)));
    };
    let log = logged(LevelFilter::TRACE, deed).await;
    let spans: Vec<_> =
        log.lines().filter(|line| line.contains("lapwing.handle_in{") && line.ends_with(": close")).collect();
    assert_eq!(spans.len(), 4, "{log}");
    for span in &spans {
        assert!(span.trim_start().starts_with("DEBUG lapwing.handle_in{"), "a root: {span}");
        for field in [
            r#"messaging.system="phoenix""#,
            r#"messaging.operation.type="process""#,
            r#"messaging.destination.template="room:*""#,
            "lapwing.join=",
        ] {
            assert!(span.contains(field), "{field} is not in {span}");
        }
    }
    let linked = format!("lapwing.handshake.traceparent=\"{PARENT}\"");
    assert!(
        spans[..3].iter().all(|span| span.contains(&linked)) && !spans[3].contains("traceparent="),
        "{spans:#?}"
    );
    assert!(spans[1].contains(r#"lapwing.event="ok""#) && !spans[1].contains("error.type"), "{}", spans[1]);
    assert!(
        spans[2].contains(r#"error.type="panic""#) && spans[2].contains(r#"lapwing.event="\n2026-01-01"#),
        "{}",
        spans[2]
    );
    assert!(!log.contains("kept-in-params") && !log.contains("kept-in-payload"), "{log}");
    // Nobody listens to them at `info`.
    let log = logged(LevelFilter::INFO, async |_, address| {
        let mut client = Client::joined(address, Vsn::V2, "room:1").await;
        client.send(json!(["1", "2", "room:1", "ok", {}])).await;
        client.expect(ok("1", "2", "room:1", json!({}))).await;
    });
    assert_eq!(log.await, "");
}
