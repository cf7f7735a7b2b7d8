//! A chat to show to a friend: rooms, people, typing, cursors, in the browser.
//!
//!     PORT=4000 HOST=127.0.0.1 cargo run --profile demo -p lapwing-demo
//!
//! Where it listens to this machine alone, the inspector is at `/inspect`. The doctor is at `/doctor`.
//!
//! `ORIGINS` says at which addresses a browser may find the page, where it is not on this machine:
//! `ORIGINS=https://chat.example,//192.0.2.1`. With `ENGINE=redis://…` several of it, each with another `NODE`, are one chat:
//! scripts/demo-cluster.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "whoever starts it has to learn the port")]

mod birds;
#[cfg(feature = "cluster")]
mod cluster;
#[cfg(not(feature = "cluster"))]
#[path = "alone.rs"]
mod cluster;
mod narrow;
mod room;
mod web;

use std::{env, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use hyper::{
    HeaderMap, Request,
    body::Incoming,
    header::HOST,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::rt::TokioIo;
use lapwing::{
    Lapwing, PeerAddr,
    transports::{self, body::ResponseFuture},
};
use lapwing_inspector::{Access, Doctor, Inspector};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
};

use crate::{narrow::Narrow, web::Web};

/// The mount whose connections are as narrow as those of a phone.
const PHONE: &str = "/phone";

/// Entries that the inspector can show.
const JOURNAL: usize = 4_096;

type AnyError = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), AnyError> {
    let web = Arc::new(Web::load()?);
    let (builder, rooms) = cluster::start().await?;
    let (node, restart) = (rooms.node.clone(), rooms.restart.clone().unwrap_or_default());
    let mount = room::mount(rooms).check_origin(web::origins()?);
    let builder = builder.mount("/socket", mount).mount("/birds", birds::mount(web::origins()?));
    let lapwing = builder.mount(PHONE, birds::mount(web::origins()?)).journal(JOURNAL).build()?;
    let _birds = tokio::spawn(birds::fly(lapwing.clone(), node));
    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".into());
    let port: u16 = env::var("PORT").ok().map_or(Ok(4000), |port| port.parse())?;
    let listener = TcpListener::bind((host.as_str(), port)).await?;
    let stopped = stopped()?;
    println!("listening on http://{}", listener.local_addr()?);
    // Whoever is on this machine may see all of it, and nobody else may.
    let inspector = listener
        .local_addr()?
        .ip()
        .is_loopback()
        .then(|| Inspector::new(lapwing.clone(), Access::decided_by(|parts| is_local(&parts.headers))));
    let server = Server { lapwing: lapwing.clone(), web, doctor: Doctor::new(), inspector };
    tokio::select! {
        () = accept(&listener, &server) => {}
        () = stopped => {}
        () = restart.notified() => {}
    }
    drop(listener);
    lapwing.shutdown().await;
    Ok(())
}

/// What answers requests.
#[derive(Clone)]
struct Server {
    lapwing: Lapwing,
    web: Arc<Web>,
    doctor: Doctor,
    inspector: Option<Inspector>,
}

impl Server {
    fn respond(&self, request: Request<Incoming>) -> ResponseFuture {
        if let Some(response) = self.web.respond(&request) {
            return Box::pin(std::future::ready(Ok(response)));
        }
        match (request.uri().path().split('/').nth(1), &self.inspector) {
            (Some("doctor"), _) => Service::call(&self.doctor, request),
            (Some("inspect"), Some(inspector)) => Service::call(inspector, request),
            _ => Service::call(&self.lapwing.service(), request),
        }
    }
}

/// Whether a request names this machine. The page of an attacker, whose name leads to the address of this machine, has the attacker's name there.
fn is_local(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

async fn accept(listener: &TcpListener, server: &Server) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of files: wait for some to be closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        tokio::spawn(serve(stream, peer, server.clone()));
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, server: Server) {
    // Without it small frames wait for each other; that it fails is no reason not to serve.
    let _ = lapwing::transports::tcp::configure(&stream);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(PeerAddr(peer));
        server.respond(request)
    });
    let mut http = http1::Builder::new();
    transports::http1::configure(&mut http);
    // A client that breaks off is its own business.
    let _ = if narrow::begins_with(&stream, PHONE).await {
        http.serve_connection(TokioIo::new(Narrow::new(stream)), service).with_upgrades().await
    } else {
        http.serve_connection(TokioIo::new(stream), service).with_upgrades().await
    };
}

/// Completes when somebody wants the server to end. A signal that comes behind this call is not missed.
fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    })
}
