//! Waiting by the machine's clock, whatever the runtime's says: a test may have stopped that one.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Poll, Waker},
    thread,
    time::{Duration, Instant},
};

/// How long a test waits for something that has to come.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for a future, for so long at most. No timer of the runtime is set, so that a stopped clock stands still.
pub(super) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    let (mut future, mut alarm) = (pin!(future), None::<Alarm>);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        if Instant::now() >= deadline {
            return Poll::Ready(None);
        }
        // The waker of another task would be woken for nothing.
        if alarm.as_ref().is_none_or(|alarm| !alarm.wakes(cx.waker())) {
            alarm = Some(Alarm::set(deadline, cx.waker()));
        }
        Poll::Pending
    })
    .await
}

/// Wakes a task at a time, unless it is dropped before.
struct Alarm {
    key: Key,
    waker: Waker,
}

/// When it rings, and its number, as two may ring at once.
type Key = (Instant, u64);

/// All alarms of the process. One thread rings them, from the first that is set on.
#[derive(Default)]
struct Clock {
    state: Mutex<State>,
    /// An alarm was set that rings before the others.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    alarms: BTreeMap<Key, Waker>,
    last: u64,
}

impl Alarm {
    fn set(at: Instant, waker: &Waker) -> Self {
        let clock = Clock::running();
        let mut state = clock.state();
        state.last += 1;
        let key = (at, state.last);
        state.alarms.insert(key, waker.clone());
        if state.alarms.first_key_value().is_some_and(|(first, _)| *first == key) {
            clock.changed.notify_one();
        }
        Self { key, waker: waker.clone() }
    }

    fn wakes(&self, waker: &Waker) -> bool {
        self.waker.will_wake(waker)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // A waker is dropped outside the lock: it may be the last that knows its task.
        let waker = Clock::running().state().alarms.remove(&self.key);
        drop(waker);
    }
}

impl Clock {
    fn running() -> &'static Self {
        static CLOCK: OnceLock<Clock> = OnceLock::new();
        static THREAD: OnceLock<()> = OnceLock::new();
        let clock = CLOCK.get_or_init(Self::default);
        THREAD.get_or_init(|| drop(thread::spawn(|| clock.run())));
        clock
    }

    fn run(&self) {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            match state.alarms.first_key_value().map(|(key, _)| *key) {
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some((at, _)) if at > now => {
                    let waited = self.changed.wait_timeout(state, at - now);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Some(_) => {
                    let rings = state.alarms.pop_first();
                    drop(state);
                    rings.into_iter().for_each(|(_, waker)| waker.wake());
                    state = self.state();
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[tokio::test]
    async fn one_thread_rings_for_all_and_the_earlier_first() {
        let slow = tokio::spawn(within(Duration::from_secs(3_600), std::future::pending::<()>()));
        let fast =
            (1..=20).map(|ms| tokio::spawn(within(Duration::from_millis(ms), std::future::pending::<()>())));
        for fast in fast.collect::<Vec<_>>() {
            assert_eq!(fast.await.unwrap(), None);
        }
        assert!(!slow.is_finished());
        slow.abort();
        assert!(slow.await.is_err());
    }
}
