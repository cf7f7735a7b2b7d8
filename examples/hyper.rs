//! The chat of the README, on hyper alone, with a graceful end: on SIGTERM and Ctrl-C clients are sent away, to another
//! server if there is one.

use std::{env, error::Error, time::Duration};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use lapwing::{
    Channel, Context, Failure, Handled, Joining, Lapwing, Mount, Payload, Topic, noreply, transports,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

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
async fn main() -> Result<(), Box<dyn Error>> {
    // The name at which your pages are: those of other sites cannot connect.
    let mount = Mount::new().host("localhost").channel::<Room>("room:*", ());
    let lapwing = Lapwing::builder().mount("/socket", mount).build()?;

    let port = env::var("PORT").map_or(Ok(4000), |port| port.parse::<u16>())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    tokio::select! {
        () = accept(&listener, &lapwing) => {}
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    drop(listener);
    lapwing.shutdown().await;
    Ok(())
}

async fn accept(listener: &TcpListener, lapwing: &Lapwing) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of files: wait until some are closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let service = lapwing.service();
        tokio::spawn(async move {
            let mut server = http1::Builder::new();
            // How long the head of a request may be, and how long it may take: hyper waits for ever.
            transports::http1::configure(&mut server);
            server.serve_connection(TokioIo::new(stream), service).with_upgrades().await.ok();
        });
    }
}
