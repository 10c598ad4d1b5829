//! Texts with `${name}` in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::handlers::Secrets;

/// All variables of a task have no more bytes, as JSON.
const LARGEST: usize = 1 << 20;
/// What is filled in for one step has no more: it may name a large variable many times.
const LARGEST_FILLED: usize = 16 << 20;

/// What secrets are named by, before their names.
const SECRET: &str = "secret:";

/// Variables by their names, and the secrets of the agent.
#[derive(Debug, Default)]
pub(super) struct Variables {
    taken: BTreeMap<String, Variable>,
    secrets: Arc<Secrets>,
}

#[derive(Debug)]
struct Variable {
    value: Value,
    /// Its size as JSON.
    bytes: usize,
}

impl Variables {
    /// No variables, beside secrets.
    pub(super) fn with(secrets: Arc<Secrets>) -> Self {
        Self { taken: BTreeMap::new(), secrets }
    }

    /// Adds variables, or replaces those of the same names.
    pub(super) fn add(&mut self, found: impl IntoIterator<Item = (String, Value)>) -> Result<(), String> {
        for (name, value) in found {
            let bytes = value.to_string().len();
            self.taken.insert(name, Variable { value, bytes });
            if self.taken.values().map(|variable| variable.bytes).sum::<usize>() > LARGEST {
                return Err(format!("variables: they have more than {LARGEST} bytes together"));
            }
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Value> {
        self.taken.remove(name).map(|variable| variable.value)
    }

    /// Whether there is room for what is to be filled in.
    pub(super) fn fit<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
        let size = |name: &'a str| match name.strip_prefix(SECRET) {
            Some(name) => self.secrets.value(name).map(str::len),
            None => self.taken.get(name).map(|variable| variable.bytes),
        };
        let sizes = names.into_iter().filter_map(size);
        if sizes.sum::<usize>() <= LARGEST_FILLED {
            return Ok(());
        }
        Err(format!("the variables that are filled in have more than {LARGEST_FILLED} bytes together"))
    }

    fn get(&self, name: &str) -> Option<Value> {
        match name.strip_prefix(SECRET) {
            Some(name) => self.secrets.value(name).map(Value::from),
            None => self.taken.get(name).map(|variable| variable.value.clone()),
        }
    }
}

impl IntoIterator for Variables {
    type Item = (String, Value);
    type IntoIter = Box<dyn Iterator<Item = Self::Item>>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.taken.into_iter().map(|(name, variable)| (name, variable.value)))
    }
}

/// A part of a text.
enum Part<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// Takes a text apart. `$${` stands for `${` itself.
fn parts(text: &str) -> Result<Vec<Part<'_>>, String> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find("${") {
        let (before, after) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            parts.extend([Part::Text(before), Part::Text("${")]);
            rest = &after[2..];
            continue;
        }
        let is_named = |name: &str| is_secret(name) || is_name(name);
        let named = after[2..].split_once('}').filter(|(name, _)| is_named(name));
        let (name, after) =
            named.ok_or("a variable is named like ${name}; for the characters themselves write $${")?;
        parts.extend([Part::Text(before), Part::Name(name)]);
        rest = after;
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

/// Whether a variable can have a name.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether a name is that of a secret.
pub(super) fn is_secret(name: &str) -> bool {
    name.starts_with(SECRET)
}

/// The variables and secrets that a text names.
pub(super) fn names_in(text: &str) -> Result<Vec<&str>, String> {
    let names = parts(text)?.into_iter().filter_map(|part| match part {
        Part::Name(name) => Some(name),
        Part::Text(_) => None,
    });
    Ok(names.collect())
}

/// The variables that the texts of a value name.
pub(super) fn names_in_value(value: &Value) -> Result<Vec<&str>, String> {
    let inner: Vec<&Value> = match value {
        Value::String(text) => return names_in(text),
        Value::Array(values) => values.iter().collect(),
        Value::Object(values) => values.values().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    };
    let mut names = Vec::new();
    for value in inner {
        names.extend(names_in_value(value)?);
    }
    Ok(names)
}

