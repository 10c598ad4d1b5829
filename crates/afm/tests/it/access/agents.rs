//! Tokens of agents, which may be bound to one.

use slamon_domain::{AgentBinding, Role};

use super::{Bearer, start_guarded};
use crate::test_app::{Body, TestApp, id};

/// Posts a task and has an agent claim it.
#[track_caller]
fn claim(app: &TestApp, agent: &Bearer<'_>, task: u64, agent_id: u64) {
    let admin = app.make_token(Role::Admin, |_| ());
    Bearer::new(app, &admin).post("/task", Body::task(task)).is_empty();
    let polled = agent.post("/tasks", Body::poll(agent_id)).json();
    assert_eq!(polled["tasks"][0]["task_id"], id(task));
}

#[test]
fn a_token_of_one_agent_is_no_good_for_another() {
    let app = start_guarded();
    let bound = AgentBinding::Agent(id(1).parse().expect("an id"));
    let token = app.make_token(Role::Agent, |token| token.agent = bound);
    let agent = Bearer::new(&app, &token);
    agent.post("/tasks", Body::poll(2)).is_problem(403, "agent_id: the token is another agent's");
    claim(&app, &agent, 7, 1);
    let other = app.make_token(Role::Agent, |token| {
        token.agent = AgentBinding::Agent(id(2).parse().expect("an id"));
    });
    let other = Bearer::new(&app, &other);
    // It neither reports for the first one, nor what that one has to report.
    let as_first = Body::result(7).with("agent_id", format!("\"{}\"", id(1)));
    other.post("/tasks/response", &as_first).is_problem(403, "agent_id: the token is another agent's");
    let refused = other.post("/tasks/response", Body::result(7));
    assert_eq!(refused.problem(400)["field"], "agent_id");
    let several = format!("{{\"results\":[{as_first},{}]}}", Body::result(7));
    let answers = other.post("/tasks/response", several).json();
    assert_eq!(answers["results"][0]["status"], 403, "{answers}");
    assert_eq!(answers["results"][1]["status"], 400, "{answers}");
    agent.post("/tasks/response", Body::result(7)).is_empty();
}

#[test]
fn a_token_may_bind_itself_to_the_agent_that_uses_it_first() {
    let app = start_guarded();
    let token = app.make_token(Role::Agent, |token| token.agent = AgentBinding::First);
    let agent = Bearer::new(&app, &token);
    // Who has not polled has nothing to report.
    agent.post("/tasks/response", Body::result(7)).is_problem(403, "agent_id: the token is another agent's");
    claim(&app, &agent, 7, 3);
    agent.post("/tasks", Body::poll(4)).is_problem(403, "agent_id: the token is another agent's");
    agent.post("/tasks/response", Body::result(7)).is_empty();
    agent.post("/tasks", Body::poll(3)).json();
}

#[test]
fn an_agent_may_report_here_right_after_its_first_poll_elsewhere() {
    let app = start_guarded();
    let token = app.make_token(Role::Agent, |token| token.agent = AgentBinding::First);
    app.store_tasks([Body::task(7)].into_iter());
    app.store_agents([Body::poll(3)].into_iter());
    app.bind_all_tokens(&id(3));
    let agent = Bearer::new(&app, &token);
    agent.post("/tasks/response", Body::result(7)).is_empty();
}

#[test]
fn a_token_of_a_fleet_is_good_for_all_its_agents() {
    let app = start_guarded();
    let token = app.make_token(Role::Agent, |_| ());
    let fleet = Bearer::new(&app, &token);
    claim(&app, &fleet, 7, 1);
    claim(&app, &fleet, 8, 2);
    fleet.post("/tasks/response", Body::result(7)).is_empty();
    fleet.post("/tasks/response", Body::result(8)).is_empty();
}

/// The unmodified agent knows users and passwords in its URL, and nothing else.
#[test]
fn a_token_may_be_the_password_of_basic_authentication() {
    use base64::Engine;

    let app = start_guarded();
    let token = app.make_token(Role::Agent, |_| ());
    for user in ["agent", "", "ä:"] {
        let basic =
            base64::engine::general_purpose::STANDARD.encode(format!("{}:{token}", user.replace(':', "")));
        let headers = [("authorization", &*format!("Basic {basic}")), ("content-type", "application/json")];
        app.send("POST", "/tasks", &headers, Body::poll(1).to_string()).json();
    }
}
