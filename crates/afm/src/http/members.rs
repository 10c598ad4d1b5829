//! The members of the JSON object that a request has as its body.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use slamon_protocol::{Invalid, excerpt, parse_id};
use uuid::Uuid;

use crate::http::error::{ApiError, invalid};

/// The members of a JSON object. Each is taken once; what nobody has taken is refused.
pub(super) struct Members<'a> {
    left: BTreeMap<String, &'a RawValue>,
    known: Vec<&'static str>,
}

impl<'a> Members<'a> {
    /// Takes a whole body apart. Of a member that is repeated the last value counts.
    ///
    /// # Errors
    /// Fails when it is no JSON object.
    pub(super) fn of(body: &'a str) -> Result<Self, ApiError> {
        let wrong = |problem: String| ApiError::Invalid(Invalid { field: None, problem });
        let value: &RawValue =
            serde_json::from_str(body).map_err(|error| wrong(format!("is not valid JSON: {error}")))?;
        let left = members_of(value, "must be a JSON object").map_err(wrong)?;
        Ok(Self { left, known: Vec::new() })
    }

    /// Takes the members of an object that is one of the members.
    ///
    /// # Errors
    /// Fails when it is no object.
    pub(super) fn object(
        &mut self,
        name: &'static str,
    ) -> Result<Option<BTreeMap<String, &'a RawValue>>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        members_of(value, "must be an object").map(Some).map_err(|problem| invalid(name, problem))
    }

    /// Whether there is such a member.
    pub(super) fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    /// Takes a member.
    pub(super) fn take(&mut self, name: &'static str) -> Option<&'a RawValue> {
        self.known.push(name);
        self.left.remove(name)
    }

    /// Takes an array of 1 to `most` elements.
    ///
    /// # Errors
    /// Fails when it is none.
    pub(super) fn array(
        &mut self,
        name: &'static str,
        most: usize,
    ) -> Result<Option<Vec<&'a RawValue>>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let expected =
            |found: &str| invalid(name, format!("must be an array of 1 to {most} elements, {found}"));
        let elements: Vec<&RawValue> =
            serde_json::from_str(value.get()).map_err(|_| expected(&format!("is {}", kind(value))))?;
        if !(1..=most).contains(&elements.len()) {
            return Err(expected(&format!("has {}", elements.len())));
        }
        Ok(Some(elements))
    }

    /// Takes an id.
    ///
    /// # Errors
    /// Fails when it is none.
    pub(super) fn id(&mut self, name: &'static str) -> Result<Option<Uuid>, ApiError> {
        self.take(name).map(|value| id_of(name, value)).transpose()
    }

    /// Takes an array of 1 to `most` ids.
    ///
    /// # Errors
    /// Fails when it is none. The error names the first element that is no id.
    pub(super) fn ids(&mut self, name: &'static str, most: usize) -> Result<Option<Vec<Uuid>>, ApiError> {
        let Some(elements) = self.array(name, most)? else { return Ok(None) };
        let ids = elements.iter().enumerate().map(|(n, value)| id_of(&format!("{name}.{n}"), value));
        ids.collect::<Result<_, _>>().map(Some)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Fails when a member is left that nobody has taken.
    pub(super) fn end(self) -> Result<(), ApiError> {
        match self.left.first_key_value() {
            None => Ok(()),
            Some((name, _)) => {
                let problem = format!("is not a known field; known are {}", self.known.join(", "));
                Err(invalid(&excerpt(name), problem))
            }
        }
    }
}

fn id_of(name: &str, value: &RawValue) -> Result<Uuid, ApiError> {
    let text: Option<String> = serde_json::from_str(value.get()).ok();
    let wrong = || invalid(name, format!("must be a UUID, is {}", kind(value)));
    text.and_then(|text| parse_id(&text)).ok_or_else(wrong)
}

/// Takes an object apart, or says what is wrong.
fn members_of<'a>(value: &'a RawValue, expected: &str) -> Result<BTreeMap<String, &'a RawValue>, String> {
    serde_json::from_str(value.get()).map_err(|_| {
        if value.get().starts_with('{') {
            "has a name that is not valid Unicode: it has half a surrogate pair".to_owned()
        } else {
            format!("{expected}, is {}", kind(value))
        }
    })
}

/// Describes a value for a message.
pub(super) fn kind(value: &RawValue) -> String {
    match value.get().as_bytes().first() {
        Some(b'{') => "an object".to_owned(),
        Some(b'[') => "an array".to_owned(),
        _ => excerpt(value.get()).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T>(result: Result<T, ApiError>) -> String {
        result.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn members_are_taken_once_and_errors_name_them() {
        let mut members = Members::of(r#" {"a": [1, {"x": 2}], "b": 3, "a": [4], "c": {}}"#).unwrap();
        let array = members.array("a", 2).unwrap().unwrap();
        assert_eq!(array.iter().map(|value| value.get()).collect::<Vec<_>>(), ["4"]);
        assert!(members.array("a", 2).unwrap().is_none());
        assert_eq!(members.object("c").unwrap().map(|members| members.len()), Some(0));
        assert_eq!(message(members.end()), "b: is not a known field; known are a, a, c");
        let array = |text: &str| {
            Members::of(text)
                .and_then(|mut members| members.array("a", 2).map(|array| array.map(|array| array.len())))
        };
        for (text, error) in [
            (r#"{"a": []}"#, "a: must be an array of 1 to 2 elements, has 0"),
            (r#"{"a": [1,2,3]}"#, "a: must be an array of 1 to 2 elements, has 3"),
            (r#"{"a": {}}"#, "a: must be an array of 1 to 2 elements, is an object"),
            (r#"{"a": null}"#, "a: must be an array of 1 to 2 elements, is null"),
            ("[]", "request body: must be a JSON object, is an array"),
            ("null", "request body: must be a JSON object, is null"),
            (
                r#"{"\ud800": 1}"#,
                "request body: has a name that is not valid Unicode: it has half a surrogate pair",
            ),
        ] {
            assert_eq!(message(array(text)), error);
        }
        let mut members =
            Members::of(r#"{"a": "1", "b": ["00000000-0000-0000-0000-00000000000A", null]}"#).unwrap();
        assert_eq!(message(members.id("a")), "a: must be a UUID, is \"1\"");
        assert_eq!(message(members.ids("b", 2)), "b.1: must be a UUID, is null");
        assert_eq!(members.id("c").unwrap(), None);
        assert!(message(array("")).starts_with("request body: is not valid JSON"));
        assert!(message(array(r#"{"a": 1"#)).starts_with("request body: is not valid JSON"));
    }
}
