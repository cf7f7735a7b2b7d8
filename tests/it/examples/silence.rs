//! Who connects and does not ask for anything is not waited for.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{NAMES, program::Program};
use crate::support::{http2::Connection, tls::connected};

/// The examples say ten seconds.
const CLOSED_MAX: Duration = Duration::from_secs(40);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

/// What is sent before the silence.
fn beginnings() -> [(&'static str, Vec<u8>); 7] {
    [
        ("nothing", Vec::new()),
        ("PRI", b"PRI".to_vec()),
        ("a preface of HTTP/2", PREFACE.to_vec()),
        ("a preface and settings", [PREFACE, SETTINGS].concat()),
        ("half a request", b"GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: local".to_vec()),
        ("one header for ever", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ".to_vec()),
        ("a request, and then no other", b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
    ]
}

/// Sends the bytes and then nothing, until the server hangs up.
async fn hung_up(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: Vec<u8>, what: String) {
    // A server that hangs up early may refuse our bytes.
    let _ = stream.write_all(&bytes).await;
    let end = async { while let Ok(1..) = stream.read(&mut [0; 4096]).await {} };
    timeout(CLOSED_MAX, end).await.unwrap_or_else(|_| panic!("{what}, and then silence, keeps a connection"));
}

#[tokio::test]
async fn who_says_nothing_or_half_of_it_is_hung_up_on() {
    let mut waiting = JoinSet::new();
    let mut programs = Vec::new();
    for name in NAMES {
        let program = Program::start(name).await;
        for (what, bytes) in beginnings() {
            let stream = TcpStream::connect(program.outside).await.unwrap();
            waiting.spawn(hung_up(stream, bytes, format!("{name}: {what}")));
        }
        programs.push(program);
    }
    while let Some(ended) = waiting.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn who_says_nothing_behind_tls_is_hung_up_on() {
    let program = Program::start("tls").await;
    let identity = program.identity.as_ref().unwrap();
    let mut waiting = JoinSet::new();
    for alpn in ["h2", "http/1.1"] {
        for (what, bytes) in beginnings() {
            let stream = connected(program.outside, &identity.certificate, alpn.as_bytes()).await.unwrap();
            waiting.spawn(hung_up(stream, bytes, format!("{alpn}: {what}")));
        }
    }
    // This one answers pings.
    let stream = connected(program.outside, &identity.certificate, b"h2").await.unwrap();
    let idle = Connection::over(stream, program.outside, &h2::client::Builder::new()).await;
    waiting.spawn(async move {
        let over = async {
            while !idle.is_over() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(CLOSED_MAX, over).await.expect("HTTP/2 without a request keeps a connection");
    });
    while let Some(ended) = waiting.join_next().await {
        ended.unwrap();
    }
}
