//! The servers that are tried, one after the other.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use lapwing_cluster::Names;
use lapwing_cluster_driver::ConnectError;

use crate::{
    address::{self, Address},
    greeting::{self, Heads, Trust},
    protocol::Info,
    socket::Socket,
};

/// Servers that are remembered, those included that others told of.
const SERVERS_MAX: usize = 64;

/// Servers of one cluster. Each attempt to connect begins with the server after the one that was tried last.
#[derive(Clone)]
pub(crate) struct Servers {
    address: Address,
    trust: Trust,
    next: usize,
    /// Servers that the one knows which was reached last, as it says while it is there.
    known: Arc<Mutex<Vec<String>>>,
}

impl Servers {
    pub(crate) fn new(address: Address) -> Self {
        Self { address, trust: system_trust(), next: 0, known: Arc::default() }
    }

    #[cfg(feature = "tls")]
    pub(crate) fn trust(&mut self, config: std::sync::Arc<tokio_rustls::rustls::ClientConfig>) {
        self.trust.config = Some(config);
    }

    /// A connection to one of them, on which nothing is subscribed.
    pub(crate) async fn open(&mut self, names: &Names, heads: Heads) -> Result<(Socket, Info), ConnectError> {
        self.learn();
        let mut failed = ConnectError::Away("there is no server".into());
        for _ in 0..self.address.servers.len() {
            let server = self.address.servers[self.next % self.address.servers.len()].clone();
            self.next += 1;
            match greeting::greet(&server, &self.address, &self.trust, names, heads).await {
                Ok((socket, info)) => {
                    self.known = Arc::new(Mutex::new(info.connect_urls.clone()));
                    return Ok((socket, info));
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Where a connection writes what other servers its own one knows.
    pub(crate) fn known(&self) -> Arc<Mutex<Vec<String>>> {
        Arc::clone(&self.known)
    }

    /// How many are known.
    pub(crate) fn count(&self) -> usize {
        self.address.servers.len()
    }

    /// Remembers the servers that the last one told of, while it was there.
    fn learn(&mut self) {
        let known = std::mem::take(&mut *self.known.lock().unwrap_or_else(PoisonError::into_inner));
        for server in known.iter().filter_map(|text| address::server(text)) {
            if self.address.servers.len() < SERVERS_MAX && !self.address.servers.contains(&server) {
                self.address.servers.push(server);
            }
        }
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { servers, credentials, is_tls } = &self.address;
        let mut f = f.debug_struct("Servers");
        f.field("at", servers).field("with", credentials).field("is_tls", is_tls).finish_non_exhaustive()
    }
}

#[cfg(feature = "tls")]
fn system_trust() -> Trust {
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

    let mut roots = RootCertStore::empty();
    // Without any the connection fails, and says whom it does not know.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(std::sync::Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().ok();
    let config = config.map(|config| config.with_root_certificates(roots).with_no_client_auth());
    Trust { config: config.map(std::sync::Arc::new) }
}

#[cfg(not(feature = "tls"))]
fn system_trust() -> Trust {
    Trust {}
}
