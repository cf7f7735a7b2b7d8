//! The engine's thread, and the task that fetches for it: started together, ended together.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, TrySendError};
use tokio::{sync::oneshot, task};

use super::{Request, worker::Engine};

/// How long a full queue is left alone before the engine is asked again to stop.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// A thread that runs an engine. It ends when this is dropped, or stopped.
pub(super) struct EngineThread {
    pub(super) requests: Sender<Request>,
    /// Taken by whoever stops it.
    running: Mutex<Option<Running>>,
}

struct Running {
    thread: thread::JoinHandle<()>,
    /// Answered when the thread has nothing left to do but to return.
    ended: oneshot::Receiver<()>,
    fetching: Option<task::JoinHandle<()>>,
}

impl EngineThread {
    pub(super) fn start(
        engine: Engine,
        fetching: Option<task::JoinHandle<()>>,
        (requests, waiting): (Sender<Request>, Receiver<Request>),
    ) -> Self {
        let (ending, ended) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("lapwing-presence".into())
            .spawn(move || {
                engine.run(&waiting);
                // Whoever asks from now on is told that nobody is there.
                drop(waiting);
                // Nobody may wait for it.
                let _ = ending.send(());
            })
            .expect("the system has room for one more thread");
        Self { requests, running: Mutex::new(Some(Running { thread, ended, fetching })) }
    }

    /// Whether the thread has ended without having been stopped.
    pub(super) fn has_died(&self) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().is_some_and(|running| running.thread.is_finished())
    }

    /// Stops the thread behind what it was asked before, and then the task. Dropping the future may leave them running.
    pub(super) async fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { thread, ended, fetching }) = running else { return };
        while let Err(TrySendError::Full(_)) = self.requests.try_send(Request::Stop) {
            tokio::time::sleep(FULL_PAUSE).await;
        }
        // A thread that panicked has ended, too; the panic's hook has said so.
        let _ = ended.await;
        let _ = thread.join();
        if let Some(fetching) = fetching {
            fetching.abort();
            let _ = fetching.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use serde_json::json;

    use super::*;
    use crate::{
        presence::{PresenceError, PresenceOptions, Publish, Tracker, fetch::Fetcher},
        protocol::Payload,
        topic::Topic,
        topics::broadcast::ChannelId,
    };

    #[tokio::test]
    async fn a_tracker_that_was_stopped_has_neither_thread_nor_task_and_takes_nothing() {
        let publish: Publish = Arc::new(|_| {});
        let fetcher =
            Fetcher::new(Arc::new(|_, _| Box::pin(async { HashMap::new() })), Duration::from_secs(60));
        let tracker = Tracker::new(PresenceOptions::default(), publish.clone(), Some(fetcher));
        let (topic, meta) = (Topic::from("t"), Payload::from(json!({})));
        tracker.track(&topic, "a", ChannelId(1), &meta).answered().await.unwrap();
        assert_eq!(Arc::strong_count(&publish), 4, "here, the tracker, the thread and the task");
        tracker.stop().await;
        assert_eq!(Arc::strong_count(&publish), 2, "here and the tracker");
        let refused = tracker.track(&topic, "b", ChannelId(1), &meta).answered().await;
        assert!(matches!(refused, Err(PresenceError::Closed)), "{refused:?}");
        tracker.stop().await;
    }

    #[tokio::test]
    async fn a_thread_that_panicked_has_died_and_one_that_was_stopped_has_not() {
        let (topic, meta) = (Topic::from("t"), Payload::from(json!({})));
        for panics in [true, false] {
            let tracker = Tracker::new(PresenceOptions::default(), Arc::new(|_| {}), None);
            assert!(!tracker.has_died());
            tracker.track(&topic, "a", ChannelId(1), &meta).answered().await.unwrap();
            tracker.end(ChannelId(1), Box::new(move || assert!(!panics, "asked to")));
            if panics {
                let died = async {
                    while !tracker.has_died() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                tokio::time::timeout(Duration::from_secs(30), died).await.unwrap();
            } else {
                tracker.stop().await;
                assert!(!tracker.has_died());
            }
        }
    }

    #[tokio::test]
    async fn a_tracker_that_was_stopped_before_its_first_request_starts_no_thread() {
        let publish: Publish = Arc::new(|_| {});
        let tracker = Tracker::new(PresenceOptions::default(), publish.clone(), None);
        tracker.stop().await;
        let refused = tracker.count(&Topic::from("t")).answered().await;
        assert!(matches!(refused, Err(PresenceError::Closed)), "{refused:?}");
        assert_eq!(Arc::strong_count(&publish), 2, "here and the tracker");
    }
}
