//! `POST /tasks`: agents that poll.

use super::case::{Case, POLL, RESULT, Shown, TASK, VALUES, object, with, without};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let poll = |name: String, body: String| Case::new(name).post("poll", "/tasks", body);
    cases.push(poll("a poll without tasks".to_owned(), object(POLL)));
    for (field, _) in POLL {
        cases.push(poll(format!("a poll without {field}"), without(POLL, field)));
        for value in VALUES {
            cases.push(poll(format!("a poll with {field} {value}"), with(POLL, field, value)));
        }
    }
    for value in VALUES {
        cases.push(poll(format!("a poll with agent_location {value}"), with(POLL, "agent_location", value)));
    }
    for location in LOCATIONS {
        let body = with(POLL, "agent_location", location);
        cases.push(poll(format!("a poll with agent_location {location}"), body));
    }
    for field in ["agent_uuid", "", "task_data", "Protocol"] {
        cases.push(poll(format!("a poll with another field {field:?}"), with(POLL, field, "1")));
    }
    for max_tasks in ["123456789012345678", "18446744073709551616"] {
        cases.push(poll(format!("a poll with max_tasks {max_tasks}"), with(POLL, "max_tasks", max_tasks)));
    }
    let digits = "7".repeat(5_000);
    cases.push(poll("a poll with max_tasks of 5,000 digits".to_owned(), with(POLL, "max_tasks", &digits)));
    for version in VALUES {
        let capabilities = format!(r#"{{"<type>": {{"version": {version}}}}}"#);
        let body = with(POLL, "agent_capabilities", &capabilities);
        cases.push(claim(&format!("a capability with version {version}"), &body));
    }
    for capabilities in CAPABILITIES {
        let body = with(POLL, "agent_capabilities", capabilities);
        cases.push(claim(&format!("capabilities {capabilities}"), &body));
    }
    cases.extend(claims());
    cases.extend(agents());
    cases
}

const LOCATIONS: [&str; 22] = [
    r#"{"country": "FI", "region": "18"}"#,
    r#"{"country": "FI", "region": "1800", "latitude": 60, "longitude": 24.9}"#,
    r#"{"country": "ÅÄ", "region": "日本"}"#,
    r#"{"country": "😀😀", "region": "😀😀😀😀"}"#,
    r#"{"country": "F", "region": "18"}"#,
    r#"{"country": "FIN", "region": "18"}"#,
    r#"{"country": "FI", "region": "1"}"#,
    r#"{"country": "FI", "region": "18000"}"#,
    r#"{"country": "FI"}"#,
    r#"{"region": "18"}"#,
    r#"{"country": null, "region": "18"}"#,
    r#"{"country": "FI", "region": 18}"#,
    r#"{"country": "FI", "region": "18", "city": "Espoo"}"#,
    r#"{"country": "FI", "region": "18", "latitude": "60"}"#,
    r#"{"country": "FI", "region": "18", "latitude": true}"#,
    r#"{"country": "FI", "region": "18", "latitude": null}"#,
    r#"{"country": "FI", "region": "18", "latitude": -1e3, "longitude": 1e-400}"#,
    r#"{"country": "FI", "region": "18", "longitude": 123456789012345678901234567890}"#,
    r#"{"country": "FI", "region": "18", "longitude": 1e400}"#,
    r#"{"country": "FI", "region": "18", "longitude": NaN}"#,
    r#"{"country": "\u0000\u0000", "region": "18"}"#,
    r#"{"country": "FI", "region": "\ud800\ud800"}"#,
];

const CAPABILITIES: [&str; 17] = [
    r#"{"<type>": {"version": 1, "author": "me", "more": [{}]}}"#,
    r#"{"<type>": {"version": 2}}"#,
    r#"{"<TYPE>": {"version": 1}}"#,
    r#"{"<type>": {}}"#,
    r#"{"<type>": {"Version": 1}}"#,
    r#"{"<type>": null}"#,
    r#"{"<type>": 1}"#,
    r#"{"<type>": [1]}"#,
    r#"{"<type>": {"version": 2}, "<type>": {"version": 1}}"#,
    r#"{"<type>": {"version": 1, "version": 2}}"#,
    r#"{"<type>": {"version": 1}, "other": {"version": 1}, "äö 日本 😀": {"version": -1}}"#,
    r#"{"<type>": {"version": 1}, "": {"version": 7}}"#,
    r#"{"<type>": {"version": 1}, "": 1}"#,
    r#"{"<type>": {"version": 1}, "": {"version": "7"}}"#,
    r#"{"<type>": {"version": 1}, "\n": {"version": 1.5}}"#,
    r#"{"<type>": {"version": 1}, "\u0000": {"version": 7}}"#,
    r#"{"<type>": {"version": 1}, "\ud800": {"version": 1}}"#,
];

/// One task waits, and this poll may take it.
fn claim(name: &str, poll: &str) -> Case {
    Case::new(name).post("post", "/task", object(TASK)).post("poll", "/tasks", poll)
}

