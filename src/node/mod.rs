//! State shared by all mounts of this process: topics, presence, the way to other nodes.

mod program;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, OnceLock, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use lapwing_transports::options::error::OptionError;
use tokio::{runtime::Handle, sync::Notify};

use crate::{
    cluster::{
        Program,
        confirming::Confirming,
        error::{NotConfirmed, NotKept, TooLarge},
        link::Link,
        question::{Answer, Everywhere, MembersEverywhere, Question},
    },
    journal::{Happening, Journal},
    occasionally::{Occasionally, occasionally},
    presence::{Tracker, fetch::Fetcher, options::PresenceOptions},
    protocol::{EncodeError, RawJson, event},
    pubsub::{Audience, PubSub, PubSubError, PubSubMsg},
    sync::{
        self,
        atomic::{AtomicU64, Ordering},
    },
    topic::Topic,
    topics::{
        Member, Subscribed, Topics,
        broadcast::{Broadcast, ChannelId, TransportId},
        history::{HistoryError, NotRecovered, Read, Since},
        keep::Keep,
        kept::Kept,
        meter::Source,
        position::Position,
        published::{Published, Sent},
        slow::{SlowPolicy, Spared},
    },
};

/// The task of a join: its green thread, begun or not.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is too old takes memory for so much longer.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// One program's part of the whole.
pub(crate) struct Node {
    pub(crate) topics: Arc<Topics>,
    /// The sessions by their socket ids. Not among the topics: clients may join those, and programs pass on to them what
    /// clients say.
    pub(crate) socket_ids: Topics,
    pub(crate) tracker: Tracker,
    pub(crate) pubsub: Arc<dyn PubSub>,
    /// What happened to sessions lately, if the program wants to know; set before anything happens.
    pub(crate) journal: OnceLock<Journal>,
    /// The way to the other nodes of a cluster; set once, before anything happens.
    link: OnceLock<Link>,
    /// How many joins there are.
    joins: AtomicU64,
    /// Told when the last of them has ended.
    no_joins: Notify,
    /// The runtime that the first join came from, for what comes from threads that have none.
    runtime: OnceLock<Handle>,
    last_id: AtomicU64,
    /// What policies for slow clients have kept out of mailboxes.
    pub(crate) spared: Spared,
    /// Of the log lines about channels that could not be dropped.
    undroppable: Occasionally,
}

/// The reason why a broadcast did not reach everybody. It has reached all others, but where it says that nobody has it.
#[derive(Debug)]
#[non_exhaustive]
pub enum BroadcastError {
    /// A serializer in use on the topic cannot encode the payload.
    Encode(EncodeError),
    /// The other nodes could not be told.
    PubSub(PubSubError),
    /// It is too large for the other nodes of a cluster; this one's subscribers have it. Of a topic that the store of the cluster keeps nobody has it.
    TooLarge(TooLarge),
    /// The topic is kept by the store of a cluster, which is away, and as much waits for it as may: nobody gets it.
    NotKept(NotKept),
    /// The event was published to nobody: it has a name that is the protocol's own, or presence's, see
    /// [`protocol::event`](crate::protocol::event).
    ReservedEvent,
    /// It was published on the topic without a name, to nobody: a name that was forgotten, most likely. What a channel of that topic
    /// broadcasts itself is sent.
    EmptyTopic,
    /// It was published to nobody: its policy for slow clients contradicts itself.
    Policy(OptionError),
}

impl Node {
    pub(crate) fn new(
        pubsub: Arc<dyn PubSub>,
        presence: PresenceOptions,
        fetcher: Option<Fetcher>,
        topics: Topics,
    ) -> Self {
        let topics = Arc::new(topics);
        let publish = {
            let topics = topics.clone();
            // An encoding that failed is in the log already.
            move |broadcast: &Broadcast| drop(topics.dispatch(Source::Presence, broadcast))
        };
        Self {
            topics,
            socket_ids: Topics::new(),
            tracker: Tracker::new(presence, Arc::new(publish), fetcher),
            pubsub,
            journal: OnceLock::new(),
            link: OnceLock::new(),
            joins: AtomicU64::new(0),
            no_joins: Notify::new(),
            runtime: OnceLock::new(),
            last_id: AtomicU64::new(0),
            spared: Spared::default(),
            undroppable: Occasionally::default(),
        }
    }

