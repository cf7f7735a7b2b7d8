//! What a client presents when it connects, and how a connection is refused.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Extensions, HeaderMap, StatusCode, Uri, header::USER_AGENT};
use serde_json::{Map, Value};

use crate::{
    close::reason_line,
    dialect::{rejection::Rejection, server::Refused},
};

/// Which transport a client came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// A WebSocket.
    Websocket,
    /// An event stream down, POSTs up.
    Sse,
    /// HTTP long-poll.
    Longpoll,
}

impl Transport {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Websocket, Self::Sse, Self::Longpoll];

    /// The name of the transport, as in the path below a mount; Phoenix's, where it has the transport.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Websocket => "websocket",
            Self::Sse => "sse",
            Self::Longpoll => "longpoll",
        }
    }
}

/// The peer's address, as an extension of the request.
///
/// hyper does not say where a request comes from; the accept loop does. Put this value into the request's
/// extensions there, and [`ConnectRequest::peer`] has it. (With axum, `ConnectInfo<SocketAddr>` is its own way
/// to say the same; the crate `lapwing` understands it with its feature `axum`.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// The variables that a mount's path bound, such as `user_id` in `/ws/:user_id`.
#[derive(Clone, Debug, Default)]
pub struct PathVariables(pub Map<String, Value>);

/// The facts about a client that wants to connect.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConnectRequest {
    /// The transport it comes by.
    pub transport: Transport,
    /// Whether the session will outlive this connection, and may move to any other transport.
    pub is_resumable: bool,
    /// The query's parameters, `vsn` included, and the mount path's variables.
    pub params: Map<String, Value>,
    /// The request's URI as the service saw it.
    pub uri: Uri,
    /// All headers of the request.
    pub headers: HeaderMap,
    /// The request's extensions, where middleware leaves what it found out.
    pub extensions: Extensions,
    /// The token that came by subprotocol (WebSocket) or `X-Phoenix-AuthToken` (long-poll), where the options
    /// ask for one. `None` when the client sent none.
    pub auth_token: Option<String>,
}

impl ConnectRequest {
    /// A parameter that is a text.
    ///
    /// ```
    /// # use lapwing_transports::connect::{ConnectRequest, Transport};
    /// let request = ConnectRequest::new(Transport::Websocket, "/websocket?user=42".parse().unwrap());
    /// assert_eq!(request.param("user"), Some("42"));
    /// assert_eq!(request.param("other"), None);
    /// ```
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name)?.as_str()
    }

    /// A request for a URI without headers: what tests of a handler start from.
    ///
    /// A query that cannot be parsed leaves the parameters empty.
    #[must_use]
    pub fn new(transport: Transport, uri: Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        Self {
            transport,
            is_resumable: false,
            params: crate::http::query::parse(query, &crate::http::query::QueryLimits::default())
                .unwrap_or_default(),
            uri,
            headers: HeaderMap::new(),
            extensions: Extensions::new(),
            auth_token: None,
        }
    }

    /// The address of the peer, if the accept loop said so with [`PeerAddr`].
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.extensions.get::<PeerAddr>().map(|peer| peer.0)
    }

    /// The `User-Agent` header.
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        self.header(USER_AGENT.as_str())
    }

    /// The first header of that name, if it is readable text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All headers whose names begin with `x-`.
    pub fn x_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.prefixed_headers("x-")
    }

    /// All headers whose names begin with `sec-websocket-`.
    pub fn sec_websocket_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.prefixed_headers("sec-websocket-")
    }

    /// The trace context of the request: its `traceparent` and `tracestate` headers.
    pub fn trace_context(&self) -> impl Iterator<Item = (&str, &str)> {
        self.prefixed_headers("trace").filter(|(name, _)| matches!(*name, "traceparent" | "tracestate"))
    }

    fn prefixed_headers(&self, prefix: &'static str) -> impl Iterator<Item = (&str, &str)> {
        let named = self.headers.iter().filter(move |(name, _)| name.as_str().starts_with(prefix));
        named.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }
}

/// The reason why a client was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotAdmitted {
    /// The origin of its page may not connect.
    Origin,
    /// The query of its request could not be read.
    Query,
    /// The server goes down.
    Draining,
    /// The mount holds as many bytes for its clients as it may.
    Budget,
    /// The mount has as many sessions as it may.
    Sessions,
    /// The program did not decide in time.
    Timeout,
    /// It asks for a version of the protocol that is not spoken here.
    Version,
    /// It comes too often, or has as many sessions as one client may.
    Rate,
    /// The program refused it.
    Program,
}

impl NotAdmitted {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Origin,
        Self::Query,
        Self::Draining,
        Self::Budget,
        Self::Sessions,
        Self::Timeout,
        Self::Version,
        Self::Rate,
        Self::Program,
    ];

    /// The reason in a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Query => "query",
            Self::Draining => "draining",
            Self::Budget => "budget",
            Self::Sessions => "sessions",
            Self::Timeout => "timeout",
            Self::Version => "version",
            Self::Rate => "rate",
            Self::Program => "program",
        }
    }
}

