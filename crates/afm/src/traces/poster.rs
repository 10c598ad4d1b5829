//! The span of whoever posts a task, from the header `traceparent` (W3C Trace Context).

use axum::http::HeaderMap;
use slamon_store::TraceContext;

/// The span in which a task was posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PosterSpan(TraceContext);

/// The length of version 00: its own two digits, the trace id, the span id and flags, with hyphens between them.
const LENGTH: usize = 55;

/// The flag that says that the caller has recorded its span.
const SAMPLED: u8 = 1;

impl PosterSpan {
    /// Reads the header. One that is wrong counts as none, and so do two of them.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all("traceparent").iter();
        let value = values.next()?;
        if values.next().is_some() { None } else { Self::parse(value.as_bytes()) }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_at_checked(LENGTH)?;
        let [version, trace, span, flags] =
            known.split(|byte| *byte == b'-').collect::<Vec<_>>().try_into().ok()?;
        // Later versions may have more behind another hyphen; ff is none.
        match digits::<1>(version)? {
            [0] if rest.is_empty() => {}
            [1..=254] if rest.is_empty() || rest.starts_with(b"-") => {}
            _ => return None,
        }
        let (trace, span, [flags]) = (digits::<16>(trace)?, digits::<8>(span)?, digits::<1>(flags)?);
        if trace == [0; 16] || span == [0; 8] {
            return None;
        }
        let mut context = [0; 25];
        context[..16].copy_from_slice(&trace);
        context[16..24].copy_from_slice(&span);
        context[24] = flags;
        Some(Self(context))
    }

    pub(super) fn stored(context: TraceContext) -> Self {
        Self(context)
    }

    pub(super) fn as_stored(self) -> TraceContext {
        self.0
    }

    pub(super) fn trace_id(self) -> [u8; 16] {
        std::array::from_fn(|place| self.0[place])
    }

    pub(super) fn span_id(self) -> [u8; 8] {
        std::array::from_fn(|place| self.0[16 + place])
    }

    /// Whether the poster records its span. If not, those of the task would have no place in a trace.
    pub(super) fn is_sampled(self) -> bool {
        self.0[24] & SAMPLED != 0
    }
}

/// Reads so many bytes of two lower-case digits each, and nothing else.
fn digits<const BYTES: usize>(text: &[u8]) -> Option<[u8; BYTES]> {
    if text.len() != 2 * BYTES {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *byte = *byte << 4 | value;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_is_read_to_the_letter() {
        let span = PosterSpan::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(u128::from_be_bytes(span.trace_id()), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(u64::from_be_bytes(span.span_id()), 0x00f0_67aa_0ba9_02b7);
        assert!(span.is_sampled());
        assert_eq!(PosterSpan::stored(span.as_stored()), span);
        assert!(!PosterSpan::parse(GOOD.replace("-01", "-02").as_bytes()).unwrap().is_sampled());
        assert!(PosterSpan::parse(GOOD.replace("-01", "-ff").as_bytes()).unwrap().is_sampled());
        let later = GOOD.replacen("00", "01", 1);
        for text in [later.clone(), format!("{later}-"), format!("{later}-what comes")] {
            assert_eq!(PosterSpan::parse(text.as_bytes()), Some(span), "{text}");
        }
    }

    #[test]
    fn a_wrong_header_counts_as_none() {
        let later = GOOD.replacen("00", "01", 1);
        for text in [
            String::new(),
            "-".repeat(LENGTH),
            GOOD[..54].to_owned(),
            format!("{GOOD}0"),
            format!("{GOOD}-"),
            format!("{GOOD}-more"),
            format!(" {}", &GOOD[..54]),
            format!("{later}0"),
            GOOD.to_uppercase(),
            GOOD.replacen("00", "ff", 1),
            GOOD.replacen("00", "0x", 1),
            GOOD.replace("-01", "-0g"),
            GOOD.replace("-01", "_01"),
            GOOD.replace("-01", "--1"),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace("4bf92f35", "4bf92f3é"),
            "0".repeat(100_000),
        ] {
            assert_eq!(PosterSpan::parse(text.as_bytes()), None, "{text:.80}");
        }
    }

    #[test]
    fn two_headers_count_as_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(PosterSpan::of(&headers), None);
        headers.append("traceparent", HeaderValue::from_static(GOOD));
        assert!(PosterSpan::of(&headers).is_some());
        headers.append("traceparent", HeaderValue::from_static(GOOD));
        assert_eq!(PosterSpan::of(&headers), None);
    }
}
