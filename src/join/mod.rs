//! A join as its session, its topic and its own task see it.
//!
//! ```text
//!   session ──post()──▶ ┌──────────────┐ ◀──deliver()── topics   (intercepted, or foreign)
//!                       │ Join: mailbox│
//!   Sender  ──info()──▶ └──────┬───────┘
//!                              │ take()
//!                              ▼
//!                        the join's task ──send()──▶ Peer: encoded, into the session's outbox
//! ```
//!
//! Everything that lives as long as the join is in one allocation. While nothing happens, that is all there is: the
//! channel rests in it, and a task is made of it when something comes.

pub(crate) mod arriving;
pub(crate) mod assigns;
mod inbox;
pub(crate) mod landing;
pub(crate) mod leave_reason;
mod log;
pub(crate) mod mailbox;
pub(crate) mod meter;
mod owing;
pub(crate) mod push_error;
pub(crate) mod refs;
pub(crate) mod rejoin;
mod states;
mod succession;
mod tracking;
mod turn;

use std::{
    any::Any,
    fmt,
    sync::{Arc, PoisonError},
    task::{Context, Poll},
};

use lapwing_transports::{frame::Frame, quoted::Quoted, session::outbox::Waiting};

use crate::{
    join::{
        assigns::Assigns,
        leave_reason::LeaveReason,
        mailbox::{ChannelMailbox, MailboxLimits},
        meter::Meter,
        push_error::PushError,
        refs::Refs,
        rejoin::Rejoins,
        tracking::Tracked,
        turn::{Arrival, Killed, Left, Turn},
    },
    journal::Happening,
    node::{Node, Task},
    protocol::{EncodeError, Outgoing, Payload, Ref},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    topic::Topic,
    topics::{
        Lane, Subscribed,
        broadcast::{Broadcast, ChannelId},
        delivery::RecordedFrames,
        log::Offset,
    },
};

use self::succession::Kin;
pub(crate) use self::{log::Log, owing::Owing};
pub(crate) use self::{
    succession::{Replaced, Running, Start},
    turn::Next,
};

/// The session that a join belongs to, as far as the join can see it.
pub(crate) trait Peer: Lane {
    /// Frames and bytes that wait to be sent to the client, and the age of the oldest.
    fn waiting(&self) -> lapwing_transports::session::backlog::Backlog;

    /// How much was sent and is kept until the client acknowledges it.
    fn unacknowledged(&self) -> Waiting;

    /// The number of the other node by which the client's stream comes.
    fn carried_by(&self) -> Option<u64> {
        None
    }

    /// Queues a frame, and another that belongs to it; neither where there is no room. A session that is over takes none, which is
    /// no error.
    fn try_push(&self, frame: Frame, then: Option<Frame>) -> Result<(), PushError>;

    /// Compresses a frame for this client before it is pushed, if its connection takes that and it is worth it.
    fn compress(&self, frame: &mut Frame) {
        let _ = frame;
    }

    /// Waits until less than half of what may wait for the client does; `false` if the session is over.
    fn poll_ready(&self, cx: &Context<'_>) -> Poll<bool>;

    /// Ends the session as one whose client is too slow.
    fn give_up(&self);

    /// How many frames and bytes there is room for until the client counts as one that cannot keep up.
    fn room(&self) -> (usize, usize);

    /// Counts bytes of the client's that are held from now on. If the mount can hold no more, the session is closed and nothing
    /// is counted.
    fn hold(&self, bytes: usize) -> bool;

    /// They are not held any more.
    fn release(&self, bytes: usize);

    /// A mailbox of this session's is full: nothing more is to be read from the client.
    fn pause_reading(&self);

    /// That mailbox has room again.
    fn resume_reading(&self);

    /// The join is over; its topic is free unless a newer join has it.
    fn forget(&self, join: &Join);

    /// Nothing is left of a join of this session.
    fn cleared(&self, join: &Join);
}

/// The part that is the same for all joins of a route.
#[derive(Debug)]
pub(crate) struct Kind {
    /// The name of the channel's type.
    pub(crate) name_of: fn() -> &'static str,
    pub(crate) intercept: &'static [&'static str],
}

impl Kind {
    pub(crate) fn name(&self) -> &'static str {
        (self.name_of)()
    }
}

/// The part that is the same for all joins of a route on a mount.
#[derive(Debug)]
pub(crate) struct Home {
    /// The pattern of the route.
    pub(crate) route: String,
    pub(crate) node: Arc<Node>,
    pub(crate) kind: &'static Kind,
    /// The state of the route, of the type that its channel says.
    pub(crate) state: Arc<dyn Any + Send + Sync>,
    pub(crate) limits: MailboxLimits,
    /// Ends joins that missed broadcasts, if the mount wants that.
    pub(crate) rejoins: Option<Arc<Rejoins>>,
    pub(crate) log: Log,
    pub(crate) meter: Meter,
}