/// Fills in the variables that a text names.
pub(super) fn filled_in(text: &str, variables: &Variables) -> Result<String, String> {
    filled(text, variables, |_, value| value)
}

/// Fills in the variables that a URL names; those after the `?` are escaped.
pub(super) fn filled_in_url(url: &str, variables: &Variables) -> Result<String, String> {
    filled(url, variables, |before, value| match before.contains('?') {
        true => percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC).to_string(),
        false => value,
    })
}

fn filled(
    text: &str,
    variables: &Variables,
    escaped: impl Fn(&str, String) -> String,
) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    for part in parts(text)? {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Name(name) => {
                let value = match variables.get(name) {
                    Some(Value::String(value)) => value,
                    Some(value) => value.to_string(),
                    None => return Err(format!("there is no variable {name:?}")),
                };
                let value = escaped(&filled, value);
                filled.push_str(&value);
            }
        }
    }
    Ok(filled)
}

/// Fills in the variables that the texts of a value name. A text that is nothing but a name becomes the variable's value.
pub(super) fn filled_in_value(value: &Value, variables: &Variables) -> Result<Value, String> {
    match value {
        Value::String(text) => {
            let whole = text.strip_prefix("${").and_then(|text| text.strip_suffix('}'));
            if let Some(value) = whole.and_then(|name| variables.get(name)) {
                return Ok(value);
            }
            filled_in(text, variables).map(Value::String)
        }
        Value::Array(values) => values.iter().map(|value| filled_in_value(value, variables)).collect(),
        Value::Object(values) => values
            .iter()
            .map(|(name, value)| Ok((name.clone(), filled_in_value(value, variables)?)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn variables() -> Variables {
        let mut variables = Variables::default();
        let values = [("id", json!(7)), ("text", json!("a b&${id}")), ("path", json!("/orders/7?x=1"))];
        variables.add(values.map(|(name, value)| (name.to_owned(), value))).unwrap();
        variables
    }

    #[test]
    fn variables_take_no_more_than_their_room() {
        let mut variables = variables();
        let half = || json!("x".repeat(LARGEST / 2));
        assert_eq!(variables.add([("a".to_owned(), half())]), Ok(()));
        // The same one again is not another one.
        assert_eq!(variables.add([("a".to_owned(), half())]), Ok(()));
        assert_eq!(variables.fit(["a"; 31]), Ok(()));
        let problem = variables.fit(["a"; 33]).unwrap_err();
        assert_eq!(problem, "the variables that are filled in have more than 16777216 bytes together");
        let problem = variables.add([("b".to_owned(), half())]).unwrap_err();
        assert_eq!(problem, "variables: they have more than 1048576 bytes together");
    }

    #[test]
    fn variables_are_filled_in() {
        for (text, expected) in [
            ("", ""),
            ("x${id}y${id}", "x7y7"),
            // What is filled in is not looked at again.
            ("${text}", "a b&${id}"),
            ("$${id} $5 $$ {}", "${id} $5 $$ {}"),
            ("$$${id}", "$${id}"),
        ] {
            assert_eq!(filled_in(text, &variables()), Ok(expected.to_owned()), "{text}");
        }
        for text in ["${", "${}", "${a b}", "${1a}", "${id"] {
            assert!(filled_in(text, &variables()).unwrap_err().starts_with("a variable is named"), "{text}");
        }
        assert_eq!(filled_in("${x}", &variables()), Err("there is no variable \"x\"".to_owned()));
    }

    #[test]
    fn what_is_filled_in_after_the_question_mark_is_escaped() {
        assert_eq!(
            filled_in_url("http://a${path}&y=${text}", &variables()),
            Ok("http://a/orders/7?x=1&y=a%20b%26%24%7Bid%7D".to_owned())
        );
    }

    #[test]
    fn a_text_that_is_a_name_becomes_the_value() {
        let filled = filled_in_value(&json!({"a": ["${id}", "n${id}", "${text}"], "b": null}), &variables());
        assert_eq!(filled, Ok(json!({"a": [7, "n7", "a b&${id}"], "b": null})));
        assert_eq!(names_in_value(&json!([{"a": "${id}${x}"}, 1])), Ok(vec!["id", "x"]));
    }
}
