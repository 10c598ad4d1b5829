//! What the script does for who looks at a page.

use std::time::Duration;

use serde_json::json;

use super::Browser;
use super::driver::OTHER_NAME;
use crate::test_app::{Body, TestApp, id};

#[test]
fn json_is_copied_also_over_plain_http_and_all_of_it_where_it_is_cut() {
    let app = TestApp::start();
    app.post_task(Body::task(1).with("task_data", "{\"text\":\"a\u{202e}<b>\",\"n\":1.50}"));
    let large = format!("{{\"in\":\"{}\"}}", "x".repeat(30_000));
    app.post_task(Body::task(2).with("task_data", large.as_str()));
    let browser = Browser::start(app.address());
    let port = app.address().port();
    // Over another name there is no clipboard but the old way.
    for (host, is_secure) in [("127.0.0.1", true), (OTHER_NAME, false)] {
        let open = |path: &str| browser.open_url(&format!("http://{host}:{port}/dashboard/{path}"));
        for (n, copied) in [(1, "{\n  \"text\": \"a\\u202e<b>\",\n  \"n\": 1.50\n}"), (2, &large)] {
            open(&format!("tasks/{}", id(n)));
            assert_eq!(browser.run("return isSecureContext"), is_secure);
            browser.click("[data-copy=data]");
            browser.until("document.querySelector('[data-copy=data]').innerText === 'Copied'");
            open("post");
            browser.paste("#task_data");
            let pasted = browser.run("return document.querySelector('#task_data').value");
            assert_eq!(pasted, copied, "{host}");
        }
    }
    browser.was_quiet();
}

#[test]
fn times_are_of_the_viewers_zone_and_utc_is_said_beside_them() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    let browser = Browser::start(app.address());
    browser.time_zone("Asia/Tokyo");
    browser.open(&format!("/dashboard/tasks/{}", id(1)));
    let times = |selector: &str| {
        browser.run(&format!(
            "const time = document.querySelector('{selector}'); return [time.innerText, time.title, time.dateTime]"
        ))
    };
    let [utc, iso] = ["2026-11-22 19:23:01 UTC", "2026-11-22T19:23:01.621614+00:00"];
    browser.until("document.querySelector('#live').innerText === 'live'");
    assert_eq!(times("main time:not([data-age])"), json!(["2026-11-23 04:23:01", utc, iso]));
    assert_eq!(times("main time[data-age]"), json!(["0 ms ago", utc, iso]));
    // What comes later is told in that zone, too.
    app.clock.advance(Duration::from_secs(3_600));
    app.poll(Body::poll(9));
    browser.until_text("2026-11-23 05:23:01");
    browser.until_text("1 h ago");
    assert_eq!(times("main time:not([data-age])"), json!(["2026-11-23 04:23:01", utc, iso]));
    browser.was_quiet();
}

/// Keeps account of what could bring anything into the page.
const PROBE: &str = "
    window.probe = { timers: new Set(), streams: [] };
    for (const kind of ['Timeout', 'Interval']) {
        const set = window['set' + kind].bind(window), clear = window['clear' + kind].bind(window);
        window['set' + kind] = (run, after) => {
            const id = set(() => { if (kind === 'Timeout') probe.timers.delete(id); run(); }, after);
            probe.timers.add(id);
            return id;
        };
        window['clear' + kind] = (id) => { probe.timers.delete(id); clear(id); };
    }
    const Stream = EventSource;
    window.EventSource = class extends Stream {
        constructor(address) { super(address); probe.streams.push(this); }
    };";

#[test]
fn a_page_that_is_hidden_asks_for_nothing_and_catches_up_when_it_is_shown() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    let browser = Browser::start(app.address());
    browser.run_first(PROBE);
    browser.open("/dashboard/tasks");
    browser.until("probe.streams.some(stream => stream.readyState === EventSource.OPEN)");
    app.post_task(Body::task(2));
    browser.until_text(&id(2));
    browser.hide(true);
    browser.until("probe.streams.every(stream => stream.readyState === EventSource.CLOSED)");
    browser.until("probe.timers.size === 0");
    app.post_task(Body::task(3));
    let shown = format!("return document.body.innerText.includes('{}')", id(3));
    assert_eq!(browser.run(&shown), false);
    browser.hide(false);
    browser.until_text(&id(3));
    app.post_task(Body::task(4));
    browser.until_text(&id(4));
    browser.was_quiet();
}
