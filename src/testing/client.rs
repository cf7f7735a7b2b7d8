//! What a client of a test does and hears.

use std::{
    fmt,
    panic::Location,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use lapwing_transports::close::CloseReason;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    join::mailbox::ChannelMailbox,
    protocol::{IntoPayload, Payload, Ref, event, make_msg},
    session::handler::tell_joins,
    testing::{
        patience::{PATIENCE, within},
        session::{Heard, TestSession, What},
        sessions::Sessions,
    },
    topic::Topic,
};

/// A client of a [`TestServer`](super::TestServer). Its connection ends when it and all its joins are dropped.
#[derive(Clone)]
pub struct TestClient {
    connection: Arc<Connection>,
    sessions: Sessions,
}

/// What ends with the last handle of a client: the session is also held by its joins.
struct Connection(Arc<TestSession>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.end(CloseReason::Lost);
    }
}

impl TestClient {
    pub(super) fn new(session: Arc<TestSession>, sessions: Sessions) -> Self {
        Self { connection: Arc::new(Connection(session)), sessions }
    }

    /// Joins a topic.
    ///
    /// # Errors
    /// The response of a join that is refused.
    ///
    /// # Panics
    /// If the join is not answered within ten seconds.
    #[track_caller]
    pub fn join(
        &self,
        topic: impl Into<Topic>,
        params: impl IntoPayload,
    ) -> impl Future<Output = Result<TestJoin, Value>> {
        let (topic, params) = (topic.into(), payload_of(params));
        self.clone().join_from(Location::caller(), topic, params)
    }

    pub(super) async fn join_from(
        self,
        caller: &'static Location<'static>,
        topic: Topic,
        params: Payload,
    ) -> Result<TestJoin, Value> {
        let join = TestJoin::new(self, topic, next_ref());
        let reply = join.begin(caller, params).await;
        match reply.status.as_str() {
            "ok" => Ok(join.with_response(reply.response)),
            _ => Err(reply.response.parse().unwrap_or_default()),
        }
    }

    /// Brings a new token, as a page does whose login is about to end: see [`Mount::on_token`](crate::Mount::on_token).
    ///
    /// # Panics
    /// If there is no answer within ten seconds.
    #[track_caller]
    pub fn bring_token(&self, token: &str) -> impl Future<Output = Reply> {
        let payload = payload_of(serde_json::json!({ "token": token }));
        let reference = next_ref();
        let msg = make_msg(None, Some(reference.clone()), event::HEARTBEAT_TOPIC, event::TOKEN, payload);
        self.session().send(msg);
        answer(self.session().clone(), Location::caller(), reference, event::TOKEN.to_owned())
    }

    /// Tells the client's channels that it is [away](crate::Channel::away), and nothing else: what is said still arrives. For a connection
    /// that is lost, see [`lose_connection`](Self::lose_connection).
    pub fn away(&self) {
        tell_joins(self.session().client(), || ChannelMailbox::Away);
    }

    /// Tells the client's channels that it is [back](crate::Channel::back), and nothing else.
    pub fn back(&self) {
        tell_joins(self.session().client(), || ChannelMailbox::Back);
    }

    /// Loses the connection, of which the client's session outlives: its channels are told that it is [away](crate::Channel::away), at once,
    /// and what it sends and is sent waits until it [resumes](Self::resume). A second loss changes nothing.
    ///
    /// ```
    /// # use lapwing::{Channel, Context, Failure, Handled, Joining, Payload, Topic, noreply, testing::TestServer};
    /// # use serde_json::json;
    /// # struct Room;
    /// # impl Channel for Room {
    /// #     type State = ();
    /// #     async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
    /// #         Ok(Room)
    /// #     }
    /// #     async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
    /// #         cx.broadcast(event, payload)?;
    /// #         Ok(noreply())
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = TestServer::new::<Room>(());
    /// let ada = server.join("room:1", json!({})).await.unwrap();
    /// let bob = server.join("room:1", json!({})).await.unwrap();
    /// bob.client().lose_connection();
    /// ada.send("say", json!({"text": "hi"}));
    /// bob.send("say", json!({"text": "are you there?"}));
    /// bob.expect_nothing().await;
    /// bob.client().resume().unwrap();
    /// bob.expect("say", json!({"text": "hi"})).await;
    /// ada.wait_for("say").await;
    /// ada.expect("say", json!({"text": "are you there?"})).await;
    /// # }
    /// ```
    pub fn lose_connection(&self) {
        self.session().lose();
    }

    /// Resumes the session after a [lost connection](Self::lose_connection): its channels are told that the client is
    /// [back](crate::Channel::back), and all that was said meanwhile arrives, in both directions, once and in order. Nothing happens if the
    /// connection is not lost.
    ///
    /// # Errors
    /// Why the session ended meanwhile. Its client would begin another, and join again.
    pub fn resume(&self) -> Result<(), CloseReason> {
        self.session().resume()
    }

    /// Ends the connection and the session with it: the joins leave.
    pub fn disconnect(&self) {
        self.session().end(CloseReason::Lost);
    }

