//! Who is here: the page gives its name on join, and phoenix.js's `Presence` shows the list.

use axum::Router;
use lapwing::{Channel, HandleResult, Joining, Lapwing, Mount, Payload, Socket, Topic, noreply};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Member {
    name: String,
}

impl Channel for Member {
    type Info = ();

    async fn join(_topic: &Topic, params: Payload, _socket: &mut Joining) -> Result<Self, Payload> {
        params.parse().map_err(|_| json!({"reason": "name is missing"}).into())
    }

    async fn joined(&mut self, socket: &mut Socket) {
        socket.track(&self.name, json!({"status": "here"})).await.ok();
        if let Ok(state) = socket.presences().await {
            socket.push("presence_state", state).ok();
        }
    }

    async fn handle_in(&mut self, _event: &str, _payload: Payload, _socket: &mut Socket) -> HandleResult {
        noreply()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lapwing = Lapwing::builder().mount("/socket", Mount::new().channel::<Member>("room:*")).build()?;
    let app = Router::new().fallback_service(lapwing.service());
    Ok(axum::serve(tokio::net::TcpListener::bind("127.0.0.1:4000").await?, app).await?)
}
