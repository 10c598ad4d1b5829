//! Which agent it is.

use slamon_testbed::Process;

use crate::fleet::{Fleet, PATIENCE};

#[test]
fn a_restarted_agent_is_the_same_agent() {
    let fleet = Fleet::start();
    let id = |agent: &Process| {
        let line = agent.wait_for_line(|line| line.contains("the agent has begun"), PATIENCE);
        line.split("agent_id=").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    };
    let agent = fleet.agent("first", &[]);
    let first = id(&agent);
    agent.signal("TERM");
    assert!(agent.wait_exit(PATIENCE).success());
    assert_eq!(id(&fleet.agent("first", &[])), first);
    assert_ne!(id(&fleet.agent("second", &[])), first);
}

#[test]
fn a_second_agent_with_the_same_id_file_says_so_and_stops() {
    let fleet = Fleet::start();
    let _first = fleet.agent("first", &[]);
    let state = fleet.state_folder("first");
    let args = ["--url", &fleet.url(), "--state-folder", &state.to_string_lossy()];
    let second = Process::start(env!("CARGO_BIN_EXE_slamon-agent").as_ref(), &args, &[]).unwrap();
    assert_eq!(second.wait_exit(PATIENCE).code(), Some(1));
    let said = second.log_lines().join("\n");
    assert!(said.contains("another agent runs with the id file"), "{said}");
}

#[test]
fn a_second_agent_with_the_same_state_folder_would_overwrite_results_and_stops() {
    let fleet = Fleet::start();
    let _first = fleet.agent("first", &[]);
    let state = fleet.state_folder("first").to_string_lossy().into_owned();
    let id_file = fleet.state_folder("other-id").to_string_lossy().into_owned();
    let args = ["--url", &fleet.url(), "--state-folder", &state, "--id-file", &id_file];
    let second = Process::start(env!("CARGO_BIN_EXE_slamon-agent").as_ref(), &args, &[]).unwrap();
    assert_eq!(second.wait_exit(PATIENCE).code(), Some(1));
    let said = second.log_lines().join("\n");
    assert!(said.contains("another agent keeps its results there"), "{said}");
}
