//! Requests in a row, and the ids in them.

use std::hash::{DefaultHasher, Hash, Hasher};

use uuid::Uuid;

use super::http::Request;

/// What stands for an id of the case; with capital letters in its name, for the same id in upper case.
const IDS: [&str; 5] = ["<task>", "<task 2>", "<test>", "<agent>", "<agent 2>"];

/// Requests that are sent one after the other. A case knows only its own ids and its own task type, `<type>`.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
}

/// One request of a case.
pub(super) struct Step {
    pub(super) label: String,
    pub(super) request: Request,
    pub(super) shown: Shown,
}

/// What of the answer is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    All,
    /// How many tasks it has: the original picks them in no fixed order.
    Number,
    Status,
    /// All but these members, wherever they are.
    Without(&'static [&'static str]),
}

impl Case {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), steps: Vec::new() }
    }

    pub(super) fn step(mut self, label: &str, request: Request) -> Self {
        self.steps.push(Step { label: label.to_owned(), request, shown: Shown::All });
        self
    }

    pub(super) fn post(self, label: &str, path: &str, body: impl AsRef<[u8]>) -> Self {
        self.step(label, Request::post(path, body))
    }

    pub(super) fn get(self, label: &str, path: &str) -> Self {
        self.step(label, Request::get(path))
    }

    /// Compares less than all of the last step's answer.
    pub(super) fn showing(mut self, shown: Shown) -> Self {
        if let Some(step) = self.steps.last_mut() {
            step.shown = shown;
        }
        self
    }

    /// A request with the ids of this case in it.
    pub(super) fn fill_in(&self, request: &Request) -> Request {
        let mut request = request.clone();
        for (placeholder, value) in self.values() {
            request.path = request.path.replace(&placeholder, &value);
            request.body = replaced(&request.body, placeholder.as_bytes(), value.as_bytes());
        }
        request
    }

    /// The opposite, for an answer.
    pub(super) fn take_out(&self, answer: &str) -> String {
        let mut answer = answer.to_owned();
        for (placeholder, value) in self.values() {
            answer = answer.replace(&value, &placeholder);
        }
        answer
    }

    fn values(&self) -> impl Iterator<Item = (String, String)> {
        let id = |placeholder: &'static str| {
            let half = |nth: u8| {
                let mut hasher = DefaultHasher::new();
                (&self.name, placeholder, nth).hash(&mut hasher);
                // Some letters for the upper case to change.
                hasher.finish() | 0xa
            };
            (placeholder, Uuid::from_u64_pair(half(0), half(1)).to_string())
        };
        let (_, kind) = id("<type>");
        IDS.into_iter()
            .map(id)
            .flat_map(|(placeholder, id)| {
                let upper = (placeholder.to_ascii_uppercase(), id.to_ascii_uppercase());
                [(placeholder.to_owned(), id), upper]
            })
            .chain([("<type>".to_owned(), format!("type-{}", &kind[..13]))])
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// The members of a body, each with its value as JSON.
pub(super) type Fields = [(&'static str, &'static str)];

/// A task as clients post it.
pub(super) const TASK: &Fields = &[
    ("task_id", r#""<task>""#),
    ("test_id", r#""<test>""#),
    ("task_type", r#""<type>""#),
    ("task_version", "1"),
    ("task_data", r#"{"time": 5}"#),
];

/// A poll of an agent that can do the tasks of its case.
pub(super) const POLL: &Fields = &[
    ("protocol", "1"),
    ("agent_id", r#""<agent>""#),
    ("agent_name", r#""Agent 007""#),
    ("agent_time", r#""2012-04-23T18:25:43.511Z""#),
    ("agent_capabilities", r#"{"<type>": {"version": 1}}"#),
    ("max_tasks", "5"),
];

/// A result of the task of its case.
pub(super) const RESULT: &Fields =
    &[("protocol", "1"), ("task_id", r#""<task>""#), ("task_data", r#"{"status": 200}"#)];

/// An object of `fields`.
pub(super) fn object(fields: &Fields) -> String {
    let members: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    format!("{{{}}}", members.join(", "))
}

/// An object of `fields` but for one, which has another value or is added.
pub(super) fn with(fields: &Fields, field: &str, value: &str) -> String {
    let others = fields.iter().filter(|(name, _)| *name != field).copied().collect::<Vec<_>>();
    let object = object(&others);
    let open = object.strip_suffix('}').unwrap_or(&object);
    format!("{open}, \"{field}\": {value}}}")
}

/// An object of `fields` without one of them.
pub(super) fn without(fields: &Fields, field: &str) -> String {
    object(&fields.iter().filter(|(name, _)| *name != field).copied().collect::<Vec<_>>())
}

/// Values that one field or another takes, and no field takes all of.
pub(super) const VALUES: [&str; 38] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "1.0",
    "1.5",
    "1e2",
    "1E400",
    "NaN",
    "-Infinity",
    "2147483647",
    "2147483648",
    "-2147483649",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "123456789012345678901234567890",
    r#""""#,
    r#"" ""#,
    r#""1""#,
    r#""äö 日本 😀""#,
    r#""\u00e4\ud83d\ude00\/\n""#,
    r#""\u0000""#,
    r#""\ud800""#,
    r#""<TASK>""#,
    r#""<task>\n""#,
    r#""{<task>}""#,
    r#""<task>0""#,
    "[]",
    "[1]",
    "{}",
    r#"{"a": 1}"#,
    r#"{"a": {"version": 1}}"#,
];
