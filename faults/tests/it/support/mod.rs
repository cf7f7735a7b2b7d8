//! A server, a client that sees every byte, and a proxy between them.

mod client;
mod server;

use std::time::Duration;

use lapwing_faults::{Fault, Options, Proxy};

pub(crate) use self::{
    client::{Client, Ended},
    server::Server,
};

/// A server behind a proxy.
pub(crate) struct Testbed {
    pub(crate) server: Server,
    pub(crate) proxy: Proxy,
}

impl Testbed {
    pub(crate) async fn start(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self::start_with(Options::new(), faults).await
    }

    pub(crate) async fn start_with(options: Options, faults: impl IntoIterator<Item = Fault>) -> Self {
        let server = Server::start().await;
        let proxy = options.start(server.addr).await.unwrap();
        proxy.set(faults);
        Self { server, proxy }
    }

    /// A new connection through the proxy.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.proxy.addr()).await
    }

    /// An open WebSocket through the proxy.
    pub(crate) async fn websocket(&self) -> Client {
        let mut client = self.client().await;
        client.upgrade().await;
        assert!(client.head().await.starts_with("HTTP/1.1 101 "));
        client
    }

    /// Whether a new connection is served as if there were no proxy.
    pub(crate) async fn assert_serves(&self) {
        let mut client = self.client().await;
        client.get("/plain").await;
        assert_eq!(client.response().await.1, "plain");
    }
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Waits until something holds that will hold soon.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(ms(10)).await;
    }
    panic!("not within twenty seconds: {what}");
}
