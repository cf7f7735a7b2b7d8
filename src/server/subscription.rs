//! Broadcasts for plain Rust tasks.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use crate::{
    node::Node,
    topic::Topic,
    topics::{Inbox, Member, Subscribed, broadcast::Broadcast, delivery::Delivery},
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
}

/// Broadcasts were dropped because the task did not take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged(
    /// How many.
    pub u64,
);

struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    broadcasts: VecDeque<Arc<Broadcast>>,
    missed: u64,
    waker: Option<Waker>,
}

impl Subscription {
    pub(crate) fn new(node: Arc<Node>, topic: Topic) -> Self {
        let queue = Arc::new(Queue(Mutex::default()));
        let subscribed = node.topics.subscribe(&topic, Member::Inbox(queue.clone()), || {});
        Self { node, topic, queue, subscribed: Some(subscribed) }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Waits for the next broadcast. Cancel safe: a dropped future takes nothing.
    ///
    /// # Errors
    /// [`Lagged`] when the oldest of 1,024 waiting broadcasts were dropped; the next call goes on with those
    /// that are left.
    pub async fn recv(&mut self) -> Result<Arc<Broadcast>, Lagged> {
        std::future::poll_fn(|cx| {
            let mut state = self.queue.state();
            if state.missed > 0 {
                return Poll::Ready(Err(Lagged(std::mem::take(&mut state.missed))));
            }
            match state.broadcasts.pop_front() {
                Some(broadcast) => Poll::Ready(Ok(broadcast)),
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
            self.node.topics.unsubscribe(&self.topic, subscribed);
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

impl Inbox for Queue {
    fn deliver(self: Arc<Self>, delivery: &mut Delivery<'_>) {
        let mut state = self.state();
        if state.broadcasts.len() >= QUEUE_MAX {
            state.broadcasts.pop_front();
            state.missed += 1;
        }
        state.broadcasts.push_back(delivery.shared());
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broadcasts were dropped because the task did not take them", self.0)
    }
}

impl std::error::Error for Lagged {}
