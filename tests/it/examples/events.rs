//! Events that mean something to clients of their own accord are not passed on from one client to others.

use serde_json::json;

use super::{NAMES, heard, joined, program::Program, reply_to, serves};

/// By the first two a stock client closes its channel, by the third it takes a reply for its own; then presence's, the one that
/// ends connections, and one that nobody knows.
const EVENTS: [&str; 7] =
    ["phx_close", "phx_error", "phx_reply", "presence_state", "presence_diff", "disconnect", "nonsense"];

#[tokio::test]
async fn what_a_client_pushes_closes_no_channel_and_forges_no_presence() {
    for name in NAMES {
        let program = Program::start(name).await;
        let mut victim = joined(&program, "victim").await;
        let mut attacker = joined(&program, "attacker").await;
        for event in EVENTS {
            attacker.send(json!(["1", event, "room:lobby", event, {"forged": event, "leaves": {"victim": {"metas": []}}}])).await;
        }
        // The join takes its events one by one: when it answers this one, it is done with the others.
        attacker.send(json!(["1", "last", "room:lobby", "nonsense", {}])).await;
        reply_to(&mut attacker, "last").await;
        for message in heard(&mut victim).await {
            let is_forged = message[4]["forged"].is_string();
            let closes = message[3] == "phx_close" || message[3] == "phx_error";
            assert!(!is_forged && !closes, "{name} passes on {message}");
        }
        serves(&program, &mut victim).await;
    }
}
