//! The agent with the original AFM.

use slamon_testbed::OriginalAfm;

use crate::fleet::{PATIENCE, agent, post, wait, wait_for};

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
