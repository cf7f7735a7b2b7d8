//! The WebSocket transport: handshake, codec, and the task of a connection.
//!
//! ```text
//! greeting ─ task ─ connection ─ {farewell receiving} ─ egress* ─ closing*        * = pure
//! ```

pub mod close_code;
mod closing;
pub mod codec;
pub(crate) mod connection;
mod egress;
mod extended_connect;
mod extensions;
mod farewell;
mod greeting;
pub mod handshake;
#[cfg(test)]
mod held_still;
mod receiving;
mod scratch;
mod task;
#[cfg(test)]
mod turns;
mod unused;

use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
    },
    request::Parts,
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tracing::debug;

pub(crate) use self::greeting::greet_carried;
use self::{
    connection::Connection,
    extensions::Extensions,
    greeting::greet,
    handshake::{Agreed, SubprotocolError, Subprotocols, UpgradeError, accept_parts},
    task::Task,
};
use crate::{
    connect::{NotAdmitted, Refusal, Transport},
    dialect::SUBPROTOCOL,
    handler::Handler,
    http::{
        body::{Body, RequestBody, ResponseFuture, ready},
        head,
        refusal::{refusal, wants_websocket},
    },
    http2::Capped,
    live::{Kind, LiveSession},
    manager::Manager,
};

/// Answers an upgrade request.
pub(crate) fn respond<H: Handler, B: RequestBody>(
    manager: Arc<Manager<H>>,
    mut request: Request<B>,
) -> ResponseFuture {
    if wants_websocket(&request) && brings_body(request.headers()) {
        // It would be read as frames.
        return ready(refusal(StatusCode::BAD_REQUEST, "an upgrade has no body"));
    }
    let on_upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    Box::pin(async move { Ok(upgrade(manager, parts, on_upgrade).await.unwrap_or_else(Into::into)) })
}

/// Whether a request of HTTP/1.1 has a body. The headers say it; bodies that middleware has wrapped may not.
fn brings_body(headers: &HeaderMap) -> bool {
    let is_empty = |length: &HeaderValue| length.as_bytes().trim_ascii() == b"0";
    headers.contains_key(TRANSFER_ENCODING) || !headers.get_all(CONTENT_LENGTH).iter().all(is_empty)
}

/// The order is Phoenix's: origin, subprotocol, the handler's word, and only then the upgrade headers. So
/// the handler sees a plain GET, too, and a client that may not connect learns nothing else.
async fn upgrade<H: Handler>(
    manager: Arc<Manager<H>>,
    parts: Parts,
    on_upgrade: OnUpgrade,
) -> Result<Response<Body>, Refusal> {
    let is_connect = extended_connect::is_connect(&parts);
    if is_connect {
        if let Err(response) = extended_connect::check(&parts) {
            return Ok(*response);
        }
    } else if parts.method != Method::GET {
        return Err(Refusal::new(StatusCode::BAD_REQUEST));
    }
    if !manager.allows_origin(&parts) {
        return Err(Refusal::default().with_count(NotAdmitted::Origin));
    }
    let options = manager.websocket_options();
    let subprotocols = Subprotocols { auth_token: manager.options.auth_token, names: &options.subprotocols };
    let is_resumable = manager.options.resume.is_some() && handshake::offers(&parts.headers, SUBPROTOCOL);
    let mut agreed = match subprotocols.negotiate(&parts.headers) {
        // Who offers the session dialect need not offer anything else.
        Err(SubprotocolError::Mismatch) if is_resumable => Agreed::default(),
        Err(error) => {
            debug!(%error, "websocket refused: subprotocol");
            return Err(match error {
                SubprotocolError::BadAuthToken => Refusal::new(StatusCode::BAD_REQUEST),
                SubprotocolError::Mismatch => Refusal::default(),
            });
        }
        Ok(agreed) => agreed,
    };
    if agreed.selected.is_some() && !subprotocols.auth_token && subprotocols.names.is_empty() {
        manager.say_once_that_tokens_are_ignored();
    }
    let version = parts.version;
    let (extensions, extensions_header) = Extensions::agree(options, &parts.headers);
    // Over HTTP/2 there is no key to answer.
    let accept =
        (!is_connect).then(|| accept_parts(parts.version, &parts.method, &parts.headers)).transpose();
    if is_resumable {
        // The handler is asked once the client has said whether it wants a new session.
        let accept = match accept {
            Ok(accept) => accept,
            Err(error) => return Ok(bad_upgrade(error, version)),
        };
        if head::bytes(&parts) > head::BYTES_MAX {
            return Err(
                Refusal::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE).with_body("the head is too large")
            );
        }
        let parts = head::compact(parts);
        let opened = open_resumable(manager.clone(), on_upgrade, parts, agreed.auth_token.take(), extensions);
        manager.spawn(opened);
        return Ok(accepted(accept, Some(HeaderValue::from_static(SUBPROTOCOL)), extensions_header));
    }
    let state = manager.connect(Transport::Websocket, false, parts, agreed.auth_token).await?;
    let accept = match accept {
        Ok(accept) => accept,
        Err(error) => return Ok(bad_upgrade(error, version)),
    };
    if manager.registry.len() >= manager.options.sessions_max {
        manager.common.counters.refuse(NotAdmitted::Sessions);
        return Err(Refusal::unavailable().with_count(NotAdmitted::Sessions));
    }
    manager.spawn(open(manager.clone(), on_upgrade, state, extensions));
    Ok(accepted(accept, agreed.selected, extensions_header))
}

