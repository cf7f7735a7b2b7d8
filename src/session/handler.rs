//! Gives the frames of a session their meaning: decodes, routes to joins, starts and ends them.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use lapwing_transports::{
    close::CloseReason,
    connect::{ConnectRequest, NotAdmitted, Refusal, Transport},
    frame::Message,
    handler::Handler,
    live::LiveSession,
    quoted::Quoted,
};
use tokio::time::Instant;
use tracing::debug;

use crate::{
    cluster::link::Link,
    join::{self, Join, Replaced, Start, leave_reason::LeaveReason, mailbox::ChannelMailbox, refs::Refs},
    journal::Happening,
    node::{Node, Task},
    protocol::{
        ChannelMsg, Field, Payload, Ref, Serializer, SerializerList, event,
        name_limits::{NameLimits, quoted},
    },
    session::{
        accept::Accept,
        calling::is_traced,
        client::{Client, Served, State, bytes_of_join},
        joins::Verdict,
        login::{Callbacks, Login},
        meter::Meter,
        moving::luggage::{Luggage, bytes_of_params},
        rates::{Bucket, JoinBucket, Limiter, Share},
        renewal::Logins,
        reply::reply,
        router::{ChannelRoute, Router},
        task::{self, leave_reason},
        text_only::TextOnly,
        trace::TraceParent,
    },
    topic::Topic,
    topics::Member,
};

/// The handler of one mount.
pub(crate) struct Hub {
    pub(super) node: Arc<Node>,
    pub(super) router: Router,
    pub(super) logins: Logins,
    serializers: SerializerList,
    /// The same for the wire that carries only text. Made once, as a broadcast is encoded once per serializer.
    text_serializers: SerializerList,
    pub(super) limits: Limits,
    pub(crate) meter: Arc<Meter>,
}

/// The limits of a client.
pub(crate) struct Limits {
    pub(crate) joins_max: usize,
    pub(crate) names: NameLimits,
    pub(crate) rates: Limiter,
}

type Session = Arc<LiveSession<Client>>;

impl Handler for Hub {
    type State = Client;

    async fn connect(&self, request: ConnectRequest) -> Result<Client, Refusal> {
        let serializer = self.serializer_for(&request)?;
        let transport = request.transport.name();
        let of_address = self.limits.rates.admit(&request)?;
        let parent = is_traced().then(|| TraceParent::of_request(&request)).flatten();
        let moves = request.is_resumable && self.node.link().is_some_and(Link::moves_sessions);
        let luggage = moves.then(|| Luggage::of(&request));
        let mut accept = self.accepted(request).await.inspect_err(|refusal| {
            debug!(transport, status = refusal.status.as_u16(), "connect refused");
        })?;
        if accept.until.is_some_and(|until| until <= Instant::now()) {
            debug!(transport, "connect refused: the login is over");
            return Err(login_expired());
        }
        if let Some(parent) = parent {
            parent.assign_to(&mut accept.assigns);
        }
        let id = accept.id.as_deref().unwrap_or_default();
        let serialized = serializer.name();
        debug!(transport, serializer = serialized, id = %Quoted::new(id), "connected");
        self.let_in(serializer, accept, of_address, luggage)
    }

    fn login_lasts(&self, client: &Client) -> Option<Duration> {
        client.until().map(|until| until.saturating_duration_since(Instant::now()))
    }

    fn checks_resumes(&self) -> bool {
        self.logins.callbacks.on_resume.is_some()
    }

    async fn resuming(&self, session: &Session, request: ConnectRequest) -> Result<(), Refusal> {
        self.logins.resuming(session.state(), request).await
    }

    fn opened(&self, session: &Session) {
        self.note(session.state(), || Happening::Opened { transport: session.transport() });
        self.begin(session);
    }

    fn carried(&self, session: &Session, transport: Transport) {
        self.note(session.state(), || Happening::Carried { transport });
    }

    fn received(&self, session: &Session, message: Message<'_>) -> Result<(), CloseReason> {
        self.receive(session, message)
    }

    fn is_ready(&self, session: &LiveSession<Client>) -> bool {
        session.state().is_ready()
    }

    fn away(&self, session: &Session) {
        self.note(session.state(), || Happening::Away);
        tell_joins(session.state(), || ChannelMailbox::Away);
    }

    fn back(&self, session: &Session) {
        self.note(session.state(), || Happening::Back);
        tell_joins(session.state(), || ChannelMailbox::Back);
    }