/// A channel that waits for something to do.
pub(crate) trait Resting: Send {
    /// Makes a task of it, which handles this message first.
    fn rise(self: Box<Self>, join: Arc<Join>, message: Option<ChannelMailbox>) -> Task;
}

/// One client's membership of one topic.
pub(crate) struct Join {
    pub(crate) id: ChannelId,
    pub(crate) peer: Arc<dyn Peer>,
    home: Arc<Home>,
    pub(crate) topic: Topic,
    /// The join_ref of what is sent to the client: the join message's, or else its ref.
    pub(crate) join_ref: Option<Ref>,
    /// Whether the join message had a join_ref of its own.
    pub(crate) has_join_ref: bool,
    /// The client asked for positions.
    asked: AtomicBool,
    /// Broadcasts are missing, and the join is to be ended for that.
    missed: AtomicBool,
    /// How many presences the join tracks, those that are still asked for included.
    tracking: AtomicU32,
    tracked: Tracked,
    state: Mutex<State>,
}

/// The state under the lock. Nothing else is locked while it is held.
struct State {
    turn: Turn<Box<dyn Resting>>,
    /// The joins before and after this one on its topic; boxed, as few joins replace another.
    kin: Option<Box<Kin>>,
    subscribed: Option<Subscribed>,
    /// Other topics; boxed, as few joins have any.
    foreign: Option<Box<Vec<(Topic, Subscribed)>>>,
    assigns: Assigns,
}

/// Whether a frame may be compressed, where its client takes that and it is worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    AsItIs,
    Compressed,
}

/// Why a message did not get into a mailbox.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotTaken<T> {
    Full(T),
    Ended(T),
}

impl Join {
    pub(crate) fn new(
        peer: Arc<dyn Peer>,
        home: Arc<Home>,
        topic: Topic,
        refs: Refs,
        assigns: Assigns,
    ) -> Self {
        let Refs { join_ref, reference } = refs;
        let state = State { turn: Turn::new(), kin: None, subscribed: None, foreign: None, assigns };
        Self {
            id: home.node.next_channel_id(),
            peer,
            home,
            topic,
            has_join_ref: join_ref.is_some(),
            join_ref: join_ref.or(reference),
            asked: AtomicBool::new(false),
            missed: AtomicBool::new(false),
            tracking: AtomicU32::new(0),
            tracked: Tracked::default(),
            state: Mutex::new(state),
        }
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.home.node
    }

