//! Walks through the pages, from link to link.

use serde_json::json;
use slamon_testbed::AfmProcess;

use super::Browser;
use crate::browser::driver::OTHER_NAME;
use crate::process::{program, serve};
use crate::test_app::Body;

#[test]
fn a_task_from_the_form_to_its_result() {
    let (afm, client) = serve("sqlite://");
    let browser = Browser::start(afm.address());
    browser.open("/");
    browser.go_to("Post a task");
    browser.fill("#task_type", "wait");
    browser.fill("#task_data", "{\"seconds\": oops}");
    browser.press("Post the task");
    browser.until_text("is not valid JSON");
    browser.fill("#task_data", "{\"seconds\": 1.50}");
    browser.press("Post the task");
    browser.until_text("no agent offers wait");
    assert!(browser.text().contains("\"seconds\": 1.50"));
    let polled = client.poll(Body::poll(9));
    browser.until_text("Running");
    let result = json!({"protocol": 1, "task_id": polled[0], "task_data": {"done": "<b>yes</b>"}});
    client.post("/tasks/response", result.to_string()).is_empty();
    browser.until_text("<b>yes</b>");
    browser.dark(true);
    browser.size(400, 800);
    browser.was_quiet();
}

#[test]
fn forms_work_without_a_script_and_over_any_name() {
    let (afm, client) = serve("sqlite://");
    let browser = Browser::start(afm.address());
    browser.scripts(false);
    // Over this name, the browser says where the form comes from in Origin alone.
    browser.open_url(&format!("http://{OTHER_NAME}:{}/", afm.address().port()));
    browser.go_to("Post a task");
    browser.fill("#task_type", "wait");
    browser.press("Post the task");
    browser.until_text("no agent offers wait");
    let address = browser.address();
    let (_, id) = address.rsplit_once('/').expect("the page of the task");
    browser.press("Cancel the task");
    browser.until_text("The task was cancelled.");
    assert_eq!(client.get(&format!("/task/{id}")).json()["task_state"], "cancelled");
    browser.press("Post it again");
    browser.until_text("this is the new one");
    browser.press("Edit and post");
    browser.until_text("Copied from task");
    browser.fill("#find", id);
    browser.keys("\u{e007}");
    browser.until_text("Task was cancelled while it waited");
    browser.was_quiet();
}

#[test]
fn a_server_that_goes_away_is_told_and_comes_back() {
    let (afm, _) = serve("sqlite://");
    let browser = Browser::start(afm.address());
    browser.open("/");
    browser.until("document.querySelector('#live').innerText === 'live'");
    let port = afm.address().port();
    drop(afm);
    browser.until(
        "/^reconnecting, as of \\d\\d:\\d\\d:\\d\\d$/.test(document.querySelector('#live').innerText)",
    );
    let _afm = AfmProcess::start_at(port, program(), &["--database-uri", "sqlite://"], &[], None);
    browser.until("document.querySelector('#live').innerText === 'live'");
}
