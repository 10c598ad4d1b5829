//! Takes a request body apart field by field, so that an error can name the field.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{JsonText, MAX_DEPTH, parse_id};

/// What is wrong with a request body, in words for whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.detail())]
pub struct Invalid {
    /// The field, as a path from the body (`agent_location.country`); `None`: the body as a whole.
    pub field: Option<String>,
    /// What is wrong and what is expected.
    pub problem: String,
}

impl Invalid {
    pub(crate) fn field(name: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: Some(name.into()), problem: problem.into() }
    }

    fn body(problem: impl Into<String>) -> Self {
        Self { field: None, problem: problem.into() }
    }

    fn detail(&self) -> String {
        match &self.field {
            Some(field) => format!("{field}: {}", self.problem),
            None => format!("request body: {}", self.problem),
        }
    }
}

/// The members of one JSON object, handed out by name; a repeated key counts with its last value.
pub(crate) struct Fields<'a> {
    path: String,
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Fields<'a> {
    /// Reads a whole request body.
    pub(crate) fn of_body(body: &'a str) -> Result<Self, Invalid> {
        if body.trim_ascii().is_empty() {
            return Err(Invalid::body("must be a JSON object, is empty"));
        }
        let value: &RawValue =
            serde_json::from_str(body).map_err(|e| Invalid::body(format!("is not valid JSON: {e}")))?;
        if !value.get().starts_with('{') {
            return Err(Invalid::body(format!("must be a JSON object, is {}", shown(value))));
        }
        let members: Members<'_> = serde_json::from_str(value.get())
            .map_err(|e| Invalid::body(format!("is not valid JSON: {e}")))?;
        Ok(Self { path: String::new(), members: members.0 })
    }

    fn of_object(path: &str, value: &'a RawValue) -> Result<Self, Invalid> {
        if !value.get().starts_with('{') {
            return Err(Invalid::field(path, format!("must be an object, is {}", shown(value))));
        }
        let members: Members<'_> = serde_json::from_str(value.get())
            .map_err(|e| Invalid::field(path, format!("is not valid JSON: {e}")))?;
        Ok(Self { path: format!("{path}."), members: members.0 })
    }

    fn name(&self, field: &str) -> String {
        format!("{}{field}", self.path)
    }

    /// Takes a field out; [`Fields::finish`] complains of what is left.
    fn take(&mut self, field: &str) -> Option<&'a RawValue> {
        let mut value = None;
        self.members.retain(|(name, raw)| {
            let taken = name == field;
            if taken {
                value = Some(*raw);
            }
            !taken
        });
        value
    }

    fn require(&mut self, field: &str) -> Result<&'a RawValue, Invalid> {
        self.take(field).ok_or_else(|| Invalid::field(self.name(field), "is required"))
    }

    pub(crate) fn id(&mut self, field: &str) -> Result<Uuid, Invalid> {
        let value = self.require(field)?;
        id(&self.name(field), value)
    }

    pub(crate) fn optional_id(&mut self, field: &str) -> Result<Option<Uuid>, Invalid> {
        let name = self.name(field);
        self.take(field).map(|value| id(&name, value)).transpose()
    }

    pub(crate) fn optional_text(&mut self, field: &str) -> Result<Option<String>, Invalid> {
        let name = self.name(field);
        self.take(field).map(|value| text(&name, value)).transpose()
    }

    pub(crate) fn optional_boolean(&mut self, field: &str) -> Result<Option<bool>, Invalid> {
        let Some(value) = self.take(field) else { return Ok(None) };
        match value.get() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(Invalid::field(self.name(field), format!("must be true or false, is {}", shown(value)))),
        }
    }

    pub(crate) fn optional_integer(
        &mut self,
        field: &str,
        least: i64,
        most: i64,
    ) -> Result<Option<i64>, Invalid> {
        let Some(value) = self.take(field) else { return Ok(None) };
        let name = self.name(field);
        match integer(&name, value) {
            Ok(n) if (least..=most).contains(&n) => Ok(Some(n)),
            _ => Err(Invalid::field(
                name,
                format!("must be an integer from {least} to {most}, is {}", shown(value)),
            )),
        }
    }

    /// A number of seconds, kept to the microsecond.
    pub(crate) fn optional_seconds(
        &mut self,
        field: &str,
        least: Duration,
        most: Duration,
    ) -> Result<Option<Duration>, Invalid> {
        let Some(value) = self.take(field) else { return Ok(None) };
        let seconds = serde_json::from_str(value.get()).ok();
        let whole_micros = |time: Duration| Duration::from_micros(time.as_micros() as u64);
        let time = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()).map(whole_micros);
        time.filter(|time| (least..=most).contains(time)).map(Some).ok_or_else(|| {
            let from = if least.is_zero() { "from 0" } else { "above 0" };
            let most = most.as_secs();
            Invalid::field(
                self.name(field),
                format!("must be a number of seconds {from} and at most {most}, is {}", shown(value)),
            )
        })
    }

    /// A string without U+0000, which PostgreSQL cannot hold.
    pub(crate) fn text(&mut self, field: &str) -> Result<String, Invalid> {
        let value = self.require(field)?;
        text(&self.name(field), value)
    }

    /// A string that nobody reads.
    pub(crate) fn any_string(&mut self, field: &str) -> Result<(), Invalid> {
        let value = self.require(field)?;
        if value.get().starts_with('"') {
            return Ok(());
        }
        Err(Invalid::field(self.name(field), format!("must be a string, is {}", shown(value))))
    }

    pub(crate) fn integer(&mut self, field: &str) -> Result<i64, Invalid> {
        let value = self.require(field)?;
        integer(&self.name(field), value)
    }

    /// A whole number from 0; more than fits counts as `u32::MAX`.
    pub(crate) fn count(&mut self, field: &str) -> Result<u32, Invalid> {
        let value = self.require(field)?;
        let digits = value.get();
        if digits.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(digits.parse().unwrap_or(u32::MAX));
        }
        match digits {
            "-0" => Ok(0),
            _ => Err(Invalid::field(
                self.name(field),
                format!("must be an integer of 0 or more, is {}", shown(value)),
            )),
        }
    }

    pub(crate) fn optional_number(&mut self, field: &str) -> Result<Option<f64>, Invalid> {
        let Some(value) = self.take(field) else { return Ok(None) };
        serde_json::from_str(value.get())
            .map(Some)
            .map_err(|_| Invalid::field(self.name(field), format!("must be a number, is {}", shown(value))))
    }

    /// An object, kept as the text it came as.
    pub(crate) fn optional_object_text(&mut self, field: &str) -> Result<Option<JsonText>, Invalid> {
        let Some(value) = self.take(field) else { return Ok(None) };
        let name = self.name(field);
        if !value.get().starts_with('{') {
            return Err(Invalid::field(name, format!("must be an object, is {}", shown(value))));
        }
        JsonText::from_valid(value.get())
            .map(Some)
            .ok_or_else(|| Invalid::field(name, format!("is nested deeper than {MAX_DEPTH} levels")))
    }

    /// A string, kept as the JSON literal it came as.
    pub(crate) fn optional_string_text(&mut self, field: &str) -> Result<Option<JsonText>, Invalid> {
        let Some(value) = self.take(field) else { return Ok(None) };
        match JsonText::from_valid(value.get()) {
            Some(text) if text.as_str().starts_with('"') => Ok(Some(text)),
            _ => Err(Invalid::field(self.name(field), format!("must be a string, is {}", shown(value)))),
        }
    }

    pub(crate) fn object(&mut self, field: &str) -> Result<Fields<'a>, Invalid> {
        let value = self.require(field)?;
        Fields::of_object(&self.name(field), value)
    }

    pub(crate) fn optional_object(&mut self, field: &str) -> Result<Option<Fields<'a>>, Invalid> {
        let name = self.name(field);
        self.take(field).map(|value| Fields::of_object(&name, value)).transpose()
    }

    /// The members as objects of their own, under their names; the last of a repeated name counts.
    pub(crate) fn into_objects(self) -> Result<Vec<(String, Fields<'a>)>, Invalid> {
        let path = self.path;
        let mut objects: Vec<(String, &'a RawValue)> = Vec::with_capacity(self.members.len());
        let mut places = std::collections::HashMap::with_capacity(self.members.len());
        for (name, value) in self.members {
            let place = *places.entry(name.clone()).or_insert(objects.len());
            if place == objects.len() {
                objects.push((name.into_owned(), value));
            } else {
                objects[place].1 = value;
            }
        }
        let open = |(name, value): (String, &'a RawValue)| {
            if name.contains('\0') {
                return Err(Invalid::field(path.trim_end_matches('.'), "a name must not contain U+0000"));
            }
            let fields = Fields::of_object(&format!("{path}{name}"), value)?;
            Ok((name, fields))
        };
        objects.into_iter().map(open).collect()
    }

    /// Refuses whatever has not been taken.
    pub(crate) fn finish(self, known: &str) -> Result<(), Invalid> {
        match self.members.first() {
            Some((name, _)) => {
                let name = shortened(&self.name(name));
                Err(Invalid::field(name, format!("is not a known field; known are {known}")))
            }
            None => Ok(()),
        }
    }
}

