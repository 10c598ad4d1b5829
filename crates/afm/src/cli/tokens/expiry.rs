//! Until when a token is good, as the command line says it.

use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

/// A time, or how long from now on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Expiry {
    At(Timestamp),
    After(SignedDuration),
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = || {
            let span: Span = text.parse().ok()?;
            // Months and years have no one length.
            span.to_duration(SpanRelativeTo::days_are_24_hours()).ok().filter(SignedDuration::is_positive)
        };
        if let Ok(time) = text.parse() {
            return Ok(Self::At(time));
        }
        if let Some(span) = span() {
            return Ok(Self::After(span));
        }
        // A time of day without a zone would be passed over.
        let date = if text.contains(['T', 't', ' ']) { None } else { text.parse::<Date>().ok() };
        let midnight = date.and_then(|date| date.to_zoned(TimeZone::UTC).ok());
        midnight.map(|zoned| Self::At(zoned.timestamp())).ok_or_else(|| {
            "must be a time such as 2027-01-31 or 2027-01-31T12:00Z, or how long from now on, such as 90d or 12h".to_owned()
        })
    }
}

impl Expiry {
    /// The end of a token that is made now.
    pub(super) fn after(self, now: Timestamp) -> Result<Timestamp, String> {
        match self {
            Self::At(time) => Ok(time),
            Self::After(span) => {
                now.checked_add(span).map_err(|_| "--expires: no calendar has that time".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_or_a_span_is_read() {
        let now: Timestamp = "2026-11-29T10:00:00Z".parse().unwrap();
        for (text, end) in [
            ("90d", "2027-02-27T10:00:00Z"),
            ("12h", "2026-11-29T22:00:00Z"),
            ("1 week", "2026-12-06T10:00:00Z"),
            ("P1D", "2026-11-30T10:00:00Z"),
            ("2027-01-31", "2027-01-31T00:00:00Z"),
            ("2027-01-31T12:00Z", "2027-01-31T12:00:00Z"),
            ("2027-01-31T12:00:00+02:00", "2027-01-31T10:00:00Z"),
        ] {
            let end: Timestamp = end.parse().unwrap();
            assert_eq!(text.parse::<Expiry>().unwrap().after(now), Ok(end), "{text}");
        }
        for text in ["", "soon", "90", "-1d", "0s", "1 month", "2027-13-01", "2027-01-31T12:00"] {
            assert!(text.parse::<Expiry>().is_err(), "{text}");
        }
        assert!(
            "9000000d".parse::<Expiry>().is_err()
                || "9000000d".parse::<Expiry>().unwrap().after(now).is_err()
        );
    }
}
