//! What the agent tells those who watch over it.

use std::process::Command;

use slamon_testbed::Process;

use crate::fleet::{Fleet, PATIENCE, wait};

#[test]
fn metrics_and_health_are_answered_when_asked_for() {
    let mut fleet = Fleet::start();
    let agent = fleet.agent("first", &["--listen", "127.0.0.1:0"]);
    let address = address(&agent);
    fleet.wait_for(fleet.post(&wait(0.5)));
    assert_eq!(get(&address, "/healthz").0, 200);
    assert_eq!(get(&address, "/readyz").0, 200);
    let (status, metrics) = get(&address, "/metrics");
    assert_eq!(status, 200);
    let completed = "slamon_agent_tasks_total{outcome=\"completed\",task_type=\"wait\"} 1";
    assert!(metrics.contains(completed), "{metrics}");
    fleet.kill_afm();
    agent.wait_for_line(|line| line.contains("could not poll for tasks"), PATIENCE);
    assert_eq!(get(&address, "/healthz").0, 200);
}

#[test]
fn an_agent_without_an_afm_is_alive_and_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let away = format!("http://127.0.0.1:{}", slamon_testbed::free_port());
    let agent = crate::fleet::agent(&away, folder.path(), "first", &["--listen", "127.0.0.1:0"]);
    let address = address(&agent);
    assert_eq!(get(&address, "/healthz").0, 200);
    assert_eq!(get(&address, "/readyz"), (503, "no AFM has answered lately\n".to_owned()));
}

#[test]
fn health_asks_the_agent_that_listens() {
    let folder = tempfile::tempdir().unwrap();
    let away = format!("http://127.0.0.1:{}", slamon_testbed::free_port());
    let agent = crate::fleet::agent(&away, folder.path(), "first", &["--listen", "127.0.0.1:0"]);
    let address = address(&agent);
    let health = |address: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_slamon-agent"))
            .args(["health", "--listen", address])
            .output()
            .expect("the program");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    assert_eq!(health(&address), (Some(0), "alive\n".to_owned(), String::new()));
    let nowhere = format!("127.0.0.1:{}", slamon_testbed::free_port());
    let (status, told, problem) = health(&nowhere);
    assert_eq!((status, told), (Some(1), String::new()));
    assert!(problem.starts_with(&format!("slamon-agent: no agent answers at {nowhere}")), "{problem}");
}

fn address(agent: &Process) -> String {
    let line = agent.wait_for_line(|line| line.contains("answering /metrics"), PATIENCE);
    line.split("address=").nth(1).expect("an address").trim().to_owned()
}

fn get(address: &str, path: &str) -> (u16, String) {
    let request = ureq::get(format!("http://{address}{path}")).config().http_status_as_error(false).build();
    let mut answer = request.call().expect("an answer");
    (answer.status().as_u16(), answer.body_mut().read_to_string().expect("a text"))
}
