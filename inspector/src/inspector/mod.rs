//! The inspector: a page for those who run a server, and what it asks for.

mod access;
mod lists;
mod pages;
mod samples;
mod shown;
mod trace;

use std::{sync::Arc, time::Duration};

use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS},
    request::Parts,
};
use http_body_util::{BodyExt as _, Limited};
use lapwing::{
    Body, Lapwing,
    transports::{
        body::{RequestBody, ResponseFuture},
        query::{self, QueryLimits},
    },
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};
use tracing::info;

pub use self::access::{Access, KeyTooShort};
use self::{lists::Asked, samples::Samples, trace::Traced};
use crate::{page::Page, service::service};

/// What a button says.
const DEED_BYTES_MAX: usize = 4_096;
const DEED_TIME_MAX: Duration = Duration::from_secs(20);

/// Lists that are made at once: each walks through all sessions, on a thread of its own.
const WALKS_MAX: usize = 4;

/// A page that shows what a server does: sessions by transport over time, why they ended, each session's life, topics with who is there, the
/// nodes of a cluster, and a live trace of a topic or of a user. Two buttons disconnect a user, and send all clients away.
///
/// It is a service like [`LapwingService`](lapwing::LapwingService): mount it at a path, with TLS before it. It cannot be mounted open: its
/// [`Access`] is a key, or what the program decides by each request. Nobody else is answered. It shows names that clients chose, as text and
/// cut after 256 bytes, in a trace after 128 characters; it shows no payload, no token and no parameter.
///
/// Each session's life, and why sessions ended, is in the journal: turn it on with [`Builder::journal`](lapwing::Builder::journal).
///
/// ```
/// use axum::Router;
/// use lapwing::{Lapwing, Mount};
/// use lapwing_inspector::{Access, Inspector};
///
/// let lapwing = Lapwing::builder().mount("/socket", Mount::new()).journal(4_096).build()?;
/// let inspector = Inspector::new(lapwing.clone(), Access::key("aLongSecret")?);
/// let app: Router = Router::new().nest_service("/inspect", inspector);
/// # let _ = app;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A terminal has the trace as lines, of a topic or of the user with a socket id:
///
/// ```text
/// curl -N -u :aLongSecret 'https://example.com/inspect/trace?topic=room:lobby'
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Inspector(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    lapwing: Lapwing,
    access: Access,
    page: Page,
    samples: Samples,
    traces: Arc<Semaphore>,
    walks: Semaphore,
}

/// An answer, or the status of why there is none.
type Answer = Result<Response<Body>, Refused>;

impl Inspector {
    /// An inspector of a server.
    pub fn new(lapwing: Lapwing, access: Access) -> Self {
        let modules = [
            include_str!("../../web/findings.js"),
            include_str!("../../web/life.js"),
            include_str!("../../web/plot.js"),
            include_str!("../../web/view.js"),
            include_str!("../../web/inspector.js"),
        ];
        let style = concat!(include_str!("../../web/style.css"), include_str!("../../web/inspector.css"));
        let page = Page::new(include_str!("../../web/inspector.html"), style, &modules);
        Self(Arc::new(Inner {
            lapwing,
            access,
            page,
            samples: Samples::default(),
            traces: Arc::new(Semaphore::new(trace::TRACES_MAX)),
            walks: Semaphore::new(WALKS_MAX),
        }))
    }

    fn respond<B: RequestBody>(&self, request: Request<B>) -> ResponseFuture {
        let inner = self.0.clone();
        let (parts, body) = request.into_parts();
        if !inner.access.allows(&parts) {
            return Box::pin(std::future::ready(Ok(not_allowed(&inner.access))));
        }
        if is_of_another_site(&parts) {
            let refused = Refused(StatusCode::FORBIDDEN, "a page of another site asks");
            return Box::pin(std::future::ready(Ok(refusal(refused))));
        }
        Box::pin(async move {
            let answer = match parts.method {
                Method::GET | Method::HEAD => inner.show(&parts).await,
                Method::POST => inner.act(&parts, body).await,
                _ => Err(Refused(StatusCode::METHOD_NOT_ALLOWED, "GET and POST are the methods here")),
            };
            let mut response = answer.unwrap_or_else(refusal);
            let headers = response.headers_mut();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            Ok(response)
        })
    }
}

service!(Inspector);

impl Inner {
    async fn show(self: &Arc<Self>, parts: &Parts) -> Answer {
        let query = parts.uri.query().unwrap_or_default();
        let params =
            query::parse(query, &QueryLimits::default()).map_err(|_| bad("the query cannot be read"))?;
        let text = |name: &str| params.get(name).and_then(Value::as_str);
        match last_segment(parts) {
            "overview" => {
                let after = text("after").and_then(|after| after.parse().ok()).unwrap_or(0);
                self.walk(move |inner| Some(inner.overview(after))).await
            }
            "sessions" => {
                let asked = Asked::of(&params);
                self.walk(move |inner| Some(lists::sessions(&inner.lapwing, &asked))).await
            }
            "session" => {
                let id = text("id").and_then(|id| id.parse().ok()).ok_or(bad("say which session: ?id=7"))?;
                self.walk(move |inner| lists::session(&inner.lapwing, id)).await
            }
            "topics" => {
                let asked = Asked::of(&params);
                self.walk(move |inner| Some(lists::topics(&inner.lapwing, &asked))).await
            }
            "topic" => {
                let name = text("name").ok_or(bad("say which topic: ?name=room:1"))?;
                Ok(json_answer(&lists::topic(&self.lapwing, name).await))
            }
            "trace" => self.trace(&params),
            _ => Ok(self.page.response()),
        }
    }

