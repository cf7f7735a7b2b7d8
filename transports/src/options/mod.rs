//! What can be set about the transports, with defaults and the reasons for them.
//!
//! All options have one manner: a default, and setters that take and return the options. A time beyond a hundred years is taken
//! as a hundred years.

#[cfg(feature = "deflate")]
mod deflate;
pub mod error;
mod longpoll;
mod resume;
mod sse;
mod websocket;

use std::{sync::Arc, time::Duration};

use crate::{
    http::{
        origin::{CheckOrigin, is_host},
        query::QueryLimits,
    },
    session::outbox::OutboxLimits,
};

#[cfg(feature = "deflate")]
pub use self::deflate::DeflateOptions;
use self::error::{FOREVER, OptionError, check_bound, check_time};
pub use self::{
    longpoll::LongpollOptions,
    resume::ResumeOptions,
    sse::SseOptions,
    websocket::{DecodeLimits, WebsocketOptions},
};

/// Options of one mount: which transports it has and how they behave.
///
/// ```
/// use std::time::Duration;
/// use lapwing_transports::options::{TransportOptions, WebsocketOptions};
///
/// let options = TransportOptions::default()
///     .websocket(WebsocketOptions::default().idle_timeout(Duration::from_secs(30)))
///     .without_longpoll();
/// assert!(options.check().is_ok());
/// assert!(options.without_websocket().without_sse().check().is_err(), "no transport is left");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TransportOptions {
    pub(crate) websocket: Option<WebsocketOptions>,
    pub(crate) longpoll: Option<LongpollOptions>,
    pub(crate) sse: Option<SseOptions>,
    pub(crate) resume: Option<ResumeOptions>,
    pub(crate) check_origin: CheckOrigin,
    pub(crate) host: Option<Arc<str>>,
    pub(crate) auth_token: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) outbox: OutboxLimits,
    pub(crate) query: QueryLimits,
    pub(crate) sessions_max: usize,
    pub(crate) budget_bytes_max: usize,
}

impl TransportOptions {
    /// Options of the WebSocket transport, which is on by default.
    pub fn websocket(mut self, options: WebsocketOptions) -> Self {
        self.websocket = self.websocket.map(|_| options);
        self
    }

    /// Does without WebSockets, whatever else is said of them.
    pub fn without_websocket(mut self) -> Self {
        self.websocket = None;
        self
    }

    /// Options of the long-poll transport. It is on by default, unlike Phoenix's: fallback is what this library is for.
    pub fn longpoll(mut self, options: LongpollOptions) -> Self {
        self.longpoll = self.longpoll.map(|_| options);
        self
    }

    /// Does without long-poll, whatever else is said of it.
    pub fn without_longpoll(mut self) -> Self {
        self.longpoll = None;
        self
    }

    /// Options of the transport of event streams, for resumable sessions only; on by default.
    pub fn sse(mut self, options: SseOptions) -> Self {
        self.sse = self.sse.map(|_| options);
        self
    }

    /// Does without event streams, whatever else is said of them.
    pub fn without_sse(mut self) -> Self {
        self.sse = None;
        self
    }

    /// Options of sessions that outlive their connections, for clients that ask for one; on by default.
    pub fn resume(mut self, options: ResumeOptions) -> Self {
        self.resume = self.resume.map(|_| options);
        self
    }

    /// Does without such sessions, whatever else is said of them: every session ends with its connection, and the SSE transport
    /// has no use.
    pub fn without_resume(mut self) -> Self {
        self.resume = None;
        self
    }

    /// Which pages may connect. Default: those of the same host. Others are refused (403). A list without an entry is an error of
    /// [`check`](Self::check).
    pub fn check_origin(mut self, check_origin: CheckOrigin) -> Self {
        self.check_origin = check_origin;
        self
    }

