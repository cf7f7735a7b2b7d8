//! The way of diffs from the engine to their topics: at once, or by a task that first fetches what is to be added.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tokio::sync::mpsc::{Sender, channel};
use tracing::{error, warn};

use super::{
    Count,
    fetch::{Extras, Fetcher},
    pending::Outgoing,
    wire,
};
use crate::{broadcast::Broadcast, protocol::Payload, topic::Topic};

/// Diffs that wait for what is fetched. One more goes out without it.
const WAITING_MAX: usize = 4_096;

/// Gives a diff to the subscribers of its topic.
pub(crate) type Publish = Arc<dyn Fn(&Broadcast) + Send + Sync>;

/// Where the engine sends what its clients are to hear.
pub(super) struct Outlet {
    publish: Publish,
    /// The task that fetches, if there is anything to fetch.
    fetching: Option<Sender<(Topic, Outgoing)>>,
}

impl Outlet {
    /// Must be called within a Tokio runtime if there is a fetcher.
    pub(super) fn new(publish: Publish, fetcher: Option<Fetcher>) -> Self {
        let fetching = fetcher.map(|fetcher| {
            let (sender, mut diffs) = channel::<(Topic, Outgoing)>(WAITING_MAX);
            let publish = publish.clone();
            // Ends when the engine is gone. One at a time, so that the diffs of a topic stay in order.
            tokio::spawn(async move {
                while let Some((topic, diff)) = diffs.recv().await {
                    let extras = fetcher.extras(&topic, diff.entries()).await;
                    send(&publish, &topic, "presence_diff", wire::diff(&diff, &extras));
                }
            });
            sender
        });
        Self { publish, fetching }
    }

    pub(super) fn diff(&self, topic: &Topic, diff: Outgoing) {
        let diff = match &self.fetching {
            None => diff,
            Some(fetching) => match fetching.try_send((topic.clone(), diff)) {
                Ok(()) => return,
                Err(error) => {
                    warn!(%topic, "a presence diff goes out without what was to be fetched: too many wait");
                    error.into_inner().1
                }
            },
        };
        send(&self.publish, topic, "presence_diff", wire::diff(&diff, &Extras::new()));
    }

    /// For topics that are too large for diffs.
    pub(super) fn count(&self, topic: &Topic, count: Count) {
        match Payload::json(&count) {
            Ok(count) => send(&self.publish, topic, "presence_count", count),
            Err(error) => error!(%topic, %error, "a count could not be encoded"),
        }
    }
}

fn send(publish: &Publish, topic: &Topic, event: &str, payload: Payload) {
    let broadcast = Broadcast::new(topic, event, payload);
    // A serializer of the user's may panic; the engine has to go on for everybody else.
    if catch_unwind(AssertUnwindSafe(|| publish(&broadcast))).is_err() {
        error!(%topic, event, "presence was not told: a serializer panicked");
    }
}
