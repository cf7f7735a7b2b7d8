//! The chat of the README: what a page says in `room:*` is heard by all pages there.

use axum::Router;
use lapwing::{Channel, Context, Failure, Handled, Joining, Lapwing, Mount, Payload, Topic, noreply};
use tokio::net::TcpListener;

struct Room;

impl Channel for Room {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Room)
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        if event != "say" {
            return Err(Failure::reason("unknown event"));
        }
        cx.broadcast("say", payload)?;
        Ok(noreply())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mount = Mount::new().host("localhost").channel::<Room>("room:*", ());
    let lapwing = Lapwing::builder().mount("/socket", mount).build()?;
    let app = Router::new().nest_service("/socket", lapwing.at("/socket")?);
    lapwing.serve(TcpListener::bind("127.0.0.1:4000").await?, app).await;
    Ok(())
}
