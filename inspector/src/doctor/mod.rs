//! The doctor: a page that says what a network does to connections, and the probes that it needs.

mod echo;
mod notes;
mod stream;

use std::{
    hash::{BuildHasher as _, RandomState},
    pin::pin,
    sync::{Arc, LazyLock},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, UPGRADE, VIA},
};
use http_body_util::BodyExt as _;
use lapwing::{
    Body,
    transports::{
        body::{RequestBody, ResponseFuture},
        connect::{PathVariables, Transport},
        endpoint::Endpoint,
    },
};
use serde_json::json;
use tokio::time::timeout;

use crate::{
    doctor::{
        echo::{Echo, TIME_MAX},
        notes::Notes,
        stream::{Plan, Planned},
    },
    page::Page,
    service::service,
};

/// A body more than proxies let through by default, and less than anybody's memory: none of it is kept.
const POST_BYTES_MAX: usize = 2 * 1024 * 1024;
const POST_TIME_MAX: Duration = Duration::from_secs(20);
/// Bytes of an answer that measures how many pass in a second.
const BYTES_MAX: usize = 128 * 1024;
/// All of these answers are parts of one: whoever asks for many and reads none of them takes no memory by it.
static DASHES: LazyLock<Bytes> = LazyLock::new(|| vec![b'-'; BYTES_MAX].into());

/// A page that somebody opens whose connection is bad. It tries each transport for some seconds and says in plain words what this network does,
/// what lapwing does about it, and what to send to those who run the server.
///
/// It is a service like [`LapwingService`](lapwing::LapwingService): mount it at a path that needs no login, before the same proxies as the
/// channels. All that it has is below that path. It answers anybody, and keeps of each page some counts and nothing else: 2,000 WebSockets
/// and 2,000 event streams may be under way at once. A WebSocket is closed after 30 s, and a stream has said all after 15 s.
///
/// ```
/// use axum::Router;
/// use lapwing_inspector::Doctor;
///
/// let app: Router = Router::new().nest_service("/doctor", Doctor::new());
/// # let _ = app;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Doctor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    page: Page,
    echo: Endpoint<Echo>,
    notes: Arc<Notes>,
    /// Behind a balancer pages come to several.
    name: String,
}

impl Default for Doctor {
    fn default() -> Self {
        Self::new()
    }
}

impl Doctor {
    /// A doctor.
    pub fn new() -> Self {
        Self::with_websockets_for(TIME_MAX)
    }

    fn with_websockets_for(time_max: Duration) -> Self {
        let modules = [
            include_str!("../../web/findings.js"),
            include_str!("../../web/judge.js"),
            include_str!("../../web/probes.js"),
            include_str!("../../web/examine.js"),
            include_str!("../../web/doctor.js"),
        ];
        let page =
            Page::new(include_str!("../../web/doctor.html"), include_str!("../../web/style.css"), &modules);
        let name = format!("{:016x}", RandomState::new().hash_one(()));
        Self(Arc::new(Inner { page, echo: Echo::endpoint(time_max), notes: Arc::default(), name }))
    }

    fn respond<B: RequestBody>(&self, request: Request<B>) -> ResponseFuture {
        // A connection that is left open would be in the way where only one may be. HTTP/2 has no such header.
        let closes = request.version() < Version::HTTP_2;
        let segment = request.uri().path().rsplit('/').next().unwrap_or_default();
        let response = match (segment, request.method()) {
            ("websocket", _) => return self.websocket(request),
            ("post", &Method::POST) => return self.post(request),
            ("about", &Method::GET) => self.about(&request),
            ("stream", &Method::GET) => self.stream(&request),
            ("bytes", &Method::GET) => bytes(&request),
            (_, &Method::GET | &Method::HEAD) => self.0.page.response(),
            _ => not_allowed(),
        };
        Box::pin(std::future::ready(Ok(finished(response, closes))))
    }

    /// Which probes of the page have arrived, and how this one has.
    fn about<B>(&self, request: &Request<B>) -> Response<Body> {
        let note = self.0.notes.note(id_of(request), |_| {});
        let version = match request.version() {
            Version::HTTP_09 | Version::HTTP_10 => "1.0",
            Version::HTTP_11 => "1.1",
            Version::HTTP_2 => "2",
            _ => "3",
        };
        let headers = request.headers();
        let is_forwarded = headers.contains_key(VIA) || headers.contains_key("x-forwarded-for");
        let about =
            json!({"server": self.0.name, "http": version, "isForwarded": is_forwarded, "arrived": note});
        typed("application/json", about.to_string())
    }

