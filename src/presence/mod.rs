//! Presence for channels: one engine thread that owns the replicated state, and the handles that talk to it.
//!
//! ```text
//!   socket.track ──┐                       ┌──▶ presence_diff, one per topic and tick, on the topic
//!   socket.list  ──┼─▶ bounded channel ──▶ │ engine thread: applies all that waits as one batch
//!   a join ends  ──┘   (or a list of ended ├──▶ presence_state, to the joins that asked for it
//!                       joins, never full) └──▶ answers, after the diffs that they follow from
//! ```
//!
//! Nothing here blocks a task: a full channel is an error ([`PresenceError::Busy`]), and waiting for an answer
//! is an ordinary await. What must not be lost, the end of a join, does not go through the channel.

mod chunks;
pub(crate) mod fetch;
mod joining;
pub(crate) mod json;
mod leaving;
mod left;
pub(crate) mod options;
mod others;
mod outlet;
mod pending;
mod states;
mod thread;
pub(crate) mod typed;
mod viewers;
mod worker;

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use crossbeam_channel::{TrySendError, bounded};
use lapwing_presence::{Entry, Owner};
use lapwing_transports::tally::Words;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::{
    protocol::{EncodeError, Payload, RawJson},
    topic::Topic,
    topics::broadcast::ChannelId,
};

use self::{
    fetch::{Extras, Fetcher},
    options::PresenceOptions,
    others::Others,
    outlet::Outlet,
    thread::EngineThread,
};
pub(crate) use self::{
    others::SendTo,
    outlet::Publish,
    viewers::{Showing, Viewer},
};

/// Names that every JavaScript object has from its prototype.
const PROTOTYPE_KEYS: [&str; 12] = [
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
];

/// The reason why presence could not do what was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum PresenceError {
    /// The engine has more to do than fits into its queue. Try again later.
    Busy,
    /// The same owner has that key on that topic already; `update` changes its meta.
    AlreadyTracked,
    /// The owner does not have that key on that topic.
    NotTracked,
    /// The key has too many bytes.
    KeyTooLong {
        /// How many it has.
        bytes: usize,
        /// How many it may have, see [`PresenceOptions::key_bytes_max`].
        max: usize,
    },
    /// The key is a name that breaks old clients, see [`PresenceOptions::allow_prototype_keys`].
    UnsafeKey,
    /// The meta has too many bytes.
    MetaTooLong {
        /// How many it has.
        bytes: usize,
    },
    /// The meta is not a JSON object, or cannot be written as JSON.
    Meta(EncodeError),
    /// The join tracks as many presences as it may.
    TooMany,
    /// The topic's state has more bytes than [`PresenceOptions::state_bytes_max`].
    StateTooLong {
        /// How many it has.
        bytes: usize,
    },
    /// The state cannot be written for this client.
    Encode(EncodeError),
    /// The engine is gone, with the server that it belonged to.
    Closed,
}

/// The part of a node that knows who is present.
pub(crate) struct Tracker {
    options: PresenceOptions,
    publish: Publish,
    fetcher: Option<Fetcher>,
    /// The way to other nodes, if there are any.
    others: OnceLock<Others>,
    /// The engine's thread, which is started by the first request; `None` if that came when the server had gone down.
    engine: OnceLock<Option<EngineThread>>,
    ended: Arc<Ended>,
    presences: Arc<std::sync::atomic::AtomicU64>,
    pub(crate) meter: Meter,
}

/// Joins that are over and whose presences have to go, and nodes that are gone or there.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    owners: Mutex<Vec<Owner>>,
    /// In the order in which the cluster said so.
    nodes: Mutex<Vec<News>>,
}

/// What the cluster says of another node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum News {
    There(u64),
    Gone(Gone),
}

/// A node that is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone {
    pub(crate) node: u64,
    /// It said so, and does not come back.
    pub(crate) is_for_good: bool,
}

/// A request to the engine.
pub(crate) enum Request {
    Track {
        topic: Topic,
        key: String,
        owner: Owner,
        meta: RawJson,
        answer: Answer<String>,
        /// The join that is to be shown the state with the new presence in it.
        showing: Option<Showing>,
    },
    Update {
        topic: Topic,
        key: String,
        owner: Owner,
        meta: RawJson,
        answer: Answer<String>,
    },
    /// The meta that the owner tracked.
    Meta {
        topic: Topic,
        key: String,
        owner: Owner,
        answer: Answer<Payload>,
    },
    /// Answered with whether there was anything to untrack.
    Untrack {
        topic: Topic,
        key: String,
        owner: Owner,
        answer: Answer<bool>,
    },
    /// The state as clients get it, encoded once for all who ask between two changes.
    List {
        topic: Topic,
        answer: Answer<Payload>,
    },
    /// Pushes the state to a join, of its first keys if there is a bound.
    Show {
        showing: Showing,
        keys_max: Option<usize>,
    },
    /// The entries of the first keys.
    Entries {
        topic: Topic,
        keys_max: usize,
        answer: Answer<Vec<Entry>>,
    },
    Get {
        topic: Topic,
        key: String,
        answer: Answer<Vec<Entry>>,
    },
    Count {
        topic: Topic,
        answer: Answer<Count>,
    },
    /// A join is over. `done` is called when the topic was told.
    End {
        owner: Owner,
        done: Done,
    },
    /// A join is over as this node goes down: what it tracked stays for a while.
    Leave {
        owner: Owner,
        done: Done,
    },
    /// Another node is about to go.
    Leaving {
        node: u64,
    },
    /// Another node says something.
    Heard {
        node: u64,
        piece: Bytes,
    },
    /// There is something to look at.
    Look,
    /// The engine ends when it has done what it was asked before.
    Stop,
}

