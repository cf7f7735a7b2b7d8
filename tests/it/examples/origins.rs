//! Pages of other sites, and those whose site's name leads to this machine (DNS rebinding).

use tokio::net::TcpStream;

use super::{NAMES, program::Program};
use crate::support::{
    http,
    websocket::{RawSocket, SAMPLE_KEY},
};

/// Asks with the given `Host` and `Origin`; the status of the answer.
async fn status(program: &Program, transport: &str, host: &str, origin: &str) -> u16 {
    let head = format!("Host: {host}\r\nOrigin: {origin}\r\n");
    if transport == "websocket" {
        let request = format!(
            "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\n{head}Upgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {SAMPLE_KEY}\r\n\r\n"
        );
        let stream = TcpStream::connect(program.address).await.unwrap();
        return match RawSocket::from_stream(stream, request.as_bytes()).await {
            Ok(_) => 101,
            Err(refusal) => refusal.status,
        };
    }
    let (method, path, body) = match transport {
        "longpoll" => ("GET", "/socket/longpoll?vsn=2.0.0", ""),
        transport => (
            "POST",
            if transport == "sse" { "/socket/sse?lapwing=1" } else { "/socket/longpoll?lapwing=1" },
            "!open 5000",
        ),
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\n{head}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // The body of an event stream does not end; that of a stock client's poll has the status.
    let is_stock = method == "GET";
    let answer = http::exchange(program.address, request.as_bytes(), !is_stock).await.unwrap();
    match answer.status {
        // A new session, which is told its token by this status.
        200 if is_stock && answer.json()["status"] == 410 => 200,
        200 if is_stock => u16::try_from(answer.json()["status"].as_u64().unwrap()).unwrap(),
        status => status,
    }
}

#[tokio::test]
async fn a_page_whose_name_leads_here_does_not_connect() {
    for name in NAMES {
        let program = Program::start(name).await;
        let port = program.outside.port();
        let (evil, own) = (format!("rebound.example:{port}"), format!("localhost:{port}"));
        for transport in ["websocket", "longpoll", "sse", "poll"] {
            for host in [&evil, &own] {
                for scheme in ["http", "https"] {
                    let origin = format!("{scheme}://{evil}");
                    assert_eq!(
                        status(&program, transport, host, &origin).await,
                        403,
                        "{name}, {transport}: {origin} at {host}"
                    );
                }
            }
            let origin = format!("http://{own}");
            let wanted = if transport == "websocket" { 101 } else { 200 };
            assert_eq!(
                status(&program, transport, &own, &origin).await,
                wanted,
                "{name}, {transport}: {origin}"
            );
        }
    }
}
