//! An endpoint: one handler with its wires, as a value that answers HTTP requests.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::{Arc, Once, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf;
use http::{Request, Response, StatusCode, request::Parts};
use serde_json::{Map, Value};
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::{
    body::Body,
    clock::Clock,
    close::CloseReason,
    connect::{ConnectRequest, Refusal, Transport},
    counters::Counters,
    handler::Handler,
    live::{Common, LiveSession},
    options::{LongpollOptions, TransportOptions, WebsocketOptions},
    query,
    registry::{Patience, Registry},
    websocket::codec::DecodeLimits,
};

/// A handler and its wires. Cheap to clone; the sessions live as long as any clone or connection.
///
/// It answers by path: a request whose path ends in the WebSocket's or the long-poll's path segment goes to
/// that wire, any other gets 404. Use [`Endpoint::serve`] when you route yourself, or mount it as the
/// `tower::Service` or `hyper::service::Service` that it is:
///
/// ```no_run
/// # use std::sync::Arc;
/// # use lapwing_transports::{close::CloseReason, connect::*, frame::*, handler::Handler, live::LiveSession};
/// # struct Echo;
/// # impl Handler for Echo {
/// #     type State = ();
/// #     async fn connect(&self, _: ConnectRequest) -> Result<(), Refusal> { Ok(()) }
/// #     fn received(&self, _: &Arc<LiveSession<()>>, _: Message<'_>) -> Result<(), CloseReason> { Ok(()) }
/// # }
/// use lapwing_transports::{endpoint::Endpoint, options::TransportOptions};
/// # async fn run(io: hyper_util::rt::TokioIo<tokio::net::TcpStream>) {
///
/// let endpoint = Endpoint::new(Echo, TransportOptions::default());
/// hyper::server::conn::http1::Builder::new().serve_connection(io, endpoint).with_upgrades().await.ok();
/// # }
/// ```
pub struct Endpoint<H: Handler>(pub(crate) Arc<Inner<H>>);

/// What an endpoint's clones, its connections and its sweep share.
pub(crate) struct Inner<H: Handler> {
    pub(crate) handler: H,
    pub(crate) options: TransportOptions,
    pub(crate) decode_limits: DecodeLimits,
    pub(crate) registry: Registry<H::State>,
    pub(crate) common: Arc<Common>,
    /// The tasks of all connections.
    pub(crate) tasks: TaskTracker,
    sweep_started: Once,
}

impl<H: Handler> Endpoint<H> {
    /// An endpoint for a handler.
    #[must_use]
    pub fn new(handler: H, options: TransportOptions) -> Self {
        let common = Common { outbox: options.outbox, clock: Clock::new(), counters: Counters::default() };
        Self(Arc::new(Inner {
            handler,
            registry: Registry::new(options.sessions_max),
            decode_limits: options
                .websocket
                .as_ref()
                .map_or_else(DecodeLimits::default, |websocket| websocket.limits),
            options,
            common: Arc::new(common),
            tasks: TaskTracker::new(),
            sweep_started: Once::new(),
        }))
    }

    /// The handler.
    #[must_use]
    pub fn handler(&self) -> &H {
        &self.0.handler
    }

    /// The wire that a path segment below the mount stands for.
    #[must_use]
    pub fn wire(&self, segment: &str) -> Option<Transport> {
        let options = &self.0.options;
        if options.websocket.as_ref().is_some_and(|websocket| websocket.path == segment) {
            Some(Transport::Websocket)
        } else if options.longpoll.as_ref().is_some_and(|longpoll| longpoll.path == segment) {
            Some(Transport::Longpoll)
        } else {
            None
        }
    }

    /// Answers a request that is for this endpoint. Must be called within a Tokio runtime.
    ///
    /// `variables` are put into the connect parameters, over what the query says. The future is as small as the
    /// request allows: one that waits in a poll holds neither request nor headers. Dropping it answers nobody; a
    /// session that was created stays until it is found abandoned.
    pub fn serve<B>(
        &self,
        wire: Transport,
        mut request: Request<B>,
        variables: PathVariables,
    ) -> ResponseFuture
    where
        B: RequestBody,
    {
        self.start_sweep();
        request.extensions_mut().insert(variables);
        match wire {
            Transport::Websocket if self.0.options.websocket.is_some() => self.websocket(request),
            Transport::Longpoll if self.0.options.longpoll.is_some() => self.longpoll(request),
            _ => ready(not_found()),
        }
    }

