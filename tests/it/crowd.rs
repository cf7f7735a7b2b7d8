//! A crowd on one topic that tells a state, a tenth of it with eight kilobytes a second.

use std::{
    num::NonZeroU64,
    time::{Duration, Instant},
};

use lapwing::{Channel, Failure, Joining, Lapwing, Mount, OutboxLimits, Payload, SlowPolicy, Topic};
use lapwing_faults::{Fault, Proxy};
use serde::Deserialize;
use serde_json::json;

use crate::support::{
    PATIENCE,
    channels::ok,
    lab,
    sessions::{Line, Session, Wire},
};

const MEMBERS: usize = 60;
const SLOW: usize = 6;
const BYTES_PER_SECOND: u64 = 8 * 1024;
const STATES: u64 = 80;
const STATES_PER_SECOND: u64 = 20;

struct Map;

impl Channel for Map {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }
}

#[derive(Deserialize)]
struct State {
    number: u64,
    /// When it was told, in milliseconds from the beginning.
    at: u64,
}

/// What a member got.
#[derive(Debug)]
struct Got {
    states: usize,
    oldest: Duration,
}

/// Takes states until the last, and answers what it is asked.
async fn follow(mut session: Session, begun: Instant) -> Got {
    let mut got = Got { states: 0, oldest: Duration::ZERO };
    let mut last = None;
    loop {
        match session.next_but_busy().await {
            Line::Text(text) => {
                let (_, _, _, _, state): (Option<&str>, Option<&str>, &str, &str, State) =
                    serde_json::from_str(&text).unwrap();
                assert!(last < Some(state.number), "{} came behind {last:?}", state.number);
                last = Some(state.number);
                got.states += 1;
                got.oldest = got.oldest.max(begun.elapsed().saturating_sub(Duration::from_millis(state.at)));
                if state.number == STATES - 1 {
                    return got;
                }
            }
            Line::Control(line) if line.starts_with("!ping ") => {
                let received = session.received;
                session.say(&format!("!ack {received}")).await;
            }
            line => assert!(matches!(line, Line::Control(_)), "{line:?}"),
        }
    }
}

/// What is under way to a client is bounded, by what it acknowledges, and what waits behind that is one state.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenth_of_a_crowd_is_slow_and_gets_the_newest_state_and_nobody_is_closed() {
    let limits = OutboxLimits::new().unacknowledged_bytes_max(2 * 1024);
    let mount = Mount::new().channel::<Map>("map:*", ()).outbox(limits).slow("map:*", SlowPolicy::latest());
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    let proxy = Proxy::start(address).await.unwrap();
    proxy.set([Fault::Trickle(NonZeroU64::new(BYTES_PER_SECOND).unwrap())]);

    let begun = Instant::now();
    let mut members = Vec::new();
    for number in 0..MEMBERS {
        let address = if number < SLOW { proxy.addr() } else { address };
        let mut session = Session::open(address, "/socket", Wire::Websocket).await;
        session.send_json(json!(["1", "1", "map:1", "phx_join", {}])).await;
        session.expect_json(ok("1", "1", "map:1", json!({}))).await;
        members.push(tokio::spawn(follow(session, begun)));
    }
    for number in 0..STATES {
        let at = u64::try_from(begun.elapsed().as_millis()).unwrap();
        let state = json!({"number": number, "at": at, "text": "x".repeat(1_000)});
        lapwing.broadcast("map:1", "moved", state).unwrap();
        tokio::time::sleep(Duration::from_millis(1_000 / STATES_PER_SECOND)).await;
    }
    let mut got = Vec::new();
    for member in members {
        got.push(tokio::time::timeout(4 * PATIENCE, member).await.expect("it gets the last state").unwrap());
    }
    let oldest = |got: &[Got]| got.iter().map(|got| got.oldest).max();
    println!(
        "the oldest state of a slow one {:?}, of others {:?}",
        oldest(&got[..SLOW]),
        oldest(&got[SLOW..])
    );
    for slow in &got[..SLOW] {
        assert!(slow.states < 60, "it was told all of the past: {slow:?}");
    }
    let stats = lapwing.stats().slow;
    assert!(stats.closed == 0 && stats.replaced > 0, "{stats:?}");
}
