//! One server that shows every behaviour of channels on the wire: what the conformance tests and the load
//! tools talk to. The same application was written for Phoenix; its recorded answers are in `tests/data`.
//!
//!     PORT=4000 HOST=127.0.0.1 cargo run --release -p lapwing-testbed
//!
//! `/live`, `/ready` and `/metrics` answer whoever asks, and with `API_KEY` there is the HTTP API below `/api`.
//!
//! With `INSPECT_KEY=…` the doctor is at `/doctor`, and the inspector at `/inspect`, which asks for that key as a password.
//!
//! With `GZIP=256` event streams and answers to polls are gzip on every mount, with messages from so many bytes on compressed in them.
//!
//! With `ENGINE=redis://…` or `nats://…` it is a node of the cluster `APP` (default `testbed`) with the name `NODE`; what topics
//! `kept:*` keep is then in the Redis, or in the NATS, which needs JetStream for it (`nats-server -js`). With `KEEP=0` nothing is kept.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "whoever starts it has to learn the port")]

#[cfg(feature = "cluster")]
mod node;
#[cfg(not(feature = "cluster"))]
#[path = "alone.rs"]
mod node;

use std::{
    env,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::TokioIo,
    server::graceful::{GracefulShutdown, Watcher},
};
use lapwing::{
    Accept, Body, Broadcast, Builder, Channel, CheckOrigin, ConnectRequest, Context, DeflateOptions,
    Disconnect, Failure, Gap, Handled, Joining, Keep, Lapwing, LongpollOptions, Mount, OutboxLimits, Payload,
    PeerAddr, Rate, Rates, Read, Refusal, ResumeOptions, ResumeRequest, SseOptions, StopReason, Topic,
    WebsocketOptions,
    api::{ApiOptions, ApiService},
    noreply, reply, stop,
    transports::{
        body::ResponseFuture,
        close::CloseReason,
        connect::{PathVariables, Transport},
        endpoint::Endpoint,
        frame::{Frame, Message},
        handler::Handler,
        live::LiveSession,
        options::TransportOptions,
    },
};
use lapwing_inspector::{Access, Doctor, Inspector, KeyTooShort};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream, lookup_host},
    signal::unix::{SignalKind, signal},
    time::timeout,
};

type AnyError = Box<dyn std::error::Error>;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

struct Room;

impl Channel for Room {
    type State = ();

    async fn join(topic: &Topic, params: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        match topic.as_str() {
            "room:forbidden" => return Err(Failure::reason("unauthorized")),
            "room:joincrash" => panic!("asked to crash"),
            "room:ident" => {
                let user = joining.get_assign::<String>("user");
                let params: serde_json::Value = params.parse().unwrap_or_default();
                joining.set_reply(json!({"you": user.as_deref(), "params": params}))?;
            }
            _ => {}
        }
        Ok(Self)
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        let sent = match event {
            "ping" => return Ok(reply("ok", payload)),
            "shout" => cx.broadcast("shout", payload).map(drop).map_err(|error| error.to_string()),
            "shout_from" => cx.broadcast_from("shout", payload).map(drop).map_err(|error| error.to_string()),
            "push_me" => cx.push("pushed", payload).map_err(|error| error.to_string()),
            "noop" => return Ok(noreply()),
            "ok_bare" => return Ok(reply("ok", Payload::empty())),
            "error_bare" => return Ok(reply("error", Payload::empty())),
            "boom_reply" => return Ok(reply("error", json!({"reason": "no"}))),
            "late_reply" => {
                if let Some(late) = cx.take_reply() {
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        late.reply("ok", payload)
                    });
                }
                return Ok(noreply());
            }
            "wait" => {
                let ms: u64 = payload.parse::<Value>().ok().and_then(|wait| wait["ms"].as_u64()).unwrap_or(0);
                tokio::time::sleep(Duration::from_millis(ms)).await;
                return Ok(reply("ok", Payload::empty()));
            }
            "rows" => return rows(payload.parse()?, cx).await,
            "crash" => panic!("asked to crash"),
            "stop" => return Ok(stop(StopReason::Normal)),
            "stop_shutdown" => return Ok(stop(StopReason::Shutdown)),
            "stop_other" => return Ok(stop(StopReason::Error("asked to".into()))),
            "stop_reply" => return Ok(stop(StopReason::Normal).with_reply("ok", Payload::empty())),
            "bin" => return Ok(reply("ok", vec![1, 2, 3, 255])),
            "bin_push" => cx.push("bin_pushed", vec![9, 8, 7]).map_err(|error| error.to_string()),
            "bin_echo" if payload.as_binary().is_some() => {
                cx.broadcast("bin_cast", payload).map(drop).map_err(|error| error.to_string())
            }
            "bin_reply" if payload.as_binary().is_some() => return Ok(reply("ok", payload)),
            "tell" => {
                let Tell { topic, payload } = payload.parse()?;
                cx.publish(Broadcast::new(topic, "shout", payload))
                    .map(drop)
                    .map_err(|error| error.to_string())
            }
            "whisper" if is_kept(cx) => {
                let whisper = Broadcast::new(cx.topic(), "shout", payload).unrecorded();
                cx.publish(whisper).map(drop).map_err(|error| error.to_string())
            }
            "history" if is_kept(cx) => {
                let Last { last } = payload.parse()?;
                let messages = cx.history(Read::Last, last)?;
                let messages: Vec<_> = messages.iter().map(|message| remembered(message)).collect();
                return Ok(reply("ok", json!({"messages": messages})));
            }
            unknown => panic!("no clause for {unknown}"),
        };
        Ok(sent.map_or_else(|error| stop(StopReason::Error(error)), |()| noreply()))
    }

    /// Clients count what they are told of.
    async fn handle_gap(&mut self, gap: &Gap, cx: &Context<Self>) -> Handled {
        cx.push("gap", json!({"node": &*gap.node, "cause": gap.cause.word()}))?;
        Ok(noreply())
    }
}