    /// Notes what happened to a session, if anybody wants to know.
    pub(crate) fn note(&self, id: TransportId, socket_id: Option<&str>, what: impl FnOnce() -> Happening) {
        if let Some(journal) = self.journal.get() {
            journal.note(id, socket_id, what());
        }
    }

    /// Publishes on a topic that the program has named.
    pub(crate) fn publish_on(&self, broadcast: Broadcast) -> Result<Published, BroadcastError> {
        if broadcast.topic.is_empty() {
            self.topics.meter.failed.add("invalid", 1);
            return Err(BroadcastError::EmptyTopic);
        }
        self.publish(broadcast)
    }

    /// Publishes on all nodes, or on this one alone if the broadcast says so.
    pub(crate) fn publish(&self, mut broadcast: Broadcast) -> Result<Published, BroadcastError> {
        check(&broadcast).inspect_err(|error| {
            let is_reserved = matches!(error, BroadcastError::ReservedEvent);
            self.topics.meter.failed.add(if is_reserved { "reserved_event" } else { "invalid" }, 1);
        })?;
        broadcast.position = None;
        if broadcast.is_local {
            let position = self.dispatch(Source::Program, &broadcast)?;
            return Ok(Published { position, sent: Sent::Now });
        }
        if let Some(link) = self.link.get() {
            if let Some(keep) = self.topics.kept().and_then(|kept| kept.stores(&broadcast)) {
                let sent = link.keep(&broadcast, keep).map_err(BroadcastError::TooLarge);
                let sent = sent.and_then(|sent| sent.map_err(BroadcastError::NotKept));
                if let Err(error) = &sent {
                    let is_large = matches!(error, BroadcastError::TooLarge(_));
                    self.topics.meter.failed.add(if is_large { "too_large" } else { "not_kept" }, 1);
                }
                return sent.map(|sent| Published { position: None, sent });
            }
            return self.publish_to_all(link, &broadcast);
        }
        let from = broadcast.from.take();
        let mut message = PubSubMsg::new(broadcast);
        let published = self.pubsub.publish(&message).map_err(BroadcastError::PubSub);
        if published.is_err() {
            self.topics.meter.failed.add("pubsub", 1);
        }
        message.broadcast.from = from;
        let position = self.dispatch(Source::Program, &message.broadcast)?;
        published.map(|()| Published { position, sent: Sent::Now })
    }

    /// Gives a broadcast to the other nodes, and to the subscribers on this one.
    fn publish_to_all(&self, link: &Link, broadcast: &Broadcast) -> Result<Published, BroadcastError> {
        let mut sent = Ok(Sent::Now);
        let mut publish = || {
            let (outcome, origin) =
                link.publish(broadcast).map(|(sent, origin)| (Ok(sent), origin)).unwrap_or_else(|error| {
                    self.topics.meter.failed.add("too_large", 1);
                    (Err(BroadcastError::TooLarge(error)), None)
                });
            sent = outcome;
            origin
        };
        let position = if link.moves_sessions() {
            let ruled = self.ruled(broadcast);
            let broadcast = ruled.as_ref().unwrap_or(broadcast);
            let dispatched = self.topics.dispatch_numbered(Source::Program, broadcast, publish);
            dispatched.map_err(BroadcastError::Encode)?
        } else {
            publish();
            self.dispatch(Source::Program, broadcast)?
        };
        sent.map(|sent| Published { position, sent })
    }

    /// Ends all connections with a socket id, or joins of theirs, on all nodes; nobody waits for that.
    pub(crate) fn order(&self, message: PubSubMsg) -> Result<(), BroadcastError> {
        if let Some(link) = self.link() {
            let question = question_of(&message.broadcast, 0);
            // Here first: a session that goes at this moment is here, or where the others hear of it.
            self.deliver(message);
            return link
                .tell(&question)
                .map_err(|error| BroadcastError::PubSub(PubSubError(Box::new(error))));
        }
        let published = self.pubsub.publish(&message).map_err(BroadcastError::PubSub);
        self.deliver(message);
        published
    }

