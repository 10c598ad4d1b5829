//! `/task`: posting tasks, and asking for them.

use super::case::{Case, Shown, TASK, VALUES, object, with, without};
use super::http::Request;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let post =
        |name: String, body: String| Case::new(name).post("post", "/task", body).get("get", "/task/<task>");
    cases.push(post("a task".to_owned(), object(TASK)));
    for (field, _) in TASK {
        cases.push(post(format!("a task without {field}"), without(TASK, field)));
        for value in VALUES {
            cases.push(post(format!("a task with {field} {value}"), with(TASK, field, value)));
        }
    }
    for field in ["task_result", "task_completed", "task_priority", "", "Task_id"] {
        let name = format!("a task with another field {field:?}");
        cases.push(post(name, with(TASK, field, "null")));
    }
    for data in DATA {
        cases.push(post(format!("task data {data}"), with(TASK, "task_data", data)));
    }
    for depth in [400, 600, 5_000] {
        let nested = format!("{}{}", r#"{"a":"#.repeat(depth), "1") + &"}".repeat(depth);
        let name = format!("task data {depth} levels deep");
        cases.push(post(name, with(TASK, "task_data", &nested)).showing(Shown::Status));
    }
    let digits = format!(r#"{{"n": {}}}"#, "7".repeat(5_000));
    cases.push(
        post("task data with 5,000 digits".to_owned(), with(TASK, "task_data", &digits))
            .showing(Shown::Status),
    );
    let long = format!("\"{}\"", "type ".repeat(200));
    cases.push(post("a task with a long task_type".to_owned(), with(TASK, "task_type", &long)));
    let longer = with(TASK, "task_type", &format!("\"{}\"", "x".repeat(1_025)));
    cases.push(Case::new("a task with a task_type of 1,025 bytes").post("post", "/task", longer));
    cases.extend(repeats());
    cases.extend(paths());
    cases
}

const DATA: [&str; 14] = [
    r#"{"b": 1, "a": {"d": [1, 1.0, -0.0, 1e-7, 1.10, 1E2], "c": null}}"#,
    r#"{"n": 123456789012345678901234567890, "m": -9223372036854775809}"#,
    r#"{"n": 1.7976931348623157e308, "m": 5e-324, "o": 0.1000000000000000055511151231257827}"#,
    r#"{"n": 1e400}"#,
    r#"{"n": NaN}"#,
    r#"{"n": Infinity}"#,
    r#"{"n": 01}"#,
    r#"{"n": .5}"#,
    r#"{"a": 1, "a": 2, "b": {"c": 1, "c": {"d": 1, "d": 2}}}"#,
    r#"{"": "äö 日本 😀", "\u0000": "\u0000", "<script>": "\u003c/script>"}"#,
    r#"{"s": "\ud800"}"#,
    r#"{"\udc00": 1}"#,
    r#"{"s": "\x41"}"#,
    "{\"s\": \"tab\tin a string\"}",
];

/// The same task again, and others under its id.
fn repeats() -> Vec<Case> {
    let again = |name: &str, body: String| {
        Case::new(name)
            .post("first", "/task", object(TASK))
            .post("second", "/task", body)
            .get("get", "/task/<task>")
    };
    vec![
        again("a task posted again", object(TASK)),
        again("a task posted again, written differently", object(TASK).replace(' ', "\n  ")),
        again("a task posted again, the id in upper case", with(TASK, "task_id", r#""<TASK>""#)),
        again("an id taken, other test_id", with(TASK, "test_id", r#""<task 2>""#)),
        again("an id taken, other task_type", with(TASK, "task_type", r#""other""#)),
        again("an id taken, other task_version", with(TASK, "task_version", "2")),
        again("an id taken, other task_data", with(TASK, "task_data", r#"{"time": 5.0}"#)),
        again("an id taken, no task_data", without(TASK, "task_data")),
    ]
}

/// Ways to write the path of a task.
fn paths() -> Vec<Case> {
    let ask = |name: &str, path: &str| Case::new(name).post("post", "/task", object(TASK)).get("get", path);
    let mut cases = vec![
        ask("a slash after an id", "/task/<task>/"),
        ask("two slashes after an id", "/task/<task>//"),
        ask("an id in upper case in the path", "/task/<TASK>"),
        ask("a query after an id", "/task/<task>?full=1"),
        ask("an escaped dash in the path", "/task/de305d54%2D75b4-431b-adb2-eb6b9e546013"),
        ask("an id nobody posted", "/task/<task 2>"),
        ask("an id with a newline in the path", "/task/<task>%0A"),
        ask("an id with a space in the path", "/task/<task>%20"),
        ask("an id in braces in the path", "/task/%7B<task>%7D"),
        ask("an id without dashes in the path", "/task/de305d5475b4431badb2eb6b9e546013"),
        ask("an id of other letters in the path", "/task/ge305d54-75b4-431b-adb2-eb6b9e546013"),
        ask("an id as a URN in the path", "/task/urn:uuid:<task>"),
        ask("no id in the path", "/task/"),
        ask("a word for an id in the path", "/task/wait"),
        ask("no UTF-8 in the path", "/task/%FF"),
        ask("U+0000 in the path", "/task/<task>%00"),
        ask("more after an id in the path", "/task/<task>/result"),
    ];
    for method in ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let name = format!("{method} of a task");
        let case = Case::new(name).post("post", "/task", object(TASK));
        cases.push(case.step("ask", Request::new(method, "/task/<task>")).get("get", "/task/<task>"));
    }
    cases
}