/// What `tell` says to a topic that its client need not have joined.
#[derive(Deserialize)]
struct Tell {
    topic: String,
    payload: Value,
}

/// What `rows` asks for: so many pushes in one callback.
#[derive(Deserialize)]
struct Rows {
    rows: usize,
    bytes: usize,
}

/// Pushes them as there is room, and says how much was held.
async fn rows(Rows { rows, bytes }: Rows, cx: &Context<Room>) -> Handled {
    let (text, mut held) = ("x".repeat(bytes), (0, 0));
    for row in 0..rows {
        cx.push_when_ready("row", json!({"row": row, "text": text})).await?;
        let waiting = cx.waiting();
        held = (held.0.max(waiting.frames), held.1.max(waiting.bytes));
    }
    Ok(reply("ok", json!({"frames": held.0, "bytes": held.1})))
}

/// What `history` asks for.
#[derive(Deserialize)]
struct Last {
    last: usize,
}

fn is_kept(cx: &Context<Room>) -> bool {
    cx.topic().starts_with("kept:")
}

/// A message of a kept topic as `history` tells it.
fn remembered(message: &Broadcast) -> Value {
    let payload: Value = message.payload.parse().unwrap_or_default();
    json!({"at": message.position, "event": &*message.event, "payload": payload})
}

/// Who is here: tracks the user and shows everybody.
struct Present {
    key: String,
}

impl Channel for Present {
    type State = ();

    async fn join(_: &Topic, _: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        let user = joining.get_assign::<String>("user");
        Ok(Self { key: user.map_or_else(|| "anon".to_owned(), |user| user.to_string()) })
    }

    async fn joined(&mut self, cx: &Context<Self>) -> Handled {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let meta = json!({"online_at": now, "name": format!("name-{}", self.key)});
        let _ = cx.track_and_push_presences(&self.key, meta).await;
        Ok(noreply())
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        // The client gets its reply first and the diff like everybody else, as it was recorded.
        let answer = |cx: &Context<Self>| {
            if let Some(event) = cx.take_reply() {
                let _ = event.reply("ok", Payload::empty());
            }
        };
        let done = match event {
            "ping" => return Ok(reply("ok", payload)),
            "update" => {
                answer(cx);
                let changes: serde_json::Map<String, Value> = payload.parse().unwrap_or_default();
                let change = |meta: Payload| {
                    let mut meta: serde_json::Map<String, Value> = meta.parse().unwrap_or_default();
                    meta.insert("status".into(), changes.get("status").cloned().unwrap_or_default());
                    Value::Object(meta)
                };
                cx.update_with(&self.key, change).await.map(drop)
            }
            "untrack" => {
                answer(cx);
                cx.untrack(&self.key).await
            }
            unknown => panic!("no clause for {unknown}"),
        };
        Ok(done.map_or_else(|error| stop(StopReason::Error(error.to_string())), |()| noreply()))
    }
}

