//! What an operator does, from link to link.

use std::time::Duration;

use super::Browser;
use crate::test_app::{Body, TestApp, id};

/// Starts an AFM with one task that runs and others that wait, and a browser at its overview.
fn start() -> (TestApp, Browser) {
    let app = TestApp::start();
    app.count_tasks();
    app.post_task(Body::task(1));
    assert_eq!(app.poll(Body::poll(9).with("max_tasks", "1")), [id(1)]);
    for n in 2..=4 {
        app.post_task(Body::task(n));
    }
    let browser = Browser::start(app.address());
    browser.open("/");
    browser.until_text("What waits, and why");
    (app, browser)
}

#[test]
fn cancels_many_by_filter_and_one_by_its_box() {
    let (app, browser) = start();
    browser.go_to("Tasks");
    browser.until_text(&id(2));
    browser.click(&format!("input[value='{}']", id(2)));
    browser.press("Cancel the chosen");
    browser.until_text("Cancel 1 task?");
    assert_eq!(app.task(2)["task_state"], "pending", "nothing is done before it is confirmed");
    browser.press("Yes, cancel them");
    browser.until_text("1 task was cancelled.");
    assert_eq!(app.task(2)["task_state"], "cancelled");
    browser.press("Go to the list");
    browser.run("document.querySelector('#state').value = 'pending'");
    browser.press("Filter");
    browser.until(&format!("!document.body.innerText.includes('{}')", id(2)));
    assert!(browser.address().ends_with("/dashboard/tasks?state=pending"), "{}", browser.address());
    browser.press("Cancel all that match");
    browser.until_text("Cancel 2 tasks?");
    browser.press("Yes, cancel them");
    browser.until_text("2 tasks were cancelled.");
    assert_eq!(app.task(1)["task_state"], "claimed");
    for n in [3, 4] {
        assert_eq!(app.task(n)["task_state"], "cancelled");
    }
    browser.go_to("Tasks");
    browser.until_text("cancelled");
    browser.press("Post all that match again");
    browser.until_text("Post 3 tasks again?");
    browser.press("Yes, post them again");
    browser.until_text("3 tasks were posted again.");
    assert_eq!(app.poll(Body::poll(9).with("max_tasks", "9")).len(), 3);
    browser.was_quiet();
}

#[test]
fn pauses_an_agent_and_sees_it_lost() {
    let (app, browser) = start();
    browser.go_to("Agents");
    browser.until_text(&id(9));
    browser.press("agent 9");
    browser.until_text("What it runs");
    browser.press("Pause the agent");
    browser.until_text("The agent is paused");
    assert!(app.poll(Body::poll(9)).is_empty());
    browser.press("Resume the agent");
    browser.until_text("The agent is resumed");
    assert_eq!(app.poll(Body::poll(9)).len(), 3);
    app.clock.advance(Duration::from_secs(301));
    browser.go_to("Agents");
    browser.until_text("lost");
    browser.go_to("Overview");
    browser.until_text("1 agent is lost");
    browser.was_quiet();
}

#[test]
fn pauses_a_type() {
    let (app, browser) = start();
    browser.go_to("Types");
    browser.until_text("Task types");
    browser.press("wait");
    browser.until_text("Agents that offer it");
    browser.press("Pause this version");
    browser.until_text("The type is paused");
    assert!(app.poll(Body::poll(9)).is_empty());
    browser.go_to("Overview");
    browser.until_text("wait version 1 is paused");
    browser.go_to("Types");
    browser.until_text("Task types");
    browser.press("wait");
    browser.until_text("handed to nobody");
    browser.press("Resume the type");
    browser.until_text("The type is resumed");
    assert_eq!(app.poll(Body::poll(9)).len(), 3);
    browser.was_quiet();
}

#[test]
fn finds_what_an_id_or_a_type_names() {
    let (_app, browser) = start();
    for (text, address, shown) in [
        (id(1), format!("/dashboard/tasks/{}", id(1)), "Timeline"),
        (id(0), format!("/dashboard/tests/{}", id(0)), "When its tasks waited and ran"),
        (id(9), format!("/dashboard/agents/{}", id(9)), "What it runs"),
        ("wait".to_owned(), "/dashboard/tasks?task_type=wait".to_owned(), "version 1"),
        ("<b>".to_owned(), "/dashboard/search?q=%3Cb%3E".to_owned(), "Nothing is called <b>"),
    ] {
        browser.fill("#find", &text);
        browser.keys("\u{e007}");
        browser.until_text(shown);
        assert!(browser.address().ends_with(&address), "{}", browser.address());
    }
    browser.was_quiet();
}

