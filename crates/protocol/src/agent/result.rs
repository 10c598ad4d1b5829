//! The body of `POST /tasks/response`, with which an agent says what came out of a task.

use uuid::Uuid;

use super::check_protocol;
use crate::fields::Fields;
use crate::invalid::Invalid;
use crate::json::JsonText;
use crate::value::Value;

/// The body of `POST /tasks/response`: what came out of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultPost {
    /// The id under which the task was handed out.
    pub task_id: Uuid,
    /// The agent that answers, if it says so. Then it must be the one that holds the attempt.
    pub agent_id: Option<Uuid>,
    /// What came out of the task.
    pub outcome: TaskOutcome,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskOutcome {
    /// The task ended with a result, a JSON object.
    Completed(JsonText),
    /// The task ended with an error, a JSON string.
    Failed(JsonText),
}

impl ResultPost {
    const FIELDS: [&str; 5] = ["protocol", "task_id", "task_data", "task_error", "agent_id"];

    /// Reads a request body.
    ///
    /// # Errors
    /// The error names the field that breaks a rule of protocol 1.
    pub fn parse(body: &str) -> Result<Self, Invalid> {
        let fields = Fields::of_body(body, &Self::FIELDS)?;
        let [protocol, task_id, task_data, task_error, agent_id] = fields.known;
        check_protocol(protocol)?;
        let task_id = task_id.id()?;
        let data = task_data.optional(Value::object_text)?;
        let error = task_error.optional(Value::string_literal)?;
        let agent_id = agent_id.optional(Value::id)?;
        fields.rest.refuse()?;
        let outcome = match (data, error) {
            (Some(data), None) => TaskOutcome::Completed(data),
            (None, Some(error)) => TaskOutcome::Failed(error),
            (Some(_), Some(_)) => {
                return Err(Invalid::field("task_error", "must not be sent together with task_data"));
            }
            (None, None) => {
                return Err(Invalid::field("task_data", "is required, or else task_error"));
            }
        };
        Ok(Self { task_id, agent_id, outcome })
    }
}

impl TaskOutcome {
    /// Whether two outcomes say the same, so that the second is a repeat of the first.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Completed(a), Self::Completed(b)) | (Self::Failed(a), Self::Failed(b)) => a.same_value(b),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "de305d54-75b4-431b-adb2-eb6b9e546013";

    fn result(rest: &str) -> Result<ResultPost, Invalid> {
        ResultPost::parse(&format!(r#"{{"protocol":1,"task_id":"{ID}"{rest}}}"#))
    }

    #[test]
    fn only_protocol_1() {
        for (protocol, error) in [
            ("2", "protocol: 2 is not served, only 1 is"),
            ("0", "protocol: 0 is not served, only 1 is"),
            ("1.0", "protocol: must be an integer, is 1.0"),
            ("true", "protocol: must be an integer, is true"),
        ] {
            let body = format!(r#"{{"protocol":{protocol},"task_id":"{ID}","task_data":{{}}}}"#);
            assert_eq!(ResultPost::parse(&body).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn a_result_is_data_or_an_error() {
        let text = |json: &str| JsonText::from_stored(json.into());
        let completed = result(r#","task_data":{"status": 200}"#).unwrap().outcome;
        assert_eq!(completed, TaskOutcome::Completed(text(r#"{"status": 200}"#)));
        let failed = result(r#","task_error":"no\u0000 \ud800""#).unwrap().outcome;
        assert_eq!(failed, TaskOutcome::Failed(text(r#""no\u0000 \ud800""#)));

        for (rest, error) in [
            ("", "task_data: is required, or else task_error"),
            (r#","task_data":{},"task_error":"""#, "task_error: must not be sent together with task_data"),
            (r#","task_data":"x""#, "task_data: must be an object, is \"x\""),
            (r#","task_error":{}"#, "task_error: must be a string, is an object"),
            (r#","task_error":null"#, "task_error: must be a string, is null"),
            (
                r#","task_data":{},"agent":1"#,
                "agent: is not a known field; known are protocol, task_id, task_data, task_error, agent_id",
            ),
        ] {
            assert_eq!(result(rest).unwrap_err().to_string(), error);
        }
    }
}
