//! The same chat on socketioxide, as its documentation shows it. It speaks Socket.IO.
//!
//!     PORT=4000 peer-socketioxide
//!
//! With `ENGINE=redis://…` it is a node of a cluster, by socketioxide-redis, with the driver that is its default.

use std::future::{Ready, ready};

use axum::{Router, serve::ListenerExt};
use serde_json::{Value, json};
use socketioxide::{
    SocketIo,
    adapter::Adapter,
    extract::{AckSender, Data, SocketRef},
    layer::SocketIoLayer,
};
use socketioxide_redis::{RedisAdapter, RedisAdapterCtr, drivers::redis::redis_client as redis};
use tokio::net::TcpListener;

type AnyError = Box<dyn std::error::Error>;

// As in lapwing's testbed, so that what is compared is not the allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// An `async fn` would run in a task of its own, maybe after the client's first message, which would then be for nobody.
fn connect<A: Adapter>(socket: SocketRef<A>) -> Ready<()> {
    socket.on("join", async |socket: SocketRef<A>, Data(topic): Data<String>, ack: AckSender<A>| {
        let status = if topic.starts_with("room:") {
            socket.join(topic);
            "ok"
        } else {
            "error"
        };
        let _ = ack.send(&json!({"status": status}));
    });
    socket.on("ping_ack", async |Data(payload): Data<Value>, ack: AckSender<A>| {
        let _ = ack.send(&payload);
    });
    socket.on("shout", async |socket: SocketRef<A>, Data(payload): Data<Value>| {
        let _ = socket.within(socket.rooms()).emit("shout", &payload).await;
    });
    ready(())
}

async fn serve<A: Adapter>(layer: SocketIoLayer<A>) -> Result<(), AnyError> {
    let app = Router::new().layer(layer);
    let port: u16 = std::env::var("PORT").ok().map_or(Ok(4000), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, app).await?)
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let Ok(engine) = std::env::var("ENGINE") else {
        let (layer, io) = SocketIo::new_layer();
        io.ns("/", connect);
        return serve(layer).await;
    };
    let client = redis::Client::open(format!("{engine}?protocol=resp3"))?;
    let adapter = RedisAdapterCtr::new_with_redis(&client).await?;
    let (layer, io) = SocketIo::builder().with_adapter::<RedisAdapter<_>>(adapter).build_layer();
    io.ns("/", connect).await?;
    serve(layer).await
}