impl Request {
    /// What is asked, in a word.
    fn word(&self) -> &'static str {
        match self {
            Self::Track { .. } => "track",
            Self::Update { .. } => "update",
            Self::Untrack { .. } => "untrack",
            Self::Meta { .. } | Self::Get { .. } | Self::Count { .. } => "look_up",
            Self::List { .. } | Self::Show { .. } | Self::Entries { .. } => "list",
            Self::End { .. } | Self::Leave { .. } => "end",
            Self::Leaving { .. } | Self::Heard { .. } | Self::Look | Self::Stop => "node",
        }
    }
}

/// What is counted of requests.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) taken: Words<7>,
    pub(crate) refused: Words<3>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            taken: Words::new(["track", "update", "untrack", "look_up", "list", "end", "node"]),
            refused: Words::new(["busy", "closed", "invalid"]),
        }
    }
}

/// Called when a join's presences are gone.
pub(crate) type Done = Box<dyn FnOnce() + Send>;

type Answer<T> = oneshot::Sender<Result<T, PresenceError>>;

/// A request on its way. It is made at once, and answered when the future is awaited; dropping the future does
/// not take the request back.
pub(crate) struct Asked<T>(Result<oneshot::Receiver<Result<T, PresenceError>>, PresenceError>);

impl<T> Asked<T> {
    pub(crate) fn refused(error: PresenceError) -> Self {
        Self(Err(error))
    }

    pub(crate) async fn answered(self) -> Result<T, PresenceError> {
        self.0?.await.unwrap_or(Err(PresenceError::Closed))
    }
}

impl Showing {
    /// A viewer, and what says that it was shown the state.
    pub(crate) fn new(viewer: Arc<dyn Viewer>) -> (Self, Asked<()>) {
        let (answer, answered) = oneshot::channel();
        (Self { viewer, answer }, Asked(Ok(answered)))
    }
}

/// The number of presences on a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Different keys: people.
    pub keys: usize,
    /// Metas: tabs and devices.
    pub metas: usize,
}

impl Tracker {
    pub(crate) fn new(options: PresenceOptions, publish: Publish, fetcher: Option<Fetcher>) -> Self {
        Self {
            options,
            publish,
            fetcher,
            others: OnceLock::new(),
            engine: OnceLock::new(),
            ended: Arc::default(),
            presences: Arc::default(),
            meter: Meter::default(),
        }
    }

    /// How many presences this node tracks.
    pub(crate) fn len(&self) -> u64 {
        self.presences.load(std::sync::atomic::Ordering::Relaxed)
    }

    pub(crate) fn track(&self, topic: &Topic, key: &str, owner: ChannelId, meta: &Payload) -> Asked<String> {
        self.track_and_show(topic, key, owner, meta, None)
    }

    /// Tracks a presence, and shows a join the state with it if that went well.
    pub(crate) fn track_and_show(
        &self,
        topic: &Topic,
        key: &str,
        owner: ChannelId,
        meta: &Payload,
        showing: Option<Showing>,
    ) -> Asked<String> {
        self.with_meta(key, meta, |key, meta, answer| Request::Track {
            topic: topic.clone(),
            key,
            owner: Owner(owner.0),
            meta,
            answer,
            showing,
        })
    }

    /// Pushes the state of its topic to a join, of its first keys if there is a bound.
    pub(crate) fn show(&self, viewer: Arc<dyn Viewer>, keys_max: Option<usize>) -> Asked<()> {
        let (showing, shown) = Showing::new(viewer);
        self.send(Request::Show { showing, keys_max }).map_or_else(Asked::refused, |()| shown)
    }

    pub(crate) fn update(&self, topic: &Topic, key: &str, owner: ChannelId, meta: &Payload) -> Asked<String> {
        self.with_meta(key, meta, |key, meta, answer| Request::Update {
            topic: topic.clone(),
            key,
            owner: Owner(owner.0),
            meta,
            answer,
        })
    }

