//! A chat that speaks Phoenix V2 frames, written by hand on axum's WebSockets, as one does without a framework.
//!
//!     PORT=4000 peer-axum plain|tuned
//!
//! `plain` is what is written first: values parsed and printed, two tasks for each connection, each message sent by
//! itself. `tuned` is what is written after a look at a profile: see there.

mod plain;
mod rooms;
mod tuned;

use std::sync::Arc;

use axum::{
    Router,
    extract::{State, WebSocketUpgrade},
    routing::get,
    serve::ListenerExt,
};
use rooms::Rooms;
use tokio::net::TcpListener;

// As in lapwing's testbed, so that what is compared is not the allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What `tuned` reads into. The default is 128 KB, and all of it is touched.
const READ_BUFFER_BYTES: usize = 4096;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let chat = match std::env::args().nth(1).as_deref() {
        Some("plain") => get(|upgrade: WebSocketUpgrade, State(rooms): State<Arc<Rooms>>| async {
            upgrade.on_upgrade(|socket| plain::talk(socket, rooms))
        }),
        Some("tuned") => get(|upgrade: WebSocketUpgrade, State(rooms): State<Arc<Rooms>>| async {
            upgrade.read_buffer_size(READ_BUFFER_BYTES).on_upgrade(|socket| tuned::talk(socket, rooms))
        }),
        _ => return Err("usage: PORT=4000 peer-axum plain|tuned".into()),
    };
    let app = Router::new().route("/socket/websocket", chat).with_state(Arc::default());
    let port: u16 = std::env::var("PORT").ok().map_or(Ok(4000), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, app).await?)
}