    /// How many sessions are live.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.0.registry.len()
    }

    /// How many live sessions came by a wire. Costs a walk through all of them.
    #[must_use]
    pub fn session_count_by(&self, transport: Transport) -> usize {
        self.0.registry.count(transport)
    }

    /// What happened so far, in numbers.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.0.common.counters
    }

    /// The sessions that are live now.
    #[must_use]
    pub fn sessions(&self) -> Vec<Arc<LiveSession<H::State>>> {
        self.0.registry.snapshot()
    }

    /// Waits until no connection is left. Close the sessions first.
    ///
    /// Cancel safe: dropping the future stops the waiting and nothing else.
    pub async fn wait(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Lets the handler decide about a client.
    pub(crate) async fn connect(
        &self,
        transport: Transport,
        parts: Parts,
        auth_token: Option<String>,
    ) -> Result<H::State, Refusal> {
        let refused = |refusal| {
            self.0.common.counters.refused.fetch_add(1, Ordering::Relaxed);
            refusal
        };
        let mut params =
            query::parse(parts.uri.query().unwrap_or_default(), &self.0.options.query).map_err(|error| {
                debug!(%error, "connect refused: bad query");
                refused(Refusal::status(StatusCode::BAD_REQUEST).with_body(error.to_string()))
            })?;
        let Parts { uri, headers, mut extensions, .. } = parts;
        if let Some(PathVariables(variables)) = extensions.remove() {
            params.extend(variables);
        }
        let request = ConnectRequest { transport, params, uri, headers, extensions, auth_token };
        self.0.handler.connect(request).await.map_err(refused)
    }

    /// Starts the sweep at the first request: only then there is surely a runtime to run it.
    fn start_sweep(&self) {
        self.0.sweep_started.call_once(|| {
            let patience = self.0.patience();
            let inner = Arc::downgrade(&self.0);
            tokio::spawn(async move {
                let mut period = tokio::time::interval(patience.period);
                period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    period.tick().await;
                    let Some(inner) = inner.upgrade() else { return };
                    let now = inner.common.clock.advance();
                    for session in inner.registry.sweep(now, patience) {
                        let reason = session.closed().unwrap_or(CloseReason::Abandoned);
                        inner.end_session(&session, reason);
                    }
                }
            });
        });
    }
}

impl<H: Handler> Inner<H> {
    pub(crate) fn longpoll_options(&self) -> &LongpollOptions {
        self.options.longpoll.as_ref().expect("a mount without long-poll gives no request to it")
    }

    pub(crate) fn websocket_options(&self) -> &WebsocketOptions {
        self.options.websocket.as_ref().expect("a mount without WebSockets gives no request to them")
    }

    /// The limits of silence, and a period that is fine enough for the shortest of them.
    fn patience(&self) -> Patience {
        let (websocket, longpoll) = (self.options.websocket.as_ref(), self.options.longpoll.as_ref());
        let idle = websocket.map_or(Duration::MAX, |websocket| websocket.idle_timeout);
        let linger = websocket.map_or(Duration::MAX, |websocket| websocket.linger);
        let abandoned = longpoll.map_or(Duration::MAX, |longpoll| longpoll.window * 3 / 2);
        let shortest = idle.min(linger).min(abandoned);
        let period = (shortest / 8).clamp(Duration::from_millis(20), Duration::from_secs(1));
        // Saturated, so that "never" plus a period is still never.
        let far = Duration::from_secs(u64::from(u32::MAX) / 1_000);
        Patience { idle: idle.min(far), linger: linger.min(far), abandoned: abandoned.min(far), period }
    }
}

/// The variables that a mount's path bound, such as `user_id` in `/ws/:user_id`.
#[derive(Clone, Debug, Default)]
pub struct PathVariables(pub Map<String, Value>);

fn not_found() -> Response<Body> {
    let mut response = Response::new(Body::from("not found"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

impl<H: Handler> Clone for Endpoint<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<H: Handler> fmt::Debug for Endpoint<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("sessions", &self.session_count()).finish_non_exhaustive()
    }
}

/// The body of a request: any that a server or a test may have.
pub trait RequestBody:
    http_body::Body<Data: Buf + Send, Error: std::error::Error + Send + Sync + 'static> + Send + 'static
{
}

impl<B> RequestBody for B where
    B: http_body::Body<Data: Buf + Send, Error: std::error::Error + Send + Sync + 'static> + Send + 'static
{
}

/// The future of a response. Boxed, so that a connection that waits in a poll holds no more than it needs.
pub type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<H: Handler> Endpoint<H> {
    fn respond<B: RequestBody>(&self, request: Request<B>) -> ResponseFuture {
        let segment = request.uri().path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        match self.wire(segment) {
            Some(wire) => self.serve(wire, request, PathVariables::default()),
            None => ready(not_found()),
        }
    }
}

/// A response that is known already.
pub(crate) fn ready(response: Response<Body>) -> ResponseFuture {
    Box::pin(std::future::ready(Ok(response)))
}

impl<H: Handler, B: RequestBody> hyper::service::Service<Request<B>> for Endpoint<H> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn call(&self, request: Request<B>) -> ResponseFuture {
        self.respond(request)
    }
}

impl<H: Handler, B: RequestBody> tower_service::Service<Request<B>> for Endpoint<H> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        self.respond(request)
    }
}
