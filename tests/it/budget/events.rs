//! Events and joins that their channels take their time with: what they hold is counted, wherever it waits.

use std::{net::SocketAddr, sync::Arc};

use lapwing::{
    Channel, Context, Failure, Handled, Joining, Lapwing, LongpollOptions, Mount, Payload, ResumeOptions,
    Topic, WebsocketOptions, noreply, reply,
};
use serde_json::json;
use tokio::sync::Semaphore;

use super::{close_code, until};
use crate::support::{
    channels::{Client, Vsn, ok},
    lab,
    websocket::Frame,
};

const BUDGET: usize = 4_000_000;

/// Waits with each event but a ping, and in the join of `slow:*`.
struct Slow;

impl Channel for Slow {
    /// What callbacks wait for.
    type State = Semaphore;

    async fn join(topic: &Topic, params: Payload, joining: &mut Joining<Self>) -> Result<Self, Failure> {
        if topic.as_str().starts_with("slow:") {
            let _passed = joining.state().acquire().await;
        }
        drop(params);
        Ok(Self)
    }

    async fn handle_in(&mut self, event: &str, payload: Payload, cx: &Context<Self>) -> Handled {
        if event == "ping" {
            return Ok(reply("ok", payload));
        }
        let _passed = cx.state().acquire().await;
        drop(payload);
        Ok(noreply())
    }
}

/// A mount with so small a budget that its clients may send no large messages.
fn mount(budget: usize, gate: &Arc<Semaphore>) -> Mount {
    let message = budget / 2;
    Mount::new()
        .channel::<Slow>("*", gate.clone())
        .budget(budget)
        .websocket(WebsocketOptions::default().message_bytes_max(message))
        .longpoll(LongpollOptions::default().body_bytes_max(message))
        .resume(ResumeOptions::default().body_bytes_max(message))
}

async fn serve() -> (Lapwing, SocketAddr, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let mount = mount(BUDGET, &gate);
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    (lapwing, address, gate)
}

async fn assert_is_served(client: &mut Client) {
    client.send(json!(["1", "2", "room:honest", "ping", {}])).await;
    client.expect(ok("1", "2", "room:honest", json!({}))).await;
}

/// Sends messages until the connection is closed, and asks on the way whether others are still served.
async fn assert_is_bounded(messages: impl Fn(usize) -> String) {
    let (lapwing, address, gate) = serve().await;
    let mut honest = Client::joined(address, Vsn::V2, "room:honest").await;
    let mut greedy = Client::connect(address, Vsn::V2).await;
    for n in 0..100 {
        // It may be closed already.
        if greedy.socket.send_bytes(&Frame::text(messages(n)).encode()).await.is_err() {
            break;
        }
        assert!(lapwing.stats().bytes_held <= BUDGET, "{} bytes are held", lapwing.stats().bytes_held);
        assert_is_served(&mut honest).await;
    }
    assert_eq!(close_code(&mut greedy.socket).await, Some(1013));
    // What the callbacks still have is still held.
    assert!(lapwing.stats().bytes_held >= BUDGET / 2, "{} bytes are held", lapwing.stats().bytes_held);
    gate.close();
    until("all is given back", || lapwing.stats().bytes_held == 0).await;
    assert_is_served(&mut honest).await;
}

#[tokio::test]
async fn events_that_channels_wait_with_are_held_up_to_the_budget() {
    let large = "x".repeat(200_000);
    // Each topic is joined, and then has an event.
    assert_is_bounded(|n| match n % 2 {
        0 => json!(["1", "1", format!("room:{n}"), "phx_join", {}]).to_string(),
        _ => json!(["1", "2", format!("room:{}", n - 1), "wait", large]).to_string(),
    })
    .await;
}

#[tokio::test]
async fn events_that_wait_behind_others_are_held_up_to_the_budget() {
    let large = "x".repeat(100_000);
    // Nine of them fit into a mailbox, behind the one that its channel waits with.
    assert_is_bounded(|n| match n % 10 {
        0 => json!(["1", "1", format!("room:{n}"), "phx_join", {}]).to_string(),
        _ => json!(["1", "2", format!("room:{}", n / 10 * 10), "wait", large]).to_string(),
    })
    .await;
}

#[tokio::test]
async fn params_of_joins_that_take_their_time_are_held_up_to_the_budget() {
    let large = "x".repeat(200_000);
    assert_is_bounded(|n| json!(["1", "1", format!("slow:{n}"), "phx_join", large]).to_string()).await;
}

#[tokio::test]
async fn what_was_handled_is_given_back() {
    let (lapwing, address, gate) = serve().await;
    gate.add_permits(1);
    let mut client = Client::joined(address, Vsn::V2, "room:honest").await;
    let large = "x".repeat(BUDGET / 3);
    for _ in 0..10 {
        client.send(json!(["1", "3", "room:honest", "wait", large])).await;
        client.send(json!(["1", "3", "room:gone", "wait", large])).await;
        client.next_message().await;
        client.send(json!(["1", "1", "room:honest", "phx_join", large])).await;
        client.expect(ok("1", "1", "room:honest", json!({}))).await;
        client.next_message().await;
        assert_is_served(&mut client).await;
    }
    until("all is given back", || lapwing.stats().bytes_held == 0).await;
}

#[tokio::test]
async fn joins_are_held_up_to_the_budget_those_that_still_end_included() {
    const BUDGET: usize = 200_000;
    let gate = Arc::new(Semaphore::new(0));
    let mount = mount(BUDGET, &gate).joins_max(usize::MAX);
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    let mut honest = Client::joined(address, Vsn::V2, "room:honest").await;
    let mut greedy = Client::connect(address, Vsn::V2).await;
    for n in 0..1_000 {
        let topic = format!("room:{n}");
        // Each handles an event, so that the join is not over when its client is gone.
        for message in [json!(["1", "1", topic, "phx_join", {}]), json!(["1", "2", topic, "wait", {}])] {
            let _ = greedy.socket.send_bytes(&Frame::text(message.to_string()).encode()).await;
        }
        let held = lapwing.stats().bytes_held;
        // Replies are taken beyond the bound until the sweep has closed whom they are for.
        assert!(held <= BUDGET + 10_000, "{held} bytes are held for {} joins", lapwing.stats().joins);
    }
    assert_eq!(close_code(&mut greedy.socket).await, Some(1013));
    let joins = lapwing.stats().joins;
    assert!((50..250).contains(&joins), "{joins} joins");
    assert_is_served(&mut honest).await;
    gate.close();
    until("all is given back", || lapwing.stats().bytes_held == 0).await;
}
