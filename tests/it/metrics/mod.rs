//! The numbers of a server: each is moved by what causes it, by the right amount, and nothing else moves.

mod channels;
mod cluster;
mod recorders;
mod seldom;
mod sessions;
mod status;

use std::collections::BTreeMap;

use lapwing::{
    Lapwing,
    metrics::{Metrics, Value},
};

use crate::support::PATIENCE;

/// What has happened so far: every counter, and the number of values in every histogram, by name and labels.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counts(BTreeMap<String, u64>);

impl Counts {
    fn of(lapwing: &Lapwing) -> Self {
        let mut counts = BTreeMap::new();
        for family in lapwing.metrics().families() {
            for sample in &family.samples {
                let count = match &sample.value {
                    Value::Count(count) => *count,
                    Value::Histogram(read) => read.count(),
                    _ => continue,
                };
                let name = family.description.name.trim_start_matches("lapwing_");
                let key = [&[name.to_owned()], &sample.labels[..]].concat().join(" ");
                assert!(counts.insert(key.clone(), count).is_none(), "{key} is there twice");
            }
        }
        Self(counts)
    }

    /// What has moved since, and by how much. Bytes are left to their own test.
    fn moved(&self, lapwing: &Lapwing) -> Vec<String> {
        let now = Self::of(lapwing).0;
        let moved = now.iter().filter(|(key, _)| !key.starts_with("frame_bytes")).filter_map(|(key, now)| {
            let by = now - self.0.get(key).copied().unwrap_or(0);
            (by > 0).then(|| format!("{key} +{by}"))
        });
        moved.collect()
    }

    /// Waits until exactly this has moved.
    #[track_caller]
    fn expect(&self, lapwing: &Lapwing, wanted: &[&str]) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let mut wanted: Vec<String> = wanted.iter().map(|&line| line.to_owned()).collect();
        wanted.sort();
        let sorted = || {
            let mut moved = self.moved(lapwing);
            moved.sort();
            moved
        };
        async move {
            let waiting = async {
                while sorted() != wanted {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            };
            if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
                panic!("{caller}: wanted {wanted:#?}, but {:#?} moved", sorted());
            }
        }
    }
}

/// A gauge.
fn gauge(metrics: &Metrics, name: &str, labels: &[&str]) -> f64 {
    match metrics.value(name, labels) {
        Some(Value::Gauge(value)) => *value,
        other => panic!("{name} {labels:?} is {other:?}"),
    }
}

fn count(metrics: &Metrics, name: &str, labels: &[&str]) -> u64 {
    match metrics.value(name, labels) {
        Some(Value::Count(count)) => *count,
        other => panic!("{name} {labels:?} is {other:?}"),
    }
}

/// Waits until something is so.
#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let waiting = async {
            while !is_so() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{caller}: never: {what}");
    }
}
