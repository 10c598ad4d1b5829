//! What forms do while somebody writes into them.

use serde_json::json;

use super::Browser;
use super::driver::OTHER_NAME;
use crate::test_app::{Body, TestApp, id};

#[test]
fn json_is_checked_while_it_is_written() {
    let app = TestApp::start();
    let browser = Browser::start(app.address());
    browser.open("/dashboard/post");
    let state = "const field = document.querySelector('#task_data'),
         said = document.getElementById(field.getAttribute('aria-describedby'));
         return [field.getAttribute('aria-invalid'), said.innerText.split(':')[0]]";
    let says = |text: &str, expected: serde_json::Value| {
        browser.fill("#task_data", text);
        let wanted = format!("JSON.stringify((() => {{ {state} }})()) === {}", json!(expected.to_string()));
        browser.until(&wanted);
    };
    assert_eq!(browser.run(state), json!([null, ""]));
    says("{\"url\": ", json!(["true", "is not valid JSON"]));
    says("{\"url\": \"http://a\"}", json!([null, ""]));
    says("[1]", json!(["true", "must be a JSON object, as in {\"url\""]));
    // Whatever is wrong otherwise, what the server says stands at the same place.
    browser.fill("#task_type", "wait");
    browser.press("Post the task");
    browser.until_text("The task was not posted");
    let [invalid, said] = [0, 1].map(|place| browser.run(state)[place].clone());
    assert_eq!(invalid, "true");
    assert_ne!(said, "");
    says("{}", json!([null, ""]));
    browser.press("Post the task");
    browser.until_text("no agent offers wait");
    browser.was_quiet();
}

#[test]
fn fields_offer_what_is_known() {
    const HOSTILE: &str = "</datalist><script>document.title = 'taken'</script>\"x";
    let app = TestApp::start();
    let text = json!(HOSTILE).to_string();
    app.post_task(Body::task(1).with("task_type", "\"dns\""));
    app.poll(
        Body::poll(9)
            .with("agent_name", text.as_str())
            .with(
                "agent_capabilities",
                format!("{{\"http\": {{\"version\": 2}}, {text}: {{\"version\": 1}}}}"),
            )
            .with("agent_location", r#"{"country": "FI", "region": "18"}"#),
    );
    let browser = Browser::start(app.address());
    let offered = |field: &str| {
        browser.run(&format!(
            "return [...document.getElementById('{field}').list.options].map(option => option.value)"
        ))
    };
    browser.open("/dashboard/tasks");
    assert_eq!(offered("task_type"), json!([HOSTILE, "dns", "http"]));
    assert_eq!(offered("agent_id"), json!([id(9)]));
    assert_eq!(offered("country"), json!(["FI"]));
    browser.open("/dashboard/post");
    assert_eq!(offered("task_type"), json!([HOSTILE, "dns", "http"]));
    for (part, expected) in
        [("country", "FI"), ("region", "18"), ("agent_name", HOSTILE), ("agent_id", &id(9))]
    {
        assert_eq!(offered(&format!("agent_filter.{part}")), json!([expected]));
    }
    assert_ne!(browser.run("return document.title"), "taken");
    browser.was_quiet();
}

#[test]
fn a_new_id_is_made_also_over_plain_http() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    let browser = Browser::start(app.address());
    browser.open_url(&format!("http://{OTHER_NAME}:{}/dashboard/post", app.address().port()));
    let value = || browser.run("return document.querySelector('#task_id').value");
    browser.fill("#task_type", "wait");
    browser.fill("#task_id", &id(1));
    browser.press("Post the task");
    browser.until_text("is taken by a task");
    let said = browser.run("return document.getElementById('task_id-error').innerText");
    assert!(said.as_str().is_some_and(|said| said.starts_with("is taken")), "{said}");
    browser.click("[data-fresh=task_id]");
    let new = value();
    let new = new.as_str().expect("a text");
    assert_ne!(new, id(1));
    assert_eq!(new.parse::<uuid::Uuid>().map(|id| id.get_version_num()), Ok(4), "{new}");
    browser.click("[data-fresh=task_id]");
    assert_ne!(value(), new);
    browser.press("Post the task");
    browser.until_text("no agent offers wait");
    browser.was_quiet();
}

#[test]
fn tasks_are_filtered_by_the_country_that_they_are_for() {
    let app = TestApp::start();
    for (n, filter) in [(1, r#"{"country": "FI"}"#), (2, r#"{"country": "SE"}"#), (3, "{}")] {
        app.post_task(Body::task(n).with("agent_filter", filter));
    }
    let browser = Browser::start(app.address());
    browser.open("/dashboard/tasks");
    let listed = || {
        browser.run(
            "return [...document.querySelectorAll('main tbody a[data-row]')]
                 .map(link => link.href.split('/').pop()).sort()",
        )
    };
    assert_eq!(listed(), json!([id(1), id(2), id(3)]));
    browser.click("main details summary");
    browser.fill("#country", "FI");
    browser.press("Filter");
    browser.until("new URL(location.href).searchParams.get('country') === 'FI'");
    browser.until("document.querySelectorAll('main tbody a[data-row]').length === 1");
    assert_eq!(listed(), json!([id(1)]));
    // The address says it all: a link shows the same, with the field open.
    let shown = "return [document.querySelector('#country').value, document.querySelector('#country').checkVisibility()]";
    assert_eq!(browser.run(shown), json!(["FI", true]));
    let address = browser.run("return location.pathname + location.search");
    browser.open(address.as_str().expect("an address"));
    assert_eq!((listed(), browser.run(shown)), (json!([id(1)]), json!(["FI", true])));
    browser.fill("#country", "fi");
    browser.press("Filter");
    browser.until_text("No task matches these filters");
    browser.was_quiet();
}
