//! The same numbers for a recorder of the crate `metrics`, and for OpenTelemetry's own collector.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use lapwing::{
    Lapwing, Mount,
    metrics::{Kind, Metrics, catalog},
};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use opentelemetry::{KeyValue, metrics::MeterProvider as _};
use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, PeriodicReader, SdkMeterProvider,
    data::{AggregatedMetrics, MetricData},
};
use serde_json::json;

use super::until;

/// The numbers of a text for Prometheus, by names and labels; of one label, as the order of several is nobody's business.
fn scraped(metrics: &Metrics) -> BTreeMap<String, f64> {
    let text = metrics.to_prometheus();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
            let labels = labels.map(|label| label.replace('"', ""));
            (series_of(name, labels), value.parse().unwrap())
        })
        .collect()
}

fn series_of(name: &str, labels: impl Iterator<Item = String>) -> String {
    let mut labels: Vec<_> = labels.collect();
    labels.sort();
    format!("{name}{labels:?}")
}

/// A server in which something has happened. Its numbers stay as they are.
fn server() -> Lapwing {
    let lapwing = Lapwing::builder().mount("/socket", Mount::new()).build().unwrap();
    let _subscription = lapwing.subscribe("news");
    for n in 0..3 {
        lapwing.broadcast("news", "said", json!({"n": n})).unwrap();
    }
    lapwing
}

/// A recorder that keeps what it is told.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    values: BTreeMap<String, f64>,
    /// By name: what kind it is, its unit, and what it says.
    described: BTreeMap<String, (&'static str, Option<Unit>, String)>,
}

struct Cell(Kept, String);

impl CounterFn for Cell {
    fn increment(&self, _: u64) {
        panic!("what is counted already is not added up once more");
    }

    fn absolute(&self, value: u64) {
        self.set(value as f64);
    }
}

impl GaugeFn for Cell {
    fn increment(&self, _: f64) {
        panic!("a level is set");
    }

    fn decrement(&self, _: f64) {
        panic!("a level is set");
    }

    fn set(&self, value: f64) {
        self.0.0.lock().unwrap().values.insert(self.1.clone(), value);
    }
}

impl Kept {
    fn cell(&self, key: &Key) -> Arc<Cell> {
        let labels = key.labels().map(|label| format!("{}={}", label.key(), label.value()));
        Arc::new(Cell(self.clone(), series_of(key.name(), labels)))
    }

    fn describe(&self, kind: &'static str, name: &KeyName, unit: Option<Unit>, says: SharedString) {
        let described = (kind, unit, says.into_owned());
        self.0.lock().unwrap().described.insert(name.as_str().to_owned(), described);
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, says: SharedString) {
        self.describe("counter", &name, unit, says);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, says: SharedString) {
        self.describe("gauge", &name, unit, says);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        panic!("{name:?}: no values are told, and so no histogram");
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        panic!("{key:?}: no values are told, and so no histogram");
    }
}

