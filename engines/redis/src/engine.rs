//! Where a Redis is, and how a connection to it is made.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use lapwing_cluster::{AppNameError, Names, Spread};
use lapwing_cluster_driver::{ConnectError, Engine};
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, IntoConnectionInfo as _, ProtocolVersion,
    RedisError, RedisResult, Value,
};

use crate::{
    connection::{RedisConnection, is_forbidden},
    sink::Sink,
};

/// How long a socket may take to open; the driver bounds the whole attempt.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(1);

/// A Redis or Valkey, by its address.
///
/// Passwords are in none of its texts.
pub struct Redis {
    place: Place,
}

enum Place {
    At(Box<ConnectionInfo>),
    #[cfg(feature = "tls")]
    Tls(Box<Client>),
    #[cfg(feature = "sentinel")]
    Sentinels(Box<redis::sentinel::SentinelClient>),
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
    /// ```
    ///
    /// # Errors
    /// The URL is none of these.
    pub fn at(url: &str) -> Result<Self, BadAddress> {
        Ok(Self { place: Place::At(Box::new(address(url)?)) })
    }

    /// The server at a `rediss://` URL, whose certificate, or its authority's, is in `roots_pem`; the system's are not trusted.
    ///
    /// # Errors
    /// The URL or the certificate is none.
    #[cfg(feature = "tls")]
    pub fn at_trusting(url: &str, roots_pem: &[u8]) -> Result<Self, BadAddress> {
        let certificates = redis::TlsCertificates { client_tls: None, root_cert: Some(roots_pem.to_vec()) };
        let client = Client::build_with_tls(address(url)?, certificates).map_err(BadAddress)?;
        Ok(Self { place: Place::Tls(Box::new(client)) })
    }

    /// The master that the sentinels at these URLs call `service`. They are asked again for each connection. `user` and `password` are
    /// the master's; those of the sentinels are in their URLs.
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
        Ok(Self { place: Place::Sentinels(Box::new(client.map_err(BadAddress)?)) })
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

    async fn client(&mut self) -> RedisResult<Client> {
        match &mut self.place {
            Place::At(address) => Client::open((**address).clone()),
            #[cfg(feature = "tls")]
            Place::Tls(client) => Ok((**client).clone()),
            #[cfg(feature = "sentinel")]
            Place::Sentinels(sentinels) => sentinels.async_get_client().await,
        }
    }

    async fn open(&mut self, names: &Names) -> RedisResult<Result<RedisConnection, NotMaster>> {
        let client = self.client().await?;
        // The driver gives connections up that do not answer; an answer that is only late is still one.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(SOCKET_TIMEOUT))
            .set_response_timeout(None);
        let mut commands = client.get_multiplexed_async_connection_with_config(&config).await?;
        let role: Vec<Value> = redis::cmd("ROLE").query_async(&mut commands).await?;
        // A replica takes what is published, and nobody but its own clients hears it.
        if !matches!(role.first(), Some(Value::BulkString(role)) if role == b"master") {
            return Ok(Err(NotMaster));
        }
        let sink = Arc::new(Sink::new(names.clone()));
        let hears = Arc::clone(&sink);
        let config = config.set_push_sender(move |info| {
            hears.push(info);
            Ok::<_, std::convert::Infallible>(())
        });
        let mut subscriber = client.get_multiplexed_async_connection_with_config(&config).await?;
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
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Redis");
        match &self.place {
            Place::At(address) => f.field("at", &address.addr().to_string()),
            #[cfg(feature = "tls")]
            Place::Tls(client) => f.field("at", &client.get_connection_info().addr().to_string()),
            #[cfg(feature = "sentinel")]
            Place::Sentinels(_) => f.field("at", &"sentinels"),
        };
        f.finish()
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

/// The server follows another one.
#[derive(Debug)]
struct NotMaster;

impl fmt::Display for NotMaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server is a replica: what is published there reaches nobody else")
    }
}

impl Error for NotMaster {}

fn address(url: &str) -> Result<ConnectionInfo, BadAddress> {
    let info = url.into_connection_info().map_err(BadAddress)?;
    let settings = speaking(info.redis_settings().clone());
    Ok(info.set_redis_settings(settings))
}

/// The protocol that can push, no database, and no command for which there would have to be a permission.
fn speaking(settings: redis::RedisConnectionInfo) -> redis::RedisConnectionInfo {
    settings.set_protocol(ProtocolVersion::RESP3).set_db(0).set_skip_set_lib_name()
}

/// Whether it does not help to try again.
fn is_refusal(error: &RedisError) -> bool {
    let is_about_who = matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM" | "NOPROTO"));
    let is_ours = matches!(
        error.kind(),
        ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig | ErrorKind::RESP3NotSupported
    );
    is_about_who || is_ours || is_forbidden(error)
}
