//! The demo as one of several nodes: `ENGINE=redis://…` says where they meet, and `NODE` this one's name.

use std::{env, sync::Arc};

use lapwing::{
    Broadcast, BroadcastError, Builder, ClusterOptions, Lapwing, Socket,
    cluster::{AtStart, Redis},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{AnyError, history::Message, room::Rooms};

/// A topic of the nodes' own: no client can join it.
const SAID: &str = "demo:said";

/// What was said in a room of another node, for the history of this one.
#[derive(Serialize, Deserialize)]
struct Said {
    room: String,
    message: Message,
}

/// What a server is built with, and its rooms.
pub(crate) async fn start() -> Result<(Builder, Rooms), AnyError> {
    let Ok(engine) = env::var("ENGINE") else { return Ok((Lapwing::builder(), Rooms::default())) };
    let name = env::var("NODE").unwrap_or_else(|_| std::process::id().to_string());
    let options = ClusterOptions::new("lapwing-demo").name(&name).at_start(AtStart::Wait);
    let cluster = options.start(Redis::at(&engine)?).await?;
    let rooms = Rooms { node: Some(name), tell: Some(tell), ..Rooms::default() };
    Ok((Lapwing::builder().cluster(cluster), rooms))
}

/// Tells the other nodes what was said, so that they have it for those who come later.
fn tell(socket: &Socket, message: &Message) -> Result<(), BroadcastError> {
    let said = json!({"room": socket.topic().as_str(), "message": message});
    socket.publish(Broadcast::new(SAID, "said", said)).map(drop)
}

/// Hears what is said on other nodes.
pub(crate) fn learn(lapwing: &Lapwing, rooms: Arc<Rooms>) {
    let mut heard = lapwing.subscribe(SAID);
    tokio::spawn(async move {
        loop {
            // What was missed is missing in the history, and nowhere else.
            let Ok(broadcast) = heard.recv().await else { continue };
            if let Ok(Said { room, message }) = broadcast.payload.parse() {
                rooms.history.learn(&room, message);
            }
        }
    });
}
