//! How a connection begins: who both are, encryption, and whether everything is permitted that will be needed.

use std::{error::Error, fmt};

use lapwing_cluster::Names;
use lapwing_cluster_driver::ConnectError;

use crate::{
    address::{Address, Credentials},
    protocol::{self, Connect, Garbled, Info, Said},
    socket::Socket,
};

/// What is trusted when a connection is encrypted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust {
    #[cfg(feature = "tls")]
    pub(crate) config: Option<std::sync::Arc<tokio_rustls::rustls::ClientConfig>>,
}

/// Whether messages come with their heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heads {
    Wanted,
    Unwanted,
}

/// Opens a connection to one server, on which nothing is subscribed.
pub(crate) async fn greet(
    server: &(String, u16),
    address: &Address,
    trust: &Trust,
    names: &Names,
    heads: Heads,
) -> Result<(Socket, Info), ConnectError> {
    let mut socket = Socket::open(server).await.map_err(away)?;
    let mut info = match next(&mut socket).await? {
        Said::Info(info) => *info,
        Said::Error(why) => return Err(refusal(why)),
        _ => return Err(away(Garbled)),
    };
    let is_tls = address.is_tls || info.tls_required;
    if is_tls {
        socket = encrypted(socket, trust, &server.0).await?;
    }
    write_connect(&address.credentials, is_tls, heads, &mut socket);
    try_permissions(names, &mut socket, &mut info).await?;
    Ok((socket, info))
}

#[cfg(feature = "tls")]
async fn encrypted(socket: Socket, trust: &Trust, host: &str) -> Result<Socket, ConnectError> {
    let Some(config) = &trust.config else { return Err(refusal("there is nobody to be trusted".to_owned())) };
    socket.encrypted(std::sync::Arc::clone(config), host).await.map_err(away)
}

#[cfg(not(feature = "tls"))]
async fn encrypted(_: Socket, Trust {}: &Trust, _: &str) -> Result<Socket, ConnectError> {
    Err(refusal("an encrypted connection needs the feature tls".to_owned()))
}

fn write_connect(credentials: &Credentials, is_tls: bool, heads: Heads, socket: &mut Socket) {
    let (user, pass, auth_token) = match credentials {
        Credentials::None => (None, None, None),
        Credentials::Password { user, password } => (Some(user.as_str()), Some(password.as_str()), None),
        Credentials::Token(token) => (None, None, Some(token.as_str())),
    };
    let connect = Connect {
        verbose: false,
        pedantic: false,
        tls_required: is_tls,
        echo: true,
        lang: "rust",
        version: env!("CARGO_PKG_VERSION"),
        protocol: 1,
        headers: heads == Heads::Wanted,
        no_responders: heads == Heads::Wanted,
        user,
        pass,
        auth_token,
    };
    let json = serde_json::to_string(&connect).expect("texts and flags are always JSON");
    socket.out.extend_from_slice(format!("CONNECT {json}\r\n").as_bytes());
}

/// What is not permitted is found here, and not when somebody joins: the server says so before the PONG.
async fn try_permissions(names: &Names, socket: &mut Socket, info: &mut Info) -> Result<(), ConnectError> {
    let probe = names.probe();
    protocol::write_subscribe(&probe, 0, &mut socket.out);
    protocol::write_publish(&probe, b"", &mut socket.out);
    protocol::write_unsubscribe(0, &mut socket.out);
    protocol::write_ping(&mut socket.out);
    loop {
        match next(socket).await? {
            Said::Pong => return Ok(()),
            Said::Ping => protocol::write_pong(&mut socket.out),
            Said::Error(why) => return Err(refusal(why)),
            // It says so again when another server joins its cluster.
            Said::Info(again) => *info = *again,
            Said::Message { .. } | Said::Ok => {}
        }
    }
}

/// The next thing that the server says.
async fn next(socket: &mut Socket) -> Result<Said, ConnectError> {
    loop {
        if let Some(said) = protocol::read(&mut socket.read).map_err(away)? {
            return Ok(said);
        }
        socket.turn().await.map_err(away)?;
    }
}

fn away(error: impl Into<Box<dyn Error + Send + Sync>>) -> ConnectError {
    ConnectError::Away(error.into())
}

/// What the server says against this node: it will say the same again, or it is only full or about to go.
fn refusal(why: String) -> ConnectError {
    let passes = ["maximum connections exceeded", "Server Shutdown", "Authentication Timeout", "Stale"];
    let is_away = passes.iter().any(|it| why.to_lowercase().contains(&it.to_lowercase()));
    let error = Box::new(ServerError(why));
    if is_away { ConnectError::Away(error) } else { ConnectError::Refused(error) }
}

/// What a server said with `-ERR`.
#[derive(Debug)]
pub(crate) struct ServerError(pub(crate) String);

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server says: {}", self.0)
    }
}

impl Error for ServerError {}
