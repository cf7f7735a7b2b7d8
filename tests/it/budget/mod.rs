//! What is held for clients: each kind of it driven to its bound by clients that mean harm, with a client beside them that
//! means none. Afterwards everything is given back.

mod answers;
mod bodies;
mod events;
mod opens;
mod sessions;

use std::{net::SocketAddr, time::Duration};

use lapwing::transports::{endpoint::Endpoint, options::TransportOptions};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::support::{
    PATIENCE,
    echo::{self, Echo},
    websocket::{Event, RawSocket},
};

/// A server that echoes, with a budget.
async fn serve(
    bytes_max: usize,
    set: impl FnOnce(TransportOptions) -> TransportOptions,
) -> (Endpoint<Echo>, SocketAddr) {
    echo::serve(set(TransportOptions::default().budget_bytes_max(bytes_max))).await
}

/// Waits until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// Waits until nothing is held any more.
async fn until_all_is_given_back(endpoint: &Endpoint<Echo>) {
    until("all is given back", || endpoint.bytes_held() == 0).await;
}

/// A connection that takes next to nothing before it is read.
async fn narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(address).await.unwrap()
}

/// A connection whose bytes are with the server, and not with the kernel, when they are written.
async fn direct(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.set_send_buffer_size(16_384).unwrap();
    socket.connect(address).await.unwrap()
}

/// Begins a POST on a connection.
async fn begin_post(stream: &mut TcpStream, path: &str, framing: &str, body: &[u8]) {
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // It may be refused already.
    let _ = stream.write_all(body).await;
}

/// All that comes until the connection ends, however it ends.
async fn all_of(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let reading = async {
        while let Ok(filled) = stream.read(&mut buffer).await {
            if filled == 0 {
                return;
            }
            all.extend_from_slice(&buffer[..filled]);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the connection ends");
    all
}

/// With which code a WebSocket is closed, if it is closed with any.
async fn close_code(socket: &mut RawSocket) -> Option<u16> {
    while let Some(event) = socket.next_within(PATIENCE).await {
        match event {
            Event::Close(code, _) => return Some(code),
            Event::End => return None,
            _ => {}
        }
    }
    None
}
