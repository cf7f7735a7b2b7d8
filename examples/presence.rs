//! Who is here: the page gives its name on join, and phoenix.js's `Presence` shows the list.

use std::env;

use axum::Router;
use lapwing::{Channel, Context, Failure, Handled, Joining, Lapwing, Mount, Payload, Topic, noreply};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

#[derive(Deserialize)]
struct Member {
    name: String,
}

impl Channel for Member {
    type State = ();

    async fn join(_topic: &Topic, params: Payload, _joining: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(params.parse()?)
    }

    async fn joined(&mut self, cx: &Context<Self>) -> Handled {
        cx.track_and_push_presences(&self.name, json!({"status": "here"})).await?;
        Ok(noreply())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The name at which your pages are: those of other sites cannot connect.
    let mount = Mount::new().host("localhost").channel::<Member>("room:*", ());
    let lapwing = Lapwing::builder().mount("/socket", mount).build()?;
    let app = Router::new().nest_service("/socket", lapwing.at("/socket")?);

    let port = env::var("PORT").map_or(Ok(4000), |port| port.parse::<u16>())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    lapwing.serve(listener, app).await;
    Ok(())
}
