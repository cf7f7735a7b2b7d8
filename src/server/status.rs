//! What balancers, supervisors and scrapers ask, as HTTP services.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE},
};
use lapwing_transports::body::Body;

use crate::{metrics::Metrics, server::Lapwing};

/// Answers one question about a [`Lapwing`], whatever the path: whether it [lives](Lapwing::live_service), whether it is
/// [ready](Lapwing::ready_service), or its [numbers](Lapwing::metrics_service).
///
/// It is a `tower::Service` and a `hyper::service::Service`, over any body. With axum:
///
/// ```
/// use axum::Router;
/// use lapwing::{Lapwing, Mount};
///
/// let lapwing = Lapwing::builder().mount("/socket", Mount::new()).build()?;
/// let app: Router = Router::new()
///     .nest_service("/socket", lapwing.at("/socket")?)
///     .route_service("/live", lapwing.live_service())
///     .route_service("/ready", lapwing.ready_service());
/// // For those alone who may see it.
/// let inside: Router = Router::new().route_service("/metrics", lapwing.metrics_service());
/// # let _ = (app, inside);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// GET and HEAD are answered, 405 is the answer to all others. Nobody is asked who it is: mount it where those alone come who may know.
#[derive(Clone, Debug)]
pub struct StatusService {
    lapwing: Lapwing,
    question: Question,
}

#[derive(Clone, Copy, Debug)]
enum Question {
    Live,
    Ready,
    Metrics,
}

impl Lapwing {
    /// Returns whether the program should go on: 200 `live`. A supervisor that is not answered, or by 503, starts it anew.
    ///
    /// A server that drains lives: who is killed for not being ready loses the clients that it is sending away. So does one without its
    /// cluster's engine: it serves those that it has, and what it says to other nodes waits. 503 `presence has ended` means that
    /// presence ended by itself, which only a bug can cause, and that nothing can be tracked any more.
    #[must_use]
    pub fn live_service(&self) -> StatusService {
        self.status(Question::Live)
    }

    /// Returns whether a balancer may send clients here, as [`is_ready`](Self::is_ready) says: 200 `ready`, or 503 with the reason: `draining`, from the
    /// first moment of a [shutdown](Self::shutdown) on, or `engine`, while the cluster's engine is away or does not deliver all topics.
    #[must_use]
    pub fn ready_service(&self) -> StatusService {
        self.status(Question::Ready)
    }

    /// The [numbers](Self::metrics) as a text: OpenMetrics for scrapers that accept it, else Prometheus' own version 0.0.4.
    #[must_use]
    pub fn metrics_service(&self) -> StatusService {
        self.status(Question::Metrics)
    }

    fn status(&self, question: Question) -> StatusService {
        StatusService { lapwing: self.clone(), question }
    }
}

impl StatusService {
    fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET alone");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match self.question {
            Question::Live if self.lapwing.node().tracker.has_died() => {
                text(StatusCode::SERVICE_UNAVAILABLE, "presence has ended")
            }
            Question::Live => text(StatusCode::OK, "live"),
            Question::Ready => match self.lapwing.why_not_ready() {
                None => text(StatusCode::OK, "ready"),
                Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, reason),
            },
            Question::Metrics => self.metrics(request),
        }
    }

    fn metrics<B>(&self, request: &Request<B>) -> Response<Body> {
        let metrics = self.lapwing.metrics();
        let accepts = request.headers().get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
        let is_open = accepts
            .flat_map(|accept| accept.split(','))
            .any(|kind| kind.trim_start().starts_with("application/openmetrics-text"));
        let (content_type, body) = match is_open {
            true => (Metrics::OPENMETRICS, metrics.to_openmetrics()),
            false => (Metrics::PROMETHEUS, metrics.to_prometheus()),
        };
        let mut response = text(StatusCode::OK, body);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }
}

fn text(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl<B> hyper::service::Service<Request<B>> for StatusService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}

impl<B> tower_service::Service<Request<B>> for StatusService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}
