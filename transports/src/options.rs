//! What can be set about the transports, with defaults and the reasons for them.

use std::{sync::Arc, time::Duration};

use crate::{
    http::{origin::CheckOrigin, query::QueryLimits},
    session::outbox::OutboxLimits,
};

/// Options of one mount: which wires it has and how they behave.
///
/// ```
/// use std::time::Duration;
/// use lapwing_transports::options::TransportOptions;
///
/// let mut options = TransportOptions::default();
/// if let Some(websocket) = &mut options.websocket {
///     websocket.idle_timeout = Duration::from_secs(30);
/// }
/// options.longpoll = None;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TransportOptions {
    /// The WebSocket wire; on by default.
    pub websocket: Option<WebsocketOptions>,
    /// The long-poll wire. On by default, unlike Phoenix's: fallback is what this library is for.
    pub longpoll: Option<LongpollOptions>,
    /// The wire of event streams, for resumable sessions only; on by default.
    pub sse: Option<SseOptions>,
    /// Sessions that outlive their connections, for clients that ask for one; on by default. Without them the SSE
    /// wire has no use.
    pub resume: Option<ResumeOptions>,
    /// Who may connect from a browser page. Default: pages of the same host.
    pub check_origin: CheckOrigin,
    /// The public host name that origins are compared with. Default: the request's own `Host`.
    pub host: Option<Arc<str>>,
    /// Whether to take a token from the subprotocol or the `X-Phoenix-AuthToken` header. Default: no.
    pub auth_token: bool,
    /// How long the program may take to decide about a client. Then it is told to try again later (503). Default 30 s, as
    /// long as a body may take: what waits may hold a whole request, and who waits may be gone without our seeing it.
    pub connect_timeout: Duration,
    /// Bounds of each session's outbox.
    pub outbox: OutboxLimits,
    /// Bounds of the query of a connecting request.
    pub query: QueryLimits,
    /// Sessions that may be live at once; the next is refused with 503. Default 1,000,000, which is above what
    /// one machine's sockets allow but below what an endless loop of long-poll sessions would take.
    pub sessions_max: usize,
    /// Bytes that may be held for clients, over all sessions: frames that wait, messages and bodies that have not arrived in
    /// full, answers that are being written, and what the handler counts. Default 512 MiB: fifty of the largest messages
    /// at once, or a hundred full outboxes, in a program that has a gigabyte.
    ///
    /// At seven eighths of it, new sessions are refused (503, `!refused full`), and the sessions for which most is held
    /// are closed with 1013 until a quarter is free. At the bound, what grows because a client sends fails: its WebSocket is closed
    /// with 1013, its request answered with 503. Four kilobytes of each session are not counted.
    pub budget_bytes_max: usize,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            websocket: Some(WebsocketOptions::default()),
            longpoll: Some(LongpollOptions::default()),
            sse: Some(SseOptions::default()),
            resume: Some(ResumeOptions::default()),
            check_origin: CheckOrigin::default(),
            host: None,
            auth_token: false,
            connect_timeout: Duration::from_secs(30),
            outbox: OutboxLimits::default(),
            query: QueryLimits::default(),
            sessions_max: 1_000_000,
            budget_bytes_max: 512 * 1024 * 1024,
        }
    }
}

impl TransportOptions {
    /// Bytes of a frame that a client of a resumable session may send, whatever carries it: a frame that one wire
    /// takes and another does not would be sent again for ever once the session has moved.
    pub(crate) fn resumable_frame_bytes_max(&self) -> usize {
        let body = self.resume.as_ref().map_or(usize::MAX, |resume| resume.body_bytes_max);
        let limits = self.websocket.as_ref().map(|websocket| websocket.limits);
        limits.map_or(body, |limits| body.min(limits.message_bytes_max).min(limits.frame_bytes_max))
    }
}

/// Options of the WebSocket wire. The defaults are Phoenix's, where it has the option.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WebsocketOptions {
    /// Below the mount. Default `websocket`.
    pub path: String,
    /// A client from which nothing came for so long is closed. Default 60 s, twice the stock client's
    /// heartbeat interval.
    pub idle_timeout: Duration,
    /// Bounds of what a client may send at once.
    pub limits: DecodeLimits,
    /// Subprotocols that may be chosen besides `phoenix`, which goes with `auth_token`. Default: none, and
    /// then what the client offers is ignored.
    pub subprotocols: Vec<String>,
    /// How long a message may take from its first byte to its last; then the connection is closed with 1008. Default 180 s:
    /// the largest message arrives at 64 KB a second with time to spare. While the handler is not ready it is not counted.
    pub message_timeout: Duration,
    /// How long a closed connection may take to take what is left, to answer the close, and to end its side. What it says
    /// meanwhile goes nowhere. Default 5 s: a client that is in the middle of a message over a slow line has long read by then
    /// why it was closed.
    pub linger: Duration,
}

impl Default for WebsocketOptions {
    fn default() -> Self {
        Self {
            path: "websocket".into(),
            idle_timeout: Duration::from_secs(60),
            limits: DecodeLimits::default(),
            subprotocols: Vec::new(),
            message_timeout: Duration::from_secs(180),
            linger: Duration::from_secs(5),
        }
    }
}

