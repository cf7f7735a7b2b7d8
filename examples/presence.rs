//! Who is here: the page gives its name on join, and phoenix.js's `Presence` shows the list.

use std::{env, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use lapwing::{
    Channel, Context, Failure, Handled, Joining, Lapwing, Mount, Payload, Topic, noreply, transports,
};
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
    let app = Router::new().fallback_service(lapwing.service());

    let port = env::var("PORT").map_or(Ok(4000), |port| port.parse::<u16>())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of files: wait until some are closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let app = TowerToHyperService::new(app.clone());
        tokio::spawn(async move {
            let mut server = http1::Builder::new();
            // Limits that `axum::serve` has not: it waits for ever for who sends nothing, or half a request.
            transports::http1::configure(&mut server);
            server.serve_connection(TokioIo::new(stream), app).with_upgrades().await.ok();
        });
    }
}
