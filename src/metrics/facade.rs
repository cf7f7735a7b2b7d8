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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use ::metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, Unit};
    use lapwing_transports::tally;

    use super::*;
    use crate::metrics::catalog;

    /// What a recorder is told, a line each.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<String>>>);

    /// One series of it.
    struct Series(Told, String);

    impl CounterFn for Series {
        fn increment(&self, _: u64) {
            unreachable!("what is counted already is not added up once more");
        }

        fn absolute(&self, value: u64) {
            self.0.line(format!("{} {value}", self.1));
        }
    }

    impl GaugeFn for Series {
        fn increment(&self, _: f64) {
            unreachable!("a level is set");
        }

        fn decrement(&self, _: f64) {
            unreachable!("a level is set");
        }

        fn set(&self, value: f64) {
            self.0.line(format!("{} {value}", self.1));
        }
    }

    impl Told {
        fn line(&self, line: String) {
            self.0.lock().unwrap().push(line);
        }

        fn described(&self, kind: &str, name: &KeyName, unit: Option<Unit>, help: &SharedString) {
            let unit = unit.map_or("things", |unit| unit.as_str());
            assert!(help.ends_with('.'), "{help}");
            self.line(format!("{kind} {} of {unit}", name.as_str()));
        }

        fn series(&self, key: &Key) -> Arc<Series> {
            let labels: Vec<_> =
                key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            Arc::new(Series(self.clone(), format!("{}{{{}}}", key.name(), labels.join(","))))
        }
    }

    impl Recorder for Told {
        fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
            self.described("counter", &name, unit, &help);
        }

        fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
            self.described("gauge", &name, unit, &help);
        }

        fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
            unreachable!("{name:?}: no values are told, and so no histogram");
        }

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.series(key))
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.series(key))
        }

        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            unreachable!("{key:?}: no values are told, and so no histogram");
        }
    }

    #[test]
    fn a_recorder_is_told_each_number_and_what_it_means() {
        let (mut metrics, told) = (Metrics::new(), Told::default());
        metrics.gauge(&catalog::SESSIONS, &["/s", "sse"], 2.0);
        metrics.count(&catalog::FRAME_BYTES, &["/s", "sse", "transmit"], 7);
        let histogram = tally::Histogram::new(&[500_000_000]);
        [250_000_000, 1_000_000_000].into_iter().for_each(|nanos| histogram.record(nanos));
        metrics.histogram(&catalog::BROADCAST_DURATION, &["program"], histogram.read());
        ::metrics::with_local_recorder(&told, || metrics.record());
        assert_eq!(
            *told.0.lock().unwrap(),
            [
                "gauge lapwing_sessions of things",
                "lapwing_sessions{mount=/s,transport=sse} 2",
                "counter lapwing_frame_bytes_total of bytes",
                "lapwing_frame_bytes_total{mount=/s,transport=sse,direction=transmit} 7",
                "counter lapwing_broadcast_duration_seconds_bucket of things",
                "counter lapwing_broadcast_duration_seconds_count of things",
                "gauge lapwing_broadcast_duration_seconds_sum of seconds",
                "lapwing_broadcast_duration_seconds_bucket{source=program,le=0.5} 1",
                "lapwing_broadcast_duration_seconds_bucket{source=program,le=+Inf} 2",
                "lapwing_broadcast_duration_seconds_sum{source=program} 1.25",
                "lapwing_broadcast_duration_seconds_count{source=program} 2",
            ]
        );
    }
}
