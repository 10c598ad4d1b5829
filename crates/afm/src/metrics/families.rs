//! Builds metric families, and writes them in the text format of Prometheus.

use std::time::Duration;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

/// The media type of the text.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The families of an answer.
#[derive(Default)]
pub(crate) struct Families(Vec<MetricFamily>);

/// The name of a label, and its value.
pub(crate) type Label<'l> = (&'static str, &'l str);

/// Durations, or sizes, counted by bounds.
pub(crate) struct Distribution {
    /// Bounds, and how many do not exceed each.
    pub(crate) buckets: Vec<(f64, u64)>,
    /// How many there are.
    pub(crate) count: u64,
    /// Their sum.
    pub(crate) sum: f64,
}

impl Families {
    /// Adds a number that only grows.
    pub(crate) fn counter(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Vec<LabelPair>, f64)>,
    ) {
        let metric = |(labels, value)| {
            let mut counter = Counter::default();
            counter.set_value(value);
            let mut metric = Metric::from_label(labels);
            metric.set_counter(counter);
            metric
        };
        self.add(name, help, MetricType::COUNTER, samples.into_iter().map(metric));
    }

    /// Adds a number that goes up and down.
    pub(crate) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Vec<LabelPair>, f64)>,
    ) {
        let metric = |(labels, value)| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            let mut metric = Metric::from_label(labels);
            metric.set_gauge(gauge);
            metric
        };
        self.add(name, help, MetricType::GAUGE, samples.into_iter().map(metric));
    }

    /// Adds a distribution.
    pub(crate) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Vec<LabelPair>, Distribution)>,
    ) {
        let metric = |(labels, Distribution { buckets, count, sum })| {
            let bucket = |(bound, count)| {
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(bound);
                bucket.set_cumulative_count(count);
                bucket
            };
            let mut histogram = Histogram::default();
            histogram.set_bucket(buckets.into_iter().map(bucket).collect());
            histogram.set_sample_count(count);
            histogram.set_sample_sum(sum);
            let mut metric = Metric::from_label(labels);
            metric.set_histogram(histogram);
            metric
        };
        self.add(name, help, MetricType::HISTOGRAM, samples.into_iter().map(metric));
    }

    /// Adds families that somebody else has built.
    pub(crate) fn extend(&mut self, families: Vec<MetricFamily>) {
        self.0.extend(families);
    }

    fn add(&mut self, name: &str, help: &str, kind: MetricType, metrics: impl Iterator<Item = Metric>) {
        let metrics: Vec<Metric> = metrics.collect();
        // The text of a family without samples would be an error.
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.0.push(family);
    }

    /// Writes the text.
    ///
    /// # Errors
    /// Fails when a family cannot be written.
    pub(crate) fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.0, &mut text)?;
        Ok(text)
    }
}

/// Returns labels.
pub(crate) fn labels<const N: usize>(labels: [Label<'_>; N]) -> Vec<LabelPair> {
    labels
        .into_iter()
        .map(|(name, value)| {
            let mut label = LabelPair::default();
            label.set_name(name.to_owned());
            label.set_value(value.to_owned());
            label
        })
        .collect()
}

/// Returns a count as the text format has it: beyond 2^53, it is rounded.
#[expect(clippy::cast_precision_loss, reason = "it is rounded")]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

/// Returns the bounds of a histogram of seconds.
pub(crate) fn seconds(buckets: impl Iterator<Item = (Duration, u64)>) -> Vec<(f64, u64)> {
    buckets.map(|(bound, count)| (bound.as_secs_f64(), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_client_sends_stays_within_its_label() {
        let mut families = Families::default();
        families.counter("posted_total", "Tasks.", [(labels([("task_type", "a\"b\\\n{x=\"1\"} 2")]), 3.0)]);
        families.gauge("nothing", "Nothing.", []);
        let text = String::from_utf8(families.text().unwrap()).unwrap();
        assert_eq!(
            text,
            "# HELP posted_total Tasks.\n# TYPE posted_total counter\n\
             posted_total{task_type=\"a\\\"b\\\\\\n{x=\\\"1\\\"} 2\"} 3\n"
        );
    }
}
