//! Clients that join and leave faster than channels can end.

use std::sync::Arc;

use lapwing::{
    Channel, Context, Failure, Handled, Joining, Lapwing, LeaveReason, Mount, Payload, Topic, reply,
};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::{
    PATIENCE,
    channels::{Client, Vsn, closed, ok, reply as replied},
    lab,
};

/// Lets channels end.
struct Gate(Semaphore);

/// Ends when the gate lets it.
struct Lingering;

impl Channel for Lingering {
    type State = Gate;

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn handle_in(&mut self, _: &str, payload: Payload, _: &Context<Self>) -> Handled {
        Ok(reply("ok", payload))
    }

    async fn leave(&mut self, _: LeaveReason, cx: &Context<Self>) -> Result<(), Failure> {
        cx.state().0.acquire().await.unwrap().forget();
        Ok(())
    }
}

async fn serve(mount: Mount) -> (Lapwing, Arc<Gate>, Client) {
    let gate = Arc::new(Gate(Semaphore::new(0)));
    let mount = mount.channel::<Lingering>("room:*", gate.clone());
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    (lapwing, gate, Client::connect(address, Vsn::V2).await)
}

async fn joins_fall_to(lapwing: &Lapwing, count: u64) {
    let fallen = async {
        while lapwing.stats().joins > count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, fallen).await.expect("joins end when they may");
}

#[tokio::test]
async fn a_topic_that_is_joined_again_and_again_has_one_join_that_waits() {
    const JOINS: u32 = 5_000;
    let (lapwing, gate, mut client) = serve(Mount::new()).await;
    client.join("0", "room:1").await;
    for n in 1..=JOINS {
        client.send(json!([n.to_string(), n.to_string(), "room:1", "phx_join", {}])).await;
        if n > 1 {
            // The one before gives up.
            let (before, again) = ((n - 1).to_string(), json!({"reason": "joined again"}));
            client.expect(replied(json!(before), &before, "room:1", "error", again)).await;
        }
        let joins = lapwing.stats().joins;
        assert!(joins <= 3, "{joins} joins after {n}");
    }
    // What was sent to one that gives up is answered, too.
    let last = JOINS.to_string();
    client.send(json!([last, "a", "room:1", "echo", {}])).await;
    client.send(json!(["again", "again", "room:1", "phx_join", {}])).await;
    client.expect(replied(json!(last), &last, "room:1", "error", json!({"reason": "joined again"}))).await;
    client.expect(replied(json!(null), "a", "room:1", "error", json!({"reason": "unmatched topic"}))).await;
    client.send(json!(["again", "b", "room:1", "echo", {}])).await;
    client.expect_silence().await;

    gate.0.add_permits(1);
    client.expect(ok("again", "again", "room:1", json!({}))).await;
    client.expect(closed("0", "room:1")).await;
    client.expect(ok("again", "b", "room:1", json!({}))).await;
    joins_fall_to(&lapwing, 1).await;
}

#[tokio::test]
async fn as_many_joins_may_be_ending_as_may_be_joined() {
    const MAX: usize = 5;
    let (lapwing, gate, mut client) = serve(Mount::new().joins_max(MAX)).await;
    for n in 0..MAX {
        let n = n.to_string();
        client.join(&n, "room:1").await;
        client.send(json!([n, "leave", "room:1", "phx_leave", {}])).await;
        client.expect(ok(&n, "leave", "room:1", json!({}))).await;
        client.expect(closed(&n, "room:1")).await;
    }
    for topic in ["room:1", "room:2"] {
        client.send(json!(["9", "9", topic, "phx_join", {}])).await;
        let reason = json!({"reason": "too many channels are ending"});
        client.expect(replied(json!("9"), "9", topic, "error", reason)).await;
    }
    assert_eq!(lapwing.stats().joins, MAX as u64);
    gate.0.add_permits(1);
    joins_fall_to(&lapwing, MAX as u64 - 1).await;
    client.join("10", "room:2").await;
}

#[tokio::test]
async fn a_join_that_waits_goes_with_its_session() {
    let (lapwing, gate, mut client) = serve(Mount::new()).await;
    client.join("1", "room:1").await;
    client.send(json!(["2", "2", "room:1", "phx_join", {}])).await;
    client.expect_heartbeat().await;
    drop(client);
    gate.0.add_permits(2);
    joins_fall_to(&lapwing, 0).await;
    assert_eq!(lapwing.stats().topics, 0);
}

#[tokio::test]
async fn a_session_that_ends_needs_no_task_for_each_of_its_joins() {
    const JOINS: usize = 1_000;
    let (lapwing, gate, mut client) = serve(Mount::new().joins_max(JOINS)).await;
    for n in 0..JOINS {
        client.join("1", &format!("room:{n}")).await;
    }
    gate.0.add_permits(JOINS);
    drop(client);
    let mut tasks_max = 0;
    let ended = async {
        while lapwing.stats().joins > 0 {
            tasks_max = tasks_max.max(tokio::runtime::Handle::current().metrics().num_alive_tasks());
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("all of them end");
    assert!(tasks_max < 20, "{tasks_max} tasks");
}