/// A session without channels: every frame goes back.
struct Echo;

impl Handler for Echo {
    type State = ();

    async fn connect(&self, _: ConnectRequest) -> Result<(), Refusal> {
        Ok(())
    }

    fn received(&self, session: &Arc<LiveSession<()>>, message: Message<'_>) -> Result<(), CloseReason> {
        session.push(match message {
            Message::Text(text) => Frame::text(text),
            Message::Binary(bytes) => Frame::binary(bytes.to_vec()),
        });
        Ok(())
    }
}

async fn connect(request: ConnectRequest) -> Result<Accept, Refusal> {
    if request.param("refuse").is_some() {
        return Err(Refusal::default());
    }
    Ok(match request.param("user") {
        Some(user) => Accept::new().id(format!("user:{user}")).assign("user", user.to_owned()),
        None => Accept::new(),
    })
}

/// A token of `/socket_login`: who, and for how many milliseconds, as in `bob:2000`; `bob:forever`.
fn verify(token: Option<&str>) -> Result<Accept, Refusal> {
    let refused = |why: &str| Refusal::new(StatusCode::UNAUTHORIZED).with_body(why.to_owned());
    let (user, ms) = token.and_then(|token| token.split_once(':')).ok_or_else(|| refused("no token"))?;
    let accept = Accept::new().id(format!("user:{user}"));
    match (ms, ms.parse()) {
        ("forever", _) => Ok(accept),
        ("barred", _) => Err(Refusal::default().with_body("barred from here")),
        (_, Ok(ms)) => Ok(accept.expires_in(Duration::from_millis(ms))),
        _ => Err(refused("the token has expired")),
    }
}

/// Users for whom nobody can say at the moment whether a connection may carry their session on: of `/undecided/bob`, until `/decided/bob`.
static UNDECIDED: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn undecided() -> MutexGuard<'static, Vec<String>> {
    UNDECIDED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever carries a session on has to show a token as well.
fn verify_again(resume: &ResumeRequest, token: Option<&str>) -> Result<(), Refusal> {
    let user = resume.id.as_deref().and_then(|id| id.strip_prefix("user:"));
    if undecided().iter().any(|undecided| Some(undecided.as_str()) == user) {
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE));
    }
    verify(token).map(drop)
}

fn logins() -> Mount {
    let token =
        |request: &ConnectRequest| request.auth_token.clone().or(request.param("token").map(str::to_owned));
    Mount::new()
        .channel::<Room>("room:*", ())
        .channel::<Room>("kept:*", ())
        .check_origin(CheckOrigin::Off)
        .with_auth_tokens()
        .connect(move |request| std::future::ready(verify(token(&request).as_deref())))
        .on_token(|request| async move { verify(Some(&request.token)) })
        .on_resume(move |resume| {
            let token = token(&resume.request);
            std::future::ready(verify_again(&resume, token.as_deref()))
        })
}

/// Options of streams and polls where `GZIP` says so: from how many bytes on messages are compressed in them, on every mount.
fn streams() -> (SseOptions, LongpollOptions) {
    let (sse, longpoll) = (SseOptions::default(), LongpollOptions::default());
    match env::var("GZIP").ok().and_then(|bytes| bytes.parse().ok()) {
        None => (sse, longpoll),
        Some(bytes) => {
            let options = DeflateOptions::default().broadcasts_from(bytes).pushes_from(bytes);
            (sse.gzip(options), longpoll.gzip(options))
        }
    }
}

fn rooms() -> Mount {
    // Whoever measures is as fast as can be.
    let (sse, longpoll) = streams();
    let mount = Mount::new().rates(Rates::none()).connect(connect).sse(sse).longpoll(longpoll);
    mount.channel::<Room>("room:*", ()).channel::<Room>("kept:*", ()).channel::<Present>("presence:*", ())
}

/// How many messages of a topic are kept.
fn kept() -> usize {
    env::var("KEEP").ok().and_then(|last| last.parse().ok()).unwrap_or(100)
}

