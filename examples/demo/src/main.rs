//! A chat to show to a friend: rooms, people, typing, cursors, in the browser.
//!
//!     PORT=4000 HOST=127.0.0.1 cargo run --profile demo -p lapwing-demo
//!
//! `ORIGINS` says at which addresses a browser may find the page, where it is not on this machine:
//! `ORIGINS=https://chat.example,//192.0.2.1`. With `ENGINE=redis://…` several of it, each with another `NODE`, are one chat:
//! scripts/demo-cluster.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "whoever starts it has to learn the port")]

#[cfg(feature = "cluster")]
mod cluster;
#[cfg(not(feature = "cluster"))]
#[path = "alone.rs"]
mod cluster;
mod history;
mod room;
mod web;

use std::{env, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use lapwing::{Lapwing, Mount, PeerAddr, transports};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
};

use crate::{room::Room, web::Web};

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
    let rooms = Arc::new(rooms);
    let mount = Mount::new().check_origin(web::origins()?).channel::<Room>("room:*", rooms.clone());
    let lapwing = builder.mount("/socket", mount).build()?;
    cluster::learn(&lapwing, rooms);
    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".into());
    let port: u16 = env::var("PORT").ok().map_or(Ok(4000), |port| port.parse())?;
    let listener = TcpListener::bind((host.as_str(), port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    tokio::select! {
        () = accept(&listener, &lapwing, &web) => {}
        stopped = stopped() => stopped?,
    }
    drop(listener);
    lapwing.shutdown().await;
    Ok(())
}

async fn accept(listener: &TcpListener, lapwing: &Lapwing, web: &Arc<Web>) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of files: wait for some to be closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        tokio::spawn(serve(stream, peer, lapwing.clone(), web.clone()));
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, lapwing: Lapwing, web: Arc<Web>) {
    // Without it small frames wait for each other; that it fails is no reason not to serve.
    let _ = lapwing::transports::tcp::configure(&stream);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(PeerAddr(peer));
        match web.respond(&request) {
            Some(response) => Box::pin(std::future::ready(Ok(response))),
            None => hyper::service::Service::call(&lapwing.service(), request),
        }
    });
    let mut server = http1::Builder::new();
    transports::http1::configure(&mut server);
    // A client that breaks off is its own business.
    let _ = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

/// Somebody wants the server to end.
async fn stopped() -> Result<(), AnyError> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminated.recv() => Ok(()),
        pressed = tokio::signal::ctrl_c() => Ok(pressed?),
    }
}
