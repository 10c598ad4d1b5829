//! Secrets: a task's data names them, the agent fills them in, and nothing that leaves it has them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::handler::{Handler, Outcome};

const BEGIN: &str = "${secret:";
/// What `encodeURIComponent` and its like leave as it is.
const UNRESERVED_STAYS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Secrets by their names.
#[derive(Default)]
pub struct Secrets {
    values: BTreeMap<String, String>,
    /// What is not to leave the agent, and the name that stands for it: the longest first, since one may be part of
    /// another.
    hidden: Vec<(String, String)>,
}

/// Why secrets cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The file cannot be read.
    #[error("could not read the secrets of {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// A line is no secret. It is not repeated.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Secrets {
    /// Reads a file of lines `NAME=VALUE`; empty lines, and lines that begin with `#`, say nothing. The value is all
    /// that follows the first `=`.
    ///
    /// # Errors
    /// Names the line that is wrong, and never repeats it.
    pub fn read(path: &Path) -> Result<Self, SecretsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| SecretsError::File { path: path.to_owned(), cause })?;
        let mut secrets = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let wrong = |problem| SecretsError::Line { path: path.to_owned(), line: index + 1, problem };
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            let (name, value) = line.split_once('=').ok_or_else(|| wrong("must be NAME=VALUE"))?;
            let name = name.trim();
            if !is_name(name) {
                return Err(wrong("a name has letters, digits, '_', '-' and '.', and nothing else"));
            }
            if value.is_empty() {
                return Err(wrong("the value is empty"));
            }
            if secrets.insert(name.to_owned(), value.to_owned()).is_some() {
                return Err(wrong("the name stands in a line before"));
            }
        }
        Ok(Self::new(secrets))
    }

    fn new(values: BTreeMap<String, String>) -> Self {
        let named = |(name, value): (&String, &String)| {
            let name = format!("{BEGIN}{name}}}");
            spellings(value).into_iter().map(move |spelling| (spelling, name.clone()))
        };
        let mut hidden: Vec<_> = values.iter().flat_map(named).collect();
        hidden.sort_by_key(|(spelling, _)| std::cmp::Reverse(spelling.len()));
        Self { values, hidden }
    }

    /// Fills in the secrets that a task's data names; `None` where it names none.
    fn fill_in(&self, data: &RawValue) -> Result<Option<Box<RawValue>>, Failure> {
        // `$` may be written as an escape.
        let may_name = data.get().contains(BEGIN) || data.get().contains("\\u0024");
        if !may_name {
            return Ok(None);
        }
        let mut value: Value = serde_json::from_str(data.get())?;
        self.fill_in_value(&mut value, "task_data")?;
        Ok(Some(serde_json::value::to_raw_value(&value)?))
    }

    fn fill_in_value(&self, value: &mut Value, field: &str) -> Result<(), Failure> {
        match value {
            Value::String(text) => *text = self.fill_in_text(text, field)?,
            Value::Array(values) => {
                for (index, value) in values.iter_mut().enumerate() {
                    self.fill_in_value(value, &format!("{field}[{index}]"))?;
                }
            }
            Value::Object(values) => {
                for (name, value) in values {
                    self.fill_in_value(value, &format!("{field}.{name}"))?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        Ok(())
    }

    fn fill_in_text(&self, text: &str, field: &str) -> Result<String, Failure> {
        let (mut filled, mut rest) = (String::with_capacity(text.len()), text);
        while let Some((before, after)) = rest.split_once(BEGIN) {
            let named = after.split_once('}').filter(|(name, _)| is_name(name));
            let (name, after) = named
                .ok_or_else(|| Failure::new(format!("{field}: a secret is named like ${{secret:NAME}}")))?;
            let secret = self
                .values
                .get(name)
                .ok_or_else(|| Failure::new(format!("{field}: this agent has no secret {name:?}")))?;
            filled.push_str(before);
            filled.push_str(secret);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// Replaces the secrets in a text by their names.
    fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (spelling, name) in &self.hidden {
            if text.contains(spelling.as_str()) {
                text = text.replace(spelling.as_str(), name);
            }
        }
        text
    }

    /// Replaces the secrets in all texts of a result, also in the names of its members.
    fn hide_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.hide(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.hide_value(value)).collect(),
            Value::Object(values) => {
                values.into_iter().map(|(name, value)| (self.hide(&name), self.hide_value(value))).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value,
        }
    }

    fn hide_in(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Ok(result) if self.hidden.is_empty() => Ok(result),
            Ok(result) => {
                let value = serde_json::from_str(result.get())?;
                Ok(serde_json::value::to_raw_value(&self.hide_value(value))?)
            }
            Err(failure) => Err(Failure::new(self.hide(&failure.to_string()))),
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

/// How a secret may stand in what goes out: as it is, with escapes as in a quoted text, and with those of URLs.
fn spellings(secret: &str) -> BTreeSet<String> {
    let quoted = Value::from(secret).to_string();
    let mut spellings = BTreeSet::from([
        secret.to_owned(),
        quoted[1..quoted.len() - 1].to_owned(),
        secret.escape_debug().to_string(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        utf8_percent_encode(secret, UNRESERVED_STAYS).to_string(),
        form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
    ]);
    // In a path and in a query other characters are left as they are.
    for before in ["http://h/", "http://h/?"] {
        let url = Url::parse(&format!("{before}{secret}")).map(String::from).unwrap_or_default();
        // Where it is taken for something else, such as `..`, there may be too little left to look for.
        if let Some(spelling) = url.strip_prefix(before).filter(|spelling| spelling.len() >= secret.len()) {
            spellings.insert(spelling.to_owned());
        }
    }
    spellings
}

fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// Makes a handler that is given data with secrets filled in, and whose results have none.
pub(crate) fn filled_in(handler: Handler, secrets: Arc<Secrets>) -> Handler {
    handler.around(move |data, context, execute| {
        let filled = match secrets.fill_in(data) {
            Ok(filled) => filled,
            Err(failure) => return Box::pin(async { Err(failure) }),
        };
        let executing = execute(filled.as_deref().unwrap_or(data), context);
        let secrets = Arc::clone(&secrets);
        Box::pin(async move { secrets.hide_in(executing.await) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# of the shop\n\nuser = alice\npassword=a=\"b\nlong=a=\"b and more\n")
            .unwrap();
        Secrets::read(file.path()).unwrap()
    }

    fn fill_in(data: &str) -> Result<Option<String>, String> {
        let data = RawValue::from_string(data.to_owned()).unwrap();
        let filled = secrets().fill_in(&data).map_err(|failure| failure.to_string())?;
        Ok(filled.map(|filled| filled.get().to_owned()))
    }

    #[test]
    fn secrets_are_filled_in_wherever_a_text_names_them() {
        assert_eq!(fill_in(r#"{"url": "http://x"}"#), Ok(None));
        assert_eq!(
            fill_in(r#"{"a": ["x${secret:password}y"], "b": {"c": "\u0024{secret:long}"}, "d": 1}"#),
            Ok(Some(r#"{"a":["xa=\"by"],"b":{"c":"a=\"b and more"},"d":1}"#.to_owned()))
        );
    }

    #[test]
    fn a_secret_that_the_agent_does_not_have_is_named_with_its_field() {
        assert_eq!(
            fill_in(r#"{"steps": [{"body": "${secret:other}"}]}"#),
            Err("task_data.steps[0].body: this agent has no secret \"other\"".to_owned())
        );
        for text in ["${secret:}", "${secret:user", "${secret:a b}"] {
            let problem = fill_in(&format!(r#"{{"a": "{text}"}}"#)).unwrap_err();
            assert_eq!(problem, "task_data.a: a secret is named like ${secret:NAME}");
        }
    }

    #[test]
    fn nothing_that_goes_out_has_a_secret() {
        let hidden = secrets().hide_in(Err(Failure::new("no answer to a=\"b and more, nor to a=\"b")));
        assert_eq!(hidden.unwrap_err().to_string(), "no answer to ${secret:long}, nor to ${secret:password}");
        let result = RawValue::from_string(r#"{"a=\"b": ["\u0061=\"b"]}"#.to_owned()).unwrap();
        let hidden = secrets().hide_in(Ok(result)).unwrap();
        assert_eq!(hidden.get(), r#"{"${secret:password}":["${secret:password}"]}"#);
    }

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        let secret = "a b&c\"/ü?#%<";
        let secrets = Secrets::new(BTreeMap::from([("x".to_owned(), secret.to_owned())]));
        let url = |text: String| String::from(Url::parse(&text).unwrap());
        for text in [
            secret.to_owned(),
            format!("expected {secret:?} in the body"),
            serde_json::json!({ "a": secret }).to_string(),
            url(format!("http://shop/?token={secret}")),
            url(format!("http://shop/{secret}")),
            "http://shop/?x=a%20b%26c%22%2F%C3%BC%3F%23%25%3C".to_owned(),
            "x=a+b%26c%22%2F%C3%BC%3F%23%25%3C&y".to_owned(),
        ] {
            let hidden = secrets.hide(&text);
            assert!(hidden.contains("${secret:x}"), "{hidden}");
            assert!(!hidden.contains("b&c") && !hidden.contains("b%26c"), "{hidden}");
        }
        // Nothing is lost where a secret becomes nothing.
        let dots = Secrets::new(BTreeMap::from([("x".to_owned(), "..".to_owned())]));
        assert_eq!(dots.hide("http://shop/"), "http://shop/");
    }

    #[test]
    fn a_wrong_line_is_named_and_not_repeated() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["hunter2", "a b=hunter2", "=hunter2", "a=", "a=hunter2\na=hunter2"] {
            std::fs::write(file.path(), text).unwrap();
            let problem = Secrets::read(file.path()).unwrap_err().to_string();
            assert!(problem.contains("line ") && !problem.contains("hunter2"), "{problem}");
        }
    }
}