#[test]
fn a_recorder_is_told_what_a_scraper_reads() {
    let (lapwing, kept) = (server(), Kept::default());
    metrics::with_local_recorder(&kept, || lapwing.metrics().record());
    let once = kept.0.lock().unwrap().values.clone();
    assert_eq!(once, scraped(&lapwing.metrics()));
    assert_eq!(once[r#"lapwing_broadcast_receivers_count["source=program"]"#], 3.0);
    // Counted twice it is not.
    metrics::with_local_recorder(&kept, || lapwing.metrics().record());
    let told = kept.0.lock().unwrap();
    assert_eq!(told.values, once);
    let bytes = &told.described["lapwing_held_bytes"];
    assert_eq!((bytes.0, bytes.1), ("gauge", Some(Unit::Bytes)));
    assert_eq!(bytes.2, catalog::HELD_BYTES.help);
    let sum = &told.described["lapwing_broadcast_duration_seconds_sum"];
    assert_eq!((sum.0, sum.1), ("gauge", Some(Unit::Seconds)));
    let named = |series: &str| series.split('[').next().unwrap().to_owned();
    assert!(once.keys().all(|series| told.described.contains_key(&named(series))), "all are described");
}

#[tokio::test]
async fn a_recorder_is_told_again_and_again_for_as_long_as_there_is_a_server() {
    let (lapwing, kept) = (server(), Kept::default());
    let _recorder = metrics::set_default_local_recorder(&kept);
    let recording = tokio::spawn(lapwing.record_metrics(Duration::ZERO));
    let receivers = || {
        let told = kept.0.lock().unwrap();
        told.values.get(r#"lapwing_broadcast_receivers_count["source=program"]"#).copied()
    };
    until("it is told once", || receivers() == Some(3.0)).await;
    lapwing.broadcast("news", "said", json!({})).unwrap();
    until("it is told again", || receivers() == Some(4.0)).await;
    drop(lapwing);
    tokio::time::timeout(crate::support::PATIENCE, recording).await.unwrap().unwrap();
}

/// What was collected last, by names and labels, with the units of the names.
fn collected(exporter: &InMemoryMetricExporter) -> (BTreeMap<String, f64>, BTreeMap<String, String>) {
    let (mut values, mut units) = (BTreeMap::new(), BTreeMap::new());
    let finished = exporter.get_finished_metrics().unwrap();
    for metric in
        finished.iter().flat_map(|resource| resource.scope_metrics()).flat_map(|scope| scope.metrics())
    {
        units.insert(metric.name().to_owned(), metric.unit().to_owned());
        let mut add = |labels: &mut dyn Iterator<Item = &KeyValue>, value: f64| {
            let labels = labels.map(|label| format!("{}={}", label.key, label.value));
            let series = series_of(metric.name(), labels.collect::<Vec<_>>().into_iter());
            assert!(values.insert(series, value).is_none(), "{} is there twice", metric.name());
        };
        match metric.data() {
            AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                assert!(sum.is_monotonic(), "{}", metric.name());
                sum.data_points().for_each(|point| add(&mut point.attributes(), point.value() as f64));
            }
            AggregatedMetrics::F64(MetricData::Sum(sum)) => {
                assert!(sum.is_monotonic(), "{}", metric.name());
                sum.data_points().for_each(|point| add(&mut point.attributes(), point.value()));
            }
            AggregatedMetrics::F64(MetricData::Gauge(gauge)) => {
                gauge.data_points().for_each(|point| add(&mut point.attributes(), point.value()));
            }
            other => panic!("{}: {other:?}", metric.name()),
        }
    }
    (values, units)
}

#[test]
fn opentelemetry_collects_what_a_scraper_reads() {
    let exporter = InMemoryMetricExporter::default();
    let reader = PeriodicReader::builder(exporter.clone()).with_interval(Duration::from_secs(3_600)).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    let lapwing = server();
    lapwing.observe_metrics(&provider.meter("lapwing"));
    provider.force_flush().unwrap();
    let (values, units) = collected(&exporter);
    assert_eq!(values, scraped(&lapwing.metrics()));
    assert_eq!(units["lapwing_held_bytes"], "By");
    assert_eq!(units["lapwing_broadcast_duration_seconds_sum"], "s");
    assert_eq!(units["lapwing_broadcast_duration_seconds_count"], "1");
    exporter.reset();
    lapwing.broadcast("news", "said", json!({})).unwrap();
    provider.force_flush().unwrap();
    // All of it is one snapshot.
    let (values, _) = collected(&exporter);
    assert_eq!(values, scraped(&lapwing.metrics()));
    for name in catalog::ALL.iter().filter(|metric| metric.kind == Kind::Histogram).map(|metric| metric.name)
    {
        let parts: Vec<_> = values.keys().filter(|series| series.starts_with(name)).collect();
        let has = |part: &str| parts.iter().any(|series| series.starts_with(&format!("{name}{part}[")));
        assert!(parts.is_empty() || (has("_bucket") && has("_sum") && has("_count")), "{parts:?}");
    }
    exporter.reset();
    drop(lapwing);
    provider.force_flush().unwrap();
    assert!(collected(&exporter).0.is_empty(), "a server that is gone says nothing");
}
