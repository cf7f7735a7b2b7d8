//! What a stream of HTTP/2 costs a server that is somebody else: the testbed, built for release.
//!
//!     cargo build --release -p lapwing-testbed
//!     cargo bench --bench http2 [-- memory | fanout]
//!
//! Memory: 10,000 WebSockets with one join each, 10,000 idle event streams, 10,000 waiting polls of the session dialect and
//! as many of stock clients, each on 100 connections of a testbed of its own. Everything that its process grew by is counted.
//!
//! Fan-out: the processor time of a delivery to 1,000 WebSockets on 10 connections, and to 1,000 on connections of their
//! own, in turns.

#![allow(clippy::print_stdout, reason = "a bench says what it found")]
#![allow(clippy::unwrap_used, reason = "a bench that fails says so by panicking")]

mod client;
mod fanout;
mod memory;

/// What every WebSocket says first.
const JOIN: &str = r#"["1","1","room:fan","phx_join",{}]"#;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let what: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| what.is_empty() || what.iter().any(|word| word == name);
    if is_wanted("memory") {
        memory::measure().await;
    }
    if is_wanted("fanout") {
        fanout::measure().await;
    }
}
