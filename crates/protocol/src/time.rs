//! The two ways protocol 1 writes a time. Both are UTC with microseconds.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `2026-11-22 19:23:01.621614`: how `GET /task/{id}` and the dashboard write a time.
#[must_use]
pub fn sql_time(time: Timestamp) -> String {
    format(time, "%Y-%m-%d %H:%M:%S.%6f")
}

/// `2026-11-22T19:24:01.581577+00:00`: how `POST /tasks` writes `return_time`.
#[must_use]
pub fn iso_time(time: Timestamp) -> String {
    format(time, "%Y-%m-%dT%H:%M:%S.%6f+00:00")
}

fn format(time: Timestamp, pattern: &str) -> String {
    time.to_zoned(TimeZone::UTC).strftime(pattern).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_digits_always() {
        let time = Timestamp::from_microsecond(1_795_375_381_621_614).unwrap();
        assert_eq!(sql_time(time), "2026-11-22 19:23:01.621614");
        assert_eq!(iso_time(time), "2026-11-22T19:23:01.621614+00:00");
        assert_eq!(sql_time(Timestamp::UNIX_EPOCH), "1970-01-01 00:00:00.000000");
    }
}
