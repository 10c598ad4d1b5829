//! Tasks that are executed, cancelled, and out of time.

use std::time::Instant;

use serde_json::json;

use crate::fleet::{Fleet, PATIENCE, Task, wait, wait_until};

#[test]
fn a_task_is_executed_as_soon_as_it_is_posted() {
    let fleet = Fleet::start();
    let _agent = fleet.agent("first", &[]);
    // The first poll may be on its way.
    fleet.wait_for(fleet.post(&wait(0.5)));
    for _ in 0..3 {
        let began = Instant::now();
        let task = fleet.wait_for(fleet.post(&wait(0.5)));
        assert!(task["task_result"]["time"].is_f64(), "{task}");
        assert_eq!(task["agent_name"], "first");
        // At AGENT_RETURN_TIME it would have been a minute.
        assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
    }
}

#[test]
fn data_that_does_not_fit_is_an_error_that_names_the_field() {
    let fleet = Fleet::start();
    let _agent = fleet.agent("first", &[]);
    let data = json!({"host": "127.0.0.1", "port": "http"});
    let task = Task { task_type: "tcp", data, terms: json!({}) };
    let task = fleet.wait_for(fleet.post(&task));
    let error = task["task_error"].as_str().unwrap();
    assert!(error.starts_with("task_data.port: "), "{error}");
}

#[test]
fn as_many_tasks_run_as_there_are_executors() {
    let fleet = Fleet::start();
    let _agent = fleet.agent("first", &["-x", "3"]);
    let tasks: Vec<_> = (0..4).map(|_| fleet.post(&wait(300.0))).collect();
    for task in &tasks[..3] {
        wait_until(&fleet.url(), *task, |task| task["task_state"] == "claimed");
    }
    assert_eq!(crate::fleet::get(&fleet.url(), tasks[3])["task_state"], "pending");
    cancel(&fleet, tasks[0]);
    wait_until(&fleet.url(), tasks[3], |task| task["task_state"] == "claimed");
}

#[test]
fn a_task_that_is_cancelled_is_stopped() {
    let fleet = Fleet::start();
    let agent = fleet.agent("first", &[]);
    let task = fleet.post(&wait(300.0));
    wait_until(&fleet.url(), task, |task| task["task_state"] == "claimed");
    cancel(&fleet, task);
    let stopped = format!("stopped a task that was cancelled task_id={task}");
    agent.wait_for_line(|line| line.contains(&stopped), PATIENCE);
}

#[test]
fn a_task_whose_time_is_over_is_stopped_and_not_reported() {
    let fleet = Fleet::start();
    let agent = fleet.agent("first", &[]);
    let terms = json!({"task_timeout": 1});
    let task = fleet.post(&Task { terms, ..wait(300.0) });
    let stopped = format!("stopped a task whose time was over task_id={task}");
    agent.wait_for_line(|line| line.contains(&stopped), PATIENCE);
    let task = fleet.wait_for(task);
    assert!(task["task_error"].as_str().unwrap().contains("Task timeout of 1 s passed"), "{task}");
}

#[test]
fn sigterm_lets_what_runs_finish_and_takes_no_more() {
    let fleet = Fleet::start();
    let agent = fleet.agent("first", &[]);
    let running = fleet.post(&wait(2.0));
    wait_until(&fleet.url(), running, |task| task["task_state"] == "claimed");
    agent.signal("TERM");
    agent.wait_for_line(|line| line.contains("the agent takes no more tasks"), PATIENCE);
    let waiting = fleet.post(&wait(0.5));
    agent.wait_for_line(|line| line.contains("the agent has ended"), PATIENCE);
    assert!(agent.wait_exit(PATIENCE).success());
    assert_eq!(fleet.wait_for(running)["task_state"], "completed");
    assert_eq!(crate::fleet::get(&fleet.url(), waiting)["task_state"], "pending");
}

