//! Answers requests that other nodes got.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
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

/// Bytes of an answer that are taken while those before them wait for room. They are pieces that share what the session keeps for its client anyway, and
/// larger ones come alone: a body says nothing more while a larger one is not taken on, but that nobody wants it.
const AHEAD_BYTES_MAX: usize = 16 * 1024;

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

/// The client may not read, so that there is no room: the body is asked for more meanwhile, as it ends when its session is over, or carried otherwise.
async fn send(response: Response<Body>, relay: &Relay) -> Result<(), Unfinished> {
    let head = ResponseHead::of(&response).write();
    let mut answer = Answer { waiting: VecDeque::from([head]), body: response.into_body(), is_over: false };
    poll_fn(|cx| answer.poll_send(cx, relay)).await?;
    relay.finish();
    Ok(())
}

/// An answer on its way.
struct Answer {
    /// What there is no room for.
    waiting: VecDeque<Bytes>,
    /// What is to come. It carries its session until all is sent.
    body: Body,
    /// Nothing is to come.
    is_over: bool,
}

impl Answer {
    fn poll_send(&mut self, cx: &mut Context<'_>, relay: &Relay) -> Poll<Result<(), Unfinished>> {
        loop {
            while let Some(bytes) = self.waiting.front_mut() {
                match relay.poll_send(cx, bytes) {
                    Poll::Ready(sent) => sent.map_err(|_| Unfinished)?,
                    Poll::Pending => break,
                }
                self.waiting.pop_front();
            }
            if self.is_over && self.waiting.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let ahead: usize = self.waiting.iter().map(Bytes::len).sum();
            if self.is_over || ahead >= AHEAD_BYTES_MAX {
                return Poll::Pending;
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(frame) => self.waiting.extend(frame.map_err(|_| Unfinished)?.into_data()),
                None => self.is_over = true,
            }
        }
    }
}

/// An answer that was not sent to its end.
struct Unfinished;