    pub(crate) fn meta(&self, topic: &Topic, key: &str, owner: ChannelId) -> Asked<Payload> {
        let (topic, key) = (topic.clone(), key.to_owned());
        self.ask(|answer| Request::Meta { topic, key, owner: Owner(owner.0), answer })
    }

    pub(crate) fn untrack(&self, topic: &Topic, key: &str, owner: ChannelId) -> Asked<bool> {
        let (topic, key) = (topic.clone(), key.to_owned());
        self.ask(|answer| Request::Untrack { topic, key, owner: Owner(owner.0), answer })
    }

    /// The state of a topic, of its first keys if there is a bound.
    pub(crate) async fn list(
        &self,
        topic: &Topic,
        keys_max: Option<usize>,
    ) -> Result<Payload, PresenceError> {
        if self.fetcher.is_none() && keys_max.is_none() {
            let topic = topic.clone();
            return self.ask(|answer| Request::List { topic, answer }).answered().await;
        }
        let keys_max = keys_max.unwrap_or(usize::MAX);
        let asked = self.ask(|answer| Request::Entries { topic: topic.clone(), keys_max, answer });
        let entries = asked.answered().await?;
        let state = json::state(entries.iter(), &self.extras(topic, &entries).await);
        match state.size() {
            bytes if bytes > self.options.state_bytes_max => Err(PresenceError::StateTooLong { bytes }),
            _ => Ok(state),
        }
    }

    pub(crate) async fn get(&self, topic: &Topic, key: &str) -> Result<Payload, PresenceError> {
        let asked = self.ask(|answer| Request::Get { topic: topic.clone(), key: key.to_owned(), answer });
        let entries = asked.answered().await?;
        Ok(json::presence(entries.iter(), &self.extras(topic, &entries).await))
    }

    async fn extras(&self, topic: &Topic, entries: &[Entry]) -> Extras {
        match &self.fetcher {
            Some(fetcher) => fetcher.extras(topic, entries.iter()).await,
            None => Extras::new(),
        }
    }

    pub(crate) fn per_join_max(&self) -> u32 {
        self.options.per_join_max
    }

    pub(crate) fn count(&self, topic: &Topic) -> Asked<Count> {
        let topic = topic.clone();
        self.ask(|answer| Request::Count { topic, answer })
    }

    /// Whatever the join tracked goes. Never waits and never fails: it is called from destructors.
    pub(crate) fn end(&self, owner: ChannelId, done: Done) {
        self.end_by(owner, done, |owner, done| Request::End { owner, done });
    }

    /// The same as this node goes down and the client is expected on another one: for a while nobody is told.
    pub(crate) fn leave(&self, owner: ChannelId, done: Done) {
        self.end_by(owner, done, |owner, done| Request::Leave { owner, done });
    }

    fn end_by(&self, owner: ChannelId, done: Done, request: fn(Owner, Done) -> Request) {
        // Without an engine nothing was ever tracked.
        let Some(Some(engine)) = self.engine.get() else { return done() };
        self.meter.taken.add("end", 1);
        let request = request(Owner(owner.0), done);
        let refused = engine.requests.try_send(request).map_err(TrySendError::into_inner);
        if let Err(Request::End { owner, done } | Request::Leave { owner, done }) = refused {
            self.ended.owners.lock().unwrap_or_else(PoisonError::into_inner).push(owner);
            done();
        }
    }

    /// Tells other nodes from now on who is present here, before anything is tracked.
    pub(crate) fn set_others(&self, node: u64, send: SendTo) {
        let others = Others { node, send, is_up: Arc::default(), is_settled: Arc::default() };
        if self.others.set(others).is_err() {
            unreachable!("a node is in one cluster");
        }
    }

    /// Another node says something. If there is too much to do it is lost, and said again; and so it is while the node is gone.
    pub(crate) fn hear(&self, node: u64, piece: Bytes) {
        let _ = self.send(Request::Heard { node, piece });
    }

    /// Another node is there.
    pub(crate) fn handle_peer(&self, node: u64) {
        self.ended.nodes.lock().unwrap_or_else(PoisonError::into_inner).push(News::There(node));
    }

    /// Another node is about to go. If there is too much to do, who comes back from it is seen twice for a while.
    pub(crate) fn handle_leaving(&self, node: u64) {
        let _ = self.send(Request::Leaving { node });
    }

    /// All nodes that live were told of.
    pub(crate) fn handle_settled(&self) {
        if let Some(others) = self.others.get() {
            others.is_settled.store(true, std::sync::atomic::Ordering::Release);
            let _ = self.send(Request::Look);
        }
    }

    /// Another node is gone, and whoever was present there.
    pub(crate) fn handle_gone(&self, gone: Gone) {
        self.ended.nodes.lock().unwrap_or_else(PoisonError::into_inner).push(News::Gone(gone));
        // An engine that has too much to do looks anyway.
        let _ = self.send(Request::Look);
    }