fn build(builder: Builder) -> (Lapwing, Endpoint<Echo>) {
    let last = kept();
    let keep = |mount: Mount| mount.keep("kept:*", Keep::last(last).for_at_most(Duration::from_secs(300)));
    // Of all mounts, as a topic is kept or it is not.
    let long = if last > 0 { keep(rooms()) } else { rooms() };
    let long = long
        .check_origin(CheckOrigin::Off)
        .joins_max(usize::MAX)
        .websocket(WebsocketOptions::default().idle_timeout(Duration::from_secs(3600)));
    let short = rooms()
        .check_origin(CheckOrigin::Off)
        .websocket(WebsocketOptions::default().idle_timeout(Duration::from_secs(2)))
        .longpoll(streams().1.window(Duration::from_secs(1)))
        .resume(ResumeOptions::default().window(Duration::from_secs(3)));
    let origin = Mount::new()
        .channel::<Room>("room:*", ())
        .check_origin(CheckOrigin::list(["https://good.example"]).expect("the pattern is valid"));
    let options = DeflateOptions::default();
    let deflate = rooms()
        .check_origin(CheckOrigin::Off)
        .websocket(WebsocketOptions::default().deflate(options))
        .sse(SseOptions::default().gzip(options))
        .longpoll(LongpollOptions::default().gzip(options));
    let slow = Rates::none().events(Rate::per_second(1_000).burst(5_000));
    let rates = rooms().rates(slow).check_origin(CheckOrigin::Off);
    let lapwing = builder
        .mount("/socket", long)
        .mount("/socket_default", rooms())
        .mount("/socket_short", short)
        .mount("/socket_origin", origin)
        .mount("/socket_login", logins())
        .mount("/socket_deflate", deflate)
        .mount("/socket_rates", rates)
        .build()
        .expect("the mounts are valid");
    let large = 16 * 1024 * 1024;
    let websocket =
        WebsocketOptions::default().frame_bytes_max(large).message_bytes_max(large).fragments_max(100_000);
    let options = TransportOptions::default()
        .check_origin(CheckOrigin::Off)
        .websocket(websocket)
        .without_longpoll()
        .outbox(OutboxLimits::new().bytes_max(64 * 1024 * 1024));
    (lapwing, Endpoint::new(Echo, options))
}

/// The pages for those who run it, if `INSPECT_KEY` says who may see them.
#[derive(Clone)]
struct Pages {
    doctor: Doctor,
    inspector: Inspector,
}

impl Pages {
    fn new(lapwing: &Lapwing) -> Result<Option<Self>, KeyTooShort> {
        let Ok(key) = env::var("INSPECT_KEY") else { return Ok(None) };
        let inspector = Inspector::new(lapwing.clone(), Access::key(key)?);
        Ok(Some(Self { doctor: Doctor::new(), inspector }))
    }
}

fn respond(served: &Served, request: Request<Incoming>) -> ResponseFuture {
    let Served { lapwing, echo, api, .. } = served;
    match (&served.pages, request.uri().path().split('/').nth(1)) {
        (Some(pages), Some("doctor")) => return hyper::service::Service::call(&pages.doctor, request),
        (Some(pages), Some("inspect")) => return hyper::service::Service::call(&pages.inspector, request),
        _ => {}
    }
    let path = request.uri().path();
    if path == "/echo/websocket" {
        return echo.serve(Transport::Websocket, request, PathVariables::default());
    }
    if let Some(api) = api.as_ref().filter(|_| path.starts_with("/api/")) {
        return hyper::service::Service::call(api, request);
    }
    let status = match path {
        "/live" => Some(lapwing.live_service()),
        "/ready" => Some(lapwing.ready_service()),
        "/metrics" => Some(lapwing.metrics_service()),
        _ => None,
    };
    if let Some(status) = status {
        return Box::pin(hyper::service::Service::call(&status, request));
    }
    let text = if path == "/health" {
        "ok".to_owned()
    } else if path == "/stats" {
        let mut stats = serde_json::to_value(lapwing.stats()).unwrap_or_default();
        stats["pid"] = json!(std::process::id());
        // What is counted of carried requests gives way to the names of the nodes.
        stats["relays"] = stats["cluster"]["relays"].take();
        stats["cluster"] = node::cluster(lapwing);
        stats["accepted"] = json!(ACCEPTED.load(Ordering::Relaxed));
        stats.to_string()
    } else if let Some(id) = path.strip_prefix("/ban/") {
        let _ = lapwing.disconnect_with(format!("user:{id}"), Disconnect::because("banned").for_good());
        "ok".to_owned()
    } else if let Some(id) = path.strip_prefix("/undecided/") {
        undecided().push(id.to_owned());
        "ok".to_owned()
    } else if let Some(id) = path.strip_prefix("/decided/") {
        undecided().retain(|undecided| undecided != id);
        "ok".to_owned()
    } else if let Some(id) = path.strip_prefix("/disconnect/") {
        let _ = lapwing.disconnect(format!("user:{id}"));
        "ok".to_owned()
    } else {
        return hyper::service::Service::call(&lapwing.service(), request);
    };
    Box::pin(std::future::ready(Ok(Response::new(Body::from(text)))))
}

