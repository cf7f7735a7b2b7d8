//! What each delivery of a broadcast takes.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{SinkExt, StreamExt, future::join_all};
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::{
    JOIN,
    client::{Testbed, websocket},
};

const CONNECTIONS: usize = 10;
const STREAMS: usize = 100;
const ROUNDS: usize = 3;
const BROADCASTS: u64 = 300;

/// How many frames bytes of a server hold; what is left of the last frame stays.
fn take_frames(unread: &mut Vec<u8>) -> u64 {
    let (mut count, mut at) = (0, 0);
    while let [_, length, rest @ ..] = &unread[at..] {
        let (head, length) = match (length, rest) {
            (126, [high, low, ..]) => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            (126, _) => break,
            (length, _) => (2, usize::from(*length)),
        };
        if unread.len() < at + head + length {
            break;
        }
        at += head + length;
        count += 1;
    }
    unread.drain(..at);
    count
}

type Socket = WebSocketStream<TcpStream>;

async fn plain(address: SocketAddr) -> Socket {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let uri = "ws://testbed/socket/websocket?vsn=2.0.0";
    let (mut socket, _) = client_async(uri, stream).await.unwrap();
    socket.send(Message::text(JOIN)).await.unwrap();
    socket.next().await.unwrap().unwrap();
    socket
}

/// Broadcasts one after another, each once the last has reached everybody; the time that each delivery took the server.
async fn broadcast(testbed: &Testbed, received: &AtomicU64, listeners: u64) -> f64 {
    let mut speaker = plain(testbed.address).await;
    let text = format!(r#"["1","2","room:fan","shout_from",{{"text":"{}"}}]"#, "x".repeat(128));
    let before = testbed.cpu();
    for _ in 0..BROADCASTS {
        let wanted = received.load(Ordering::Relaxed) + listeners;
        speaker.send(Message::text(text.clone())).await.unwrap();
        while received.load(Ordering::Relaxed) < wanted {
            tokio::task::yield_now().await;
        }
    }
    let spent = testbed.cpu() - before;
    spent.as_secs_f64() * 1e6 / (BROADCASTS * listeners) as f64
}

async fn fanout_http2() -> f64 {
    let testbed = Testbed::start();
    let received = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for connection in join_all((0..CONNECTIONS).map(|_| testbed.connect())).await {
        for _ in 0..STREAMS {
            let (mut open, received) = (websocket(&connection).await, received.clone());
            tasks.spawn(async move {
                let mut unread = Vec::new();
                while let Some(bytes) = open.next().await {
                    unread.extend_from_slice(&bytes);
                    received.fetch_add(take_frames(&mut unread), Ordering::Relaxed);
                }
            });
        }
    }
    broadcast(&testbed, &received, (CONNECTIONS * STREAMS) as u64).await
}

async fn fanout_http1() -> f64 {
    let testbed = Testbed::start();
    let received = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS * STREAMS {
        let (mut socket, received) = (plain(testbed.address).await, received.clone());
        tasks.spawn(async move {
            while let Some(Ok(_)) = socket.next().await {
                received.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    broadcast(&testbed, &received, (CONNECTIONS * STREAMS) as u64).await
}

pub(crate) async fn measure() {
    for _ in 0..ROUNDS {
        let (http1, http2) = (fanout_http1().await, fanout_http2().await);
        println!(
            "a delivery: {http1:.2} µs by HTTP/1.1, {http2:.2} µs by HTTP/2, ratio {:.2}",
            http2 / http1
        );
    }
}
