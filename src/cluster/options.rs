//! How a node of a cluster is started.

use std::{fmt, time::Duration};

use lapwing_cluster::{Config, Spread, TopicHasher, moves::MoveConfig};
use lapwing_cluster_driver::{self as driver, AtStart, Engine, Events, StartError};
use tokio::runtime::Handle;

/// A node of a cluster as it will be.
///
/// ```
/// use lapwing::{ClusterOptions, Lapwing, cluster::Hub};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Two nodes in one program; `Redis::at("redis://…")?` in the place of `hub.engine(…)` makes them two programs.
/// let hub = Hub::new();
/// let cluster = ClusterOptions::new("chat").name("one").start(hub.engine("one")).await?;
/// let one = Lapwing::builder().cluster(cluster).build()?;
/// let cluster = ClusterOptions::new("chat").name("two").start(hub.engine("two")).await?;
/// let two = Lapwing::builder().cluster(cluster).build()?;
///
/// let mut orders = two.subscribe("orders:new");
/// orders.confirmed().await?;
/// one.broadcast("orders:new", "created", serde_json::json!({"id": 1}))?;
/// assert_eq!(orders.recv().await?.event, "created");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ClusterOptions {
    app: String,
    name: String,
    options: driver::Options,
    config: Config,
    spread: Spread,
    join_timeout: Duration,
    call_timeout: Duration,
    ring_bytes_max: usize,
    moves: bool,
    follow_after: Option<Duration>,
}

impl ClusterOptions {
    /// A node of the application `app`: a letter or digit, and then up to 63 letters, digits, `-` or `_`. Nodes of different applications share an
    /// engine and hear nothing of each other.
    pub fn new(app: impl Into<String>) -> Self {
        let app = app.into();
        let options = driver::Options::new(app.clone());
        let config = Config::default();
        Self {
            app,
            name: String::new(),
            options,
            config,
            spread: Spread::default(),
            join_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(10),
            ring_bytes_max: 4 * 1024 * 1024,
            moves: false,
            follow_after: Some(Duration::from_secs(60)),
        }
    }

