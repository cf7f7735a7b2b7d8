//! Wakes the connections that a fan-out concerns, a few at a time.
//!
//! A broadcast to thousands makes thousands of tasks ready at once. Were they all woken then, a reply to somebody else
//! would wait until every one of them has written. So a fan-out leaves their wakers here, and a task wakes a handful,
//! lets the runtime run them and look at its sockets, and goes on with the next handful.
//!
//! ```text
//!   fan-out ──later()──▶ queue of its stripe ─┐
//!   fan-out ──later()──▶ queue of its stripe ─┴▶ the flusher's task ──wake, FLUSHED_AT_ONCE──▶ connections' tasks
//!   reply  ─────────────────────────────wake─────────────────────────────────────────────────▶
//! ```
//!
//! Threads that walk parts of one large fan-out seldom have a queue in common, so that they do not wait for each other at its lock.

use std::{
    collections::VecDeque,
    sync::PoisonError,
    task::{Context, Poll, Waker},
};

use crate::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    tally::{STRIPES, Striped, stripe},
};

/// How many connections are woken before the runtime gets to do something else: some 300 µs of writing.
///
/// Tokio's worker looks at its sockets after every 61 tasks, and the flusher goes on when it has. So a handful has to be smaller
/// than that, with room for replies: with 64 the ready tasks piled up, and a reply to somebody else waited for 20 ms.
const FLUSHED_AT_ONCE: usize = 32;

/// The capacity that a queue may keep while it is empty: a fan-out to 16,384 need not allocate again.
const CAPACITY_KEPT: usize = 16_384;

/// The wakers of connections that have something to write, in the order in which threads of one stripe got it. A session has one here,
/// or a second if its connection was woken by something else meanwhile; so the number of sessions bounds it.
#[derive(Debug, Default)]
pub(crate) struct Flusher {
    queues: Striped<Mutex<Queue>>,
    /// The queues in which something is, a bit each: changed under the lock of the queue, so that the task need not lock those that are
    /// empty.
    filled: AtomicUsize,
    /// The flusher's own task, while it sleeps.
    asleep: Mutex<Option<Waker>>,
}

#[derive(Debug, Default)]
struct Queue {
    wakers: VecDeque<Waker>,
    is_running: bool,
}

/// While it lives, the flusher does.
struct Running<'a>(&'a Flusher);

impl<'a> Running<'a> {
    fn new(flusher: &'a Flusher) -> Self {
        (0..STRIPES).for_each(|stripe| flusher.queue(stripe).is_running = true);
        Self(flusher)
    }
}