/// The answer to a client that may not connect.
///
/// A page with the transport of `js/` is told by the close event: the code is 4401 for status 401, 4429 for 429, 4503 for 5xx and 4403
/// for any other, and the reason is the body, as [one line](crate::close::reason_line). It stays away after 4401 and 4403 until
/// its credentials are others.
///
/// To stock clients it is the HTTP response, of which browsers tell their page nothing; their long-poll only
/// understands `{"status":403}` and gets that whatever the refusal says, with the body as `reason`.
///
/// ```
/// use http::StatusCode;
/// use lapwing_transports::connect::Refusal;
///
/// let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS).with_body("come back later");
/// assert_eq!(refusal.status, StatusCode::TOO_MANY_REQUESTS);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The HTTP status; 403 by default.
    pub status: StatusCode,
    /// The body, and the reason that pages are told; empty by default.
    pub body: Bytes,
    /// After how long the client may try again, for the header `Retry-After` of a 429 or a 503, which say a second by default.
    pub retry_after: Option<Duration>,
    /// What it is counted as.
    pub counted_as: NotAdmitted,
}

impl Refusal {
    /// A refusal with a status of your choice.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self { status, body: Bytes::new(), retry_after: None, counted_as: NotAdmitted::Program }
    }

    /// The same refusal with a body, which is the reason for pages.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The same refusal of a client that may try again after so long: the answer to it has `Retry-After`, in whole seconds, if its status
    /// is 429 or 503.
    ///
    /// ```
    /// use std::time::Duration;
    /// use http::StatusCode;
    /// use lapwing_transports::connect::Refusal;
    ///
    /// let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS).with_retry_after(Duration::from_secs(30));
    /// assert_eq!(refusal.retry_after, Some(Duration::from_secs(30)));
    /// ```
    #[must_use]
    pub fn with_retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    /// The same refusal, counted under another reason than that of the program.
    ///
    /// ```
    /// use lapwing_transports::connect::{NotAdmitted, Refusal};
    ///
    /// let refusal = Refusal::default().with_count(NotAdmitted::Version);
    /// assert_eq!(refusal.counted_as.word(), "version");
    /// ```
    #[must_use]
    pub fn with_count(mut self, reason: NotAdmitted) -> Self {
        self.counted_as = reason;
        self
    }
}

impl Refusal {
    /// The code of the close event that a page gets.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self.status.as_u16() {
            status @ (401 | 429) => 4000 + status,
            500.. => 4503,
            _ => 4403,
        }
    }

    /// The reason that a page gets: the body as [one line](reason_line), or a word.
    #[must_use]
    pub fn line(&self) -> String {
        let line = reason_line(std::str::from_utf8(&self.body).unwrap_or_default());
        let word = match self.code() {
            4401 => "unauthorized",
            4429 => "too many",
            4503 => "full",
            _ => "forbidden",
        };
        if line.is_empty() { word.to_owned() } else { line }
    }

    /// The words of an answer whose refusal has no body: none where Phoenix answers without any.
    pub(crate) fn words(&self) -> &'static str {
        match self.counted_as {
            NotAdmitted::Draining => "the server goes down",
            NotAdmitted::Budget | NotAdmitted::Sessions => "the server is full",
            NotAdmitted::Timeout => "it was not decided in time",
            NotAdmitted::Origin
            | NotAdmitted::Query
            | NotAdmitted::Version
            | NotAdmitted::Rate
            | NotAdmitted::Program => "",
        }
    }

    /// The seconds of `Retry-After`, if its answer has that: at least one, and no less than the time.
    pub(crate) fn retry_after_secs(&self) -> Option<u64> {
        let is_for_now =
            matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let time = self.retry_after.unwrap_or_default();
        is_for_now.then(|| time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).max(1))
    }

    /// A refusal for the moment: 503.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE)
    }

    /// What a client of the session dialect hears.
    pub(crate) fn rejection(&self) -> Rejection {
        let code = self.code();
        let word = if matches!(code, 4429 | 4503) { Refused::Full } else { Refused::Forbidden };
        let line = self.line();
        // The word alone says as much.
        if line == word.word() { word.into() } else { Rejection::told(word, code, &line) }
    }
}

impl Default for Refusal {
    /// 403 with an empty body, as Phoenix answers.
    fn default() -> Self {
        Self::new(StatusCode::FORBIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up_and_at_least_one_and_said_where_it_is_for_now() {
        let refusal = |status, ms| Refusal::new(status).with_retry_after(Duration::from_millis(ms));
        for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE] {
            let secs = [0, 1, 1_000, 1_001, 59_999].map(|ms| refusal(status, ms).retry_after_secs());
            assert_eq!(secs, [1, 1, 1, 2, 60].map(Some));
            assert_eq!(Refusal::new(status).retry_after_secs(), Some(1));
        }
        let forever = Refusal::new(StatusCode::SERVICE_UNAVAILABLE).with_retry_after(Duration::MAX);
        assert_eq!(forever.retry_after_secs(), Some(u64::MAX));
        assert_eq!(refusal(StatusCode::FORBIDDEN, 5_000).retry_after_secs(), None);
    }

    #[test]
    fn a_refusal_for_now_has_words_and_one_that_phoenix_knows_has_none() {
        for reason in NotAdmitted::ALL {
            let is_for_now = ["draining", "budget", "sessions", "timeout"].contains(&reason.word());
            assert_eq!(
                !Refusal::unavailable().with_count(reason).words().is_empty(),
                is_for_now,
                "{reason:?}"
            );
        }
    }
}
