//! A client's join, as its page has it.

use std::{fmt, panic::Location};

use serde_json::Value;

use crate::{
    protocol::{IntoPayload, Payload, Ref, event, make_msg},
    testing::{
        client::{TestClient, next_ref},
        patience::{PATIENCE, within},
        session::{Heard, What},
        told::{Event, Reply, answer, event_of, payload_of, same},
    },
    topic::Topic,
};

impl TestClient {
    /// Joins a topic.
    ///
    /// The join begins when the future is first polled. Dropping it later takes nothing back: the client is or becomes a member, and its next join
    /// of the topic takes the place of this one.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let client = server.connect("/socket").await.unwrap();
    /// let room = client.join("room:1", json!({"name": "ada"})).await.unwrap();
    /// assert_eq!(room.response(), &json!({"name": "ada"}).into());
    /// assert_eq!(client.join("room:closed", json!({})).await.unwrap_err(), json!({"reason": "closed"}));
    /// # }
    /// ```
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
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let ada = server.join("room:1", json!({})).await.unwrap();
    /// assert_eq!(ada.topic(), "room:1");
    /// # }
    /// ```
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The payload that the join was answered with.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// let ada = server.join("room:1", json!({"name": "ada"})).await.unwrap();
    /// assert_eq!(ada.response().parse::<Value>().unwrap()["name"], "ada");
    /// # }
    /// ```
    #[must_use]
    pub fn response(&self) -> &Payload {
        &self.response
    }

    /// The client, for other topics, and to disconnect.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let ada = server.join("room:1", json!({})).await.unwrap();
    /// let other = ada.client().join("room:2", json!({})).await.unwrap();
    /// ada.client().disconnect();
    /// other.client().closed().await;
    /// # }
    /// ```
    #[must_use]
    pub fn client(&self) -> &TestClient {
        &self.client
    }

    /// Sends an event and waits for no answer.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let ada = server.join("room:1", json!({})).await.unwrap();
    /// ada.send("say", json!({"text": "hi"}));
    /// ada.expect("said", json!({"text": "hi"})).await;
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the payload cannot be written.
    #[track_caller]
    pub fn send(&self, event: &str, payload: impl IntoPayload) {
        self.say(next_ref(), event, payload_of(payload));
    }

    /// Sends an event and waits for the answer.
    ///
    /// The event is sent by the call. Dropping the future drops the answer, and nothing else.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let ada = server.join("room:1", json!({})).await.unwrap();
    /// assert_eq!(ada.ask("echo", json!({"n": 1})).await.ok(), json!({"n": 1}));
    /// assert_eq!(ada.ask("dance", json!({})).await.error(), json!({"reason": "unmatched event"}));
    /// # }
    /// ```
    ///
    /// # Panics
    /// If there is none within ten seconds.
    #[track_caller]
    pub fn ask(&self, event: &str, payload: impl IntoPayload) -> impl Future<Output = Reply> {
        self.ask_with(Location::caller(), next_ref(), event, payload_of(payload))
    }

    /// The next that this client is sent on the topic, answers apart.
    ///
    /// Cancel safe: what comes after the future is dropped is the next one's.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let ada = server.join("room:1", json!({})).await.unwrap();
    /// ada.send("say", json!({"text": "hi"}));
    /// let next = ada.next().await;
    /// assert_eq!((next.event.as_str(), next.payload), ("said", json!({"text": "hi"}).into()));
    /// # }
    /// ```
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
    /// Cancel safe, as [`next`](Self::next) is.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let ada = server.join("room:1", json!({})).await.unwrap();
    /// # let bob = server.join("room:1", json!({})).await.unwrap();
    /// ada.send("say", json!({"text": "hi"}));
    /// bob.expect("said", json!({"text": "hi"})).await;
    /// # }
    /// ```
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
    /// What it has passed over when the future is dropped is gone.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let ada = server.join("room:1", json!({})).await.unwrap();
    /// ada.send("say", json!({"text": "hi"}));
    /// server.broadcast("room:1", "news", json!({"n": 1})).unwrap();
    /// assert_eq!(ada.wait_for("news").await, json!({"n": 1}).into());
    /// # }
    /// ```
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
    /// Cancel safe.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let ada = server.join("room:1", json!({})).await.unwrap();
    /// ada.send("dance", json!({}));
    /// ada.expect_nothing().await;
    /// # }
    /// ```
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
    /// The client leaves by the call, whatever becomes of the future.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let ada = server.join("room:1", json!({})).await.unwrap();
    /// ada.leave().await;
    /// server.broadcast("room:1", "news", json!({})).unwrap();
    /// ada.expect_nothing().await;
    /// # }
    /// ```
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
    /// Cancel safe, as [`next`](Self::next) is.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let ada = server.join("room:1", json!({})).await.unwrap();
    /// ada.send("stop", json!({}));
    /// ada.expect_close().await;
    /// # }
    /// ```
    ///
    /// # Panics
    /// If something else comes, or nothing within ten seconds.
    #[track_caller]
    pub fn expect_close(&self) -> impl Future<Output = ()> {
        self.expect(event::CLOSE, Payload::empty())
    }

    /// The next must be that the join is over since something went wrong: a panic, or a stop with an error.
    ///
    /// Cancel safe, as [`next`](Self::next) is.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let ada = server.join("room:1", json!({})).await.unwrap();
    /// ada.send("crash", json!({}));
    /// ada.expect_crash().await;
    /// # }
    /// ```
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

impl fmt::Debug for TestJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestJoin").field("topic", &self.topic).finish_non_exhaustive()
    }
}
