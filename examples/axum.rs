//! The chat of the README, at a port of choice: what a page says in `room:*` is heard by all pages there.

use std::env;

use axum::Router;
use lapwing::{Channel, Context, Failure, Handled, Joining, Lapwing, Mount, Payload, Topic, noreply};
use tokio::net::TcpListener;

struct Room;

impl Channel for Room {
    type State = ();

    async fn join(_topic: &Topic, _params: Payload, _joining: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Room)
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        match event {
            "say" => {
                cx.broadcast("say", payload)?;
                Ok(noreply())
            }
            // Events are the client's to choose: to broadcast any would let one visitor close the channels of all.
            _ => Err(Failure::reason("unmatched event")),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The name at which your pages are: those of other sites cannot connect.
    let mount = Mount::new().host("localhost").channel::<Room>("room:*", ());
    let lapwing = Lapwing::builder().mount("/socket", mount).build()?;
    let app = Router::new().nest_service("/socket", lapwing.at("/socket")?);

    let port = env::var("PORT").map_or(Ok(4000), |port| port.parse::<u16>())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    lapwing.serve(listener, app).await;
    Ok(())
}
