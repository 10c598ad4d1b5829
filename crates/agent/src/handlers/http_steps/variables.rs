//! Takes variables from answers.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::handlers::http::{Content, compile, is_pointer};
use crate::network::http::Cookies;

/// Where in an answer a variable is: one of these.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Source {
    /// A JSON pointer into the body.
    Json(String),
    /// The name of a header; the first one of that name.
    Header(String),
    /// The name of a cookie, which this answer or one before has set.
    Cookie(String),
    /// A regular expression that the body matches: what its first group matches, or all of it if it has none.
    Regex(String),
}

impl Source {
    /// What cannot be right whatever the answer is.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Self::Json(pointer) if !is_pointer(pointer) => {
                Err(format!("json: {pointer:?} is no JSON pointer: it must be empty or begin with \"/\""))
            }
            Self::Regex(regex) => compile(regex).map(|_| ()).map_err(|problem| format!("regex: {problem}")),
            Self::Json(_) | Self::Header(_) | Self::Cookie(_) => Ok(()),
        }
    }

    /// Whether it is looked for in the body.
    pub(super) fn is_parsed(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Regex(_))
    }

    /// Its regular expression, if it is one.
    pub(super) fn regex(&self) -> Option<&str> {
        match self {
            Self::Regex(regex) => Some(regex),
            Self::Json(_) | Self::Header(_) | Self::Cookie(_) => None,
        }
    }

    /// The text that says where it is.
    pub(super) fn text(&mut self) -> &mut String {
        let (Self::Json(text) | Self::Header(text) | Self::Cookie(text) | Self::Regex(text)) = self;
        text
    }

    pub(super) fn take(&self, content: &Content<'_>, cookies: &Cookies) -> Result<Value, String> {
        content.go_on()?;
        let answer = content.answer;
        match self {
            Self::Json(pointer) => content
                .json()?
                .pointer(pointer)
                .cloned()
                .ok_or_else(|| format!("there is nothing at {pointer:?} of the body")),
            Self::Header(name) => answer
                .header(name)
                .map(Value::String)
                .ok_or_else(|| format!("the answer has no header {name:?}")),
            Self::Cookie(name) => cookies
                .value(name, &answer.url)
                .map(Value::String)
                .ok_or_else(|| format!("there is no cookie {name:?}")),
            Self::Regex(regex) => {
                let compiled = compile(regex)?;
                let found =
                    compiled.captures(content.text()).and_then(|found| found.get(1).or_else(|| found.get(0)));
                found
                    .map(|found| Value::String(found.as_str().to_owned()))
                    .ok_or_else(|| format!("nothing in the body matches {regex}"))
            }
        }
    }
}
