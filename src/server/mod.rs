//! The whole as a value: mounts on one node, with everything that the rest of the program does with them.

pub(crate) mod build_error;
#[cfg(feature = "cluster")]
mod carried;
pub(crate) mod drain;
pub(crate) mod inspect;
pub(crate) mod kept;
pub(crate) mod metrics;
pub(crate) mod moderating;
pub(crate) mod mount;
#[cfg(feature = "cluster")]
mod moving;
#[cfg(feature = "opentelemetry")]
mod observed;
pub(crate) mod path;
mod patterns;
#[cfg(feature = "metrics")]
mod recorded;
mod serve;
pub(crate) mod service;
pub(crate) mod shutdown;
pub(crate) mod status;
pub(crate) mod subscription;
pub(crate) mod tracked;
pub(crate) mod unknown_mount;
#[cfg(any(feature = "metrics", feature = "opentelemetry"))]
mod weak;

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lapwing_transports::{
    dialect::server::Refused,
    endpoint::Endpoint,
    options::error::{FOREVER, check_bound},
};
use serde::Serialize;

#[cfg(feature = "cluster")]
use crate::cluster::{ClusterInfo, ClusterStats};
use crate::{
    cluster::link,
    journal::Journal,
    node::{BroadcastError, Node},
    presence::{Count, PresenceError, fetch::Fetcher, options::PresenceOptions},
    protocol::{IntoPayload, Payload},
    pubsub::{LocalPubSub, PubSub},
    server::{
        build_error::BuildError, drain::Drain, mount::Mount, path::MountPath, subscription::Subscription,
        tracked::Tracked, unknown_mount::UnknownMount,
    },
    session::{handler::Hub, router::ChannelRoute},
    topic::Topic,
    topics::{Topics, broadcast::Broadcast, compression::Compression, kept::Kept, published::Published},
};

/// What a shutdown may take by default.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(60);

/// Enough for some ten thousand rooms with a few hundred bytes for each of their last twenty messages.
const HISTORY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A server of channels. Cheap to clone; all clones are one.
///
/// ```
/// use lapwing::{Lapwing, Mount};
///
/// let lapwing = Lapwing::builder().mount("/socket", Mount::new()).build().unwrap();
/// assert_eq!(lapwing.stats().sessions, 0);
/// ```
#[derive(Clone)]
pub struct Lapwing(Arc<Inner>);

struct Inner {
    node: Arc<Node>,
    mounts: Vec<Mounted>,
    shutdown_timeout: Duration,
    /// It goes down, and does not come back.
    is_draining: AtomicBool,
    #[cfg(feature = "cluster")]
    move_tasks: moving::MoveTasks,
}

/// A mount in its place.
pub(crate) struct Mounted {
    pub(crate) path: MountPath,
    pub(crate) name: String,
    pub(crate) endpoint: Endpoint<Hub>,
    pub(crate) drain: Option<Drain>,
}

/// Numbers about a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Live WebSocket connections.
    pub connections: usize,
    /// Live event streams.
    pub sse: usize,
    /// Sessions that are polled.
    pub longpoll: usize,
    /// Sessions that nothing carries at the moment, and that their clients may still resume.
    pub detached: usize,
    /// Live sessions that outlive their connections.
    pub resumable: usize,
    /// Live sessions, by whatever transport.
    pub sessions: usize,
    /// Times a session went on by another connection so far.
    pub resumed: u64,
    /// Resumable sessions that were not begun or carried on so far, by reason.
    pub resumes_refused: ResumesRefused,
    /// Live joins, those that are being decided and those that are ending included.
    pub joins: u64,
    /// Topics that anybody is subscribed to.
    pub topics: usize,
    /// Presences tracked on this node.
    pub presences: u64,
    /// The memory of kept topics on this node.
    pub kept: KeptStats,
    /// Frames written to clients so far.
    pub frames_out: u64,
    /// Bytes of them.
    pub bytes_out: u64,
    /// Clients that were not let in so far.
    pub refused: u64,
    /// Bytes held for clients, as [`Mount::budget`] bounds them.
    pub bytes_held: usize,
    /// Sessions closed so far because too many bytes were held, and most of them for these.
    pub over_budget: u64,
    /// The fate of slow clients so far, and of what was for them.
    pub slow: SlowStats,
    /// The cluster that this server is a node of; none of one that is alone.
    #[cfg(feature = "cluster")]
    pub cluster: Option<ClusterStats>,
}

