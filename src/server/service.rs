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
    server::{Lapwing, path::MountPath},
    session::handler::Hub,
};

/// Answers HTTP requests for the mounts of a [`Lapwing`], and 404 for all others.
///
/// It is a `tower::Service` and a `hyper::service::Service`, over any body. With axum:
///
/// ```
/// use axum::Router;
/// use lapwing::{Lapwing, Mount};
///
/// let lapwing = Lapwing::builder().mount("/socket", Mount::new()).build().unwrap();
/// let app: Router = Router::new().nest_service("/socket", lapwing.mount_service("/socket").unwrap());
/// # let _ = app;
/// ```
///
/// With hyper alone the service of the whole server answers every path:
///
/// ```no_run
/// # async fn run(lapwing: lapwing::Lapwing, stream: tokio::net::TcpStream) {
/// use hyper::server::conn::http1;
/// use hyper_util::rt::TokioIo;
///
/// let mut server = http1::Builder::new();
/// lapwing::transports::http1::configure(&mut server);
/// server.serve_connection(TokioIo::new(stream), lapwing.service()).with_upgrades().await.ok();
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Service {
    lapwing: Lapwing,
    scope: Scope,
}

#[derive(Clone, Debug)]
enum Scope {
    /// All mounts, by their whole paths.
    All,
    /// One mount, whose path the router above has taken off.
    Nested(Endpoint<Hub>),
}

impl Lapwing {
    /// The service of all mounts: for hyper, or for axum's `fallback_service`.
    #[must_use]
    pub fn service(&self) -> Service {
        Service { lapwing: self.clone(), scope: Scope::All }
    }

    /// The service of one mount, for a router that takes the mount's path off, such as axum's `nest_service`.
    /// `None` if there is no such mount.
    #[must_use]
    pub fn mount_service(&self, path: &str) -> Option<Service> {
        let mounted = self.mount(path)?;
        Some(Service { lapwing: self.clone(), scope: Scope::Nested(mounted.endpoint.clone()) })
    }
}

impl Service {
    /// The endpoint and the wire that a path leads to.
    fn find(&self, path: &str) -> Option<(&Endpoint<Hub>, Transport, PathVariables)> {
        match &self.scope {
            Scope::All => self.lapwing.mounts().iter().find_map(|mounted| {
                let (segment, variables) = mounted.path.matches(path)?;
                Some((&mounted.endpoint, mounted.endpoint.wire(segment)?, variables))
            }),
            Scope::Nested(endpoint) => {
                let (segment, variables) = MountPath::new("").matches(path)?;
                Some((endpoint, endpoint.wire(segment)?, variables))
            }
        }
    }

    fn respond<B: RequestBody>(&self, request: Request<B>) -> ResponseFuture {
        match self.find(request.uri().path()) {
            Some((endpoint, wire, variables)) => endpoint.serve(wire, request, variables),
            None => Box::pin(std::future::ready(Ok(not_found(&request)))),
        }
    }
}

impl<B: RequestBody> hyper::service::Service<Request<B>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn call(&self, request: Request<B>) -> ResponseFuture {
        self.respond(request)
    }
}

impl<B: RequestBody> tower_service::Service<Request<B>> for Service {
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
