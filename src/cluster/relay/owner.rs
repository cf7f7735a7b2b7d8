//! Answers requests that other nodes got.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use lapwing_cluster_driver::Relay;
use lapwing_transports::{
    body::Body,
    connect::{PathVariables, Transport},
    elsewhere::CarriedSocket,
};
use tracing::debug;

use super::{
    Host, Upload,
    head::{RequestHead, ResponseHead, SocketHead},
    io::RelayIo,
};

/// Answers one. Whatever is wrong with it, its carrier hears that it is cut.
pub(crate) async fn serve(host: Arc<dyn Host>, relay: Relay, head: Bytes) {
    let read = RequestHead::read(&head);
    relay.used(head.len());
    drop(head);
    let request = read.and_then(|head| Some((head.transport()?, head.parts()?, head.variables(), head)));
    let Some((transport, parts, variables, head)) = request else {
        return debug!(from = %relay.peer(), "a request that was carried here cannot be read");
    };
    let (RequestHead { mount, socket, .. }, by) = (head, relay.peer().0);
    if let Some(SocketHead { line, auth_token, window_bits }) = socket {
        let io = Box::new(RelayIo::new(relay));
        let socket = CarriedSocket { parts, auth_token, line, early: Vec::new(), window_bits, io };
        return host.serve_socket(&mount, socket, variables, by);
    }
    let relay = Arc::new(relay);
    let request = Request::from_parts(parts, Upload::new(relay.clone()));
    tokio::select! {
        () = answer(&*host, &mount, (transport, request, variables), &relay) => {}
        // Dropping the answer detaches what it carried.
        () = relay.ended() => {}
    }
}

async fn answer(
    host: &dyn Host,
    mount: &str,
    (transport, request, variables): (Transport, Request<Upload>, PathVariables),
    relay: &Relay,
) {
    let Some(answered) = host.serve_carried(mount, transport, request, variables, relay.peer().0) else {
        return debug!(mount, "a request was carried here for a mount that is not here");
    };
    // It cannot fail.
    let Ok(response) = answered.await;
    // Once the relay has ended there is nobody to be told.
    let _ = send(response, relay).await;
}

async fn send(response: Response<Body>, relay: &Relay) -> Result<(), Unfinished> {
    let head = ResponseHead::of(&response).write();
    relay.send(head).await.map_err(|_| Unfinished)?;
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Unfinished)?;
        if let Ok(bytes) = frame.into_data() {
            relay.send(bytes).await.map_err(|_| Unfinished)?;
        }
    }
    relay.finish();
    Ok(())
}

/// An answer that was not sent to its end.
struct Unfinished;