/// The fate of slow clients, and of what was for them: see [`SlowPolicy`](crate::SlowPolicy).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SlowStats {
    /// Sessions closed with 1013, as more waited for them than may.
    pub closed: u64,
    /// States that a newer one has replaced before they were sent.
    pub replaced: u64,
    /// Broadcasts that were dropped for newer ones of their topic, of which the client was told.
    pub dropped: u64,
    /// Volatile broadcasts that were left out for a client.
    pub left_out: u64,
    /// States that a newer one has replaced in the mailbox of a channel that intercepts them.
    pub replaced_in_mailboxes: u64,
    /// Volatile broadcasts that were left out, as something waited for the channel that intercepts them.
    pub left_out_of_mailboxes: u64,
}

/// The memory of kept topics: see [`Mount::keep`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeptStats {
    /// Topics that remember anything, or did a short while ago.
    pub topics: usize,
    /// Messages.
    pub messages: usize,
    /// Bytes that all of it takes, as [`Builder::history_bytes_max`] bounds them.
    pub bytes: usize,
}

/// Counts of resumable sessions that were not begun or not carried on, by reason. `docs/sessions.md` says what each means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ResumesRefused {
    /// There was no session with the client's token.
    pub unknown: u64,
    /// The window was over.
    pub expired: u64,
    /// Frames were lost, as the buffer had reached its bound.
    pub gap: u64,
    /// The session had been ended.
    pub closed: u64,
    /// The client claimed frames that were never sent.
    pub ahead: u64,
    /// The program refused the client.
    pub forbidden: u64,
    /// There were as many sessions as may be.
    pub full: u64,
}

impl ResumesRefused {
    fn add(&mut self, refused: Refused, count: u64) {
        match refused {
            Refused::Unknown => self.unknown += count,
            Refused::Expired => self.expired += count,
            Refused::Gap => self.gap += count,
            Refused::Closed => self.closed += count,
            Refused::Ahead => self.ahead += count,
            Refused::Forbidden => self.forbidden += count,
            Refused::Full => self.full += count,
            _ => {}
        }
    }
}

/// Collects the parts of a [`Lapwing`].
#[must_use = "nothing happens before `build`"]
pub struct Builder {
    mounts: Vec<(String, Mount)>,
    pubsub: Option<Arc<dyn PubSub>>,
    cluster: Option<link::Cluster>,
    presence: PresenceOptions,
    fetcher: Option<Fetcher>,
    shutdown_timeout: Duration,
    history_bytes_max: usize,
    journal: usize,
}

impl Lapwing {
    /// Starts collecting.
    pub fn builder() -> Builder {
        Builder {
            mounts: Vec::new(),
            pubsub: None,
            cluster: None,
            presence: PresenceOptions::default(),
            fetcher: None,
            shutdown_timeout: SHUTDOWN_TIMEOUT,
            history_bytes_max: HISTORY_BYTES_MAX,
            journal: 0,
        }
    }

    /// Publishes an event to all subscribers of a topic, on all nodes.
    ///
    /// # Errors
    /// See [`BroadcastError`].
    pub fn broadcast(
        &self,
        topic: impl Into<Topic>,
        event: impl AsRef<str>,
        payload: impl IntoPayload,
    ) -> Result<Published, BroadcastError> {
        self.0.node.publish_on(broadcast_of(topic, event, payload)?)
    }

    /// Publishes an event as it says itself: to all subscribers of its topic, or to all but one, on all nodes or on this one.
    ///
    /// # Errors
    /// See [`BroadcastError`].
    pub fn publish(&self, broadcast: Broadcast) -> Result<Published, BroadcastError> {
        self.0.node.publish_on(broadcast)
    }