    /// The same, and waits until the other nodes have said so. What an adapter's nodes do is not known.
    pub(crate) async fn order_everywhere(&self, message: PubSubMsg) -> Result<Everywhere, BroadcastError> {
        if let Some(link) = self.link() {
            let question = question_of(&message.broadcast, 0);
            let here = self.deliver(message);
            return Ok(link.ask(&question).answered(here).await);
        }
        let published = self.pubsub.publish(&message).map_err(BroadcastError::PubSub);
        let here = self.deliver(message);
        published.map(|()| Everywhere::here(here))
    }

    /// How many joins a topic has on all nodes.
    pub(crate) async fn count_members(&self, topic: Topic) -> Everywhere {
        let question = Question::Members { topic: topic.as_str().to_owned() };
        let asking = self.link().map(|link| link.ask(&question));
        let here = self.topics.members(topic).count() as u64;
        match asking {
            Some(asking) => asking.answered(here).await,
            None => Everywhere::here(here),
        }
    }

    /// The joins of a topic on all nodes, so many at most.
    pub(crate) async fn list_members(&self, topic: Topic, limit: usize) -> MembersEverywhere {
        let question = Question::List { topic: topic.as_str().to_owned(), limit };
        let asking = self.link().map(|link| link.ask(&question));
        let mut everywhere = MembersEverywhere::default();
        let here = Answer::listing(self.topics.members(topic), limit);
        everywhere.add(self.link().map_or("", Link::name), here, limit);
        if let Some(asking) = asking {
            let (answers, missing) = asking.each().await;
            answers.into_iter().for_each(|(node, answer)| everywhere.add(&node, answer, limit));
            everywhere.missing = missing;
        }
        everywhere
    }

    /// Takes what another node published. Returns how many sessions were told, if it is for some.
    pub(crate) fn deliver(&self, mut message: PubSubMsg) -> u64 {
        message.broadcast.from = None;
        message.broadcast.position = None;
        match message.audience {
            Audience::Subscribers => {
                // The node that published it has the error; here it is in the log.
                let _ = self.dispatch(Source::Node, &message.broadcast);
                0
            }
            Audience::SocketId => self.socket_ids.dispatch_apart(&message.broadcast),
        }
    }

    fn dispatch(&self, source: Source, broadcast: &Broadcast) -> Result<Option<Position>, BroadcastError> {
        let ruled = self.ruled(broadcast);
        self.topics.dispatch(source, ruled.as_ref().unwrap_or(broadcast)).map_err(BroadcastError::Encode)
    }

    /// A broadcast with what its topic says about clients that are slow, where it does not say so itself.
    fn ruled(&self, broadcast: &Broadcast) -> Option<Broadcast> {
        self.topics.slow_rule(broadcast).map(|policy| broadcast.clone().slow(policy.clone()))
    }

    /// Reads a part of a kept topic's history.
    pub(crate) fn history(
        &self,
        topic: &Topic,
        read: Read,
        limit: usize,
    ) -> Result<Vec<Arc<Broadcast>>, HistoryError> {
        let kept = self.topics.kept().ok_or(HistoryError::NotKept)?;
        kept.read(topic, read, limit)
    }

    /// How much the store of a cluster keeps of a topic, if it does.
    fn stored(&self, topic: &Topic) -> Option<Keep> {
        self.topics.kept()?.stores_topic(topic)
    }

    /// Where a kept topic stands, on whatever node.
    pub(crate) async fn fetch_position(&self, topic: &Topic) -> Result<Position, HistoryError> {
        let kept = self.topics.kept().filter(|kept| kept.is_kept(topic)).ok_or(HistoryError::NotKept)?;
        match (kept.position(topic), self.link(), self.stored(topic)) {
            (Some(position), ..) => Ok(position),
            (None, Some(link), Some(keep)) => Ok(link.position(topic, keep).await?),
            _ => Err(HistoryError::Away),
        }
    }

