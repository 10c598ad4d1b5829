//! `POST /tasks/response`: agents that post what came out.

use super::case::{Case, POLL, RESULT, Shown, TASK, VALUES, object, with, without};

const FAILURE: &str = r#"{"protocol": 1, "task_id": "<task>", "task_error": "no route"}"#;

/// A task that its agent has claimed.
fn claimed(name: impl Into<String>) -> Case {
    Case::new(name).post("post", "/task", object(TASK)).post("poll", "/tasks", object(POLL))
}

fn report(name: impl Into<String>, body: impl AsRef<[u8]>) -> Case {
    claimed(name).post("report", "/tasks/response", body).get("get", "/task/<task>")
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![report("a result", object(RESULT)), report("a failure", FAILURE)];
    for (field, _) in RESULT {
        cases.push(report(format!("a result without {field}"), without(RESULT, field)));
        for value in VALUES {
            cases.push(report(format!("a result with {field} {value}"), with(RESULT, field, value)));
        }
    }
    let failure = without(RESULT, "task_data");
    for value in VALUES {
        let body = failure.replacen('{', &format!(r#"{{"task_error": {value}, "#), 1);
        cases.push(report(format!("a result with task_error {value}"), body));
    }
    for data in [r#"{"n": NaN}"#, r#"{"n": 1e400}"#, r#"{"n": 1.0, "m": 123456789012345678901234567890}"#] {
        cases.push(report(format!("result data {data}"), with(RESULT, "task_data", data)));
    }
    let nested = format!("{}{}", r#"{"a":"#.repeat(600), "1") + &"}".repeat(600);
    cases.push(
        report("result data 600 levels deep", with(RESULT, "task_data", &nested)).showing(Shown::Status),
    );
    cases.push(report("a result and an error", with(RESULT, "task_error", r#""both""#)));
    for field in ["agent_id", "task_type", "", "Task_data"] {
        cases.push(report(format!("a result with another field {field:?}"), with(RESULT, field, "1")));
    }
    cases.extend(sequences());
    cases
}

fn sequences() -> Vec<Case> {
    let twice = |name: &str, first: &str, second: &str| {
        report(name, first).post("report again", "/tasks/response", second).get("get again", "/task/<task>")
    };
    let (result, other) = (object(RESULT), with(RESULT, "task_data", r#"{"status": 404}"#));
    vec![
        twice("a result posted again", &result, &result),
        twice("another result posted", &result, &other),
        twice("an error after a result", &result, FAILURE),
        twice("an error posted again", FAILURE, FAILURE),
        twice("another error posted", FAILURE, &FAILURE.replace("no route", "timeout")),
        twice("a result after an error", FAILURE, &result),
        twice("a result after a bad one", "{}", &result),
        Case::new("a result for a task not claimed")
            .post("post", "/task", object(TASK))
            .post("report", "/tasks/response", &result)
            .get("get", "/task/<task>"),
        Case::new("a result for no task").post("report", "/tasks/response", &result),
        claimed("a slash after response")
            .post("report", "/tasks/response/", &result)
            .get("get", "/task/<task>"),
        report("a finished task and a poll", &result).post("poll again", "/tasks", object(POLL)),
        report("a finished task posted again", &result)
            .post("post again", "/task", object(TASK))
            .get("get again", "/task/<task>"),
    ]
}