    fn closed(&self, session: &Session, reason: CloseReason) {
        self.note(session.state(), || Happening::Closed { reason });
        self.end(session.state(), reason);
    }
}

/// A session that ends as soon as it begins would begin again as soon as it has ended.
fn login_expired() -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED).with_body(CloseReason::LoginExpired.word())
}

/// The serializers of stock long-poll clients.
pub(crate) fn text_serializers(serializers: &SerializerList) -> SerializerList {
    serializers.map(|serializer| Arc::new(TextOnly(serializer.clone())))
}

impl Hub {
    pub(crate) fn new(
        node: Arc<Node>,
        router: Router,
        callbacks: Callbacks,
        serializers: SerializerList,
        limits: Limits,
    ) -> Self {
        let text_serializers = text_serializers(&serializers);
        let meter = Arc::new(Meter::default());
        let logins = Logins::new(callbacks, meter.clone());
        Self { node, router, logins, serializers, text_serializers, limits, meter }
    }

    /// The same with what the serializers of stock long-poll clients are known by elsewhere.
    pub(crate) fn with_text_serializers(mut self, text_serializers: SerializerList) -> Self {
        self.text_serializers = text_serializers;
        self
    }

    /// The serializer for the version that a client speaks.
    pub(super) fn serializer_for(&self, request: &ConnectRequest) -> Result<Arc<dyn Serializer>, Refusal> {
        // A version that is no text is no version: nothing matches it.
        let vsn =
            request.params.get("vsn").map_or(Some(SerializerList::VERSION_WHEN_ABSENT), |vsn| vsn.as_str());
        let vsn = vsn.unwrap_or_default();
        let serializers = match request.transport {
            Transport::Longpoll if !request.is_resumable => &self.text_serializers,
            _ => &self.serializers,
        };
        serializers.select(vsn).ok_or_else(|| {
            debug!(vsn = %Quoted::new(vsn), "connect refused: no serializer for that version");
            Refusal::default().with_count(NotAdmitted::Version)
        })
    }

    /// What the program says of a client.
    pub(super) async fn accepted(&self, request: ConnectRequest) -> Result<Accept, Refusal> {
        match &self.logins.callbacks.connect {
            None => Ok(Accept::default()),
            Some(connect) => connect(request).await,
        }
    }

    /// A client that the program has accepted.
    pub(super) fn let_in(
        &self,
        serializer: Arc<dyn Serializer>,
        accept: Accept,
        of_address: Option<Share>,
        luggage: Option<Luggage>,
    ) -> Result<Client, Refusal> {
        let of_id = self.limits.rates.share_of(accept.id.as_deref())?;
        let joins = self.limits.rates.counts_joins().then(JoinBucket::default);
        let login = Login::new(accept.id, accept.until, joins, [of_address, of_id], luggage);
        Ok(Client::new(self.node.next_transport_id(), serializer, login, self.bucket(), accept.assigns))
    }

    fn note(&self, client: &Client, what: impl FnOnce() -> Happening) {
        self.node.note(client.transport_id, client.socket_id().map(Topic::as_str), what);
    }

    /// A session has begun: from now on the program reaches it by its socket id.
    pub(crate) fn begin(&self, session: &Arc<impl Served>) {
        let client = session.client();
        self.logins.begin(&self.node, session);
        if let Some(luggage) = client.luggage() {
            let _ = session.hold(luggage.bytes());
        }
        if let Some(id) = client.socket_id() {
            let subscribed = self.node.socket_ids.subscribe(id, Member::Inbox(session.clone()), || {});
            client.state().subscribed = Some(Box::new(subscribed));
        }
    }

