//! A thousand agents in one process.

use std::process::Command;

use crate::fleet::Fleet;

#[test]
fn a_thousand_agents_in_one_process_execute_each_task_once() {
    let fleet = Fleet::start();
    let test = std::env::current_exe().expect("a test knows its program");
    let program = test.ancestors().nth(2).expect("tests lie two folders deep").join("examples/fleet");
    assert!(program.exists(), "{} is missing: run `cargo build --workspace --examples`", program.display());
    let output = Command::new(program).args([&fleet.url(), "1000", "5000"]).output().expect("it starts");
    let (said, problem) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{problem}");
    println!("{said}");
    assert!(said.ends_with("each was executed once\n"), "{said}");
}
