//! Waiting by the machine's clock, whatever the runtime's says: a test may have stopped that one.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// How long a test waits for something that has to come.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for a future, for so long at most. No timer of the runtime is set, so that a stopped clock stands still.
pub(super) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    let (mut future, mut alarm) = (pin!(future), None);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        if Instant::now() >= deadline {
            return Poll::Ready(None);
        }
        // The waker of another task would be woken for nothing.
        alarm = Some(Alarm::set(deadline, cx.waker().clone()));
        Poll::Pending
    })
    .await
}

/// A thread that wakes a task at a time, unless it is dropped before.
struct Alarm {
    thread: Thread,
    is_off: Arc<AtomicBool>,
}

impl Alarm {
    fn set(deadline: Instant, waker: std::task::Waker) -> Self {
        let is_off = Arc::new(AtomicBool::new(false));
        let off = is_off.clone();
        let handle = thread::spawn(move || {
            while !off.load(Ordering::Acquire) {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return waker.wake();
                }
                thread::park_timeout(left);
            }
        });
        Self { thread: handle.thread().clone(), is_off }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.is_off.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stopped_clock_stands_still_while_a_test_waits() {
        let start = tokio::time::Instant::now();
        let waited = within(Duration::from_millis(20), std::future::pending::<()>()).await;
        assert_eq!((waited, start.elapsed()), (None, Duration::ZERO));
        assert_eq!(within(Duration::ZERO, async { 5 }).await, Some(5));
    }
}
