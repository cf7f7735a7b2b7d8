//! What a program says to the cluster.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use lapwing_cluster::{
    Channel, Instance, Key, Peer, Sent, Spread, Standing, TopicHasher,
    relay::NotOpened,
    wire::{PayloadKind, Slow},
};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::Instant,
};

use crate::{
    call::{Answers, CallError},
    moves::SessionMoves,
    relays::Relay,
    shared::{Shared, Verdict, Wanted},
    stats::Stats,
    store::Store,
};

/// A running node of a cluster. Clones are the same node; when the last one is dropped without
/// [`shutdown`](Self::shutdown), the node ends at once, and the others find it silent a few seconds later.
///
/// No call but [`shutdown`](Self::shutdown) waits for the engine.
#[derive(Clone, Debug)]
pub struct Cluster {
    owner: Arc<Owner>,
}

#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    hasher: TopicHasher,
    spread: Spread,
    store: Option<Arc<dyn Store>>,
    /// When to give up saying goodbye; the task ends when this is dropped.
    stop: watch::Sender<Option<Instant>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Cluster {
    pub(crate) fn new(
        shared: Arc<Shared>,
        (hasher, spread): (TopicHasher, Spread),
        store: Option<Arc<dyn Store>>,
        stop: watch::Sender<Option<Instant>>,
        task: JoinHandle<()>,
    ) -> Self {
        let task = Mutex::new(Some(task));
        Self { owner: Arc::new(Owner { shared, hasher, spread, store, stop, task }) }
    }

    /// Publishes a broadcast to the other nodes, with its policy for slow clients, if it has one of its own; says what becomes of it. It
    /// is numbered and kept when this returns.
    pub fn publish(
        &self,
        topic: &str,
        event: &str,
        kind: PayloadKind,
        slow: Option<Slow>,
        payload: Bytes,
    ) -> Sent {
        self.publish_numbered(topic, event, kind, slow, payload).0
    }

    /// The same, and the number that it has among this node's publications. Whoever gives out broadcasts here in the order of such numbers can say
    /// how far somebody has heard them.
    pub fn publish_numbered(
        &self,
        topic: &str,
        event: &str,
        kind: PayloadKind,
        slow: Option<Slow>,
        payload: Bytes,
    ) -> (Sent, u64) {
        self.shared().publish(topic, event, kind, slow, payload)
    }

    /// Up to which number the publications of each node that lives are settled here on a topic's channel: see [`Node::settled`].
    ///
    /// [`Node::settled`]: lapwing_cluster::Node::settled
    #[must_use]
    pub fn settled(&self, topic: &str) -> Vec<(Instance, Option<u64>)> {
        self.shared().settled(topic)
    }

    /// Whether this node has come as far with a topic as another one that has said this of it. What it tells the program of has come before whatever
    /// is told behind this call.
    #[must_use]
    pub fn has_settled(&self, topic: &str, there: &[(Instance, Option<u64>)]) -> bool {
        self.shared().has_settled(topic, there)
    }

    /// Waits until the program has done what it was told so far, or is told nothing any more.
    pub fn marked(&self) -> impl Future<Output = ()> + Send + use<> {
        let marked = self.shared().mark();
        async move {
            // Dropped is as good as reached.
            let _ = marked.await;
        }
    }

    /// A member more has this topic here. Answer its join when the confirmation is there: what is published from then on reaches it,
    /// or is told as a gap. Each call is undone by one of [`unsubscribe`](Self::unsubscribe), also if the confirmation was not waited
    /// for.
    ///
    /// A confirmation takes no time and no memory when the topic's channel is delivered already; with
    /// [`Spread::Partitions`] that is the rule. While the engine is away it waits as long as that: set a deadline.
    pub fn subscribe(&self, topic: &str) -> Confirmation {
        Confirmation(self.shared().subscribe(topic))
    }

    /// A member less has this topic here.
    pub fn unsubscribe(&self, topic: &str) {
        self.shared().unsubscribe(topic);
    }

    /// The key of a topic's channel: a gap names the topics that it concerns by theirs.
    #[must_use]
    pub fn key(&self, topic: &str) -> Key {
        self.owner.hasher.key(self.owner.spread, topic)
    }

    /// What keeps broadcasts for those who come later, if the engine can.
    #[must_use]
    pub fn store(&self) -> Option<&Arc<dyn Store>> {
        self.owner.store.as_ref()
    }

    /// What a store is to be given for a topic: `entry`, and the seal of the application's secret if there is one.
    #[must_use]
    pub fn seal(&self, topic: &str, entry: Bytes) -> Bytes {
        self.shared().seal(Channel::Topics(self.key(topic)), entry)
    }

    /// What a store was given for the topics with a key; `None` if it was not sealed with the application's secret. That is counted in
    /// [`Stats::forged`](crate::Stats::forged).
    #[must_use]
    pub fn open(&self, key: Key, entry: &Bytes) -> Option<Bytes> {
        self.shared().open(Channel::Topics(key), entry)
    }

    /// Sends a message of the presence replica to one node, or to all. It may be lost.
    pub fn send_presence(&self, to: Option<Instance>, bytes: Bytes) {
        self.shared().send_presence(to, bytes);
    }

    /// Asks one node, or all that live, at once. The question is repeated to those that have not answered until `within` is over, also over an
    /// outage of the engine; each of them is told it once. Dropping the future forgets the answers, not the question.
    ///
    /// # Errors
    /// See [`CallError`]. That somebody did not answer is no error: [`Answers::missing`].
    pub fn call(
        &self,
        to: Option<Instance>,
        body: Bytes,
        within: Duration,
    ) -> impl Future<Output = Result<Answers, CallError>> + Send + use<> {
        let asked = self.try_call(to, body, within);
        async move { asked?.await }
    }

    /// The same, but whether anybody can be asked is said at once.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn try_call(
        &self,
        to: Option<Instance>,
        body: Bytes,
        within: Duration,
    ) -> Result<impl Future<Output = Result<Answers, CallError>> + Send + use<>, CallError> {
        let asked = self.shared().call(to, body, within)?;
        Ok(async move { asked.await.map_err(|_| CallError::Ended) })
    }

    /// Begins to carry a request to the node that has its session; the other one hears [`ClusterEvent::Relay`](crate::ClusterEvent::Relay).
    /// The head has 32 KiB at most, unless set otherwise.
    ///
    /// # Errors
    /// See [`NotCarried`].
    pub fn carry(&self, owner: Instance, head: Bytes) -> Result<Relay, NotCarried> {
        match self.shared().standing(owner) {
            Standing::Living => {}
            Standing::Gone => return Err(NotCarried::Gone),
            Standing::Unsure => return Err(NotCarried::Away),
        }
        self.shared().relays().open(owner, head).map_err(|error| match error {
            NotOpened::Away => NotCarried::Away,
            NotOpened::TooLarge => NotCarried::TooLarge,
            _ => NotCarried::Full,
        })
    }

    /// The tag by which all nodes of the application know that one of them has made a token. With a secret nobody else can; without one,
    /// whoever knows the application's name.
    #[must_use]
    pub fn tag(&self, token: &[u8]) -> [u8; 8] {
        self.shared().tag(token)
    }

    /// How many requests this node carries for others, and how many others carry for it.
    #[must_use]
    pub fn relays(&self) -> (usize, usize) {
        self.shared().relays().counts()
    }

    /// What the program says of sessions that go from one node to another.
    #[must_use]
    pub fn moves(&self) -> SessionMoves<'_> {
        SessionMoves::new(self.shared().moves())
    }

    /// This start of this node.
    #[must_use]
    pub fn instance(&self) -> Instance {
        self.shared().instance()
    }

    /// The other nodes that live.
    #[must_use]
    pub fn peers(&self) -> Vec<(Instance, Peer)> {
        self.shared().peers()
    }

    /// Whether there is a connection to the engine and it delivers everything that was asked for: whether a balancer may send people here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.shared().ready().borrow()
    }

    /// Whether there is a connection to the engine.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.shared().is_up()
    }

    /// Waits until [`is_ready`](Self::is_ready).
    pub async fn ready(&self) {
        // It fails when there is no sender any more, and this handle keeps it.
        let _ = self.shared().ready().wait_for(|is_ready| *is_ready).await;
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared().stats()
    }

    /// Tells the others with the next beat that this node is about to go.
    pub fn begin_drain(&self) {
        self.shared().begin_drain();
    }

    /// Ends the node as planned: hands over what was published, says goodbye, so that the others do not wait for it, and closes the
    /// connection. Takes `within` at most, and a second more. Whatever is called later has no effect on anybody.
    pub async fn shutdown(&self, within: Duration) {
        self.owner.stop.send_replace(Some(Instant::now() + within));
        let task = self.owner.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // It ends by itself, and a panic in it was reported by the runtime.
            let _ = task.await;
        }
    }

    fn shared(&self) -> &Shared {
        &self.owner.shared
    }
}

