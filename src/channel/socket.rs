//! A join as a handle: what its channel, and whatever that hands it to, can do with it.

use std::{any::Any, future::poll_fn, ops::Deref, sync::Arc};

use lapwing_transports::{
    frame::Frame,
    policy::Policy,
    session::{backlog::Backlog, outbox::Waiting},
};

use crate::{
    cluster::confirming::Confirming,
    join::{Join, Packing, assigns::Assigns, push_error::PushError},
    node::BroadcastError,
    presence::{Count, PresenceError, Showing},
    protocol::{EncodeError, IntoPayload, Outgoing, Payload, Ref, event},
    pubsub::{Disconnect, PubSubMsg},
    topic::Topic,
    topics::{
        Member,
        broadcast::{Broadcast, ChannelId, TransportId},
        history::{HistoryError, Read},
        log::Offset,
        position::Position,
        published::Published,
    },
};

/// The facts of a join, known before and after the client is in: the part that [`Joining`](crate::Joining) and [`Socket`] share.
#[derive(Clone, Debug)]
pub struct JoinInfo {
    pub(crate) join: Arc<Join>,
}

impl JoinInfo {
    /// The topic that is joined.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.join.topic
    }

    /// The number of this join.
    #[must_use]
    pub fn channel_id(&self) -> ChannelId {
        self.join.id
    }

    /// The number of the client's session.
    #[must_use]
    pub fn transport_id(&self) -> TransportId {
        self.join.peer.transport_id()
    }

    /// The id that the client's connection was given on connect, the same for all connections of a user.
    #[must_use]
    pub fn socket_id(&self) -> Option<&str> {
        self.join.peer.socket_id()
    }

    /// The join_ref under which the client knows this join; `None` from clients that send none.
    #[must_use]
    pub fn join_ref(&self) -> Option<&Ref> {
        self.join.join_ref.as_ref()
    }

    /// All assigned values: those of the connection, of the route, and of this join.
    #[must_use]
    pub fn assigns(&self) -> Assigns {
        self.join.with_assigns(|assigns| assigns.clone())
    }

    /// Assigns a value of any type to a key, for this join.
    pub fn assign(&self, key: impl AsRef<str>, value: impl Any + Send + Sync) {
        self.join.with_assigns(|assigns| assigns.insert(key, value));
    }

    /// The value assigned to a key, if there is one and it is of that type.
    #[must_use]
    pub fn get_assign<T: Any + Send + Sync>(&self, key: &str) -> Option<Arc<T>> {
        self.join.with_assigns(|assigns| assigns.get(key))
    }
}

/// A join's socket. Callbacks get it within their [`Context`](crate::Context); it is cheap to clone, and clones can be kept and
/// used anywhere.
///
/// Once the join is over, what is pushed reaches the client only as long as its connection lasts, and a client
/// takes it only if it has not joined again.
#[derive(Debug)]
pub struct Socket {
    info: JoinInfo,
    /// An intercepted event of presence is being handled, which may be passed on.
    is_handling_presence: bool,
    /// An intercepted event is being handled that has this place in the topic's history: what is pushed tells it.
    offset: Option<Offset>,
    /// What is pushed has the policy of the intercepted event that is being handled.
    policy: Option<Policy>,
    packing: Packing,
}

/// A clone belongs to no callback.
impl Clone for Socket {
    fn clone(&self) -> Self {
        Self { offset: None, policy: None, ..self.with_packing(self.packing) }
    }
}

impl Socket {
    pub(crate) fn new(join: Arc<Join>) -> Self {
        let info = JoinInfo { join };
        Self { info, is_handling_presence: false, offset: None, policy: None, packing: Packing::Compressed }
    }

    /// The same socket, but what is pushed and broadcast by it is never compressed: for messages that have a secret beside something
    /// that a stranger has chosen, since their length tells of the secret. See [the guide](crate::guide::compression).
    ///
    /// ```
    /// # use lapwing::{Channel, Context};
    /// use serde_json::json;
    ///
    /// fn invite<C: Channel>(cx: &Context<C>, code: &str, from: &str) -> Result<(), lapwing::PushError> {
    ///     cx.uncompressed().push("invited", json!({"code": code, "from": from}))
    /// }
    /// ```
    #[must_use]
    pub fn uncompressed(&self) -> Self {
        self.with_packing(Packing::AsItIs)
    }

