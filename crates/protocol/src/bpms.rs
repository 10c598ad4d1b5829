//! The request of BPMS clients: a task to be executed.

use uuid::Uuid;

use crate::fields::Fields;
use crate::invalid::Invalid;
use crate::json::JsonText;
use crate::limits::Limits;
use crate::terms::Terms;
use crate::value::Value;

/// The body of `POST /task`: a task as its client describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostTask {
    /// The id of the task, which the client has chosen.
    pub task_id: Uuid,
    /// The id that all tasks of one process instance share.
    pub test_id: Uuid,
    /// What an agent must be capable of. The text may be empty.
    pub task_type: String,
    /// The version of the type that the agent must be capable of.
    pub task_version: i64,
    /// A JSON object that the agent is given.
    pub task_data: Option<JsonText>,
    /// How long the task may take, how often it may be tried, and who may have it.
    pub terms: Terms,
    /// Who posted the task, by the name of their token. It is no part of the body: [`PostTask::parse`] leaves it `None`.
    pub posted_by: Option<String>,
}

impl PostTask {
    const FIELDS: [&str; 13] = [
        "task_id",
        "test_id",
        "task_type",
        "task_version",
        "task_data",
        "task_ttl",
        "task_timeout",
        "task_max_attempts",
        "task_retry_errors",
        "task_retry_delay",
        "task_priority",
        "task_delay",
        "agent_filter",
    ];

    /// Reads a request body under the usual limits.
    ///
    /// # Errors
    /// The error names the field that breaks a rule of protocol 1.
    pub fn parse(body: &str) -> Result<Self, Invalid> {
        Self::parse_within(body, &Limits::default())
    }

    /// Reads a request body.
    ///
    /// # Errors
    /// The error names the field that breaks a rule of protocol 1, or one of the limits.
    pub fn parse_within(body: &str, limits: &Limits) -> Result<Self, Invalid> {
        let fields = Fields::of_body(body, &Self::FIELDS)?;
        let [task_id, test_id, task_type, task_version, task_data, terms @ ..] = fields.known;
        let task = Self {
            task_id: task_id.id()?,
            test_id: test_id.id()?,
            task_type: task_type.bounded_text(limits.name_bytes)?,
            task_version: task_version.integer()?,
            task_data: task_data.optional(Value::object_text)?,
            terms: Terms::read(terms, limits)?,
            posted_by: None,
        };
        fields.rest.refuse()?;
        Ok(task)
    }

