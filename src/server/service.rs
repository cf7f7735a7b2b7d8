//! The server as an HTTP service.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use http::{Request, Response};
use lapwing_transports::{
    body::{Body, RequestBody, ResponseFuture},
    connect::{PathVariables, Transport},
    endpoint::Endpoint,
    refusal::not_found,
};

use crate::{
    server::{Lapwing, Mounted, path::MountPath, unknown_mount::UnknownMount},
    session::handler::Hub,
};

/// Answers HTTP requests for one mount of a [`Lapwing`] or for all of them, and 404 for all others.
///
/// It is a `tower::Service` and a `hyper::service::Service`, over any body; a clone is two pointers. With axum:
///
/// ```
/// use axum::Router;
/// use lapwing::{Lapwing, Mount, UnknownMount};
///
/// let lapwing = Lapwing::builder().mount("/socket", Mount::new()).build()?;
/// let app: Router = Router::new().nest_service("/socket", lapwing.at("/socket")?);
/// # let _ = app;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// With hyper alone:
///
/// ```no_run
/// # async fn run(lapwing: lapwing::Lapwing, stream: tokio::net::TcpStream) -> Result<(), lapwing::UnknownMount> {
/// use hyper::server::conn::http1;
/// use hyper_util::rt::TokioIo;
///
/// let mut server = http1::Builder::new();
/// lapwing::transports::http1::configure(&mut server);
/// server.serve_connection(TokioIo::new(stream), lapwing.at("/socket")?).with_upgrades().await.ok();
/// # Ok(())
/// # }
/// ```
///
/// No layer that reads whole bodies, or compresses them, may be around it: of an answer to a poll the next bytes come when those before were written.
///
/// With the feature `axum`, the address in axum's `ConnectInfo<SocketAddr>` is that of the peer
/// ([`ConnectRequest::peer`](crate::ConnectRequest::peer)); without it, and with hyper, the program says it with
/// [`PeerAddr`](crate::PeerAddr).
#[derive(Clone, Debug)]
pub struct LapwingService {
    lapwing: Lapwing,
    scope: Scope,
}

#[derive(Clone, Copy, Debug)]
enum Scope {
    /// All mounts, by their whole paths.
    All,
    /// The mount with this index, by its whole path, or by what a router left of it.
    One(usize),
}

impl Lapwing {
    /// The service of all mounts, by their whole paths: for hyper, or for axum's `fallback_service`.
    #[must_use]
    pub fn service(&self) -> LapwingService {
        LapwingService { lapwing: self.clone(), scope: Scope::All }
    }

    /// The service of one mount, for a router that takes the mount's path off, such as axum's `nest_service`, and for one
    /// that leaves it. The variables of a path are bound only where it is left.
    ///
    /// # Errors
    /// If there is no such mount.
    ///
    /// ```
    /// use lapwing::{Lapwing, Mount};
    ///
    /// let lapwing = Lapwing::builder().mount("/socket", Mount::new()).build().unwrap();
    /// assert!(lapwing.at("/socket").is_ok());
    /// let error = lapwing.at("/sockets").unwrap_err();
    /// assert_eq!(error.to_string(), r#"there is no mount at "/sockets": the mounts are "/socket""#);
    /// ```
    pub fn at(&self, path: &str) -> Result<LapwingService, UnknownMount> {
        let index = self.find_mount(path)?;
        Ok(LapwingService { lapwing: self.clone(), scope: Scope::One(index) })
    }
}

impl LapwingService {
    /// The endpoint and the transport that a path leads to.
    fn find(&self, path: &str) -> Option<(&Endpoint<Hub>, Transport, PathVariables)> {
        match self.scope {
            Scope::All => {
                self.lapwing.mounts().iter().find_map(|mounted| transport(mounted, &mounted.path, path))
            }
            Scope::One(index) => {
                let mounted = &self.lapwing.mounts()[index];
                transport(mounted, &mounted.path, path).or_else(|| transport(mounted, MountPath::ROOT, path))
            }
        }
    }

    fn respond<B: RequestBody>(&self, request: Request<B>) -> ResponseFuture {
        match self.find(request.uri().path()) {
            Some((endpoint, transport, variables)) => {
                endpoint.serve(transport, with_peer(request), variables)
            }
            None => Box::pin(std::future::ready(Ok(not_found(&request)))),
        }
    }
}

fn transport<'m>(
    mounted: &'m Mounted,
    below: &MountPath,
    path: &str,
) -> Option<(&'m Endpoint<Hub>, Transport, PathVariables)> {
    let (segment, variables) = below.matches(path)?;
    Some((&mounted.endpoint, mounted.endpoint.transport(segment)?, variables))
}

/// Translates axum's word for the address of the peer. What the program says itself is left as it is.
#[cfg(feature = "axum")]
fn with_peer<B>(mut request: Request<B>) -> Request<B> {
    use axum::extract::ConnectInfo;
    use lapwing_transports::connect::PeerAddr;

    let extensions = request.extensions_mut();
    if let Some(ConnectInfo(address)) = extensions.get::<ConnectInfo<std::net::SocketAddr>>() {
        let peer = PeerAddr(*address);
        extensions.get_or_insert(peer);
    }
    request
}

#[cfg(not(feature = "axum"))]
fn with_peer<B>(request: Request<B>) -> Request<B> {
    request
}

impl<B: RequestBody> hyper::service::Service<Request<B>> for LapwingService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn call(&self, request: Request<B>) -> ResponseFuture {
        self.respond(request)
    }
}

impl<B: RequestBody> tower_service::Service<Request<B>> for LapwingService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        self.respond(request)
    }
}
