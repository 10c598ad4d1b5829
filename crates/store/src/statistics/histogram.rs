//! Durations, counted in buckets that grow by a quarter each.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::encoding::micros;

/// How many buckets a histogram has. The first ends at a millisecond, the last but one a little after a day; the
/// last one has no end.
pub const BUCKETS: usize = 84;

/// Where each bucket but the last ends, in microseconds. Numbers and not texts are saved, so these must never
/// change.
static ENDS: LazyLock<[i64; BUCKETS - 1]> = LazyLock::new(|| {
    let mut end = 1_000;
    std::array::from_fn(|_| {
        let this = end;
        end += end / 4;
        this
    })
});

/// Durations, of which is known in which bucket they lie, and their sum.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    /// Empty before the first duration.
    buckets: Vec<u64>,
    sum_micros: u64,
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&mut self, duration: Duration) {
        let micros = micros(duration);
        if self.buckets.is_empty() {
            self.buckets = vec![0; BUCKETS];
        }
        let bucket = ENDS.partition_point(|end| *end < micros);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.sum_micros = self.sum_micros.saturating_add(micros.unsigned_abs());
    }

    /// Adds what another one has counted.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
        } else {
            for (count, more) in self.buckets.iter_mut().zip(&other.buckets) {
                *count += more;
            }
        }
        self.sum_micros = self.sum_micros.saturating_add(other.sum_micros);
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_micros)
    }

    /// The ends of every `nth` bucket, and how many durations lie before each.
    pub fn cumulative(&self, nth: usize) -> impl Iterator<Item = (Duration, u64)> {
        let mut before = 0;
        let counts = self.buckets.iter().copied().chain(std::iter::repeat(0));
        let all = ENDS.iter().zip(counts).map(move |(end, count)| {
            before += count;
            (Duration::from_micros(end.unsigned_abs()), before)
        });
        all.step_by(nth)
    }

    /// The duration that this share of all durations does not exceed, from 0 to 1. It is exact to a tenth or so,
    /// as the bucket tells; durations of more than a day count as the end of the last bucket. `None` without any.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "2^53 tasks are more than there will be")]
        let wanted = (share * count as f64).max(1.0);
        let mut before = 0_u64;
        for (bucket, in_bucket) in self.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            let part = (wanted - before as f64) / *in_bucket as f64;
            before += in_bucket;
            if part <= 1.0 {
                let end = |at: usize| ENDS.get(at).or(ENDS.last()).map_or(0, |end| end.unsigned_abs());
                let start = if bucket == 0 { 0 } else { end(bucket - 1) };
                let (start, end) = (Duration::from_micros(start), Duration::from_micros(end(bucket)));
                return Some(start + end.saturating_sub(start).mul_f64(part.clamp(0.0, 1.0)));
            }
        }
        ENDS.last().map(|end| Duration::from_micros(end.unsigned_abs()))
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }
}

/// As `[sum in microseconds, [bucket, count], …]`, without empty buckets.
impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        list.serialize_element(&self.sum_micros)?;
        for (bucket, count) in self.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            list.serialize_element(&(bucket, count))?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Histogram;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a histogram")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Histogram, A::Error> {
                let sum_micros = list.next_element()?.unwrap_or_default();
                let mut buckets = vec![0; BUCKETS];
                while let Some((bucket, count)) = list.next_element::<(usize, u64)>()? {
                    if let Some(kept) = buckets.get_mut(bucket) {
                        *kept = count;
                    }
                }
                Ok(Histogram { buckets, sum_micros })
            }
        }

        deserializer.deserialize_seq(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(durations: impl IntoIterator<Item = Duration>) -> Histogram {
        let mut histogram = Histogram::default();
        durations.into_iter().for_each(|duration| histogram.record(duration));
        histogram
    }

    #[test]
    fn buckets_reach_from_a_millisecond_to_a_day() {
        assert_eq!((ENDS[0], ENDS[1], ENDS[2]), (1_000, 1_250, 1_562));
        let day = 86_400_000_000;
        assert!(ENDS[BUCKETS - 3] < day && day <= ENDS[BUCKETS - 2], "{:?}", &ENDS[BUCKETS - 4..]);
        let edges = histogram([Duration::ZERO, Duration::from_millis(1), Duration::from_micros(1_001)]);
        let counts: Vec<u64> = edges.cumulative(1).map(|(_, count)| count).take(3).collect();
        assert_eq!(counts, [2, 3, 3]);
        assert_eq!(histogram([Duration::MAX]).cumulative(1).last().map(|(_, count)| count), Some(0));
        assert_eq!(histogram([Duration::MAX]).count(), 1);
    }

    #[test]
    fn quantiles_are_exact_to_a_bucket() {
        assert_eq!(Histogram::default().quantile(0.5), None);
        let even = histogram((1..=1_000).map(Duration::from_millis));
        for (share, exact) in [(0.0, 0.001), (0.5, 0.5), (0.95, 0.95), (0.99, 0.99), (1.0, 1.0)] {
            let found = even.quantile(share).unwrap().as_secs_f64();
            assert!((found - exact).abs() <= 0.13 * exact.max(0.01), "{share}: {found}");
        }
        assert!(histogram([Duration::MAX]).quantile(0.5).unwrap() >= Duration::from_secs(86_400));
    }

    #[test]
    fn merging_is_adding_and_what_was_saved_is_read() {
        let (one, two) = ((1..9).map(Duration::from_secs), (5..700).map(Duration::from_millis));
        let mut merged = histogram(one.clone());
        merged.merge(&histogram(two.clone()));
        let all = histogram(one.chain(two));
        assert_eq!((&merged, merged.sum()), (&all, all.sum()));
        let mut first = Histogram::default();
        first.merge(&all);
        assert_eq!(first, all);
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Histogram>(&text).unwrap(), all);
        assert!(text.len() < 400, "{text}");
    }
}