#[test]
fn sigterm_waits_no_longer_than_the_limit() {
    let fleet = Fleet::start();
    let agent = fleet.agent("first", &["--shutdown-limit", "1"]);
    let running = fleet.post(&Task { terms: json!({"task_max_attempts": 2}), ..wait(300.0) });
    wait_until(&fleet.url(), running, |task| task["task_state"] == "claimed");
    agent.signal("TERM");
    agent.wait_for_line(|line| line.contains("the agent ends with work that has not ended"), PATIENCE);
    assert!(agent.wait_exit(PATIENCE).success());
    let task = wait_until(&fleet.url(), running, |task| task["task_state"] == "pending");
    assert_eq!(task["attempts"][0]["code"], "abandoned", "{task}");
}

#[test]
fn sigterm_hands_back_a_task_whose_answer_does_not_arrive() {
    let fleet = Fleet::start();
    // It passes nothing on, and does not tell that its client has hung up.
    let relay = slamon_testbed::Relay::to(fleet.port());
    let url = format!("http://127.0.0.1:{}", relay.port());
    let agent = crate::fleet::agent(&url, &fleet.state_folder("first"), "first", &[]);
    wait_until_polled(&fleet);
    relay.go_silent();
    let task = fleet.post(&Task { terms: json!({"task_max_attempts": 2}), ..wait(0.5) });
    wait_until(&fleet.url(), task, |task| task["task_state"] == "claimed");
    agent.signal("TERM");
    assert!(agent.wait_exit(PATIENCE).success());
    let task = wait_until(&fleet.url(), task, |task| task["task_state"] == "pending");
    assert_eq!(task["attempts"][0]["code"], "abandoned", "{task}");
}

fn wait_until_polled(fleet: &Fleet) {
    let end = Instant::now() + PATIENCE;
    loop {
        let mut answer = ureq::get(format!("{}/status", fleet.url())).call().expect("the AFM answers");
        let status: serde_json::Value = answer.body_mut().read_json().expect("it is JSON");
        if status["agents"] == 1 {
            return;
        }
        assert!(Instant::now() < end, "no agent has polled: {status}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_second_sigterm_ends_the_agent_at_once() {
    let fleet = Fleet::start();
    let agent = fleet.agent("first", &["--shutdown-limit", "600"]);
    let running = fleet.post(&wait(300.0));
    wait_until(&fleet.url(), running, |task| task["task_state"] == "claimed");
    agent.signal("TERM");
    agent.wait_for_line(|line| line.contains("the agent is stopping"), PATIENCE);
    agent.signal("INT");
    assert!(agent.wait_exit(PATIENCE).success());
    let log = agent.log_lines();
    assert!(log.iter().any(|line| line.contains("the agent ends at once")), "{log:?}");
}

fn cancel(fleet: &Fleet, task: uuid::Uuid) {
    ureq::delete(format!("{}/task/{task}", fleet.url())).call().expect("the task can be cancelled");
}

#[test]
fn a_result_that_the_afm_does_not_take_fails_its_task() {
    let folder = tempfile::tempdir().unwrap();
    let config = "MAX_CONTENT_LENGTH = 20000\n";
    let afm = slamon_testbed::AfmProcess::start(&slamon_testbed::built("slamon-afm"), &[], &[], Some(config));
    // The command's result fits into a task's data, and not into what this AFM takes.
    let file = folder.path().join("agent.toml");
    let command = "[commands.much]\nprogram = '/bin/sh'\narguments = ['-c', 'head -c 60000 /dev/zero | tr \"\\\\0\" x']\n";
    std::fs::write(&file, command).unwrap();
    let config = file.to_string_lossy();
    let _agent =
        crate::fleet::agent(&afm.url(), &folder.path().join("state"), "first", &["--config", &config]);
    let task = Task { task_type: "process", data: json!({"command": "much"}), terms: json!({}) };
    let task = crate::fleet::wait_for(&afm.url(), crate::fleet::post(&afm.url(), &task));
    let error = task["task_error"].as_str().expect("it has failed");
    assert!(error.starts_with("the AFM does not take the result: status 413"), "{error}");
}
