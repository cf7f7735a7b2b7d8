//! The inspector: a page for those who run a server, and what it asks for.

mod access;
mod lists;
mod pages;
mod samples;
mod shown;
mod trace;

use std::sync::Arc;

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
use tokio::{sync::Semaphore, task::spawn_blocking};
use tracing::info;

pub use self::access::{Access, KeyTooShort};
use self::{lists::Asked, samples::Samples, trace::Traced};
use crate::{page::Page, service::service};

/// What a button says.
const DEED_BYTES_MAX: usize = 4_096;

/// Lists that are made at once: each walks through all sessions, on a thread of its own.
const WALKS_MAX: usize = 4;

/// A page that shows what a server does: sessions by transport over time, why they ended, each session's life, topics with who is there, the
/// nodes of a cluster, and a live trace of a topic or of a user. Two buttons disconnect a user, and send all clients away.
///
/// It is a service like [`LapwingService`](lapwing::LapwingService): mount it at a path, with TLS before it. It cannot be mounted open: its
/// [`Access`] is a key, or what the program decides by each request. Nobody else is answered. It shows names that clients chose, as text and
/// cut after 256 bytes; it shows no payload, no token and no parameter.
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
type Answer = Result<Response<Body>, StatusCode>;

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
        Box::pin(async move {
            let answer = match parts.method {
                Method::GET | Method::HEAD => inner.show(&parts).await,
                Method::POST => inner.act(&parts, body).await,
                _ => Err(StatusCode::METHOD_NOT_ALLOWED),
            };
            let mut response = answer.unwrap_or_else(status);
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
        let params = query::parse(query, &QueryLimits::default()).map_err(|_| StatusCode::BAD_REQUEST)?;
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
                let id = text("id").and_then(|id| id.parse().ok()).ok_or(StatusCode::BAD_REQUEST)?;
                self.walk(move |inner| lists::session(&inner.lapwing, id)).await
            }
            "topics" => {
                let asked = Asked::of(&params);
                self.walk(move |inner| Some(lists::topics(&inner.lapwing, &asked))).await
            }
            "topic" => {
                let name = text("name").ok_or(StatusCode::BAD_REQUEST)?;
                Ok(json_answer(&lists::topic(&self.lapwing, name).await))
            }
            "trace" => self.trace(&params),
            _ => Ok(self.page.response()),
        }
    }

    /// Looks through the server on a thread that nobody waits behind.
    async fn walk(self: &Arc<Self>, look: impl FnOnce(&Self) -> Option<Value> + Send + 'static) -> Answer {
        let _permit = self.walks.acquire().await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        let inner = self.clone();
        let found =
            spawn_blocking(move || look(&inner)).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        found.map(|found| json_answer(&found)).ok_or(StatusCode::NOT_FOUND)
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
            _ => return Err(StatusCode::BAD_REQUEST),
        };
        let permit = self.traces.clone().try_acquire_owned().map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
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
            return Err(StatusCode::FORBIDDEN);
        }
        match last_segment(parts) {
            "disconnect" => {
                let body = Limited::new(body, DEED_BYTES_MAX).collect().await;
                let body = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?.to_bytes();
                let Who { user } = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
                info!(user = shown::quoted(&user), "disconnected by the inspector");
                let ended = self.lapwing.disconnect_everywhere(user).await;
                let ended = ended.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
                Ok(json_answer(&json!({"count": ended.count, "missing": ended.missing})))
            }
            "drain" => {
                info!("shut down by the inspector");
                let lapwing = self.lapwing.clone();
                tokio::spawn(async move { lapwing.shutdown().await });
                Ok(status(StatusCode::ACCEPTED))
            }
            _ => Err(StatusCode::NOT_FOUND),
        }
    }
}

/// Whose connections are to be ended.
#[derive(Deserialize)]
struct Who {
    user: String,
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
        return status(StatusCode::FORBIDDEN);
    }
    let mut response = status(StatusCode::UNAUTHORIZED);
    let ask = HeaderValue::from_static("Basic realm=\"lapwing inspector\", charset=\"UTF-8\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, ask);
    response
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
    }
    response
}