    /// Looks through the server on a thread that nobody waits behind.
    async fn walk(self: &Arc<Self>, look: impl FnOnce(&Self) -> Option<Value> + Send + 'static) -> Answer {
        let _permit = self.walks.acquire().await.map_err(|_| unavailable("the inspector is gone"))?;
        let inner = self.clone();
        let found = spawn_blocking(move || look(&inner))
            .await
            .map_err(|_| Refused(StatusCode::INTERNAL_SERVER_ERROR, "it could not be looked up"))?;
        found
            .map(|found| json_answer(&found))
            .ok_or(Refused(StatusCode::NOT_FOUND, "there is no such session"))
    }

    fn overview(&self, after: u64) -> Value {
        let now = self.samples.take(&self.lapwing);
        let entries = self.lapwing.journal(0);
        json!({
            "now": now,
            "samples": self.samples.after(after),
            "isReady": self.lapwing.is_ready(),
            "ends": lists::ends(&entries),
            "endsSince": entries.first().map(|entry| samples::millis(entry.at)),
            "cluster": self.cluster(),
        })
    }

    #[cfg(feature = "cluster")]
    fn cluster(&self) -> Value {
        serde_json::to_value(self.lapwing.cluster()).unwrap_or_default()
    }

    #[cfg(not(feature = "cluster"))]
    fn cluster(&self) -> Value {
        Value::Null
    }

    fn trace(&self, params: &Map<String, Value>) -> Answer {
        let text = |name: &str| params.get(name).and_then(Value::as_str).map(str::to_owned);
        let traced = match (text("topic"), text("user")) {
            (Some(topic), None) => Traced::Topic(topic),
            (None, Some(user)) => Traced::User(user),
            _ => return Err(bad("say what to trace: ?topic=room:1 or ?user=user:7, one of the two")),
        };
        let permit = self.traces.clone().try_acquire_owned();
        let permit = permit.map_err(|_| unavailable("as many traces are open as may be"))?;
        let lines = trace::begin(self.lapwing.clone(), traced, permit);
        let mut response = Response::new(Body::stream(lines));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        Ok(response)
    }

    /// Does what a button is for. A page of another site can make a browser send a request with its key, but not with this header.
    async fn act<B: RequestBody>(&self, parts: &Parts, body: B) -> Answer {
        if !parts.headers.contains_key("x-lapwing-inspector") {
            return Err(Refused(
                StatusCode::FORBIDDEN,
                "a button's request has the header x-lapwing-inspector",
            ));
        }
        match last_segment(parts) {
            "disconnect" => {
                let body = timeout(DEED_TIME_MAX, Limited::new(body, DEED_BYTES_MAX).collect()).await;
                let body =
                    body.map_err(|_| Refused(StatusCode::REQUEST_TIMEOUT, "the body took too long"))?;
                let body = body
                    .map_err(|_| Refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"))?
                    .to_bytes();
                let Who { user } = serde_json::from_slice(&body)
                    .map_err(|_| bad(r#"the body says whom: {"user": "user:7"}"#))?;
                info!(user = shown::quoted(&user), "disconnected by the inspector");
                let ended = self.lapwing.disconnect_everywhere(user).await;
                let ended = ended.map_err(|_| unavailable("the other nodes could not be told"))?;
                Ok(json_answer(&json!({"count": ended.count, "missing": ended.missing})))
            }
            "drain" => {
                info!("shut down by the inspector");
                let lapwing = self.lapwing.clone();
                tokio::spawn(async move { lapwing.shutdown().await });
                Ok(status(StatusCode::ACCEPTED))
            }
            _ => Err(Refused(StatusCode::NOT_FOUND, "there is no such button")),
        }
    }
}

/// Whose connections are to be ended.
#[derive(Deserialize)]
struct Who {
    user: String,
}

/// Whether a page of another site asks. A browser may send a key or a cookie with what any page asks for: that page cannot read the answer, but it could
/// take all traces, and keep the walks busy. Who follows a link comes from another site, too.
fn is_of_another_site(parts: &Parts) -> bool {
    let said = |name| parts.headers.get(name).map(HeaderValue::as_bytes);
    matches!(said("sec-fetch-site"), Some(b"cross-site" | b"same-site"))
        && said("sec-fetch-mode") != Some(b"navigate")
}

fn last_segment(parts: &Parts) -> &str {
    parts.uri.path().rsplit('/').next().unwrap_or_default()
}

fn json_answer(value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn not_allowed(access: &Access) -> Response<Body> {
    if !access.is_asked_for() {
        return refusal(Refused(StatusCode::FORBIDDEN, "the inspector is not for you"));
    }
    let mut response = refusal(Refused(StatusCode::UNAUTHORIZED, "the inspector asks for its key"));
    let ask = HeaderValue::from_static("Basic realm=\"lapwing inspector\", charset=\"UTF-8\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, ask);
    response
}

/// A status, and why in words.
struct Refused(StatusCode, &'static str);

fn bad(why: &'static str) -> Refused {
    Refused(StatusCode::BAD_REQUEST, why)
}

fn unavailable(why: &'static str) -> Refused {
    Refused(StatusCode::SERVICE_UNAVAILABLE, why)
}

fn refusal(Refused(code, why): Refused) -> Response<Body> {
    let mut response = status(code);
    *response.body_mut() = Body::from(why);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if code == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, POST"));
    }
    response
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
