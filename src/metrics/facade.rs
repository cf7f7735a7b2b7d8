//! The numbers for a recorder of the crate `metrics`.

use ::metrics::{Key, KeyName, Label, Level, Metadata, Recorder, SharedString};

use super::{
    Description, Kind, Metrics, Sample, Unit,
    points::{self, BUCKET, COUNT, Number, Point, SUM},
};

const METADATA: Metadata<'static> = Metadata::new("lapwing", Level::INFO, Some(module_path!()));

impl Metrics {
    /// Hands all numbers to the recorder of the crate `metrics` that the program has installed, with what each means. Without
    /// one nothing happens.
    ///
    /// A counter is set to what it is ([`absolute`](::metrics::Counter::absolute)), so that it does not matter how often this is
    /// called. A histogram is what Prometheus makes of one, since the values that it counted are known no more: counters `…_bucket`, with
    /// the label `le`, and `…_count`, and `…_sum`, which is a gauge, as counters are whole numbers there.
    ///
    /// [`Lapwing::record_metrics`](crate::Lapwing::record_metrics) does it again and again.
    ///
    /// ```
    /// // What an exporter does in a program.
    /// # let recorder = metrics::NoopRecorder;
    /// let lapwing = lapwing::Lapwing::builder().build()?;
    /// metrics::with_local_recorder(&recorder, || lapwing.metrics().record());
    /// # Ok::<(), lapwing::BuildError>(())
    /// ```
    pub fn record(&self) {
        ::metrics::with_recorder(|recorder| {
            for family in self.families().iter().filter(|family| !family.samples.is_empty()) {
                describe(recorder, family.description);
                for sample in &family.samples {
                    record(recorder, family.description, sample);
                }
            }
        });
    }
}

fn describe(recorder: &dyn Recorder, description: &Description) {
    let Description { name, kind, unit, help, .. } = *description;
    let unit = match unit {
        Unit::None => None,
        Unit::Seconds => Some(::metrics::Unit::Seconds),
        Unit::Bytes => Some(::metrics::Unit::Bytes),
    };
    let help = SharedString::const_str(help);
    match kind {
        Kind::Counter => recorder.describe_counter(KeyName::from_const_str(name), unit, help),
        Kind::Gauge => recorder.describe_gauge(KeyName::from_const_str(name), unit, help),
        Kind::Histogram => {
            for suffix in [BUCKET, COUNT] {
                recorder.describe_counter(KeyName::from(format!("{name}{suffix}")), None, help.clone());
            }
            recorder.describe_gauge(KeyName::from(format!("{name}{SUM}")), unit, help);
        }
    }
}

fn record(recorder: &dyn Recorder, description: &Description, sample: &Sample) {
    points::each(description, sample, |Point { suffix, bound, number }| {
        let named = description.labels.iter().zip(&sample.labels);
        let mut labels: Vec<Label> = named.map(|(&name, value)| Label::new(name, value.clone())).collect();
        labels.extend(bound.map(|bound| Label::new("le", bound.to_owned())));
        let key = match suffix {
            "" => Key::from_parts(description.name, labels),
            suffix => Key::from_parts(format!("{}{suffix}", description.name), labels),
        };
        match number {
            Number::Count(count) => recorder.register_counter(&key, &METADATA).absolute(count),
            Number::Sum(value) | Number::Level(value) => recorder.register_gauge(&key, &METADATA).set(value),
        }
    });
}
