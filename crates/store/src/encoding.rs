//! How the tables of both databases write the values of the domain.

use std::time::Duration;

use slamon_domain::{AgentBinding, AttemptEnd, End, State, StateName};
use slamon_protocol::{JsonText, TaskOutcome};
use uuid::Uuid;

/// The name of a task's state in the tables; for clients it is [`State::name`].
pub(crate) fn state_name(state: &State) -> &'static str {
    match state {
        State::Ended { end: End::Lost(_), .. } => "lost",
        State::Ended { end: End::TimedOut(_), .. } => "timed_out",
        other => other.name(),
    }
}

/// Reads what [`state_name`] has written; `None` where it has written no such thing.
pub(crate) fn state_of(name: &str) -> Option<StateName> {
    StateName::ALL.into_iter().find(|state| state.as_str() == name)
}

/// The name of how an attempt ended in the tables, and the error that is kept with it.
pub(crate) fn attempt_end_columns(end: &AttemptEnd) -> (&'static str, Option<&str>) {
    match end {
        AttemptEnd::Error(error) => ("error", Some(error.as_str())),
        AttemptEnd::Lost => ("lost", None),
        AttemptEnd::Abandoned => ("abandoned", None),
        AttemptEnd::TimedOut => ("timed_out", None),
        AttemptEnd::Expired => ("expired", None),
        AttemptEnd::Cancelled => ("cancelled", None),
    }
}

/// Reads what [`attempt_end_columns`] has written; `None` where it has written no such thing.
pub(crate) fn attempt_end(name: &str, error: Option<JsonText>) -> Option<AttemptEnd> {
    Some(match name {
        "error" => AttemptEnd::Error(error?),
        "lost" => AttemptEnd::Lost,
        "abandoned" => AttemptEnd::Abandoned,
        "timed_out" => AttemptEnd::TimedOut,
        "expired" => AttemptEnd::Expired,
        "cancelled" => AttemptEnd::Cancelled,
        _ => return None,
    })
}

/// The columns of what an agent posted: its result, or its error.
pub(crate) fn outcome_columns(outcome: &TaskOutcome) -> (Option<&str>, Option<&str>) {
    match outcome {
        TaskOutcome::Completed(result) => (Some(result.as_str()), None),
        TaskOutcome::Failed(error) => (None, Some(error.as_str())),
    }
}

/// Reads what [`outcome_columns`] has written; `None` where both columns are null.
pub(crate) fn outcome(result: Option<JsonText>, error: Option<JsonText>) -> Option<TaskOutcome> {
    result.map(TaskOutcome::Completed).or(error.map(TaskOutcome::Failed))
}

/// The columns of which agent the bearer of a token may be: the agent, and whether it is the first one.
pub(crate) fn agent_binding_columns(binding: AgentBinding) -> (Option<Uuid>, bool) {
    match binding {
        AgentBinding::Any => (None, false),
        AgentBinding::First => (None, true),
        AgentBinding::Agent(id) => (Some(id), false),
    }
}

/// Reads what [`agent_binding_columns`] has written.
pub(crate) fn agent_binding(agent_id: Option<Uuid>, binds_first: bool) -> AgentBinding {
    match agent_id {
        Some(id) => AgentBinding::Agent(id),
        None if binds_first => AgentBinding::First,
        None => AgentBinding::Any,
    }
}

/// The task types of a token as a list in JSON.
pub(crate) fn token_types_text(types: &[String]) -> String {
    serde_json::Value::from(types).to_string()
}

/// Reads what [`token_types_text`] has written.
pub(crate) fn token_types(text: &str) -> Result<Vec<String>, serde_json::Error> {
    serde_json::from_str(text)
}

/// A duration in whole microseconds; one that is too long for a column is the longest that fits.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again() {
        let text = || JsonText::from_stored("\"why\"".to_owned());
        for end in [
            AttemptEnd::Error(text()),
            AttemptEnd::Lost,
            AttemptEnd::Abandoned,
            AttemptEnd::TimedOut,
            AttemptEnd::Expired,
            AttemptEnd::Cancelled,
        ] {
            let (name, error) = attempt_end_columns(&end);
            let error = error.map(|error| JsonText::from_stored(error.to_owned()));
            assert_eq!(attempt_end(name, error), Some(end));
        }
        assert_eq!((attempt_end("error", None), attempt_end("pending", None)), (None, None));
        for written in [TaskOutcome::Completed(text()), TaskOutcome::Failed(text())] {
            let (result, error) = outcome_columns(&written);
            let [result, error] =
                [result, error].map(|text| text.map(|text| JsonText::from_stored(text.to_owned())));
            assert_eq!(outcome(result, error), Some(written));
        }
        assert_eq!(outcome(None, None), None);
        for binding in [AgentBinding::Any, AgentBinding::First, AgentBinding::Agent(Uuid::from_u128(1))] {
            let (agent_id, binds_first) = agent_binding_columns(binding);
            assert_eq!(agent_binding(agent_id, binds_first), binding);
        }
        for types in [vec![], ["", "a\"\\\0", "ä😀\u{fffd}"].map(str::to_owned).to_vec()] {
            assert_eq!(token_types(&token_types_text(&types)).unwrap(), types);
        }
        assert_eq!(micros(Duration::MAX), i64::MAX);
    }
}
