//! The two ways in which protocol 1 writes a time. Both are in UTC, with microseconds.

use jiff::Timestamp;
use jiff::tz::Offset;

/// Writes a time as `GET /task/{id}` and the dashboard show it: `2026-11-22 19:23:01.621614`.
#[must_use]
pub fn sql_time(time: Timestamp) -> String {
    let mut text = String::with_capacity(32);
    write(&mut text, time, b' ');
    text
}

/// Writes a time as `return_time` of `POST /tasks` shows it: `2026-11-22T19:24:01.581577+00:00`.
#[must_use]
pub fn iso_time(time: Timestamp) -> String {
    let mut text = String::with_capacity(32);
    write(&mut text, time, b'T');
    text.push_str("+00:00");
    text
}

/// Every answer to a poll holds a time, and a format of the library would take longer than the rest.
fn write(text: &mut String, time: Timestamp, between: u8) {
    let time = Offset::UTC.to_datetime(time);
    if time.year() < 0 {
        text.push('-');
    }
    let mut bytes = *b"0000-00-00 00:00:00.000000";
    bytes[10] = between;
    let parts = [
        (0..4, u32::from(time.year().unsigned_abs())),
        (5..7, time.month().unsigned_abs().into()),
        (8..10, time.day().unsigned_abs().into()),
        (11..13, time.hour().unsigned_abs().into()),
        (14..16, time.minute().unsigned_abs().into()),
        (17..19, time.second().unsigned_abs().into()),
        (20..26, time.subsec_nanosecond().unsigned_abs() / 1_000),
    ];
    for (place, mut number) in parts {
        for digit in bytes[place].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
    text.push_str(str::from_utf8(&bytes).unwrap_or_default());
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
        assert_eq!(sql_time(Timestamp::MAX), "9999-12-30 22:00:00.999999");
        assert_eq!(sql_time(Timestamp::MIN), "-9999-01-02 01:59:59.000000");
    }
}
