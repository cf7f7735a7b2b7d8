//! The demo over TLS: HTTP/2 to those who can, HTTP/1.1 to the others. All transports of a page share one connection then.
//!
//!     PORT=4443 HOST=127.0.0.1 cargo run --release --example tls
//!     CERT=chain.pem KEY=key.pem PORT=443 HOST=0.0.0.0 cargo run --release --example tls
//!
//! `ORIGINS` says at which addresses a browser may find the page, where it is not on this machine. Without `CERT` and `KEY` it
//! makes a certificate for `localhost` that no browser trusts unless told to: for trying out.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "whoever starts it has to learn the port")]

#[path = "demo/src/room.rs"]
mod room;
#[path = "demo/src/web.rs"]
mod web;

use std::{
    env,
    net::SocketAddr,
    pin::pin,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::{
    Request, Response,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::TokioIo,
    server::graceful::{GracefulShutdown, Watcher},
};
use lapwing::{Body, Lapwing, PeerAddr, transports::body::ResponseFuture};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    sync::Notify,
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use crate::{room::Rooms, web::Web};

type AnyError = Box<dyn std::error::Error>;

/// How long a client may take for the handshake of TLS, and then, over HTTP/2, for its first request.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a client may take to end the last streams of a connection, once its sessions are over.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that were accepted so far. `/stats` shows it, so that one can see how many a page takes.
static ACCEPTED: AtomicU64 = AtomicU64::new(0);

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
    let tls = TlsAcceptor::from(Arc::new(config()?));
    let web = Arc::new(Web::load()?);
    let mount = room::mount(Rooms::default()).check_origin(web::origins()?);
    let lapwing = Lapwing::builder().mount("/socket", mount).build()?;
    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".into());
    let port: u16 = env::var("PORT").ok().map_or(Ok(4443), |port| port.parse())?;
    let listener = TcpListener::bind((host.as_str(), port)).await?;
    let mut stopped = pin!(stopped()?);
    println!("listening on https://{}", listener.local_addr()?);
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => break,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of files: wait for some to be closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        ACCEPTED.fetch_add(1, Ordering::Relaxed);
        let (tls, lapwing, web, watcher) = (tls.clone(), lapwing.clone(), web.clone(), connections.watcher());
        tokio::spawn(async move {
            // Without it small frames wait for each other; that it fails is no reason not to serve.
            let _ = lapwing::transports::tcp::configure(&stream);
            serve(tls, stream, peer, lapwing, web, watcher).await;
        });
    }
    drop(listener);
    // The sessions first, paced; then the connections of HTTP/2, which say so by GOAWAY. Those of HTTP/1.1 end with their
    // WebSockets, or have nothing left to say.
    lapwing.shutdown().await;
    let _ = timeout(GOODBYE_TIMEOUT, connections.shutdown()).await;
    Ok(())
}

/// The certificate, and what is spoken: the client chooses, HTTP/2 is our first choice.
fn config() -> Result<ServerConfig, AnyError> {
    let (chain, key) = match (env::var("CERT"), env::var("KEY")) {
        (Ok(chain), Ok(key)) => {
            let chain = CertificateDer::pem_file_iter(&chain)
                .and_then(Iterator::collect)
                .map_err(|error| format!("CERT, {chain}: {error}"))?;
            let key = PrivateKeyDer::from_pem_file(&key).map_err(|error| format!("KEY, {key}: {error}"))?;
            (chain, key)
        }
        (Err(_), Err(_)) => generated()?,
        _ => return Err("CERT and KEY go together".into()),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| format!("CERT and KEY are of no use together: {error}"))?;
    // Clients that come back resume by what this server can read again: by default it remembers 256 of them, and the others begin anew.
    config.ticketer = ring::Ticketer::new()?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn generated() -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), AnyError> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names)?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    Ok((vec![made.cert.into()], key))
}

async fn serve(
    tls: TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    lapwing: Lapwing,
    web: Arc<Web>,
    watcher: Watcher,
) {
    // A client that breaks off, or says nothing, is its own business.
    let Ok(Ok(stream)) = timeout(PATIENCE, tls.accept(stream)).await else { return };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(stream);
    let asked = Arc::new(Notify::new());
    let is_asked = asked.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        asked.notify_one();
        request.extensions_mut().insert(PeerAddr(peer));
        respond(&web, &lapwing, request)
    });
    if is_http2 {
        let mut server = http2::Builder::new(lapwing::transports::http2::Turns::new());
        lapwing::transports::http2::configure(&mut server);
        let connection = server.serve_connection(io, service);
        let mut connection = pin!(watcher.watch(connection));
        // hyper waits for ever for who begins HTTP/2 and asks for nothing.
        tokio::select! {
            _ = &mut connection => return,
            in_time = timeout(PATIENCE, is_asked.notified()) => if in_time.is_err() { return },
        }
        let _ = connection.await;
    } else {
        let mut server = http1::Builder::new();
        lapwing::transports::http1::configure(&mut server);
        let _ = server.serve_connection(io, service).with_upgrades().await;
    }
}

fn respond(web: &Web, lapwing: &Lapwing, request: Request<Incoming>) -> ResponseFuture {
    if request.uri().path() == "/stats" {
        let mut stats = serde_json::to_value(lapwing.stats()).unwrap_or_default();
        stats["accepted"] = ACCEPTED.load(Ordering::Relaxed).into();
        return Box::pin(std::future::ready(Ok(Response::new(Body::from(stats.to_string())))));
    }
    match web.respond(&request) {
        Some(response) => Box::pin(std::future::ready(Ok(response))),
        None => hyper::service::Service::call(&lapwing.service(), request),
    }
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
