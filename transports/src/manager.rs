//! The session manager: lets clients in, keeps their sessions, and ends those that are silent.

use std::{
    borrow::Cow,
    sync::{
        Arc, Once,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use http::{StatusCode, request::Parts};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tracing::{debug, warn};

use crate::{
    budget::Budget,
    clock::{Clock, Pace, Step, Tick},
    close::CloseReason,
    connect::{ConnectRequest, PathVariables, Refusal, Transport},
    counters::Counters,
    endings::Endings,
    flusher::Flusher,
    handler::Handler,
    live::{Common, LiveSession},
    longpoll::poller::Poller,
    options::{LongpollOptions, ResumeOptions, SseOptions, TransportOptions, WebsocketOptions},
    origin::Origin,
    query,
    quoted::Quoted,
    registry::{Patience, Registry},
    resumable::{VERSION_PARAM, ended::Ended},
    sse::ticket::Tickets,
    websocket::codec::DecodeLimits,
};

/// How often the sweep looks for debtors while relief is needed: what is freed takes a moment to be given back.
const RELIEF_PERIOD: Duration = Duration::from_millis(100);
/// How many ended sessions the handler is told of before the runtime gets to do something else.
const ENDED_AT_ONCE: usize = 32;

/// The sessions of one handler, whatever carries them. Shared by an endpoint's clones, its connections and its
/// sweep.
pub(crate) struct Manager<H: Handler> {
    pub(crate) handler: H,
    pub(crate) options: TransportOptions,
    pub(crate) decode_limits: DecodeLimits,
    pub(crate) registry: Registry<H::State>,
    pub(crate) common: Arc<Common>,
    /// Resumable sessions that were, and why they are no more.
    pub(crate) ended: Ended,
    pub(crate) tickets: Tickets,
    /// The number of the next resumable session.
    pub(crate) serials: AtomicU64,
    /// The tasks of all connections.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when no more sessions are to begin.
    pub(crate) draining: CancellationToken,
    /// Cancelled when whatever is left is to end at once.
    pub(crate) cut: CancellationToken,
    /// The tasks that are nobody's connection: the sweep and the flusher.
    pub(crate) housekeeping: TaskTracker,
    /// Cancelled when those are to end.
    pub(crate) stopped: CancellationToken,
    sweep_started: Once,
    tokens_ignored: Once,
}

impl<H: Handler> Manager<H> {
    pub(crate) fn new(handler: H, options: TransportOptions) -> Self {
        let common = Common {
            outbox: options.outbox,
            clock: Clock::new(),
            counters: Counters::default(),
            flusher: Flusher::default(),
            budget: Arc::new(Budget::new(options.budget_bytes_max)),
            endings: Endings::default(),
        };
        let decode_limits = options.websocket.as_ref().map(|websocket| websocket.limits).unwrap_or_default();
        Self {
            handler,
            registry: Registry::new(options.sessions_max),
            ended: Ended::new(&options.resume.clone().unwrap_or_default()),
            tickets: Tickets::new(&options.sse.clone().unwrap_or_default()),
            serials: AtomicU64::new(1),
            decode_limits,
            options,
            common: Arc::new(common),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            cut: CancellationToken::new(),
            housekeeping: TaskTracker::new(),
            stopped: CancellationToken::new(),
            sweep_started: Once::new(),
            tokens_ignored: Once::new(),
        }
    }

    /// Lets the handler decide about a client.
    pub(crate) async fn connect(
        &self,
        transport: Transport,
        is_resumable: bool,
        parts: Parts,
        auth_token: Option<String>,
    ) -> Result<H::State, Refusal> {
        let refused = |refusal| {
            self.common.counters.refused.fetch_add(1, Ordering::Relaxed);
            refusal
        };
        if self.draining.is_cancelled() || self.common.budget.is_strained() {
            return Err(refused(Refusal::status(StatusCode::SERVICE_UNAVAILABLE)));
        }
        let mut params =
            query::parse(parts.uri.query().unwrap_or_default(), &self.options.query).map_err(|error| {
                debug!(%error, "connect refused: bad query");
                refused(Refusal::status(StatusCode::BAD_REQUEST).with_body(error.to_string()))
            })?;
        let Parts { uri, headers, mut extensions, .. } = parts;
        if let Some(PathVariables(variables)) = extensions.remove() {
            params.extend(variables);
        }
        if is_resumable {
            params.remove(VERSION_PARAM);
        }
        let request =
            ConnectRequest { transport, is_resumable, params, uri, headers, extensions, auth_token };
        let decided = timeout(self.options.connect_timeout, self.handler.connect(request));
        match self.cut.run_until_cancelled(decided).await {
            Some(Ok(decision)) => decision.map_err(refused),
            Some(Err(_)) => {
                debug!(timeout = ?self.options.connect_timeout, "connect refused: it was not decided in time");
                Err(refused(Refusal::status(StatusCode::SERVICE_UNAVAILABLE)))
            }
            None => Err(refused(Refusal::status(StatusCode::SERVICE_UNAVAILABLE))),
        }
    }

    /// Starts the sweep at the first request: only then there is surely a runtime to run it.
    pub(crate) fn start_sweep(self: &Arc<Self>) {
        self.sweep_started.call_once(|| {
            let patience = self.patience();
            let common = self.common.clone();
            let flushing = common.clone();
            let flusher = self.housekeeping.spawn(async move { flushing.flusher.run().await });
            let manager = Arc::downgrade(self);
            let sweep = async move {
                // Nobody needs it when the last session is gone.
                let _flusher = AbortOnDropHandle::new(flusher);
                // The runtime's time, which a test may stop: with another one the sweep would always be due.
                let mut swept_at = Instant::now();
                let mut pace = Pace::new(patience.period, swept_at.into_std());
                loop {
                    let pause = if common.budget.is_strained() { RELIEF_PERIOD } else { patience.period };
                    let due = swept_at + pause.min(patience.period);
                    // The sweep comes each period, and at once when relief is needed, however many sessions end meanwhile.
                    let next_sweep = timeout_at(due, common.budget.strained());
                    let closed = tokio::select! {
                        _ = next_sweep => None,
                        closed = common.endings.next() => Some(closed),
                    };
                    let Some(manager) = manager.upgrade() else { return };
                    if let Some(closed) = closed {
                        manager.end_closed(&closed).await;
                        continue;
                    }
                    swept_at = Instant::now();
                    let Step { tick, judges } = pace.step(swept_at.into_std());
                    manager.common.clock.set(tick);
                    manager.tickets.sweep();
                    manager.ended.sweep();
                    manager.relieve();
                    if judges {
                        manager.sweep(tick, patience);
                    }
                }
            };
            self.housekeeping.spawn(self.stopped.clone().run_until_cancelled_owned(sweep));
        });
    }

    /// Tells the handler of sessions that were closed, whoever carries them.
    async fn end_closed(&self, slots: &[u32]) {
        for slots in slots.chunks(ENDED_AT_ONCE) {
            let sessions = slots.iter().filter_map(|slot| self.registry.get(*slot));
            // A slot may have been given to another session meanwhile.
            for session in sessions.filter(|session| session.closed().is_some()) {
                self.end_unless_carried(&session);
            }
            tokio::task::yield_now().await;
        }
    }

    fn end_unless_carried(&self, session: &Arc<LiveSession<H::State>>) {
        if session.is_resumable() {
            self.end_resumable(session);
            // Whoever carries it says the last word to the client, and then takes it out.
            if !session.core().is_attached() {
                self.registry.remove(session);
            }
            return;
        }
        // A poll may still fetch what waits, and then it, or the sweep, takes the session out.
        let mut core = session.core();
        let reason = core.session.closed().unwrap_or(CloseReason::Internal);
        core.calls().close(reason);
        drop(core);
        self.tell(session);
    }

    fn sweep(&self, now: Tick, patience: Patience) {
        let swept = self.registry.sweep(now, patience);
        for session in swept.away {
            self.tell(&session);
        }
        for session in swept.ended {
            let reason = session.closed().unwrap_or(CloseReason::Abandoned);
            self.end_session(&session, reason);
        }
    }

    /// Closes the sessions for which most is held while that is too much.
    fn relieve(&self) {
        let excess = self.common.budget.excess();
        if excess == 0 {
            return;
        }
        let debtors = self.registry.debtors(excess);
        debug!(
            held = self.common.budget.held(),
            closing = debtors.len(),
            "too many bytes are held for clients"
        );
        let closed = debtors.into_iter().filter(|session| session.shed()).count();
        self.common.counters.over_budget.fetch_add(closed as u64, Ordering::Relaxed);
    }

    /// Starts a task of a connection that has no session yet, which ends when whatever is left is to end.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cut = self.cut.clone();
        // In a box, since a future that is moved into another has its place in there twice.
        let task = Box::pin(task);
        self.tasks.spawn(async move {
            cut.run_until_cancelled(task).await;
        });
    }

    /// Takes a session in; gives it back when there are as many as there may be.
    pub(crate) fn enter(
        &self,
        session: LiveSession<H::State>,
        poller: Option<Arc<Poller>>,
    ) -> Result<Arc<LiveSession<H::State>>, LiveSession<H::State>> {
        // Nothing is told before that it was opened.
        let _ = session.core().calls().begin();
        let session = self.registry.insert(session, poller)?;
        // It was let in before the drain began and may have come too late to be seen by it.
        if self.draining.is_cancelled() {
            session.close(CloseReason::Draining);
        }
        Ok(session)
    }

    /// Ends a session that is closed and that no connection will end; does nothing if somebody else has.
    pub(crate) fn end_session(&self, session: &Arc<LiveSession<H::State>>, reason: CloseReason) {
        let was_there = self.registry.remove(session);
        if session.is_resumable() {
            self.end_resumable(session);
        } else if was_there {
            let mut core = session.core();
            core.detach();
            core.calls().close(reason);
            drop(core);
            self.tell(session);
        }
    }

    /// Waits until the handler takes another message.
    pub(crate) async fn until_ready(&self, session: &LiveSession<H::State>) {
        std::future::poll_fn(|cx| {
            // The waker is left first, so that a change between the two lines is not missed.
            session.core().wait_to_read(cx);
            if session.closed().is_none() && !self.is_ready(session) {
                return Poll::Pending;
            }
            // Left there, it would say that somebody waits.
            session.core().stop_waiting_to_read();
            Poll::Ready(())
        })
        .await;
    }

    /// A client brings a token to a mount that does not take any. The program was meant to; a line for each would be theirs
    /// to write.
    pub(crate) fn say_once_that_tokens_are_ignored(&self) {
        self.tokens_ignored.call_once(|| {
            warn!(
                "clients bring an authToken, and this mount does not take it: see `auth_token` of its options"
            );
        });
    }

    /// Whether a page of the request's origin may connect; counted if not.
    pub(crate) fn allows_origin(&self, parts: &Parts) -> bool {
        let allowed = self.options.check_origin.allows(&Origin::of(parts), self.options.host.as_deref());
        if !allowed {
            self.common.counters.refused.fetch_add(1, Ordering::Relaxed);
            let origin = parts
                .headers
                .get("origin")
                .map_or(Cow::Borrowed(""), |origin| String::from_utf8_lossy(origin.as_bytes()));
            let (origin, path) = (Quoted::new(&origin), Quoted::new(parts.uri.path()));
            debug!(%origin, %path, "refused: origin not allowed");
        }
        allowed
    }

    pub(crate) fn resume_options(&self) -> &ResumeOptions {
        self.options.resume.as_ref().expect("a mount without resumable sessions begins none")
    }

    pub(crate) fn sse_options(&self) -> &SseOptions {
        self.options.sse.as_ref().expect("a mount without SSE gives no request to it")
    }

    pub(crate) fn longpoll_options(&self) -> &LongpollOptions {
        self.options.longpoll.as_ref().expect("a mount without long-poll gives no request to it")
    }

    pub(crate) fn websocket_options(&self) -> &WebsocketOptions {
        self.options.websocket.as_ref().expect("a mount without WebSockets gives no request to them")
    }

    /// How long a message of a WebSocket may take.
    pub(crate) fn message_timeout(&self) -> Duration {
        self.options.websocket.as_ref().map_or(Duration::MAX, |websocket| websocket.message_timeout)
    }

    /// The limits of silence, and a period that is fine enough for the shortest of them.
    fn patience(&self) -> Patience {
        let (websocket, longpoll) = (self.options.websocket.as_ref(), self.options.longpoll.as_ref());
        let idle = websocket.map_or(Duration::MAX, |websocket| websocket.idle_timeout);
        let linger = websocket.map_or(WebsocketOptions::default().linger, |websocket| websocket.linger);
        let abandoned = longpoll.map_or(Duration::MAX, |longpoll| longpoll.window * 3 / 2);
        let resume = self.options.resume.as_ref();
        let window = resume.map_or(Duration::MAX, |resume| resume.window);
        let unproven = resume.map_or(Duration::MAX, |resume| resume.unproven);
        let away = resume.and_then(|resume| resume.away_after).unwrap_or(Duration::MAX);
        let message = websocket.map_or(Duration::MAX, |websocket| websocket.message_timeout);
        let shortest = idle.min(linger).min(message).min(abandoned).min(window).min(unproven).min(away);
        let period = (shortest / 8).clamp(Duration::from_millis(20), Duration::from_secs(1));
        // Saturated, so that "never" plus a period is still never.
        let far = Duration::from_secs(u64::from(u32::MAX) / 1_000);
        Patience {
            idle: idle.min(far),
            linger: linger.min(far),
            abandoned: abandoned.min(far),
            window: window.min(far),
            unproven: unproven.min(far),
            away: away.min(far),
            period,
        }
    }

    /// Ends the sessions that nothing carries.
    pub(crate) fn end_all(&self) {
        for session in self.registry.snapshot() {
            session.close(CloseReason::Draining);
            self.end_session(&session, CloseReason::Draining);
        }
    }
}

impl<H: Handler> Drop for Manager<H> {
    /// The sessions that nothing carries end with their mount. Nobody could come back to one, and each that has state would
    /// keep itself alive by it.
    fn drop(&mut self) {
        self.end_all();
    }
}
