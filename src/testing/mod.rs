//! A kit for tests of channels, with the feature `testing`:
//!
//! ```toml
//! [dev-dependencies]
//! lapwing = { version = "0.1", features = ["testing"] }
//! ```
//!
//! A [`TestServer`] is a server without sockets: its clients belong to the test. From the connect callback to the joins' tasks,
//! mailboxes, topics and presence all is what runs elsewhere; only transports are not there, nor what they bound. The chat of
//! the README, tested:
//!
//! ```
//! # use lapwing::{Channel, Context, Failure, Handled, Joining, Payload, Topic, noreply};
//! use lapwing::testing::TestServer;
//! use serde_json::json;
//!
//! # struct Room;
//! #
//! # impl Channel for Room {
//! #     type State = ();
//! #
//! #     async fn join(_topic: &Topic, _params: Payload, _joining: &mut Joining<Self>) -> Result<Self, Failure> {
//! #         Ok(Room)
//! #     }
//! #
//! #     async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
//! #         match event {
//! #             "say" => {
//! #                 cx.broadcast("say", payload)?;
//! #                 Ok(noreply())
//! #             }
//! #             // Events are the client's to choose: to broadcast any would let one visitor close the channels of all.
//! #             _ => Err(Failure::reason("unmatched event")),
//! #         }
//! #     }
//! # }
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! // #[tokio::test] async fn what_one_says_all_hear() {
//! let server = TestServer::new::<Room>(());
//! let ada = server.join("room:lobby", json!({})).await.unwrap();
//! let bob = server.join("room:lobby", json!({})).await.unwrap();
//! ada.send("say", json!({"text": "hi"}));
//! ada.expect("say", json!({"text": "hi"})).await;
//! bob.expect("say", json!({"text": "hi"})).await;
//! assert_eq!(bob.ask("shout", json!({})).await.error(), json!({"reason": "unmatched event"}));
//! // }
//! # }
//! ```
//!
//! * A program's own mounts: `TestServer::from(lapwing)`, and [`connect`](TestServer::connect) with the path and the
//!   parameters of a client, which the connect callback may refuse.
//! * The test has the state that it gives, and shares it by an [`Arc`]. The server derefs to its
//!   [`Lapwing`](crate::Lapwing): it broadcasts, kicks, disconnects and tells who is present.
//! * Clients lose their connection and resume, leave, and are gone when they are dropped ([`TestClient`]).
//! * What a client says is said by the call, whether or not its future is awaited; joins and connects alone begin with it. A future that is
//!   dropped waits no more and takes nothing back, and each says what that leaves. What waits in vain fails the test, and says where.
//! * A test that stops the runtime's clock (`#[tokio::test(start_paused = true)]`) has the time of its channels in its hand:
//!   what waits here sets no timer. While nothing else is left to do, the runtime moves on to the channels' next one.
//! * The cause of an internal failure is in the log alone: `tracing_subscriber::fmt().with_test_writer().init()` shows it.

mod client;
mod join;
mod patience;
mod server;
pub(crate) mod session;
mod sessions;
mod told;

use std::{any::Any, fmt, sync::Arc};

use lapwing_transports::frame::{Frame, FrameKind, Message};
use smol_str::SmolStr;

use crate::{
    channel::{Channel, context::Context, into_state::IntoState, socket::Socket},
    join::{Home, Join, Kind, Log, assigns::Assigns, mailbox::MailboxLimits, meter::Meter, refs::Refs},
    node::Node,
    protocol::{ChannelMsg, NameLimits, Ref, Serializer as _, SerializerList, V2},
    pubsub::LocalPubSub,
    session::{
        handler::{Hub, Limits},
        login::Callbacks,
        rates::Rates,
        router::Router,
    },
    topic::Topic,
    topics::{
        Topics,
        broadcast::{ChannelId, TransportId},
    },
};

use self::session::TestSession;
pub use self::{
    client::TestClient,
    join::TestJoin,
    server::TestServer,
    told::{Event, Reply},
};

/// A socket that belongs to no server, for tests of a channel's callbacks: what is pushed is kept and can be
/// [taken](Pushed::take), broadcasts reach nobody.
///
/// ```
/// use lapwing::{ChannelId, Topic, TransportId, protocol::Ref, testing::new_socket};
/// use serde_json::json;
///
/// let (socket, pushed) = new_socket(Topic::from("room:1"), ChannelId(1), TransportId(2), Some(Ref::from("3")));
/// assert_eq!(socket.topic(), "room:1");
/// socket.push("said", json!({"text": "hi"})).unwrap();
/// assert_eq!(pushed.take()[0].event, "said");
/// ```
#[must_use]
pub fn new_socket(
    topic: Topic,
    channel: ChannelId,
    transport: TransportId,
    join_ref: Option<Ref>,
) -> (Socket, Pushed) {
    const KIND: Kind = Kind { name_of: || "none", intercept: &[] };
    let refs = Refs { join_ref, reference: None };
    let (join, pushed) = new_join(topic, channel, transport, refs, (&KIND, Arc::new(())));
    (Socket::new(join), pushed)
}

