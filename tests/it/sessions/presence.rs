//! Nobody is seen to leave who only changed transports.

use lapwing::{Channel, Context, Failure, Handled, Joining, Lapwing, Mount, Payload, Topic, noreply};
use serde_json::json;

use super::pause;
use crate::support::{
    channels::ok,
    lab,
    sessions::{Session, TRANSPORTS, Transport},
};

/// Tracks whoever joins.
struct Present(String);

impl Channel for Present {
    type State = ();

    async fn join(_: &Topic, params: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        let params: serde_json::Value = params.parse().unwrap_or_default();
        Ok(Self(params["name"].as_str().unwrap_or("nobody").to_owned()))
    }

    async fn joined(&mut self, cx: &Context<Self>) -> Handled {
        cx.track(&self.0, json!({})).await.unwrap();
        Ok(noreply())
    }

    async fn handle_in(&mut self, _: &str, _: Payload, _: &Context<Self>) -> Handled {
        Ok(noreply())
    }
}

async fn present(address: std::net::SocketAddr, name: &str) -> Session {
    let mut session = Session::open(address, "/socket", Transport::Websocket).await;
    session.send_json(json!(["1", "1", "here:1", "phx_join", {"name": name}])).await;
    session.expect_json(ok("1", "1", "here:1", json!({}))).await;
    session
}

#[tokio::test]
async fn presence_sees_nobody_leave_who_moves_and_everybody_who_ends() {
    let mount = Mount::new().channel::<Present>("here:*", ());
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    let mut watcher = present(address, "watcher").await;
    assert!(watcher.next_json().await[4]["joins"].get("watcher").is_some());
    let mut mover = present(address, "mover").await;
    assert!(watcher.next_json().await[4]["joins"].get("mover").is_some());
    for transport in [&TRANSPORTS[..], &TRANSPORTS[..]].concat() {
        mover.cut();
        pause(30).await;
        mover.resume(transport).await;
    }
    watcher.expect_silence().await;
    mover.say("!close").await;
    let diff = watcher.next_json().await;
    assert_eq!((&diff[3], diff[4]["leaves"].get("mover").is_some()), (&json!("presence_diff"), true));
    assert_eq!(lapwing.presence_count("here:1").await.unwrap().keys, 1);
}
