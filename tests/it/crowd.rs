//! A crowd on one topic that tells states, a tenth of it with eight kilobytes a second, and one of it away all the time.
//!
//! `PRESSURE=full` makes the crowd a thousand for a minute, or for as many `SECONDS`, compares it with one that has no slow members, and measures: see
//! scripts/pressure.

use std::{
    collections::HashMap,
    net::SocketAddr,
    num::NonZeroU64,
    time::{Duration, Instant},
};

use lapwing::{
    Broadcast, Channel, Failure, Joining, Lapwing, Mount, OutboxLimits, Payload, ResumeOptions, SlowPolicy,
    Topic,
};
use lapwing_faults::{Fault, Proxy};
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::{
    PATIENCE,
    channels::ok,
    lab,
    sessions::{Line, Session, Transport},
};

const BYTES_PER_SECOND: u64 = 8 * 1024;
const STATES_PER_SECOND: u64 = 20;
const STATE_BYTES: usize = 1_000;
/// Things whose state is told in turn.
const KEYS: u64 = 4;

/// How large it is, and for how long states are told.
struct Crowd {
    members: usize,
    slow: usize,
    seconds: u64,
}

impl Crowd {
    const SHORT: Self = Self { members: 60, slow: 6, seconds: 4 };

    fn full() -> Self {
        let seconds = std::env::var("SECONDS").ok().and_then(|seconds| seconds.parse().ok());
        Self { members: 1_000, slow: 100, seconds: seconds.unwrap_or(60) }
    }

    fn states(&self) -> u64 {
        self.seconds * STATES_PER_SECOND
    }
}

struct Map;

impl Channel for Map {
    type State = ();

    async fn join(_: &Topic, _: Payload, _: &mut Joining<Self>) -> Result<Self, Failure> {
        Ok(Self)
    }
}

#[derive(Deserialize)]
struct State {
    key: u64,
    number: u64,
    /// When it was told, in microseconds from the beginning.
    at: u64,
}

/// What a member got: how old each state was.
#[derive(Debug, Default)]
struct Got {
    ages: Vec<Duration>,
    lasted: Duration,
}

impl Got {
    fn oldest(&self) -> Duration {
        self.ages.iter().max().copied().unwrap_or_default()
    }
}

/// Takes states until the last of each thing, and answers what it is asked.
async fn follow(mut session: Session, begun: Instant, states: u64) -> (Got, Session) {
    let mut got = Got::default();
    let mut last = HashMap::new();
    while last.len() < KEYS as usize || last.values().any(|number| *number + KEYS < states) {
        match session.next_but_busy().await {
            Line::Text(text) => {
                let (_, _, _, _, state): (Option<&str>, Option<&str>, &str, &str, State) =
                    serde_json::from_str(&text).unwrap();
                let before = last.insert(state.key, state.number);
                assert!(before < Some(state.number), "{} came behind {before:?}", state.number);
                got.ages.push(begun.elapsed().saturating_sub(Duration::from_micros(state.at)));
            }
            Line::Control(line) if line.starts_with("!ping ") => {
                let received = session.received;
                session.say(&format!("!ack {received}")).await;
            }
            line => assert!(matches!(line, Line::Control(_)), "{line:?}"),
        }
    }
    got.lasted = begun.elapsed();
    (got, session)
}

async fn member(address: SocketAddr) -> Session {
    let mut session = Session::open(address, "/socket", Transport::Websocket).await;
    session.send_json(json!(["1", "1", "map:1", "phx_join", {}])).await;
    session.expect_json(ok("1", "1", "map:1", json!({}))).await;
    session
}

/// What a run has shown.
struct Seen {
    slow: Vec<Got>,
    others: Vec<Got>,
    /// What the one got that was away all the time.
    away: Got,
    closed: u64,
    held_max: usize,
}

impl Seen {
    fn p99_of_others(&self) -> Duration {
        let mut ages: Vec<_> = self.others.iter().flat_map(|got| &got.ages).copied().collect();
        ages.sort_unstable();
        ages[ages.len() * 99 / 100]
    }
}