    /// Waits until the server ends the connection, and returns why.
    ///
    /// # Panics
    /// If it does not within ten seconds.
    #[track_caller]
    pub fn closed(&self) -> impl Future<Output = CloseReason> {
        let (caller, session) = (Location::caller(), self.session().clone());
        async move {
            let closed = within(PATIENCE, session.closed()).await;
            closed.unwrap_or_else(|| panic!("{caller}: the connection was not ended within {PATIENCE:?}"))
        }
    }

    fn session(&self) -> &Arc<TestSession> {
        &self.connection.0
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestClient").field(self.session().client()).finish()
    }
}

/// One client's join of one topic, as its page has it: what it sends, and what it is sent.
///
/// What waits for something fails the test after ten seconds, by the machine's clock: a test may stop that of its runtime.
pub struct TestJoin {
    client: TestClient,
    topic: Topic,
    join_ref: Ref,
    response: Payload,
}

/// The answer to an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// `ok` or `error`, or what else the channel says.
    pub status: String,
    /// The payload of the reply.
    pub response: Payload,
}

/// Something that the client was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Its name; `phx_close` and `phx_error` for the end of the join.
    pub event: String,
    /// Its payload.
    pub payload: Payload,
}

impl TestJoin {
    fn new(client: TestClient, topic: Topic, join_ref: Ref) -> Self {
        Self { client, topic, join_ref, response: Payload::empty() }
    }

    /// Sends the join message.
    fn begin(&self, caller: &'static Location<'static>, params: Payload) -> impl Future<Output = Reply> {
        self.ask_with(caller, self.join_ref.clone(), event::JOIN, params)
    }

    fn with_response(mut self, response: Payload) -> Self {
        self.response = response;
        self
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The payload that the join was answered with.
    #[must_use]
    pub fn response(&self) -> &Payload {
        &self.response
    }

    /// The client, for other topics, and to disconnect.
    #[must_use]
    pub fn client(&self) -> &TestClient {
        &self.client
    }

    /// Sends an event and waits for no answer.
    ///
    /// # Panics
    /// If the payload cannot be written.
    #[track_caller]
    pub fn send(&self, event: &str, payload: impl IntoPayload) {
        self.say(next_ref(), event, payload_of(payload));
    }

    /// Sends an event and waits for the answer.
    ///
    /// # Panics
    /// If there is none within ten seconds.
    #[track_caller]
    pub fn ask(&self, event: &str, payload: impl IntoPayload) -> impl Future<Output = Reply> {
        self.ask_with(Location::caller(), next_ref(), event, payload_of(payload))
    }

    /// The next that this client is sent on the topic, answers apart.
    ///
    /// # Panics
    /// If nothing comes within ten seconds.
    #[track_caller]
    pub fn next(&self) -> impl Future<Output = Event> {
        let caller = Location::caller();
        // An event of presence is like whatever there is.
        self.next_like(caller, event::PRESENCE_DIFF)
    }

    /// The next that is an event of presence only if `event` is.
    async fn next_like(&self, caller: &Location<'_>, event: &str) -> Event {
        let heard = within(PATIENCE, self.client.session().hear(|heard| self.is_like(heard, event))).await;
        let heard =
            heard.unwrap_or_else(|| panic!("{caller}: {} hears nothing within {PATIENCE:?}", self.topic));
        event_of(heard)
    }

    /// The next that this client is sent on the topic must be this, a push to it or a broadcast to all. What presence says is
    /// passed by, unless it is what is expected.
    ///
    /// # Panics
    /// If it is something else, or nothing comes within ten seconds.
    #[track_caller]
    pub fn expect(&self, event: &str, payload: impl IntoPayload) -> impl Future<Output = ()> {
        let (caller, event, payload) = (Location::caller(), event.to_owned(), payload_of(payload));
        async move {
            let next = self.next_like(caller, &event).await;
            let is_it = next.event == event && same(&next.payload, &payload);
            assert!(is_it, "{caller}: wanted {event} {payload:?}, got {} {:?}", next.event, next.payload);
        }
    }

    /// Passes over what comes before an event, and returns its payload.
    ///
    /// # Panics
    /// If it does not come within ten seconds.
    #[track_caller]
    pub fn wait_for(&self, event: &str) -> impl Future<Output = Payload> {
        let (caller, event) = (Location::caller(), event.to_owned());
        async move {
            let session = self.client.session();
            let wanted = async {
                loop {
                    let heard = event_of(session.hear(|heard| self.is_event(heard)).await);
                    if heard.event == event {
                        return heard.payload;
                    }
                }
            };
            let payload = within(PATIENCE, wanted).await;
            payload.unwrap_or_else(|| panic!("{caller}: no {event} on {} within {PATIENCE:?}", self.topic))
        }
    }

    /// Waits until all channels [have nothing left to do](super::TestServer::settle); this client must have been sent
    /// nothing, answers and what presence says apart.
    ///
    /// # Panics
    /// If it was.
    #[track_caller]
    pub fn expect_nothing(&self) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            self.client.sessions.settle().await;
            let heard = self.client.session().heard(|heard| self.is_like(heard, "")).map(event_of);
            assert!(heard.is_none(), "{caller}: wanted nothing, got {heard:?}");
        }
    }

    /// Leaves, and waits until the server has said so. The channel's [`leave`](crate::Channel::leave) runs after that: a test that looks at
    /// what it did [settles](super::TestServer::settle) first.
    ///
    /// # Panics
    /// If it does not within ten seconds, or if something else was to be heard before.
    #[track_caller]
    pub fn leave(&self) -> impl Future<Output = ()> {
        let left = self.ask(event::LEAVE, Payload::empty());
        let closed = self.expect_close();
        async move {
            left.await;
            closed.await;
        }
    }

    /// The next must be that the join is over in good order: left, stopped or kicked.
    ///
    /// # Panics
    /// If something else comes, or nothing within ten seconds.
    #[track_caller]
    pub fn expect_close(&self) -> impl Future<Output = ()> {
        self.expect(event::CLOSE, Payload::empty())
    }

    /// The next must be that the join is over since something went wrong: a panic, or a stop with an error.
    ///
    /// # Panics
    /// If something else comes, or nothing within ten seconds.
    #[track_caller]
    pub fn expect_crash(&self) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            let next = self.next_like(caller, event::ERROR).await;
            assert_eq!(next.event, event::ERROR, "{caller}: wanted a crash, got {next:?}");
        }
    }

    fn ask_with(
        &self,
        caller: &'static Location<'static>,
        reference: Ref,
        event: &str,
        payload: Payload,
    ) -> impl Future<Output = Reply> {
        self.say(reference.clone(), event, payload);
        answer(self.client.session().clone(), caller, reference, event.to_owned())
    }

    fn say(&self, reference: Ref, event: &str, payload: Payload) {
        let join_ref = Some(self.join_ref.clone());
        self.client.session().send(make_msg(join_ref, Some(reference), self.topic.as_str(), event, payload));
    }

    /// Whether this join takes a message for its own.
    fn is_event(&self, heard: &Heard) -> bool {
        let is_own = heard.join_ref.as_ref().is_none_or(|join_ref| *join_ref == self.join_ref);
        is_own && *heard.topic == *self.topic && matches!(heard.what, What::Event { .. })
    }

    /// Whether it is an event, and one of presence only if the one that is waited for is.
    fn is_like(&self, heard: &Heard, wanted: &str) -> bool {
        let says_presence = matches!(&heard.what, What::Event { event, .. } if event::is_of_presence(event));
        self.is_event(heard) && (!says_presence || event::is_of_presence(wanted))
    }
}

