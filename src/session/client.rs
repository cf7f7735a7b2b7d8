//! A client's session as the channels see it: who it is, what it has joined.

use std::{
    fmt,
    sync::{Arc, PoisonError},
    task::{Context, Poll},
};

use lapwing_transports::{
    close::CloseReason,
    forms::Forms,
    frame::Frame,
    live::LiveSession,
    quoted::Quoted,
    session::{Pushed, backlog::Backlog, outbox::Waiting},
};
use tokio::time::Instant;
use tracing::debug;

use crate::{
    join::{self, Join, Peer, assigns::Assigns, leave_reason::LeaveReason, push_error::PushError},
    protocol::{Ref, Serializer},
    pubsub::Order,
    session::{
        joins::{Joined, Joins},
        login::Login,
        moving::luggage::Luggage,
        rates::{Bucket, JoinBucket},
    },
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU32, Ordering},
    },
    topic::Topic,
    topics::{
        Inbox, Lane, Subscribed,
        broadcast::{ChannelId, TransportId},
        delivery::Delivery,
        gap::Gap,
    },
};

/// A full mailbox.
const FULL: u32 = 2;
/// A message for a join was taken while a mailbox was full.
const ONE_MORE: u32 = 1;

/// The state of a session that belongs to its channels.
pub(crate) struct Client {
    pub(crate) transport_id: TransportId,
    pub(crate) serializer: Arc<dyn Serializer>,
    /// Boxed, as anonymous clients have none.
    login: Option<Box<Login>>,
    /// What it has said lately.
    pub(crate) said: Bucket,
    /// How many mailboxes of this session are full, times [`FULL`], and whether [`ONE_MORE`] came since.
    full: AtomicU32,
    state: Mutex<State>,
}

/// What a join is counted as: itself with its channel, its place in the tables, and its name in three of them.
pub(crate) fn bytes_of_join(topic: &str) -> usize {
    1_024 + 3 * topic.len()
}

/// The state under the lock. Locked before any join, topic or outbox.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) joins: Joins<Arc<Join>>,
    /// What every join finds.
    pub(crate) assigns: Assigns,
    /// The subscription to the socket id.
    pub(crate) subscribed: Option<Box<Subscribed>>,
    /// The session is over: what was still on its way starts nothing.
    pub(crate) closed: bool,
    /// The program looks at a new token.
    pub(crate) is_renewing: bool,
    /// How many joins there are, those included that have left the table and are not cleared away yet.
    alive: u32,
}

impl State {
    /// Puts a new join into its topic's place.
    pub(crate) fn insert(&mut self, join: Arc<Join>) {
        self.alive += 1;
        self.joins.insert(join);
    }

    /// How many joins are on their way out.
    pub(crate) fn ending(&self) -> usize {
        (self.alive as usize).saturating_sub(self.joins.len())
    }
}

impl Client {
    pub(crate) fn new(
        transport_id: TransportId,
        serializer: Arc<dyn Serializer>,
        login: Option<Box<Login>>,
        said: Bucket,
        assigns: Assigns,
    ) -> Self {
        let state = Mutex::new(State { assigns, ..State::default() });
        Self { transport_id, serializer, login, said, full: AtomicU32::new(0), state }
    }

    /// The name of all connections of a user.
    pub(crate) fn socket_id(&self) -> Option<&Topic> {
        self.login.as_deref().and_then(Login::id)
    }

    /// Where its joins are counted, if they are apart.
    pub(crate) fn joined(&self) -> Option<&JoinBucket> {
        self.login.as_deref().and_then(Login::joins)
    }

    /// What the client has brought, if its session may go to another node.
    pub(crate) fn luggage(&self) -> Option<&Luggage> {
        self.login.as_deref().and_then(Login::luggage)
    }

    /// The session is over.
    pub(crate) fn give_back_shares(&self) {
        if let Some(login) = &self.login {
            login.give_back_shares();
        }
    }

    /// Until when the login is good that the client connected with.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.login.as_deref().and_then(Login::until)
    }

    /// Whether the client may say more: every mailbox takes another message, or nothing for any of them came since one was
    /// full. So a client that waits for a channel and only says that it lives is heard.
    pub(crate) fn is_ready(&self) -> bool {
        let full = self.full.load(Ordering::Acquire);
        full < FULL || full & ONE_MORE == 0
    }

    /// A message for a join came. While a mailbox is full, that is the last that is read.
    pub(crate) fn handle_message(&self) {
        if self.full.load(Ordering::Acquire) >= FULL {
            self.full.fetch_or(ONE_MORE, Ordering::AcqRel);
        }
    }

    /// A mailbox is full.
    pub(crate) fn pause_reading(&self) {
        self.full.fetch_add(FULL, Ordering::AcqRel);
    }

    /// That mailbox has room again. Returns whether no other is full.
    pub(crate) fn resume_reading(&self) -> bool {
        let was_last = self.full.fetch_sub(FULL, Ordering::AcqRel) < 2 * FULL;
        if was_last {
            self.full.fetch_and(!ONE_MORE, Ordering::AcqRel);
        }
        was_last
    }

    /// A join is over; its topic is free unless a newer join has it.
    pub(crate) fn forget(&self, join: &Join) {
        self.state().joins.remove(&join.topic, |known| std::ptr::eq(&raw const **known, join));
    }

    /// Nothing is left of a join.
    pub(crate) fn cleared(&self) {
        self.state().alive -= 1;
    }

    /// Tells one of its joins that it missed something.
    pub(crate) fn tell_gap(&self, channel: ChannelId, gap: &Arc<Gap>) {
        let join = self.state().joins.get(&gap.topic).filter(|join| join.id == channel).cloned();
        if let Some(join) = join {
            join.tell_gap(gap);
        }
    }

    /// Ends the join of a topic, if there is one.
    pub(crate) fn kick(&self, topic: &str, why: String) {
        let join = self.state().joins.get(topic).cloned();
        if let Some(join) = join {
            join::stop(&join, LeaveReason::Kicked(why));
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.transport_id).finish_non_exhaustive()
    }
}

