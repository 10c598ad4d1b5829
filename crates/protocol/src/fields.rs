//! Takes a JSON object apart into the fields that are known, so that an error can name the field.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::invalid::Invalid;
use crate::scanner::{NotJson, Scanner};
use crate::value::{Problem, Value};

/// The members of a JSON object.
pub(crate) struct Fields<'a, const N: usize> {
    /// The fields whose names are known, in the order in which the names were given.
    pub(crate) known: [Field<'a>; N],
    /// The other members. They are refused last, once all fields are right.
    pub(crate) rest: Rest<'a, N>,
}

/// A field of an object. It may be absent; if it is repeated, the last value counts.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    /// The field of the body whose value the object is; `None` if the object is the body.
    within: Option<&'static str>,
    name: &'static str,
    value: Option<Value<'a>>,
}

/// The members of an object whose names are not known.
pub(crate) struct Rest<'a, const N: usize> {
    within: Option<&'static str>,
    names: &'static [&'static str; N],
    first: Option<Cow<'a, str>>,
}

impl<'a, const N: usize> Fields<'a, N> {
    /// Takes a whole request body apart.
    pub(crate) fn of_body(body: &'a str, names: &'static [&'static str; N]) -> Result<Self, Invalid> {
        Self::of_body_with(body, names, |_, scanner| scanner.value())
    }

    /// Does the same as [`Fields::of_body`]; `pass_over` is given the name of each known field, and passes
    /// over its value.
    pub(crate) fn of_body_with(
        body: &'a str,
        names: &'static [&'static str; N],
        pass_over: impl FnMut(&str, &mut Scanner<'a>) -> Result<Value<'a>, NotJson>,
    ) -> Result<Self, Invalid> {
        let text = body.trim_ascii_start();
        if text.is_empty() {
            return Err(Invalid::body("must be a JSON object, is empty"));
        }
        if !text.starts_with('{') {
            let invalid = |e| Invalid::body(format!("is not valid JSON: {e}"));
            let value: &RawValue = serde_json::from_str(body).map_err(invalid)?;
            let problem = format!("must be a JSON object, is {}", Value::of(value.get()).shown());
            return Err(Invalid::body(problem));
        }
        Self::read(None, body, names, pass_over).map_err(Invalid::body)
    }

    fn read(
        within: Option<&'static str>,
        object: &'a str,
        names: &'static [&'static str; N],
        mut pass_over: impl FnMut(&str, &mut Scanner<'a>) -> Result<Value<'a>, NotJson>,
    ) -> Result<Self, Problem> {
        let mut known = names.map(|name| Field { within, name, value: None });
        let mut first = None;
        let mut scanner = Scanner::of(object);
        let read = scanner.members(|scanner, name| {
            let name = name.decoded().ok_or(NotJson)?;
            match known.iter_mut().find(|field| field.name == name) {
                Some(field) => field.value = Some(pass_over(field.name, scanner)?),
                None => {
                    first.get_or_insert(name);
                    scanner.value()?;
                }
            }
            Ok(())
        });
        read.and_then(|_| scanner.end()).map_err(|NotJson| wrong_json(object))?;
        Ok(Self { known, rest: Rest { within, names, first } })
    }
}

impl<const N: usize> Rest<'_, N> {
    /// Refuses a name that is not known.
    pub(crate) fn refuse(self) -> Result<(), Invalid> {
        let Some(name) = self.first else { return Ok(()) };
        let problem = format!("is not a known field; known are {}", self.names.join(", "));
        Err(invalid(self.within, &name, problem))
    }
}

impl<'a> Field<'a> {
    pub(crate) fn invalid(self, problem: impl Into<Problem>) -> Invalid {
        invalid(self.within, self.name, problem)
    }

    /// Makes an error of what is wrong with a member of the value.
    pub(crate) fn invalid_member(self, member: &str, problem: impl Into<Problem>) -> Invalid {
        invalid(self.within, &format!("{}.{member}", self.name), problem)
    }

    /// Reads a field that must be there.
    pub(crate) fn require<T>(self, read: impl FnOnce(Value<'a>) -> Result<T, Problem>) -> Result<T, Invalid> {
        let value = self.value.ok_or_else(|| self.invalid("is required"))?;
        read(value).map_err(|problem| self.invalid(problem))
    }

    /// Reads a field that may be there.
    pub(crate) fn optional<T>(
        self,
        read: impl FnOnce(Value<'a>) -> Result<T, Problem>,
    ) -> Result<Option<T>, Invalid> {
        self.value.map(read).transpose().map_err(|problem| self.invalid(problem))
    }

    pub(crate) fn id(self) -> Result<Uuid, Invalid> {
        self.require(Value::id)
    }

    /// Reads an array of at most `most` ids, which has these elements.
    pub(crate) fn optional_ids(
        self,
        elements: &[Value<'_>],
        most: usize,
    ) -> Result<Option<Vec<Uuid>>, Invalid> {
        let ids = self.value.map(|value| value.ids(elements, most)).transpose();
        ids.map_err(|(element, problem)| match element {
            Some(n) => self.invalid_member(&n.to_string(), problem),
            None => self.invalid(problem),
        })
    }

    pub(crate) fn bounded_text(self, most: usize) -> Result<String, Invalid> {
        self.require(|value| value.bounded_text(most))
    }

    pub(crate) fn optional_bounded_text(self, most: usize) -> Result<Option<String>, Invalid> {
        self.optional(|value| value.bounded_text(most))
    }

    pub(crate) fn integer(self) -> Result<i64, Invalid> {
        self.require(Value::integer)
    }

    pub(crate) fn optional_integer<I>(self, least: I, most: I) -> Result<Option<I>, Invalid>
    where
        I: TryFrom<i64> + PartialOrd + Display + Copy,
    {
        self.optional(|value| value.integer_within(least, most))
    }

    /// Reads a number of seconds, to the microsecond.
    pub(crate) fn optional_seconds(
        self,
        least: Duration,
        most: Duration,
    ) -> Result<Option<Duration>, Invalid> {
        self.optional(|value| value.seconds(least, most))
    }

    /// Takes apart an object that has fields of its own, with these names.
    pub(crate) fn optional_object<const M: usize>(
        self,
        names: &'static [&'static str; M],
    ) -> Result<Option<Fields<'a, M>>, Invalid> {
        self.optional(|value| {
            Fields::read(Some(self.name), value.object()?, names, |_, scanner| scanner.value())
        })
    }
}

fn invalid(within: Option<&'static str>, name: &str, problem: impl Into<Problem>) -> Invalid {
    match within {
        Some(within) => Invalid::field(format!("{within}.{name}"), problem),
        None => Invalid::field(name, problem),
    }
}

/// Says what is wrong with an object that is not JSON, or that has a name that is not Unicode, and where.
#[cold]
pub(crate) fn wrong_json(object: &str) -> Problem {
    match serde_json::from_str::<BTreeMap<String, &RawValue>>(object) {
        Err(e) => format!("is not valid JSON: {e}").into(),
        Ok(_) => "is not valid JSON".into(),
    }
}
