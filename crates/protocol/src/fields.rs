//! Takes a request body apart field by field, so that an error can name the field.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{self, Display};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::limits::{MAX_DEPTH, half_excerpt};
use crate::{JsonText, Limits, parse_id};

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
    pub(crate) fn field(name: impl AsRef<str>, problem: impl Into<String>) -> Self {
        // A name may be a client's: that of a capability, or of a field that nobody knows.
        Self { field: Some(half_excerpt(name.as_ref()).into_owned()), problem: problem.into() }
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
    /// The names that lead here from the body.
    path: Vec<Cow<'a, str>>,
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Fields<'a> {
    /// Reads a whole request body.
    pub(crate) fn of_body(body: &'a str) -> Result<Self, Invalid> {
        let text = body.trim_ascii_start();
        if text.is_empty() {
            return Err(Invalid::body("must be a JSON object, is empty"));
        }
        let invalid = |e| Invalid::body(format!("is not valid JSON: {e}"));
        if !text.starts_with('{') {
            let value: &RawValue = serde_json::from_str(body).map_err(invalid)?;
            return Err(Invalid::body(format!("must be a JSON object, is {}", shown(value))));
        }
        let members: Members<'_> = serde_json::from_str(body).map_err(invalid)?;
        Ok(Self { path: Vec::new(), members: members.0 })
    }

    fn of_object(path: Vec<Cow<'a, str>>, value: &'a RawValue) -> Result<Self, Invalid> {
        if !value.get().starts_with('{') {
            return Err(Invalid::field(path.join("."), format!("must be an object, is {}", shown(value))));
        }
        match serde_json::from_str(value.get()) {
            Ok(Members(members)) => Ok(Self { path, members }),
            Err(e) => Err(Invalid::field(path.join("."), format!("is not valid JSON: {e}"))),
        }
    }

    fn inner_path(&self, field: Cow<'a, str>) -> Vec<Cow<'a, str>> {
        self.path.iter().cloned().chain([field]).collect()
    }

    /// A field as an error names it.
    fn name(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path.join(".")) }
    }

    fn invalid(&self, field: &str, problem: impl Into<String>) -> Invalid {
        Invalid::field(self.name(field), problem)
    }

    /// Takes a field out; [`Fields::finish`] complains of what is left.
    fn take(&mut self, field: &str) -> Option<&'a RawValue> {
        let is_it = |(name, _): &(Cow<'a, str>, &'a RawValue)| name == field;
        let first = self.members.iter().position(is_it)?;
        let mut value = self.members.remove(first).1;
        if self.members[first..].iter().any(is_it) {
            self.members.retain(|member| {
                let is_it = is_it(member);
                if is_it {
                    value = member.1;
                }
                !is_it
            });
        }
        Some(value)
    }

    fn require(&mut self, field: &str) -> Result<&'a RawValue, Invalid> {
        self.take(field).ok_or_else(|| self.invalid(field, "is required"))
    }

    pub(crate) fn id(&mut self, field: &str) -> Result<Uuid, Invalid> {
        let value = self.require(field)?;
        id(value).map_err(|problem| self.invalid(field, problem))
    }

    pub(crate) fn optional_id(&mut self, field: &str) -> Result<Option<Uuid>, Invalid> {
        self.take(field).map(|value| id(value).map_err(|problem| self.invalid(field, problem))).transpose()
    }

    /// As [`Fields::bounded_text`], where the field is there.
    pub(crate) fn optional_bounded_text(
        &mut self,
        field: &str,
        most: usize,
    ) -> Result<Option<String>, Invalid> {
        let Some(value) = self.take(field) else { return Ok(None) };
        bounded_text(value, most).map(Some).map_err(|problem| self.invalid(field, problem))
    }

    /// An array of at most so many ids.
    pub(crate) fn optional_ids(&mut self, field: &str, most: usize) -> Result<Option<Vec<Uuid>>, Invalid> {
        let Some(value) = self.take(field) else { return Ok(None) };
        let members: Vec<&RawValue> = serde_json::from_str(value.get())
            .map_err(|_| self.invalid(field, format!("must be an array of UUIDs, is {}", shown(value))))?;
        if members.len() > most {
            let problem = format!("must hold at most {most} UUIDs, holds {}", members.len());
            return Err(self.invalid(field, problem));
        }
        let member = |(n, member): (usize, &RawValue)| {
            id(member).map_err(|problem| self.invalid(&format!("{field}.{n}"), problem))
        };
        members.into_iter().enumerate().map(member).collect::<Result<_, _>>().map(Some)
    }

    pub(crate) fn optional_boolean(&mut self, field: &str) -> Result<Option<bool>, Invalid> {
        let Some(value) = self.take(field) else { return Ok(None) };
        match value.get() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(self.invalid(field, format!("must be true or false, is {}", shown(value)))),
        }
    }

    pub(crate) fn optional_integer<N: TryFrom<i64> + PartialOrd + Display + Copy>(
        &mut self,
        field: &str,
        least: N,
        most: N,
    ) -> Result<Option<N>, Invalid> {
        let Some(value) = self.take(field) else { return Ok(None) };
        match integer(value).ok().and_then(|n| N::try_from(n).ok()) {
            Some(n) if (least..=most).contains(&n) => Ok(Some(n)),
            _ => {
                let problem = format!("must be an integer from {least} to {most}, is {}", shown(value));
                Err(self.invalid(field, problem))
            }
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
        let whole_micros = |time: Duration| u64::try_from(time.as_micros()).ok().map(Duration::from_micros);
        let time = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()).and_then(whole_micros);
        time.filter(|time| (least..=most).contains(time)).map(Some).ok_or_else(|| {
            let from = if least.is_zero() { "from 0" } else { "above 0" };
            let most = most.as_secs();
            let problem =
                format!("must be a number of seconds {from} and at most {most}, is {}", shown(value));
            self.invalid(field, problem)
        })
    }

    /// A string without U+0000, which PostgreSQL cannot hold.
    pub(crate) fn text(&mut self, field: &str) -> Result<String, Invalid> {
        let value = self.require(field)?;
        text(value).map_err(|problem| self.invalid(field, problem))
    }

    /// As [`Fields::text`], of at most `most` bytes.
    pub(crate) fn bounded_text(&mut self, field: &str, most: usize) -> Result<String, Invalid> {
        let value = self.require(field)?;
        bounded_text(value, most).map_err(|problem| self.invalid(field, problem))
    }

    /// A string that nobody reads.
    pub(crate) fn any_string(&mut self, field: &str) -> Result<(), Invalid> {
        let value = self.require(field)?;
        if value.get().starts_with('"') {
            return Ok(());
        }
        Err(self.invalid(field, format!("must be a string, is {}", shown(value))))
    }

    pub(crate) fn integer(&mut self, field: &str) -> Result<i64, Invalid> {
        let value = self.require(field)?;
        integer(value).map_err(|problem| self.invalid(field, problem))
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
            _ => Err(self.invalid(field, format!("must be an integer of 0 or more, is {}", shown(value)))),
        }
    }

    pub(crate) fn optional_number(&mut self, field: &str) -> Result<Option<f64>, Invalid> {
        let Some(value) = self.take(field) else { return Ok(None) };
        serde_json::from_str(value.get())
            .map(Some)
            .map_err(|_| self.invalid(field, format!("must be a number, is {}", shown(value))))
    }

    /// An object, kept as the text it came as.
    pub(crate) fn optional_object_text(&mut self, field: &str) -> Result<Option<JsonText>, Invalid> {
        let Some(value) = self.take(field) else { return Ok(None) };
        if !value.get().starts_with('{') {
            return Err(self.invalid(field, format!("must be an object, is {}", shown(value))));
        }
        JsonText::from_valid(value.get())
            .map(Some)
            .ok_or_else(|| self.invalid(field, format!("is nested deeper than {MAX_DEPTH} levels")))
    }

    /// A string, kept as the JSON literal it came as.
    pub(crate) fn optional_string_text(&mut self, field: &str) -> Result<Option<JsonText>, Invalid> {
        let Some(value) = self.take(field) else { return Ok(None) };
        match JsonText::from_valid(value.get()) {
            Some(text) if text.as_str().starts_with('"') => Ok(Some(text)),
            _ => Err(self.invalid(field, format!("must be a string, is {}", shown(value)))),
        }
    }

    pub(crate) fn object(&mut self, field: &'static str) -> Result<Fields<'a>, Invalid> {
        let value = self.require(field)?;
        Fields::of_object(self.inner_path(Cow::Borrowed(field)), value)
    }

    pub(crate) fn optional_object(&mut self, field: &'static str) -> Result<Option<Fields<'a>>, Invalid> {
        let Some(value) = self.take(field) else { return Ok(None) };
        Fields::of_object(self.inner_path(Cow::Borrowed(field)), value).map(Some)
    }

    /// The members as objects of their own, under their names; the last of a repeated name counts.
    pub(crate) fn into_objects(mut self, limits: &Limits) -> Result<Vec<(String, Fields<'a>)>, Invalid> {
        self.drop_all_but_last();
        let invalid = |problem: String| Invalid::field(self.path.join("."), problem);
        let (most, has) = (limits.capabilities, self.members.len());
        if has > most {
            return Err(invalid(format!("must have at most {most} members, has {has}")));
        }
        let open = |(name, value): &(Cow<'a, str>, &'a RawValue)| {
            if name.contains('\0') {
                return Err(invalid("a name must not contain U+0000".to_owned()));
            }
            check_length(name, limits.name_bytes).map_err(|problem| invalid(format!("a name {problem}")))?;
            Ok((name.to_string(), Fields::of_object(self.inner_path(name.clone()), value)?))
        };
        self.members.iter().map(open).collect()
    }

    /// Of members with one name, the last counts, in the place of the first.
    fn drop_all_but_last(&mut self) {
        let members = std::mem::take(&mut self.members);
        let mut places = HashMap::new();
        // Few are looked through faster than they are hashed.
        let is_few = members.len() <= 8;
        for (name, value) in members {
            let place = if is_few {
                self.members.iter().position(|(known, _)| *known == name)
            } else {
                places.insert(name.clone(), self.members.len())
            };
            match place {
                None => self.members.push((name, value)),
                Some(place) => {
                    places.insert(name, place);
                    self.members[place].1 = value;
                }
            }
        }
    }

    /// Refuses whatever has not been taken.
    pub(crate) fn finish(self, known: &[&str]) -> Result<(), Invalid> {
        match self.members.first() {
            Some((name, _)) => {
                let problem = format!("is not a known field; known are {}", known.join(", "));
                Err(self.invalid(name, problem))
            }
            None => Ok(()),
        }
    }
}

// What is wrong is said without the name of the field, which is put together only where it is needed.

fn id(value: &RawValue) -> Result<Uuid, String> {
    let literal = value.get();
    // Without escapes, which an id does not need, it is between the quotes.
    let plain = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).and_then(parse_id);
    let decoded = || serde_json::from_str::<String>(literal).ok().and_then(|text| parse_id(&text));
    plain
        .or_else(decoded)
        .ok_or_else(|| format!("must be a UUID of 8-4-4-4-12 hexadecimal digits, is {}", shown(value)))
}

