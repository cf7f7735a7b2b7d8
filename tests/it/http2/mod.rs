//! HTTP/2 from end to end: all transports over the streams of one connection, and what goes wrong with streams.

mod handshake;
mod hostile;
mod one_connection;
mod recordings;
mod resets;
mod shutdown;
mod slow;
mod tls;

use std::{net::SocketAddr, sync::Arc};

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use lapwing::transports::{
    close::CloseReason,
    connect::{ConnectRequest, Refusal},
    endpoint::Endpoint,
    frame::{Frame, Message},
    handler::Handler,
    live::LiveSession,
    options::TransportOptions,
};
use tokio::{net::TcpListener, sync::mpsc};

/// Echoes, but to those that came with `deaf` it does not listen; tells why each session ended.
struct Observed {
    ended: mpsc::UnboundedSender<CloseReason>,
}

struct IsDeaf(bool);

impl Handler for Observed {
    type State = IsDeaf;

    async fn connect(&self, request: ConnectRequest) -> Result<IsDeaf, Refusal> {
        Ok(IsDeaf(request.param("deaf").is_some()))
    }

    fn received(&self, session: &Arc<LiveSession<IsDeaf>>, message: Message<'_>) -> Result<(), CloseReason> {
        session.push(match message {
            Message::Text(text) => Frame::text(text),
            Message::Binary(bytes) => Frame::binary(bytes.to_vec()),
        });
        Ok(())
    }

    fn is_ready(&self, session: &LiveSession<IsDeaf>) -> bool {
        !session.state().0
    }

    fn closed(&self, _: &Arc<LiveSession<IsDeaf>>, reason: CloseReason) {
        // A test that does not ask has dropped the receiver.
        let _ = self.ended.send(reason);
    }
}

/// A server of this process, which says why sessions end.
async fn observed() -> (SocketAddr, mpsc::UnboundedReceiver<CloseReason>) {
    let (sender, ended) = mpsc::unbounded_channel();
    let endpoint = Endpoint::new(Observed { ended: sender }, TransportOptions::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let mut server = http2::Builder::new(TokioExecutor::new());
            lapwing::transports::http2::configure(&mut server);
            server.timer(TokioTimer::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), endpoint.clone()));
        }
    });
    (address, ended)
}
