//! A client of a test: its connection, and how that ends.

use std::{
    fmt,
    panic::Location,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use lapwing_transports::close::CloseReason;

use crate::{
    join::mailbox::ChannelMailbox,
    protocol::{Ref, event, make_msg},
    session::handler::tell_joins,
    testing::{
        patience::{PATIENCE, within},
        session::TestSession,
        sessions::Sessions,
        told::{Reply, answer, payload_of},
    },
};

/// A client of a [`TestServer`](super::TestServer). Its connection ends when it and all its joins are dropped.
#[derive(Clone)]
pub struct TestClient {
    connection: Arc<Connection>,
    pub(super) sessions: Sessions,
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

    /// Brings a new token, as a page does whose login is about to end: see [`Mount::on_token`](crate::Mount::on_token).
    ///
    /// The token is sent by the call, whatever becomes of the future.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # use lapwing::{Accept, Refusal};
    /// let mount = Mount::new().channel::<Room>("*", ()).connect(|_| async { Ok(Accept::new()) });
    /// let mount = mount.on_token(|request| async move {
    ///     if request.token == "good" { Ok(Accept::new()) } else { Err(Refusal::default()) }
    /// });
    /// let server = TestServer::from(Lapwing::builder().mount("/socket", mount).build().unwrap());
    /// let client = server.connect("/socket").await.unwrap();
    /// assert_eq!(client.bring_token("good").await.status, "ok");
    /// assert_eq!(client.bring_token("bad").await.status, "error");
    /// # }
    /// ```
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
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let ada = server.join("room:1", json!({})).await.unwrap();
    /// # let bob = server.join("room:1", json!({})).await.unwrap();
    /// bob.client().away();
    /// ada.expect("away", json!({})).await;
    /// # }
    /// ```
    pub fn away(&self) {
        tell_joins(self.session().client(), || ChannelMailbox::Away);
    }

    /// Tells the client's channels that it is [back](crate::Channel::back), and nothing else.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let ada = server.join("room:1", json!({})).await.unwrap();
    /// # let bob = server.join("room:1", json!({})).await.unwrap();
    /// bob.client().back();
    /// ada.expect("back", json!({})).await;
    /// # }
    /// ```
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
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let ada = server.join("room:1", json!({})).await.unwrap();
    /// let client = ada.client();
    /// client.lose_connection();
    /// server.broadcast("room:1", "news", json!({})).unwrap();
    /// client.resume().unwrap();
    /// ada.expect("news", json!({})).await;
    ///
    /// client.lose_connection();
    /// client.disconnect();
    /// assert!(client.resume().is_err(), "its session is over");
    /// # }
    /// ```
    ///
    /// # Errors
    /// Why the session ended meanwhile. Its client would begin another, and join again.
    pub fn resume(&self) -> Result<(), CloseReason> {
        self.session().resume()
    }

    /// Ends the connection and the session with it: the joins leave.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let ada = server.join("room:1", json!({})).await.unwrap();
    /// ada.client().disconnect();
    /// server.settle().await;
    /// assert_eq!(server.stats().topics, 0);
    /// # }
    /// ```
    pub fn disconnect(&self) {
        self.session().end(CloseReason::Lost);
    }

    /// Waits until the server ends the connection, and returns why.
    ///
    /// Cancel safe, and it may be asked again.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # use lapwing::{Accept, transports::close::CloseReason};
    /// let mount = Mount::new().channel::<Room>("*", ()).connect(|_| async { Ok(Accept::new().id("user:ada")) });
    /// let server = TestServer::from(Lapwing::builder().mount("/socket", mount).build().unwrap());
    /// let client = server.connect("/socket").await.unwrap();
    /// server.disconnect("user:ada").unwrap();
    /// assert_eq!(client.closed().await, CloseReason::Disconnected);
    /// # }
    /// ```
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

    pub(super) fn session(&self) -> &Arc<TestSession> {
        &self.connection.0
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestClient").field(self.session().client()).finish()
    }
}

/// A ref that no other message of the process has.
pub(super) fn next_ref() -> Ref {
    static LAST: AtomicU64 = AtomicU64::new(0);
    Ref::from((LAST.fetch_add(1, Ordering::Relaxed) + 1).to_string())
}
