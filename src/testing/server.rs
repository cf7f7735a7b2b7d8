//! A server whose clients are the test's.

use std::{fmt, ops::Deref, panic::Location};

use lapwing_transports::{
    close::CloseReason,
    connect::{ConnectRequest, Refusal, Transport},
    handler::Handler as _,
};
use serde_json::Value;

use crate::{
    channel::{Channel, into_state::IntoState},
    protocol::IntoPayload,
    server::{Lapwing, mount::Mount, shutdown::ShutdownReport},
    testing::{
        client::TestClient, join::TestJoin, session::TestSession, sessions::Sessions, told::payload_of,
    },
    topic::Topic,
};

/// Where a server of one channel has it.
const PATH: &str = "/socket";

/// A server in the test's own process: its clients have no sockets, and all else is as it is elsewhere, from the connect
/// callback and the mailboxes to topics and presence.
///
/// It derefs to its [`Lapwing`], which broadcasts, kicks and lists. Clones are one server.
#[derive(Clone)]
pub struct TestServer {
    lapwing: Lapwing,
    sessions: Sessions,
}

impl TestServer {
    /// A server with one channel, on every topic, and its state.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let server = TestServer::new::<Room>(());
    /// assert!(server.join("room:1", json!({})).await.is_ok());
    /// # }
    /// ```
    ///
    /// # Panics
    /// Never: the pattern of every topic is valid.
    #[must_use]
    pub fn new<C: Channel>(state: impl IntoState<C::State>) -> Self {
        let mount = Mount::new().channel::<C>("*", state);
        let lapwing = Lapwing::builder().mount(PATH, mount).build();
        Self::from(lapwing.expect("the pattern and the path are valid"))
    }

    /// Connects an anonymous client to the first mount, and joins a topic.
    ///
    /// Dropping the future ends the client, if it has begun.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// let ada = server.join("room:1", json!({"name": "ada"})).await.unwrap();
    /// assert_eq!(server.join("room:closed", json!({})).await.unwrap_err(), json!({"reason": "closed"}));
    /// # }
    /// ```
    ///
    /// # Errors
    /// The response of a join that is refused.
    ///
    /// # Panics
    /// If there is no mount, if its connect callback refuses the client, and if the join is not answered within ten seconds.
    #[track_caller]
    pub fn join(
        &self,
        topic: impl Into<Topic>,
        params: impl IntoPayload,
    ) -> impl Future<Output = Result<TestJoin, Value>> {
        let caller = Location::caller();
        let (topic, params) = (topic.into(), payload_of(params));
        async move {
            let path = self.lapwing.mounts().first().map(|mounted| mounted.name.clone());
            let path = path.unwrap_or_else(|| panic!("{caller}: the server has no mount"));
            match self.connect(&path).await {
                Ok(client) => client.join_from(caller, topic, params).await,
                Err(refusal) => panic!("{caller}: the client is refused with {}", refusal.status),
            }
        }
    }

    /// Connects a client to a mount, by its path and the parameters of the connection, as in `/socket?token=t`.
    ///
    /// Dropping the future drops the connect callback where it is, and nobody is connected.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # use lapwing::{Accept, Refusal};
    /// let mount = Mount::new().channel::<Room>("*", ()).connect(|request| async move {
    ///     if request.param("token") == Some("t") { Ok(Accept::new()) } else { Err(Refusal::default()) }
    /// });
    /// let server = TestServer::from(Lapwing::builder().mount("/live", mount).build().unwrap());
    /// assert!(server.connect("/live?token=t").await.is_ok());
    /// assert_eq!(server.connect("/live").await.unwrap_err().status, 403);
    /// # }
    /// ```
    ///
    /// # Errors
    /// What the mount's connect callback refuses with.
    ///
    /// # Panics
    /// If there is no such mount, or if that is no path and query.
    pub async fn connect(&self, path_and_query: &str) -> Result<TestClient, Refusal> {
        self.connect_with(path_and_query, |_| ()).await
    }

    /// Connects a client whose request has more than a path: a token, headers, an address. Dropping the future is as with
    /// [`connect`](Self::connect).
    ///
    /// ```
    /// # use lapwing::{Accept, Lapwing, Mount, Refusal, testing::TestServer};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mount = Mount::new().with_auth_tokens().connect(|request| async move {
    ///     match request.auth_token.as_deref() {
    ///         Some("secret") => Ok(Accept::new().id("user:1")),
    ///         _ => Err(Refusal::default()),
    ///     }
    /// });
    /// let server = TestServer::from(Lapwing::builder().mount("/socket", mount).build()?);
    /// let client = server.connect_with("/socket", |request| request.auth_token = Some("secret".into())).await;
    /// assert!(client.is_ok() && server.connect("/socket").await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What the mount's connect callback refuses with.
    ///
    /// # Panics
    /// If there is no such mount, or if that is no path and query.
    pub async fn connect_with(
        &self,
        path_and_query: &str,
        set: impl FnOnce(&mut ConnectRequest),
    ) -> Result<TestClient, Refusal> {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let mount = self.lapwing.find_mount(path).unwrap_or_else(|error| panic!("{error}"));
        let endpoint = self.lapwing.mounts()[mount].endpoint.clone();
        let uri = format!("{}/websocket?vsn=2.0.0&{query}", path.trim_end_matches('/'));
        let uri = uri.parse().unwrap_or_else(|error| panic!("{uri} is no URI: {error}"));
        let mut request = ConnectRequest::new(Transport::Websocket, uri);
        set(&mut request);
        let client = endpoint.handler().connect(request).await?;
        let session = TestSession::begin(endpoint, client);
        self.sessions.add(&session);
        Ok(TestClient::new(session, self.sessions.clone()))
    }

    /// Sends all clients away, and ends the server, as [`Lapwing::shutdown`] does: first the test's own, whose channels are told
    /// [`LeaveReason::Draining`](crate::LeaveReason::Draining), then whoever came by a transport.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// let ada = server.join("room:1", json!({})).await.unwrap();
    /// assert!(server.shutdown().await.is_clean());
    /// assert_eq!(ada.client().closed().await, lapwing::transports::close::CloseReason::Draining);
    /// # }
    /// ```
    pub async fn shutdown(&self) -> ShutdownReport {
        self.sessions.end(CloseReason::Draining);
        self.lapwing.shutdown().await
    }

    /// Waits until all channels have done what they were told, their [`leave`](Channel::leave) included, or wait for something for a
    /// tenth of a second. It ends no join, which [`TestJoin::leave`] does, and what presence says may come later.
    ///
    /// Cancel safe.
    ///
    /// ```
    #[doc = include_str!("room.txt")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let server = server();
    /// # let ada = server.join("room:1", json!({})).await.unwrap();
    /// ada.send("say", json!({"text": "hi"}));
    /// server.settle().await;
    /// ada.expect("said", json!({"text": "hi"})).await;
    /// # }
    /// ```
    pub async fn settle(&self) {
        self.sessions.settle().await;
    }
}

impl From<Lapwing> for TestServer {
    fn from(lapwing: Lapwing) -> Self {
        if let Some(kept) = lapwing.node().topics.kept() {
            kept.without_sweep();
        }
        Self { lapwing, sessions: Sessions::default() }
    }
}

impl Deref for TestServer {
    type Target = Lapwing;

    fn deref(&self) -> &Lapwing {
        &self.lapwing
    }
}

impl fmt::Debug for TestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestServer").field(&self.lapwing).finish()
    }
}