    /// The public host name that origins are compared with, without a port. Default: the request's own `Host`.
    pub fn host(mut self, host: impl Into<Arc<str>>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// Takes a token from the subprotocol or the `X-Phoenix-AuthToken` header. Default: not.
    pub fn with_auth_tokens(mut self) -> Self {
        self.auth_token = true;
        self
    }

    /// Sets the time that the program may take to decide about a client. Default 30 s, as long as a body may take: what waits may hold a
    /// whole request, and who waits may be gone without our seeing it. Then the client is told to try again later (503).
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time.min(FOREVER);
        self
    }

    /// Bounds of each session's outbox.
    pub fn outbox(mut self, limits: OutboxLimits) -> Self {
        self.outbox = limits;
        self
    }

    /// Bounds of the query of a connecting request. One that breaks them is answered with 400.
    pub fn query(mut self, limits: QueryLimits) -> Self {
        self.query = limits;
        self
    }

    /// Sessions that may be live at once. Default 1,000,000, which is above what one machine's sockets allow but below what
    /// an endless loop of long-poll sessions would take. The next is refused with 503. Those count that are on their way here from other nodes.
    pub fn sessions_max(mut self, sessions: usize) -> Self {
        self.sessions_max = sessions;
        self
    }

    /// Bytes that may be held for clients, over all sessions: frames that wait, messages and bodies that have not arrived in
    /// full, answers that are being written, and what the handler counts. Default 512 MiB: fifty of the largest messages
    /// at once, or thirty full outboxes, in a program that has a gigabyte.
    ///
    /// At seven eighths of it, new sessions are refused (503, `!refused full`), and the sessions for which most is held
    /// are closed with 1013 until a quarter is free. At the bound, what grows because a client sends fails: its WebSocket is
    /// closed with 1013, its request answered with 503. Four kilobytes of each session are not counted.
    pub fn budget_bytes_max(mut self, bytes: usize) -> Self {
        self.budget_bytes_max = bytes;
        self
    }

