//! An endpoint: one handler with its transports, as a value that answers HTTP requests.

use std::{
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::{
    close::CloseReason,
    connect::{PathVariables, Transport},
    elsewhere::{Carried, CarriedSocket, Elsewhere, Marks},
    handler::Handler,
    http::{
        body::{Body, RequestBody, ResponseFuture, ready},
        heard_out::{HeardOut, Rest},
        refusal::{is_ambiguous, not_found, refusal, wants_websocket, without_upgrade},
    },
    live::{
        LiveSession,
        baggage::{NAMES_MAX, Name},
        counters::{Census, Counters},
        still::NotFrozen,
    },
    longpoll,
    manager::Manager,
    options::TransportOptions,
    policy::Few,
    requests,
    session::frozen::ThawError,
    websocket,
};

pub use crate::manager::staying::Staying;

/// Time for a connection that has come as the server went down to hear so, beyond the second that its greeting may take.
const LATECOMERS: Duration = Duration::from_secs(2);

/// A handler and its transports. Cheap to clone; the sessions live as long as any clone or connection.
///
/// It answers by path: a request whose path ends in the path segment of one of its transports goes to
/// that transport, any other gets 404. Use [`Endpoint::serve`] when you route yourself, or mount it as the
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
/// let mut server = hyper::server::conn::http1::Builder::new();
/// lapwing_transports::http1::configure(&mut server);
/// server.serve_connection(io, endpoint).with_upgrades().await.ok();
/// # }
/// ```
pub struct Endpoint<H: Handler>(pub(crate) Arc<Manager<H>>);

impl<H: Handler> Endpoint<H> {
    /// An endpoint for a handler.
    #[must_use]
    pub fn new(handler: H, options: TransportOptions) -> Self {
        Self::with(handler, options, Marks::default())
    }

    /// An endpoint of one node among several: what comes for another node's session is carried there, and what others carry here comes by
    /// [`serve_carried`](Self::serve_carried) and [`serve_socket`](Self::serve_socket).
    #[must_use]
    pub fn among(handler: H, options: TransportOptions, elsewhere: Arc<dyn Elsewhere>) -> Self {
        Self::with(handler, options, Marks::new(Some(elsewhere)))
    }

    fn with(handler: H, options: TransportOptions, marks: Marks) -> Self {
        if options.host.is_none() && options.check_origin.trusts_requests() {
            info!(
                "a mount compares origins with what each request says of its host: set `host`, or list origins"
            );
        }
        Self(Arc::new(Manager::among(handler, options, marks)))
    }

    /// The handler.
    #[must_use]
    pub fn handler(&self) -> &H {
        &self.0.handler
    }

    /// The transport that a path segment below the mount stands for.
    #[must_use]
    pub fn transport(&self, segment: &str) -> Option<Transport> {
        let options = &self.0.options;
        if options.websocket.as_ref().is_some_and(|websocket| websocket.path == segment) {
            Some(Transport::Websocket)
        } else if options.longpoll.as_ref().is_some_and(|longpoll| longpoll.path == segment) {
            Some(Transport::Longpoll)
        } else if options.sse.as_ref().is_some_and(|sse| options.resume.is_some() && sse.path == segment) {
            Some(Transport::Sse)
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
        transport: Transport,
        mut request: Request<B>,
        variables: PathVariables,
    ) -> ResponseFuture
    where
        B: RequestBody,
    {
        self.0.start_sweep();
        request.extensions_mut().insert(variables);
        let manager = &self.0;
        let rest = || Rest { tasks: manager.tasks.clone(), draining: manager.draining.clone() };
        let request = HeardOut::of(request, rest);
        if !wants_websocket(&request) {
            return self.answer(transport, request);
        }
        let answer = self.answer(transport, request);
        Box::pin(async move { answer.await.map(without_upgrade) })
    }

    /// Answers a request that another node got and has carried here, the one with the number `by`. Carried on it is not: it is this node's, or
    /// nobody's.
    pub fn serve_carried<B>(
        &self,
        transport: Transport,
        mut request: Request<B>,
        variables: PathVariables,
        by: u64,
    ) -> ResponseFuture
    where
        B: RequestBody,
    {
        self.0.start_sweep();
        request.extensions_mut().insert(variables);
        request.extensions_mut().insert(Carried { by });
        self.answer(transport, request)
    }

    /// Serves a WebSocket that another node got and carries here, from the message on that says which session it is for. `by` is the number of
    /// that node.
    pub fn serve_socket(&self, mut socket: CarriedSocket, variables: PathVariables, by: u64) {
        self.0.start_sweep();
        socket.parts.extensions.insert(variables);
        socket.parts.extensions.insert(Carried { by });
        if self.0.options.websocket.is_some() && self.0.options.resume.is_some() {
            self.0.spawn(websocket::greet_carried(self.0.clone(), socket));
        }
    }

    fn answer<B: RequestBody>(&self, transport: Transport, request: Request<B>) -> ResponseFuture {
        if is_ambiguous(&request) {
            return ready(refusal(StatusCode::BAD_REQUEST, "a request is for one host"));
        }
        match transport {
            Transport::Websocket if self.0.options.websocket.is_some() => {
                websocket::respond(self.0.clone(), request)
            }
            Transport::Longpoll if self.0.options.longpoll.is_some() => {
                if self.0.options.resume.is_some() && requests::is_spoken(&request) {
                    requests::respond(self.0.clone(), transport, request)
                } else {
                    longpoll::respond(&self.0, request)
                }
            }
            Transport::Sse if self.0.options.sse.is_some() && self.0.options.resume.is_some() => {
                requests::respond(self.0.clone(), transport, request)
            }
            _ => ready(not_found(&request)),
        }
    }

    /// The number of live sessions.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.0.registry.len()
    }

    /// The number of live sessions, by what carries them. Costs a walk through all of them.
    #[must_use]
    pub fn census(&self) -> Census {
        self.0.registry.census()
    }

    /// The counts of what happened so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.0.common.counters
    }

    /// The number of bytes that are held for clients at this moment, as [`TransportOptions::budget_bytes_max`] counts them.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        self.0.common.budget.held()
    }

    /// The number of bytes that may be held: [`TransportOptions::budget_bytes_max`].
    #[must_use]
    pub fn bytes_held_max(&self) -> usize {
        self.0.options.budget_bytes_max
    }

    /// Returns whether no more sessions begin, as the server goes down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// The sessions that are live now.
    #[must_use]
    pub fn sessions(&self) -> Vec<Arc<LiveSession<H::State>>> {
        self.0.registry.snapshot()
    }

    /// The sessions one after the other, a thousand taken at a time, so that nobody waits for a long walk. Sessions that begin or
    /// end meanwhile may be missed or come up all the same.
    pub fn walk(&self) -> impl Iterator<Item = Arc<LiveSession<H::State>>> {
        let mut next = Some(0);
        std::iter::from_fn(move || {
            let (chunk, following) = self.0.registry.chunk(next?);
            next = following;
            Some(chunk)
        })
        .flatten()
    }

    /// By what tokens of other nodes the sessions are known that have come here: the number of the node, and the session's among those of that node. With each, by how
    /// many the session is known: so often it has gone from a node to another, up to eight.
    #[must_use]
    pub fn names(&self) -> Vec<((u64, u64), usize)> {
        self.0.foreign.keys()
    }

    /// By what tokens a session is known where it goes, this node's among them; see [`names`](Self::names).
    #[must_use]
    pub fn names_of(&self, session: &LiveSession<H::State>) -> Vec<(u64, u64)> {
        self.0.names_of(session).unwrap_or_default().iter().take(NAMES_MAX).map(Name::key).collect()
    }

    /// The open sessions that can go to another node, as [`among`](Self::among) has them. How one goes:
    ///
    /// ```text
    ///   the node that has it (source)                              the one that gets it (target)
    ///   hold_still, settled, freeze ── bytes ──────────────────▶   reserve, thaw
    ///   release ─────────── "it is yours", once ───────────────▶   adopt
    ///   or take_back                                               or discard
    /// ```
    ///
    /// Whoever calls this sees to it that one node has it at each moment: it is the source's until it is released, and the target's from then on.
    #[must_use]
    pub fn movable(&self) -> Vec<Arc<LiveSession<H::State>>> {
        self.0.movable()
    }

    /// The sessions whose streams come by way of another node, for as long as [`Elsewhere::follow_after`] says: they may be
    /// [given](Self::movable) to that one. `None` where that says nothing, and when it was called before.
    #[must_use]
    pub fn staying(&self) -> Option<Staying<H::State>> {
        self.0.staying.as_ref()?.hear(&self.0.stopped)
    }

    /// Takes a session out of its place, as bytes by which it goes on at another node. Best [hold it still](LiveSession::hold_still) before,
    /// and wait until it is [settled](LiveSession::settled).
    ///
    /// From then on nothing can be pushed to it ([`Pushed::Closed`](crate::session::Pushed::Closed)), nothing of its client is taken, and its
    /// silence does not count. What carries it is quiet; requests that come for it wait for two seconds, and are then told to come later.
    ///
    /// # Errors
    /// See [`NotFrozen`]; nothing has changed then.
    pub fn freeze(&self, session: &Arc<LiveSession<H::State>>) -> Result<Bytes, NotFrozen> {
        self.0.freeze(session)
    }

    /// A frozen session goes on here, as if its connection had been cut. If it was closed meanwhile, it is closed now.
    pub fn take_back(&self, session: &Arc<LiveSession<H::State>>) {
        self.0.take_back(session);
    }

    /// A frozen session is that node's from now on. Its client is told to come again, and requests that come here for it go there, for as long as
    /// [`ResumeOptions::window`](crate::options::ResumeOptions::window).
    ///
    /// The handler is told nothing, not even [`closed`](Handler::closed): what it keeps of the session is the caller's to give back. Returns why the
    /// session was to be closed while it was frozen, if it was: that is the other node's to do.
    pub fn release(&self, session: &Arc<LiveSession<H::State>>, heir: u64) -> Option<CloseReason> {
        self.0.release(session, heir)
    }

    /// A session that is to come from another node: nobody can find it. Neither [`connect`](Handler::connect) nor [`opened`](Handler::opened) is
    /// called for it.
    ///
    /// What is pushed before it is [thawed](Self::thaw) stands behind the frames that it brings. It counts nowhere but where its place is kept, and is
    /// nobody's to end but the caller's: one that is dropped without a word leaves its place, and what the handler keeps of it. `None` if there are as many sessions as there may be, or the
    /// system has no randomness to give.
    #[must_use]
    pub fn reserve(&self, state: H::State) -> Option<Arc<LiveSession<H::State>>> {
        self.0.reserve(state)
    }

    /// A reserved session has come. Whoever looks for it before it is [adopted](Self::adopt) is told to come later. `few` is as for [`thaw`](crate::session::frozen::thaw).
    ///
    /// # Errors
    /// See [`ThawError`]; the session is reserved as before then.
    pub fn thaw(
        &self,
        session: &Arc<LiveSession<H::State>>,
        bytes: &[u8],
        few: &dyn Fn(&str, usize) -> Option<Few>,
    ) -> Result<(), ThawError> {
        self.0.thaw(session, bytes, few)
    }

    /// A session that has come is this node's from now on: its client finds it by the token that it has, and gets one of this node's.
    ///
    /// `false` if the endpoint has [finished](Self::finish), it has not come or was closed meanwhile: then it is [discarded](Self::discard).
    pub fn adopt(&self, session: &Arc<LiveSession<H::State>>) -> bool {
        self.0.adopt(session)
    }

    /// A reserved session does not come: it takes nothing any more, and the handler is told that it is [closed](Handler::closed), so that it gives back
    /// what was made for it. Nobody else hears of it.
    pub fn discard(&self, session: &Arc<LiveSession<H::State>>) {
        self.0.discard(session);
    }

    /// Begins no more sessions: who asks for one is told to try again later, by then with another server.
    pub fn begin_drain(&self) {
        self.0.draining.cancel();
    }

    /// Waits until no connection is left, as long as that may take: [`linger`] for those that are told, and two seconds for
    /// those that have just come, but for no longer than `time`. Then it drops what is left, whoever waits for whom, for which it
    /// waits two seconds at most. WebSockets that it carries to other nodes end at once. Close the sessions first. Returns how many connections it dropped.
    ///
    /// Dropping the future stops the waiting and drops nothing.
    ///
    /// [`linger`]: crate::options::WebsocketOptions::linger
    pub async fn finish(&self, time: Duration) -> usize {
        self.0.parting.cancel();
        let linger = self.0.options.websocket.as_ref().map_or(Duration::ZERO, |websocket| websocket.linger);
        if timeout(linger.saturating_add(LATECOMERS).min(time), self.wait()).await.is_ok() {
            return 0;
        }
        let connections = self.0.tasks.len();
        warn!(connections, "connections are dropped: they did not end in time");
        self.0.cut.cancel();
        for session in self.sessions() {
            session.core().expire();
        }
        // They only have to be dropped. Code of the program that blocks a thread would keep even that from happening.
        let _ = timeout(LATECOMERS, self.wait()).await;
        connections
    }

    /// Ends the sessions that are left, and the tasks that look after them. [Finish](Self::finish) first: a connection that is left
    /// is looked after no more.
    pub async fn stop(&self) {
        self.0.stopped.cancel();
        self.0.end_all();
        self.0.housekeeping.close();
        self.0.housekeeping.wait().await;
        // There is no sweep any more that would find that nobody is there.
        self.0.common.counters.set_census(Census::default());
    }

    /// Waits until no connection is left, however long that takes. Close the sessions first.
    ///
    /// Cancel safe: dropping the future stops the waiting and nothing else.
    pub async fn wait(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
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

impl<H: Handler> Endpoint<H> {
    fn respond<B: RequestBody>(&self, request: Request<B>) -> ResponseFuture {
        let segment = request.uri().path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        match self.transport(segment) {
            Some(transport) => self.serve(transport, request, PathVariables::default()),
            None => ready(not_found(&request)),
        }
    }
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