    fn with_packing(&self, packing: Packing) -> Self {
        let Self { is_handling_presence, offset, .. } = *self;
        Self { info: self.info.clone(), is_handling_presence, offset, policy: self.policy.clone(), packing }
    }

    /// Sends an event to this client alone. It waits in the client's outbox behind whatever else does; there is no waiting for room.
    ///
    /// # Errors
    /// [`PushError::Full`] where as much waits for the client as may: nothing is sent then. A channel that has more for a client
    /// than a handful of events uses [`push_when_ready`](Self::push_when_ready).
    /// [`PushError::Encode`] when the client's serializer cannot carry the payload: V2 takes JSON objects and bytes; and, with
    /// [`EncodeError::ReservedEvent`], for names that are the protocol's own. Those of presence are, too, but where
    /// [`handle_out`](crate::Channel::handle_out) passes on what presence says; see
    /// [`push_presences`](Self::push_presences).
    pub fn push(&self, event: impl AsRef<str>, payload: impl IntoPayload) -> Result<(), PushError> {
        let (frame, then) = self.encode(event.as_ref(), payload)?;
        self.join.peer.try_push(frame, then)
    }

    /// Sends an event to this client alone, as soon as less than half of what may wait for it does. Meanwhile the client's
    /// connection goes on writing, other joins go on, and this callback waits: however much it sends, no more than that is held.
    ///
    /// ```
    /// use lapwing::{Channel, Context, Failure, Handled, Joining, Payload, Topic, reply};
    /// use serde_json::json;
    ///
    /// struct Export;
    ///
    /// impl Channel for Export {
    ///     type State = Vec<u64>;
    ///
    ///     async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
    ///         Ok(Export)
    ///     }
    ///
    ///     async fn handle_in(&mut self, _: &str, _: Payload, cx: &Context<Self>) -> Handled {
    ///         for row in cx.state() {
    ///             cx.push_when_ready("row", json!({"row": row})).await?;
    ///         }
    ///         Ok(reply("ok", json!({"rows": cx.state().len()})))
    ///     }
    /// }
    /// ```
    ///
    /// Events that were sent so come in the order in which their futures were ready. Cancel safe: a future that is dropped before
    /// it is ready has sent nothing, and one that is ready has sent the event once.
    ///
    /// It waits for as long as the client reads, however slowly. A client that does not is silent, and its session ends as that
    /// of any silent client does.
    ///
    /// # Errors
    /// [`PushError::Closed`] when the client's session is over; [`PushError::Encode`] as for [`push`](Self::push).
    pub async fn push_when_ready(
        &self,
        event: impl AsRef<str>,
        payload: impl IntoPayload,
    ) -> Result<(), PushError> {
        let (frame, then) = self.encode(event.as_ref(), payload)?;
        loop {
            self.ready().await?;
            // Others may have filled it since.
            match self.join.peer.try_push(frame.clone(), then.clone()) {
                Err(PushError::Full) => {}
                pushed => return pushed,
            }
        }
    }

    /// Waits until less than half of what may wait for this client does. What follows may use [`push`](Self::push) for a few
    /// events; others push meanwhile, too, so that it may find no room all the same. Cancel safe.
    ///
    /// # Errors
    /// [`PushError::Closed`] when the client's session is over.
    pub async fn ready(&self) -> Result<(), PushError> {
        match poll_fn(|cx| self.join.peer.poll_ready(cx)).await {
            true => Ok(()),
            false => Err(PushError::Closed),
        }
    }

    /// An event to this client alone as frames: the second tells the position that the first has no place for.
    fn encode(&self, event: &str, payload: impl IntoPayload) -> Result<(Frame, Option<Frame>), EncodeError> {
        if event::is_reserved(event) || (event::is_of_presence(event) && !self.is_handling_presence) {
            return Err(EncodeError::ReservedEvent);
        }
        let payload = &payload.into_payload()?;
        let (mut frame, then) = if let Some(offset) = self.offset {
            self.join.recorded(offset, event, payload)?.into_parts()
        } else {
            let push = Outgoing::Push { join_ref: self.join_ref(), topic: &self.join.topic, event, payload };
            let frame = self.join.peer.serializer().encode(push)?;
            match &self.policy {
                None => (frame, None),
                Some(policy) => (frame.with_policy(policy.clone()), None),
            }
        };
        if self.packing == Packing::Compressed {
            self.join.peer.compress(&mut frame);
        }
        Ok((frame, then))
    }

