//! The way of diffs from the engine to their topics: at once, or by a task that first fetches what is to be added.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use lapwing_presence::Entry;
use lapwing_transports::quoted::Quoted;
use tokio::{
    sync::mpsc::{Sender, channel, error::TrySendError},
    task::JoinHandle,
};

use super::{
    Count, PresenceError,
    fetch::{Extras, Fetcher},
    json,
    pending::Outgoing,
    states::Encoded,
    viewers::{self, Showing},
};
use crate::{
    occasionally::{Occasionally, occasionally},
    protocol::{Payload, event},
    topic::Topic,
    topics::broadcast::Broadcast,
};

/// Diffs and states that wait for what is fetched. One diff more waits where it is and is merged with what comes meanwhile;
/// one state more is refused.
const WAITING_MAX: usize = 4_096;

/// Limits the log lines about what could not be encoded.
static PANICS: Occasionally = Occasionally::new();

/// Gives a diff to the subscribers of its topic.
pub(crate) type Publish = Arc<dyn Fn(&Broadcast) + Send + Sync>;

/// Where the engine sends what its clients are to hear.
pub(super) struct Outlet {
    publish: Publish,
    /// The task that fetches, if there is anything to fetch.
    fetching: Option<Sender<Fetching>>,
}

/// A diff or a state that goes out when what is to be added to it was fetched.
enum Fetching {
    Diff(Topic, Outgoing),
    State(Topic, Vec<Entry>, Vec<Showing>),
}

impl Outlet {
    /// Returns the task that fetches besides, if there is a fetcher: then a Tokio runtime is needed.
    pub(super) fn new(
        publish: Publish,
        fetcher: Option<Fetcher>,
        state_bytes_max: usize,
    ) -> (Self, Option<JoinHandle<()>>) {
        let (fetching, task) = fetcher.map_or((None, None), |fetcher| {
            let (sender, mut waiting) = channel::<Fetching>(WAITING_MAX);
            let publish = publish.clone();
            // Ends when the engine is gone. One at a time, so that what a topic is told stays in order.
            let task = tokio::spawn(async move {
                while let Some(fetching) = waiting.recv().await {
                    match fetching {
                        Fetching::Diff(topic, diff) => {
                            let extras = fetcher.extras(&topic, diff.entries()).await;
                            send(&publish, &topic, event::PRESENCE_DIFF, json::diff(&diff, &extras));
                        }
                        Fetching::State(topic, entries, showings) => {
                            let extras = fetcher.extras(&topic, entries.iter()).await;
                            let state = json::state(entries.iter(), &extras);
                            match state.size() {
                                bytes if bytes > state_bytes_max => refuse(bytes, showings),
                                _ => viewers::show(event::PRESENCE_STATE, &state, showings),
                            }
                        }
                    }
                }
            });
            (Some(sender), Some(task))
        });
        (Self { publish, fetching }, task)
    }

    /// Whether anything is added to what goes out.
    pub(super) fn is_fetching(&self) -> bool {
        self.fetching.is_some()
    }

    /// Whether a diff would go out now, or in its turn.
    pub(super) fn has_room(&self) -> bool {
        self.fetching.as_ref().is_none_or(|fetching| fetching.capacity() > 0 || fetching.is_closed())
    }

    /// Sends a diff to its topic. There has to be room.
    pub(super) fn diff(&self, topic: &Topic, diff: Outgoing) {
        let diff = match &self.fetching {
            None => diff,
            Some(fetching) => match fetching.try_send(Fetching::Diff(topic.clone(), diff)) {
                Ok(()) => return,
                // The runtime is gone, and everybody who could hear of it.
                Err(_) => return,
            },
        };
        send(&self.publish, topic, event::PRESENCE_DIFF, json::diff(&diff, &Extras::new()));
    }

    /// Pushes a state to joins.
    pub(super) fn show(&self, encoded: Encoded, showings: Vec<Showing>) {
        match encoded {
            Ok(state) => viewers::show(event::PRESENCE_STATE, &state, showings),
            Err(bytes) => refuse(bytes, showings),
        }
    }

    /// Pushes a state to joins when what is to be added to it was fetched, behind the diffs that wait for that.
    pub(super) fn show_fetched(&self, topic: &Topic, entries: Vec<Entry>, showings: Vec<Showing>) {
        let Some(fetching) = &self.fetching else { return };
        let refused = fetching.try_send(Fetching::State(topic.clone(), entries, showings));
        if let Err(TrySendError::Full(Fetching::State(_, _, showings))) = refused {
            for showing in showings {
                let _ = showing.answer.send(Err(PresenceError::Busy));
            }
        }
    }

    /// Pushes the numbers of a topic that is too large for states.
    pub(super) fn show_count(&self, topic: &Topic, count: Count, showings: Vec<Showing>) {
        match Payload::json(&count) {
            Ok(count) => viewers::show(event::PRESENCE_COUNT, &count, showings),
            Err(error) => {
                occasionally!(PANICS, error, topic = %Quoted::new(topic), %error, "a count could not be encoded")
            }
        }
    }

    /// For topics that are too large for diffs.
    pub(super) fn count(&self, topic: &Topic, count: Count) {
        match Payload::json(&count) {
            Ok(count) => send(&self.publish, topic, event::PRESENCE_COUNT, count),
            Err(error) => {
                occasionally!(PANICS, error, topic = %Quoted::new(topic), %error, "a count could not be encoded")
            }
        }
    }
}

fn refuse(bytes: usize, showings: Vec<Showing>) {
    for showing in showings {
        let _ = showing.answer.send(Err(PresenceError::StateTooLong { bytes }));
    }
}

fn send(publish: &Publish, topic: &Topic, event: &str, payload: Payload) {
    let broadcast = Broadcast::new(topic, event, payload);
    // A serializer of the user's may panic; the engine has to go on for everybody else.
    if catch_unwind(AssertUnwindSafe(|| publish(&broadcast))).is_err() {
        occasionally!(PANICS, error, topic = %Quoted::new(topic), event, "presence was not told: a serializer panicked");
    }
}
