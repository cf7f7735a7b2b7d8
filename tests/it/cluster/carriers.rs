//! The engines that the tests of clusters run on.

use lapwing::{
    Lapwing, Mount,
    cluster::{AtStart, ClusterOptions, Hub, KeptStream, Nats, Redis, driver::HubEngine},
    testing::TestServer,
};
use lapwing_engine_contract::{Process, eventually, free_port};

/// An engine, and what becomes of it.
pub(super) trait Carrier: Sized {
    type Engine: lapwing::cluster::Engine;

    async fn start() -> Self;

    fn engine(&self, label: &str) -> Self::Engine;

    /// It is gone, with all that it knew.
    fn kill(&mut self);

    /// It is there again.
    async fn restart(&mut self);
}

/// An engine that keeps topics, and what becomes of that.
pub(super) trait Keeps: Carrier {
    /// One that has what it has confirmed when it is there again.
    async fn start_keeping() -> Self;

    /// It is there again, without what it had.
    async fn restart_empty(&mut self);
}

impl Keeps for Hub {
    async fn start_keeping() -> Self {
        <Self as Carrier>::start().await
    }

    async fn restart_empty(&mut self) {
        self.forget_kept();
        Carrier::restart(self).await;
    }
}

impl Carrier for Hub {
    type Engine = HubEngine;

    async fn start() -> Self {
        Self::new()
    }

    fn engine(&self, label: &str) -> HubEngine {
        Self::engine(self, label)
    }

    fn kill(&mut self) {
        self.stop();
    }

    async fn restart(&mut self) {
        Self::start(self);
    }
}

pub(super) struct RedisServer(Process);

impl RedisServer {
    async fn with(appendonly: &str) -> Self {
        let port = free_port();
        let process = Process::start("redis-server", port, |_| {
            let port = port.to_string();
            let own = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", appendonly];
            own.iter().chain(&["--appendfsync", "always"]).map(|argument| (*argument).to_owned()).collect()
        });
        Self(process.await)
    }
}

impl Keeps for RedisServer {
    async fn start_keeping() -> Self {
        Self::with("yes").await
    }

    async fn restart_empty(&mut self) {
        std::fs::remove_dir_all(self.0.folder().join("appendonlydir")).unwrap();
        self.restart().await;
    }
}

impl Carrier for RedisServer {
    type Engine = Redis;

    async fn start() -> Self {
        Self::with("no").await
    }

    fn engine(&self, _: &str) -> Redis {
        Redis::at(&format!("redis://127.0.0.1:{}", self.0.port())).unwrap()
    }

    fn kill(&mut self) {
        self.0.kill();
    }

    async fn restart(&mut self) {
        self.0.begin().await;
    }
}

pub(super) struct NatsServer {
    process: Process,
    is_keeping: bool,
}

impl NatsServer {
    async fn with(is_keeping: bool) -> Self {
        let port = free_port();
        let process = Process::start("nats-server", port, |folder| {
            let own = ["--addr", "127.0.0.1", "--port", &port.to_string()].map(str::to_owned);
            let kept = ["--jetstream".to_owned(), "--store_dir".to_owned(), folder.display().to_string()];
            own.into_iter().chain(kept.into_iter().filter(|_| is_keeping)).collect()
        });
        Self { process: process.await, is_keeping }
    }
}

impl Keeps for NatsServer {
    async fn start_keeping() -> Self {
        Self::with(true).await
    }

    async fn restart_empty(&mut self) {
        std::fs::remove_dir_all(self.process.folder().join("jetstream")).unwrap();
        self.restart().await;
    }
}

impl Carrier for NatsServer {
    type Engine = Nats;

    async fn start() -> Self {
        Self::with(false).await
    }

    fn engine(&self, _: &str) -> Nats {
        let nats = Nats::at(&format!("nats://127.0.0.1:{}", self.process.port())).unwrap();
        if self.is_keeping { nats.keeping(KeptStream::new()) } else { nats }
    }

    fn kill(&mut self) {
        self.process.kill();
    }

    async fn restart(&mut self) {
        self.process.begin().await;
    }
}

/// A node of the tests' application.
pub(super) async fn node(carrier: &impl Carrier, name: &str, mount: Mount) -> TestServer {
    node_with(carrier, ClusterOptions::new("tests").name(name), name, mount).await
}

/// The same with options.
pub(super) async fn node_with(
    carrier: &impl Carrier,
    options: ClusterOptions,
    label: &str,
    mount: Mount,
) -> TestServer {
    // An engine that takes its time is waited for: `meet` does so.
    let cluster = options.at_start(AtStart::Wait).start(carrier.engine(label)).await.unwrap();
    TestServer::from(Lapwing::builder().cluster(cluster).mount("/socket", mount).build().unwrap())
}

/// Waits until all nodes know each other, and their engine delivers what they asked for.
pub(super) async fn meet(nodes: &[&TestServer]) {
    for node in nodes {
        eventually("the nodes know each other", || {
            let cluster = node.cluster().unwrap();
            cluster.nodes.len() == nodes.len() && cluster.is_ready
        })
        .await;
    }
}
