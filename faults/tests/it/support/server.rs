//! A small server with one route of each kind.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures_util::stream::poll_fn;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode, Version,
    body::{Bytes, Frame, Incoming},
    header,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::AbortHandle,
    time::{MissedTickBehavior, interval, sleep},
};

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    state: Arc<State>,
    task: AbortHandle,
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    open: AtomicUsize,
    /// What has come over WebSockets.
    messages: Mutex<String>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
}

type Body = BoxBody<Bytes, Infallible>;

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let task = tokio::spawn(accept(listener, state.clone())).abort_handle();
        Self { addr, state, task }
    }

    /// The requests that have arrived whole.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// How many connections are open, WebSockets included.
    pub(crate) fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    pub(crate) fn messages(&self) -> String {
        self.state.messages.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let state = state.clone();
        let open = Open::new(state.clone());
        tokio::spawn(async move {
            let _open = open;
            let service = service_fn(|request| answer(request, state.clone()));
            let http = hyper::server::conn::http1::Builder::new().timer(TokioTimer::new()).clone();
            // What the proxy does to a connection is what is tested.
            let _ = http.serve_connection(TokioIo::new(socket), service).with_upgrades().await;
        });
    }
}

async fn answer(mut request: Request<Incoming>, state: Arc<State>) -> Result<Response<Body>, Infallible> {
    let upgrade = request.headers().contains_key(header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(text("a broken body")) };
    let body = body.to_bytes();
    let (method, version, headers) = (parts.method, parts.version, parts.headers);
    state.seen.lock().unwrap().push(Seen { method, version, headers, body: body.clone() });
    Ok(match (parts.uri.path(), upgrade) {
        ("/plain", _) => text("plain"),
        ("/long", _) => text(&"x".repeat(1000)),
        ("/echo", _) => Response::new(Full::new(body).boxed()),
        ("/slow", _) => {
            sleep(Duration::from_secs(5)).await;
            text("slow")
        }
        ("/pieces", _) => stream("text/plain", Some(4)),
        ("/events", _) => stream("text/event-stream", None),
        ("/four-events", _) => stream("text/event-stream", Some(4)),
        ("/websocket", Some(upgrade)) => {
            tokio::spawn(async move {
                if let Ok(socket) = upgrade.await {
                    echo(socket, state).await;
                }
            });
            Response::builder()
                .status(StatusCode::SWITCHING_PROTOCOLS)
                .header(header::CONNECTION, "upgrade")
                .header(header::UPGRADE, "websocket")
                .body(Full::default().boxed())
                .unwrap()
        }
        ("/websocket", None) => text("no upgrade was asked for"),
        (path, _) => panic!("no route for {path}"),
    })
}

/// Greets, and sends back whatever comes.
async fn echo(socket: hyper::upgrade::Upgraded, state: Arc<State>) {
    let _open = Open::new(state.clone());
    let mut socket = TokioIo::new(socket);
    let mut bytes = [0; 1024];
    let mut len = "hello\n".len();
    bytes[..len].copy_from_slice(b"hello\n");
    while len > 0 && socket.write_all(&bytes[..len]).await.is_ok() {
        len = socket.read(&mut bytes).await.unwrap_or(0);
        state.messages.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..len]));
    }
}

fn text(text: &str) -> Response<Body> {
    Response::new(Full::from(text.to_owned()).boxed())
}

/// `data: 1`, `data: 2`, and so on, one every 30 ms, the first at once.
fn stream(content_type: &str, len: Option<u64>) -> Response<Body> {
    let mut interval = interval(Duration::from_millis(30));
    // However late the machine is, they are so far apart.
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0;
    let next = poll_fn(move |cx| {
        if Some(number) == len {
            return Poll::Ready(None);
        }
        interval.poll_tick(cx).map(|_| {
            number += 1;
            Some(Ok(Frame::data(Bytes::from(format!("data: {number}\n\n")))))
        })
    });
    Response::builder()
        .header(header::CONTENT_TYPE, content_type)
        .body(StreamBody::new(next).boxed())
        .unwrap()
}

/// Counts a connection as open while it is.
struct Open(Arc<State>);

impl Open {
    fn new(state: Arc<State>) -> Self {
        state.open.fetch_add(1, Ordering::SeqCst);
        Self(state)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}
