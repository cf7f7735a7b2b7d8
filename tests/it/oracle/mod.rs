//! Replays every exchange that was recorded from a real Phoenix server against the testbed.
//!
//! Values are compared, not bytes; what is a server's own (tokens, presence refs, times) is compared by its structure.
//! On one connection the order is exact; between connections it is free. Where we are better than Phoenix on purpose,
//! `tests/data/deviations.json` says so, step by step, with the reason.

mod compare;
pub(super) mod deviations;
mod judge;
pub(super) mod recording;
pub(super) mod replay;

use std::{collections::BTreeMap, sync::LazyLock};

use futures_util::future::join_all;

use crate::support::{lateness::Lateness, testbed::Testbed};
use deviations::Deviation;
use recording::Case;
use replay::Failures;

/// Cases that waited longer than this when they were recorded run beside each other.
const SHORT_MS_MAX: u64 = 900;

/// How many testbeds the long cases of one version are spread over.
const LONG_LANES: usize = 6;

/// Static, so that lanes are tasks of their own: a case must not wait while another decodes eight megabytes.
static CASES: LazyLock<Vec<Case>> = LazyLock::new(recording::cases);
static DEVIATIONS: LazyLock<Vec<Deviation>> = LazyLock::new(deviations::all);

// More threads than cores: what decodes megabytes must not hold up what is timed.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn every_recorded_exchange_with_phoenix_is_the_same_with_us() {
    assert_eq!(CASES.len(), 207, "the recordings are complete");
    let mut failures: Vec<String> =
        DEVIATIONS.iter().filter_map(|deviation| deviation.check_against(&CASES).err()).collect();
    let lanes = lanes(&CASES);
    let lateness = Lateness::begin();
    // All of them run before the first case does: starting a process would disturb what others time.
    let testbeds = join_all(lanes.iter().map(|_| tokio::task::spawn_blocking(Testbed::start))).await;
    let running = lanes.into_values().zip(testbeds);
    let running = running.map(|(lane, testbed)| tokio::spawn(run_lane(lane, testbed.expect("a testbed"))));
    let mut differ = Failures::new();
    for outcome in join_all(running).await {
        differ.extend(outcome.expect("the replay does not panic"));
    }
    let testbed = tokio::task::spawn_blocking(Testbed::start).await.expect("a testbed");
    failures.extend(replay::again(differ, &DEVIATIONS, testbed.address(), &lateness).await);
    assert!(
        failures.is_empty(),
        "{} of {} recorded cases differ:\n\n{}",
        failures.len(),
        CASES.len(),
        failures.join("\n\n")
    );
}

/// Cases on one testbed, one after another. Recorded topics are fixed, so the same case in two versions must not meet;
/// different cases of one version share no presence topic.
async fn run_lane(lane: Vec<&'static Case>, testbed: Testbed) -> Failures {
    let mut failures = Failures::new();
    for case in lane {
        if let Err(failure) = replay::run(case, &DEVIATIONS, testbed.address()).await {
            failures.push((case, failure));
        }
    }
    failures
}

fn lanes(cases: &[Case]) -> BTreeMap<(&str, &str, usize), Vec<&Case>> {
    let mut lanes: BTreeMap<_, Vec<&Case>> = BTreeMap::new();
    let mut long: Vec<&Case> = Vec::new();
    for case in cases {
        match case.duration_ms() <= SHORT_MS_MAX {
            true => lanes.entry((case.transport.as_str(), case.vsn.as_str(), 0)).or_default().push(case),
            false => long.push(case),
        }
    }
    long.sort_by_key(|case| std::cmp::Reverse(case.duration_ms()));
    for (index, case) in long.into_iter().enumerate() {
        lanes.entry(("long", case.vsn.as_str(), index % LONG_LANES)).or_default().push(case);
    }
    lanes
}
