//! The single numbers that a sample consists of: a histogram is several, named and labelled as Prometheus has them.

use super::{Description, Sample, Unit, Value};

/// Nanoseconds of a second: times are counted in these.
const NANOS: f64 = 1e9;

/// One number of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point<'s> {
    /// The end of its name, behind that of the metric.
    pub(crate) suffix: &'static str,
    /// The value of the label `le`, which the buckets of a histogram have.
    pub(crate) bound: Option<&'s str>,
    pub(crate) number: Number,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// It only grows, by whole numbers.
    Count(u64),
    /// It only grows.
    Sum(f64),
    /// It is what it is now.
    Level(f64),
}

/// Calls back for each number of a sample: the buckets of a histogram in the order of their bounds, then its sum and its count.
pub(crate) fn each(description: &Description, sample: &Sample, mut each: impl FnMut(Point<'_>)) {
    let mut plain = |suffix, number| each(Point { suffix, bound: None, number });
    let read = match &sample.value {
        Value::Count(count) => return plain("", Number::Count(*count)),
        Value::Gauge(value) => return plain("", Number::Level(*value)),
        Value::Histogram(read) => read,
    };
    let scaled = |value: u64| match description.unit {
        Unit::Seconds => value as f64 / NANOS,
        Unit::None | Unit::Bytes => value as f64,
    };
    let mut below = 0;
    for (index, count) in read.buckets.iter().enumerate() {
        below += count;
        let bound = read.bounds.get(index).map(|&bound| scaled(bound).to_string());
        let bound = Some(bound.as_deref().unwrap_or("+Inf"));
        each(Point { suffix: BUCKET, bound, number: Number::Count(below) });
    }
    each(Point { suffix: SUM, bound: None, number: Number::Sum(scaled(read.sum)) });
    each(Point { suffix: COUNT, bound: None, number: Number::Count(below) });
}

/// The ends of the names of a histogram's numbers.
pub(crate) const BUCKET: &str = "_bucket";
pub(crate) const SUM: &str = "_sum";
pub(crate) const COUNT: &str = "_count";
