//! What an answer has to be.

use std::borrow::Cow;
use std::collections::BTreeMap;

use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Number, Value};

use super::content::Content;
use super::pattern::compile;
use super::request::Answer;

/// A value that was there is repeated up to so many characters.
const LONGEST_SHOWN: usize = 200;

/// The member `expected_status`: by default all from 200 to 399.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Value")]
pub(in crate::handlers) struct Statuses(Vec<Status>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    One(u16),
    /// `2xx` is 2.
    Class(u16),
}

/// One text, or a list of them.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(from = "TextOrTexts")]
#[schemars(with = "TextOrTexts", inline)]
pub(in crate::handlers) struct OneOrMany(Vec<String>);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "must be a text or a list of texts")]
#[schemars(inline)]
enum TextOrTexts {
    One(String),
    Many(Vec<String>),
}

/// What an answer has to be.
#[derive(Debug)]
pub(in crate::handlers) struct Expected {
    statuses: Statuses,
    contains: Vec<String>,
    regex: Option<Regex>,
    json: BTreeMap<String, Value>,
}

impl Expected {
    /// Reads what is expected; the problem begins with the name of the member.
    pub(in crate::handlers) fn new(
        statuses: Statuses,
        contains: OneOrMany,
        regex: Option<&str>,
        json: BTreeMap<String, Value>,
    ) -> Result<Self, String> {
        if let Some(pointer) = json.keys().find(|pointer| !is_pointer(pointer)) {
            return Err(format!(
                "json: {pointer:?} is no JSON pointer: it must be empty or begin with \"/\""
            ));
        }
        if contains.0.iter().any(String::is_empty) {
            return Err("contains: an empty text is in every body".to_owned());
        }
        let regex =
            regex.map(|regex| compile(regex).map_err(|problem| format!("regex: {problem}"))).transpose()?;
        Ok(Self { statuses, contains: contains.0, regex, json })
    }

    /// Whether the body counts.
    pub(in crate::handlers) fn has_body(&self) -> bool {
        !self.contains.is_empty() || self.is_parsed()
    }

    /// Whether the body is compared with a regular expression, or with JSON.
    pub(in crate::handlers) fn is_parsed(&self) -> bool {
        self.regex.is_some() || !self.json.is_empty()
    }

    /// Whether an answer has another status; a sentence of what was expected, and what was there.
    pub(in crate::handlers) fn check_status(&self, answer: &Answer) -> Result<(), String> {
        let status = answer.status;
        if self.statuses.contains(status.as_u16()) {
            return Ok(());
        }
        let reason = status.canonical_reason().map_or_else(String::new, |reason| format!(" {reason}"));
        Err(format!("expected status {}, and it was {}{reason}", self.statuses, status.as_u16()))
    }

    /// What a body is not; a sentence of what was expected, and what was there.
    pub(in crate::handlers) fn check(&self, content: &Content<'_>) -> Result<(), String> {
        let body = &content.answer.body;
        let nowhere = || match body.is_cut {
            true => format!("is not in its first {} bytes", body.bytes.len()),
            false => format!("is not there ({} bytes)", body.bytes.len()),
        };
        for part in &self.contains {
            content.go_on()?;
            if !content.text().contains(part.as_str()) {
                return Err(format!("expected {part:?} in the body, and it {}", nowhere()));
            }
        }
        content.go_on()?;
        if let Some(regex) = self.regex.as_ref().filter(|regex| !regex.is_match(content.text())) {
            return Err(format!("expected a match of {regex} in the body, and it {}", nowhere()));
        }
        if self.json.is_empty() {
            return Ok(());
        }
        let body = content.json()?;
        for (pointer, expected) in &self.json {
            let place = if pointer.is_empty() {
                "in the body".to_owned()
            } else {
                format!("at {pointer} of the body")
            };
            match body.pointer(pointer) {
                Some(found) if is_same(found, expected) => {}
                Some(found) => {
                    return Err(format!("expected {expected} {place}, and it was {}", shortened(found)));
                }
                None => return Err(format!("expected {expected} {place}, and there is nothing")),
            }
        }
        Ok(())
    }
}

/// Whether a text is a JSON pointer.
pub(in crate::handlers) fn is_pointer(text: &str) -> bool {
    text.is_empty() || text.starts_with('/')
}

/// The beginning of a value.
fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Whether two values are the same; numbers are by their value, so that 1 is 1.0.
fn is_same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => {
            found == expected
                || (is_float(found) || is_float(expected)) && found.as_f64() == expected.as_f64()
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len()
                && found.iter().zip(expected).all(|(found, expected)| is_same(found, expected))
        }
        (Value::Object(found), Value::Object(expected)) => {
            found.len() == expected.len()
                && expected
                    .iter()
                    .all(|(name, expected)| found.get(name).is_some_and(|found| is_same(found, expected)))
        }
        _ => found == expected,
    }
}

fn is_float(number: &Number) -> bool {
    number.is_f64()
}

impl OneOrMany {
    pub(in crate::handlers) fn of(texts: Vec<String>) -> Self {
        Self(texts)
    }

    pub(in crate::handlers) fn texts(&self) -> &[String] {
        &self.0
    }
}

impl Statuses {
    fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|expected| match *expected {
            Status::One(expected) => expected == status,
            Status::Class(expected) => expected == status / 100,
        })
    }
}

impl Default for Statuses {
    fn default() -> Self {
        Self(vec![Status::Class(2), Status::Class(3)])
    }
}

impl TryFrom<Value> for Statuses {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let statuses = match value {
            Value::Array(values) => values.iter().map(status).collect::<Result<Vec<_>, _>>()?,
            value => vec![status(&value)?],
        };
        if statuses.is_empty() {
            return Err("is empty: no status could be right".to_owned());
        }
        Ok(Self(statuses))
    }
}

fn status(value: &Value) -> Result<Status, String> {
    let wrong = || format!("{value} is no status: write 200, or \"2xx\", or a list of such");
    match value {
        Value::Number(number) => {
            let number = number.as_u64().filter(|number| (100..1000).contains(number));
            number.map(|number| Status::One(number as u16)).ok_or_else(wrong)
        }
        Value::String(text) => match text.as_bytes() {
            [class @ b'1'..=b'9', b'x' | b'X', b'x' | b'X'] => Ok(Status::Class(u16::from(class - b'0'))),
            [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'] => text.parse().map(Status::One).map_err(|_| wrong()),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

impl std::fmt::Display for Statuses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, status) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" or ")?;
            }
            match status {
                Status::One(status) => write!(f, "{status}")?,
                Status::Class(class) => write!(f, "{class}xx")?,
            }
        }
        Ok(())
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> Cow<'static, str> {
        "Statuses".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({ "type": "integer", "minimum": 100, "maximum": 999 });
        let class = json_schema!({ "type": "string", "pattern": "^[1-9]([xX][xX]|[0-9][0-9])$" });
        json_schema!({
            "anyOf": [one, class, { "type": "array", "minItems": 1, "items": { "anyOf": [one, class] } }],
        })
    }
}

impl From<TextOrTexts> for OneOrMany {
    fn from(given: TextOrTexts) -> Self {
        match given {
            TextOrTexts::One(text) => Self(vec![text]),
            TextOrTexts::Many(texts) => Self(texts),
        }
    }
}