/// Tells the states, and returns the most that was held for clients meanwhile.
async fn tell(lapwing: &Lapwing, begun: Instant, states: u64) -> usize {
    let mut pace = tokio::time::interval(Duration::from_millis(1_000 / STATES_PER_SECOND));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut held_max = 0;
    for number in 0..states {
        pace.tick().await;
        let (key, at) = (number % KEYS, begun.elapsed().as_micros() as u64);
        let state = json!({"key": key, "number": number, "at": at, "text": "x".repeat(STATE_BYTES)});
        let broadcast = Broadcast::new("map:1", "moved", state).slow(SlowPolicy::latest_of(key.to_string()));
        lapwing.publish(broadcast).unwrap();
        held_max = held_max.max(lapwing.stats().bytes_held);
    }
    held_max
}

/// What is under way to a client is bounded, by what it acknowledges, and what waits behind that is one state of each thing.
async fn run(crowd: &Crowd, slow: usize) -> Seen {
    let limits = OutboxLimits::new().unacknowledged_bytes_max(2 * 1024);
    // Who is away may be so for all of it.
    let resume = ResumeOptions::default().window(Duration::from_secs(600));
    let mount = Mount::new().channel::<Map>("map:*", ()).outbox(limits).resume(resume);
    let lapwing = Lapwing::builder().mount("/socket", mount).build().unwrap();
    let address = lab::serve(&lapwing).await;
    let proxy = Proxy::start(address).await.unwrap();
    proxy.set([Fault::Trickle(NonZeroU64::new(BYTES_PER_SECOND).unwrap())]);
    let mut sessions = Vec::new();
    for number in 0..crowd.members {
        sessions.push(member(if number < slow { proxy.addr() } else { address }).await);
    }
    let mut away = member(address).await;
    // It has acknowledged something: a session that was only opened is not kept for long.
    away.say("!ack 1").await;
    away.settle().await;
    away.cut();
    let detached = async {
        while lapwing.stats().connections > crowd.members {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, detached).await.expect("nothing carries it");

    let (begun, states) = (Instant::now(), crowd.states());
    let members: Vec<JoinHandle<_>> =
        sessions.into_iter().map(|session| tokio::spawn(follow(session, begun, states))).collect();
    let held_max = tell(&lapwing, begun, states).await;
    away.resume(Transport::Websocket).await;
    let (away, _session) = follow(away, begun, states).await;
    let (mut got, mut kept) = (Vec::new(), Vec::new());
    for member in members {
        let member = tokio::time::timeout(4 * PATIENCE, member).await.expect("it gets the last states");
        let (of_member, session) = member.unwrap();
        got.push(of_member);
        kept.push(session);
    }
    let others = got.split_off(slow);
    Seen { slow: got, others, away, closed: lapwing.stats().slow.closed, held_max }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenth_of_a_crowd_is_slow_and_gets_the_newest_states_and_nobody_is_closed() {
    let is_full = std::env::var("PRESSURE").is_ok_and(|pressure| pressure == "full");
    let crowd = if is_full { Crowd::full() } else { Crowd::SHORT };
    let seen = run(&crowd, crowd.slow).await;
    let oldest = |got: &[Got]| got.iter().map(Got::oldest).max().unwrap_or_default();
    println!(
        "{} of {} with {BYTES_PER_SECOND} B/s, {} states in {} s: the oldest state of a slow one {:?}, of others {:?}; \
         others' p99 {:?}; {} B held at most; {} states for the one that was away",
        crowd.slow,
        crowd.members,
        crowd.states(),
        crowd.seconds,
        oldest(&seen.slow),
        oldest(&seen.others),
        seen.p99_of_others(),
        seen.held_max,
        seen.away.ages.len(),
    );
    assert_eq!(seen.closed, 0);
    assert_eq!(seen.away.ages.len() as u64, KEYS, "one state of each thing");
    for slow in &seen.slow {
        // What passes in that time, and what was under way or waited at its end.
        let most = slow.lasted.as_secs() * BYTES_PER_SECOND / STATE_BYTES as u64 + 4 * KEYS;
        assert!(slow.ages.len() as u64 <= most, "{} states in {:?}", slow.ages.len(), slow.lasted);
    }
    assert!(seen.held_max < 1_000_000 + 16_384 * crowd.slow, "{} bytes were held", seen.held_max);
    if is_full {
        let alone = run(&crowd, 0).await;
        let (with, without) = (seen.p99_of_others(), alone.p99_of_others());
        println!(
            "the others' p99 without slow ones {without:?}: {:.3}",
            with.as_secs_f64() / without.as_secs_f64()
        );
        assert!(oldest(&seen.slow) <= Duration::from_secs(1));
        assert!(with <= without.mul_f64(1.1), "{with:?} with slow ones, {without:?} without");
    }
}
