//! Tests that nothing that clients and agents say acts on a terminal.

use super::Asked;
use crate::test_app::{Body, id};

const HOSTILE: &str = r#""\u001b]0;x\u0007\u001b[2J\u009b31m\u202eX\r\ny\u007f""#;

#[test]
fn names_results_and_errors_cannot_command_a_terminal() {
    let asked = Asked::new();
    let capable = format!("{{{HOSTILE}:{{\"version\":1}}}}");
    for n in [1, 2] {
        let task =
            Body::task(n).with("task_type", HOSTILE).with("task_data", format!("{{{HOSTILE}:{HOSTILE}}}"));
        asked.client.post_task(task);
    }
    let poll = Body::poll(9).with("agent_name", HOSTILE).with("agent_capabilities", capable);
    let poll = poll.with("agent_location", format!("{{\"country\":\"FI\",\"region\":{}}}", r#""\u001bX""#));
    assert_eq!(asked.client.poll(poll).len(), 2);
    let result = Body::result(1).with("task_data", "{\"raw\":\"\u{9b}31m\u{202e}\u{7f}\"}");
    assert_eq!(asked.client.post("/tasks/response", result).status, 200);
    let failure = Body::failure(2, HOSTILE);
    assert_eq!(asked.client.post("/tasks/response", failure).status, 200);

    let (one, two, test, agent) = (id(1), id(2), id(0), id(9));
    for args in [
        &["task", "get", &one][..],
        &["task", "get", &two],
        &["task", "wait", &two],
        &["task", "list"],
        &["tests", &test],
        &["agents"],
        &["agents", &agent],
        &["types"],
        &["status"],
        &["top"],
        &["types", "pause", "\u{1b}[2J"],
        &["task", "post", "x", "--id", &one],
    ] {
        for json in [&[][..], &["--json"]] {
            let ended = asked.run(&[args, json].concat());
            for text in [&ended.stdout, &ended.stderr] {
                let acts = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}');
                assert!(!text.contains(acts), "{args:?} {json:?}: {ended:?}");
            }
            if !json.is_empty() {
                super::documents(&ended);
            }
        }
    }
    let listed = asked.run(&["task", "list"]).stdout;
    assert!(listed.contains(r"\u{1b}]0;x\u{7}\u{1b}[2J\u{9b}31m\u{202e}X\r\ny\u{7f}"), "{listed}");
    let json = asked.run(&["task", "get", &one, "--json"]).stdout;
    assert!(json.contains(r#"{"raw":"\u009b31m\u202e\u007f"}"#), "{json}");
    // One task is one line, whatever is in it.
    assert_eq!(listed.lines().count(), 3, "{listed}");
}