    /// Does what a message of the client's asks for.
    pub(crate) fn receive<S: Served>(
        &self,
        session: &Arc<S>,
        message: Message<'_>,
    ) -> Result<(), CloseReason> {
        let client = session.client();
        let is_too_fast = self.is_too_fast(client)?;
        // It is large: each function that it is handed through by value copies it.
        let msg = self.decode(client, message)?;
        if !self.takes(session, &msg, is_too_fast)? {
            return Ok(());
        }
        if self.logins.is_for(&msg) {
            self.renew(session, msg);
            return Ok(());
        }
        let joins_max = self.limits.joins_max;
        let mut state = client.state();
        if state.closed {
            return Ok(());
        }
        let ending = state.ending();
        let mut never_begins = None;
        let verdict = state.joins.handle_message(&msg, joins_max);
        if !matches!(verdict, Verdict::Heartbeat) {
            client.handle_message();
        }
        let task = match verdict {
            Verdict::Heartbeat => done(session, None, &msg),
            Verdict::Forward(join) => {
                let ChannelMsg { event, payload, reference, .. } = msg;
                join.post(ChannelMailbox::Event { event, payload, reference })
            }
            Verdict::Join if ending >= joins_max => {
                self.meter.refused.add("too_many_ending", 1);
                too_many(session, &msg, "too many channels are ending", joins_max)
            }
            Verdict::Join => self.start_join(session, &mut state, msg),
            Verdict::Replace(current) => {
                let current = current.clone();
                let (task, waiting) = self.replace_join(session, &mut state, msg, &current);
                never_begins = waiting;
                task
            }
            Verdict::TooManyJoins
                if msg.topic.as_str().is_none_or(|topic| self.router.route(topic).is_none()) =>
            {
                self.unmatched(session, &msg)
            }
            Verdict::TooManyJoins => {
                self.meter.refused.add("too_many_joins", 1);
                too_many(session, &msg, "too many channels joined", joins_max)
            }
            Verdict::Leave(join) => join.post(ChannelMailbox::Leave(msg.reference)),
            Verdict::NothingToLeave => done(session, msg.join_ref.as_ref(), &msg),
            Verdict::Stale => None,
            Verdict::Unmatched => self.unmatched(session, &msg),
        };
        // What the user's code does may need this very lock.
        drop(state);
        if let Some(start) = never_begins {
            task::give_up(start);
        }
        if let Some(task) = task {
            self.node.run(task);
        }
        Ok(())
    }

    /// A session is over, and its joins with it.
    pub(crate) fn end(&self, client: &Client, reason: CloseReason) {
        self.end_for(client, reason, leave_reason(reason));
    }

    pub(super) fn end_for(&self, client: &Client, reason: CloseReason, of_joins: LeaveReason) {
        let mut state = client.state();
        state.closed = true;
        let subscribed = state.subscribed.take();
        let joins: Vec<_> = state.joins.iter().cloned().collect();
        drop(state);
        self.logins.end(client);
        client.give_back_shares();
        if let (Some(subscribed), Some(id)) = (subscribed, client.socket_id()) {
            self.node.socket_ids.unsubscribe(id, *subscribed);
        }
        self.stop(joins, of_joins);
        debug!(?reason, "disconnected");
    }

    /// The bucket of a session that begins.
    pub(crate) fn bucket(&self) -> Bucket {
        self.limits.rates.bucket()
    }

    /// The routes.
    pub(crate) fn router(&self) -> &Router {
        &self.router
    }

    /// Counts a message against the client's rate.
    fn is_too_fast(&self, client: &Client) -> Result<bool, CloseReason> {
        let rates = &self.limits.rates;
        if rates.allows_event(&client.said) {
            return Ok(false);
        }
        self.meter.refused.add("too_fast", 1);
        if rates.is_answering { Ok(true) } else { Err(CloseReason::TooFast) }
    }

    /// Reads a message.
    fn decode(&self, client: &Client, message: Message<'_>) -> Result<ChannelMsg, CloseReason> {
        client.serializer.decode(message).map_err(|error| {
            debug!(%error, "message could not be decoded");
            self.meter.refused.add("unreadable", 1);
            CloseReason::BadMessage
        })
    }

    /// Whether a message is taken. One that is not is answered: it has a name that is too long, or comes too fast.
    fn takes(
        &self,
        session: &Arc<impl Served>,
        msg: &ChannelMsg,
        is_too_fast: bool,
    ) -> Result<bool, CloseReason> {
        if let Some(field) = self.limits.names.too_long(msg) {
            self.meter.refused.add("name_too_long", 1);
            too_long(session, msg, field);
            return Ok(false);
        }
        if is_too_fast {
            return too_fast(session, msg).map(|()| false);
        }
        if msg.event == event::JOIN && !self.limits.rates.allows_join(session.client().joined()) {
            self.meter.refused.add("joins_too_fast", 1);
            reply(session, (msg.join_ref.as_ref(), msg), "error", &Payload::reason("too many joins"));
            return Ok(false);
        }
        Ok(true)
    }

    /// Asks the program about a new token.
    fn renew(&self, session: &Arc<impl Served>, msg: ChannelMsg) {
        if let Some(task) = self.logins.renew(&self.node, session, msg) {
            self.node.spawn(task);
        }
    }