impl Reply {
    /// The response of an answer that is `ok`.
    ///
    /// # Panics
    /// If it is not, or if the response is bytes.
    #[track_caller]
    pub fn ok(self) -> Value {
        self.response_of("ok")
    }

    /// The response of an answer that is an error.
    ///
    /// # Panics
    /// If it is not, or if the response is bytes.
    #[track_caller]
    pub fn error(self) -> Value {
        self.response_of("error")
    }

    #[track_caller]
    fn response_of(&self, status: &str) -> Value {
        assert_eq!(self.status, status, "the answer is {:?}", self.response);
        parsed(&self.response)
    }
}

impl Event {
    /// The payload, read into a type.
    ///
    /// # Panics
    /// If it does not fit.
    #[track_caller]
    #[must_use]
    pub fn parse<T: DeserializeOwned>(&self) -> T {
        self.payload.parse().unwrap_or_else(|error| panic!("{}: {error}", self.event))
    }
}

impl fmt::Debug for TestJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestJoin").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// Waits for the answer to a message.
async fn answer(
    session: Arc<TestSession>,
    caller: &'static Location<'static>,
    reference: Ref,
    event: String,
) -> Reply {
    let is_answer = |heard: &Heard| matches!(&heard.what, What::Reply { reference: Some(answered), .. } if *answered == reference);
    let heard = within(PATIENCE, session.hear(is_answer)).await;
    match heard.map(|heard| heard.what) {
        Some(What::Reply { status, response, .. }) => Reply { status, response },
        _ => panic!("{caller}: {event} is not answered within {PATIENCE:?}"),
    }
}

/// A ref that no other message of the process has.
fn next_ref() -> Ref {
    static LAST: AtomicU64 = AtomicU64::new(0);
    Ref::from((LAST.fetch_add(1, Ordering::Relaxed) + 1).to_string())
}

fn event_of(heard: Heard) -> Event {
    match heard.what {
        What::Event { event, payload } => Event { event, payload },
        What::Reply { .. } => unreachable!("answers are asked for by their refs"),
    }
}

/// Whether two payloads say the same, however their JSON is written.
fn same(one: &Payload, other: &Payload) -> bool {
    match (one, other) {
        (Payload::Json(_), Payload::Json(_)) => parsed(one) == parsed(other),
        _ => one == other,
    }
}

#[track_caller]
fn parsed(payload: &Payload) -> Value {
    payload.parse().unwrap_or_else(|error| panic!("{error}: {payload:?}"))
}

#[track_caller]
pub(super) fn payload_of(payload: impl IntoPayload) -> Payload {
    payload.into_payload().unwrap_or_else(|error| panic!("the payload cannot be written: {error}"))
}