    /// Reads a part of a kept topic's history, on whatever node.
    pub(crate) async fn fetch_history(
        &self,
        topic: &Topic,
        read: Read,
        limit: usize,
    ) -> Result<Vec<Arc<Broadcast>>, HistoryError> {
        let here = self.history(topic, read, limit);
        // Another node may have heard more, or know of another history already.
        let (true, Some(link), Some(keep)) = (here.is_err(), self.link(), self.stored(topic)) else {
            return here;
        };
        if let Read::After(position) = read {
            let mut messages = link.read(topic, keep, Some(position)).await?;
            messages.truncate(limit);
            return Ok(messages);
        }
        let mut messages = link.read(topic, keep, None).await?;
        if let Read::Before(end) = read {
            let last = messages.last().and_then(|last| last.position);
            if last.is_some_and(|last| last.epoch != end.epoch || last.offset < end.offset) {
                return Err(HistoryError::NotRecovered(NotRecovered::Epoch));
            }
            messages.retain(|message| message.position.is_some_and(|it| it.offset <= end.offset));
        }
        Ok(messages.split_off(messages.len().saturating_sub(limit)))
    }

    /// Hears and is heard by the other nodes of a cluster from now on.
    pub(crate) fn set_link(self: &Arc<Self>, link: Link) {
        self.tracker.set_others(link.number(), link.presence_sender());
        let program: Weak<dyn Program> = Arc::<Self>::downgrade(self);
        // What comes finds everything in its place.
        self.link.get_or_init(|| link).begin(program);
    }

    /// The way to the other nodes of a cluster, if there is one.
    pub(crate) fn link(&self) -> Option<&Link> {
        self.link.get()
    }

    /// The name of another node that lives.
    pub(crate) fn name_of(&self, number: u64) -> Option<String> {
        self.link()?.name_of(number)
    }

    /// Has other nodes' broadcasts on a topic come here, for one subscriber more.
    pub(crate) fn claim<'a>(&'a self, topic: &'a Topic) -> Claim<'a> {
        let confirming =
            Confirming::new(self.link().and_then(|link| link.subscribe(topic, self.stored(topic))));
        Claim { node: self, topic, confirming }
    }

    /// Ends what [`Claim::subscribe`] began: nothing is delivered to it any more once this returns.
    pub(crate) fn unsubscribe(&self, topic: &Topic, subscribed: Subscribed) {
        self.topics.unsubscribe(topic, subscribed);
        self.link().inspect(|link| link.unsubscribe(topic));
    }

    /// How many joins there are, those that are being decided and those that are ending included.
    pub(crate) fn joins(&self) -> u64 {
        self.joins.load(Ordering::Relaxed)
    }

    pub(crate) fn join_started(&self) {
        self.joins.fetch_add(1, Ordering::Relaxed);
        let mut is_first = false;
        let runtime = self.runtime.get_or_init(|| {
            is_first = true;
            Handle::current()
        });
        if is_first && self.topics.kept().is_some_and(Kept::is_swept) {
            sync::spawn(runtime, sweep(Arc::downgrade(&self.topics)));
        }
    }

    pub(crate) fn join_ended(&self) {
        if self.joins.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.no_joins.notify_waiters();
        }
    }

    /// Waits until no join is left. Cancel safe.
    pub(crate) async fn joins_ended(&self) {
        loop {
            let ended = self.no_joins.notified();
            if self.joins.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Runs a task as far as it gets without waiting, and leaves the rest to the runtime.
    ///
    /// Most callbacks never wait: for them this spares the runtime a task, and the client its turn in a queue.
    pub(crate) fn run(&self, mut task: Task) {
        if Handle::try_current().is_err() {
            return self.spawn(task);
        }
        // Whoever was to be woken meanwhile is not: the runtime polls the task again at once.
        let mut cx = Context::from_waker(Waker::noop());
        match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(&mut cx))) {
            Ok(Poll::Ready(())) => {}
            Ok(Poll::Pending) => self.spawn(task),
            // Callbacks are caught where they are called: this was a destructor's, and the hook has reported it.
            Err(_) => occasionally!(self.undroppable, error, "a channel could not be dropped"),
        }
    }

    /// Starts a task of a join: on the runtime of whoever has something for it, so that it runs on the same worker soon.
    pub(crate) fn spawn(&self, task: Task) {
        match (Handle::try_current(), self.runtime.get()) {
            (Ok(runtime), _) => sync::spawn(&runtime, task),
            (Err(_), Some(runtime)) => sync::spawn(runtime, task),
            (Err(_), None) => unreachable!("a join begins on a runtime"),
        }
    }

    pub(crate) fn next_channel_id(&self) -> ChannelId {
        ChannelId(self.next_id())
    }

    pub(crate) fn next_transport_id(&self) -> TransportId {
        TransportId(self.next_id())
    }

    fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A topic whose broadcasts come here from other nodes. If it is dropped, nobody needs them.