    /// Which messages are compressed for clients, if any are: over WebSockets, event streams or polls.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(&self) -> Option<DeflateOptions> {
        self.deflates().into_iter().flatten().next()
    }

    /// Returns whether answers to polls are gzip for clients that accept it.
    ///
    /// ```
    /// use lapwing_transports::options::{DeflateOptions, LongpollOptions, TransportOptions};
    ///
    /// let options = TransportOptions::default().longpoll(LongpollOptions::default().gzip(DeflateOptions::default()));
    /// assert!(options.gzips_polls() && !options.without_longpoll().gzips_polls());
    /// ```
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn gzips_polls(&self) -> bool {
        self.longpoll.as_ref().is_some_and(LongpollOptions::gzips)
    }

    #[cfg(feature = "deflate")]
    fn deflates(&self) -> [Option<DeflateOptions>; 3] {
        [
            self.websocket.as_ref().and_then(|websocket| websocket.deflate),
            self.sse.as_ref().and_then(|sse| sse.gzip),
            self.longpoll.as_ref().and_then(|longpoll| longpoll.gzip),
        ]
    }

    /// What is compressed is compressed once for all transports.
    #[cfg(feature = "deflate")]
    fn check_deflates(&self) -> Result<(), OptionError> {
        let first = self.deflate();
        if self.deflates().into_iter().flatten().any(|options| Some(options) != first) {
            let problem = "a message is compressed once for all transports: give each the same options";
            return Err(OptionError::new(
                "WebsocketOptions::deflate, SseOptions::gzip, LongpollOptions::gzip",
                problem,
            ));
        }
        Ok(())
    }

    /// Finds values that nothing can work with, and options that contradict each other.
    ///
    /// # Errors
    /// [`OptionError`] for the first of them.
    pub fn check(&self) -> Result<(), OptionError> {
        let Self { websocket, longpoll, sse, resume, .. } = self;
        websocket.as_ref().map_or(Ok(()), WebsocketOptions::check)?;
        longpoll.as_ref().map_or(Ok(()), LongpollOptions::check)?;
        sse.as_ref().map_or(Ok(()), SseOptions::check)?;
        resume.as_ref().map_or(Ok(()), ResumeOptions::check)?;
        self.check_wires()?;
        #[cfg(feature = "deflate")]
        self.check_deflates()?;
        if self.host.as_ref().is_some_and(|host| !is_host(host)) {
            let problem = "it is a name, such as example.com, without a scheme, a port or a path: pages of all ports of \
                           the host may connect, and CheckOrigin::list takes ports";
            return Err(OptionError::new("Mount::host", problem));
        }
        if self.check_origin.is_empty_list() {
            let problem = "the list is empty, so that no page may connect: name the origins of your pages, or leave it \
                           out for those of the same host";
            return Err(OptionError::new("Mount::check_origin", problem));
        }
        check_time("Mount::connect_timeout", self.connect_timeout)?;
        check_bound("OutboxLimits::frames_max", self.outbox.frames_max)?;
        check_bound("OutboxLimits::bytes_max", self.outbox.bytes_max)?;
        check_bound("OutboxLimits::unacknowledged_frames_max", self.outbox.unacknowledged_frames_max)?;
        check_bound("OutboxLimits::unacknowledged_bytes_max", self.outbox.unacknowledged_bytes_max)?;
        check_bound("Mount::sessions_max", self.sessions_max)?;
        check_bound("Mount::budget", self.budget_bytes_max)?;
        self.check_deliverable()
    }

    /// What a client may send is taken from it, and has room in the outbox of each of the others.
    fn check_deliverable(&self) -> Result<(), OptionError> {
        let websocket = self.websocket.as_ref().map_or(0, |websocket| websocket.limits.message_bytes_max);
        let longpoll = self.longpoll.as_ref().map_or(0, |longpoll| longpoll.body_bytes_max);
        let resumable = self.resume.as_ref().map_or(0, |_| self.resumable_frame_bytes_max());
        let largest = websocket.max(longpoll).max(resumable);
        let problem = "a message that a client may send would not fit: give more, or less to \
                       WebsocketOptions::message_bytes_max, LongpollOptions::body_bytes_max and \
                       ResumeOptions::body_bytes_max";
        if largest > self.outbox.bytes_max {
            return Err(OptionError::new("OutboxLimits::bytes_max", problem));
        }
        // From seven eighths on, whoever owes most is closed.
        if largest > self.budget_bytes_max / 8 * 7 {
            return Err(OptionError::new("Mount::budget", problem));
        }
        Ok(())
    }

    /// The transports that there are have paths of their own.
    fn check_wires(&self) -> Result<(), OptionError> {
        let transports = [
            self.websocket.as_ref().map(|websocket| &websocket.path),
            self.longpoll.as_ref().map(|longpoll| &longpoll.path),
            self.sse.as_ref().filter(|_| self.resume.is_some()).map(|sse| &sse.path),
        ];
        let paths: Vec<_> = transports.into_iter().flatten().collect();
        if paths.is_empty() {
            let problem =
                "no transport is left: leave out one of without_websocket, without_longpoll and without_sse";
            return Err(OptionError::new("Mount", problem));
        }
        let is_taken = |(index, path)| paths[..index].contains(path);
        if paths.iter().enumerate().any(is_taken) {
            let problem =
                "two transports have one path: give each its own, or leave the paths out for the defaults";
            return Err(OptionError::new(
                "WebsocketOptions::path, LongpollOptions::path, SseOptions::path",
                problem,
            ));
        }
        Ok(())
    }

    /// Bytes of a frame that a client of a resumable session may send, whatever carries it: a frame that one transport
    /// takes and another does not would be sent again for ever once the session has moved.
    pub(crate) fn resumable_frame_bytes_max(&self) -> usize {
        let body = self.resume.as_ref().map_or(usize::MAX, |resume| resume.body_bytes_max);
        let limits = self.websocket.as_ref().map(|websocket| websocket.limits);
        limits.map_or(body, |limits| body.min(limits.message_bytes_max).min(limits.frame_bytes_max))
    }
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
