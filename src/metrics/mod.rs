//! Numbers about a server as values: families of samples, and the texts that scrapers read. Pure.
//!
//! ```
//! use lapwing::{Lapwing, Mount};
//!
//! let lapwing = Lapwing::builder().mount("/socket", Mount::new()).build()?;
//! let metrics = lapwing.metrics();
//! let sessions = metrics.families().iter().find(|family| family.description.name == "lapwing_sessions");
//! assert_eq!(sessions.unwrap().samples.len(), 4, "one for each transport, and one for none");
//! assert!(metrics.to_prometheus().contains("lapwing_joins 0\n"));
//! # Ok::<(), lapwing::BuildError>(())
//! ```

pub mod catalog;
#[cfg(feature = "metrics")]
mod facade;
pub(crate) mod points;
mod text;

pub use lapwing_transports::tally::Distribution;

/// The kinds of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// It only grows, from the start of the server on.
    Counter,
    /// What there is now.
    Gauge,
    /// How often something was how large.
    Histogram,
}

/// The units of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// Things.
    None,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// The description of a metric. All that there are stand in the [`catalog`], and in `docs/metrics.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// Its name, as scrapers read it: that of a counter ends in `_total`.
    pub name: &'static str,
    /// The kind of its numbers.
    pub kind: Kind,
    /// The unit of its numbers.
    pub unit: Unit,
    /// One sentence.
    pub help: &'static str,
    /// The names of its labels, in order.
    pub labels: &'static [&'static str],
}

/// All numbers of one metric.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Family {
    /// The metric.
    pub description: &'static Description,
    /// The numbers, one for each combination of labels.
    pub samples: Vec<Sample>,
}

/// One number.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// The values of the labels, in the order of [`Description::labels`]. Their texts are the program's: paths of mounts, patterns of
    /// routes, and words that this crate knows; nothing that a client says.
    pub labels: Vec<String>,
    /// The number.
    pub value: Value,
}

/// A number.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Of a counter.
    Count(u64),
    /// Of a gauge.
    Gauge(f64),
    /// Of a histogram.
    Histogram(Distribution),
}

/// All numbers of a server at one moment, as [`Lapwing::metrics`](crate::Lapwing::metrics) takes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    families: Vec<Family>,
}

impl Metrics {
    /// The metrics, in the order of the [`catalog`]; those that have no number now have no samples.
    #[must_use]
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// The number with these labels, in the order of [`Description::labels`].
    #[must_use]
    pub fn value(&self, name: &str, labels: &[&str]) -> Option<&Value> {
        let family = self.families.iter().find(|family| family.description.name == name)?;
        let sample = family.samples.iter().find(|sample| sample.labels.iter().eq(labels.iter()))?;
        Some(&sample.value)
    }

    /// A text for Prometheus, version 0.0.4, with content type [`PROMETHEUS`](Self::PROMETHEUS).
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        text::write(self, text::Format::Prometheus)
    }

    /// The same as OpenMetrics 1.0, with content type [`OPENMETRICS`](Self::OPENMETRICS).
    #[must_use]
    pub fn to_openmetrics(&self) -> String {
        text::write(self, text::Format::OpenMetrics)
    }

    /// The content type of [`to_prometheus`](Self::to_prometheus).
    pub const PROMETHEUS: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// The content type of [`to_openmetrics`](Self::to_openmetrics).
    pub const OPENMETRICS: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// All metrics, without a number.
    pub(crate) fn new() -> Self {
        let family = |&description| Family { description, samples: Vec::new() };
        Self { families: catalog::ALL.iter().map(family).collect() }
    }

    pub(crate) fn count(&mut self, of: &'static Description, labels: &[&str], count: u64) {
        self.add(of, labels, Value::Count(count));
    }

    pub(crate) fn gauge(&mut self, of: &'static Description, labels: &[&str], value: f64) {
        self.add(of, labels, Value::Gauge(value));
    }

    pub(crate) fn histogram(&mut self, of: &'static Description, labels: &[&str], read: Distribution) {
        self.add(of, labels, Value::Histogram(read));
    }

    fn add(&mut self, of: &'static Description, labels: &[&str], value: Value) {
        debug_assert_eq!(labels.len(), of.labels.len(), "{}", of.name);
        let family = self.families.iter_mut().find(|family| family.description.name == of.name);
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        family.expect("a metric is in the catalog").samples.push(Sample { labels, value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_by_its_name_and_all_of_its_labels() {
        let mut metrics = Metrics::new();
        metrics.gauge(&catalog::SESSIONS, &["/a", "sse"], 2.0);
        metrics.gauge(&catalog::SESSIONS, &["/b", "sse"], 3.0);
        metrics.count(&catalog::FRAMES, &["/a", "sse", "transmit"], 7);
        assert_eq!(metrics.value("lapwing_sessions", &["/b", "sse"]), Some(&Value::Gauge(3.0)));
        assert_eq!(metrics.value("lapwing_frames_total", &["/a", "sse", "transmit"]), Some(&Value::Count(7)));
        for (name, labels) in
            [("lapwing_sessions", &["/c", "sse"][..]), ("lapwing_sessions", &["/a"]), ("other", &[])]
        {
            assert_eq!(metrics.value(name, labels), None, "{name} {labels:?}");
        }
        let all: Vec<_> = metrics.families().iter().map(|family| family.description.name).collect();
        assert_eq!(all, catalog::ALL.iter().map(|metric| metric.name).collect::<Vec<_>>());
    }
}
