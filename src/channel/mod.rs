//! The trait that a program implements: a channel.
//!
//! # Names of the source design
//!
//! | in the design | here |
//! |---|---|
//! | `join/3`, `handle_in/4`, `leave/3` | the methods of [`Channel`] |
//! | `handle_info/3` | the method of [`Receive`], for each type of message one |
//! | `HandleResult`: `Reply`, `NoReply`, `Stop` | [`HandleResult`](crate::HandleResult), which callbacks return as [`Handled`] |
//! | `reply`, `noreply`, `stop` | [`reply`](crate::reply), [`noreply`], [`stop`] |
//! | `LeaveReason`: `NormalLeave`, `Disconnect`, `Kicked` | [`LeaveReason`] |
//! | `Socket`, `socket_topic`, `push`, `broadcast`, … | [`Socket`](crate::Socket) and its methods; callbacks have it in their [`Context`] |
//! | `new_socket` | `testing::new_socket`, with the feature `testing` |
//! | `ChannelRoute`, `channel_route`, `route_pattern`, `route_handler` | [`ChannelRoute`](crate::ChannelRoute) |
//! | `ChannelMsg`, `make_msg`, `serialize`, `parse`, `reply_msg`, … | [`protocol`](crate::protocol) |
//! | `ChannelMailbox` | [`ChannelMailbox`](crate::join::mailbox::ChannelMailbox) |
//! | `PubSubMsg`, `BroadcastMsg` | [`PubSubMsg`](crate::pubsub::PubSubMsg), [`Broadcast`] |

pub(crate) mod context;
pub(crate) mod failure;
pub(crate) mod into_state;
pub(crate) mod outcome;
pub(crate) mod sender;
pub(crate) mod socket;
mod typed;

use std::sync::Arc;

use crate::{
    channel::{
        context::{Context, Joining},
        failure::Failure,
        outcome::{Handled, StopReason, noreply, stop},
    },
    join::{leave_reason::LeaveReason, push_error::PushError},
    protocol::Payload,
    topic::Topic,
    topics::{broadcast::Broadcast, gap::Gap},
};

