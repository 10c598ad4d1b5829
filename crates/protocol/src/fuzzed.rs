//! What must hold of any request body at all.
//!
//! Fuzz targets call these functions, and tests call them with what fuzzing has found.

use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::scanner::Scanner;
use crate::{
    Invalid, JsonText, LONGEST, LONGEST_WAIT, Limits, PollRequest, PostTask, ResultPost, TaskOutcome,
};

/// The longest message about what is wrong with a body, in bytes: it quotes two texts, of which each
/// character may take 4 bytes and be escaped.
const LONGEST_MESSAGE: usize = 4_000;

/// Checks what is read of a body as a poll.
pub fn poll(body: &[u8]) {
    let Ok(text) = str::from_utf8(body) else { return };
    let Some(poll) = read(text, PollRequest::parse(text)) else { return };
    let limits = Limits::default();
    assert!(poll.agent_name.len() <= limits.name_bytes);
    assert!(poll.agent_capabilities.len() <= limits.capabilities);
    assert!(poll.max_wait <= LONGEST_WAIT);
    // The way in which a name is written does not matter, nor does a member that says the default.
    if poll.max_wait == Duration::ZERO
        && let Some(start) = text.trim_end().strip_suffix('}')
    {
        for name in ["max_wait", "m\\u0061x_wait"] {
            assert_eq!(PollRequest::parse(&format!("{start},\"{name}\":0}}")).as_ref(), Ok(&poll));
        }
    }
}

/// Checks what is read of a body as a task that is posted.
pub fn post_task(body: &[u8]) {
    let Ok(text) = str::from_utf8(body) else { return };
    let Some(task) = read(text, PostTask::parse(text)) else { return };
    assert!(task.task_type.len() <= Limits::default().name_bytes);
    for time in [task.terms.ttl, task.terms.timeout, Some(task.terms.delay), Some(task.terms.retry_delay)] {
        assert!(time.is_none_or(|time| time <= LONGEST));
    }
    if let Some(data) = &task.task_data {
        is_same(text, "task_data", data);
    }
}

/// Checks what is read of a body as a result.
pub fn result(body: &[u8]) {
    let Ok(text) = str::from_utf8(body) else { return };
    let Some(post) = read(text, ResultPost::parse(text)) else { return };
    match &post.outcome {
        TaskOutcome::Completed(data) => is_same(text, "task_data", data),
        TaskOutcome::Failed(error) => is_same(text, "task_error", error),
    }
}

/// Gives what was read, after checking that the body is a JSON object then, and that an error is short.
fn read<T>(text: &str, read: Result<T, Invalid>) -> Option<T> {
    let mut scanner = Scanner::of(text);
    let is_json = scanner.value().and_then(|_| scanner.end()).is_ok();
    assert_eq!(is_json, serde_json::from_str::<&RawValue>(text).is_ok());
    match read {
        Ok(value) => {
            let whole = serde_json::from_str::<&RawValue>(text);
            assert!(whole.is_ok_and(|value| value.get().starts_with('{')));
            Some(value)
        }
        Err(invalid) => {
            let message = invalid.to_string();
            assert!(message.len() <= LONGEST_MESSAGE, "{} bytes: {message}", message.len());
            None
        }
    }
}

/// Checks that a member is kept as it came.
fn is_same(text: &str, member: &str, kept: &JsonText) {
    if let Ok(whole) = serde_json::from_str::<Value>(text) {
        let kept: Value = serde_json::from_str(kept.as_str()).expect("what is kept is JSON");
        assert_eq!(whole.get(member), Some(&kept));
    }
}

#[cfg(test)]
mod tests {
    use slamon_testbed::replay_corpus;

    #[test]
    fn polls_of_the_corpus() {
        replay_corpus("poll", super::poll);
    }

    #[test]
    fn tasks_of_the_corpus() {
        replay_corpus("post_task", super::post_task);
    }

    #[test]
    fn results_of_the_corpus() {
        replay_corpus("result", super::result);
    }
}
