//! Wakes the connections that a fan-out concerns, a few at a time.
//!
//! A broadcast to thousands makes thousands of tasks ready at once. Were they all woken then, a reply to somebody else
//! would wait until every one of them has written. So a fan-out leaves their wakers here, and a task wakes a handful,
//! lets the runtime run them and look at its sockets, and goes on with the next handful.
//!
//! ```text
//!   fan-out ──later()──▶ queue ──▶ the flusher's task ──wake, FLUSHED_AT_ONCE──▶ connections' tasks
//!   reply  ─────────────────────────────wake────────────────────────────────────▶
//! ```

use std::{
    collections::VecDeque,
    sync::PoisonError,
    task::{Poll, Waker},
};

use crate::sync::{Mutex, MutexGuard};

/// How many connections are woken before the runtime gets to do something else: some 300 µs of writing.
///
/// Tokio's worker looks at its sockets after every 61 tasks, and the flusher goes on when it has. So a handful has to be smaller
/// than that, with room for replies: with 64 the ready tasks piled up, and a reply to somebody else waited for 20 ms.
const FLUSHED_AT_ONCE: usize = 32;

/// The capacity that the queue may keep while it is empty: a fan-out to 16,384 need not allocate again.
const CAPACITY_KEPT: usize = 16_384;

/// The wakers of connections that have something to write, in the order in which they got it. A session has one here, or
/// a second if its connection was woken by something else meanwhile; so the number of sessions bounds it.
#[derive(Debug, Default)]
pub(crate) struct Flusher(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    wakers: VecDeque<Waker>,
    /// The flusher's own task, while it sleeps.
    asleep: Option<Waker>,
    is_running: bool,
}

/// While it lives, the flusher does.
struct Running<'a>(&'a Flusher);

impl Drop for Running<'_> {
    /// Its runtime ends, but others may have connections: whoever waits is woken, and nobody waits any more.
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.is_running = false;
        let wakers = std::mem::take(&mut queue.wakers);
        drop(queue);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Flusher {
    /// Wakes a connection in its turn.
    pub(crate) fn later(&self, waker: Waker) {
        let mut queue = self.queue();
        if !queue.is_running {
            drop(queue);
            return waker.wake();
        }
        queue.wakers.push_back(waker);
        if let Some(task) = queue.asleep.take() {
            drop(queue);
            task.wake();
        }
    }

    /// The flusher's task.
    pub(crate) async fn run(&self) {
        self.queue().is_running = true;
        let _running = Running(self);
        let mut woken = Vec::with_capacity(FLUSHED_AT_ONCE);
        loop {
            self.take(&mut woken).await;
            woken.drain(..).for_each(Waker::wake);
            tokio::task::yield_now().await;
        }
    }

    /// Waits for wakers, and takes a handful.
    async fn take(&self, woken: &mut Vec<Waker>) {
        std::future::poll_fn(|cx| {
            let mut queue = self.queue();
            if queue.wakers.is_empty() {
                queue.wakers.shrink_to(CAPACITY_KEPT);
                queue.asleep = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let count = queue.wakers.len().min(FLUSHED_AT_ONCE);
            woken.extend(queue.wakers.drain(..count));
            Poll::Ready(())
        })
        .await;
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing under this lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
        time::Duration,
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

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
