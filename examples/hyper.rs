//! The chat of the README, on hyper alone.

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
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
    let listener = tokio::net::TcpListener::bind("127.0.0.1:4000").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let service = lapwing.service();
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            server.serve_connection_with_upgrades(TokioIo::new(stream), service).await.ok();
        });
    }
}
