//! Which traces are sent, by the variables that OpenTelemetry has for that.

use uuid::Uuid;

use super::poster::PosterSpan;

const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";

/// Decides for each task whether its spans are sent. All AFMs with the same variables decide alike, also after a
/// restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sampler {
    /// Whether a poster that has sent its span decides by its flag.
    asks_poster: bool,
    /// Decides where no poster does: traces are sent whose number of 63 bits is less.
    below: u64,
}

/// Traces have numbers below this.
const ALL: u64 = 1 << 63;

impl Default for Sampler {
    fn default() -> Self {
        Self { asks_poster: true, below: ALL }
    }
}

impl Sampler {
    /// Reads the variables of this process.
    ///
    /// # Errors
    /// Fails with one line that names the variable that is wrong.
    pub(crate) fn from_environment() -> Result<Self, String> {
        let [sampler, argument] = [SAMPLER, ARGUMENT]
            .map(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()));
        Self::of(sampler.as_deref().unwrap_or_default(), argument.as_deref().unwrap_or_default())
    }

    /// An empty text counts as none.
    fn of(sampler: &str, argument: &str) -> Result<Self, String> {
        let (asks_poster, root) = match sampler.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None if sampler.is_empty() => (true, "always_on"),
            None => (false, sampler),
        };
        let below = match root {
            "always_on" => ALL,
            "always_off" => 0,
            "traceidratio" => below(argument)?,
            _ => {
                return Err(format!(
                    "{SAMPLER}: found {sampler:?}, expected always_on, always_off or traceidratio, or one of these \
                     behind parentbased_"
                ));
            }
        };
        Ok(Self { asks_poster, below })
    }

    /// Whether no trace is ever sent.
    pub(crate) fn sends_nothing(self) -> bool {
        !self.asks_poster && self.below == 0
    }

    /// Whether the spans of a task are sent.
    pub(super) fn samples(self, task_id: Uuid, poster: Option<PosterSpan>) -> bool {
        match poster {
            Some(poster) if self.asks_poster => poster.is_sampled(),
            Some(poster) => number(u128::from_be_bytes(poster.trace_id())) < self.below,
            // Ids of tasks are as clients choose them, and some bits of a UUID are always the same.
            None => number(u128::from(mixed(task_id.as_u128()))) < self.below,
        }
    }
}

/// Reads a share of all traces.
fn below(argument: &str) -> Result<u64, String> {
    if argument.is_empty() {
        return Ok(ALL);
    }
    match argument.parse::<f64>() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "it is from 0 to 2^63, and rounded"
        )]
        Ok(share) if (0.0..=1.0).contains(&share) => Ok((share * ALL as f64) as u64),
        _ => Err(format!("{ARGUMENT}: found {argument:?}, expected a number from 0 to 1")),
    }
}

/// The number by which OpenTelemetry samples a trace: the last 8 bytes of its id, but for one bit.
fn number(trace_id: u128) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "the last bytes are asked for")]
    let last = trace_id as u64;
    last >> 1
}

/// Spreads ids evenly over all numbers (the finalizer of SplitMix64).
fn mixed(id: u128) -> u64 {
    let mix = |mut n: u64| {
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    };
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    let (first, last) = ((id >> 64) as u64, id as u64);
    mix(mix(first.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ last)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};

    use super::*;

    fn poster(last: u64, flags: &str) -> Option<PosterSpan> {
        let header = format!("00-4bf92f3577b34da6{last:016x}-00f067aa0ba902b7-{flags}");
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_str(&header).unwrap());
        Some(PosterSpan::of(&headers).unwrap())
    }

    #[test]
    fn samplers_are_known_by_their_names() {
        let (low, high) = (1, u64::MAX);
        for (name, argument, expected) in [
            // Of no poster; of one that records its span; of one that does not, with a high and a low trace id.
            ("", "", [true, true, false, false]),
            ("", "0", [true, true, false, false]),
            ("parentbased_always_on", "x", [true, true, false, false]),
            ("parentbased_always_off", "", [false, true, false, false]),
            ("parentbased_traceidratio", "0", [false, true, false, false]),
            ("parentbased_traceidratio", "", [true, true, false, false]),
            ("always_on", "", [true, true, true, true]),
            ("always_off", "", [false, false, false, false]),
            ("traceidratio", "1", [true, true, true, true]),
            ("traceidratio", "1e-9", [false, false, false, true]),
            ("traceidratio", "0.0", [false, false, false, false]),
        ] {
            let sampler = Sampler::of(name, argument).unwrap();
            let samples = |poster| sampler.samples(Uuid::from_u128(7), poster);
            let found = [
                samples(None),
                samples(poster(high, "01")),
                samples(poster(high, "00")),
                samples(poster(low, "00")),
            ];
            assert_eq!(found, expected, "{name} {argument}");
            assert_eq!(sampler.sends_nothing(), expected == [false; 4], "{name} {argument}");
        }
        assert_eq!(Sampler::of("", "").unwrap(), Sampler::default());
    }

    #[test]
    fn a_share_of_tasks_is_sampled_whatever_their_ids() {
        let sampler = Sampler::of("parentbased_traceidratio", "0.25").unwrap();
        let ids: [fn(u128) -> Uuid; 3] = [Uuid::from_u128, |n| Uuid::from_u128(n << 64), |_| Uuid::new_v4()];
        for id in ids {
            let sampled = (0..10_000).filter(|n| sampler.samples(id(*n), None)).count();
            assert!((2_200..2_800).contains(&sampled), "{sampled}");
        }
        let id = Uuid::new_v4();
        assert_eq!(sampler.samples(id, None), sampler.samples(id, None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for name in ["on", "Always_on", "parentbased_", "jaeger_remote", "parentbased_jaeger_remote", " "] {
            let error = Sampler::of(name, "").unwrap_err();
            assert!(error.starts_with(&format!("OTEL_TRACES_SAMPLER: found {name:?}, expected ")), "{error}");
        }
        for argument in ["x", "-0.1", "1.1", "NaN", "inf", "10%", " "] {
            let error = Sampler::of("traceidratio", argument).unwrap_err();
            assert_eq!(
                error,
                format!("OTEL_TRACES_SAMPLER_ARG: found {argument:?}, expected a number from 0 to 1")
            );
        }
    }
}