#[must_use]
pub(crate) struct Claim<'a> {
    node: &'a Node,
    topic: &'a Topic,
    confirming: Confirming,
}

impl Claim<'_> {
    /// Waits until they do; and, for a client that asks for what came after a position, until that is known here.
    pub(crate) async fn confirmed(&mut self, since: Option<Since>) -> Result<(), NotConfirmed> {
        self.confirming.wait().await?;
        match since {
            Some(Since::After(position)) => self.caught_up(position).await,
            _ => Ok(()),
        }
    }

    /// Waits until it is known here whether a position is one of the topic's history: another node may have heard more of it.
    async fn caught_up(&self, position: Position) -> Result<(), NotConfirmed> {
        let kept = self.node.topics.kept().filter(|kept| kept.stores_topic(self.topic).is_some());
        match (kept, self.node.link()) {
            (Some(kept), Some(link)) if !kept.knows(self.topic, position) => link.reread(self.topic).await,
            _ => Ok(()),
        }
    }

    /// Puts the subscriber among the others, for [`Node::unsubscribe`]. Runs `first` before any broadcast can reach it.
    pub(crate) fn subscribe(mut self, member: Member, first: impl FnOnce()) -> (Subscribed, Confirming) {
        let subscribed = self.node.topics.subscribe(self.topic, member, first);
        let confirming = std::mem::take(&mut self.confirming);
        // It is the subscriber who gives the topic back.
        std::mem::forget(self);
        (subscribed, confirming)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.node.link().inspect(|link| link.unsubscribe(self.topic));
    }
}

/// An order as it is asked of other nodes; one that was passed on so often.
fn question_of(order: &Broadcast, passed: u8) -> Question {
    // Those that this crate makes are JSON.
    let with = order.payload.as_json().cloned().unwrap_or(RawJson::empty_object());
    Question::Order { id: order.topic.as_str().to_owned(), order: order.event.to_string(), with, passed }
}

/// Forgets what kept topics have remembered for long enough, for as long as there are topics.
async fn sweep(topics: Weak<Topics>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let Some(topics) = topics.upgrade() else { return };
        topics.kept().inspect(|kept| kept.sweep());
    }
}

/// Whether a program may publish an event of that name.
fn check(broadcast: &Broadcast) -> Result<(), BroadcastError> {
    match &*broadcast.event {
        event if event::is_reserved(event) || event::is_of_presence(event) => {
            Err(BroadcastError::ReservedEvent)
        }
        _ => broadcast.slow.as_ref().map_or(Ok(()), SlowPolicy::check).map_err(BroadcastError::Policy),
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("topics", &self.topics)
            .field("joins", &self.joins)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for BroadcastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encode(_) => "the broadcast could not be encoded for some of its subscribers",
            Self::PubSub(_) => "the broadcast reached this node alone",
            Self::TooLarge(_) => "the broadcast is too large for other nodes: it reached this one alone, and nobody on a kept topic",
            Self::NotKept(_) => "the broadcast could not be kept, and reached nobody",
            Self::ReservedEvent => "the event's name is reserved",
            Self::EmptyTopic => "the topic has no name",
            Self::Policy(_) => "the policy for slow clients contradicts itself",
        })
    }
}

impl std::error::Error for BroadcastError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Encode(error) => Some(error),
            Self::PubSub(error) => Some(error),
            Self::TooLarge(error) => Some(error),
            Self::NotKept(error) => Some(error),
            Self::Policy(error) => Some(error),
            Self::ReservedEvent | Self::EmptyTopic => None,
        }
    }
}
