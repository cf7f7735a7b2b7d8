//! What a user writes: a channel.
//!
//! # Names of the source design
//!
//! | in the design | here |
//! |---|---|
//! | `join/3`, `handle_in/4`, `handle_info/3`, `leave/3` | the methods of [`Channel`] |
//! | `HandleResult`: `Reply`, `NoReply`, `Stop` | [`HandleResult`] |
//! | `reply`, `noreply`, `stop` | [`reply`], [`noreply`], [`stop`] |
//! | `LeaveReason`: `NormalLeave`, `Disconnect`, `Kicked` | [`LeaveReason`] |
//! | `Socket`, `new_socket`, `socket_topic`, … | [`Socket`](crate::Socket) and its methods |
//! | `ChannelRoute`, `channel_route`, `route_pattern`, `route_handler` | [`ChannelRoute`](crate::ChannelRoute) |
//! | `ChannelMsg`, `make_msg`, `serialize`, `parse`, `reply_msg`, … | [`protocol`](crate::protocol) |
//! | `ChannelMailbox` | [`ChannelMailbox`](crate::mailbox::ChannelMailbox) |
//! | `PubSubMsg`, `BroadcastMsg` | [`PubSubMsg`](crate::pubsub::PubSubMsg), [`Broadcast`] |

use std::sync::Arc;

use smol_str::SmolStr;

use crate::{
    broadcast::Broadcast,
    protocol::Payload,
    socket::{Joining, Socket},
    topic::Topic,
};

/// One kind of topic: what happens on join, on each event, and at the end.
///
/// A value of the implementing type is the state of one join; [`join`](Self::join) makes it. Each join runs as
/// its own Tokio task: its callbacks run one at a time and in the order in which their causes arrived, those
/// of different joins in parallel. A panic in a callback ends that join with `phx_error`, nothing else.
///
/// ```
/// use lapwing::{Channel, HandleResult, Joining, Payload, Socket, Topic, noreply, reply};
/// use serde_json::json;
///
/// struct Counter { clicks: u64 }
///
/// impl Channel for Counter {
///     type Info = ();
///
///     async fn join(topic: &Topic, _params: Payload, _socket: &mut Joining) -> Result<Self, Payload> {
///         if topic == "counter:closed" {
///             return Err(json!({"reason": "closed"}).into());
///         }
///         Ok(Counter { clicks: 0 })
///     }
///
///     async fn handle_in(&mut self, event: &str, _payload: Payload, _socket: &mut Socket) -> HandleResult {
///         match event {
///             "click" => {
///                 self.clicks += 1;
///                 reply("ok", json!({"clicks": self.clicks}))
///             }
///             _ => noreply(),
///         }
///     }
/// }
/// ```
pub trait Channel: Sized + Send + 'static {
    /// What the rest of the program may send to a join, see [`Socket::sender`]. `()` if nothing.
    type Info: Send + 'static;

    /// Events whose broadcasts go to [`handle_out`](Self::handle_out) instead of straight to the client.
    const INTERCEPT: &'static [&'static str] = &[];

    /// A client wants to join. `Ok` makes the state of its join; `Err` refuses, with a payload that says why.
    ///
    /// The reply to the client is `{}` unless [`Joining::set_reply`] says otherwise. Nothing can be pushed or
    /// broadcast yet, which is why `socket` is not a [`Socket`]: do that in [`joined`](Self::joined).
    ///
    /// Heartbeats and other topics of the client go on while this future runs; events of the client for this
    /// topic wait for it. If the client goes away meanwhile the future is not dropped: it runs to its end, and
    /// then [`leave`](Self::leave) runs.
    fn join(
        topic: &Topic,
        params: Payload,
        socket: &mut Joining,
    ) -> impl Future<Output = Result<Self, Payload>> + Send;

    /// The client has its reply and is subscribed: the place for a first push.
    fn joined(&mut self, socket: &mut Socket) -> impl Future<Output = ()> + Send {
        let _ = socket;
        async {}
    }

    /// The client sent an event.
    fn handle_in(
        &mut self,
        event: &str,
        payload: Payload,
        socket: &mut Socket,
    ) -> impl Future<Output = HandleResult> + Send;

    /// A broadcast of an [intercepted](Self::INTERCEPT) event, on the way to the client. The default pushes it
    /// as it is; one that pushes nothing keeps it from this client.
    fn handle_out(
        &mut self,
        event: &str,
        payload: Payload,
        socket: &mut Socket,
    ) -> impl Future<Output = HandleResult> + Send {
        let result = match socket.push(event, payload) {
            Ok(()) => noreply(),
            Err(error) => stop(StopReason::Error(error.to_string())),
        };
        async { result }
    }

    /// A message from the rest of the program.
    fn handle_info(
        &mut self,
        message: Self::Info,
        socket: &mut Socket,
    ) -> impl Future<Output = HandleResult> + Send {
        let _ = (message, socket);
        async { noreply() }
    }

    /// A broadcast on another topic that this join has [subscribed](Socket::subscribe) to.
    fn handle_broadcast(
        &mut self,
        broadcast: Arc<Broadcast>,
        socket: &mut Socket,
    ) -> impl Future<Output = HandleResult> + Send {
        let _ = (broadcast, socket);
        async { noreply() }
    }

    /// The join is over. Runs exactly once after a successful [`join`](Self::join), however it ends, a panic of
    /// another callback included; it does not run if the process ends, or if a callback is still waiting five
    /// seconds after the client joined the same topic again.
    ///
    /// The client has its `phx_close` or `phx_error` already. What is pushed here still reaches it if it is
    /// still connected.
    fn leave(&mut self, reason: LeaveReason, socket: &mut Socket) -> impl Future<Output = ()> + Send {
        let _ = (reason, socket);
        async {}
    }
}

