//! Reads one JSON value as what a field must hold.
//!
//! An error says what is wrong without the name of the field. Whoever knows the field puts its name in front.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use uuid::Uuid;

use crate::id::parse_id;
use crate::json::JsonText;
use crate::limits::{MAX_DEPTH, half_excerpt};

/// What is wrong with a value.
pub(crate) type Problem = Cow<'static, str>;

/// One value in valid JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'a> {
    text: &'a str,
    /// Whether it is a string that says what is between its quotes.
    is_unescaped: bool,
}

impl<'a> Value<'a> {
    /// Takes the text of any value.
    pub(crate) fn of(text: &'a str) -> Self {
        Self { text, is_unescaped: false }
    }

    /// Takes the literal of a string that has no escapes.
    pub(crate) fn unescaped(literal: &'a str) -> Self {
        Self { text: literal, is_unescaped: true }
    }

    /// Returns the text of the value.
    #[cfg(test)]
    pub(crate) fn text(self) -> &'a str {
        self.text
    }

    /// Decodes a string; `None` if what it says is not Unicode, or the value is no string.
    #[inline]
    pub(crate) fn decoded(self) -> Option<Cow<'a, str>> {
        if self.is_unescaped {
            return self.text.get(1..self.text.len() - 1).map(Cow::Borrowed);
        }
        self.with_escapes_decoded()
    }

    #[cold]
    fn with_escapes_decoded(self) -> Option<Cow<'a, str>> {
        serde_json::from_str(self.text).ok().map(Cow::Owned)
    }

    /// Reads a UUID.
    pub(crate) fn id(self) -> Result<Uuid, Problem> {
        self.decoded().and_then(|text| parse_id(&text)).ok_or_else(|| {
            format!("must be a UUID of 8-4-4-4-12 hexadecimal digits, is {}", self.shown()).into()
        })
    }

    /// Reads an array of at most `most` UUIDs, which has these elements. An error comes with the place of the
    /// element that is wrong, if one is.
    pub(crate) fn ids(
        self,
        elements: &[Value<'_>],
        most: usize,
    ) -> Result<Vec<Uuid>, (Option<usize>, Problem)> {
        if !self.text.starts_with('[') {
            return Err((None, format!("must be an array of UUIDs, is {}", self.shown()).into()));
        }
        if elements.len() > most {
            return Err((None, format!("must hold at most {most} UUIDs, holds {}", elements.len()).into()));
        }
        let id = |(n, element): (usize, &Value<'_>)| element.id().map_err(|problem| (Some(n), problem));
        elements.iter().enumerate().map(id).collect()
    }

    /// Reads `true` or `false`.
    pub(crate) fn boolean(self) -> Result<bool, Problem> {
        match self.text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("must be true or false, is {}", self.shown()).into()),
        }
    }

    /// Reads an integer of 64 bits.
    pub(crate) fn integer(self) -> Result<i64, Problem> {
        self.text.parse().map_err(|_| {
            let digits = self.text.strip_prefix('-').unwrap_or(self.text);
            let is_integer = digits.bytes().all(|b| b.is_ascii_digit());
            let expected = if is_integer { "an integer of at most 64 bits" } else { "an integer" };
            format!("must be {expected}, is {}", self.shown()).into()
        })
    }

    /// Reads an integer from `least` to `most`.
    pub(crate) fn integer_within<N>(self, least: N, most: N) -> Result<N, Problem>
    where
        N: TryFrom<i64> + PartialOrd + Display + Copy,
    {
        match self.integer().ok().and_then(|n| N::try_from(n).ok()) {
            Some(n) if (least..=most).contains(&n) => Ok(n),
            _ => Err(format!("must be an integer from {least} to {most}, is {}", self.shown()).into()),
        }
    }

    /// Reads an integer of 0 or more; one that does not fit counts as `u32::MAX`.
    pub(crate) fn count(self) -> Result<u32, Problem> {
        match (self.text.parse(), self.text) {
            (Ok(count), _) => Ok(count),
            (Err(_), "-0") => Ok(0),
            (Err(_), digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Ok(u32::MAX),
            _ => Err(format!("must be an integer of 0 or more, is {}", self.shown()).into()),
        }
    }

    /// Reads a number.
    pub(crate) fn number(self) -> Result<f64, Problem> {
        serde_json::from_str(self.text).map_err(|_| format!("must be a number, is {}", self.shown()).into())
    }

    /// Reads a number of seconds from `least` to `most`, to the microsecond.
    pub(crate) fn seconds(self, least: Duration, most: Duration) -> Result<Duration, Problem> {
        let seconds = serde_json::from_str(self.text).ok();
        let whole_micros = |time: Duration| u64::try_from(time.as_micros()).ok().map(Duration::from_micros);
        let time = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()).and_then(whole_micros);
        time.filter(|time| (least..=most).contains(time)).ok_or_else(|| {
            let from = if least.is_zero() { "from 0" } else { "above 0" };
            let (most, shown) = (most.as_secs(), self.shown());
            format!("must be a number of seconds {from} and at most {most}, is {shown}").into()
        })
    }

    /// Reads a string without U+0000, which PostgreSQL cannot hold.
    pub(crate) fn string(self) -> Result<String, Problem> {
        self.any_string()?;
        let text = self.decoded();
        let text =
            text.ok_or(Problem::Borrowed("is not valid Unicode: it has half a surrogate pair"))?.into_owned();
        // Only an escape can stand for U+0000.
        if !self.is_unescaped && text.contains('\0') {
            return Err("must not contain U+0000".into());
        }
        Ok(text)
    }

    /// Reads the same as [`Value::string`], of at most `most` bytes.
    pub(crate) fn bounded_text(self, most: usize) -> Result<String, Problem> {
        let text = self.string()?;
        check_length(&text, most)?;
        Ok(text)
    }

    /// Reads the same as [`Value::string`], of `least` to `most` characters.
    pub(crate) fn sized_text(self, least: usize, most: usize) -> Result<String, Problem> {
        let text = self.string()?;
        let length = text.chars().count();
        if (least..=most).contains(&length) {
            return Ok(text);
        }
        let expected = if least == most { most.to_string() } else { format!("{least} to {most}") };
        Err(format!("must be {expected} characters long, has {length}").into())
    }

    /// Checks that the value is a string, whatever it says.
    pub(crate) fn any_string(self) -> Result<(), Problem> {
        if self.text.starts_with('"') {
            return Ok(());
        }
        Err(format!("must be a string, is {}", self.shown()).into())
    }

    /// Keeps a string as the JSON literal that it came as.
    pub(crate) fn string_literal(self) -> Result<JsonText, Problem> {
        self.any_string()?;
        JsonText::from_valid(self.text).ok_or_else(too_deep)
    }

    /// Keeps an object as the text that it came as.
    pub(crate) fn object_text(self) -> Result<JsonText, Problem> {
        JsonText::from_valid(self.object()?).ok_or_else(too_deep)
    }

    /// Returns the text of an object.
    pub(crate) fn object(self) -> Result<&'a str, Problem> {
        if self.text.starts_with('{') {
            return Ok(self.text);
        }
        Err(format!("must be an object, is {}", self.shown()).into())
    }

    /// Writes the value as an error shows it.
    pub(crate) fn shown(self) -> String {
        match self.text.as_bytes().first() {
            Some(b'{') => "an object".to_owned(),
            Some(b'[') => "an array".to_owned(),
            _ => half_excerpt(self.text).into_owned(),
        }
    }
}

/// Checks that a text is at most `most` bytes long.
pub(crate) fn check_length(text: &str, most: usize) -> Result<(), Problem> {
    match text.len() {
        length if length > most => Err(format!("must be at most {most} bytes long, has {length}").into()),
        _ => Ok(()),
    }
}

fn too_deep() -> Problem {
    format!("is nested deeper than {MAX_DEPTH} levels").into()
}
