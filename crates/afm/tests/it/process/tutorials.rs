//! Tests the examples of the quick start and of the page after it, as they are written there, in their order.

use std::process::Command;

use slamon_testbed::{Process, original_agent};

use super::serve;

const PAGES: [&str; 2] =
    [include_str!("../../../../../docs/quick-start.md"), include_str!("../../../../../docs/deadlines.md")];

/// The examples find the server at this address.
const ADDRESS: &str = "127.0.0.1:8080";

/// Words of each command, and a text that it prints.
const EXPECTED: [(&str, &str); 10] = [
    (r#""task_id": "de305d54-75b4-431b-adb2-eb6b9e546013""#, "HTTP/1.1 200"),
    ("/task/de305d54-75b4-431b-adb2-eb6b9e546013", r#""task_state":"pending""#),
    ("?wait=30", r#""task_result":{"status": 200}"#),
    (r#""agent_filter": {"country": "FI"}"#, "HTTP/1.1 200"),
    ("?wait=1", r#""task_waiting":"#),
    (r#""max_wait": 60"#, r#""task_id":"de305d54-75b4-431b-adb2-eb6b9e546023""#),
    ("/tasks/response", "HTTP/1.1 200"),
    ("/task/de305d54-75b4-431b-adb2-eb6b9e546023", r#""task_state":"completed""#),
    (r#""task_delay": 3600"#, "HTTP/1.1 200"),
    ("-X DELETE", ""),
];

/// Returns the blocks of commands that speak to a server.
fn commands() -> impl Iterator<Item = &'static str> {
    let blocks = PAGES.into_iter().flat_map(|page| page.split("\n```sh\n").skip(1));
    let commands = blocks.map(|block| block.split("\n```").next().expect("a block ends"));
    commands.filter(|command| command.starts_with("curl ") || command.starts_with("agent/bin/slamon-agent "))
}

#[test]
fn the_examples_work_as_they_stand() {
    let (afm, _) = serve("sqlite://");
    let address = afm.address().to_string();
    let mut expected = EXPECTED.iter();
    let mut agents = Vec::new();
    for command in commands() {
        // Also inside of the data, where the URL to fetch is the server's own.
        let ours = command.replace(ADDRESS, &address);
        assert_ne!(ours, command, "it speaks to the server");
        if let Some(arguments) = ours.strip_prefix("agent/bin/slamon-agent ") {
            let program = original_agent().expect("make setup has been run").program("slamon-agent");
            let arguments: Vec<&str> = arguments.split(' ').collect();
            agents.push(Process::start(&program, &arguments, &[]).expect("the agent starts"));
            continue;
        }
        let (words, printed) = expected.next().expect("what every example prints is known");
        assert!(command.contains(words), "{words} is not in {command}");
        let limited = ours.replacen("curl ", "curl -sS --fail-with-body --max-time 60 ", 1);
        let ended = Command::new("sh").args(["-c", &limited]).output().expect("sh runs");
        let text = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success(), "{command}: {ended:?}");
        assert!(text.contains(printed), "{command} printed {text}");
    }
    assert_eq!(expected.next(), None, "every example is there");
    assert_eq!(agents.len(), 1);
}
