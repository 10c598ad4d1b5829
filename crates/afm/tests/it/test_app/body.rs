//! Request bodies, which tests change field by field.

use std::fmt;

use uuid::Uuid;

/// The fields in their order, with the JSON text of their values.
#[derive(Clone)]
pub(crate) struct Body(Vec<(&'static str, String)>);

impl Body {
    /// `POST /task`: task `n` of type `wait`, version 1, without data.
    pub(crate) fn task(n: u64) -> Self {
        Self(vec![
            ("task_id", format!("\"{}\"", id(n))),
            ("test_id", format!("\"{}\"", id(0))),
            ("task_type", "\"wait\"".to_owned()),
            ("task_version", "1".to_owned()),
        ])
    }

    /// `POST /tasks`: agent `n` asks for all there is for `wait`, version 1.
    pub(crate) fn poll(n: u64) -> Self {
        Self(vec![
            ("protocol", "1".to_owned()),
            ("agent_id", format!("\"{}\"", id(n))),
            ("agent_name", format!("\"agent {n}\"")),
            ("agent_time", "\"2012-04-23T18:25:43.511Z\"".to_owned()),
            ("agent_capabilities", r#"{"wait":{"version":1}}"#.to_owned()),
            ("max_tasks", "100".to_owned()),
        ])
    }

    /// `POST /tasks/response`: task `n` is done, with an empty object.
    pub(crate) fn result(n: u64) -> Self {
        Self(vec![
            ("protocol", "1".to_owned()),
            ("task_id", format!("\"{}\"", id(n))),
            ("task_data", "{}".to_owned()),
        ])
    }

    /// `POST /tasks/response`: task `n` failed.
    pub(crate) fn failure(n: u64, error: &str) -> Self {
        Self::result(n).without("task_data").with("task_error", error)
    }

    /// Sets a field, in its place or after all others, to JSON text.
    pub(crate) fn with(mut self, name: &'static str, json: impl Into<String>) -> Self {
        match self.0.iter_mut().find(|(field, _)| *field == name) {
            Some((_, value)) => *value = json.into(),
            None => self.0.push((name, json.into())),
        }
        self
    }

    /// Returns the value of a field that holds an id.
    pub(super) fn id(&self, name: &str) -> Uuid {
        let value = self.0.iter().find(|(field, _)| *field == name).map(|(_, value)| value.trim_matches('"'));
        value.and_then(|id| id.parse().ok()).expect("an id")
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.retain(|(field, _)| *field != name);
        self
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<String> = self.0.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        write!(f, "{{{}}}", members.join(","))
    }
}

impl From<Body> for String {
    fn from(body: Body) -> Self {
        body.to_string()
    }
}

impl From<&Body> for String {
    fn from(body: &Body) -> Self {
        body.to_string()
    }
}

/// Returns an id, different for each number.
pub(crate) fn id(n: u64) -> String {
    Uuid::from_u64_pair(0xde30_5d54_75b4_431b, 0xadb2_0000_0000_0000 | n).to_string()
}