/// Who gets which tasks.
fn claims() -> Vec<Case> {
    let second_task = with(TASK, "task_id", r#""<task 2>""#);
    let other_type = with(TASK, "task_type", r#""<type> b""#).replace("<task>", "<task 2>");
    let both_types = r#"{"<type>": {"version": 1}, "<type> b": {"version": 1}}"#;
    let limited = |max_tasks: &str| with(POLL, "max_tasks", max_tasks);
    let two_tasks = |name: &str| {
        Case::new(name).post("post", "/task", object(TASK)).post("post another", "/task", &second_task)
    };
    vec![
        claim("a claim", &object(POLL)).post("poll again", "/tasks", object(POLL)).get("get", "/task/<task>"),
        claim("a claimed task and another agent", &object(POLL)).post(
            "poll of the other",
            "/tasks",
            with(POLL, "agent_id", r#""<agent 2>""#),
        ),
        Case::new("a slash after tasks").post("post", "/task", object(TASK)).post(
            "poll",
            "/tasks/",
            object(POLL),
        ),
        Case::new("two slashes before every path")
            .post("post", "//task", object(TASK))
            .post("poll", "//tasks", object(POLL))
            .post("report", "//tasks/response", object(RESULT))
            .get("get", "//task/<task>")
            .get("get with a slash", "//task/<task>/"),
        Case::new("a claim of a task without task_data")
            .post("post", "/task", without(TASK, "task_data"))
            .post("poll", "/tasks", object(POLL))
            .get("get", "/task/<task>")
            .post("report", "/tasks/response", object(RESULT))
            .get("get the result", "/task/<task>"),
        Case::new("a claim of a task with odd data")
            .post(
                "post",
                "/task",
                with(TASK, "task_data", r#"{"b": [1.0, {"ä": "\ud83d\ude00"}], "a": 1e3}"#),
            )
            .post("poll", "/tasks", object(POLL)),
        Case::new("a claim of a task of a negative version")
            .post("post", "/task", with(TASK, "task_version", "-3"))
            .post("poll", "/tasks", with(POLL, "agent_capabilities", r#"{"<type>": {"version": -3}}"#)),
        two_tasks("a claim of two tasks").post("poll", "/tasks", object(POLL)),
        two_tasks("max_tasks 0 and two tasks").post("poll for none", "/tasks", limited("0")).post(
            "poll",
            "/tasks",
            object(POLL),
        ),
        two_tasks("max_tasks 1 and two tasks")
            .post("poll for one", "/tasks", limited("1"))
            .showing(Shown::Number)
            .post("poll for the other", "/tasks", limited("1"))
            .showing(Shown::Number)
            .post("poll for more", "/tasks", limited("1")),
        two_tasks("max_tasks -1 and two tasks").post("poll for -1", "/tasks", limited("-1")).post(
            "poll",
            "/tasks",
            object(POLL),
        ),
        two_tasks("max_tasks 2147483647 and two tasks").post("poll", "/tasks", limited("2147483647")),
        Case::new("a claim with two capabilities")
            .post("post", "/task", object(TASK))
            .post("post another", "/task", &other_type)
            .post("poll", "/tasks", with(POLL, "agent_capabilities", both_types)),
        Case::new("a task of a type nobody asks for").post("post", "/task", &other_type).post(
            "poll",
            "/tasks",
            object(POLL),
        ),
        more_than_one_poll_takes(),
        an_agent_forgets(),
    ]
}

fn more_than_one_poll_takes() -> Case {
    const TASKS: usize = 1_001;
    let mut case = Case::new("a poll for 1,001 tasks");
    for n in 0..TASKS {
        let id = format!(r#""00000000-0000-4000-8000-{n:012}""#);
        case = case.post(&format!("post {n}"), "/task", with(TASK, "task_id", &id));
    }
    case.post("poll", "/tasks", with(POLL, "max_tasks", "5000"))
        .showing(Shown::Number)
        .post("poll again", "/tasks", with(POLL, "max_tasks", "5000"))
        .showing(Shown::Number)
}

/// Capabilities that an agent does not name any more.
fn an_agent_forgets() -> Case {
    let before = r#"{"<type>": {"version": 1}, "<type> b": {"version": 1}}"#;
    let other_type = with(TASK, "task_type", r#""<type> b""#).replace("<task>", "<task 2>");
    Case::new("an agent that can do nothing any more")
        .post("poll", "/tasks", with(POLL, "agent_capabilities", before))
        .post("post", "/task", object(TASK))
        .post("post another", "/task", other_type)
        .post("poll without capabilities", "/tasks", with(POLL, "agent_capabilities", "{}"))
        .showing(Shown::Number)
}

/// What an agent says of itself, poll after poll.
fn agents() -> Vec<Case> {
    let capabilities = |json: &str| with(POLL, "agent_capabilities", json);
    vec![
        Case::new("an agent that learns")
            .post("post", "/task", object(TASK))
            .post("poll", "/tasks", capabilities("{}"))
            .post("poll with another version", "/tasks", capabilities(r#"{"<type>": {"version": 2}}"#))
            .post("poll with the right one", "/tasks", object(POLL)),
        Case::new("an agent id in upper case").post("poll", "/tasks", object(POLL)).post(
            "poll in upper case",
            "/tasks",
            with(POLL, "agent_id", r#""<AGENT>""#),
        ),
        Case::new("an agent that is renamed").post("poll", "/tasks", object(POLL)).post(
            "poll with another name",
            "/tasks",
            with(POLL, "agent_name", r#""M""#),
        ),
    ]
}