    /// Subscribes the calling task to a topic.
    #[must_use]
    pub fn subscribe(&self, topic: impl Into<Topic>) -> Subscription {
        Subscription::new(self.0.node.clone(), topic.into())
    }

    /// The presences on a topic: the payload of `presence_state`. Cancel safe: it changes nothing.
    ///
    /// # Errors
    /// [`PresenceError::StateTooLong`] on a topic with too many of them; when the presence engine is busy, or has ended.
    pub async fn presences(&self, topic: impl Into<Topic>) -> Result<Payload, PresenceError> {
        self.0.node.tracker.list(&topic.into(), None).await
    }

    /// Says that something of the program's own is present on a topic, until what is returned is dropped.
    ///
    /// # Errors
    /// See [`PresenceError`].
    pub async fn track(
        &self,
        topic: impl Into<Topic>,
        key: impl Into<String>,
        meta: impl IntoPayload,
    ) -> Result<Tracked, PresenceError> {
        let meta = meta.into_payload().map_err(PresenceError::Meta)?;
        Tracked::new(self.0.node.clone(), topic.into(), key.into(), meta).await
    }

    /// The number of presences on a topic. Cancel safe: it changes nothing.
    ///
    /// # Errors
    /// When the presence engine is busy, or has ended.
    pub async fn presence_count(&self, topic: impl Into<Topic>) -> Result<Count, PresenceError> {
        self.0.node.tracker.count(&topic.into()).answered().await
    }

    /// The numbers at this moment. Costs a walk through all sessions.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats {
            joins: self.0.node.joins(),
            topics: self.0.node.topics.len(),
            presences: self.0.node.tracker.len(),
            kept: self.0.node.topics.kept().map_or_else(KeptStats::default, |kept| {
                let (bytes, messages, topics) = kept.held();
                KeptStats { topics, messages, bytes }
            }),
            #[cfg(feature = "cluster")]
            cluster: self.0.node.link().map(link::Link::stats),
            slow: SlowStats {
                replaced_in_mailboxes: self.0.node.spared.replaced(),
                left_out_of_mailboxes: self.0.node.spared.left_out(),
                ..SlowStats::default()
            },
            ..Stats::default()
        };
        for Mounted { endpoint, .. } in &self.0.mounts {
            let census = endpoint.census();
            stats.connections += census.websocket;
            stats.sse += census.sse;
            stats.longpoll += census.longpoll;
            stats.detached += census.detached;
            stats.resumable += census.resumable;
            stats.sessions += endpoint.session_count();
            stats.resumed += endpoint.counters().resumed();
            for (refused, count) in endpoint.counters().resumes_refused() {
                stats.resumes_refused.add(refused, count);
            }
            stats.frames_out += endpoint.counters().frames_out();
            stats.bytes_out += endpoint.counters().bytes_out();
            stats.refused += endpoint.counters().refused();
            stats.bytes_held += endpoint.bytes_held();
            stats.over_budget += endpoint.counters().over_budget();
            stats.slow.closed += endpoint.counters().too_slow();
            stats.slow.replaced += endpoint.counters().replaced();
            stats.slow.dropped += endpoint.counters().dropped();
            stats.slow.left_out += endpoint.counters().left_out();
        }
        stats
    }

    /// The cluster that this server is a node of, as it is seen from here; `None` if it is alone.
    #[cfg(feature = "cluster")]
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterInfo> {
        self.0.node.link().map(link::Link::info)
    }

    /// Returns whether a balancer may send clients here: until it [shuts down](Self::shutdown), and, as a node of a cluster, while the engine is there
    /// and delivers what was asked for.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.why_not_ready().is_none()
    }

    /// The reason in a word, if it is not.
    pub(crate) fn why_not_ready(&self) -> Option<&'static str> {
        if self.0.is_draining.load(Ordering::Relaxed) {
            return Some("draining");
        }
        self.0.node.link().is_some_and(|link| !link.is_ready()).then_some("engine")
    }

    pub(crate) fn set_draining(&self) {
        self.0.is_draining.store(true, Ordering::Relaxed);
    }

    /// The routes of a mount, in the order in which they are tried.
    ///
    /// # Errors
    /// If there is no such mount.
    pub fn routes(&self, mount: &str) -> Result<impl Iterator<Item = &ChannelRoute>, UnknownMount> {
        let mounted = &self.0.mounts[self.find_mount(mount)?];
        Ok(mounted.endpoint.handler().router().routes())
    }

    pub(crate) fn shutdown_timeout(&self) -> Duration {
        self.0.shutdown_timeout
    }

    pub(crate) fn node(&self) -> &Node {
        &self.0.node
    }

    pub(crate) fn mounts(&self) -> &[Mounted] {
        &self.0.mounts
    }

    /// The place of a mount among the others.
    pub(crate) fn find_mount(&self, path: &str) -> Result<usize, UnknownMount> {
        let mounts = &self.0.mounts;
        let wanted = MountPath::new(path).ok();
        mounts.iter().position(|mounted| Some(&mounted.path) == wanted.as_ref()).ok_or_else(|| UnknownMount {
            path: path.to_owned(),
            mounts: mounts.iter().map(|mounted| mounted.name.clone()).collect(),
        })
    }
}