/// The answer to a request that is no upgrade and should be one.
fn bad_upgrade(error: UpgradeError, version: Version) -> Response<Body> {
    debug!(%error, "websocket refused: no upgrade");
    let is_http2 = version == Version::HTTP_2;
    let reason = if is_http2 { extended_connect::HINT.to_owned() } else { error.to_string() };
    let mut response = refusal(StatusCode::BAD_REQUEST, reason);
    if error.is_of_version() {
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, handshake::VERSION);
    }
    response
}

/// What an upgraded connection turned out to be.
enum Io {
    /// A plain TCP stream without the layers around it saves memory.
    Tcp(TcpStream, Vec<u8>),
    /// Any other works as well: TLS, or a stream of HTTP/2.
    Other(Capped<TokioIo<Upgraded>>),
}

/// Waits for the connection to be handed over.
async fn handed_over(on_upgrade: OnUpgrade) -> Option<Io> {
    let upgraded = match on_upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            debug!(%error, "websocket lost before it was open");
            return None;
        }
    };
    let upgraded = match hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => return Some(tcp(parts.io, &parts.read_buf)),
        Err(upgraded) => upgraded,
    };
    Some(match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => tcp(parts.io, &parts.read_buf),
        Err(upgraded) => Io::Other(Capped(TokioIo::new(upgraded))),
    })
}

/// A copy of what was read too far, as those bytes lie in a read buffer that may be much larger.
fn tcp(io: TokioIo<TcpStream>, early: &[u8]) -> Io {
    Io::Tcp(io.into_inner(), early.to_vec())
}

/// Starts the task of a plain session's connection. Two tasks, so that the one that stays is as small as it can be.
async fn open<H: Handler>(
    manager: Arc<Manager<H>>,
    on_upgrade: OnUpgrade,
    state: H::State,
    extensions: Extensions,
) {
    match handed_over(on_upgrade).await {
        Some(Io::Tcp(io, early)) => start(manager, io, early, state, extensions),
        Some(Io::Other(io)) => start(manager, io, Vec::new(), state, extensions),
        None => {}
    }
}

/// The same for a resumable session, once the client has said which.
async fn open_resumable<H: Handler>(
    manager: Arc<Manager<H>>,
    on_upgrade: OnUpgrade,
    parts: Parts,
    auth_token: Option<String>,
    extensions: Extensions,
) {
    match handed_over(on_upgrade).await {
        Some(Io::Tcp(io, early)) => greet(manager, io, early, parts, auth_token, extensions).await,
        Some(Io::Other(io)) => greet(manager, io, Vec::new(), parts, auth_token, extensions).await,
        None => {}
    }
}

fn start<H: Handler, S>(
    manager: Arc<Manager<H>>,
    io: S,
    early: Vec<u8>,
    state: H::State,
    extensions: Extensions,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let session = LiveSession::new(manager.common.clone(), Transport::Websocket, Kind::Plain, state);
    let Some(session) = manager.enter(session) else {
        // Lost the race for the last place; the connection is dropped and the client comes back.
        return;
    };
    manager.opened(&session);
    let tasks = manager.tasks.clone();
    tasks.spawn(Task::new(Connection::new(io, manager, session, early).extended(extensions)));
}

/// The answer after which the connection, or the stream of HTTP/2, is a WebSocket.
fn accepted(
    accept: Option<HeaderValue>,
    subprotocol: Option<HeaderValue>,
    extensions: Option<HeaderValue>,
) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    if accept.is_some() {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    }
    let headers = response.headers_mut();
    if let Some(accept) = accept {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(subprotocol) = subprotocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    if let Some(extensions) = extensions {
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, extensions);
    }
    response
}

impl From<Refusal> for Response<Body> {
    fn from(refused: Refusal) -> Self {
        let retry_after = refused.retry_after_secs();
        let words = refused.words();
        let body = if refused.body.is_empty() { words.into() } else { refused.body };
        let mut response = refusal(refused.status, body);
        if let Some(secs) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, secs.into());
        }
        response
    }
}
