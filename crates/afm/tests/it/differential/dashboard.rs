//! `/status` and `/dashboard/status`: about all tasks and agents, so these cases run while there are no
//! others.

use super::case::{Case, POLL, RESULT, Shown, TASK, object, with};

pub(super) fn cases() -> Vec<Case> {
    let fleet = |case: Case, when: &str| {
        case.get(&format!("status {when}"), "/status").get(&format!("dashboard {when}"), "/dashboard/status")
    };
    // Shown in full while they are short.
    let case = fleet(Case::new("the fleet"), "of nothing").post(
        "poll",
        "/tasks",
        with(POLL, "agent_capabilities", "{}"),
    );
    let case = fleet(case, "of an agent").post(
        "poll under another name",
        "/tasks",
        with(POLL, "agent_name", r#""M""#),
    );
    let case = fleet(case, "of a renamed agent");
    let fleet = |case: Case, when: &str| {
        const OURS: &[&str] = &["agent_name", "agents_total", "limit", "tasks_total", "tasks_truncated"];
        fleet(case, when).showing(Shown::Without(OURS))
    };
    let case = case.post("post", "/task", object(TASK)).post(
        "post another",
        "/task",
        with(TASK, "task_id", r#""<task 2>""#),
    );
    let case = fleet(case, "of two tasks").post(
        "poll of another",
        "/tasks",
        with(POLL, "agent_id", r#""<agent 2>""#),
    );
    let failure = r#"{"protocol": 1, "task_id": "<task 2>", "task_error": "<b>no</b> route"}"#;
    let case = fleet(case, "of two agents").post("report", "/tasks/response", object(RESULT)).post(
        "report the other",
        "/tasks/response",
        failure,
    );
    vec![fleet(case, "in the end")]
}
