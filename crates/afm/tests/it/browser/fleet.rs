//! What an operator sees of agents: where they are, when they poll next, and what they have finished lately.

use std::time::Duration;

use super::Browser;
use crate::test_app::{Body, TestApp, eventually, id};

fn poll(n: u64, region: &str) -> Body {
    let location = format!(r#"{{"country":"FI","region":"{region}"}}"#);
    Body::poll(n).with("agent_location", location).with("max_tasks", "1")
}

/// The texts of the cells of the row that begins with a text.
fn row(browser: &Browser, begin: &str) -> Vec<String> {
    let cells = browser.run(&format!(
        "const row = [...document.querySelectorAll('tbody tr')].find(it => it.innerText.trim().startsWith('{begin}'));
         return row ? [...row.cells].map(it => it.innerText.trim()) : []",
    ));
    let cells = cells.as_array().expect("a list").iter();
    cells.map(|cell| cell.as_str().expect("a text").to_owned()).collect()
}

#[test]
fn sees_where_agents_are_and_the_share_of_errors() {
    let app = TestApp::start();
    app.poll(poll(8, "06"));
    app.clock.advance(Duration::from_secs(301));
    for n in 1..=4 {
        app.post_task(Body::task(n));
        assert_eq!(app.poll(poll(9, "18")), [id(n)]);
        let result = if n == 1 { Body::failure(n, "\"no\"") } else { Body::result(n) };
        app.post("/tasks/response", result).is_empty();
    }
    let browser = Browser::start(app.address());
    browser.open("/");
    browser.go_to("Agents");
    browser.until_text("Where they are");
    assert_eq!(row(&browser, "FI 06"), ["FI 06", "0", "1", "0"]);
    assert_eq!(row(&browser, "FI 18"), ["FI 18", "1", "0", "0"]);
    let of_agent = row(&browser, "agent 9");
    assert!(of_agent[3].starts_with("in 5"), "{of_agent:?}");
    assert_eq!(of_agent[4..9], ["0", "3", "1", "25 %", "FI 18"]);
    let silent = row(&browser, "agent 8");
    assert!(silent[3].starts_with("was due 4 min"), "{silent:?}");
    assert_eq!(silent[7], "–");
    // It follows what happens.
    app.post(&format!("/api/v1/agents/{}/pause", id(9)), "").json();
    eventually("it is counted again", || row(&browser, "FI 18") == ["FI 18", "0", "0", "1"]);
    // A number leads to the agents that it counts.
    browser.run("document.querySelector('td a[href*=\"state=lost\"]').click()");
    browser.until("location.search.includes('state=lost') && document.readyState === 'complete'");
    browser.until_text("agent 8");
    assert_eq!((row(&browser, "agent 9").len(), row(&browser, "FI").len()), (0, 0));
    browser.press("Clear");
    browser.until_text("Where they are");
    browser.press("As a page");
    browser.until_text("Counted at");
    browser.press("FI 18");
    browser.until_text("agent 9");
    browser.press("agent 9");
    browser.until_text("3 finished, 1 failed");
    browser.until_text("25 %");
    let held = app.hold(&poll(9, "18").with("max_wait", "300"));
    browser.until_text("held now");
    drop(held);
    browser.go_to("Types");
    browser.until_text("Task types");
    assert_eq!(row(&browser, "wait")[5..8], ["3", "1", "25 %"]);
    browser.press("wait");
    browser.until_text("failed in the last hour: 25 %");
    browser.was_quiet();
}
