//! JSON that is carried as the text it came as.
//!
//! Task data and results belong to the clients: 30-digit integers, `1.0`, key order and escapes are given
//! back as they came, so they are never decoded into numbers and strings of ours. The one thing that is
//! mended are repeated keys, of which the original kept the last.

mod repeated_keys;
mod tokens;

use std::fmt;

use tokens::{Token, Tokens};

/// How deep arrays and objects may be nested in task data and results.
///
/// The clients parse with recursive parsers (Python gives up near 1,000 levels, Jackson at 1,000), so a
/// deeper value would break whoever gets it.
pub const MAX_DEPTH: usize = 500;

/// One JSON value, as text without surrounding white space.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct JsonText(Box<str>);

impl JsonText {
    /// Takes `text`, which must be valid JSON, and drops all but the last of repeated keys.
    ///
    /// `None` if it is nested deeper than [`MAX_DEPTH`].
    pub(crate) fn from_valid(text: &str) -> Option<Self> {
        use repeated_keys::Keys;
        match repeated_keys::look_for(text) {
            Keys::Unique => Some(Self(text.into())),
            Keys::Repeated => Some(Self(repeated_keys::drop_all_but_last(text).into())),
            Keys::TooDeep => None,
        }
    }

    /// Takes text that a store kept; it is not checked again.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text.into())
    }

    /// The text of a JSON string literal that says `text`.
    #[must_use]
    pub fn string(text: &str) -> Self {
        Self(serde_json::Value::from(text).to_string().into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether two texts say the same: white space and the way characters are escaped do not count,
    /// the order of keys and the way numbers are written do.
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

impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
