//! The agent with the original AFM.

use slamon_testbed::OriginalAfm;

use crate::fleet::{PATIENCE, agent, post, wait, wait_for};
use crate::strange::store_result;

#[test]
fn the_original_afm_is_served_too() {
    let folder = tempfile::tempdir().unwrap();
    let afm = OriginalAfm::start(&format!("sqlite:///{}/afm.db", folder.path().display()), &[]).unwrap();
    let task = post(&afm.url(), &wait(0.5));
    let agent = agent(&afm.url(), &folder.path().join("state"), "first", &[]);
    agent.wait_for_line(|line| line.contains("the AFM speaks plain protocol 1"), PATIENCE);
    let task = wait_for(&afm.url(), task);
    assert!(task["task_result"]["time"].is_f64(), "{task}");
}

#[test]
fn a_result_that_the_original_refuses_is_dropped_and_those_after_it_are_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let afm = OriginalAfm::start(&format!("sqlite:///{}/afm.db", folder.path().display()), &[]).unwrap();
    // Its answer is a page, as of something that is no AFM; that it is one shows as soon as it has answered a poll.
    let unknown = uuid::Uuid::new_v4();
    store_result(&folder.path().join("state"), 1, unknown);
    let task = post(&afm.url(), &wait(0.5));
    let agent = agent(&afm.url(), &folder.path().join("state"), "first", &[]);
    let dropped = |line: &str| line.contains("dropped a result") && line.contains(&unknown.to_string());
    agent.wait_for_line(dropped, PATIENCE);
    let task = wait_for(&afm.url(), task);
    assert!(task["task_result"]["time"].is_f64(), "{task}");
}
