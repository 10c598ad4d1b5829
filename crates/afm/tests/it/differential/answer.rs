//! An answer in the form in which it is compared: `400`, or `200 {"task_id":"<task>"}`. Additions are left
//! out.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;

use super::additions::added;
use super::case::{Case, Shown, Step};
use super::http::Response;

/// Status and canonical JSON, or status and media type.
#[derive(PartialEq, Eq)]
pub(super) struct ComparedAnswer(String);

impl ComparedAnswer {
    pub(super) fn of(case: &Case, step: &Step, response: &Response) -> Self {
        let status = response.status;
        if status >= 400 || response.body.is_empty() || step.shown == Shown::Status {
            return Self(status.to_string());
        }
        if response.media_type != "application/json" {
            return Self(format!("{status} {}", response.media_type));
        }
        let body = String::from_utf8_lossy(&response.body);
        let json = match serde_json::from_str::<&RawValue>(&body) {
            Ok(json) => canonical("", json, if let Shown::Without(keys) = step.shown { keys } else { &[] }),
            Err(_) => "no JSON".to_owned(),
        };
        if step.shown == Shown::Number {
            let number = json.matches(r#""task_id":"#).count();
            return Self(format!("{status} with {number}"));
        }
        Self(format!("{status} {}", case.take_out(&json)))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ComparedAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value without the members `left_out` and those that are added; keys sorted, floats written in one way,
/// times as `<time>`; integers keep all their digits. `key` is the member's.
fn canonical(key: &str, value: &RawValue, left_out: &[&str]) -> String {
    let text = value.get();
    match text.as_bytes()[0] {
        b'{' => match serde_json::from_str::<BTreeMap<String, &RawValue>>(text) {
            Ok(members) => {
                let added = added(&members);
                let kept = |(key, _): &(&String, &&RawValue)| {
                    !left_out.contains(&key.as_str()) && !added.contains(&key.as_str())
                };
                let member = |(key, value): (&String, &&RawValue)| {
                    format!("{}:{}", serde_json::Value::from(key.as_str()), canonical(key, value, left_out))
                };
                format!("{{{}}}", members.iter().filter(kept).map(member).collect::<Vec<_>>().join(","))
            }
            // A key with half a surrogate pair.
            Err(_) => text.split_ascii_whitespace().collect(),
        },
        b'[' => {
            let values = serde_json::from_str::<Vec<&RawValue>>(text).expect("an array");
            let mut values: Vec<String> =
                values.into_iter().map(|value| canonical("", value, left_out)).collect();
            if matches!(key, "tasks" | "agents") {
                values.sort_unstable();
            }
            format!("[{}]", values.join(","))
        }
        b'"' => match serde_json::from_str::<String>(text) {
            Ok(text) if is_time(&text, ' ') => "\"<time>\"".to_owned(),
            Ok(text) if is_time(&text, 'T') => "\"<ISO time>\"".to_owned(),
            Ok(text) => serde_json::Value::from(text).to_string(),
            Err(_) => text.to_ascii_lowercase(),
        },
        b't' | b'f' | b'n' => text.to_owned(),
        _ if text.contains(['.', 'e', 'E']) => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => format!("{number:?}"),
            _ => text.to_owned(),
        },
        _ if text == "-0" => "0".to_owned(),
        _ => text.to_owned(),
    }
}

/// `2026-11-22 19:23:01.621614`, or with `T` between, and a zone: `2026-11-22T19:24:01.581577+00:00`. The
/// original leaves out a fraction of zero.
fn is_time(text: &str, separator: char) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let Some(rest) = shape.strip_prefix("0000-00-00").and_then(|rest| rest.strip_prefix(separator)) else {
        return false;
    };
    let rest = rest.strip_prefix("00:00:00").map(|rest| rest.strip_prefix(".000000").unwrap_or(rest));
    match separator {
        'T' => matches!(rest, Some("+00:00" | "-00:00")),
        _ => rest == Some(""),
    }
}

#[test]
fn values_are_compared_and_not_bytes() {
    let canonical = |text: &str| canonical("", serde_json::from_str(text).unwrap(), &[]);
    assert_eq!(
        canonical(r#"{"b": [1, 1.0, 1e2, -0, 123456789012345678901], "a": "\u00e4\/", "tasks": ["b", "a"]}"#),
        r#"{"a":"ä/","b":[1,1.0,100.0,0,123456789012345678901],"tasks":["a","b"]}"#
    );
    for (time, shown) in [
        ("2026-11-22 19:23:01.621614", "<time>"),
        ("2026-11-22 19:23:01", "<time>"),
        ("2026-11-22T19:24:01.581577+02:00", "<ISO time>"),
        ("2026-11-22T19:24:01.581577", "2026-11-22T19:24:01.581577"),
        ("2026-11-22 19:24:01.581", "2026-11-22 19:24:01.581"),
    ] {
        assert_eq!(canonical(&format!("{time:?}")), format!("{shown:?}"));
    }
}
