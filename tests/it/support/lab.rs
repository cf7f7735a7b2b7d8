//! A server of the test's own, in this process.

use std::net::SocketAddr;

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use lapwing::{Lapwing, PeerAddr};
use tokio::net::TcpListener;

/// Serves with hyper's `auto` server until the test ends.
pub(crate) async fn serve(lapwing: &Lapwing) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let lapwing = lapwing.clone();
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let service = lapwing.service();
            let service =
                hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
                    request.extensions_mut().insert(PeerAddr(peer));
                    hyper::service::Service::call(&service, request)
                });
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}
