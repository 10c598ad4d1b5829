//! What is seen where nothing has happened yet, and what leads on from there.

use std::process::Command;

use super::Browser;
use super::driver::OTHER_NAME;
use crate::test_app::TestApp;

#[test]
fn empty_pages_have_commands_that_work() {
    let app = TestApp::start();
    app.count_tasks();
    let browser = Browser::start(app.address());
    let commands = || {
        let found =
            browser.run("return [...document.querySelectorAll('pre.command')].map(it => it.innerText)");
        let found = found.as_array().expect("a list").iter();
        found.map(|command| command.as_str().expect("a text").to_owned()).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    for (page, says, number) in [
        ("/dashboard", "Nothing has happened yet.", 2),
        ("/dashboard/tasks", "No task has been posted yet.", 1),
        ("/dashboard/agents", "No agent has polled yet.", 1),
        ("/dashboard/types", "No agent offers a type", 1),
    ] {
        browser.open(page);
        browser.until_text(says);
        let found = commands();
        assert_eq!(found.len(), number, "{page}: {found:?}");
        all.extend(found);
        // The browser may have come by another name than the server knows.
        let url = format!("http://{OTHER_NAME}:{}{page}", app.address().port());
        browser.open_url(&url);
        assert!(commands().iter().all(|command| command.contains(&format!("http://{OTHER_NAME}:"))));
    }
    browser.open("/dashboard/agents");
    browser.until_text("No agent has polled yet.");
    for command in all {
        let command = command.replacen("curl ", "curl --no-progress-meter --fail --max-time 60 ", 1);
        let output = Command::new("sh").args(["-c", &command]).output().expect("sh runs");
        assert!(output.status.success(), "{command}: {output:?}");
    }
    browser.until_text("first agent");
    browser.open("/dashboard/tasks");
    browser.until_text("running");
    browser.open("/dashboard/tasks?state=lost");
    browser.press("Show all tasks");
    browser.until_text("first agent");
    browser.open("/dashboard/agents?state=lost");
    browser.press("Show all agents");
    browser.until_text("first agent");
    browser.was_quiet();
}