/// One kind of topic: what happens on join, on each event, and at the end.
///
/// A value of the implementing type is the state of one join; [`join`](Self::join) makes it. Each join is a green
/// thread: its callbacks run one at a time and in the order in which their causes arrived, and while one waits, those
/// of all other joins go on. A panic in a callback ends that join with `phx_error`, nothing else. An error, which `?` makes a
/// [`Failure`] of whatever its type, ends nothing.
///
/// Until it first waits, a callback for a client's message runs in the task that reads from that client. So, as in any
/// future, what blocks or computes for long belongs in [`spawn_blocking`](tokio::task::spawn_blocking): it would hold up the
/// client's other joins, though nobody else's.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use lapwing::{Channel, Context, Failure, Handled, Joining, Json, Mount, Payload, Topic, noreply, reply};
/// use serde::{Deserialize, Serialize};
///
/// struct Counter { clicks: u64 }
///
/// #[derive(Deserialize)]
/// struct Click { times: u64 }
///
/// #[derive(Serialize)]
/// struct Clicks { mine: u64, all: u64 }
///
/// impl Channel for Counter {
///     /// The clicks of all.
///     type State = AtomicU64;
///
///     async fn join(topic: &Topic, _params: Payload, _joining: &mut Joining<Self>) -> Result<Self, Failure> {
///         if topic == "counter:closed" {
///             return Err(Failure::reason("closed"));
///         }
///         Ok(Counter { clicks: 0 })
///     }
///
///     async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
///         match event {
///             "click" => {
///                 let Click { times } = payload.parse()?;
///                 self.clicks += times;
///                 let all = cx.state().fetch_add(times, Ordering::Relaxed) + times;
///                 Ok(reply("ok", Json(Clicks { mine: self.clicks, all })))
///             }
///             _ => Ok(noreply()),
///         }
///     }
/// }
///
/// let mount = Mount::new().channel::<Counter>("counter:*", AtomicU64::new(0));
/// # let _ = mount;
/// ```
pub trait Channel: Sized + Send + 'static {
    /// The state that all joins of a route share: a pool of connections, a clock, a configuration. `()` for nothing. It is given to
    /// [`Mount::channel`](crate::Mount::channel), and callbacks get it by [`Context::state`].
    type State: Send + Sync + 'static;

    /// Events whose broadcasts go to [`handle_out`](Self::handle_out) instead of straight to the client.
    const INTERCEPT: &'static [&'static str] = &[];

    /// A client wants to join. `Ok` makes the state of its join; `Err` refuses, and says why.
    ///
    /// The reply to the client is `{}` unless [`Joining::set_reply`] says otherwise. Nothing can be pushed or
    /// broadcast yet, which is why a [`Joining`] is no [`Context`]: do that in [`joined`](Self::joined).
    ///
    /// Heartbeats and other topics of the client go on while this future runs; events of the client for this
    /// topic wait for it. If the client goes away meanwhile the future is not dropped: it runs to its end, and
    /// then [`leave`](Self::leave) runs.
    fn join(
        topic: &Topic,
        params: Payload,
        joining: &mut Joining<Self>,
    ) -> impl Future<Output = Result<Self, Failure>> + Send;

    /// The client has its reply and is subscribed: the place for a first push.
    fn joined(&mut self, cx: &Context<Self>) -> impl Future<Output = Handled> + Send {
        let _ = cx;
        async { Ok(noreply()) }
    }

    /// The client sent an event. The default answers `{"reason": "unmatched event"}`, as an error.
    fn handle_in(
        &mut self,
        event: &str,
        payload: Payload,
        cx: &Context<Self>,
    ) -> impl Future<Output = Handled> + Send {
        let _ = (event, payload, cx);
        async { Err(Failure::reason("unmatched event")) }
    }

    /// A broadcast of an [intercepted](Self::INTERCEPT) event, on the way to the client. The default pushes it
    /// as it is; one that pushes nothing keeps it from this client. On a kept topic push one event at most: each has the place
    /// of the broadcast, and a client that is cut off behind the first is not given the others when it comes back.
    fn handle_out(
        &mut self,
        event: &str,
        payload: Payload,
        cx: &Context<Self>,
    ) -> impl Future<Output = Handled> + Send {
        let result = match cx.push(event, payload) {
            Ok(()) => Ok(noreply()),
            Err(PushError::Encode(error)) => Ok(stop(StopReason::Error(error.to_string()))),
            Err(error) => Err(error.into()),
        };
        async { result }
    }

    /// A broadcast on another topic that this join has [subscribed](crate::Socket::subscribe) to.
    fn handle_broadcast(
        &mut self,
        broadcast: Arc<Broadcast>,
        cx: &Context<Self>,
    ) -> impl Future<Output = Handled> + Send {
        let _ = (broadcast, cx);
        async { Ok(noreply()) }
    }

    /// Broadcasts of another node on the topic, or on another that this join has subscribed to, are lost and do not come any more. The
    /// place to have the client load its state anew; the default does nothing. Of one loss each join is told once.
    ///
    /// ```
    /// # use lapwing::{Channel, Context, Failure, Gap, Handled, Joining, Payload, StopReason, Topic, noreply, stop};
    /// # struct Room;
    /// # impl Channel for Room {
    /// #     type State = ();
    /// #     async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> { Ok(Room) }
    /// async fn handle_gap(&mut self, gap: &Gap, _: &Context<Self>) -> Handled {
    ///     // A stock client that is told of an error joins again, and gets the state with the reply.
    ///     Ok(stop(StopReason::Error(format!("missed broadcasts of {}", gap.node))))
    /// }
    /// # }
    /// ```
    fn handle_gap(&mut self, gap: &Gap, cx: &Context<Self>) -> impl Future<Output = Handled> + Send {
        let _ = (gap, cx);
        async { Ok(noreply()) }
    }

    /// The client is away: nothing has carried its session for as long as
    /// [`ResumeOptions::away_after`](crate::ResumeOptions::away_after) says. The join goes on meanwhile, and what is pushed
    /// waits for the client.
    fn away(&mut self, cx: &Context<Self>) -> impl Future<Output = Handled> + Send {
        let _ = cx;
        async { Ok(noreply()) }
    }

    /// The client is back after it was [away](Self::away).
    fn back(&mut self, cx: &Context<Self>) -> impl Future<Output = Handled> + Send {
        let _ = cx;
        async { Ok(noreply()) }
    }

    /// The join is over. Runs exactly once after a successful [`join`](Self::join), however it ends, a panic of
    /// another callback included; it does not run if the process ends, or if a callback is still waiting five
    /// seconds after the client joined the same topic again. A failure is logged.
    ///
    /// The client has its `phx_close` or `phx_error` already. What is pushed here still reaches it if it is
    /// still connected.
    fn leave(
        &mut self,
        reason: LeaveReason,
        cx: &Context<Self>,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        let _ = (reason, cx);
        async { Ok(()) }
    }
}

/// A channel to whose joins the rest of the program can send messages of type `M`, by a [`Sender`](crate::Sender). A channel
/// may receive several types.
///
/// ```
/// use lapwing::{Channel, Context, Failure, Handled, Joining, Payload, Receive, Sender, Topic, noreply};
/// use serde_json::json;
///
/// struct Job;
/// struct Progress(u8);
/// struct Done;
///
/// impl Channel for Job {
///     type State = ();
///
///     async fn join(_: &Topic, _: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
///         tokio::spawn(work(joining.sender()));
///         Ok(Job)
///     }
/// }
///
/// impl Receive<Progress> for Job {
///     async fn handle_info(&mut self, Progress(percent): Progress, cx: &Context<Self>) -> Handled {
///         cx.push("progress", json!({"percent": percent}))?;
///         Ok(noreply())
///     }
/// }
///
/// impl Receive<Done> for Job {
///     async fn handle_info(&mut self, _: Done, cx: &Context<Self>) -> Handled {
///         cx.push("done", json!({}))?;
///         Ok(noreply())
///     }
/// }
///
/// async fn work(job: Sender<Job>) {
///     // An error means that the client left, or that too much waits for its channel.
///     let _ = job.send(Progress(50));
///     let _ = job.send(Done);
/// }
/// ```
pub trait Receive<M>: Channel {
    /// A message from the rest of the program.
    fn handle_info(&mut self, message: M, cx: &Context<Self>) -> impl Future<Output = Handled> + Send;
}