/// Waits until a topic's channel is delivered. Dropping it takes nothing back.
#[derive(Debug)]
#[must_use = "a join that is answered before its channel is delivered may miss broadcasts in silence"]
pub struct Confirmation(Wanted);

impl Confirmation {
    /// Whether there is nothing to wait for.
    #[must_use]
    pub fn is_there(&self) -> bool {
        matches!(self.0, Wanted::Confirmed)
    }
}

impl Future for Confirmation {
    type Output = Result<(), NotConfirmed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Wanted::Waiting(waiting) = &mut self.0 else { return Poll::Ready(Ok(())) };
        Poll::Ready(match ready!(Pin::<&mut oneshot::Receiver<Verdict>>::new(waiting).poll(cx)) {
            Ok(Verdict::Confirmed) => Ok(()),
            Ok(Verdict::Refused) => Err(NotConfirmed::Refused),
            Err(_) => Err(NotConfirmed::Ended),
        })
    }
}

/// Why a request is not carried to the node that has its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotCarried {
    /// That node is dead, or has departed, and the session with it.
    Gone,
    /// It cannot be reached, or it is not known whether it lives: later.
    Away,
    /// As many requests are carried as may be, or as many bytes are under way: later.
    Full,
    /// The head has more bytes than it may.
    TooLarge,
}

impl fmt::Display for NotCarried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "the node is gone",
            Self::Away => "the node cannot be reached",
            Self::Full => "as much is carried as may be",
            Self::TooLarge => "the head is too large to be carried",
        })
    }
}

impl std::error::Error for NotCarried {}

/// Why a topic's channel is not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotConfirmed {
    /// The engine refuses it, for want of a permission.
    Refused,
    /// The node has ended.
    Ended,
}

impl fmt::Display for NotConfirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "the engine refuses the channel",
            Self::Ended => "the node has ended",
        })
    }
}

impl std::error::Error for NotConfirmed {}