#[test]
fn goes_through_rows_by_keys() {
    let (_app, browser) = start();
    browser.go_to("Tasks");
    browser.until_text(&id(4));
    let focus =
        || browser.run("return document.activeElement.getAttribute('href') || document.activeElement.id");
    browser.keys("j");
    assert_eq!(focus(), format!("./tasks/{}", id(4)));
    browser.keys("jjk");
    assert_eq!(focus(), format!("./tasks/{}", id(3)));
    browser.keys("?");
    browser.until("document.querySelector('#help').open");
    browser.keys("\u{e00c}");
    browser.until("!document.querySelector('#help').open");
    browser.keys("/");
    assert_eq!(focus(), "find");
    browser.keys("jk");
    assert_eq!(browser.run("return document.querySelector('#find').value"), "jk");
    browser.was_quiet();
}

#[test]
fn keeps_what_is_chosen_while_the_page_changes() {
    let (app, browser) = start();
    browser.go_to("Tasks");
    let chosen = format!("input[value='{}']", id(3));
    browser.until_text(&id(3));
    browser.click(&chosen);
    browser.run("getSelection().selectAllChildren(document.querySelector('caption'))");
    app.post_task(Body::task(5));
    browser.until_text(&id(5));
    let kept = browser.run(&format!(
        "const box = document.querySelector(\"{chosen}\");
         return [box.checked, box === document.activeElement, getSelection().toString().startsWith('Tasks')]"
    ));
    assert_eq!(kept, serde_json::json!([true, true, true]));
    browser.was_quiet();
}

#[test]
fn chooses_all_of_a_page_and_leaves_what_came_later() {
    let (app, browser) = start();
    browser.go_to("Tasks");
    browser.until_text(&id(4));
    browser.click("input[data-all]");
    browser.press("Cancel the chosen");
    browser.until_text("Cancel 4 tasks?");
    browser.press("No, go back");
    browser.until_text(&id(4));
    browser.run("document.querySelector('#state').value = 'pending'");
    browser.press("Filter");
    browser.until(&format!("!document.body.innerText.includes('{}')", id(1)));
    browser.press("Cancel all that match");
    browser.until_text("Cancel 3 tasks?");
    // It was not among those that were counted.
    app.post_task(Body::task(5));
    browser.press("Yes, cancel them");
    browser.until_text("3 tasks were cancelled.");
    assert_eq!(app.task(5)["task_state"], "pending");
    assert_eq!(app.task(1)["task_state"], "claimed");
    browser.was_quiet();
}