    /// Answers, and nothing is to be run.
    fn unmatched<T>(&self, session: &Arc<impl Served>, msg: &ChannelMsg) -> Option<T> {
        debug!(topic = %quoted(&msg.topic), "unmatched topic");
        self.meter.refused.add("unmatched", 1);
        reply(session, (None, msg), "error", &Payload::reason("unmatched topic"));
        None
    }

    /// Makes a join and its task; everything that may take long happens there.
    fn start_join(&self, session: &Arc<impl Served>, state: &mut State, msg: ChannelMsg) -> Option<Task> {
        let (route, start) = self.new_join(session, state, msg)?;
        Some(route.start(start))
    }

    /// Makes a join that begins when the one before it has ended. Returns the task that waits for that, and what waited
    /// before and never begins.
    fn replace_join(
        &self,
        session: &Arc<impl Served>,
        state: &mut State,
        msg: ChannelMsg,
        current: &Arc<Join>,
    ) -> (Option<Task>, Option<Start>) {
        let Some((route, start)) = self.new_join(session, state, msg) else { return (None, None) };
        match current.replace(start) {
            Replaced::Ends => (Some(route.succeed(current.clone())), None),
            Replaced::NeverBegins(waiting) => (None, Some(waiting)),
        }
    }

    /// Ends all joins of a session: one after the other, as a task for each would cost many times what the join did.
    fn stop(&self, joins: Vec<Arc<Join>>, reason: LeaveReason) {
        if let [join] = &joins[..] {
            return join::stop(join, reason);
        }
        if joins.is_empty() {
            return;
        }
        let node = self.node.clone();
        self.node.spawn(Box::pin(async move {
            for join in joins {
                // What has to wait in its `leave` gets a task of its own, and the others go on.
                if let Some(task) = join.post(ChannelMailbox::Stop(reason.clone())) {
                    node.run(task);
                }
                tokio::task::coop::consume_budget().await;
            }
        }));
    }

    /// Puts a new join into the table.
    fn new_join(
        &self,
        session: &Arc<impl Served>,
        state: &mut State,
        msg: ChannelMsg,
    ) -> Option<(&ChannelRoute, Start)> {
        let route = msg.topic.as_str().and_then(|topic| self.router.route(topic));
        let (Some((route, home)), Some(topic)) = (route, msg.topic.to_topic()) else {
            return self.unmatched(session, &msg);
        };
        let refs = Refs { join_ref: msg.join_ref, reference: msg.reference };
        let luggage = session.client().luggage();
        let of_params = luggage.map_or(0, |_| bytes_of_params(&msg.payload));
        if !session.hold(bytes_of_join(&topic) + of_params) {
            return None;
        }
        let assigns = state.assigns.merged(route.assigns());
        let join = Arc::new(Join::new(session.clone(), home.clone(), topic, refs.clone(), assigns));
        luggage.inspect(|luggage| luggage.add(join.id, msg.payload.clone()));
        state.insert(join.clone());
        Some((route, Start::new(join, msg.payload, refs)))
    }
}

/// Tells every join of a client.
pub(crate) fn tell_joins(client: &Client, message: fn() -> ChannelMailbox) {
    let joins: Vec<_> = client.state().joins.iter().cloned().collect();
    for join in joins {
        join.post_later(message());
    }
}

/// Answers, and nothing is to be run.
fn too_many<T>(session: &Arc<impl Served>, msg: &ChannelMsg, reason: &str, max: usize) -> Option<T> {
    debug!(topic = %quoted(&msg.topic), max, "join refused: {reason}");
    reply(session, (msg.join_ref.as_ref(), msg), "error", &Payload::reason(reason));
    None
}

/// Answers, and nothing is to be run.
fn done<T>(session: &Arc<impl Served>, join_ref: Option<&Ref>, msg: &ChannelMsg) -> Option<T> {
    reply(session, (join_ref, msg), "ok", &Payload::empty());
    None
}

/// Answers what is too much, or closes the session if that cannot be answered.
fn too_fast(session: &Arc<impl Served>, msg: &ChannelMsg) -> Result<(), CloseReason> {
    if msg.reference.is_none() {
        return Err(CloseReason::TooFast);
    }
    reply(session, (msg.join_ref.as_ref(), msg), "error", &Payload::reason("too fast"));
    Ok(())
}

fn too_long(session: &Arc<impl Served>, msg: &ChannelMsg, field: Field) {
    debug!(%field, "message refused: a name is too long");
    let reason = Payload::reason(&format!("{field} too long"));
    reply(session, (msg.join_ref.as_ref(), msg), "error", &reason);
}
