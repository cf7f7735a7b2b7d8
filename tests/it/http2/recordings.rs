//! The recorded exchanges with Phoenix once more, over streams of one connection of HTTP/2.
//!
//! Left out are those that are about what HTTP/2 does not have: the bytes of an upgrade, its key and its fields. The
//! gateway between the recorded clients and the server answers those itself.

use std::sync::LazyLock;

use futures_util::future::join_all;

use crate::{
    oracle::{
        deviations::{self, Deviation},
        recording::{self, Case, Op, Step},
        replay::{self, Failures},
    },
    support::{gateway, lateness::Lateness, testbed::Testbed},
};

/// Cases that took longer than this when they were recorded wait for timers, which are the same over HTTP/2.
const LONG_MS: u64 = 2_500;

static CASES: LazyLock<Vec<Case>> = LazyLock::new(recording::cases);
static DEVIATIONS: LazyLock<Vec<Deviation>> = LazyLock::new(deviations::all);

/// Whether a case is about the handshake of HTTP/1.1 itself.
fn is_about_upgrades(case: &Case) -> bool {
    let is_raw = |step: &Step| step.op == Op::RawSend && step.raw["text"].is_string();
    let is_told_of_a_field = |step: &Step| {
        step.raw["body"].as_str().is_some_and(|body| body.contains("header must contain 'upgrade'"))
    };
    case.steps.iter().any(|step| is_raw(step) || is_told_of_a_field(step))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn recorded_exchanges_with_phoenix_are_the_same_over_http2() {
    let cases: Vec<_> =
        CASES.iter().filter(|case| !is_about_upgrades(case) && case.duration_ms() <= LONG_MS).collect();
    assert!(cases.len() > 150, "most of the recordings make sense here: {}", cases.len());
    // The same topics are used in both versions, by other cases at the same time.
    let mut lanes: Vec<Vec<&'static Case>> = Vec::new();
    for case in cases {
        let lane =
            lanes.iter_mut().find(|lane| lane[0].vsn == case.vsn && lane[0].transport == case.transport);
        match lane {
            Some(lane) => lane.push(case),
            None => lanes.push(vec![case]),
        }
    }
    let lateness = Lateness::begin();
    let running = lanes.into_iter().map(|lane| tokio::spawn(run_lane(lane)));
    let outcomes = join_all(running).await;
    let differ: Failures =
        outcomes.into_iter().flat_map(|outcome| outcome.expect("the replay does not panic")).collect();
    let testbed = tokio::task::spawn_blocking(Testbed::start).await.expect("a testbed");
    let address = gateway::start(testbed.address()).await;
    let failures = replay::again(differ, &DEVIATIONS, address, &lateness).await;
    assert!(failures.is_empty(), "{} recorded cases differ:\n\n{}", failures.len(), failures.join("\n\n"));
}

/// Cases on one testbed and one connection, one after another.
async fn run_lane(lane: Vec<&'static Case>) -> Failures {
    let testbed = tokio::task::spawn_blocking(Testbed::start).await.expect("a testbed");
    let before = testbed.stat("accepted").await;
    let address = gateway::start(testbed.address()).await;
    let mut failures = Failures::new();
    for case in lane {
        if let Err(failure) = replay::run(case, &DEVIATIONS, address).await {
            failures.push((case, failure));
        }
    }
    assert_eq!(testbed.stat("accepted").await, before + 2, "one connection, and one for this question");
    failures
}
