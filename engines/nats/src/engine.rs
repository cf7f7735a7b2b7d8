//! A NATS, by the addresses of its servers.

use std::{fmt, sync::Arc};

use lapwing_cluster::{AppNameError, Names, Spread};
use lapwing_cluster_driver::{ConnectError, Engine, store::Store};

use crate::{
    address::{Address, BadAddress},
    connection::NatsConnection,
    greeting::Heads,
    jetstream::JetStream,
    servers::Servers,
    store::NatsStore,
    stream::{KeptStream, Limits},
    subjects::Subjects,
};

/// A NATS, by the addresses of its servers.
///
/// Each attempt to connect begins with the server after the one that was tried last. Passwords are in none of its texts.
pub struct Nats {
    servers: Servers,
    /// Where topics are kept, if they are.
    kept: Option<KeptStream>,
    /// It was seen that they can be.
    is_kept_checked: bool,
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
        Ok(Self { servers: Servers::new(Address::read(url)?), kept: None, is_kept_checked: false })
    }

    /// Keeps topics in a stream of JetStream, which is made when it is missing. A start then fails where JetStream is off or this user may not use it, and says
    /// what to do. Without this, a mount that keeps topics is refused.
    ///
    /// ```
    /// use lapwing_nats::{KeptStream, Nats};
    ///
    /// let nats = Nats::at("nats://127.0.0.1")?.keeping(KeptStream::new());
    /// # Ok::<(), lapwing_nats::BadAddress>(())
    /// ```
    #[must_use]
    pub fn keeping(mut self, stream: KeptStream) -> Self {
        self.kept = Some(stream);
        self
    }

    /// Sets the configuration for what is encrypted: own roots, a certificate of this node.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, config: Arc<tokio_rustls::rustls::ClientConfig>) -> Self {
        self.servers.trust(config);
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

    /// The permissions of a user of an application that keeps topics: the same, and what is asked of JetStream about the one stream.
    ///
    /// ```
    /// let permissions = lapwing_nats::Nats::permissions_with_kept("chat")?;
    /// assert!(permissions.starts_with(r#"{ publish: ["lw.chat.>", "$JS.API.STREAM.INFO.lw_chat_kept", "#));
    /// # Ok::<(), lapwing_cluster::AppNameError>(())
    /// ```
    ///
    /// # Errors
    /// See [`permissions`](Self::permissions).
    pub fn permissions_with_kept(app: &str) -> Result<String, AppNameError> {
        let names = Names::new(app, Self::SEPARATOR, Spread::default())?;
        let subjects = Subjects::new(names);
        let asked: Vec<_> = subjects.asked().map(|subject| format!(", \"{subject}\"")).collect();
        let prefix = subjects.names().prefix();
        Ok(format!("{{ publish: [\"{prefix}>\"{}], subscribe: \"{prefix}>\" }}", asked.concat()))
    }
}

impl Engine for Nats {
    type Connection = NatsConnection;

    const SEPARATOR: char = '.';
    const NAME: &'static str = "nats";

    async fn connect(&mut self, names: &Names) -> Result<NatsConnection, ConnectError> {
        let (socket, info) = self.servers.open(names, Heads::Unwanted).await?;
        if let Some(stream) = self.kept.as_ref().filter(|_| !self.is_kept_checked) {
            let subjects = Subjects::new(names.clone());
            JetStream::open(&mut self.servers.clone(), subjects, stream, Limits::default()).await?;
            self.is_kept_checked = true;
        }
        Ok(NatsConnection::new(names.clone(), socket, &info, &self.servers, self.kept.is_some()))
    }

    fn store(&self, names: &Names) -> Option<Arc<dyn Store>> {
        let stream = self.kept.clone()?;
        Some(Arc::new(NatsStore::new(self.servers.clone(), Subjects::new(names.clone()), stream)))
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats")
            .field("servers", &self.servers)
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}