    pub(crate) fn kind(&self) -> &'static Kind {
        self.home.kind
    }

    /// The pattern of the route.
    pub(crate) fn route(&self) -> &str {
        &self.home.route
    }

    /// The state of the route.
    pub(crate) fn route_state(&self) -> &(dyn Any + Send + Sync) {
        &*self.home.state
    }

    pub(crate) fn log(&self) -> &Log {
        &self.home.log
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.home.meter
    }

    /// Notes what happened to this join's session.
    pub(crate) fn note(&self, what: impl FnOnce() -> Happening) {
        self.node().note(self.peer.transport_id(), self.peer.socket_id(), what);
    }

    /// The topic as a log shows it.
    pub(crate) fn quoted_topic(&self) -> Quoted<'_> {
        Quoted::new(&self.topic)
    }

    /// Takes a message of the client's. If that fills the mailbox, nothing more is read from the client.
    ///
    /// Returns the task that is to handle it, unless one is at work already.
    #[must_use]
    pub(crate) fn post(self: &Arc<Self>, message: ChannelMailbox) -> Option<Task> {
        let held = message.bytes_at_once();
        if held > 0 && !self.hold(held) {
            return None;
        }
        let mut state = self.state();
        match state.turn.arrive() {
            Arrival::Over => return None,
            Arrival::Begins(channel) => {
                drop(state);
                return Some(channel.rise(self.clone(), Some(message)));
            }
            Arrival::Waits => {}
        }
        let waits = message.bytes_of_client() - held;
        if waits > 0 && !(self.peer.hold(waits) && state.turn.owe(waits)) {
            return None;
        }
        if state.turn.push_of_client(message, &self.home.limits) {
            self.meter().full.add("client", 1);
            self.peer.pause_reading();
        }
        None
    }

    /// Counts bytes of the client's until they are handled, or the join is over. Not if it is already, or if the mount can hold
    /// no more; then the session is closed.
    pub(crate) fn hold(&self, bytes: usize) -> bool {
        if !self.peer.hold(bytes) {
            return false;
        }
        let owes = self.state().turn.owe(bytes);
        if !owes {
            self.peer.release(bytes);
        }
        owes
    }

    /// Bytes of the client's were handled.
    pub(crate) fn handled(&self, bytes: usize) {
        if bytes > 0 {
            let settled = self.state().turn.settle(bytes);
            self.peer.release(settled);
        }
    }

    /// Takes a message that no client waits for.
    pub(crate) fn post_later(self: &Arc<Self>, message: ChannelMailbox) {
        if let Some(task) = self.post(message) {
            self.node().spawn(task);
        }
    }

    /// Takes a message of the program's, if there is room; it is packed only then.
    pub(crate) fn info<M>(
        self: &Arc<Self>,
        message: M,
        pack: impl FnOnce(M) -> Box<dyn Any + Send>,
    ) -> Result<(), NotTaken<M>> {
        let mut state = self.state();
        match state.turn.arrive() {
            Arrival::Over => return Err(NotTaken::Ended(message)),
            Arrival::Begins(channel) => {
                drop(state);
                self.node().spawn(channel.rise(self.clone(), Some(ChannelMailbox::Info(pack(message)))));
            }
            Arrival::Waits if state.turn.has_room_for_info(&self.home.limits) => {
                state.turn.push_info(ChannelMailbox::Info(pack(message)));
            }
            Arrival::Waits => {
                self.meter().full.add("sender", 1);
                return Err(NotTaken::Full(message));
            }
        }
        Ok(())
    }

    /// Takes the channel from a task that is done, unless something has come meanwhile: then it is given back.
    pub(crate) fn park<C: Resting + 'static>(&self, channel: Box<C>) -> Option<Box<C>> {
        let mut state = self.state();
        if state.turn.may_park() {
            state.turn.park(channel);
            return None;
        }
        Some(channel)
    }

    /// Takes the next message.
    pub(crate) fn take(&self) -> Next {
        let (next, resumes) = self.state().turn.next(&self.home.limits);
        if resumes {
            self.peer.resume_reading();
        }
        next
    }

    /// Takes what is left when the join is over.
    pub(crate) fn take_left(&self) -> Option<ChannelMailbox> {
        self.state().turn.next_left()
    }

    /// A callback waits for something. Returns whether it may: not if the join is to be killed.
    pub(crate) fn wait(&self, cx: &Context<'_>) -> bool {
        self.state().turn.wait(cx.waker())
    }

    /// Ends the join without a last callback: at the next turn of its task, or at once if its channel rests.
    pub(crate) fn kill(self: &Arc<Self>) {
        let mut state = self.state();
        match state.turn.kill() {
            Killed::Wakes(waker) => waker.wake_by_ref(),
            Killed::Begins(channel) => {
                drop(state);
                self.node().spawn(channel.rise(self.clone(), None));
            }
            Killed::Known => {}
        }
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.state().turn.is_killed()
    }

    /// The client has its ok.
    pub(crate) fn set_joined(&self, subscribed: Subscribed) {
        let mut state = self.state();
        state.turn.set_joined();
        state.subscribed = Some(subscribed);
    }

    /// The client was told of the end.
    pub(crate) fn set_told(&self) {
        self.state().turn.set_told();
    }

    /// Whether the client believes that it is joined.
    pub(crate) fn owes_close(&self) -> bool {
        self.state().turn.owes_close()
    }

    /// Whether nothing is left to do: the channel rests, or the join is over.
    pub(crate) fn is_at_rest(&self) -> bool {
        let state = self.state();
        state.turn.is_ended() || state.turn.is_idle()
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.state().turn.is_ended()
    }

    /// Frees the topic and ends all subscriptions: no broadcast comes after this.
    pub(crate) fn withdraw(&self) {
        self.peer.forget(self);
        let mut state = self.state();
        let (own, foreign) = (state.subscribed.take(), state.foreign.take());
        drop(state);
        if let Some(own) = own {
            self.home.node.unsubscribe(&self.topic, own);
        }
        for (topic, subscribed) in foreign.into_iter().flat_map(|foreign| *foreign) {
            self.home.node.unsubscribe(&topic, subscribed);
        }
    }

    /// The join is over: what waits is dropped, what it tracked goes, and then whoever waits for the end goes on.
    pub(crate) fn end(self: &Arc<Self>) {
        let Some(left) = self.state().turn.end() else { return };
        if left.resumes {
            self.peer.resume_reading();
        }
        self.end_presences();
        // Dropped outside the lock: messages of the user's may do anything in their destructors.
        let Left { mut mailbox, channel, .. } = left;
        let settled = mailbox.settle(usize::MAX);
        drop((mailbox, channel));
        self.peer.release(settled);
    }

    fn clear(&self) {
        let mut state = self.state();
        state.turn.clear();
        let waiting = state.kin.as_mut().and_then(|kin| kin.waiting.take());
        drop(state);
        self.peer.cleared(self);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    /// Waits until nothing is left of this join. Cancel safe; one waits at a time.
    pub(crate) async fn cleared(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.state();
            if state.turn.is_cleared() {
                return Poll::Ready(());
            }
            state.kin.get_or_insert_default().waiting = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The join_ref of the join message as it stood there. What ends the join says this one, as Phoenix does.
    pub(crate) fn stored_join_ref(&self) -> Option<&Ref> {
        self.join_ref.as_ref().filter(|_| self.has_join_ref)
    }

    /// Encodes for the client and queues.
    pub(crate) fn send(&self, outgoing: Outgoing<'_>) -> Result<(), EncodeError> {
        self.send_in(Packing::AsItIs, outgoing)
    }

    /// The same, compressed perhaps: not where a topic's members are locked.
    pub(crate) fn send_in(&self, packing: Packing, outgoing: Outgoing<'_>) -> Result<(), EncodeError> {
        let mut frame = self.peer.serializer().encode(outgoing)?;
        if packing == Packing::Compressed {
            self.peer.compress(&mut frame);
        }
        self.peer.push_frame(frame);
        Ok(())
    }

    /// The same of the reply to the join: no state of the topic that comes later is told before it.
    pub(crate) fn send_first(&self, outgoing: Outgoing<'_>) -> Result<(), EncodeError> {
        let frame = self.peer.serializer().encode(outgoing)?;
        self.peer.push_frame(frame.as_fence());
        Ok(())
    }

    /// Gives the client a broadcast that waited for its turn behind others that the channel handles.
    pub(crate) fn give(&self, broadcast: &Broadcast) {
        let Some(position) = broadcast.position else { return };
        // One that cannot be encoded for this client passes it by, as it does where nothing is intercepted.
        if let Ok(frames) = self.recorded(position.offset, &broadcast.event, &broadcast.payload) {
            frames.each(|frame| self.peer.push_frame(frame));
        }
    }

    /// Encodes what the channel makes of a broadcast that has a place in the topic's history.
    pub(crate) fn recorded(
        &self,
        offset: Offset,
        event: &str,
        payload: &Payload,
    ) -> Result<RecordedFrames, EncodeError> {
        let serializer = &**self.peer.serializer();
        RecordedFrames::encode(serializer, (&self.topic, event, payload), offset)
    }

    /// Whether the channel wants to see an event of its topic before its client does.
    pub(crate) fn intercepts(&self, event: &str) -> bool {
        self.home.kind.intercept.contains(&event)
    }

    /// Whether the channel wants to see any.
    pub(crate) fn intercepts_any(&self) -> bool {
        !self.home.kind.intercept.is_empty()
    }

    /// How many messages and bytes can be given to the client at once: half of what fits, as other joins want room, too.
    pub(crate) fn room(&self) -> (usize, usize) {
        let (frames, bytes) = self.peer.room();
        let (frames, bytes) = (frames / 2, bytes / 2);
        match self.intercepts_any() {
            true => (frames.min(self.home.limits.messages_max), bytes.min(self.home.limits.bytes_max)),
            false => (frames, bytes),
        }
    }

    /// The client asked for positions.
    pub(crate) fn set_asked(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Broadcasts are missing: the join is ended when its turn comes, if the mount wants that.
    pub(crate) fn handle_missed(self: &Arc<Self>) {
        if let Some(rejoins) = &self.home.rejoins
            && !self.missed.swap(true, Ordering::Relaxed)
        {
            rejoins.add(self);
        }
    }

    pub(crate) fn with_assigns<R>(&self, use_them: impl FnOnce(&mut Assigns) -> R) -> R {
        use_them(&mut self.state().assigns)
    }

    /// Keeps a subscription to another topic, unless there is one already or the join is over.
    pub(crate) fn add_foreign(&self, topic: Topic, subscribe: impl FnOnce(&Topic) -> Subscribed) {
        if self.state().foreign.iter().flat_map(|foreign| foreign.iter()).any(|(known, _)| *known == topic) {
            return;
        }
        // Not under the lock, which the topic's members may want. Only the join's own task comes here.
        let subscribed = subscribe(&topic);
        self.state().foreign.get_or_insert_default().push((topic, subscribed));
    }

    pub(crate) fn remove_foreign(&self, topic: &Topic) {
        let mut state = self.state();
        let Some(foreign) = &mut state.foreign else { return };
        let Some(index) = foreign.iter().position(|(known, _)| known == topic) else { return };
        let (topic, subscribed) = foreign.swap_remove(index);
        drop(state);
        self.home.node.unsubscribe(&topic, subscribed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Join");
        debug.field("id", &self.id).field("topic", &self.topic).field("channel", &self.kind().name());
        debug.finish_non_exhaustive()
    }
}

/// Puts the reason of an end from outside at the end of the mailbox, behind what the client sent before.
pub(crate) fn stop(join: &Arc<Join>, reason: LeaveReason) {
    join.post_later(ChannelMailbox::Stop(reason));
}
