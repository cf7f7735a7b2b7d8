//! Where a Redis is, and how a connection to it is made.

use std::{error::Error, fmt, sync::Arc};

use lapwing_cluster::{AppNameError, Names, Spread};
use lapwing_cluster_driver::{ConnectError, Engine, store::Store};
#[cfg(feature = "tls")]
use redis::Client;
use redis::{ConnectionInfo, ErrorKind, IntoConnectionInfo as _, ProtocolVersion, RedisError, RedisResult};

use crate::{
    connection::RedisConnection,
    place::{NotMaster, Place, Server, is_master, is_refusal, open},
    sink::Sink,
    store::RedisStore,
};

/// A Redis or Valkey, by its address.
///
/// Passwords are in none of its texts.
pub struct Redis {
    server: Server,
}

impl Redis {
    /// The server at a URL: `redis://[user:password@]host[:port]`, `unix:///path`, and with the feature `tls` `rediss://`. The certificates that
    /// the system trusts are trusted.
    ///
    /// ```
    /// use lapwing_redis::Redis;
    ///
    /// assert!(Redis::at("redis://127.0.0.1").is_ok());
    /// assert!(Redis::at("http://127.0.0.1").is_err());
    /// assert!(Redis::at("redis://127.0.0.1/3").is_err());
    /// ```
    ///
    /// # Errors
    /// The URL is none of these, or names a numbered database: publish and subscribe know none, and nodes of two databases would be one cluster.
    pub fn at(url: &str) -> Result<Self, BadAddress> {
        Ok(Self { server: Server::new(Place::At(Box::new(address(url)?))) })
    }

    /// The server at a `rediss://` URL, whose certificate, or its authority's, is in `roots_pem`; the system's are not trusted.
    ///
    /// # Errors
    /// The URL or the certificate is none, or the URL names a numbered database.
    #[cfg(feature = "tls")]
    pub fn at_trusting(url: &str, roots_pem: &[u8]) -> Result<Self, BadAddress> {
        let certificates = redis::TlsCertificates { client_tls: None, root_cert: Some(roots_pem.to_vec()) };
        let client = Client::build_with_tls(address(url)?, certificates).map_err(BadAddress)?;
        Ok(Self { server: Server::new(Place::Tls(Box::new(client))) })
    }

    /// The master that the sentinels at these URLs call `service`. They are asked again for each connection. `credentials` are the master's, a user and
    /// a password; those of the sentinels are in their URLs.
    ///
    /// # Errors
    /// There is no URL, or one of them is none.
    #[cfg(feature = "sentinel")]
    pub fn sentinels(
        urls: &[&str],
        service: &str,
        credentials: Option<(&str, &str)>,
    ) -> Result<Self, BadAddress> {
        use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};

