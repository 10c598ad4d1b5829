//! Texts of clients that try to be more than texts.

use slamon_protocol::Limits;

use super::Browser;
use crate::test_app::{Body, Setup, TestApp, id};

#[test]
fn sees_hostile_texts_as_texts() {
    const HOSTILE: &str =
        "</bdi><script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">";
    let app = TestApp::start();
    app.count_tasks();
    let text = serde_json::Value::from(HOSTILE).to_string();
    let poll = Body::poll(9)
        .with("agent_name", text.as_str())
        .with("agent_capabilities", format!("{{{text}:{{\"version\":1}}}}"));
    for n in 1..=3 {
        app.post_task(
            Body::task(n).with("task_type", text.as_str()).with("task_data", format!("{{{text}:{text}}}")),
        );
    }
    app.poll(poll.with("max_tasks", "2"));
    app.post("/tasks/response", Body::failure(1, &text)).is_empty();
    app.post("/tasks/response", Body::result(2).with("task_data", format!("{{{text}:{text}}}"))).is_empty();
    let browser = Browser::start(app.address());
    for page in [
        "/dashboard".to_owned(),
        "/dashboard/tasks".to_owned(),
        format!("/dashboard/tasks/{}", id(1)),
        format!("/dashboard/tasks/{}", id(2)),
        format!("/dashboard/tests/{}", id(0)),
        "/dashboard/agents".to_owned(),
        format!("/dashboard/agents/{}", id(9)),
        "/dashboard/types".to_owned(),
        format!("/dashboard/post?from={}", id(1)),
    ] {
        browser.open(&page);
        browser.until("document.readyState === 'complete'");
        let found = browser.run(
            "return [document.title === 'taken', document.querySelectorAll('main script, main img').length,
                 document.documentElement.innerHTML.includes('document.title = ')]",
        );
        assert_eq!(found, serde_json::json!([false, 0, true]), "{page}");
    }
    browser.was_quiet();
}

#[test]
fn long_and_unseen_texts_change_no_layout() {
    // The first would end its own isolation and turn around all that follows it.
    let odd = format!("\u{2069}\u{202e}\u{200b}\u{feff}\u{200f}ab{}", "x".repeat(10_000));
    let blank = "\u{200b}\u{2060}".to_owned();
    let spaced = "ש \u{200e}ا ".repeat(2_000);
    let mut setup = Setup::default();
    setup.settings.limits = Limits { name_bytes: 40_000, ..Limits::default() };
    let app = setup.start();
    app.count_tasks();
    for (n, text) in [odd, blank, spaced].into_iter().enumerate() {
        let n = n as u64 + 1;
        let text = serde_json::Value::from(text).to_string();
        let poll = Body::poll(n)
            .with("agent_name", text.as_str())
            .with("agent_capabilities", format!("{{{text}:{{\"version\":1}}}}"));
        let task = |n: u64| {
            Body::task(n).with("task_type", text.as_str()).with("task_data", format!("{{{text}:{text}}}"))
        };
        app.post_task(task(n));
        app.poll(poll.with("max_tasks", "1"));
        app.post("/tasks/response", Body::failure(n, &text)).is_empty();
        app.post_task(task(n + 10).with("task_version", "2"));
        app.post_task(task(n + 20).with("agent_filter", format!("{{\"agent_name\":{text}}}")));
    }
    let browser = Browser::start(app.address());
    let mut pages: Vec<String> =
        ["", "/tasks", "/agents", "/types", "/search?q=%E2%80%AEx", "/tasks?q=%E2%80%AEx&from=%E2%80%AE"]
            .map(|page| format!("/dashboard{page}"))
            .into();
    pages.push(format!("/dashboard/tests/{}", id(0)));
    for n in 1..=3 {
        pages.push(format!("/dashboard/agents/{}", id(n)));
        pages.push(format!("/dashboard/post?from={}", id(n)));
        pages.extend([n, n + 10, n + 20].map(|n| format!("/dashboard/tasks/{}", id(n))));
    }
    browser.open("/dashboard/types");
    let types = browser
        .run("return [...document.querySelectorAll('[data-row]')].map(link => link.pathname + link.search)");
    pages.extend(
        types.as_array().expect("a list").iter().map(|page| page.as_str().expect("a text").to_owned()),
    );
    assert!(pages.len() > 25, "{pages:?}");
    for page in pages {
        for width in [360, 1280] {
            browser.size(width, 800);
            browser.open(&page);
            let shown = &page[..page.len().min(100)];
            let wider = browser.run("return document.documentElement.scrollWidth - innerWidth");
            assert_eq!(wider, 0, "{shown} is wider than {width}");
            let unseen = browser.run(
                "return [document.title, ...[...document.querySelectorAll('main *:not(script)')]
                     .flatMap(element => [...element.childNodes])
                     .filter(node => node.nodeType === Node.TEXT_NODE && node.parentNode.nodeName !== 'TEXTAREA')
                     .map(node => node.data)].filter(text => /[\\u200b\\u200e\\u200f\\u202a-\\u202e\\u2060-\\u2069\\ufeff]/.test(text))",
            );
            assert_eq!(unseen, serde_json::json!([]), "{shown}");
            let nameless = browser.run(
                "return [...document.querySelectorAll('main a, main h1')].filter(it => it.innerText.trim() === '').length",
            );
            assert_eq!(nameless, 0, "{shown} has links without a text");
        }
    }
    browser.was_quiet();
}