    /// The node's name, for people: in lists of nodes, in logs and in [`Gap::node`](crate::Gap::node). Default: a random number.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Messages between nodes are sealed with a secret that all of them have; others are dropped, and counted. Default: none.
    ///
    /// It keeps who can write to the engine, and does not know the secret, from publishing, from ending clients and from being a node. It
    /// hides nothing. 16 bytes from a random source are enough; an empty one is an error of [`start`](Self::start).
    pub fn secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.options = self.options.secret(secret);
        self
    }

    /// Decides about an engine that is away when the node starts. Default [`AtStart::Refuse`]: a wrong address is found when it is made.
    pub fn at_start(mut self, at_start: AtStart) -> Self {
        self.options = self.options.at_start(at_start);
        self
    }

    /// Spreads topics over the engine's channels; all nodes must agree. Default: 128 channels, each for the topics that hash
    /// to it. [`Spread::Topics`] is a channel for each topic, for clusters of more than some ten nodes.
    pub fn spread(mut self, spread: Spread) -> Self {
        self.spread = spread;
        self
    }

    /// Sets the time for which a join waits whose topic's channel the engine has not confirmed; then it is refused with
    /// `{"reason": "unavailable"}`, upon which phoenix.js tries again. Default 5 s: half of what phoenix.js waits for an answer.
    pub fn join_timeout(mut self, join_timeout: Duration) -> Self {
        self.join_timeout = join_timeout;
        self
    }

    /// Sets the time that other nodes may take to answer: to [`Lapwing::disconnect`](crate::Lapwing::disconnect), `kick`, and what counts. Default 10 s: an
    /// outage of the engine that is shorter is only waited for.
    pub fn call_timeout(mut self, call_timeout: Duration) -> Self {
        self.call_timeout = call_timeout;
        self
    }

    /// Bytes of this node's broadcasts that are kept for nodes that missed some, and for the time in which the engine is away.
    /// Default 4 MiB: ten seconds of a thousand small broadcasts a second. At the bound the oldest go, also while the engine is away: the other
    /// nodes are told one gap. Where the engine is there and takes less than is said, the newest reach this node alone ([`Sent::Here`](crate::Sent::Here)).
    ///
    /// As many bytes again of broadcasts on kept topics may wait for the engine's store. At the bound the newest are refused
    /// ([`BroadcastError::NotKept`](crate::BroadcastError::NotKept)).
    pub fn ring_bytes_max(mut self, bytes: usize) -> Self {
        self.ring_bytes_max = bytes;
        self.config = self.config.ring_bytes_max(bytes);
        self
    }

    /// Lets sessions go from one node to another when a node [shuts down](crate::Lapwing::shutdown), so that their clients notice a connection that is
    /// cut, and nothing else: see [the guide](crate::guide::cluster). All nodes have to say so. By default they end with their node.
    ///
    /// A node keeps what a client has connected and joined with for that, and asks the program about both again on the other node, without the
    /// client: [`Joining::is_move`](crate::Joining::is_move).
    pub fn with_moves(mut self) -> Self {
        self.moves = true;
        self.options = self.options.moves(MoveConfig::default());
        self
    }

    /// Sets the time for which the event stream or the WebSocket of a client may come by way of another node than the one with its session.
    /// Then the session goes there, and the client, whose connection is cut, comes back; where a balancer sends it to the same node again, no node
    /// stands between the two any more. Default 1 min: clients that go from node to node all the time have sessions that stay. Only
    /// [with moves](Self::with_moves).
    ///
    /// A session whose channels owe an answer ([`Context::take_reply`](crate::Context::take_reply)), and one that the other node does not take,
    /// stays, and is offered again after twice that time, then after four times, up to 64.
    pub fn follow_after(mut self, time: Duration) -> Self {
        self.follow_after = Some(time);
        self
    }

    /// Sessions follow no streams: they go to another node only when theirs goes down.
    pub fn without_following(mut self) -> Self {
        self.follow_after = None;
        self
    }

    /// Starts the node on the current runtime. It hears of the others when [`Builder::cluster`](crate::Builder::cluster) has it.
    ///
    /// Dropping the future starts nothing.
    ///
    /// # Errors
    /// See [`StartError`]: a name that is none, an engine that is away or refuses the node.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub async fn start(self, engine: impl Engine) -> Result<Cluster, StartError> {
        let Self {
            app,
            name,
            options,
            config,
            spread,
            join_timeout,
            call_timeout,
            ring_bytes_max,
            moves,
            follow_after,
        } = self;
        let hasher = Hasher { hasher: TopicHasher::new(&app), spread };
        let (cluster, events) =
            options.name(name.clone()).config(config.spread(spread)).start(engine).await?;
        let name = if name.is_empty() { cluster.instance().to_string() } else { name };
        let runtime = Handle::current();
        Ok(Cluster {
            name,
            cluster,
            events,
            runtime,
            hasher,
            join_timeout,
            call_timeout,
            ring_bytes_max,
            moves,
            follow_after,
        })
    }
}

/// A node of a cluster that runs, for [`Builder::cluster`](crate::Builder::cluster). If it is dropped, the node ends at once.
#[must_use = "a node that is dropped ends at once"]
pub struct Cluster {
    pub(super) name: String,
    pub(super) cluster: driver::Cluster,
    pub(super) events: Events,
    pub(super) runtime: Handle,
    pub(super) hasher: Hasher,
    pub(super) join_timeout: Duration,
    pub(super) call_timeout: Duration,
    pub(super) ring_bytes_max: usize,
    pub(super) moves: bool,
    pub(super) follow_after: Option<Duration>,
}

impl Cluster {
    /// Whether the engine can keep topics.
    pub(crate) fn can_keep(&self) -> bool {
        self.cluster.store().is_some()
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// Tells which topics share a channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hasher {
    hasher: TopicHasher,
    spread: Spread,
}

impl Hasher {
    pub(super) fn key(&self, topic: &str) -> lapwing_cluster::Key {
        self.hasher.key(self.spread, topic)
    }
}
