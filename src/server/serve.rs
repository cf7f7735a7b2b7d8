//! A whole HTTP server around the service of a program, with the limits of one that anybody can reach.

use std::{error::Error, future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::{Service as _, service_fn},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use lapwing_transports::{
    connect::PeerAddr,
    http1::configure as configure_http1,
    http2::{Turns, configure as configure_http2},
    tcp,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_service::Service;

use crate::server::{Lapwing, shutdown::ShutdownReport};

/// How long a client may take for its first bytes, and then, over HTTP/2, for its first request. hyper waits for ever for both.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause after a client that could not be accepted, mostly as the process has no more files: until some are closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long requests that are under way may take to end, once the sessions are over.
const REQUESTS_TIMEOUT: Duration = Duration::from_secs(10);

impl Lapwing {
    /// Serves a program's own service, such as axum's `Router` that this server is mounted in, to whoever connects; does not end until
    /// it is dropped. See [`serve_until`](Self::serve_until).
    ///
    /// ```no_run
    /// use axum::Router;
    /// use lapwing::{Lapwing, Mount};
    /// use tokio::net::TcpListener;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let lapwing = Lapwing::builder().mount("/socket", Mount::new().host("localhost")).build()?;
    /// let app = Router::new().nest_service("/socket", lapwing.at("/socket")?);
    /// lapwing.serve(TcpListener::bind("127.0.0.1:4000").await?, app).await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn serve<S, B>(&self, listener: TcpListener, app: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        B: Body<Data: Buf + Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        self.serve_until(listener, app, std::future::pending()).await;
    }

    /// Serves a program's own service to whoever connects until `end` is ready; then accepts nobody, [shuts down](Self::shutdown) this
    /// server, and gives requests that are under way 10 seconds to end.
    ///
    /// It speaks HTTP/1.1, and HTTP/2 with those that begin with its preface, in clear: TLS is for a proxy, or for a server of the
    /// program's own. It sets the limits that `axum::serve` has not: 10 seconds for the first bytes of a connection, for each head and
    /// for the first request over HTTP/2; 16 KiB for a head ([`http1::configure`](crate::transports::http1::configure),
    /// [`http2::configure`](crate::transports::http2::configure)); and it goes on when the process has no more files. The address of a
    /// peer is in the extensions of its requests, as [`PeerAddr`](crate::PeerAddr) and, with the feature `axum`, as axum's
    /// `ConnectInfo<SocketAddr>`. What a program's other routes wait for has the limits that they set themselves.
    ///
    /// If it is dropped, connections end with it, but for WebSockets, which end with the server.
    ///
    /// ```no_run
    /// # async fn run(lapwing: lapwing::Lapwing, app: axum::Router) -> std::io::Result<()> {
    /// let listener = tokio::net::TcpListener::bind("0.0.0.0:4000").await?;
    /// let pressed = async { tokio::signal::ctrl_c().await.expect("Ctrl-C can be listened to") };
    /// let report = lapwing.serve_until(listener, app, pressed).await;
    /// assert!(report.is_clean());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn serve_until<S, B>(
        &self,
        listener: TcpListener,
        app: S,
        end: impl Future<Output = ()>,
    ) -> ShutdownReport
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        B: Body<Data: Buf + Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let (ending, cut) = (CancellationToken::new(), CancellationToken::new());
        let _cut_on_drop = cut.clone().drop_guard();
        let connections = TaskTracker::new();
        let mut end = pin!(end);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut end => break,
            };
            let Ok((stream, peer)) = accepted else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (app, ending, cut) = (app.clone(), ending.clone(), cut.clone());
            connections.spawn(async move {
                cut.run_until_cancelled(serve_one(stream, peer, app, ending)).await;
            });
        }
        drop(listener);
        let report = self.shutdown().await;
        ending.cancel();
        connections.close();
        // Those that are left are cut.
        let _ = timeout(REQUESTS_TIMEOUT, connections.wait()).await;
        report
    }
}

/// Serves one connection. A client that breaks off, or says nothing, is its own business.
async fn serve_one<S, B>(stream: TcpStream, peer: SocketAddr, app: S, ending: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data: Buf + Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    // That it fails is no reason not to serve.
    let _ = tcp::configure(&stream);
    let Ok(Ok(is_http2)) = timeout(BEGIN_TIMEOUT, speaks_http2(&stream)).await else { return };
    let io = TokioIo::new(stream);
    let app = TowerToHyperService::new(app);
    if !is_http2 {
        let service = service_fn(move |request| app.call(of_peer(request, peer)));
        let mut server = http1::Builder::new();
        configure_http1(&mut server);
        let mut connection = pin!(server.serve_connection(io, service).with_upgrades());
        tokio::select! {
            _ = &mut connection => return,
            () = ending.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
        return;
    }
    let asked = Arc::new(Notify::new());
    let is_asked = asked.clone();
    let service = service_fn(move |request| {
        asked.notify_one();
        app.call(of_peer(request, peer))
    });
    let mut server = http2::Builder::new(Turns::new());
    configure_http2(&mut server);
    // Boxed, so that no room is set aside for it in connections of HTTP/1.1.
    let mut connection = Box::pin(server.serve_connection(io, service));
    tokio::select! {
        _ = &mut connection => return,
        in_time = timeout(BEGIN_TIMEOUT, is_asked.notified()) => if in_time.is_err() { return },
    }
    tokio::select! {
        _ = &mut connection => return,
        () = ending.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Whether a connection begins as one of HTTP/2 does, by its first segment. hyper-util's `auto` server looks, too, without a limit of
/// time, and at 8 KB more for each idle connection.
async fn speaks_http2(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0; 3];
    Ok(stream.peek(&mut first).await? == first.len() && &first == b"PRI")
}

fn of_peer(mut request: Request<Incoming>, peer: SocketAddr) -> Request<Incoming> {
    request.extensions_mut().insert(PeerAddr(peer));
    #[cfg(feature = "axum")]
    request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
    request
}
