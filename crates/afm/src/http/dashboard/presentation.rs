//! How pages write times, durations, numbers, states and the texts of clients.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use slamon_domain::{State, StateName};
use slamon_protocol::{excerpt, iso_time, sql_time};

use super::pretty_json::is_unseen;

/// A time, which the script of the page shows in the viewer's zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub(super) Timestamp);

impl Moment {
    /// The time for programs: RFC 3339.
    pub(super) fn iso(self) -> String {
        iso_time(self.0)
    }

    /// The time for people, to the second.
    pub(super) fn utc(self) -> String {
        let text = sql_time(self.0);
        let seconds = text.rsplit_once('.').map_or(text.as_str(), |(seconds, _)| seconds);
        format!("{seconds} UTC")
    }
}

/// Returns the time from `from` to `to`, which is nothing if a clock was set back meanwhile.
pub(super) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// Writes a duration in its two largest units.
pub(super) fn duration(time: impl Borrow<Duration>) -> String {
    let time = *time.borrow();
    let (seconds, milliseconds) = (time.as_secs(), time.subsec_millis());
    match seconds {
        0 if milliseconds == 0 && !time.is_zero() => "under 1 ms".to_owned(),
        0 => format!("{milliseconds} ms"),
        1..10 => format!("{seconds}.{} s", milliseconds / 100),
        10..60 => format!("{seconds} s"),
        60..3_600 => units(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => units(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => units(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

fn units(large: u64, of_large: &str, small: u64, of_small: &str) -> String {
    match small {
        0 => format!("{} {of_large}", number(large)),
        small => format!("{} {of_large} {small} {of_small}", number(large)),
    }
}

/// Writes a number with a comma before every three digits.
pub(super) fn number(number: impl fmt::Display) -> String {
    let digits = number.to_string();
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |digits| ("-", digits));
    let mut text = String::from(sign);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a number of things: `1 task`, `2 tasks`.
pub(super) fn count(things: u64, one: &str) -> String {
    format!("{} {one}{}", number(things), if things == 1 { "" } else { "s" })
}

/// Writes a size in bytes.
pub(super) fn size(bytes: usize) -> String {
    match bytes {
        0..1_000 => count(bytes as u64, "byte"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

/// A task type or a name, as a client wrote it, cut where it is long.
pub(super) fn name(text: &str) -> String {
    let inner = text.trim();
    if inner.is_empty() {
        return "(empty)".to_owned();
    }
    if inner.len() == text.len() {
        return excerpt(&shown(text)).into_owned();
    }
    // Nobody sees blanks at the ends, and yet it is another name with them.
    let end = text.trim_end();
    let (before, after) = (&end[..end.len() - inner.len()], &text[end.len()..]);
    excerpt(&format!("{}{}{}", escaped(before), shown(inner), escaped(after))).into_owned()
}

fn escaped(text: &str) -> String {
    text.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect()
}

/// A text of a client for people. Characters that turn the direction of what follows around, or that nobody
/// sees, are written as escapes: so they act on nothing beside the text, and no text looks like another one.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    // Those two join and part letters, which changes how words of some languages look.
    let joins = |c: char| matches!(c, '\u{200c}' | '\u{200d}');
    let is_blank = text.chars().all(|c| c.is_whitespace() || is_unseen(c));
    let is_escaped = |c: char| is_unseen(c) && !matches!(c, '\n' | '\r' | '\t') && (is_blank || !joins(c));
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if is_escaped(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Encodes a text as one part of a path, or for a query.
pub(super) fn part(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Cuts a text after so many characters.
pub(super) fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Whether two texts are the same, for templates, which have references to either.
pub(super) fn same(one: &str, other: &str) -> bool {
    one == other
}

/// The state of a task as a badge: its word and its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Badge {
    pub(super) word: &'static str,
    /// The class: `good`, `bad`, `busy` or `calm`.
    pub(super) class: &'static str,
}

impl From<StateName> for Badge {
    fn from(state: StateName) -> Self {
        let (word, class) = match state {
            StateName::Delayed => ("delayed", "calm"),
            StateName::Pending => ("waiting", "calm"),
            StateName::Claimed => ("running", "busy"),
            StateName::Completed => ("done", "good"),
            StateName::Failed => ("failed", "bad"),
            StateName::Lost => ("lost", "bad"),
            StateName::TimedOut => ("timed out", "bad"),
            StateName::Expired => ("expired", "bad"),
            StateName::Cancelled => ("cancelled", "calm"),
        };
        Self { word, class }
    }
}

impl From<&State> for Badge {
    fn from(state: &State) -> Self {
        StateName::from(state).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units() {
        for (milliseconds, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_250, "1.2 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (61_000, "1 min 1 s"),
            (7_260_000, "2 h 1 min"),
            (90_000_000, "1 d 1 h"),
            (86_400_000_000, "1,000 d"),
        ] {
            assert_eq!(duration(Duration::from_millis(milliseconds)), text);
        }
        assert_eq!(duration(Duration::from_micros(3)), "under 1 ms");
    }

    #[test]
    fn numbers_are_grouped() {
        for (value, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (-1_234_567, "-1,234,567")] {
            assert_eq!(number(value), text);
        }
        assert_eq!((count(1, "task"), count(2, "task")), ("1 task".to_owned(), "2 tasks".to_owned()));
        assert_eq!(
            (size(1), size(16_384), size(1_048_576)),
            ("1 byte".into(), "16 kB".into(), "1.0 MB".into())
        );
    }

    #[test]
    fn texts_of_clients_are_parts_of_addresses() {
        assert_eq!(part("a b/c?d=ä&\"<\r\n"), "a%20b%2Fc%3Fd%3D%C3%A4%26%22%3C%0D%0A");
        assert_eq!(name(" \n"), "(empty)");
    }

    #[test]
    fn what_nobody_sees_is_written() {
        for (text, expected) in [
            ("plain\ttext\n", "plain\ttext\n"),
            // It would end the isolation of the text, and turn around what stands behind it.
            ("\u{2069}\u{202e}wait", "\\u2069\\u202ewait"),
            ("wa\u{200b}it\u{0}", "wa\\u200bit\\u0000"),
            ("می\u{200c}خواهم 👩\u{200d}🔧", "می\u{200c}خواهم 👩\u{200d}🔧"),
            ("\u{200d} ", "\\u200d "),
            ("\u{e0041}", "\\ue0041"),
        ] {
            assert_eq!(shown(text), expected);
        }
        assert_eq!(name(&"\u{202e}".repeat(10_000)).chars().count(), 200);
        for (text, expected) in
            [("wait ", "wait\\u0020"), ("\twait", "\\u0009wait"), ("a b", "a b"), (" ", "(empty)")]
        {
            assert_eq!(name(text), expected);
        }
        assert_eq!(name(&format!("wait{}", " ".repeat(10_000))).chars().count(), 200);
    }
}
