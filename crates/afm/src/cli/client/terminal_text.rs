//! Texts of clients and agents on a terminal: nothing in them is a command to it, and columns stay columns.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::http::is_unseen;

/// A text on one line. Control characters, which a terminal would obey, and those that nobody sees or that turn the
/// direction around, are written as escapes.
pub(in crate::cli) fn shown(text: &str) -> String {
    // Those two join and part letters, which changes how words of some languages look.
    let joins = |c: char| matches!(c, '\u{200c}' | '\u{200d}');
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_unseen(c) && !joins(c) => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// A name as [`shown`], in quotes where its ends could not be seen without.
pub(in crate::cli) fn name(text: &str) -> String {
    if text.is_empty() || text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
        return format!("\"{}\"", shown(text));
    }
    shown(text)
}

/// A JSON text without a character that a terminal would obey. Such characters stand in strings only, where an
/// escape says the same.
pub(in crate::cli) fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Blanks between the parts of a text that somebody has written on several lines.
        if matches!(c, '\n' | '\r' | '\t') {
            out.push(' ');
        } else if is_unseen(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// How many columns a text takes.
pub(in crate::cli) fn width(text: &str) -> usize {
    text.width()
}

/// The text, or as much of it as fits into so many columns, and then with `…` as its end. A letter keeps its accents.
pub(in crate::cli) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut end = 0;
    for (start, c) in text.char_indices() {
        let after = start + c.len_utf8();
        if width(&text[..after]) + 1 > columns {
            break;
        }
        end = after;
    }
    // What follows may be marks of the last letter, which take no column of their own.
    while let Some(c) = text[end..].chars().next().filter(|c| end > 0 && c.width() == Some(0)) {
        end += c.len_utf8();
    }
    match columns {
        0 => String::new(),
        _ => format!("{}…", &text[..end]),
    }
}

/// The text with blanks behind it up to so many columns.
pub(in crate::cli) fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_as_an_escape() {
        let hostile = "a\u{1b}[2J\u{9b}31mb\u{7}\r\n\u{202e}c\u{200b}\u{feff}\u{7f}";
        let text = shown(hostile);
        assert_eq!(text, r"a\u{1b}[2J\u{9b}31mb\u{7}\r\n\u{202e}c\u{200b}\u{feff}\u{7f}");
        for text in ["日本語", "e\u{301}", "👩\u{200d}🔬", "a\\b"] {
            assert_eq!(shown(text), text);
        }
        assert_eq!(["", " a", "b\u{a0}", "c"].map(name), ["\"\"", "\" a\"", "\"b\u{a0}\"", "c"]);
    }

    #[test]
    fn json_stays_the_same_and_has_nothing_that_a_terminal_would_obey() {
        let text = "{\"a\":\"\u{9b}\u{202e}\u{e0041}\u{7f}\",\n\t\"b\":12345678901234567890123}";
        let safe = json(text);
        assert!(safe.is_ascii() && !safe.contains(char::is_control), "{safe}");
        assert!(safe.ends_with("12345678901234567890123}"), "{safe}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&safe)["a"], read(text)["a"]);
    }

    #[test]
    fn wide_letters_and_accents_count_as_the_columns_that_they_take() {
        assert_eq!(["日本", "e\u{301}", "abc"].map(width), [4, 1, 3]);
        assert_eq!(padded("日本", 6), "日本  ");
        assert_eq!(padded("too long", 3), "too long");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("ae\u{301}bc", 3), "ae\u{301}…");
        assert_eq!([cut("abc", 3), cut("abc", 1), cut("abc", 0)], ["abc", "…", ""]);
        for columns in 0..12 {
            assert!(width(&cut("👩\u{200d}🔬e\u{301}\u{302}日本 x👍🏽", columns)) <= columns, "{columns}");
        }
    }
}
