//! The arguments of a channel's callbacks.

use std::{
    fmt,
    marker::PhantomData,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    channel::socket::{JoinInfo, Socket},
    join::{Join, Owing, Packing},
    presence::PresenceError,
    protocol::{EncodeError, IntoPayload, Outgoing, Payload, Ref},
    topics::history::Recovery,
};

/// The join's [`Socket`] as a callback is handed it, with what is typed by the channel or belongs to this callback alone.
///
/// It derefs to the [`Socket`], which can be cloned and kept; a context is lent for the time of the callback.
pub struct Context<C> {
    socket: Socket,
    /// The ref of the event that is being handled.
    reference: Option<Ref>,
    /// The right to answer was taken.
    is_taken: AtomicBool,
    recovery: Option<Recovery>,
    is_move: bool,
    channel: PhantomData<fn() -> C>,
}

impl<C> Context<C> {
    pub(crate) fn new(join: Arc<Join>) -> Self {
        let socket = Socket::new(join);
        Self {
            socket,
            reference: None,
            is_taken: AtomicBool::new(false),
            recovery: None,
            is_move: false,
            channel: PhantomData,
        }
    }

    /// Takes the right to answer the current event, for an answer to be given later, from anywhere. What the callback
    /// returns answers nothing then. `None` outside [`handle_in`](crate::Channel::handle_in), for an event that wants no
    /// answer, and the second time.
    ///
    /// In a cluster with moves a session does not follow its stream to another node while an answer is owed, so that a right which is kept and never used
    /// keeps it where it is. When the node goes down, answers are waited for two seconds from then on; one that is given later reaches nobody.
    #[must_use]
    pub fn take_reply(&self) -> Option<ReplyRef> {
        let reference = self.reference.clone()?;
        // One callback at a time has the context.
        let is_first = !self.is_taken.swap(true, Ordering::Relaxed);
        is_first.then(|| {
            let owing = Owing::new(self.socket.join.clone());
            ReplyRef { owing, reference, packing: Packing::Compressed }
        })
    }

    /// The outcome of the client's wish to get what it missed on a kept topic ([`Mount::keep`](crate::Mount::keep)): known in
    /// [`joined`](crate::Channel::joined). `None` if it did not ask, and outside that callback.
    #[must_use]
    pub fn recovery(&self) -> Option<Recovery> {
        self.recovery
    }

    /// Returns whether the join was made for a client whose session comes from another node of the cluster, and who was joined there: known in
    /// [`joined`](crate::Channel::joined), and false outside that callback. See [`Joining::is_move`].
    #[must_use]
    pub fn is_move(&self) -> bool {
        self.is_move
    }

    pub(crate) fn set_move(&mut self) {
        self.is_move = true;
    }

    pub(crate) fn set_recovery(&mut self, recovery: Option<Recovery>) {
        self.recovery = recovery;
    }

    /// An event is about to be handled.
    pub(crate) fn begin_event(&mut self, reference: Option<Ref>) {
        self.reference = reference;
        *self.is_taken.get_mut() = false;
    }

    /// It was. Returns whether the right to answer was taken.
    pub(crate) fn end_event(&mut self) -> bool {
        self.reference = None;
        std::mem::take(self.is_taken.get_mut())
    }

    /// The socket, for what is about to be handled.
    pub(crate) fn socket_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }
}

impl<C> Deref for Context<C> {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        &self.socket
    }
}

impl<C> fmt::Debug for Context<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Context").field(&self.socket).finish()
    }
}

/// A client that is about to be let in, as [`Channel::join`](crate::Channel::join) gets it.
///
/// There is no `push` and no `broadcast` here: nothing may reach the client before the reply to its join.
pub struct Joining<C> {
    info: JoinInfo,
    reply: Payload,
    is_move: bool,
    channel: PhantomData<fn() -> C>,
}

impl<C> Joining<C> {
    pub(crate) fn new(join: Arc<Join>) -> Self {
        Self { info: JoinInfo { join }, reply: Payload::empty(), is_move: false, channel: PhantomData }
    }

    /// The same for a client who comes from another node.
    pub(crate) fn of_move(join: Arc<Join>) -> Self {
        Self { is_move: true, ..Self::new(join) }
    }