        let addresses = urls.iter().map(|url| url.into_connection_info().map_err(BadAddress));
        let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        let mut settings = redis::RedisConnectionInfo::default();
        if let Some((user, password)) = credentials {
            settings = settings.set_username(user).set_password(password);
        }
        let node = SentinelNodeConnectionInfo::default().set_redis_connection_info(speaking(settings));
        let client =
            SentinelClient::build(addresses, String::from(service), Some(node), SentinelServerType::Master);
        Ok(Self { server: Server::new(Place::Sentinels(Box::new(client.map_err(BadAddress)?))) })
    }

    /// The command that makes a user who may do what a node of this application does, and nothing else.
    ///
    /// ```
    /// let acl = lapwing_redis::Redis::acl("chat", "lapwing", "secret")?;
    /// assert!(acl.starts_with("ACL SETUSER lapwing reset on >secret &lw:chat:* +"));
    /// # Ok::<(), lapwing_cluster::AppNameError>(())
    /// ```
    ///
    /// # Errors
    /// The application's name is one that [`Options::start`](lapwing_cluster_driver::Options::start) refuses, too.
    pub fn acl(app: &str, user: &str, password: &str) -> Result<String, AppNameError> {
        let names = Names::new(app, Self::SEPARATOR, Spread::default())?;
        let prefix = names.prefix();
        Ok(format!(
            "ACL SETUSER {user} reset on >{password} &{prefix}* +hello +auth +role +publish +subscribe +unsubscribe"
        ))
    }

    /// The command for a user of an application that keeps topics: the same, and what has to do with its keys.
    ///
    /// ```
    /// let acl = lapwing_redis::Redis::acl_with_kept("chat", "lapwing", "secret")?;
    /// assert!(acl.contains(" ~lw:chat:k:* ~lw:chat:m:* ") && acl.ends_with(" +xlen +xrange"));
    /// # Ok::<(), lapwing_cluster::AppNameError>(())
    /// ```
    ///
    /// # Errors
    /// See [`acl`](Self::acl).
    pub fn acl_with_kept(app: &str, user: &str, password: &str) -> Result<String, AppNameError> {
        let names = Names::new(app, Self::SEPARATOR, Spread::default())?;
        let (acl, prefix) = (Self::acl(app, user, password)?, names.prefix());
        Ok(format!(
            "{acl} ~{prefix}k:* ~{prefix}m:* +del +evalsha +hdel +hmget +hset +pexpire +pttl +script|load +time +xadd +xdel +xlen +xrange"
        ))
    }

    async fn open(&self, names: &Names) -> RedisResult<Result<RedisConnection, NotMaster>> {
        let client = self.server.client().await?;
        let mut commands = open(&client, None).await?;
        if !is_master(&mut commands).await? {
            return Ok(Err(NotMaster));
        }
        let sink = Arc::new(Sink::new(names.clone()));
        let hears = Arc::clone(&sink);
        let mut subscriber = open(&client, Some(Box::new(move |info| hears.push(info)))).await?;
        // What is not permitted is found here, and not when somebody joins.
        let probe = names.probe();
        redis::cmd("PUBLISH").arg(&probe).arg("").query_async::<()>(&mut commands).await?;
        subscriber.subscribe(&probe).await?;
        subscriber.unsubscribe(&probe).await?;
        Ok(Ok(RedisConnection::new(names.clone(), commands, subscriber, sink)))
    }
}

impl Engine for Redis {
    type Connection = RedisConnection;

    const SEPARATOR: char = ':';
    const NAME: &'static str = "redis";

    async fn connect(&mut self, names: &Names) -> Result<RedisConnection, ConnectError> {
        match self.open(names).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(replica)) => Err(ConnectError::Away(replica.into())),
            Err(error) if is_refusal(&error) => Err(ConnectError::Refused(error.into())),
            Err(error) => Err(ConnectError::Away(error.into())),
        }
    }

    fn store(&self, names: &Names) -> Option<Arc<dyn Store>> {
        Some(Arc::new(RedisStore::new(self.server.clone(), names.clone())))
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("at", &self.server).finish()
    }
}

/// A URL is none of a Redis.
#[derive(Debug)]
pub struct BadAddress(RedisError);

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the address is none of a Redis")
    }
}

impl Error for BadAddress {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

fn address(url: &str) -> Result<ConnectionInfo, BadAddress> {
    let info = url.into_connection_info().map_err(BadAddress)?;
    if info.redis_settings().db() != 0 {
        let why = "publish and subscribe know no numbered databases: give the application a name of its own";
        return Err(BadAddress((ErrorKind::InvalidClientConfig, why).into()));
    }
    let settings = speaking(info.redis_settings().clone());
    Ok(info.set_redis_settings(settings))
}

/// The protocol that can push, no database, and no command for which there would have to be a permission.
fn speaking(settings: redis::RedisConnectionInfo) -> redis::RedisConnectionInfo {
    settings.set_protocol(ProtocolVersion::RESP3).set_db(0).set_skip_set_lib_name()
}
