//! The session manager: lets clients in, keeps their sessions, and ends those that are silent.

use std::{
    sync::{Arc, Once, atomic::Ordering},
    time::Duration,
};

use http::{StatusCode, request::Parts};
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::{
    clock::Clock,
    close::CloseReason,
    connect::{ConnectRequest, PathVariables, Refusal, Transport},
    counters::Counters,
    handler::Handler,
    live::{Common, LiveSession},
    options::{LongpollOptions, TransportOptions, WebsocketOptions},
    query,
    registry::{Patience, Registry},
    websocket::codec::DecodeLimits,
};

/// The sessions of one handler, whatever carries them. Shared by an endpoint's clones, its connections and its
/// sweep.
pub(crate) struct Manager<H: Handler> {
    pub(crate) handler: H,
    pub(crate) options: TransportOptions,
    pub(crate) decode_limits: DecodeLimits,
    pub(crate) registry: Registry<H::State>,
    pub(crate) common: Arc<Common>,
    /// The tasks of all connections.
    pub(crate) tasks: TaskTracker,
    sweep_started: Once,
}

impl<H: Handler> Manager<H> {
    pub(crate) fn new(handler: H, options: TransportOptions) -> Self {
        let common = Common { outbox: options.outbox, clock: Clock::new(), counters: Counters::default() };
        let decode_limits = options.websocket.as_ref().map(|websocket| websocket.limits).unwrap_or_default();
        Self {
            handler,
            registry: Registry::new(options.sessions_max),
            decode_limits,
            options,
            common: Arc::new(common),
            tasks: TaskTracker::new(),
            sweep_started: Once::new(),
        }
    }

    /// Lets the handler decide about a client.
    pub(crate) async fn connect(
        &self,
        transport: Transport,
        parts: Parts,
        auth_token: Option<String>,
    ) -> Result<H::State, Refusal> {
        let refused = |refusal| {
            self.common.counters.refused.fetch_add(1, Ordering::Relaxed);
            refusal
        };
        let mut params =
            query::parse(parts.uri.query().unwrap_or_default(), &self.options.query).map_err(|error| {
                debug!(%error, "connect refused: bad query");
                refused(Refusal::status(StatusCode::BAD_REQUEST).with_body(error.to_string()))
            })?;
        let Parts { uri, headers, mut extensions, .. } = parts;
        if let Some(PathVariables(variables)) = extensions.remove() {
            params.extend(variables);
        }
        let request = ConnectRequest { transport, params, uri, headers, extensions, auth_token };
        self.handler.connect(request).await.map_err(refused)
    }

    /// Starts the sweep at the first request: only then there is surely a runtime to run it.
    pub(crate) fn start_sweep(self: &Arc<Self>) {
        self.sweep_started.call_once(|| {
            // Nobody moved the clock since the program started; the first session must not look as old as that.
            self.common.clock.advance();
            let patience = self.patience();
            let manager = Arc::downgrade(self);
            tokio::spawn(async move {
                let mut period = tokio::time::interval(patience.period);
                period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    period.tick().await;
                    let Some(manager) = manager.upgrade() else { return };
                    let now = manager.common.clock.advance();
                    for session in manager.registry.sweep(now, patience) {
                        let reason = session.closed().unwrap_or(CloseReason::Abandoned);
                        manager.end_session(&session, reason);
                    }
                }
            });
        });
    }

    /// Ends a long-poll session that is closed; does nothing if somebody else has.
    pub(crate) fn end_session(&self, session: &Arc<LiveSession<H::State>>, reason: CloseReason) {
        if self.registry.remove(session) {
            session.core().detach();
            self.handler.closed(session, reason);
        }
    }

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
