//! JSON that is kept as the text it came as.
//!
//! Task data and results belong to the clients: 30-digit integers, `1.0`, key order and escapes are given
//! back as they came, so they are never decoded into numbers and strings of ours. The one thing that is
//! mended are repeated keys, of which the original kept the last.

mod repeated_keys;
mod tokens;

use std::fmt;

use self::tokens::{Token, Tokens};

use crate::limits::EXCERPT;

/// The text of one JSON value, without white space around it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct JsonText(Box<str>);

impl JsonText {
    /// Takes `text`, which must be valid JSON, and drops all but the last of repeated keys.
    ///
    /// `None` if it is nested deeper than [`MAX_DEPTH`](crate::limits::MAX_DEPTH).
    pub(crate) fn from_valid(text: &str) -> Option<Self> {
        use repeated_keys::Keys;
        match repeated_keys::look_for(text) {
            Keys::Unique => Some(Self(text.into())),
            Keys::Repeated => Some(Self(repeated_keys::drop_all_but_last(text).into())),
            Keys::TooDeep => None,
        }
    }

    /// Takes text that a store has kept, without checking it again.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text.into())
    }

    /// Writes a JSON string literal that says `text`.
    #[must_use]
    pub fn string(text: &str) -> Self {
        Self(serde_json::Value::from(text).to_string().into())
    }

    /// Cuts a string literal for a list, which shows at most [`EXCERPT`] + 2 characters with the quotes.
    ///
    /// A longer literal is cut between two characters and gets `…` at its end. Of `literal` the first
    /// [`EXCERPT`] + 3 characters are enough.
    #[must_use]
    pub fn string_excerpt(literal: &str) -> Self {
        if literal.chars().nth(EXCERPT + 2).is_none() {
            return Self(literal.into());
        }
        let mut end = 1;
        let mut left = EXCERPT - 1;
        while let Some((bytes, characters)) = next_character(&literal[end..])
            && characters <= left
        {
            end += bytes;
            left -= characters;
        }
        Self(format!("{}…\"", &literal[..end]).into())
    }

    /// Decodes a string literal; `None` if what it says is not Unicode, or it is none.
    #[must_use]
    pub fn decode_string(literal: &str) -> Option<String> {
        serde_json::from_str(literal).ok()
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether two texts say the same. White space and the way in which characters are escaped do not count;
    /// the order of keys and the way in which numbers are written do.
    #[must_use]
    pub fn same_value(&self, other: &Self) -> bool {
        if self.0 == other.0 {
            return true;
        }
        let same = |(a, b): (Token<'_>, Token<'_>)| match (a, b) {
            (Token::String(a), Token::String(b)) => tokens::decoded(a) == tokens::decoded(b),
            (a, b) => a == b,
        };
        Tokens::of(&self.0).count() == Tokens::of(&other.0).count()
            && Tokens::of(&self.0).zip(Tokens::of(&other.0)).all(same)
    }
}

/// Counts the bytes and the characters in which a literal writes its next character; `None` at an end within
/// an escape.
fn next_character(rest: &str) -> Option<(usize, usize)> {
    let escape = |from: usize| rest.get(from..from + 2);
    match escape(0) {
        Some("\\u") => {
            // The halves of a surrogate pair belong together.
            let is_first_half =
                matches!(rest.get(2..4)?, "d8" | "d9" | "da" | "db" | "D8" | "D9" | "DA" | "DB");
            let length = if is_first_half && escape(6) == Some("\\u") { 12 } else { 6 };
            rest.get(..length).map(|_| (length, length))
        }
        Some(other) if other.starts_with('\\') => Some((2, 2)),
        _ => rest.chars().next().filter(|c| *c != '\\').map(|c| (c.len_utf8(), 1)),
    }
}

impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::limits::MAX_DEPTH;

    fn text(text: &str) -> JsonText {
        JsonText::from_valid(text).unwrap()
    }

    #[test]
    fn kept_as_it_came() {
        for json in [
            r#"{"n":123456789012345678901234567890,"f":1.0,"e":1E400,"z":-0}"#,
            "{ \"b\" : 1 ,\n\t\"a\":[ ] }",
            r#"{"\u0000":"\ud83d\ude00 😀 \/ \ud800"}"#,
            r#"{"a":{"x":1},"b":{"x":1},"c":[{"x":1},{"x":1}]}"#,
        ] {
            assert_eq!(text(json).as_str(), json);
        }
    }

    #[test]
    fn the_last_of_repeated_keys_wins_in_the_place_of_the_first() {
        for (posted, kept) in [
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            (r#"{"a": 1, "b": 1.0, "a": {"x": 3}}"#, r#"{"a":{"x":3},"b":1.0}"#),
            (r#"{"a":1,"\u0061":2}"#, r#"{"\u0061":2}"#),
            (r#"{"a":[{"k":1,"k":[2,{"z":0,"z":1}]}],"b":9}"#, r#"{"a":[{"k":[2,{"z":1}]}],"b":9}"#),
            (r#"{"\ud800":1,"\uD800":2}"#, r#"{"\uD800":2}"#),
        ] {
            assert_eq!(text(posted).as_str(), kept, "{posted}");
        }
    }

    #[test]
    fn many_keys_are_looked_through_quickly_and_rightly() {
        let member = |i: usize| format!("\"key{i}\":{i}");
        let unique = (0..20_000).map(member).collect::<Vec<_>>().join(",");
        let json = format!("{{{unique}}}");
        assert_eq!(text(&json).as_str(), json);
        let repeated = format!("{{{unique},\"key7\":\"last\"}}");
        assert_eq!(text(&repeated).as_str(), json.replace("\"key7\":7,", "\"key7\":\"last\","));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(JsonText::from_valid(&nested(MAX_DEPTH)).is_some());
        assert!(JsonText::from_valid(&nested(MAX_DEPTH + 1)).is_none());
        assert!(JsonText::from_valid(&nested(400_000)).is_none());
    }

    #[test]
    fn an_excerpt_of_a_string_is_a_string() {
        for character in ["a", "ä", "😀", "\\n", "\\\"", "\\\\", "\\u00e4", "\\ud83d\\ude00", "\\ud800"] {
            for lead in ["", "x", "xy", "xyz"] {
                let literal = |times| format!("\"{lead}{}\"", character.repeat(times));
                let whole = literal(10);
                assert_eq!(JsonText::string_excerpt(&whole).as_str(), whole);
                let long: String = literal(1_000).chars().take(EXCERPT + 3).collect();
                let cut = JsonText::string_excerpt(&long);
                let cut = cut.as_str();
                assert!(cut.ends_with("…\"") && cut.chars().count() <= EXCERPT + 2, "{cut}");
                assert!(cut.chars().count() > EXCERPT - 12, "{cut}");
                assert!(serde_json::from_str::<&RawValue>(cut).is_ok(), "{cut}");
                let inner = cut.strip_suffix("…\"").unwrap().strip_prefix('"').unwrap();
                assert_eq!(
                    inner.strip_prefix(lead).unwrap().replace(character, ""),
                    "",
                    "cut within one: {cut}"
                );
            }
        }
        let longest = format!("\"{}\"", "x".repeat(EXCERPT));
        assert_eq!(JsonText::string_excerpt(&longest).as_str(), longest);
    }

    #[test]
    fn same_value_looks_past_spaces_and_escapes_only() {
        let a = text(r#"{"a": [1, "é/"], "b": true}"#);
        assert!(a.same_value(&text(r#"{"a":[1,"\u00e9\/"],"b":true}"#)));
        for other in [
            r#"{"a":[1.0,"é/"],"b":true}"#,
            r#"{"b":true,"a":[1,"é/"]}"#,
            r#"{"a":[1,"é/"],"b":true,"c":0}"#,
            r#"{"a":[1,"é"],"b":true}"#,
        ] {
            assert!(!a.same_value(&text(other)), "{other}");
        }
    }
}
