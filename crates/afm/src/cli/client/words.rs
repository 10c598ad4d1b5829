//! How times and numbers are written.

use slamon_client::LastHour;

use super::terminal_text::shown;

/// A time of the AFM, which is in UTC, to the second; `-` where there is none.
pub(super) fn moment(time: Option<&str>) -> String {
    let Some(time) = time else { return "-".to_owned() };
    let is_time = |text: &str| {
        text.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            10 => matches!(byte, b'T' | b' '),
            13 | 16 => byte == b':',
            _ => byte.is_ascii_digit(),
        })
    };
    match time.get(..19).filter(|text| is_time(text)) {
        Some(text) => text.replace('T', " "),
        None => shown(time),
    }
}

/// A number of things: `1 task`, `2 tasks`.
pub(super) fn count(number: u64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

/// How things ended in the last hour.
pub(super) fn ended(hour: &LastHour) -> String {
    format!("{} completed, {} failed", hour.completed, hour.failed)
}

/// A number of seconds, as people write it.
pub(super) fn seconds(time: f64) -> String {
    match time {
        ..0.9995 => format!("{:.0} ms", time * 1_000.0),
        ..100.0 => format!("{time:.1} s"),
        ..6_000.0 => format!("{:.0} min", time / 60.0),
        _ => format!("{:.0} h", time / 3_600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_to_the_second_and_other_texts_are_safe() {
        assert_eq!(moment(Some("2026-11-22T19:23:01.621614+00:00")), "2026-11-22 19:23:01");
        assert_eq!(moment(Some("2026-11-22 19:23:01")), "2026-11-22 19:23:01");
        assert_eq!(moment(Some("\u{1b}[2J")), r"\u{1b}[2J");
        assert_eq!(moment(None), "-");
        assert_eq!([0.0123, 1.25, 300.0, 7_200.0].map(seconds), ["12 ms", "1.2 s", "5 min", "2 h"]);
        assert_eq!([1, 2].map(|number| count(number, "task")), ["1 task", "2 tasks"]);
    }
}