/// What a callback wants to happen next.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HandleResult {
    /// Answer the event with a status, `"ok"` and `"error"` by convention, and a payload. From a callback that
    /// answers no event it does nothing.
    Reply(SmolStr, Payload),
    /// Nothing.
    NoReply,
    /// End the join.
    Stop(StopReason),
    /// Answer the event and then end the join.
    StopWithReply(StopReason, SmolStr, Payload),
}

/// Answers the event with a status and a payload.
///
/// ```
/// use lapwing::{HandleResult, reply};
/// use serde_json::json;
///
/// assert!(matches!(reply("ok", json!({"id": 9})), HandleResult::Reply(status, _) if status == "ok"));
/// ```
#[must_use]
pub fn reply(status: impl AsRef<str>, payload: impl Into<Payload>) -> HandleResult {
    HandleResult::Reply(SmolStr::new(status), payload.into())
}

/// Does nothing further.
///
/// ```
/// use lapwing::{HandleResult, noreply};
///
/// assert!(matches!(noreply(), HandleResult::NoReply));
/// ```
#[must_use]
pub fn noreply() -> HandleResult {
    HandleResult::NoReply
}

/// Ends the join.
///
/// ```
/// use lapwing::{HandleResult, StopReason, reply, stop};
/// use serde_json::json;
///
/// assert!(matches!(stop(StopReason::Normal), HandleResult::Stop(_)));
/// let result = stop(StopReason::Normal).with_reply("ok", json!({}));
/// assert!(matches!(result, HandleResult::StopWithReply(..)));
/// ```
#[must_use]
pub fn stop(reason: StopReason) -> HandleResult {
    HandleResult::Stop(reason)
}

impl HandleResult {
    /// The same with an answer to the event before it.
    #[must_use]
    pub fn with_reply(self, status: impl AsRef<str>, payload: impl Into<Payload>) -> Self {
        let (status, payload) = (SmolStr::new(status), payload.into());
        match self {
            Self::Stop(reason) | Self::StopWithReply(reason, ..) => {
                Self::StopWithReply(reason, status, payload)
            }
            Self::NoReply | Self::Reply(..) => Self::Reply(status, payload),
        }
    }
}

/// Why a channel ends its own join.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// It is done: the client gets `phx_close` and stays away.
    Normal,
    /// It is shut down: the client gets `phx_close` and stays away.
    Shutdown,
    /// The client was thrown out: it gets `phx_close` and stays away.
    Kicked(String),
    /// Something went wrong: the client gets `phx_error` and joins again.
    Error(String),
}

/// Why a join ended, as [`Channel::leave`] gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaveReason {
    /// The client left the topic, or the channel stopped normally.
    NormalLeave,
    /// The connection or the session is gone.
    Disconnect,
    /// The server removed the client.
    Kicked(String),
    /// The client joined the same topic again; this was the older join.
    DuplicateJoin,
    /// The server is shutting down.
    Draining,
    /// A callback panicked, a payload could not be encoded, or the channel stopped with an error.
    Crashed(String),
}
