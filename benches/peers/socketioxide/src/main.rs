//! The same chat on socketioxide, as its documentation shows it. It speaks Socket.IO.
//!
//!     PORT=4000 peer-socketioxide

use std::future::{Ready, ready};

use axum::{Router, serve::ListenerExt};
use serde_json::{Value, json};
use socketioxide::{
    SocketIo,
    extract::{AckSender, Data, SocketRef},
};
use tokio::net::TcpListener;

// As in lapwing's testbed, so that what is compared is not the allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// An `async fn` would run in a task of its own, maybe after the client's first message, which would then be for nobody.
fn connect(socket: SocketRef) -> Ready<()> {
    socket.on("join", async |socket: SocketRef, Data(topic): Data<String>, ack: AckSender| {
        let status = if topic.starts_with("room:") {
            socket.join(topic);
            "ok"
        } else {
            "error"
        };
        let _ = ack.send(&json!({"status": status}));
    });
    socket.on("ping_ack", async |Data(payload): Data<Value>, ack: AckSender| {
        let _ = ack.send(&payload);
    });
    socket.on("shout", async |socket: SocketRef, Data(payload): Data<Value>| {
        let _ = socket.within(socket.rooms()).emit("shout", &payload).await;
    });
    ready(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", connect);
    let app = Router::new().layer(layer);
    let port: u16 = std::env::var("PORT").ok().map_or(Ok(4000), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, app).await?)
}
