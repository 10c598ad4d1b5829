//! When an agent polls next.
//!
//! `return_time` is a time by the AFM's clock, and the agent's may be hours off. So it is compared with the `Date` of
//! the same answer, which is by the AFM's clock as well, and only the difference counts, by a clock that nobody sets.

use std::time::Duration;

use jiff::Timestamp;

/// No poll follows another one sooner, unless there is work to be had.
pub(crate) const SHORTEST: Duration = Duration::from_secs(1);
/// The longest time between two polls, whatever an AFM says: it might have a clock that jumped.
pub(crate) const LONGEST: Duration = Duration::from_secs(3_600);

/// How long to wait until `return_time`; `date` is what the answer says that the time was, `now` is the agent's own
/// time, which counts where the answer says none. `default` is the wait if that cannot be right.
pub(crate) fn wait_until(
    return_time: Timestamp,
    date: Option<Timestamp>,
    now: Timestamp,
    default: Duration,
) -> Duration {
    let wait = return_time.duration_since(date.unwrap_or(now));
    match Duration::try_from(wait) {
        Ok(wait) if wait > LONGEST => default.clamp(SHORTEST, LONGEST),
        // The time is over already: by the AFM's clock that says "at once", by another it says nothing.
        Err(_) if date.is_none() => default.clamp(SHORTEST, LONGEST),
        wait => wait.unwrap_or_default().max(SHORTEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Duration = Duration::from_secs(60);

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_agents_clock_does_not_count_where_the_answer_has_a_date() {
        let (date, return_time) = (time("2026-11-22T19:23:01Z"), time("2026-11-22T19:23:31.5Z"));
        for now in ["2026-11-22T19:23:01Z", "2026-11-22T01:00:00Z", "2026-11-23T23:00:00Z"] {
            let wait = wait_until(return_time, Some(date), time(now), DEFAULT);
            assert_eq!(wait, Duration::from_millis(30_500), "{now}");
        }
    }

    #[test]
    fn a_wait_is_never_shorter_than_a_second_nor_longer_than_an_hour() {
        let date = time("2026-11-22T19:23:01Z");
        for return_time in ["2026-11-22T19:23:01Z", "2026-11-22T19:22:00Z", "2020-01-01T00:00:00Z"] {
            assert_eq!(wait_until(time(return_time), Some(date), date, DEFAULT), SHORTEST, "{return_time}");
        }
        assert_eq!(wait_until(time("2026-11-23T19:23:01Z"), Some(date), date, DEFAULT), DEFAULT);
    }

    #[test]
    fn without_a_date_a_time_that_cannot_be_right_is_the_default() {
        let now = time("2026-11-22T19:23:01Z");
        for return_time in ["2026-11-22T10:00:00Z", "2026-11-23T10:00:00Z"] {
            assert_eq!(wait_until(time(return_time), None, now, DEFAULT), DEFAULT, "{return_time}");
        }
        assert_eq!(wait_until(time("2026-11-22T19:23:31Z"), None, now, DEFAULT), Duration::from_secs(30));
    }
}
