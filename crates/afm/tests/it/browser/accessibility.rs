//! What a checker of accessibility finds wrong with the pages: axe-core, from npm.

use std::fs;

use serde_json::Value;

use super::scene::{Scene, TEST};
use super::{Browser, repository};
use crate::test_app::{TestApp, id};

/// Runs the checker in the page, and gives what it finds serious.
fn findings(browser: &Browser, axe: &str) -> Vec<String> {
    browser.run(&format!("if (!window.axe) {{ {axe} }}"));
    let found = browser.run_async(
        "axe.run(document, {resultTypes: ['violations']}).then(
             found => done(found.violations.map(it => ({
                 id: it.id, impact: it.impact, help: it.help, nodes: it.nodes.slice(0, 3).map(n => n.html + ' ' + n.failureSummary),
             }))),
             error => done(String(error)))",
    );
    let found = found.as_array().unwrap_or_else(|| panic!("axe failed: {found}"));
    found.iter().map(Value::to_string).collect()
}

#[test]
fn nothing_is_wrong_on_any_page_light_and_dark_wide_and_narrow() {
    let file = repository().join(".axe/node_modules/axe-core/axe.min.js");
    let axe = fs::read_to_string(&file).expect("axe-core is there; `make setup` installs it");
    let scene = Scene::start();
    let browser = Browser::start(scene.app.address());
    let mut wrong = findings_on(&browser, &axe, &pages(&scene));
    browser.open(&format!("/dashboard/tasks?test_id={}", id(TEST)));
    for (press, then) in
        [("Cancel all that match", "Cancel 4 tasks?"), ("Yes, cancel them", "were cancelled")]
    {
        browser.press(press);
        browser.until_text(then);
        // Such a page is the answer to a form, and is not opened again.
        wrong.extend(findings_in(&browser, &axe, then, || {}));
    }
    browser.was_quiet();
    let app = TestApp::start();
    app.count_tasks();
    let browser = Browser::start(app.address());
    wrong.extend(findings_on(&browser, &axe, &empty_pages()));
    browser.was_quiet();
    // Of a page that is not there, the console has a message.
    wrong.extend(findings_on(&browser, &axe, &[format!("/dashboard/tasks/{}", id(1))]));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is wrong with these pages.
fn findings_on(browser: &Browser, axe: &str, pages: &[String]) -> Vec<String> {
    pages.iter().flat_map(|page| findings_in(browser, axe, page, || browser.open(page))).collect()
}

/// What is wrong with a page, light and dark, wide and narrow, which is opened again each time.
fn findings_in(browser: &Browser, axe: &str, page: &str, open: impl Fn()) -> Vec<String> {
    let mut wrong = Vec::new();
    for (width, is_dark) in [(1280, false), (1280, true), (390, false), (390, true)] {
        browser.size(width, 900);
        browser.dark(is_dark);
        open();
        // Colours turn from light to dark in a moment.
        browser.until("document.getAnimations().every(it => it.playState !== 'running')");
        let found = findings(browser, axe);
        wrong.extend(found.into_iter().map(|found| format!("{page} {width} {is_dark}: {found}")));
        let wider = browser.run("return document.documentElement.scrollWidth - innerWidth");
        if wider.as_i64() > Some(0) {
            wrong.push(format!("{page} {width}: the page is {wider} pixels wider than its window"));
        }
    }
    wrong
}

/// The addresses of all kinds of pages where nothing has happened.
fn empty_pages() -> Vec<String> {
    let pages = [
        "",
        "/tasks",
        "/tasks?state=lost",
        "/agents",
        "/agents?state=lost",
        "/agents/places",
        "/types",
        "/types/wait/1",
        "/post",
        "/search?q=nothing",
    ];
    pages.iter().map(|page| format!("/dashboard{page}")).collect()
}

/// The addresses of all kinds of pages.
pub(super) fn pages(scene: &Scene) -> Vec<String> {
    vec![
        "/dashboard".to_owned(),
        "/dashboard/tasks".to_owned(),
        "/dashboard/tasks?state=failed".to_owned(),
        "/dashboard/tasks?from=x".to_owned(),
        format!("/dashboard/tasks/{}", scene.failed_task()),
        format!("/dashboard/tests/{}", id(TEST)),
        "/dashboard/agents".to_owned(),
        "/dashboard/agents/places".to_owned(),
        format!("/dashboard/agents/{}", id(9)),
        format!("/dashboard/agents/{}", id(12)),
        "/dashboard/types".to_owned(),
        "/dashboard/types/url_http_status/2".to_owned(),
        "/dashboard/types/nothing/2".to_owned(),
        "/dashboard/post".to_owned(),
        format!("/dashboard/post?from={}", scene.failed_task()),
        "/dashboard/search?q=nothing".to_owned(),
    ]
}