fn id(name: &str, value: &RawValue) -> Result<Uuid, Invalid> {
    let text: Option<Cow<'_, str>> = serde_json::from_str(value.get()).ok();
    text.and_then(|text| parse_id(&text)).ok_or_else(|| {
        let expected = "must be a UUID of 8-4-4-4-12 hexadecimal digits";
        Invalid::field(name, format!("{expected}, is {}", shown(value)))
    })
}

fn text(name: &str, value: &RawValue) -> Result<String, Invalid> {
    if !value.get().starts_with('"') {
        return Err(Invalid::field(name, format!("must be a string, is {}", shown(value))));
    }
    let text: String = serde_json::from_str(value.get())
        .map_err(|_| Invalid::field(name, "is not valid Unicode: it has half a surrogate pair"))?;
    if text.contains('\0') {
        return Err(Invalid::field(name, "must not contain U+0000"));
    }
    Ok(text)
}

fn integer(name: &str, value: &RawValue) -> Result<i64, Invalid> {
    let digits = value.get().strip_prefix('-').unwrap_or(value.get());
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Invalid::field(name, format!("must be an integer, is {}", shown(value))));
    }
    value.get().parse().map_err(|_| {
        Invalid::field(name, format!("must be an integer of at most 64 bits, is {}", shown(value)))
    })
}

/// A value as an error shows it.
fn shown(value: &RawValue) -> String {
    match value.get().as_bytes()[0] {
        b'{' => "an object".to_owned(),
        b'[' => "an array".to_owned(),
        _ => shortened(value.get()),
    }
}

fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// A key; borrowed from the body where it has no escapes, which `Cow` alone never does.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