impl Lane for LiveSession<Client> {
    fn push_frame(&self, frame: Frame) {
        // A session that is over or cannot keep up is closed by now, and its joins with it.
        let _ = self.push(frame);
    }

    fn push_broadcast(&self, frame: Frame) {
        let _ = self.push_in_turn(frame);
    }

    fn compressed_forms(&self) -> Forms {
        LiveSession::compressed_forms(self)
    }

    fn serializer(&self) -> &Arc<dyn Serializer> {
        &self.state().serializer
    }

    fn transport_id(&self) -> TransportId {
        self.state().transport_id
    }

    fn socket_id(&self) -> Option<&str> {
        self.state().socket_id().map(|topic| &**topic)
    }

    fn tell_gap(&self, channel: ChannelId, gap: &Arc<Gap>) {
        self.state().tell_gap(channel, gap);
    }
}

impl Peer for LiveSession<Client> {
    fn waiting(&self) -> Backlog {
        LiveSession::waiting(self)
    }

    fn unacknowledged(&self) -> Waiting {
        LiveSession::unacknowledged(self)
    }

    fn carried_by(&self) -> Option<u64> {
        LiveSession::carried_by(self)
    }

    fn try_push(&self, frame: Frame, then: Option<Frame>) -> Result<(), PushError> {
        match LiveSession::try_push(self, frame, then) {
            Pushed::Full => Err(PushError::Full),
            Pushed::Queued
            | Pushed::Replaced
            | Pushed::Displaced(_)
            | Pushed::LeftOut
            | Pushed::Overflowed
            | Pushed::Closed => Ok(()),
        }
    }

    fn compress(&self, frame: &mut Frame) {
        LiveSession::compress(self, frame);
    }

    fn poll_ready(&self, cx: &Context<'_>) -> Poll<bool> {
        LiveSession::poll_ready(self, cx)
    }

    fn give_up(&self) {
        self.close(CloseReason::TooSlow);
    }

    fn room(&self) -> (usize, usize) {
        LiveSession::room(self)
    }

    fn hold(&self, bytes: usize) -> bool {
        let held = LiveSession::hold(self, bytes).is_ok();
        if !held {
            self.close(CloseReason::OverBudget);
        }
        held
    }

    fn release(&self, bytes: usize) {
        LiveSession::release(self, bytes);
    }

    fn pause_reading(&self) {
        self.state().pause_reading();
    }

    fn resume_reading(&self) {
        if self.state().resume_reading() {
            LiveSession::resume_reading(self);
        }
    }

    fn forget(&self, join: &Join) {
        self.state().forget(join);
    }

    fn cleared(&self, join: &Join) {
        self.state().cleared();
        let of_params = self.state().luggage().map_or(0, |luggage| luggage.remove(join.id));
        LiveSession::release(self, bytes_of_join(&join.topic) + of_params);
    }
}

/// A session as the handler serves it: one that a transport carries, or a test's.
pub(crate) trait Served: Peer + Inbox + 'static {
    fn client(&self) -> &Client;

    /// Ends the session, and tells its page why, in these words if there are any.
    fn end_for(&self, reason: CloseReason, words: &str);
}

impl Served for LiveSession<Client> {
    fn client(&self) -> &Client {
        self.state()
    }

    fn end_for(&self, reason: CloseReason, words: &str) {
        self.close_with(reason, words);
    }
}

/// A session is subscribed to its socket id, and told of ends alone. Locks the joins of the session, so that no topic may be
/// locked meanwhile.
impl Inbox for LiveSession<Client> {
    fn deliver(self: Arc<Self>, delivery: &mut Delivery<'_>) {
        match Order::of(delivery.broadcast) {
            Some(Order::Disconnect { reason, words }) => self.close_with(reason, &words),
            Some(Order::Kick { topic, why }) => self.state().kick(&topic, why),
            None => debug!(event = %Quoted::new(&delivery.broadcast.event), "an order that is not known"),
        }
    }
}

impl Joined for Arc<Join> {
    fn topic(&self) -> &Topic {
        &self.topic
    }

    fn stored_join_ref(&self) -> Option<&Ref> {
        Join::stored_join_ref(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of what there is one of for every client, and for every join. Larger needs a reason.
    #[test]
    fn sizes_do_not_grow() {
        let sizes = [
            ("a session with its client", size_of::<LiveSession<Client>>(), 208),
            ("a join", size_of::<Join>(), 176),
            ("what is known of a client", size_of::<Login>(), 24),
            ("a place among a topic's members", size_of::<crate::topics::Member>(), 24),
        ];
        for (what, size, size_max) in sizes {
            println!("{what}: {size} bytes");
            assert!(size <= size_max, "{what}: {size} bytes, were {size_max}");
        }
    }
}
