//! A server of resumable sessions without channels, on all transports: every frame goes back.

use std::{net::SocketAddr, sync::Arc};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use lapwing::transports::{
    close::CloseReason,
    connect::{ConnectRequest, Refusal},
    endpoint::Endpoint,
    frame::{Frame, Message},
    handler::Handler,
    live::LiveSession,
    options::TransportOptions,
};
use tokio::net::TcpListener;

pub(crate) struct Echo;

impl Handler for Echo {
    type State = ();

    async fn connect(&self, _: ConnectRequest) -> Result<(), Refusal> {
        Ok(())
    }

    fn received(&self, session: &Arc<LiveSession<()>>, message: Message<'_>) -> Result<(), CloseReason> {
        let mut frame = match message {
            Message::Text(text) => Frame::text(text),
            Message::Binary(bytes) => Frame::binary(bytes.to_vec()),
        };
        session.compress(&mut frame);
        session.push(frame);
        Ok(())
    }
}

/// Serves below any path until the test ends.
pub(crate) async fn serve(options: TransportOptions) -> (Endpoint<Echo>, SocketAddr) {
    let endpoint = Endpoint::new(Echo, options);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let service = endpoint.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
            });
        }
    });
    (endpoint, address)
}
