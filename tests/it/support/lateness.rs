//! Tests that judge by the clock, on a machine that has other things to do as well.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;

/// By how much the times of a test are longer than they are written.
#[derive(Clone, Copy)]
pub(crate) struct Pace(u32);

impl Pace {
    /// So many milliseconds at this pace.
    pub(crate) fn ms(self, ms: u64) -> Duration {
        Duration::from_millis(ms) * self.0
    }

    /// The same as a number.
    pub(crate) fn count_ms(self, ms: u64) -> u64 {
        ms * u64::from(self.0)
    }

    pub(crate) async fn pause(self, ms: u64) {
        tokio::time::sleep(self.ms(ms)).await;
    }
}

const PACES: [u32; 4] = [1, 2, 4, 8];

/// What a test leaves for answers between two of its times, at least.
const MARGIN: Duration = Duration::from_millis(100);

/// Runs a test that judges by the clock. If it fails, and this machine was late by a part of what the test leaves for answers,
/// it is run again with all of its times doubled: a machine that is late is no fault. On one that is on time, it has failed.
pub(crate) async fn on_time<F: Future<Output = ()>>(test: impl Fn(Pace) -> F) {
    on_time_beside(Lateness::worst, test).await;
}

async fn on_time_beside<F: Future<Output = ()>>(
    worst: impl Fn(&Lateness) -> Duration,
    test: impl Fn(Pace) -> F,
) {
    for pace in PACES {
        let lateness = Lateness::begin();
        let Err(panic) = AssertUnwindSafe(test(Pace(pace))).catch_unwind().await else { return };
        let worst = worst(&lateness);
        if worst < MARGIN * pace / 4 || pace == PACES[PACES.len() - 1] {
            resume_unwind(panic);
        }
        eprintln!("a thread that wanted to sleep for {TICK:?} slept for {worst:?} more: again, slower");
    }
}

const TICK: Duration = Duration::from_millis(5);

/// A thread that sleeps for a tick at a time, and sees how much longer that takes.
pub(crate) struct Lateness {
    worst_us: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

impl Lateness {
    pub(crate) fn begin() -> Self {
        let lateness = Self { worst_us: Arc::default(), is_over: Arc::default() };
        let (worst_us, is_over) = (lateness.worst_us.clone(), lateness.is_over.clone());
        std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                std::thread::sleep(TICK);
                let late = asked.elapsed().saturating_sub(TICK);
                worst_us.fetch_max(u64::try_from(late.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        lateness
    }

    pub(crate) fn worst(&self) -> Duration {
        Duration::from_micros(self.worst_us.load(Ordering::Relaxed))
    }
}

impl Drop for Lateness {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// How often a test runs that fails at paces below `right`, on a machine that is so late; and whether it passes in the end.
async fn runs(right: u32, late: Duration) -> (u64, bool) {
    let runs = AtomicU64::new(0);
    let test = on_time_beside(
        |_| late,
        |pace| {
            runs.fetch_add(1, Ordering::Relaxed);
            async move { assert!(pace.0 >= right, "wrong") }
        },
    );
    let passed = AssertUnwindSafe(test).catch_unwind().await.is_ok();
    (runs.load(Ordering::Relaxed), passed)
}

#[tokio::test]
async fn what_fails_on_a_machine_that_is_late_runs_again_and_slower() {
    let late = MARGIN * 3 / 4;
    assert_eq!(runs(1, Duration::ZERO).await, (1, true));
    assert_eq!(runs(4, Duration::ZERO).await, (1, false), "on time");
    assert_eq!(runs(4, late).await, (3, true));
    assert_eq!(runs(8, late).await, (3, false), "not late for so slow a pace");
    assert_eq!(runs(u32::MAX, MARGIN * 8).await, (4, false), "wrong at every pace");
}
