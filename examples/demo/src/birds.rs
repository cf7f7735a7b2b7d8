//! Birds that fly all the time: states of which the newest is enough, for a page that reads and for a phone that cannot keep up.

use std::{f64::consts::TAU, time::Duration};

use lapwing::{
    Broadcast, Channel, CheckOrigin, Failure, Joining, Lapwing, Mount, OutboxLimits, Payload, Topic,
};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

const TOPIC: &str = "birds";
const BIRDS: [&str; 4] = ["one", "two", "three", "four"];
const STATES_PER_SECOND: u64 = 20;

/// A state is as large as that of a thing with many facts.
const REST_BYTES: usize = 900;

/// States in which a bird flies round once.
const STATES_OF_A_ROUND: f64 = 30.0;

/// One who sees them.
pub(crate) struct Birds;

impl Channel for Birds {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }
}

/// Where they are seen: what is under way to a client is a quarter of a second of a slow one, so that its states are not older.
pub(crate) fn mount(origins: CheckOrigin) -> Mount {
    let limits = OutboxLimits::new().unacknowledged_bytes_max(2 * 1024);
    Mount::new().check_origin(origins).channel::<Birds>(TOPIC, ()).outbox(limits)
}

/// Lets them fly while somebody sees them. Each node of a cluster has birds of its own.
pub(crate) async fn fly(lapwing: Lapwing, node: Option<String>) {
    let mut pace = interval(Duration::from_millis(1_000 / STATES_PER_SECOND));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 1_u64.. {
        pace.tick().await;
        if lapwing.members(TOPIC).next().is_none() {
            continue;
        }
        let index = number as usize % BIRDS.len();
        let bird = format!("{} {}", BIRDS[index], node.as_deref().unwrap_or_default());
        let (round, height) = (number as f64 / STATES_OF_A_ROUND * TAU / BIRDS.len() as f64, index as f64);
        let state = json!({
            "bird": bird,
            "number": number,
            "x": 0.5 + 0.42 * (round + height).cos(),
            "y": 0.2 + 0.2 * height + 0.1 * (2.0 * round).sin(),
            "rest": "~".repeat(REST_BYTES),
        });
        // A bird that nobody is told of now is told of in a twentieth of a second.
        let _ = lapwing.publish(Broadcast::new(TOPIC, "flew", state).latest(bird));
    }
}