/// How long a client may take to say which protocol it speaks.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take to end the last streams of a connection, once its sessions are over.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections of TCP that were accepted so far.
static ACCEPTED: AtomicU64 = AtomicU64::new(0);

/// What is served.
#[derive(Clone)]
struct Served {
    lapwing: Lapwing,
    echo: Endpoint<Echo>,
    /// For those who have `API_KEY`, if there is one.
    api: Option<ApiService>,
    pages: Option<Pages>,
}

async fn serve(stream: TcpStream, peer: SocketAddr, served: Served, watcher: Watcher) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(PeerAddr(peer));
        respond(&served, request)
    });
    // A client that breaks off, or says nothing, is its own business.
    if timeout(HEAD_TIMEOUT, speaks_http2(&stream)).await.unwrap_or(false) {
        let mut server = http2::Builder::new(lapwing::transports::http2::Turns::new());
        lapwing::transports::http2::configure(&mut server);
        // Boxed, so that what it takes is not set aside for connections of HTTP/1.1.
        let connection = server.serve_connection(TokioIo::new(stream), service);
        let _ = Box::pin(watcher.watch(connection)).await;
    } else {
        let mut server = http1::Builder::new();
        lapwing::transports::http1::configure(&mut server);
        let _ = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    }
}

/// Whether a connection begins as one of HTTP/2 does. hyper-util's `auto` server looks, too, at 8 KB more for each idle
/// connection.
async fn speaks_http2(stream: &TcpStream) -> bool {
    let mut first = [0; 3];
    matches!(stream.peek(&mut first).await, Ok(3)) && &first == b"PRI"
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map_err(AnyError::from).and_then(|runtime| runtime.block_on(run())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), AnyError> {
    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".into());
    let port: u16 = env::var("PORT").ok().map_or(Ok(4000), |port| port.parse())?;
    let listener = listen(&host, port).await?;
    let builder = node::start().await?;
    let options = env::var("API_KEY").ok().map(|key| ApiOptions::new(&key)).transpose()?;
    // Who is inspected has a journal; who is measured has none.
    let journal = if env::var_os("INSPECT_KEY").is_some() { 4_096 } else { 0 };
    let (lapwing, echo) = build(builder.journal(journal));
    let (api, pages) = (options.map(|options| lapwing.api(options)), Pages::new(&lapwing)?);
    println!("listening on {}", listener.local_addr()?);
    let served = Served { lapwing, echo, api, pages };
    let connections = GracefulShutdown::new();
    let mut stopped = std::pin::pin!(stopped());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => break,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of files: wait for some to be closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        ACCEPTED.fetch_add(1, Ordering::Relaxed);
        let _ = stream.set_nodelay(true);
        tokio::spawn(serve(stream, peer, served.clone(), connections.watcher()));
    }
    drop(listener);
    // The sessions first, paced; then the connections of HTTP/2, which say so by GOAWAY.
    served.lapwing.shutdown().await;
    let _ = timeout(GOODBYE_TIMEOUT, connections.shutdown()).await;
    Ok(())
}

/// Listens with room for a crowd that comes back all at once. By default 128 clients may wait to be accepted, and whoever
/// does not fit tries again after a second.
async fn listen(host: &str, port: u16) -> std::io::Result<TcpListener> {
    const BACKLOG: u32 = 16_384;
    let address = lookup_host((host, port)).await?.next().ok_or(std::io::ErrorKind::NotFound)?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Somebody wants the server to end.
async fn stopped() {
    let mut terminated = signal(SignalKind::terminate()).expect("signals can be listened to");
    tokio::select! {
        _ = terminated.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
