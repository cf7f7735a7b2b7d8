//! The WebSocket wire: handshake, codec, and the task of a connection.

pub mod close_code;
pub mod codec;
mod connection;
pub mod handshake;
mod scratch;

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE},
    request::Parts,
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tracing::debug;

use self::{
    connection::Connection,
    handshake::{SubprotocolError, Subprotocols, accept_parts},
};
use crate::{
    body::{Body, ResponseFuture},
    connect::{Refusal, Transport},
    handler::Handler,
    live::LiveSession,
    manager::Manager,
    origin::Origin,
};

/// Answers an upgrade request.
pub(crate) fn respond<H: Handler, B>(manager: Arc<Manager<H>>, mut request: Request<B>) -> ResponseFuture {
    let on_upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    Box::pin(async move { Ok(upgrade(manager, parts, on_upgrade).await.unwrap_or_else(Into::into)) })
}

/// The order is Phoenix's: origin, subprotocol, the handler's word, and only then the upgrade headers. So
/// the handler sees a plain GET, too, and a client that may not connect learns nothing else.
async fn upgrade<H: Handler>(
    manager: Arc<Manager<H>>,
    parts: Parts,
    on_upgrade: OnUpgrade,
) -> Result<Response<Body>, Refusal> {
    if parts.method != Method::GET {
        return Err(Refusal::status(StatusCode::BAD_REQUEST));
    }
    if !manager.options.check_origin.allows(&Origin::of(&parts), manager.options.host.as_deref()) {
        manager.common.counters.refused.fetch_add(1, Ordering::Relaxed);
        debug!(origin = ?parts.headers.get("origin"), "websocket refused: origin not allowed");
        return Err(Refusal::default());
    }
    let options = manager.websocket_options();
    let subprotocols = Subprotocols { auth_token: manager.options.auth_token, names: &options.subprotocols };
    let agreed = subprotocols.negotiate(&parts.headers).map_err(|error| {
        debug!(%error, "websocket refused: subprotocol");
        match error {
            SubprotocolError::BadAuthToken => Refusal::status(StatusCode::BAD_REQUEST),
            SubprotocolError::Mismatch => Refusal::default(),
        }
    })?;
    let accept = accept_parts(parts.version, &parts.method, &parts.headers);
    let state = manager.connect(Transport::Websocket, parts, agreed.auth_token).await?;
    let accept =
        accept.map_err(|error| Refusal::status(StatusCode::BAD_REQUEST).with_body(error.to_string()))?;
    if manager.registry.len() >= manager.options.sessions_max {
        return Err(Refusal::status(StatusCode::SERVICE_UNAVAILABLE));
    }
    manager.tasks.spawn(open(manager.clone(), on_upgrade, state));
    Ok(switching_protocols(accept, agreed.selected))
}

/// Waits for the connection to be handed over, and starts its task. Two tasks, so that the one that stays is
/// as small as it can be.
async fn open<H: Handler>(manager: Arc<Manager<H>>, on_upgrade: OnUpgrade, state: H::State) {
    let upgraded = match on_upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => return debug!(%error, "websocket lost before it was open"),
    };
    // A plain TCP stream without the layers around it saves memory; any other works as well.
    match hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => start(manager, parts.io.into_inner(), parts.read_buf, state),
        Err(upgraded) => start_other(manager, upgraded, state),
    }
}

fn start_other<H: Handler>(manager: Arc<Manager<H>>, upgraded: Upgraded, state: H::State) {
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => start(manager, parts.io.into_inner(), parts.read_buf, state),
        Err(upgraded) => start(manager, TokioIo::new(upgraded), Bytes::new(), state),
    }
}

fn start<H: Handler, Io>(manager: Arc<Manager<H>>, io: Io, early: Bytes, state: H::State)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let session = LiveSession::new(manager.common.clone(), Transport::Websocket, state);
    let Ok(session) = manager.registry.insert(session, None) else {
        // Lost the race for the last place; the connection is dropped and the client comes back.
        return;
    };
    manager.handler.opened(&session);
    let tasks = manager.tasks.clone();
    tasks.spawn(Connection::new(io, manager, session, early.into()));
}

fn switching_protocols(accept: HeaderValue, subprotocol: Option<HeaderValue>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(subprotocol) = subprotocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    response
}

impl From<Refusal> for Response<Body> {
    fn from(Refusal { status, body }: Refusal) -> Self {
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        response
    }
}