    /// Whether two posts are by the same poster and say the same in every field, so that the second is a repeat of the
    /// first.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let same_data = match (&self.task_data, &other.task_data) {
            (Some(a), Some(b)) => a.same_value(b),
            (None, None) => true,
            _ => false,
        };
        same_data
            && self.task_id == other.task_id
            && self.test_id == other.test_id
            && self.task_type == other.task_type
            && self.task_version == other.task_version
            && self.terms == other.terms
            && self.posted_by == other.posted_by
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "de305d54-75b4-431b-adb2-eb6b9e546013";

    fn with(rest: &str) -> Result<PostTask, Invalid> {
        PostTask::parse(&format!(r#"{{"task_id":"{ID}","test_id":"{ID}",{rest}}}"#))
    }

    #[test]
    fn all_fields() {
        let task = with(r#""task_type":"wait","task_version":-9223372036854775808,"task_data":{ "a":1.0}"#);
        let task = task.unwrap();
        assert_eq!(task.task_id.to_string(), ID);
        assert_eq!(task.task_type, "wait");
        assert_eq!(task.task_version, i64::MIN);
        assert_eq!(task.task_data.unwrap().as_str(), r#"{ "a":1.0}"#);
        assert_eq!(task.posted_by, None);
    }

    #[test]
    fn the_last_of_a_repeated_field_counts() {
        let task = with(r#""task_type":"a","task_type":"b","task_version":"x","task_version":2"#).unwrap();
        assert_eq!((task.task_type.as_str(), task.task_version), ("b", 2));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (rest, error) in [
            (r#""task_version":1"#, "task_type: is required"),
            (r#""task_type":"t""#, "task_version: is required"),
            (r#""task_type":null,"task_version":1"#, "task_type: must be a string, is null"),
            (r#""task_type":"t","task_version":1.0"#, "task_version: must be an integer, is 1.0"),
            (r#""task_type":"t","task_version":1e2"#, "task_version: must be an integer, is 1e2"),
            (r#""task_type":"t","task_version":"1""#, "task_version: must be an integer, is \"1\""),
            (r#""task_type":"t","task_version":true"#, "task_version: must be an integer, is true"),
            (r#""task_type":"t","task_version":null"#, "task_version: must be an integer, is null"),
            (
                r#""task_type":"t","task_version":9223372036854775808"#,
                "task_version: must be an integer of at most 64 bits, is 9223372036854775808",
            ),
            (
                r#""task_type":"t","task_version":1,"task_data":[]"#,
                "task_data: must be an object, is an array",
            ),
            (r#""task_type":"t","task_version":1,"task_data":null"#, "task_data: must be an object, is null"),
            (r#""task_type":"\u0000","task_version":1"#, "task_type: must not contain U+0000"),
            (
                r#""task_type":"\ud800","task_version":1"#,
                "task_type: is not valid Unicode: it has half a surrogate pair",
            ),
            (
                r#""task_type":"t","task_version":1,"task_dat":{}"#,
                "task_dat: is not a known field; known are task_id, test_id, task_type, task_version, \
                 task_data, task_ttl, task_timeout, task_max_attempts, task_retry_errors, task_retry_delay, \
                 task_priority, task_delay, agent_filter",
            ),
        ] {
            assert_eq!(with(rest).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn a_type_is_bounded() {
        let of_length = |length: usize| format!(r#""task_type":"{}","task_version":1"#, "x".repeat(length));
        with(&of_length(1_024)).unwrap();
        let error = "task_type: must be at most 1024 bytes long, has 1025";
        assert_eq!(with(&of_length(1_025)).unwrap_err().to_string(), error);
        let body = format!(r#"{{"task_id":"{ID}","test_id":"{ID}",{}}}"#, of_length(1_025));
        let limits = Limits { name_bytes: 1_025, ..Limits::default() };
        PostTask::parse_within(&body, &limits).unwrap();
    }

    #[test]
    fn an_error_quotes_little_of_what_was_wrong() {
        let long = "😀".repeat(250_000);
        for (rest, field) in [
            (format!(r#""task_type":{}1,"task_version":1"#, "1".repeat(1_000_000)), "task_type"),
            (format!(r#""task_type":"t","task_version":"{long}""#), "task_version"),
            (format!(r#""task_type":"t","task_version":1,"task_delay":"{long}""#), "task_delay"),
            (format!(r#""task_type":"t","task_version":1,"task_priority":"{long}""#), "task_priority"),
            (format!(r#""task_type":"t","task_version":1,"{long}":1"#), "😀"),
            (format!(r#""task_type":"t","task_version":1,"agent_filter":{{"{long}":1}}"#), "agent_filter.😀"),
        ] {
            let error = with(&rest).unwrap_err();
            let quoted = error.to_string().chars().filter(|c| matches!(c, '😀' | '1' | '…')).count();
            assert!((80..=200).contains(&quoted), "{error}");
            assert!(error.to_string().contains('…') && error.to_string().chars().count() < 500, "{error}");
            assert!(error.field.is_some_and(|name| name.starts_with(field)));
        }
    }

    #[test]
    fn bodies_that_are_no_object() {
        for (body, error) in [
            ("", "request body: must be a JSON object, is empty"),
            (" \n", "request body: must be a JSON object, is empty"),
            ("[]", "request body: must be a JSON object, is an array"),
            ("null", "request body: must be a JSON object, is null"),
            ("{", "request body: is not valid JSON: EOF while parsing an object at line 1 column 1"),
        ] {
            assert_eq!(PostTask::parse(body).unwrap_err().to_string(), error);
        }
    }
}