    fn websocket<B: RequestBody>(&self, request: Request<B>) -> ResponseFuture {
        let asks = request.method() == Method::CONNECT || request.headers().contains_key(UPGRADE);
        self.0.notes.note(id_of(&request), |note| {
            let count = if asks { &mut note.upgrades } else { &mut note.stripped };
            *count = count.saturating_add(1);
        });
        self.0.echo.serve(Transport::Websocket, request, PathVariables::default())
    }

    fn stream<B>(&self, request: &Request<B>) -> Response<Body> {
        let Some(plan) = param(request, "plan").and_then(Plan::read) else {
            return refusal(StatusCode::BAD_REQUEST, "a plan has up to 64 pieces, as in ?plan=0.40,5.2000");
        };
        let Some(open) = self.0.notes.begin(id_of(request)) else {
            let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, "as many streams are open as may be");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("20"));
            return response;
        };
        let kind =
            if param(request, "kind") == Some("answer") { "application/json" } else { "text/event-stream" };
        let mut response = typed(kind, Body::stream(Planned::new(plan, open)));
        // nginx holds a response back that does not say so.
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }

    /// Takes a body and keeps nothing of it.
    fn post<B: RequestBody>(&self, request: Request<B>) -> ResponseFuture {
        self.0.notes.note(id_of(&request), |note| note.posts = note.posts.saturating_add(1));
        let closes = request.version() < Version::HTTP_2;
        Box::pin(async move {
            let response = match timeout(POST_TIME_MAX, length_of(request.into_body())).await {
                Ok(Some(bytes)) => typed("text/plain", bytes.to_string()),
                Ok(None) => refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
                Err(_) => refusal(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
            };
            Ok(finished(response, closes))
        })
    }
}

service!(Doctor);

fn bytes<B>(request: &Request<B>) -> Response<Body> {
    match param(request, "count").and_then(|count| count.parse::<usize>().ok()) {
        Some(count) if count <= BYTES_MAX => typed("application/octet-stream", DASHES.slice(..count)),
        _ => refusal(StatusCode::BAD_REQUEST, "say how many bytes, and no more than may be: ?count=1000"),
    }
}

/// How long a body is; `None` if that is more than may be, or if it breaks off.
async fn length_of<B: RequestBody>(body: B) -> Option<usize> {
    let mut body = pin!(body);
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame.ok()?.into_data().map_or(0, |data| data.remaining());
        if bytes > POST_BYTES_MAX {
            return None;
        }
    }
    Some(bytes)
}

/// The number that a page has given itself.
fn id_of<B>(request: &Request<B>) -> Option<u64> {
    u64::from_str_radix(param(request, "id")?, 16).ok()
}

fn param<'r, B>(request: &'r Request<B>, name: &str) -> Option<&'r str> {
    let params = request.uri().query()?.split('&');
    params.filter_map(|param| param.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn typed(kind: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn refusal(status: StatusCode, why: &'static str) -> Response<Body> {
    let mut response = typed("text/plain; charset=utf-8", why);
    *response.status_mut() = status;
    response
}

fn not_allowed() -> Response<Body> {
    let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "GET and POST are the methods here");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
    response
}

fn finished(mut response: Response<Body>, closes: bool) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if closes {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
        time::{sleep, timeout},
    };

    use super::*;

    #[tokio::test]
    async fn answers_that_nobody_reads_take_no_memory() {
        let mut places = Vec::new();
        for count in [100, BYTES_MAX] {
            let request = Request::get(format!("/bytes?count={count}")).body(()).unwrap();
            let data = bytes(&request).into_body().frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(data.len(), count);
            places.push(data.as_ptr());
        }
        assert_eq!(places[0], places[1]);
    }

    #[tokio::test]
    async fn a_websocket_that_goes_on_talking_is_closed_when_its_time_is_over() {
        let app: Router =
            Router::new().fallback_service(Doctor::with_websockets_for(Duration::from_millis(100)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let head = "GET /websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        let (mut reading, mut writing) = client.split();
        let talking = async {
            // A ping, with a mask of zeros.
            while writing.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await.is_ok() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let mut heard = Vec::new();
        let hearing = async {
            // It is told that it is closed, with 1001.
            while !heard.ends_with(&[0x88, 2, 0x03, 0xe9]) {
                assert!(reading.read_buf(&mut heard).await.unwrap() > 0, "{heard:?}");
            }
        };
        let both = async {
            tokio::select! {
                () = talking => panic!("it ends without a word"),
                () = hearing => {}
            }
        };
        timeout(Duration::from_secs(30), both).await.expect("it is closed");
    }
}
