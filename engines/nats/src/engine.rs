//! A NATS, by the addresses of its servers.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use lapwing_cluster::{AppNameError, Names, Spread};
use lapwing_cluster_driver::{ConnectError, Engine};

use crate::{
    address::{self, Address, BadAddress},
    connection::NatsConnection,
    greeting::{self, Trust},
};

/// Servers that are remembered, those included that others told of.
const SERVERS_MAX: usize = 64;

/// A NATS, by the addresses of its servers.
///
/// Each attempt to connect begins with the server after the one that was tried last. Passwords are in none of its texts.
pub struct Nats {
    address: Address,
    trust: Trust,
    next: usize,
    /// Servers that the one knew which was reached last.
    known: Arc<Mutex<Vec<String>>>,
}

impl Nats {
    /// The servers at `nats://[user:password@|token@]host[:port][,host[:port]]…`; with the feature `tls` also `tls://`, and servers that ask for it.
    /// The certificates that the system trusts are trusted. Whatever is special in a name or password is percent-encoded. Other servers of
    /// the cluster are learned from these.
    ///
    /// ```
    /// use lapwing_nats::Nats;
    ///
    /// assert!(Nats::at("nats://node:secret@one,two:4223").is_ok());
    /// assert!(Nats::at("http://one").is_err());
    /// ```
    ///
    /// # Errors
    /// The URL is none of these.
    pub fn at(url: &str) -> Result<Self, BadAddress> {
        let address = Address::read(url)?;
        Ok(Self { address, trust: system_trust(), next: 0, known: Arc::default() })
    }

    /// The same, with a configuration for what is encrypted: own roots, a certificate of this node.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, config: std::sync::Arc<tokio_rustls::rustls::ClientConfig>) -> Self {
        self.trust.config = Some(config);
        self
    }

    /// The permissions of a user who may do what a node of this application does, and nothing else, as the server's configuration has them.
    ///
    /// ```
    /// let permissions = lapwing_nats::Nats::permissions("chat")?;
    /// assert_eq!(permissions, r#"{ publish: "lw.chat.>", subscribe: "lw.chat.>" }"#);
    /// # Ok::<(), lapwing_cluster::AppNameError>(())
    /// ```
    ///
    /// # Errors
    /// The application's name is one that [`Options::start`](lapwing_cluster_driver::Options::start) refuses, too.
    pub fn permissions(app: &str) -> Result<String, AppNameError> {
        let names = Names::new(app, Self::SEPARATOR, Spread::default())?;
        let prefix = names.prefix();
        Ok(format!("{{ publish: \"{prefix}>\", subscribe: \"{prefix}>\" }}"))
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

impl Engine for Nats {
    type Connection = NatsConnection;

    const SEPARATOR: char = '.';
    const NAME: &'static str = "nats";

    async fn connect(&mut self, names: &Names) -> Result<NatsConnection, ConnectError> {
        self.learn();
        let mut failed = ConnectError::Away("there is no server".into());
        for _ in 0..self.address.servers.len() {
            let server = self.address.servers[self.next % self.address.servers.len()].clone();
            self.next += 1;
            match greeting::greet(&server, &self.address, &self.trust, names).await {
                Ok(connection) => {
                    self.known = connection.known();
                    return Ok(connection);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { servers, credentials, is_tls } = &self.address;
        let mut f = f.debug_struct("Nats");
        f.field("at", servers).field("with", credentials).field("is_tls", is_tls).finish_non_exhaustive()
    }
}