/// The same for one callback of a channel, to be called as the function that it is.
///
/// ```
/// use lapwing::{
///     Channel, ChannelId, Context, Failure, Handled, HandleResult, Joining, Payload, Topic, TransportId, reply,
///     testing::new_context,
/// };
/// use serde_json::json;
///
/// struct Greeter;
///
/// impl Channel for Greeter {
///     type State = String;
///
///     async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
///         Ok(Greeter)
///     }
///
///     async fn handle_in(&mut self, _: &str, _: Payload, cx: &Context<Self>) -> Handled {
///         Ok(reply("ok", json!({"greeting": cx.state()})))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (cx, _pushed) = new_context("room:1".into(), ChannelId(1), TransportId(2), None, "hello".to_owned());
/// let result = Greeter.handle_in("greet", Payload::empty(), &cx).await;
/// assert!(matches!(result, Ok(HandleResult::Reply(status, _)) if status == "ok"));
/// # }
/// ```
#[must_use]
pub fn new_context<C: Channel>(
    topic: Topic,
    channel: ChannelId,
    transport: TransportId,
    join_ref: Option<Ref>,
    state: impl IntoState<C::State>,
) -> (Context<C>, Pushed) {
    let refs = Refs { join_ref, reference: None };
    let kind = const { &Kind { name_of: std::any::type_name::<C>, intercept: C::INTERCEPT } };
    let (join, pushed) = new_join(topic, channel, transport, refs, (kind, state.into_state()));
    (Context::new(join), pushed)
}

fn new_join(
    topic: Topic,
    channel: ChannelId,
    transport: TransportId,
    refs: Refs,
    (kind, state): (&'static Kind, Arc<dyn Any + Send + Sync>),
) -> (Arc<Join>, Pushed) {
    let node = Arc::new(Node::new(Arc::new(LocalPubSub), Default::default(), None, Topics::new()));
    let router = Router::new(Vec::new(), &node, MailboxLimits::default(), None);
    let limits = Limits {
        joins_max: 0,
        names: NameLimits::default(),
        rates: Rates::none().limiter().expect("no rate contradicts another"),
    };
    let hub = Hub::new(node.clone(), router, Callbacks::default(), SerializerList::default(), limits);
    let session = TestSession::anonymous(Arc::new(hub), transport);
    let (limits, log, meter) = (MailboxLimits::default(), Log::default(), Meter::default());
    let home = Home { route: String::new(), node, kind, state, limits, rejoins: None, log, meter };
    let mut join = Join::new(session.clone(), Arc::new(home), topic, refs, Assigns::default());
    join.id = channel;
    (Arc::new(join), Pushed(session))
}

/// The messages that a socket of [`new_socket`] pushed.
pub struct Pushed(Arc<TestSession>);

impl Pushed {
    /// Takes all messages pushed so far, oldest first. A payload of bytes is given as the frame it was sent in.
    ///
    /// ```
    /// use lapwing::{ChannelId, TransportId, testing::new_socket};
    /// use serde_json::json;
    ///
    /// let (socket, pushed) = new_socket("room:1".into(), ChannelId(1), TransportId(2), None);
    /// socket.push("said", json!({"text": "hi"})).unwrap();
    /// assert_eq!(pushed.take().len(), 1);
    /// assert!(pushed.take().is_empty());
    /// ```
    #[must_use]
    pub fn take(&self) -> Vec<ChannelMsg> {
        self.0.state().heard.drain(..).map(|heard| decode_own(&heard.frame)).collect()
    }
}

impl fmt::Debug for Pushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pushed").finish_non_exhaustive()
    }
}

fn decode_own(frame: &Frame) -> ChannelMsg {
    let text = std::str::from_utf8(frame.payload()).ok().filter(|_| frame.kind() == FrameKind::Text);
    match text.and_then(|text| V2.decode(Message::Text(text)).ok()) {
        Some(message) => message,
        None => crate::protocol::make_msg(None, None, "", SmolStr::default(), frame.payload().clone()),
    }
}
