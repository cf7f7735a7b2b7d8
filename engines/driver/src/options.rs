//! How a node is started.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use lapwing_cluster::{
    AppNameError, Config, Identity, Instance, Names, Node, TopicHasher, moves::MoveConfig, relay::RelayConfig,
};
use tokio::sync::{mpsc, watch};

use crate::{
    cluster::Cluster,
    driver::Driver,
    engine::{ConnectError, Engine},
    events::Events,
    inbox::{Inbox, Room},
    seal::Seal,
    shared::Shared,
};

/// A node as it will be.
#[derive(Clone, Debug)]
#[must_use]
pub struct Options {
    app: String,
    name: String,
    secret: Option<Secret>,
    config: Config,
    relays: RelayConfig,
    moves: Option<MoveConfig>,
    at_start: AtStart,
    connect_timeout: Duration,
    pause_first: Duration,
    pause_longest: Duration,
    events_max: usize,
    event_bytes_max: usize,
}

/// Bytes that are in no log.
#[derive(Clone)]
struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What a start does if the engine is away. An engine that refuses the node is an error in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtStart {
    /// The start fails: a wrong address is found when it is made.
    #[default]
    Refuse,
    /// The start returns at once, and the node tries until the engine is there: nodes start whatever else is down. A wrong address is an engine that is away. What an
    /// engine refuses that comes later is logged, and tried again.
    Wait,
}

impl Options {
    /// A node of the application `app`. Nodes of different applications share an engine and hear nothing of each other.
    pub fn new(app: impl Into<String>) -> Self {
        Self {
            app: app.into(),
            name: String::new(),
            secret: None,
            config: Config::default(),
            relays: RelayConfig::default(),
            moves: None,
            at_start: AtStart::default(),
            connect_timeout: Duration::from_secs(2),
            pause_first: Duration::from_millis(50),
            pause_longest: Duration::from_millis(800),
            events_max: 65_536,
            event_bytes_max: 16 * 1024 * 1024,
        }
    }

    /// The node's name, for people: in lists of nodes and logs. Default: its instance.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Messages are sealed with a secret that all nodes of the application have; others are dropped, and counted in
    /// [`Stats::forged`](crate::Stats::forged). Default: none.
    ///
    /// It keeps who can write to the engine, and does not know the secret, from publishing, from ending clients and from being a node. It hides
    /// nothing, and does not keep them from saying again what a node has said. 16 bytes from a random source are enough; an empty one is an
    /// error of [`start`](Self::start). It costs 17 bytes a message, and a SHA-256 of it at both ends.
    pub fn secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.secret = Some(Secret(secret.into()));
        self
    }

    /// Options of the state machine.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Options of the requests that nodes carry for each other.
    pub fn relays(mut self, relays: RelayConfig) -> Self {
        self.relays = relays;
        self
    }

    /// Lets sessions go from one node to another. By default none goes or comes, and what other nodes offer is refused: it is for programs that act
    /// on [`ClusterEvent::Move`](crate::ClusterEvent::Move).
    pub fn moves(mut self, moves: MoveConfig) -> Self {
        self.moves = Some(moves);
        self
    }

    /// What to do if the engine is away now. Default [`AtStart::Refuse`].
    pub fn at_start(mut self, at_start: AtStart) -> Self {
        self.at_start = at_start;
        self
    }

    /// How long an attempt to connect may take, checks of permissions included. Default 2 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The first and the longest pause between attempts to connect; each is drawn between its half and its whole. Default 50 ms and
    /// 800 ms: a restarted engine is not stormed, and one that comes and goes each second is found while it is there, so that nobody takes
    /// this node for dead.
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        (self.pause_first, self.pause_longest) = (first, longest.max(first));
        self
    }

    /// Events that wait for the program. Default 65,536. At the bound broadcasts and calls that come are dropped, to be asked for again.
    pub fn events_max(mut self, events: usize) -> Self {
        self.events_max = events.max(1);
        self
    }

    /// Bytes of them. Default 16 MiB.
    pub fn event_bytes_max(mut self, bytes: usize) -> Self {
        self.event_bytes_max = bytes.max(1);
        self
    }

    /// Starts the node on the current runtime.
    ///
    /// Dropping the future starts nothing.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start<E: Engine>(self, mut engine: E) -> Result<(Cluster, Events), StartError> {
        let spread = self.config.topic_spread();
        let names = Names::new(&self.app, E::SEPARATOR, spread).map_err(StartError::App)?;
        if self.secret.as_ref().is_some_and(|Secret(secret)| secret.is_empty()) {
            return Err(StartError::EmptySecret);
        }
        let instance = Instance(getrandom::u64().map_err(StartError::Random)?);
        let name = if self.name.is_empty() { instance.to_string() } else { self.name };

        let attempt = tokio::time::timeout(self.connect_timeout, engine.connect(&names)).await;
        let attempt = attempt.unwrap_or_else(|_| Err(ConnectError::Away("it does not answer".into())));
        let connection = match (attempt, self.at_start) {
            (Ok(connection), _) => Some(connection),
            (Err(ConnectError::Away(_)), AtStart::Wait) => None,
            (Err(error), _) => return Err(StartError::Engine(error)),
        };

        let store = engine.store(&names);
        let (tx, rx) = mpsc::unbounded_channel();
        let room = Room::new(self.events_max, self.event_bytes_max);
        let inbox = Inbox::new(tx, room.clone());
        let hasher = TopicHasher::new(&self.app);
        let seal = self.secret.map(|Secret(secret)| Seal::new(&secret, &self.app));
        let identity = Identity { app: self.app, name, instance };
        let node = Node::new(identity, self.config, Duration::ZERO);
        let shared = Arc::new(Shared::new(inbox, node, seal, self.relays, self.moves));
        let (stop, stopped) = watch::channel(None);
        let driver = Driver::new(
            engine,
            names,
            Arc::clone(&shared),
            stopped,
            (self.connect_timeout, self.pause_first, self.pause_longest),
        );
        let task = tokio::spawn(driver.run(connection));
        Ok((Cluster::new(shared, (hasher, spread), store, stop, task), Events::new(rx, room)))
    }
}

/// Why a node could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The application's name.
    App(AppNameError),
    /// The secret is empty: anybody would have it.
    EmptySecret,
    /// The engine is away, or refuses the node; its source says why.
    Engine(ConnectError),
    /// The operating system gives no random bits.
    Random(getrandom::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(error) => error.fmt(f),
            Self::EmptySecret => {
                f.write_str("the secret is empty: take 16 random bytes or more, or set none")
            }
            Self::Engine(error) => error.fmt(f),
            Self::Random(_) => f.write_str("the operating system gives no random bits"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::App(_) | Self::EmptySecret => None,
            Self::Engine(error) => error.source(),
            Self::Random(error) => Some(error),
        }
    }
}
