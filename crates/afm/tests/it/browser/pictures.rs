//! Takes the pictures of docs/screenshots.

use super::scene::{Scene, TEST};
use super::{Browser, repository};
use crate::test_app::id;

/// Pictures are written into the folder that this variable names, else below `target`.
const FOLDER: &str = "SLAMON_SCREENSHOTS";

#[test]
fn pages_with_something_to_show() {
    let scene = Scene::start();
    let browser = Browser::start(scene.app.address());
    let folder = std::env::var_os(FOLDER).map_or_else(|| repository().join("target/screenshots"), Into::into);
    let pages = [
        ("overview", "/dashboard".to_owned(), "Waiting and running"),
        ("tasks", "/dashboard/tasks".to_owned(), "Helsinki 3"),
        ("task", format!("/dashboard/tasks/{}", scene.failed_task()), "Timeline"),
        ("test", format!("/dashboard/tests/{}", id(TEST)), "done"),
        ("agents", "/dashboard/agents".to_owned(), "Turku"),
        ("agent", format!("/dashboard/agents/{}", id(9)), "What it runs"),
        ("types", "/dashboard/types".to_owned(), "url_http_status"),
        ("type", "/dashboard/types/url_http_status/2".to_owned(), "Agents that offer it"),
        ("post", format!("/dashboard/post?from={}", scene.failed_task()), "Copied from"),
    ];
    for (name, page, text) in pages {
        for (suffix, width, is_dark) in [("", 1280, false), ("-dark", 1280, true), ("-narrow", 390, false)] {
            browser.size(width, 800);
            browser.dark(is_dark);
            browser.open(&page);
            browser.until_text(text);
            browser.picture(&folder.join(format!("{name}{suffix}.png")));
        }
    }
    browser.was_quiet();
}
