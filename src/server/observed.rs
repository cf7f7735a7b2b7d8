//! The numbers of a server as instruments of OpenTelemetry, which are read when an exporter collects.

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter},
};

use crate::{
    metrics::{
        Description, Kind, Metrics, Unit, catalog,
        points::{self, BUCKET, COUNT, Number, Point, SUM},
    },
    server::{Lapwing, weak::WeakLapwing},
};

impl Lapwing {
    /// Makes all numbers instruments of an OpenTelemetry meter, by their names in `docs/metrics.md`. They are read when the meter's provider
    /// collects; one snapshot of the server is taken for all of them.
    ///
    /// Counters and gauges are observable ones. A histogram is what Prometheus makes of one, since the values that it counted are known no
    /// more and OpenTelemetry has no observable histogram: observable counters `…_bucket`, with the attribute `le`, `…_sum` and `…_count`.
    ///
    /// Call it once for each server and meter: instruments stay for as long as their provider does. They keep no server alive, and say
    /// nothing when the last clone of this one is gone.
    ///
    /// ```
    /// // That of the program: `opentelemetry::global::meter("lapwing")`, say.
    /// let meter = opentelemetry::global::meter("lapwing");
    /// let lapwing = lapwing::Lapwing::builder().build()?;
    /// lapwing.observe_metrics(&meter);
    /// # Ok::<(), lapwing::BuildError>(())
    /// ```
    pub fn observe_metrics(&self, meter: &Meter) {
        let parts = |description: &&Description| if description.kind == Kind::Histogram { 3 } else { 1 };
        let instruments = catalog::ALL.iter().map(parts).sum();
        let server = Arc::new(Server { lapwing: self.downgrade(), instruments, snapshot: Mutex::default() });
        let mut numbers = 0..;
        let mut next = |family, suffix| {
            let number = numbers.next().unwrap_or(usize::MAX);
            Instrument { server: server.clone(), number, family, suffix }
        };
        for (family, description) in catalog::ALL.iter().enumerate() {
            match description.kind {
                Kind::Counter => count(meter, description, next(family, "")),
                Kind::Gauge => level(meter, description, next(family, "")),
                Kind::Histogram => {
                    count(meter, description, next(family, BUCKET));
                    sum(meter, description, next(family, SUM));
                    count(meter, description, next(family, COUNT));
                }
            }
        }
    }
}

/// The server, and the snapshot that its instruments share.
struct Server {
    lapwing: WeakLapwing,
    /// How many there are.
    instruments: usize,
    snapshot: Mutex<Snapshot>,
}

#[derive(Default)]
struct Snapshot {
    metrics: Arc<Metrics>,
    /// The instruments that this snapshot was not read for yet, by their numbers: none of one that was never taken.
    unread: Vec<bool>,
}

impl Server {
    /// The numbers for an instrument: a new snapshot whenever one asks a second time, whatever the order in which a provider collects.
    fn read(&self, number: usize) -> Option<Arc<Metrics>> {
        let mut snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        if !snapshot.unread.get(number).is_some_and(|&is_unread| is_unread) {
            let metrics = Arc::new(self.lapwing.upgrade()?.metrics());
            *snapshot = Snapshot { metrics, unread: vec![true; self.instruments] };
        }
        if let Some(unread) = snapshot.unread.get_mut(number) {
            *unread = false;
        }
        Some(snapshot.metrics.clone())
    }
}

/// One instrument: the numbers of a metric whose names have the same end.
struct Instrument {
    server: Arc<Server>,
    number: usize,
    /// The place of its metric in the catalog.
    family: usize,
    suffix: &'static str,
}

impl Instrument {
    fn name(&self, description: &Description) -> String {
        format!("{}{}", description.name, self.suffix)
    }

    fn each(&self, mut observe: impl FnMut(Number, &[KeyValue])) {
        let Some(metrics) = self.server.read(self.number) else { return };
        let Some(family) = metrics.families().get(self.family) else { return };
        for sample in &family.samples {
            let named = family.description.labels.iter().zip(&sample.labels);
            let labels: Vec<KeyValue> =
                named.map(|(&name, value)| KeyValue::new(name, value.clone())).collect();
            points::each(family.description, sample, |Point { suffix, bound, number }| {
                if suffix != self.suffix {
                    return;
                }
                match bound {
                    None => observe(number, &labels),
                    Some(bound) => {
                        let bound = KeyValue::new("le", bound.to_owned());
                        observe(number, &[&labels[..], &[bound]].concat());
                    }
                }
            });
        }
    }
}

/// The unit in the letters of UCUM, as OpenTelemetry has it.
fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::None => "1",
        Unit::Seconds => "s",
        Unit::Bytes => "By",
    }
}

fn count(meter: &Meter, description: &Description, instrument: Instrument) {
    let builder =
        meter.u64_observable_counter(instrument.name(description)).with_description(description.help);
    // The buckets of a histogram count values, whatever their unit is.
    let counts = if instrument.suffix.is_empty() { unit(description.unit) } else { unit(Unit::None) };
    let observe = move |observer: &dyn AsyncInstrument<u64>| {
        instrument.each(|number, labels| {
            if let Number::Count(count) = number {
                observer.observe(count, labels);
            }
        });
    };
    // It stays without being held.
    let _ = builder.with_unit(counts).with_callback(observe).build();
}

fn sum(meter: &Meter, description: &Description, instrument: Instrument) {
    let builder =
        meter.f64_observable_counter(instrument.name(description)).with_description(description.help);
    let _ = builder.with_unit(unit(description.unit)).with_callback(real(instrument)).build();
}

fn level(meter: &Meter, description: &Description, instrument: Instrument) {
    let builder = meter.f64_observable_gauge(instrument.name(description)).with_description(description.help);
    let _ = builder.with_unit(unit(description.unit)).with_callback(real(instrument)).build();
}

fn real(instrument: Instrument) -> impl Fn(&dyn AsyncInstrument<f64>) + Send + Sync {
    move |observer| {
        instrument.each(|number, labels| {
            if let Number::Sum(value) | Number::Level(value) = number {
                observer.observe(value, labels);
            }
        });
    }
}
