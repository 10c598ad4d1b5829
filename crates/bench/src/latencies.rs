//! How long things took.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Times, exact to three digits, in nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Histogram<u32>);

/// What the times come to, in microseconds; all 0 if there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Summary {
    /// The shortest.
    pub min: f64,
    /// The arithmetic mean.
    pub mean: f64,
    /// Half of them took no longer.
    pub p50: f64,
    /// 90 % took no longer.
    pub p90: f64,
    /// 99 % took no longer.
    pub p99: f64,
    /// 99.9 % took no longer.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        // Grows with what is recorded.
        Self(Histogram::new(3).expect("three digits are allowed"))
    }

    pub(crate) fn record(&mut self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).clamp(1, u64::MAX / 4);
        self.0.record(nanoseconds).expect("it grows");
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("it grows");
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn summary(&self) -> Summary {
        if self.0.is_empty() {
            return Summary::default();
        }
        // To a tenth of a microsecond: the histogram is not finer where it matters.
        let microseconds = |nanoseconds: f64| (nanoseconds / 100.0).round() / 10.0;
        let at = |share| microseconds(self.0.value_at_quantile(share) as f64);
        Summary {
            min: microseconds(self.0.min() as f64),
            mean: microseconds(self.0.mean()),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: microseconds(self.0.max() as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact_to_three_digits() {
        let (mut all, mut half) = (Latencies::new(), Latencies::new());
        assert_eq!(all.summary(), Summary::default());
        for n in 1..=1_000 {
            let latencies = if n % 2 == 0 { &mut all } else { &mut half };
            latencies.record(Duration::from_micros(n * 10));
        }
        all.add(&half);
        let summary = all.summary();
        let near = |value: f64, wanted: f64| (value / wanted - 1.0).abs() < 0.002;
        assert!(near(summary.min, 10.0) && near(summary.p50, 5_000.0), "{summary:?}");
        assert!(near(summary.p90, 9_000.0) && near(summary.p99, 9_900.0), "{summary:?}");
        assert!(near(summary.p999, 9_990.0) && near(summary.max, 10_000.0), "{summary:?}");
        assert!(near(summary.mean, 5_005.0), "{summary:?}");
    }
}