    /// Publishes an event to all subscribers of the topic, this client included, on all nodes.
    ///
    /// # Errors
    /// See [`BroadcastError`].
    pub fn broadcast(
        &self,
        event: impl AsRef<str>,
        payload: impl IntoPayload,
    ) -> Result<Published, BroadcastError> {
        self.join.node().publish(self.broadcast_of(event, payload)?)
    }

    /// Publishes an event to all subscribers of the topic but this client.
    ///
    /// # Errors
    /// See [`BroadcastError`].
    pub fn broadcast_from(
        &self,
        event: impl AsRef<str>,
        payload: impl IntoPayload,
    ) -> Result<Published, BroadcastError> {
        self.join.node().publish(self.broadcast_of(event, payload)?.except(self.join.id))
    }

    /// Publishes on any topic, as [`Lapwing::publish`](crate::Lapwing::publish) does.
    ///
    /// # Errors
    /// See [`BroadcastError`].
    pub fn publish(&self, broadcast: Broadcast) -> Result<Published, BroadcastError> {
        self.join.node().publish_on(broadcast)
    }

    /// The position of the topic, if it is kept: see [`Lapwing::position`](crate::Lapwing::position).
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.join.node().topics.kept()?.position(&self.join.topic)
    }

    /// Reads at most `limit` messages of the topic, if it is kept, oldest first: see
    /// [`Lapwing::history`](crate::Lapwing::history).
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub fn history(&self, read: Read, limit: usize) -> Result<Vec<Arc<Broadcast>>, HistoryError> {
        self.join.node().history(&self.join.topic, read, limit)
    }

    /// Reads as [`history`](Self::history) does, and asks the store of a cluster for what is not known here: see
    /// [`Lapwing::fetch_history`](crate::Lapwing::fetch_history). Cancel safe: it changes nothing.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub async fn fetch_history(&self, read: Read, limit: usize) -> Result<Vec<Arc<Broadcast>>, HistoryError> {
        self.join.node().fetch_history(&self.join.topic, read, limit).await
    }

    /// Ends the joins of a socket id on a topic, as [`Lapwing::kick`](crate::Lapwing::kick) does.
    ///
    /// # Errors
    /// [`BroadcastError::PubSub`] when the other nodes could not be told.
    pub fn kick(
        &self,
        topic: impl Into<Topic>,
        socket_id: impl Into<Topic>,
        why: impl AsRef<str>,
    ) -> Result<(), BroadcastError> {
        self.join.node().order(PubSubMsg::kick(topic, socket_id, why.as_ref()))
    }

    /// Ends all connections of a socket id, as [`Lapwing::disconnect`](crate::Lapwing::disconnect) does.
    ///
    /// # Errors
    /// [`BroadcastError::PubSub`] when the other nodes could not be told.
    pub fn disconnect(&self, socket_id: impl Into<Topic>) -> Result<(), BroadcastError> {
        self.join.node().order(PubSubMsg::disconnect(socket_id))
    }

    /// The same with a reason, as [`Lapwing::disconnect_with`](crate::Lapwing::disconnect_with).
    ///
    /// # Errors
    /// [`BroadcastError::PubSub`] when the other nodes could not be told.
    pub fn disconnect_with(
        &self,
        socket_id: impl Into<Topic>,
        disconnect: Disconnect,
    ) -> Result<(), BroadcastError> {
        self.join.node().order(PubSubMsg::disconnect_with(socket_id, &disconnect))
    }

    /// The frames and bytes that wait to be sent to this client, over all its joins, and the age of the oldest. A channel that sends much,
    /// and may leave something out, asks before it sends; at [`OutboxLimits`](crate::OutboxLimits) the session is closed.
    ///
    /// Frames that were sent over a resumable session and are not acknowledged do not count: see [`unacknowledged`](Self::unacknowledged).
    ///
    /// Costs a lock for a moment.
    #[must_use]
    pub fn waiting(&self) -> Backlog {
        self.join.peer.waiting()
    }

    /// The frames and bytes that were sent to this client over a resumable session, and are kept until the client acknowledges them. Nothing of
    /// others, whose connections are all there is to know of what arrives.
    ///
    /// Costs a lock for a moment.
    #[must_use]
    pub fn unacknowledged(&self) -> Waiting {
        self.join.peer.unacknowledged()
    }

    /// In a cluster, the name of the other node by which the client's stream comes at the moment, which carries it to this one. `None` where it comes
    /// straight, and of clients that poll: each poll comes by whichever node it is sent to.
    ///
    /// Costs a lock for a moment, and another one if there is such a node.
    #[must_use]
    pub fn carried_by(&self) -> Option<String> {
        self.join.node().name_of(self.join.peer.carried_by()?)
    }

    /// Subscribes this join to another topic, too; its broadcasts arrive in
    /// [`handle_broadcast`](crate::Channel::handle_broadcast). A second time does nothing.
    ///
    /// In a cluster, what is returned can be awaited: then the broadcasts of other nodes reach this one.
    pub fn subscribe(&self, topic: impl Into<Topic>) -> Confirming {
        let topic = topic.into();
        let mut confirming = Confirming::default();
        if topic == self.join.topic || self.join.is_ended() {
            return confirming;
        }
        let subscribe = |topic: &Topic| {
            let member = Member::Inbox(self.join.clone());
            let subscribed;
            (subscribed, confirming) = self.join.node().claim(topic).subscribe(member, || {});
            subscribed
        };
        self.join.add_foreign(topic, subscribe);
        confirming
    }

    /// Ends a subscription to another topic.
    pub fn unsubscribe(&self, topic: impl Into<Topic>) {
        self.join.remove_foreign(&topic.into());
    }

    /// Says that `key` is present on the topic, with a meta (a JSON object) that everybody sees. Returns the
    /// reference of this presence. It goes when the join ends, however it does.
    ///
    /// The answer comes after the diff that tells the topic. Dropping the future does not take the request back.
    ///
    /// # Errors
    /// See [`PresenceError`].
    pub async fn track(&self, key: impl AsRef<str>, meta: impl IntoPayload) -> Result<String, PresenceError> {
        let asked = self.join.track(key.as_ref(), &meta_of(meta)?, None);
        asked.answered().await.inspect_err(|_| self.join.untracked())
    }

    /// Says that `key` is present, as [`track`](Self::track) does, and pushes to this client who is, itself included:
    /// what a join to a room of people begins with. Dropping the future does not take the request back.
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
    ///     async fn join(_: &Topic, params: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
    ///         Ok(Member(params.parse()?))
    ///     }
    ///
    ///     async fn joined(&mut self, cx: &Context<Self>) -> Handled {
    ///         cx.track_and_push_presences(&self.0, json!({"status": "here"})).await?;
    ///         Ok(noreply())
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`track`](Self::track), and then as [`push_presences`](Self::push_presences): with an error of the latter the
    /// key is tracked all the same.
    pub async fn track_and_push_presences(
        &self,
        key: impl AsRef<str>,
        meta: impl IntoPayload,
    ) -> Result<String, PresenceError> {
        let (showing, shown) = Showing::new(self.join.clone());
        let asked = self.join.track(key.as_ref(), &meta_of(meta)?, Some(showing));
        let reference = asked.answered().await.inspect_err(|_| self.join.untracked())?;
        shown.answered().await?;
        Ok(reference)
    }

    /// Pushes to this client who is present on the topic, as `presence_state`; on a topic that is
    /// [count-only](crate::PresenceOptions::count_only) how many are, as `presence_count`.
    ///
    /// The client gets it in an order with the diffs: what those have said that came before it is in it, and those that
    /// come behind it are of later changes or repeat some that are in it. A program that pushed what
    /// [`presences`](Self::presences) returned could not keep that order, which is why [`push`](Self::push) refuses
    /// to. Dropping the future does not take the request back.
    ///
    /// # Errors
    /// [`PresenceError::StateTooLong`] on a topic with too many of them; when the presence engine is busy.
    pub async fn push_presences(&self) -> Result<(), PresenceError> {
        self.join.node().tracker.show(self.join.clone(), None).answered().await
    }

    /// The same of the first `keys_max` keys alone: for a first look at a topic of thousands. Clients hear of the others by
    /// diffs.
    ///
    /// # Errors
    /// As [`push_presences`](Self::push_presences).
    pub async fn push_presences_up_to(&self, keys_max: usize) -> Result<(), PresenceError> {
        self.join.node().tracker.show(self.join.clone(), Some(keys_max)).answered().await
    }

    /// Changes the meta of a key that this join tracks, to a JSON object. Returns the new reference of the presence.
    ///
    /// Dropping the future does not take the request back.
    ///
    /// # Errors
    /// [`PresenceError::NotTracked`] if it does not; see [`PresenceError`] for the others.
    pub async fn update(
        &self,
        key: impl AsRef<str>,
        meta: impl IntoPayload,
    ) -> Result<String, PresenceError> {
        let tracker = &self.join.node().tracker;
        tracker.update(&self.join.topic, key.as_ref(), self.join.id, &meta_of(meta)?).answered().await
    }

    /// Changes the meta of a key that this join tracks by a function of the one that it has.
    ///
    /// Dropping the future before the function was called changes nothing; afterwards it does not take the request back.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub async fn update_with<P: IntoPayload>(
        &self,
        key: impl AsRef<str>,
        change: impl FnOnce(Payload) -> P + Send,
    ) -> Result<String, PresenceError> {
        let tracker = &self.join.node().tracker;
        let key = key.as_ref();
        let meta = tracker.meta(&self.join.topic, key, self.join.id).answered().await?;
        let meta = meta_of(change(meta))?;
        tracker.update(&self.join.topic, key, self.join.id, &meta).answered().await
    }

    /// Says that a key is no longer present. One that this join does not track is no error.
    ///
    /// Dropping the future does not take the request back; the key then counts as tracked for
    /// [`PresenceOptions::per_join_max`](crate::PresenceOptions::per_join_max) until the join ends.
    ///
    /// # Errors
    /// When the presence engine is busy.
    pub async fn untrack(&self, key: impl AsRef<str>) -> Result<(), PresenceError> {
        let tracker = &self.join.node().tracker;
        let was_tracked = tracker.untrack(&self.join.topic, key.as_ref(), self.join.id).answered().await?;
        if was_tracked {
            self.join.untracked();
        }
        Ok(())
    }

    /// Returns who is present on the topic: the payload of `presence_state`. For the program, or in a reply;
    /// [`push_presences`](Self::push_presences) is what a page's list begins with. Cancel safe: it changes nothing.
    ///
    /// # Errors
    /// [`PresenceError::StateTooLong`] on a topic with too many of them; when the presence engine is busy.
    pub async fn presences(&self) -> Result<Payload, PresenceError> {
        self.join.node().tracker.list(&self.join.topic, None).await
    }

    /// Returns who is present, of the first `keys_max` keys alone. Cancel safe: it changes nothing.
    ///
    /// # Errors
    /// When the presence engine is busy.
    pub async fn presences_up_to(&self, keys_max: usize) -> Result<Payload, PresenceError> {
        self.join.node().tracker.list(&self.join.topic, Some(keys_max)).await
    }

    /// The presence of one key, with an empty list of metas if it is not there. Cancel safe: it changes nothing.
    ///
    /// # Errors
    /// When the presence engine is busy.
    pub async fn presence(&self, key: impl AsRef<str>) -> Result<Payload, PresenceError> {
        self.join.node().tracker.get(&self.join.topic, key.as_ref()).await
    }

    /// The number of presences on the topic. Cancel safe: it changes nothing.
    ///
    /// # Errors
    /// When the presence engine is busy.
    pub async fn presence_count(&self) -> Result<Count, PresenceError> {
        self.join.node().tracker.count(&self.join.topic).answered().await
    }

    fn broadcast_of(
        &self,
        event: impl AsRef<str>,
        payload: impl IntoPayload,
    ) -> Result<Broadcast, BroadcastError> {
        let payload = payload.into_payload().map_err(BroadcastError::Encode)?;
        let broadcast = Broadcast::new(&self.join.topic, event, payload);
        Ok(match self.packing {
            Packing::AsItIs => broadcast.uncompressed(),
            Packing::Compressed => broadcast,
        })
    }

    /// An intercepted event is about to be handled.
    pub(crate) fn set_intercepted(&mut self, broadcast: Option<&Broadcast>) {
        self.is_handling_presence =
            broadcast.is_some_and(|broadcast| event::is_of_presence(&broadcast.event));
        let position = broadcast.and_then(|broadcast| broadcast.position);
        self.offset = position.filter(|_| self.join.has_asked()).map(|position| position.offset);
        self.policy = broadcast.and_then(|broadcast| {
            broadcast.policy()?.mark(&self.join.topic, &broadcast.event, self.join.peer.serializer())
        });
        self.packing = match broadcast {
            Some(broadcast) if broadcast.is_uncompressed => Packing::AsItIs,
            _ => Packing::Compressed,
        };
    }
}

fn meta_of(meta: impl IntoPayload) -> Result<Payload, PresenceError> {
    meta.into_payload().map_err(PresenceError::Meta)
}

impl Deref for Socket {
    type Target = JoinInfo;

    fn deref(&self) -> &JoinInfo {
        &self.info
    }
}
