//! The session manager: lets clients in, keeps their sessions, and ends those that are silent.

pub(crate) mod admission;
mod caller;
mod carrying;
pub(crate) mod dice;
mod ending;
mod moving;
pub(crate) mod staying;
mod sweep;
pub(crate) mod taking;
pub(crate) mod tickets;
mod under_way;

use std::{
    sync::{
        Arc, Once,
        atomic::{AtomicU64, AtomicUsize},
    },
    time::Duration,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{staying::Found, tickets::Tickets, under_way::UnderWay};
use crate::{
    budget::Budget,
    elsewhere::Marks,
    handler::Handler,
    live::{
        Common,
        clock::Clock,
        counters::Counters,
        ended::Ended,
        endings::Endings,
        flusher::Flusher,
        foreign::{Foreign, Gone},
        last_words::LastWords,
        registry::Registry,
    },
    options::{DecodeLimits, LongpollOptions, ResumeOptions, SseOptions, TransportOptions, WebsocketOptions},
    session::life::Tick,
    sync::Mutex,
};

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
    /// Resumable sessions that have come from other nodes, and where those are that have gone there.
    pub(crate) foreign: Foreign,
    /// Those that have come and are not taken in yet.
    pub(crate) coming: Foreign,
    pub(crate) gone: Gone,
    /// How many sessions are between two nodes.
    frozen: AtomicUsize,
    /// Those whose streams come by way of other nodes, if they are to follow.
    pub(crate) staying: Option<Found<H::State>>,
    pub(crate) tickets: Tickets,
    /// What tokens say of the node that made them, and the way to the others.
    pub(crate) marks: Marks,
    /// Requests that are carried to them.
    under_way: Arc<UnderWay>,
    /// When it was first seen that other nodes cannot be reached, while it is so.
    cut_off_since: Mutex<Option<Tick>>,
    /// The number of the next resumable session.
    pub(crate) serials: AtomicU64,
    /// The tasks of all connections.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when no more sessions are to begin.
    pub(crate) draining: CancellationToken,
    /// Cancelled when all sessions have ended or gone: what is carried for other nodes' clients ends, and they come back to another node.
    pub(crate) parting: CancellationToken,
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
    #[cfg(test)]
    pub(crate) fn new(handler: H, options: TransportOptions) -> Self {
        Self::among(handler, options, Marks::default())
    }

    pub(crate) fn among(handler: H, options: TransportOptions, marks: Marks) -> Self {
        let common = Common {
            outbox: options.outbox,
            clock: Clock::new(),
            counters: Counters::default(),
            flusher: Flusher::default(),
            budget: Arc::new(Budget::new(options.budget_bytes_max)),
            endings: Endings::default(),
            last_words: LastWords::default(),
            #[cfg(feature = "deflate")]
            deflate: options.deflate().unwrap_or_default(),
        };
        let decode_limits = options.websocket.as_ref().map(|websocket| websocket.limits).unwrap_or_default();
        let resume = options.resume.clone().unwrap_or_default();
        Self {
            handler,
            registry: Registry::new(options.sessions_max),
            ended: Ended::new(&resume),
            foreign: Foreign::default(),
            coming: Foreign::default(),
            gone: Gone::new(resume.window),
            frozen: AtomicUsize::new(0),
            staying: marks.elsewhere().and_then(|elsewhere| elsewhere.follow_after()).map(Found::new),
            tickets: Tickets::new(&options.sse.clone().unwrap_or_default(), marks.clone()),
            marks,
            under_way: Arc::default(),
            cut_off_since: Mutex::default(),
            serials: AtomicU64::new(1),
            decode_limits,
            options,
            common: Arc::new(common),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            parting: CancellationToken::new(),
            cut: CancellationToken::new(),
            housekeeping: TaskTracker::new(),
            stopped: CancellationToken::new(),
            sweep_started: Once::new(),
            tokens_ignored: Once::new(),
        }
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
}