    /// Whether other nodes can be heard. The first time begins the conversation.
    pub(crate) fn handle_reach(&self, is_up: bool) {
        if let Some(others) = self.others.get() {
            others.is_up.store(is_up, std::sync::atomic::Ordering::Relaxed);
            let _ = self.send(Request::Look);
        }
    }

    fn with_meta<T>(
        &self,
        key: &str,
        meta: &Payload,
        request: impl FnOnce(String, RawJson, Answer<T>) -> Request,
    ) -> Asked<T> {
        match self.check(key, meta) {
            Ok(meta) => self.ask(|answer| request(key.to_owned(), meta, answer)),
            Err(error) => {
                self.meter.refused.add("invalid", 1);
                Asked::refused(error)
            }
        }
    }

    fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Asked<T> {
        let (answer, answered) = oneshot::channel();
        Asked(self.send(request(answer)).map(|()| answered))
    }

    fn send(&self, request: Request) -> Result<(), PresenceError> {
        let operation = request.word();
        let refused = |word: &str, error| {
            self.meter.refused.add(word, 1);
            error
        };
        let engine = self.engine.get_or_init(|| Some(self.start())).as_ref();
        let engine = engine.ok_or_else(|| refused("closed", PresenceError::Closed))?;
        engine.requests.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => refused("busy", PresenceError::Busy),
            TrySendError::Disconnected(_) => refused("closed", PresenceError::Closed),
        })?;
        self.meter.taken.add(operation, 1);
        Ok(())
    }

    fn start(&self) -> EngineThread {
        let bytes_max = self.options.state_bytes_max;
        let (outlet, fetching) = Outlet::new(self.publish.clone(), self.fetcher.clone(), bytes_max);
        let shared = (self.ended.clone(), self.presences.clone());
        let engine = worker::Engine::new(self.options.clone(), outlet, shared, self.others.get());
        EngineThread::start(engine, fetching, bounded(self.options.queue_max))
    }

    /// Whether the engine has ended by itself: nothing can be tracked any more.
    pub(crate) fn has_died(&self) -> bool {
        matches!(self.engine.get(), Some(Some(engine)) if engine.has_died())
    }

    /// Ends the engine's thread, behind what was asked before. Whatever is asked from now on is refused.
    pub(crate) async fn stop(&self) {
        if let Some(engine) = self.engine.get_or_init(|| None) {
            engine.stop().await;
        }
    }

    /// Whether a key is one that can be tracked.
    pub(crate) fn check_key(&self, key: &str) -> Result<(), PresenceError> {
        if key.len() > self.options.key_bytes_max {
            let max = self.options.key_bytes_max;
            return Err(PresenceError::KeyTooLong { bytes: key.len(), max });
        }
        if !self.options.prototype_keys && PROTOTYPE_KEYS.contains(&key) {
            return Err(PresenceError::UnsafeKey);
        }
        Ok(())
    }

    fn check(&self, key: &str, meta: &Payload) -> Result<RawJson, PresenceError> {
        self.check_key(key)?;
        let meta = meta.as_json().filter(|meta| meta.is_object());
        let meta = meta.ok_or(PresenceError::Meta(EncodeError::NotObject))?;
        match meta.as_str().len() {
            bytes if bytes > self.options.meta_bytes_max => Err(PresenceError::MetaTooLong { bytes }),
            _ => Ok(meta.clone()),
        }
    }
}

impl Ended {
    pub(crate) fn take(&self) -> Vec<Owner> {
        std::mem::take(&mut *self.owners.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn take_news(&self) -> Vec<News> {
        std::mem::take(&mut *self.nodes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracker").field("presences", &self.len()).finish_non_exhaustive()
    }
}

impl fmt::Display for PresenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("the presence engine has too much to do"),
            Self::AlreadyTracked => f.write_str("the key is tracked already"),
            Self::NotTracked => f.write_str("the key is not tracked"),
            Self::KeyTooLong { bytes, max } => write!(f, "a key of {bytes} bytes is too long: {max} at most"),
            Self::UnsafeKey => f.write_str("the key is a name that breaks old clients"),
            Self::MetaTooLong { bytes } => write!(f, "a meta of {bytes} bytes is too long"),
            Self::Meta(_) => f.write_str("the meta is not a JSON object"),
            Self::TooMany => f.write_str("the join tracks as many presences as it may"),
            Self::StateTooLong { bytes } => write!(f, "a state of {bytes} bytes is too long"),
            Self::Encode(_) => f.write_str("the state cannot be written for this client"),
            Self::Closed => f.write_str("the presence engine is gone"),
        }
    }
}

impl std::error::Error for PresenceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Meta(error) | Self::Encode(error) => Some(error),
            _ => None,
        }
    }
}
