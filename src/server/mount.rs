//! What hangs below one path: channels, who may connect, and how.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use lapwing_transports::{
    connect::{ConnectRequest, Refusal},
    options::{
        LongpollOptions, ResumeOptions, SseOptions, TransportOptions, WebsocketOptions,
        error::{OptionError, check_bound},
    },
    origin::CheckOrigin,
    session::outbox::OutboxLimits,
};

use crate::{
    channel::{Channel, into_state::IntoState},
    join::{mailbox::MailboxLimits, rejoin::Rejoins},
    node::Node,
    protocol::{SerializerList, name_limits::NameLimits},
    server::{build_error::BuildError, drain::Drain},
    session::{
        accept::Accept,
        handler::{self, Hub},
        login::{Callbacks, ResumeRequest, TokenRequest},
        rates::Rates,
        router::{ChannelRoute, Router},
    },
    topics::{compression::Compression, keep::Keep, slow::SlowPolicy},
};

/// Channels under one path, with the transports that lead to them. Defaults are Phoenix's where it has the option.
///
/// ```
/// use std::time::Duration;
/// use lapwing::{CheckOrigin, Mount, WebsocketOptions};
///
/// let mount = Mount::new()
///     .check_origin(CheckOrigin::list(["https://example.com", "//*.example.org"]).unwrap())
///     .joins_max(20)
///     .websocket(WebsocketOptions::default().idle_timeout(Duration::from_secs(45)))
///     .without_longpoll();
/// # let _ = mount;
/// ```
#[derive(Clone)]
#[must_use = "a mount does nothing until it is given to a builder"]
pub struct Mount {
    routes: Vec<Result<ChannelRoute, BuildError>>,
    callbacks: Callbacks,
    serializers: SerializerList,
    /// Those of stock long-poll clients, once somebody asked.
    text_serializers: OnceLock<SerializerList>,
    joins_max: usize,
    mailbox: MailboxLimits,
    names: NameLimits,
    rates: Rates,
    transports: TransportOptions,
    pub(crate) drain: Option<Drain>,
    /// Patterns of topics that are kept.
    pub(crate) keeps: Vec<(String, Keep)>,
    /// Joins a second that are ended after a gap.
    rejoins_per_second: Option<u32>,
    /// Patterns of topics with what becomes of their broadcasts for slow clients.
    pub(crate) slow: Vec<(String, SlowPolicy)>,
}

impl Mount {
    /// A mount with all transports, no channels, open to every client whose page is of the same host.
    pub fn new() -> Self {
        Self {
            routes: Vec::new(),
            callbacks: Callbacks::default(),
            serializers: SerializerList::default(),
            text_serializers: OnceLock::new(),
            joins_max: 100,
            mailbox: MailboxLimits::default(),
            names: NameLimits::default(),
            rates: Rates::default(),
            transports: TransportOptions::default(),
            drain: Some(Drain::default()),
            keeps: Vec::new(),
            rejoins_per_second: None,
            slow: Vec::new(),
        }
    }

    /// Routes the topics of a pattern, exact or ending in `*`, to a channel, whose joins share the state: a value, or an
    /// [`Arc`] of one that the rest of the program has, too. The first route that matches wins.
    ///
    /// A bad pattern, and one that a route before it hides, is reported by [`Builder::build`](crate::Builder::build).
    pub fn channel<C: Channel>(mut self, pattern: &str, state: impl IntoState<C::State>) -> Self {
        self.routes.push(ChannelRoute::new::<C>(pattern, state).map_err(BuildError::Pattern));
        self
    }

    /// Adds a route that was made by hand.
    pub fn route(mut self, route: ChannelRoute) -> Self {
        self.routes.push(Ok(route));
        self
    }

