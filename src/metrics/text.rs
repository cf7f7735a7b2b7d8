//! The texts that scrapers read.

use std::fmt::Write as _;

use super::{
    Description, Kind, Metrics, Sample, Unit,
    points::{self, Number, Point},
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Prometheus,
    OpenMetrics,
}

/// Writes all families that have a number.
pub(super) fn write(metrics: &Metrics, format: Format) -> String {
    let mut text = String::with_capacity(32 * 1024);
    for family in metrics.families() {
        if family.samples.is_empty() {
            continue;
        }
        head(&mut text, family.description, format);
        for sample in &family.samples {
            write_sample(&mut text, family.description, sample);
        }
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn head(text: &mut String, description: &Description, format: Format) {
    let Description { name, kind, help, unit, .. } = description;
    // OpenMetrics names a counter without what its sample ends in.
    let name = if format == Format::OpenMetrics { name.trim_end_matches("_total") } else { name };
    let kind = match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    // Neither can fail: it is written into a text.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    let unit = match unit {
        Unit::None => return,
        Unit::Seconds => "seconds",
        Unit::Bytes => "bytes",
    };
    // A unit has to be the end of the name.
    if format == Format::OpenMetrics && name.ends_with(unit) {
        let _ = writeln!(text, "# UNIT {name} {unit}");
    }
}

fn write_sample(text: &mut String, description: &Description, sample: &Sample) {
    points::each(description, sample, |Point { suffix, bound, number }| {
        text.push_str(description.name);
        text.push_str(suffix);
        labels(text, description, sample, bound);
        // Neither can fail: it is written into a text.
        let _ = match number {
            Number::Count(count) => writeln!(text, " {count}"),
            Number::Sum(value) | Number::Level(value) => writeln!(text, " {value}"),
        };
    });
}

fn labels(text: &mut String, description: &Description, sample: &Sample, bound: Option<&str>) {
    let named = description.labels.iter().copied().zip(sample.labels.iter().map(String::as_str));
    let mut separator = '{';
    for (name, value) in named.chain(bound.map(|bound| ("le", bound))) {
        text.push(separator);
        text.push_str(name);
        text.push_str("=\"");
        escape(text, value);
        text.push('"');
        separator = ',';
    }
    if separator == ',' {
        text.push('}');
    }
}

fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use lapwing_transports::tally::Histogram;

    use super::*;
    use crate::metrics::catalog;

    #[test]
    fn both_formats_say_the_same_numbers() {
        let mut metrics = Metrics::new();
        metrics.gauge(&catalog::SESSIONS, &["/a\"b\\\n", "sse"], 2.0);
        metrics.count(&catalog::FRAMES, &["/s", "sse", "transmit"], 7);
        let histogram = Histogram::new(&[500_000_000, 2_000_000_000]);
        [1_000_000_000, 500_000_000, 9_000_000_000].into_iter().for_each(|nanos| histogram.record(nanos));
        metrics.histogram(&catalog::BROADCAST_DURATION, &["program"], histogram.read());
        let (prometheus, open) = (metrics.to_prometheus(), metrics.to_openmetrics());
        let samples = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
        };
        assert_eq!(
            samples(&prometheus),
            [
                r#"lapwing_sessions{mount="/a\"b\\\n",transport="sse"} 2"#,
                r#"lapwing_frames_total{mount="/s",transport="sse",direction="transmit"} 7"#,
                r#"lapwing_broadcast_duration_seconds_bucket{source="program",le="0.5"} 1"#,
                r#"lapwing_broadcast_duration_seconds_bucket{source="program",le="2"} 2"#,
                r#"lapwing_broadcast_duration_seconds_bucket{source="program",le="+Inf"} 3"#,
                r#"lapwing_broadcast_duration_seconds_sum{source="program"} 10.5"#,
                r#"lapwing_broadcast_duration_seconds_count{source="program"} 3"#,
            ]
        );
        assert_eq!(samples(&open), samples(&prometheus));
        assert!(
            prometheus.contains("# TYPE lapwing_frames_total counter\n") && !prometheus.contains("# EOF")
        );
        assert!(open.contains("# TYPE lapwing_frames counter\n") && open.ends_with("\n# EOF\n"));
        assert!(open.contains("# UNIT lapwing_broadcast_duration_seconds seconds\n"));
        assert!(!prometheus.contains("# UNIT"));
    }
}
