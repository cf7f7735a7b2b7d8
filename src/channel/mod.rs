//! What a user writes: a channel.
//!
//! # Names of the source design
//!
//! | in the design | here |
//! |---|---|
//! | `join/3`, `handle_in/4`, `handle_info/3`, `leave/3` | the methods of [`Channel`] |
//! | `HandleResult`: `Reply`, `NoReply`, `Stop` | [`HandleResult`] |
//! | `reply`, `noreply`, `stop` | [`reply`](crate::reply), [`noreply`], [`stop`] |
//! | `LeaveReason`: `NormalLeave`, `Disconnect`, `Kicked` | [`LeaveReason`] |
//! | `Socket`, `new_socket`, `socket_topic`, … | [`Socket`] and its methods |
//! | `ChannelRoute`, `channel_route`, `route_pattern`, `route_handler` | [`ChannelRoute`](crate::ChannelRoute) |
//! | `ChannelMsg`, `make_msg`, `serialize`, `parse`, `reply_msg`, … | [`protocol`](crate::protocol) |
//! | `ChannelMailbox` | [`ChannelMailbox`](crate::join::mailbox::ChannelMailbox) |
//! | `PubSubMsg`, `BroadcastMsg` | [`PubSubMsg`](crate::pubsub::PubSubMsg), [`Broadcast`] |

pub(crate) mod nobody;
pub(crate) mod outcome;
pub(crate) mod sender;
pub(crate) mod socket;

use std::sync::Arc;

use crate::{
    channel::{
        outcome::{HandleResult, StopReason, noreply, stop},
        socket::{Joining, Socket},
    },
    join::leave_reason::LeaveReason,
    protocol::Payload,
    topic::Topic,
    topics::broadcast::Broadcast,
};

/// One kind of topic: what happens on join, on each event, and at the end.
///
/// A value of the implementing type is the state of one join; [`join`](Self::join) makes it. Each join is a green
/// thread: its callbacks run one at a time and in the order in which their causes arrived, and while one waits, those
/// of all other joins go on. A panic in a callback ends that join with `phx_error`, nothing else.
///
/// Until it first waits, a callback for a client's message runs in the task that reads from that client. So, as in any
/// future, what blocks or computes for long belongs in [`spawn_blocking`](tokio::task::spawn_blocking): it would hold up the
/// client's other joins, though nobody else's.
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
    /// What the rest of the program may send to a join, see [`JoinInfo::sender`](crate::JoinInfo::sender). `()` if nothing.
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

    /// The client is away (`true`): nothing has carried its session for as long as
    /// [`ResumeOptions::away_after`](crate::ResumeOptions::away_after) says; or it is back (`false`). The join goes on
    /// meanwhile, and what is pushed waits for the client.
    fn handle_away(
        &mut self,
        is_away: bool,
        socket: &mut Socket,
    ) -> impl Future<Output = HandleResult> + Send {
        let _ = (is_away, socket);
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