    /// Decides who may connect. Without it, everybody may.
    pub fn connect<F, Fut>(mut self, connect: F) -> Self
    where
        F: Fn(ConnectRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Accept, Refusal>> + Send + 'static,
    {
        self.callbacks.connect = Some(Arc::new(move |request| Box::pin(connect(request))));
        self
    }

    /// Decides about a new token that a client brings while its session goes on, before the old one has run out. It goes with
    /// [`connect`](Self::connect), which decides about the first. Without it, none
    /// is taken, and a client whose login has [ended](Accept::expires_at) comes back by a connect.
    ///
    /// The answer is as for [`connect`](Self::connect): its [`Accept::expires_at`] counts from now on, what it assigns is there for
    /// the joins from now on, and its id must be the session's, or the token is another client's and refused. A refusal is the error reply,
    /// `{"reason": …, "code": …}`; the session goes on until its login ends. One token of a session is looked at at a time, of 16 KiB
    /// at most, for 30 seconds at most.
    ///
    /// A page says it by an event of the topic `phoenix`, over any transport:
    /// `socket.push({ topic: "phoenix", event: "token", payload: { token }, ref: socket.makeRef() })`. The transport of
    /// `js/` does so by itself where the page gives it a `getToken`. The reply has `expires_in`, in milliseconds, if the login ends.
    ///
    /// ```
    /// use std::time::Duration;
    /// use lapwing::{Accept, Mount, Refusal};
    ///
    /// fn verify(token: &str) -> Result<Accept, Refusal> {
    ///     let user = token.strip_prefix("user-").ok_or_else(Refusal::default)?;
    ///     Ok(Accept::new().id(format!("user:{user}")).expires_in(Duration::from_secs(3600)))
    /// }
    ///
    /// let mount = Mount::new()
    ///     .with_auth_tokens()
    ///     .connect(|request| async move { verify(request.auth_token.as_deref().unwrap_or_default()) })
    ///     .on_token(|request| async move { verify(&request.token) });
    /// # lapwing::Lapwing::builder().mount("/socket", mount).build().unwrap();
    /// ```
    pub fn on_token<F, Fut>(mut self, on_token: F) -> Self
    where
        F: Fn(TokenRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Accept, Refusal>> + Send + 'static,
    {
        self.callbacks.on_token = Some(Arc::new(move |request| Box::pin(on_token(request))));
        self
    }

    /// Decides whether a client may carry its session on by another connection, from its request: another address, other cookies. A
    /// refusal ends the session. Without it nobody is asked: who comes back proves itself by the session's own secret.
    ///
    /// It is asked for each WebSocket and each event stream, and for a poll that does not follow another within three seconds, for as long as
    /// [`connect_timeout`](Self::connect_timeout). The request has the `authToken` if the page has given one.
    ///
    /// ```
    /// use lapwing::{Mount, Refusal};
    ///
    /// let mount = Mount::new().on_resume(|resume| async move {
    ///     match resume.request.user_agent() == resume.assigns.get::<String>("agent").as_ref().map(|agent| agent.as_str()) {
    ///         true => Ok(()),
    ///         false => Err(Refusal::default().with_body("another browser")),
    ///     }
    /// });
    /// # let _ = mount;
    /// ```
    pub fn on_resume<F, Fut>(mut self, on_resume: F) -> Self
    where
        F: Fn(ResumeRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.callbacks.on_resume = Some(Arc::new(move |request| Box::pin(on_resume(request))));
        self
    }

    /// Sets the time that [`connect`](Self::connect) may take. Default 30 s, see [`TransportOptions::connect_timeout`]; then the client is
    /// told to try again later.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.transports = self.transports.connect_timeout(time);
        self
    }

    /// Which origins of browser pages may connect. Default: the same host. Others are refused (403).
    pub fn check_origin(mut self, check_origin: CheckOrigin) -> Self {
        self.transports = self.transports.check_origin(check_origin);
        self
    }

    /// The public host name of the program, for the origin check: pages of other hosts are refused, whatever their port and
    /// scheme. Default: what each request says.
    ///
    /// It is the name alone. With a port, a scheme or a path, no page would be of that host, and [`Builder::build`](crate::Builder::build)
    /// says so.
    pub fn host(mut self, host: &str) -> Self {
        self.transports = self.transports.host(host);
        self
    }

    /// Takes the client's `authToken` into [`ConnectRequest::auth_token`]. Default: not, as it stands where logs of proxies
    /// may show it.
    pub fn with_auth_tokens(mut self) -> Self {
        self.transports = self.transports.with_auth_tokens();
        self
    }

    /// The serializers and the versions they are for. Default: Phoenix's V1 and V2.
    ///
    /// A bad version requirement is reported by [`Builder::build`](crate::Builder::build).
    pub fn serializers(mut self, serializers: SerializerList) -> Self {
        self.serializers = serializers;
        self
    }

    /// Sets the number of topics that one connection may have joined. Default 100, as in Phoenix since CVE-2026-56811; the
    /// next join is answered with an error. As many joins may be ending at the same time, which take as long as
    /// [`leave`](Channel::leave) does. `usize::MAX` for no limit.
    pub fn joins_max(mut self, joins_max: usize) -> Self {
        self.joins_max = joins_max;
        self
    }

    /// Bounds what may wait for one join.
    pub fn mailbox(mut self, limits: MailboxLimits) -> Self {
        self.mailbox = limits;
        self
    }

    /// Bounds how fast clients may be, and how many sessions one of them may have. By default a session has 5,000 messages a second, and
    /// 50,000 at once.
    pub fn rates(mut self, rates: Rates) -> Self {
        self.rates = rates;
        self
    }

    /// Bounds the lengths of topics, events and refs that clients send.
    pub fn names(mut self, limits: NameLimits) -> Self {
        self.names = limits;
        self
    }

    /// Bounds what may wait for one client. Beyond it the client's session is closed with 1013.
    pub fn outbox(mut self, limits: OutboxLimits) -> Self {
        self.transports = self.transports.outbox(limits);
        self
    }

    /// Sets the number of sessions that may be live at once, see [`TransportOptions::sessions_max`]. Default 1,000,000; the next is refused
    /// with 503.
    pub fn sessions_max(mut self, sessions: usize) -> Self {
        self.transports = self.transports.sessions_max(sessions);
        self
    }

    /// Sets the bytes that may be held for the mount's clients, see [`TransportOptions::budget_bytes_max`]. Default 512 MiB; from
    /// seven eighths on new sessions are refused and the largest debtors closed with 1013. `Builder::build` refuses one in which the largest
    /// message that a client may send would not fit.
    pub fn budget(mut self, bytes: usize) -> Self {
        self.transports = self.transports.budget_bytes_max(bytes);
        self
    }

    /// Options of sessions that outlive their connections, for clients that ask for one. They are on by default.
    pub fn resume(mut self, options: ResumeOptions) -> Self {
        self.transports = self.transports.resume(options);
        self
    }

    /// Does without such sessions, whatever else is said of them: every session ends with its connection.
    pub fn without_resume(mut self) -> Self {
        self.transports = self.transports.without_resume();
        self
    }

    /// Options of the WebSocket transport, which is on by default.
    pub fn websocket(mut self, options: WebsocketOptions) -> Self {
        self.transports = self.transports.websocket(options);
        self
    }

    /// Does without WebSockets, whatever else is said of them.
    pub fn without_websocket(mut self) -> Self {
        self.transports = self.transports.without_websocket();
        self
    }

    /// Options of the SSE transport, which is on by default, for resumable sessions.
    pub fn sse(mut self, options: SseOptions) -> Self {
        self.transports = self.transports.sse(options);
        self
    }

    /// Does without SSE, whatever else is said of it.
    pub fn without_sse(mut self) -> Self {
        self.transports = self.transports.without_sse();
        self
    }

    /// Options of the long-poll transport, which is on by default.
    pub fn longpoll(mut self, options: LongpollOptions) -> Self {
        self.transports = self.transports.longpoll(options);
        self
    }

    /// Does without long-poll, whatever else is said of it.
    pub fn without_longpoll(mut self) -> Self {
        self.transports = self.transports.without_longpoll();
        self
    }

    /// Keeps what is broadcast on the topics of a pattern, for clients that come back: see [`Keep`] for how much.
    ///
    /// A client asks with a parameter of its join, `_since`: a position, `""` for where the topic stands, `"-20"` for the last
    /// twenty. The reply says `_at`, a position, `_recovered` and `_replayed` beside what the channel answers, which must be an
    /// object; when it could not be given what it missed, `_recovered` is false and `_reason` says why: `epoch`, `trimmed`,
    /// `too_many` or `unreadable`. Then come the messages that it missed, in order, and then what is broadcast from there on,
    /// each with its offset in the place of the ref, as `"@58"`. Clients that do not ask get Phoenix's frames. Presence and
    /// what is [`unrecorded`](crate::Broadcast::unrecorded) is not kept; the first pattern that matches counts, over all mounts.
    ///
    /// A reply that is no object is sent as it is, with a warning in the log, once a second at most for each route: the client gets what it
    /// missed, and learns neither where it stands nor whether something is missing.
    ///
    /// A client that comes back gets what its channel's `broadcast_from` left out for it, too. Events that the channel intercepts
    /// go through its `handle_out` again.
    ///
    /// A bad pattern is reported by [`Builder::build`](crate::Builder::build), and so is one that one before it hides. One of which no
    /// channel has topics is of use to the program and to channels that [subscribe](crate::Socket::subscribe); `build` writes a warning, as it
    /// may be mistyped.
    pub fn keep(mut self, pattern: impl Into<String>, keep: Keep) -> Self {
        self.keeps.push((pattern.into(), keep));
        self
    }

    /// Has clients join again whose joins missed broadcasts of other nodes ([`Channel::handle_gap`]), so many in a second: their joins
    /// end with `phx_error` and [`LeaveReason::Missed`](crate::LeaveReason::Missed), behind `handle_gap`, and phoenix.js joins again after a
    /// second. For stock clients of channels that answer a join with their state. Default: none is ended.
    ///
    /// A gap may concern all joins of a node: choose what your `join` callbacks, and the database behind them, bear beside the rest.
    ///
    /// ```
    /// use lapwing::{Lapwing, Mount};
    ///
    /// let mount = Mount::new().rejoin_after_gaps(500);
    /// assert!(Lapwing::builder().mount("/socket", mount).build().is_ok());
    /// assert!(Lapwing::builder().mount("/socket", Mount::new().rejoin_after_gaps(0)).build().is_err());
    /// ```
    pub fn rejoin_after_gaps(mut self, joins_per_second: u32) -> Self {
        self.rejoins_per_second = Some(joins_per_second);
        self
    }

    /// Says what becomes of broadcasts on the topics of a pattern for clients that are slow, where a broadcast
    /// [says nothing itself](crate::Broadcast::slow). Without it their sessions are closed at the bound of the
    /// [`outbox`](Self::outbox). The first pattern that matches counts, over all mounts. Presence is not concerned.
    ///
    /// A bad pattern is reported by [`Builder::build`](crate::Builder::build), and so is one that one before it hides. One of which no
    /// channel has topics is of use where a channel [subscribes](crate::Socket::subscribe) to them; `build` writes a warning, as it may be mistyped.
    ///
    /// ```
    /// use lapwing::{BuildError, Channel, Failure, Joining, Lapwing, Mount, Payload, SlowPolicy, Topic};
    ///
    /// struct Prices;
    ///
    /// impl Channel for Prices {
    ///     type State = ();
    ///
    ///     async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
    ///         Ok(Prices)
    ///     }
    /// }
    ///
    /// let mount = || Mount::new().channel::<Prices>("prices:*", ());
    /// let built = |mount| Lapwing::builder().mount("/socket", mount).build();
    /// assert!(built(mount().slow("prices:*", SlowPolicy::latest())).is_ok());
    /// let twice = mount().slow("prices:*", SlowPolicy::latest()).slow("prices:gold", SlowPolicy::volatile());
    /// assert!(matches!(built(twice), Err(BuildError::HiddenPattern { .. })));
    /// ```
    pub fn slow(mut self, pattern: impl Into<String>, policy: SlowPolicy) -> Self {
        self.slow.push((pattern.into(), policy));
        self
    }

    /// The pace at which the mount's clients are sent away on shutdown. By default they are, see [`Drain`].
    pub fn drain(mut self, drain: Drain) -> Self {
        self.drain = self.drain.map(|_| drain);
        self
    }

    /// Leaves the mount's clients alone on shutdown, whatever else is said of it. They are counted in the
    /// [`ShutdownReport`](crate::ShutdownReport).
    pub fn without_drain(mut self) -> Self {
        self.drain = None;
        self
    }

    /// The routes that were added so far and are sound.
    pub fn routes(&self) -> impl Iterator<Item = &ChannelRoute> {
        self.routes.iter().flatten()
    }

    /// Says whose frames are compressed.
    pub(crate) fn add_to(&self, compression: &mut Compression) {
        #[cfg(feature = "deflate")]
        if let Some(options) = self.transports.deflate() {
            compression.add(self.serializers.iter(), options);
            // They have serializers of their own.
            if self.transports.gzips_polls() {
                compression.add(self.text_serializers().iter(), options);
            }
        }
        let _ = compression;
    }

    #[cfg(feature = "deflate")]
    fn text_serializers(&self) -> &SerializerList {
        self.text_serializers.get_or_init(|| handler::text_serializers(&self.serializers))
    }

    /// What the transports need: the handler, and their options.
    pub(crate) fn into_hub(self, node: Arc<Node>) -> Result<(Hub, TransportOptions), BuildError> {
        let routes = self.routes.into_iter().collect::<Result<Vec<_>, _>>()?;
        for (index, route) in routes.iter().enumerate() {
            let (topics, mut before) = (route.topics(), routes[..index].iter().map(ChannelRoute::topics));
            match before.find(|other| other.covers(topics)) {
                Some(same) if same == topics => {
                    return Err(BuildError::DuplicateRoute(route.pattern().to_owned()));
                }
                Some(by) => {
                    let (pattern, by) = (topics.as_str().to_owned(), by.as_str().to_owned());
                    return Err(BuildError::HiddenPattern { option: "Mount::channel", pattern, by });
                }
                None => {}
            }
        }
        if self.callbacks.on_token.is_some() && self.callbacks.connect.is_none() {
            let problem = "without Mount::connect no client has a token that another one could replace: say there who comes, or \
                           leave on_token out";
            return Err(OptionError::new("Mount::on_token", problem).into());
        }
        if let Some(text) = self.serializers.invalid() {
            return Err(BuildError::Requirement(text.to_owned()));
        }
        self.transports.check()?;
        check_bound("Mount::joins_max", self.joins_max)?;
        check_bound("MailboxLimits::messages_max", self.mailbox.messages_max)?;
        check_bound("MailboxLimits::bytes_max", self.mailbox.bytes_max)?;
        check_bound("NameLimits::topic_bytes_max", self.names.topic_bytes_max)?;
        check_bound("NameLimits::event_bytes_max", self.names.event_bytes_max)?;
        check_bound("NameLimits::ref_bytes_max", self.names.ref_bytes_max)?;
        self.drain.as_ref().map_or(Ok(()), Drain::check)?;
        check_bound("Mount::rejoin_after_gaps", self.rejoins_per_second.unwrap_or(1) as usize)?;
        if self.serializers.iter().next().is_none() {
            let problem =
                "the list is empty and serves nobody: begin with SerializerList::default, or add one";
            return Err(OptionError::new("Mount::serializers", problem).into());
        }
        let router = Router::new(routes, &node, self.mailbox, self.rejoins_per_second.map(Rejoins::new));
        let limits =
            handler::Limits { joins_max: self.joins_max, names: self.names, rates: self.rates.limiter()? };
        let text_serializers = self
            .text_serializers
            .into_inner()
            .unwrap_or_else(|| handler::text_serializers(&self.serializers));
        let hub = Hub::new(node, router, self.callbacks, self.serializers, limits)
            .with_text_serializers(text_serializers);
        Ok((hub, self.transports))
    }
}

impl Default for Mount {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount").field("routes", &self.routes).finish_non_exhaustive()
    }
}