impl Drop for Running<'_> {
    /// Its runtime ends, but others may have connections: whoever waits is woken, and nobody waits any more.
    fn drop(&mut self) {
        for stripe in 0..STRIPES {
            let mut queue = self.0.queue(stripe);
            queue.is_running = false;
            let wakers = std::mem::take(&mut queue.wakers);
            self.0.filled.fetch_and(!(1 << stripe), Ordering::Relaxed);
            drop(queue);
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

impl Flusher {
    /// Wakes a connection in its turn.
    pub(crate) fn later(&self, waker: Waker) {
        self.later_in(stripe(), waker);
    }

    /// The same, for a thread of this stripe.
    pub(crate) fn later_in(&self, stripe: usize, waker: Waker) {
        let mut queue = self.queue(stripe);
        if !queue.is_running {
            drop(queue);
            return waker.wake();
        }
        let was_empty = queue.wakers.is_empty();
        queue.wakers.push_back(waker);
        if was_empty {
            self.filled.fetch_or(1 << stripe, Ordering::Relaxed);
            drop(queue);
            // Whoever filled a queue sees to the task: it slept before and is woken, or looks once more before it does.
            let task = self.asleep().take();
            task.into_iter().for_each(Waker::wake);
        }
    }

    /// The flusher's task.
    pub(crate) async fn run(&self) {
        let _running = Running::new(self);
        let mut woken = Vec::with_capacity(FLUSHED_AT_ONCE);
        // Each handful begins with another queue, so that none waits until the others are empty.
        for turn in (0..STRIPES).cycle() {
            std::future::poll_fn(|cx| self.poll_handful(cx, turn, &mut woken)).await;
            woken.drain(..).for_each(Waker::wake);
            tokio::task::yield_now().await;
        }
    }

    /// Waits for wakers, and takes a handful.
    fn poll_handful(&self, cx: &Context<'_>, turn: usize, woken: &mut Vec<Waker>) -> Poll<()> {
        self.take(turn, woken);
        if woken.is_empty() {
            *self.asleep() = Some(cx.waker().clone());
            // What came before that has woken nobody.
            self.take(turn, woken);
        }
        if woken.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Takes a handful, or what there is: from the queue whose turn it is, and then from the others.
    fn take(&self, turn: usize, woken: &mut Vec<Waker>) {
        for stripe in (turn..STRIPES).chain(0..turn) {
            let room = FLUSHED_AT_ONCE - woken.len();
            if room == 0 {
                return;
            }
            if self.filled.load(Ordering::Relaxed) & (1 << stripe) == 0 {
                continue;
            }
            let mut queue = self.queue(stripe);
            let count = queue.wakers.len().min(room);
            woken.extend(queue.wakers.drain(..count));
            if queue.wakers.is_empty() {
                queue.wakers.shrink_to(CAPACITY_KEPT);
                self.filled.fetch_and(!(1 << stripe), Ordering::Relaxed);
            }
        }
    }

    fn queue(&self, stripe: usize) -> MutexGuard<'_, Queue> {
        // Nothing under this lock can panic half way.
        self.queues.of(stripe).lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asleep(&self) -> MutexGuard<'_, Option<Waker>> {
        self.asleep.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex as StdMutex, atomic},
        task::Wake,
        time::Duration,
    };

    use super::*;

    #[derive(Default)]
    struct Count(atomic::AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn until(count: &Count, woken: usize) {
        let woken_all = async {
            while count.0.load(Ordering::Relaxed) != woken {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), woken_all).await.unwrap();
    }

    #[tokio::test]
    async fn all_are_woken_in_handfuls_with_turns_for_others_between() {
        let (flusher, count) = (Arc::new(Flusher::default()), Arc::new(Count::default()));
        let task = tokio::spawn({
            let flusher = flusher.clone();
            async move { flusher.run().await }
        });
        tokio::task::yield_now().await;
        for _ in 0..1_000 {
            flusher.later(Waker::from(count.clone()));
        }
        tokio::task::yield_now().await;
        assert!(count.0.load(Ordering::Relaxed) <= 2 * FLUSHED_AT_ONCE, "others had no turn");
        until(&count, 1_000).await;
        task.abort();
    }

    /// Writes down the stripe that it was left in.
    struct Left(usize, Arc<StdMutex<Vec<usize>>>);

    impl Wake for Left {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    #[tokio::test]
    async fn no_stripe_waits_until_another_is_empty() {
        let (flusher, woken) = (Flusher::default(), Arc::new(StdMutex::new(Vec::new())));
        let mut running = std::pin::pin!(flusher.run());
        let mut run = || running.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(run().is_pending());
        let leave = |stripe| flusher.later_in(stripe, Waker::from(Arc::new(Left(stripe, woken.clone()))));
        (0..100 * FLUSHED_AT_ONCE).for_each(|_| leave(2));
        (0..STRIPES).for_each(leave);
        for handful in 1..=STRIPES {
            assert!(run().is_pending());
            assert_eq!(woken.lock().unwrap().len(), handful * FLUSHED_AT_ONCE);
        }
        let mut woken = woken.lock().unwrap().clone();
        woken.sort_unstable();
        woken.dedup();
        assert!(woken.into_iter().eq(0..STRIPES));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_flusher_that_is_gone() {
        let (flusher, count) = (Arc::new(Flusher::default()), Arc::new(Count::default()));
        flusher.later(Waker::from(count.clone()));
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "it has not begun");
        let task = tokio::spawn({
            let flusher = flusher.clone();
            async move { flusher.run().await }
        });
        tokio::task::yield_now().await;
        for _ in 0..100 {
            flusher.later(Waker::from(count.clone()));
        }
        task.abort();
        until(&count, 101).await;
        flusher.later(Waker::from(count.clone()));
        assert_eq!(count.0.load(Ordering::Relaxed), 102);
    }
}