fn broadcast_of(
    topic: impl Into<Topic>,
    event: impl AsRef<str>,
    payload: impl IntoPayload,
) -> Result<Broadcast, BroadcastError> {
    let payload = payload.into_payload().map_err(BroadcastError::Encode)?;
    Ok(Broadcast::new(topic, event, payload))
}

impl Builder {
    /// Mounts channels at a path. A segment `:name` is a variable that becomes a connect parameter.
    pub fn mount(mut self, path: impl Into<String>, mount: Mount) -> Self {
        self.mounts.push((path.into(), mount));
        self
    }

    /// Carries broadcasts to other nodes. Default: there are none.
    pub fn pubsub(mut self, pubsub: Arc<dyn PubSub>) -> Self {
        self.pubsub = Some(pubsub);
        self
    }

    /// Makes this server a node of a cluster. Default: it is alone.
    ///
    /// Topics that are kept ([`Mount::keep`]) are kept by the engine, in one order for all nodes. Redis can do that, and NATS where
    /// `Nats::keeping` says so; over one that cannot [`build`](Self::build) refuses them.
    #[cfg(feature = "cluster")]
    pub fn cluster(mut self, cluster: link::Cluster) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// Bounds and times of presence, see [`PresenceOptions`].
    pub fn presence(mut self, options: PresenceOptions) -> Self {
        self.presence = options;
        self
    }