/// How much a client may send at once. At each bound the connection is refused with an error, never trimmed.
///
/// All of them are checked against the announced length, before the payload arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Payload bytes of one frame. Default 10,000,000: what Phoenix's WebSocket adapter accepts, so that a
    /// client that works there works here. Nothing is reserved for it: memory follows what has arrived.
    pub frame_bytes_max: usize,
    /// Payload bytes of one message, over all its fragments. Default 10,000,000: cutting a message into
    /// fragments should neither win nor lose anything.
    pub message_bytes_max: usize,
    /// Frames of one message, empty ones included. Default 65,536: a message of 4 MiB in fragments of 64
    /// bytes, the worst that the Autobahn suite expects to work. Empty fragments are not refused one by one
    /// (the RFC allows them) but count here, so that nobody can keep a message open with them for ever.
    pub fragments_max: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { frame_bytes_max: 10_000_000, message_bytes_max: 10_000_000, fragments_max: 65_536 }
    }
}

/// Options of the long-poll wire. The defaults are Phoenix's, where it has the option.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LongpollOptions {
    /// Below the mount. Default `longpoll`.
    pub path: String,
    /// How long a poll waits for a frame. Default 10 s, shorter than any proxy's patience that we know of. A
    /// session that is not polled for one and a half windows is closed.
    pub window: Duration,
    /// Bytes of the messages in an answer to a poll, in whatever dialect; one message at least. The next poll gets the rest. Default
    /// 1,000,000, a quarter of what an outbox holds.
    pub answer_bytes_max: usize,
    /// Bytes of a POST. Default 8,000,000.
    pub body_bytes_max: usize,
    /// How long a POST may take to arrive. Default 30 s.
    pub body_timeout: Duration,
    /// Messages in one POST; more are refused as a whole. Default 2,000: stock clients before 1.8.6 send all that has
    /// come up in one batch, later ones cut at 100. It is half of what an outbox holds, so that a batch of which every
    /// message is answered does not overflow it.
    pub batch_max: usize,
}

impl Default for LongpollOptions {
    fn default() -> Self {
        Self {
            path: "longpoll".into(),
            window: Duration::from_secs(10),
            answer_bytes_max: 1_000_000,
            body_bytes_max: 8_000_000,
            body_timeout: Duration::from_secs(30),
            batch_max: 2_000,
        }
    }
}

/// Options of the SSE wire.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SseOptions {
    /// Below the mount. Default `sse`.
    pub path: String,
    /// Bytes of comment before the first event, for proxies that hold back the first bytes of a response. Default
    /// 2,048, which is what they are known to hold back.
    pub prelude_bytes: usize,
    /// How long a ticket for an `EventSource` is good. Default 5 s: it travels in a URL and must be worthless soon.
    pub ticket_lifetime: Duration,
    /// Tickets that may wait to be used; the oldest are forgotten first. Default 10,000.
    pub tickets_max: u64,
}

impl Default for SseOptions {
    fn default() -> Self {
        Self {
            path: "sse".into(),
            prelude_bytes: 2_048,
            ticket_lifetime: Duration::from_secs(5),
            tickets_max: 10_000,
        }
    }
}

/// Options of resumable sessions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResumeOptions {
    /// How long a session is kept after the last sign of life of its client. Default 60 s: as long as Phoenix waits
    /// for a silent WebSocket, so that somebody who vanishes is seen to leave no later than there.
    pub window: Duration,
    /// How long a session is kept that was only opened: no second connection has carried it, its client has acknowledged nothing,
    /// and the connection it was opened by does not carry it. Default 10 s: enough for a client with two seconds of delay to poll
    /// for the first time, and little for one who opens sessions and forgets them.
    pub unproven: Duration,
    /// After how long without a connection the handler is told that the client is away. Default: never.
    pub away_after: Option<Duration>,
    /// How long a WebSocket may take to say which session it is for. Default 10 s.
    pub greeting_timeout: Duration,
    /// How many ended sessions are remembered, to tell a late client why. Default 10,000, a few hundred kilobytes.
    pub ended_max: u64,
    /// How long they are remembered. Default 5 min.
    pub ended_lifetime: Duration,
    /// Bytes of a POST. Default 13,400,000: the largest message that a WebSocket takes has its place in it, as text and
    /// in base64. Clients are told this bound, and do not send a message beyond it on any wire.
    pub body_bytes_max: usize,
    /// How long a POST may take to arrive. Default 30 s.
    pub body_timeout: Duration,
    /// Lines in one POST. Default 2,000, half of what an outbox holds.
    pub lines_max: usize,
    /// How long a POST waits for a handler that is not ready, over all its frames, before it is answered with how far it came.
    /// Default 500 ms: no longer than clients wait before they think that nobody heard them.
    pub ready_timeout: Duration,
}

impl Default for ResumeOptions {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
            unproven: Duration::from_secs(10),
            away_after: None,
            greeting_timeout: Duration::from_secs(10),
            ended_max: 10_000,
            ended_lifetime: Duration::from_secs(300),
            body_bytes_max: 13_400_000,
            body_timeout: Duration::from_secs(30),
            lines_max: 2_000,
            ready_timeout: Duration::from_millis(500),
        }
    }
}
