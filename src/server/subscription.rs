//! Broadcasts for plain Rust tasks.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use crate::{
    cluster::{confirming::Confirming, error::NotConfirmed},
    node::Node,
    topic::Topic,
    topics::{Inbox, Member, Subscribed, broadcast::Broadcast, delivery::Delivery, gap::Gap},
};

/// Broadcasts that wait for a task at most. A task that lags further is told how many it missed.
const QUEUE_MAX: usize = 1_024;

/// A task's subscription to a topic; ends when it is dropped.
///
/// ```
/// use lapwing::Lapwing;
/// use serde_json::json;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let lapwing = Lapwing::builder().build().unwrap();
/// let mut subscription = lapwing.subscribe("orders:new");
/// lapwing.broadcast("orders:new", "created", json!({"id": 1})).unwrap();
/// assert_eq!(subscription.recv().await.unwrap().event, "created");
/// # }
/// ```
pub struct Subscription {
    node: Arc<Node>,
    topic: Topic,
    queue: Arc<Queue>,
    subscribed: Option<Subscribed>,
    confirming: Confirming,
}

/// Broadcasts are missing: the task did not take them, or they were lost between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged(
    /// The number of broadcasts that the task did not take. None of them: broadcasts of another node were lost, see [`Gap`](crate::Gap), and nobody knows how many.
    pub u64,
);

struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    /// None stands for a gap.
    broadcasts: VecDeque<Option<Arc<Broadcast>>>,
    missed: Option<u64>,
    waker: Option<Waker>,
}

impl Subscription {
    pub(crate) fn new(node: Arc<Node>, topic: Topic) -> Self {
        let queue = Arc::new(Queue(Mutex::default()));
        let (subscribed, confirming) = node.claim(&topic).subscribe(Member::Inbox(queue.clone()), || {});
        Self { node, topic, queue, subscribed: Some(subscribed), confirming }
    }

    /// Waits until the broadcasts of other nodes reach this one: not at all on a server that is one node. What they publish from then on
    /// is received, or told to be [`Lagged`]. Cancel safe.
    ///
    /// # Errors
    /// See [`NotConfirmed`]. The subscription stands all the same, and hears this node; after
    /// [`NotConfirmed::Late`] it can be waited for again.
    pub async fn confirmed(&mut self) -> Result<(), NotConfirmed> {
        self.confirming.wait().await
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Waits for the next broadcast. Cancel safe: a dropped future takes nothing.
    ///
    /// # Errors
    /// [`Lagged`] when the oldest of 1,024 waiting broadcasts were dropped, or when broadcasts of another node were lost; the next call
    /// goes on with those that are left.
    pub async fn recv(&mut self) -> Result<Arc<Broadcast>, Lagged> {
        std::future::poll_fn(|cx| {
            let mut state = self.queue.state();
            if let Some(missed) = state.missed.take() {
                return Poll::Ready(Err(Lagged(missed)));
            }
            match state.broadcasts.pop_front() {
                Some(Some(broadcast)) => Poll::Ready(Ok(broadcast)),
                Some(None) => Poll::Ready(Err(Lagged(0))),
                None => {
                    state.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(subscribed) = self.subscribed.take() {
            self.node.unsubscribe(&self.topic, subscribed);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a broadcast, or a gap. Returns whether a broadcast was dropped for it.
    fn push(&mut self, item: Option<Arc<Broadcast>>) -> bool {
        let is_full = self.broadcasts.len() >= QUEUE_MAX;
        let dropped = is_full && self.broadcasts.pop_front().flatten().is_some();
        if is_full {
            *self.missed.get_or_insert_default() += u64::from(dropped);
        }
        self.broadcasts.push_back(item);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        dropped
    }
}

impl Inbox for Queue {
    fn deliver(self: Arc<Self>, delivery: &mut Delivery<'_>) {
        if self.state().push(Some(delivery.shared())) {
            delivery.meter.dropped.add(1);
        }
    }

    fn tell_gap(self: Arc<Self>, _: &Arc<Gap>) {
        let _ = self.state().push(None);
    }
}

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("broadcasts of another node are lost"),
            missed => write!(f, "{missed} broadcasts were dropped because the task did not take them"),
        }
    }
}

impl std::error::Error for Lagged {}