    /// Adds something to presences, for lists and diffs alike: one call for many keys, whose answers are remembered for
    /// `time_to_live`. A call may take five seconds; then presences go out without what it would have added.
    ///
    /// ```
    /// use std::{collections::HashMap, time::Duration};
    /// use lapwing::Lapwing;
    /// use serde_json::{Map, json};
    ///
    /// let lapwing = Lapwing::builder()
    ///     .fetch(Duration::from_secs(60), |_topic, user_ids| async move {
    ///         // One query for all of them.
    ///         let name = |id: &String| Map::from_iter([("name".to_owned(), json!(format!("User {id}")))]);
    ///         user_ids.iter().map(|id| (id.clone(), name(id))).collect::<HashMap<_, _>>()
    ///     })
    ///     .build();
    /// # assert!(lapwing.is_ok());
    /// ```
    pub fn fetch<F, Fut>(mut self, time_to_live: Duration, fetch: F) -> Self
    where
        F: Fn(Topic, Vec<String>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = HashMap<String, serde_json::Map<String, serde_json::Value>>> + Send + 'static,
    {
        let fetch =
            move |topic, keys| -> Pin<Box<dyn Future<Output = _> + Send>> { Box::pin(fetch(topic, keys)) };
        self.fetcher = Some(Fetcher::new(Arc::new(fetch), time_to_live.min(FOREVER)));
        self
    }

    /// Sets the time that [`shutdown`](Lapwing::shutdown) may take. Default 60 s: the drain of a mount (30 s), the last words of its
    /// connections (9 s) and those of its joins (10 s) fit in by default. A service manager has to wait for a little longer;
    /// with one that does not, set this below its patience. Nobody is waited for beyond it, and who was left is in the
    /// [`ShutdownReport`](crate::ShutdownReport).
    pub fn shutdown_timeout(mut self, shutdown_timeout: Duration) -> Self {
        self.shutdown_timeout = shutdown_timeout;
        self
    }

    /// Sets the bytes that the histories of all kept topics may take together. Default 64 MiB. When there is no more room, a topic
    /// that records makes place among its own messages, and what finds none is sent and not remembered.
    pub fn history_bytes_max(mut self, bytes: usize) -> Self {
        self.history_bytes_max = bytes;
        self
    }

    /// Notes what happens to sessions, and keeps so many of the newest entries for [`Lapwing::journal`]. Default 0: nothing is noted. An entry
    /// has 400 bytes or less; one is made when a session begins, moves to another connection or ends, and when it joins or leaves a topic.
    pub fn journal(mut self, entries: usize) -> Self {
        self.journal = entries;
        self
    }

    /// Puts the parts together.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(self) -> Result<Lapwing, BuildError> {
        self.presence.check()?;
        if let Some(error) = self.presence.bad_pattern() {
            return Err(BuildError::Pattern(error.clone()));
        }
        check_bound("Builder::history_bytes_max", self.history_bytes_max)?;
        let patterns::Patterns { slow, keeps } =
            patterns::collect(self.mounts.iter().map(|(_, mount)| mount))?;
        if let Some(cluster) = &self.cluster {
            if self.pubsub.is_some() {
                return Err(BuildError::TwoWays);
            }
            if let Some((pattern, _)) = keeps.first().filter(|_| !cluster.can_keep()) {
                return Err(BuildError::KeptInCluster(pattern.as_str().to_owned()));
            }
        }
        let keeps_any = !keeps.is_empty();
        let kept = if self.cluster.is_some() { Kept::of_store } else { Kept::new };
        let kept = keeps_any.then(|| kept(keeps, self.history_bytes_max)).map(Box::new);
        let pubsub = self.pubsub.unwrap_or_else(|| Arc::new(LocalPubSub));
        let mut compression = Compression::default();
        self.mounts.iter().for_each(|(_, mount)| mount.add_to(&mut compression));
        let topics = Topics::keeping(kept).with_slow(slow).with_compression(compression);
        let node = Arc::new(Node::new(pubsub, self.presence, self.fetcher, topics));
        if self.journal > 0 {
            let _ = node.journal.set(Journal::new(self.journal));
        }
        let link = self.cluster.map(|cluster| link::Link::new(cluster, keeps_any));
        let mut mounts: Vec<Mounted> = Vec::new();
        for (name, mount) in self.mounts {
            let path =
                MountPath::new(&name).map_err(|problem| BuildError::Path { path: name.clone(), problem })?;
            if mounts.iter().any(|mounted| mounted.path == path) {
                return Err(BuildError::DuplicateMount(name));
            }
            let drain = mount.drain;
            let (hub, options) = mount.into_hub(node.clone())?;
            let endpoint = match &link {
                Some(link) => Endpoint::among(hub, options, link.elsewhere(&name)),
                None => Endpoint::new(hub, options),
            };
            mounts.push(Mounted { path, name, endpoint, drain });
        }
        let here = Arc::downgrade(&node);
        node.pubsub.start(Arc::new(move |message| {
            if let Some(node) = here.upgrade() {
                let _ = node.deliver(message);
            }
        }));
        if let Some(link) = link {
            node.set_link(link);
        }
        let shutdown_timeout = self.shutdown_timeout;
        let inner = Arc::new(Inner {
            node,
            mounts,
            shutdown_timeout,
            is_draining: AtomicBool::new(false),
            #[cfg(feature = "cluster")]
            move_tasks: moving::MoveTasks::default(),
        });
        #[cfg(feature = "cluster")]
        {
            carried::host(&inner);
            moving::follow(&inner);
        }
        Ok(Lapwing(inner))
    }
}

impl fmt::Debug for Lapwing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lapwing").field("node", &self.0.node).finish_non_exhaustive()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("mounts", &self.mounts).finish_non_exhaustive()
    }
}