#[test]
fn edits_a_task_and_posts_it() {
    let (app, browser) = start();
    app.post_task(Body::task(5).with("task_data", r#"{"url":"http://a"}"#).with("task_priority", "7"));
    browser.open(&format!("/dashboard/tasks/{}", id(5)));
    browser.press("Edit and post");
    browser.until_text("Copied from task");
    browser.fill("#task_data", r#"{"url": "http://b"}"#);
    browser.press("Post the task");
    browser.until_text("Waiting");
    let address = browser.address();
    let (_, new) = address.rsplit_once('/').expect("the page of the task");
    assert_ne!(new, id(5));
    let task = app.get(&format!("/api/v1/tasks/{new}")).json();
    let facts = [&task["task_data"]["url"], &task["task_priority"], &task["test_id"]];
    assert_eq!(facts.map(ToString::to_string), ["\"http://b\"", "7", &format!("\"{}\"", id(0))]);
    assert_eq!(app.task(5)["task_data"]["url"], "http://a");
    browser.was_quiet();
}

#[test]
fn has_an_agent_forgotten() {
    let (app, browser) = start();
    app.poll(Body::poll(10).with("max_tasks", "0"));
    // What an agent runs would be lost.
    browser.open(&format!("/dashboard/agents/{}", id(9)));
    assert!(!browser.text().contains("Forget the agent"));
    browser.open(&format!("/dashboard/agents/{}", id(10)));
    browser.press("Forget the agent");
    browser.until_text("The agent is forgotten.");
    browser.until(&format!("!document.body.innerText.includes('{}')", id(10)));
    assert_eq!(app.get(&format!("/api/v1/agents/{}", id(10))).status, 404);
    assert_eq!(app.get(&format!("/api/v1/agents/{}", id(9))).status, 200);
    browser.was_quiet();
}

#[test]
fn resumes_a_type_that_nobody_knows() {
    let (app, browser) = start();
    app.post("/api/v1/types/unknown/pause", "").json();
    browser.go_to("Types");
    browser.until_text("all versions");
    browser.press("Resume all versions");
    browser.until_text("The type is resumed in all versions");
    browser.until("!document.querySelector('table').innerText.includes('unknown')");
    browser.was_quiet();
}

#[test]
fn sees_when_the_tasks_of_a_test_waited_and_ran() {
    let app = TestApp::start();
    let poll = || app.poll(Body::poll(9).with("max_tasks", "1"));
    let pass = |seconds| app.clock.advance(Duration::from_secs(seconds));
    app.post_task(Body::task(1));
    pass(10);
    assert_eq!(poll(), [id(1)]);
    app.post_task(Body::task(2));
    pass(20);
    app.post("/tasks/response", Body::result(1)).is_empty();
    assert_eq!(poll(), [id(2)]);
    pass(10);
    app.post("/tasks/response", Body::failure(2, "\"no\"")).is_empty();
    let browser = Browser::start(app.address());
    browser.open(&format!("/dashboard/tests/{}", id(0)));
    browser.until_text("2 tasks: 1 done, 1 failed.");
    assert_eq!(browser.run("return document.querySelector('h1 .badge').innerText"), "failed");
    // In hundredths of the whole width.
    let bars = browser.run(
        "return [...document.querySelectorAll('.gantt tbody tr')].map(row => {
             const lane = row.querySelector('svg').getBoundingClientRect();
             const share = (length) => Math.round(length / lane.width * 100);
             const bars = [...row.querySelectorAll('rect')].map(bar => {
                 const { left, width } = bar.getBoundingClientRect();
                 return [bar.getAttribute('class'), share(left - lane.left), share(width)];
             });
             return [row.querySelector('a').getAttribute('href').split('/').pop(), bars,
                 row.querySelector('.lane').innerText.trim()];
         })",
    );
    let expected = serde_json::json!([
        [id(1), [["calm", 0, 25], ["good", 25, 50]], "waited 10 s, ran 20 s"],
        [id(2), [["calm", 25, 50], ["bad", 75, 25]], "waited 20 s, ran 10 s"],
    ]);
    assert_eq!(bars, expected);
    browser.was_quiet();
}

#[test]
fn sees_each_attempt_of_a_task_that_was_tried_again() {
    let app = TestApp::start();
    let poll = |max: &str| app.poll(Body::poll(9).with("max_tasks", max));
    let pass = |seconds| app.clock.advance(Duration::from_secs(seconds));
    let retried = |n| Body::task(n).with("task_max_attempts", "3").with("task_retry_errors", "true");
    let under = |body: Body, alias: &str| body.with("task_id", format!("\"{alias}\""));
    app.post_task(retried(1));
    app.post_task(retried(2));
    app.post_task(retried(3));
    pass(10);
    assert_eq!(poll("3").len(), 3);
    pass(20);
    for n in [1, 2, 3] {
        app.post("/tasks/response", Body::failure(n, "\"no\"")).is_empty();
    }
    pass(10);
    let aliases = poll("2");
    pass(30);
    app.post("/tasks/response", under(Body::result(1), &aliases[0])).is_empty();
    app.post("/tasks/response", under(Body::failure(1, "\"no\""), &aliases[1])).is_empty();
    pass(10);
    let alias = poll("1").remove(0);
    pass(10);
    app.post("/tasks/response", under(Body::failure(1, "\"no\""), &alias)).is_empty();
    pass(10);
    let browser = Browser::start(app.address());
    browser.open(&format!("/dashboard/tests/{}", id(0)));
    browser.until_text("3 tasks");
    // In hundredths of the whole width, which are seconds.
    let bars = browser.run(
        "return [...document.querySelectorAll('.gantt tbody tr')].map(row => {
             const lane = row.querySelector('svg').getBoundingClientRect();
             const bars = [...row.querySelectorAll('rect')].map(bar => {
                 const { left, width } = bar.getBoundingClientRect();
                 const share = (length) => Math.round(length / lane.width * 100);
                 return [bar.getAttribute('class'), share(left - lane.left), share(width)];
             });
             return [bars, row.querySelector('.lane').innerText.trim()];
         })",
    );
    let (waits, errs) = (|from, length| ("calm", from, length), |from, length| ("bad", from, length));
    let expected = serde_json::json!([
        [
            [waits(0, 10), errs(10, 20), waits(30, 10), ("good", 40, 30)],
            "waited 20 s, ran 50 s in 2 attempts"
        ],
        [
            [waits(0, 10), errs(10, 20), waits(30, 10), errs(40, 30), waits(70, 10), errs(80, 10)],
            "waited 30 s, ran 1 min in 3 attempts"
        ],
        [[waits(0, 10), errs(10, 20), waits(30, 70)], "waited 1 min 20 s, has run 20 s"],
    ]);
    assert_eq!(bars, expected);
    browser.was_quiet();
}
