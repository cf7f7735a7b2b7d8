//! Where a Redis is, and how a connection to it is opened.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, PushInfo, RedisError, RedisResult,
    ServerErrorKind, Value, aio::MultiplexedConnection,
};
use tokio::sync::Mutex;

/// How long a socket may take to open; who asks for it bounds the whole attempt.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a Redis is. Clones are the same.
#[derive(Clone)]
pub(crate) struct Server {
    place: Arc<Mutex<Place>>,
    /// For people, without passwords.
    at: Arc<str>,
}

pub(crate) enum Place {
    At(Box<ConnectionInfo>),
    #[cfg(feature = "tls")]
    Tls(Box<Client>),
    #[cfg(feature = "sentinel")]
    Sentinels(Box<redis::sentinel::SentinelClient>),
}

impl Server {
    pub(crate) fn new(place: Place) -> Self {
        let at = match &place {
            Place::At(address) => address.addr().to_string(),
            #[cfg(feature = "tls")]
            Place::Tls(client) => client.get_connection_info().addr().to_string(),
            #[cfg(feature = "sentinel")]
            Place::Sentinels(_) => "sentinels".to_owned(),
        };
        Self { place: Arc::new(Mutex::new(place)), at: at.into() }
    }

    /// Who makes connections. Sentinels are asked where the master is.
    pub(crate) async fn client(&self) -> RedisResult<Client> {
        match &mut *self.place.lock().await {
            Place::At(address) => Client::open((**address).clone()),
            #[cfg(feature = "tls")]
            Place::Tls(client) => Ok((**client).clone()),
            #[cfg(feature = "sentinel")]
            Place::Sentinels(sentinels) => sentinels.async_get_client().await,
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.at)
    }
}

/// Opens a connection, on which `hears` is given what the server says without being asked.
pub(crate) async fn open(
    client: &Client,
    hears: Option<Box<dyn Fn(PushInfo) + Send + Sync>>,
) -> RedisResult<MultiplexedConnection> {
    // Who asks gives connections up that do not answer; an answer that is only late is still one.
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(SOCKET_TIMEOUT)).set_response_timeout(None);
    let config = match hears {
        None => config,
        Some(hears) => config.set_push_sender(move |info| {
            hears(info);
            Ok::<_, std::convert::Infallible>(())
        }),
    };
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Whether a server follows nobody. A replica takes what is published, and nobody but its own clients hears it.
pub(crate) async fn is_master(connection: &mut MultiplexedConnection) -> RedisResult<bool> {
    let role: Vec<Value> = redis::cmd("ROLE").query_async(connection).await?;
    Ok(matches!(role.first(), Some(Value::BulkString(role)) if role == b"master"))
}

/// The server follows another one.
#[derive(Debug)]
pub(crate) struct NotMaster;

impl fmt::Display for NotMaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server is a replica: what is published there reaches nobody else")
    }
}

impl Error for NotMaster {}

/// Whether the server says that the user may not do that.
pub(crate) fn is_forbidden(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) || error.code() == Some("NOPERM")
}

/// Whether it does not help to try again.
pub(crate) fn is_refusal(error: &RedisError) -> bool {
    let is_about_who = matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM" | "NOPROTO"));
    let is_ours = matches!(
        error.kind(),
        ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig | ErrorKind::RESP3NotSupported
    );
    is_about_who || is_ours || is_forbidden(error)
}
