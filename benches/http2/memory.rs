//! What each stream takes.

use std::time::Duration;

use futures_util::future::join_all;
use h2::{RecvStream, client::ResponseFuture};
use http::Method;

use crate::client::{Connection, Testbed, ask, send, websocket};

const CONNECTIONS: usize = 100;
const STREAMS: usize = 100;

/// The event stream of a session that has just begun.
async fn event_stream(connection: &Connection) -> RecvStream {
    let path = "/socket/sse?lapwing=1&vsn=2.0.0";
    let response = send(connection, Method::POST, path, "!open 120000").await.await.unwrap();
    let mut down = response.into_body();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("!opened") {
        let bytes = down.data().await.unwrap().unwrap();
        down.flow_control().release_capacity(bytes.len()).unwrap();
        seen.extend_from_slice(&bytes);
    }
    down
}

/// The token of a session of the dialect that waits to be polled.
async fn opened(connection: &Connection) -> String {
    let path = "/socket/longpoll?lapwing=1&vsn=2.0.0";
    let answer = ask(connection, Method::POST, path, "!open 120000").await;
    answer.split(' ').nth(1).unwrap().to_owned()
}

/// The token of a stock client's session.
async fn created(connection: &Connection) -> String {
    let answer = ask(connection, Method::GET, "/socket/longpoll?vsn=2.0.0", "").await;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    answer["token"].as_str().unwrap().to_owned()
}

/// Does something on each stream of each connection, the connections beside each other.
async fn on_all<T>(connections: &[Connection], deed: impl AsyncFn(&Connection) -> T) -> Vec<T> {
    let on_each = connections.iter().map(async |connection| {
        let mut done = Vec::new();
        for _ in 0..STREAMS {
            done.push(deed(connection).await);
        }
        done
    });
    join_all(on_each).await.into_iter().flatten().collect()
}

/// What a process grows by for each stream, once nothing moves any more.
async fn memory<T, O>(name: &str, bar: u64, open: O)
where
    O: AsyncFn(&[Connection]) -> T,
{
    let testbed = Testbed::start();
    // What the first connection brings about is not the streams'.
    let first = testbed.connect().await;
    drop(on_all(&[first], websocket).await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = testbed.rss();
    let connections = join_all((0..CONNECTIONS).map(|_| testbed.connect())).await;
    let held = open(&connections).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let each = (testbed.rss() - before) / (CONNECTIONS * STREAMS) as u64;
    println!("{name:<40} {each:>6} B each (bar {bar})");
    drop(held);
}

/// Waiting polls, one for each session.
async fn polls(
    connections: &[Connection],
    begin: impl AsyncFn(&Connection) -> String,
    poll: impl Fn(&str) -> (Method, String, String),
) -> Vec<ResponseFuture> {
    let tokens = on_all(connections, begin).await;
    let with_tokens = connections.iter().zip(tokens.chunks(STREAMS)).map(async |(connection, tokens)| {
        let mut waiting = Vec::new();
        for token in tokens {
            let (method, path, body) = poll(token);
            waiting.push(send(connection, method, &path, &body).await);
        }
        waiting
    });
    join_all(with_tokens).await.into_iter().flatten().collect()
}

pub(crate) async fn measure() {
    memory("WebSockets with a join", 2_560, async |all| on_all(all, websocket).await).await;
    memory("idle event streams", 3_072, async |all| on_all(all, event_stream).await).await;
    memory("waiting polls", 3_072, async |all| {
        polls(all, opened, |token| {
            let path = "/socket/longpoll?lapwing=1&vsn=2.0.0".to_owned();
            (Method::POST, path, format!("!resume {token} 0 120000"))
        })
        .await
    })
    .await;
    memory("waiting polls of stock clients", 3_072, async |all| {
        polls(all, created, |token| {
            (Method::GET, format!("/socket/longpoll?vsn=2.0.0&token={token}"), String::new())
        })
        .await
    })
    .await;
}