    /// Returns whether the client's session comes from another node of the cluster, where it was joined with these parameters
    /// (`ClusterOptions::with_moves`). The client does not know of this join: what is answered is told to nobody. If it fails, the session stays where
    /// it is.
    ///
    /// The channel there still hears the client while `join` runs here, and stops before [`joined`](crate::Channel::joined) is called: what changes is read
    /// in that one. It is asked to [`leave`](crate::Channel::leave) with [`LeaveReason::Moved`](crate::LeaveReason::Moved) once the session is here. What a channel pushes there, such as
    /// a list that the client has had with its first join, it leaves out for those who [move](Context::is_move); whom it tracks, it tracks as ever. The
    /// list of [who is present](Socket::push_presences) it pushes as ever, too: of somebody who comes or goes one node knows a moment before the other.
    #[must_use]
    pub fn is_move(&self) -> bool {
        self.is_move
    }

    /// Sets what the client gets as the response to its join, in the place of `{}`.
    ///
    /// # Errors
    /// [`EncodeError::Json`] if the value cannot be written as JSON.
    pub fn set_reply(&mut self, reply: impl IntoPayload) -> Result<(), EncodeError> {
        self.reply = reply.into_payload()?;
        Ok(())
    }

    /// Checks a key by which the client is to be [tracked](Socket::track), in [`joined`](crate::Channel::joined): here it can still be told
    /// that it does not fit.
    ///
    /// ```
    /// use lapwing::{Channel, Context, Failure, Handled, Joining, Payload, Topic, noreply};
    /// use serde_json::json;
    ///
    /// struct Member(String);
    ///
    /// impl Channel for Member {
    ///     type State = ();
    ///
    ///     async fn join(_: &Topic, name: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
    ///         let name: String = name.parse()?;
    ///         // {"reason": "a key of 5000 bytes is too long: 256 at most"}
    ///         joining.check_presence_key(&name)?;
    ///         Ok(Member(name))
    ///     }
    ///
    ///     async fn joined(&mut self, cx: &Context<Self>) -> Handled {
    ///         cx.track(&self.0, json!({})).await?;
    ///         Ok(noreply())
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`PresenceError::KeyTooLong`], and [`PresenceError::UnsafeKey`] for a name that breaks old clients.
    pub fn check_presence_key(&self, key: &str) -> Result<(), PresenceError> {
        self.info.join.node().tracker.check_key(key)
    }

    pub(crate) fn into_reply(self) -> Payload {
        self.reply
    }
}

impl<C> Deref for Joining<C> {
    type Target = JoinInfo;

    fn deref(&self) -> &JoinInfo {
        &self.info
    }
}

impl<C> fmt::Debug for Joining<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joining").field("info", &self.info).field("reply", &self.reply).finish()
    }
}

/// The right to answer one event, once, from any task.
///
/// ```
/// use lapwing::{Channel, Context, Failure, Handled, Joining, Payload, Topic, noreply};
///
/// struct Slow;
///
/// impl Channel for Slow {
///     type State = ();
///
///     async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
///         Ok(Slow)
///     }
///
///     async fn handle_in(&mut self, _: &str, payload: Payload, cx: &Context<Self>) -> Handled {
///         if let Some(reply) = cx.take_reply() {
///             tokio::spawn(async move { reply.reply("ok", payload) });
///         }
///         Ok(noreply())
///     }
/// }
/// ```
#[derive(Debug)]
#[must_use = "the client waits for the answer until its push times out"]
pub struct ReplyRef {
    owing: Owing,
    reference: Ref,
    packing: Packing,
}

impl ReplyRef {
    /// The same right to an answer that is never compressed: for one that has a secret beside something that a stranger has chosen.
    /// See [the guide](crate::guide::compression).
    pub fn uncompressed(self) -> Self {
        Self { packing: Packing::AsItIs, ..self }
    }

    /// Answers the event.
    ///
    /// # Errors
    /// When the payload cannot be written, or the client's serializer cannot carry it.
    pub fn reply(self, status: impl AsRef<str>, payload: impl IntoPayload) -> Result<(), EncodeError> {
        let join = self.owing.join();
        let reply = Outgoing::Reply {
            join_ref: join.join_ref.as_ref(),
            reference: Some(&self.reference),
            topic: (&join.topic).into(),
            status: status.as_ref(),
            response: &payload.into_payload()?,
        };
        join.send_in(self.packing, reply)
    }
}
