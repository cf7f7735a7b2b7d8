//! The chat of the README, in axum: what a page says in `room:*` is heard by all pages there.

use axum::Router;
use lapwing::{Channel, HandleResult, Joining, Lapwing, Mount, Payload, Socket, Topic, noreply};

struct Room;

impl Channel for Room {
    type Info = ();

    async fn join(_topic: &Topic, _params: Payload, _socket: &mut Joining) -> Result<Self, Payload> {
        Ok(Room)
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, socket: &mut Socket) -> HandleResult {
        socket.broadcast(event, payload).ok();
        noreply()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lapwing = Lapwing::builder().mount("/socket", Mount::new().channel::<Room>("room:*")).build()?;
    let app = Router::new().fallback_service(lapwing.service());
    Ok(axum::serve(tokio::net::TcpListener::bind("127.0.0.1:4000").await?, app).await?)
}