fn text(value: &RawValue) -> Result<String, String> {
    if !value.get().starts_with('"') {
        return Err(format!("must be a string, is {}", shown(value)));
    }
    let text: String = serde_json::from_str(value.get())
        .map_err(|_| "is not valid Unicode: it has half a surrogate pair".to_owned())?;
    if text.contains('\0') {
        return Err("must not contain U+0000".to_owned());
    }
    Ok(text)
}

fn bounded_text(value: &RawValue, most: usize) -> Result<String, String> {
    let text = text(value)?;
    check_length(&text, most)?;
    Ok(text)
}

fn check_length(text: &str, most: usize) -> Result<(), String> {
    match text.len() {
        length if length > most => Err(format!("must be at most {most} bytes long, has {length}")),
        _ => Ok(()),
    }
}

fn integer(value: &RawValue) -> Result<i64, String> {
    let digits = value.get().strip_prefix('-').unwrap_or(value.get());
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("must be an integer, is {}", shown(value)));
    }
    let too_large = |_| format!("must be an integer of at most 64 bits, is {}", shown(value));
    value.get().parse().map_err(too_large)
}

/// A value as an error shows it.
fn shown(value: &RawValue) -> String {
    match value.get().as_bytes()[0] {
        b'{' => "an object".to_owned(),
        b'[' => "an array".to_owned(),
        _ => half_excerpt(value.get()).into_owned(),
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
