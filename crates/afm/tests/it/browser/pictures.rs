//! Takes the pictures of docs/screenshots.

use std::collections::BTreeSet;
use std::fs;

use super::scene::{Scene, TEST};
use super::{Browser, repository};
use crate::test_app::{TestApp, id};

/// Pictures are written into the folder that this variable names, else below `target`.
const FOLDER: &str = "SLAMON_SCREENSHOTS";

/// No picture has more bytes.
const LARGEST: u64 = 150_000;

/// The pages of which there are dark pictures, and narrow ones, too.
const ALSO_DARK: [&str; 2] = ["overview", "task"];
const ALSO_NARROW: [&str; 2] = ["overview", "tasks"];

/// A page, and what leads to what is to be seen.
struct Picture {
    name: &'static str,
    page: String,
    /// The page is ready once it has this text.
    text: &'static str,
    prepare: fn(&Browser),
}

fn pictures(scene: &Scene) -> Vec<Picture> {
    let picture = |name, page: String, text| Picture { name, page, text, prepare: |_| {} };
    let bulk = Picture {
        prepare: |browser| {
            browser.press("Cancel all that match");
            browser.until_text("Cancel 4 tasks?");
        },
        ..picture("cancel", format!("/dashboard/tasks?test_id={}", id(TEST)), "dns_lookup")
    };
    let post = Picture {
        // Its id is another one each time.
        prepare: |browser| browser.fill("#task_id", &id(1)),
        ..picture("post", format!("/dashboard/post?from={}", scene.failed_task()), "Copied from")
    };
    let keys = Picture {
        prepare: |browser| {
            browser.keys("?");
            browser.until("document.querySelector('#help').open");
        },
        ..picture("keys", "/dashboard/types".to_owned(), "url_http_status")
    };
    vec![
        picture("overview", "/dashboard".to_owned(), "Waiting and running"),
        picture("tasks", "/dashboard/tasks".to_owned(), "Helsinki 3"),
        bulk,
        picture("task", format!("/dashboard/tasks/{}", scene.failed_task()), "Timeline"),
        picture("test", format!("/dashboard/tests/{}", id(TEST)), "done"),
        picture("agents", "/dashboard/agents".to_owned(), "Turku"),
        picture("places", "/dashboard/agents/places".to_owned(), "Counted at"),
        picture("agent", format!("/dashboard/agents/{}", id(9)), "What it runs"),
        picture("types", "/dashboard/types".to_owned(), "url_http_status"),
        picture("type", "/dashboard/types/url_http_status/2".to_owned(), "Agents that offer it"),
        post,
        picture("search", "/dashboard/search?q=url_http".to_owned(), "Nothing found"),
        keys,
    ]
}

#[test]
fn pages_with_something_to_show() {
    let scene = Scene::start();
    let browser = Browser::start(scene.app.address());
    let folder = std::env::var_os(FOLDER).map_or_else(|| repository().join("target/screenshots"), Into::into);
    let mut taken = BTreeSet::new();
    let mut take = |browser: &Browser, name: &str| {
        let file = format!("{name}.png");
        browser.picture(&folder.join(&file));
        taken.insert(file);
    };
    for Picture { name, page, text, prepare } in pictures(&scene) {
        for (suffix, width, is_dark) in [("", 1280, false), ("-dark", 1280, true), ("-narrow", 390, false)] {
            let is_taken = match suffix {
                "-dark" => ALSO_DARK.contains(&name),
                "-narrow" => ALSO_NARROW.contains(&name),
                _ => true,
            };
            if !is_taken {
                continue;
            }
            browser.size(width, 800);
            browser.dark(is_dark);
            browser.open(&page);
            browser.until_text(text);
            prepare(&browser);
            take(&browser, &format!("{name}{suffix}"));
        }
    }
    // What was done to many: it changes what the other pictures show.
    browser.dark(false);
    browser.size(1280, 800);
    browser.open(&format!("/dashboard/tasks?test_id={}", id(TEST)));
    browser.press("Cancel all that match");
    browser.until_text("Cancel 4 tasks?");
    browser.press("Yes, cancel them");
    browser.until_text("were cancelled.");
    take(&browser, "changed");
    browser.was_quiet();
    // Of a page that is not there, the console has a message.
    browser.open(&format!("/dashboard/tasks/{}", id(1)));
    browser.until_text("Go to the overview");
    take(&browser, "error");
    let app = TestApp::start();
    app.count_tasks();
    let browser = Browser::start(app.address());
    browser.dark(false);
    browser.size(1280, 800);
    browser.open("/dashboard");
    browser.until_text("Nothing has happened yet.");
    // The commands have ids that are other ones each time, and the address of this very server.
    browser.run(
        "document.querySelectorAll('.command').forEach((command) => {
             const id = '00000000-0000-4000-8000-000000000000';
             command.textContent = command.textContent.replace(/[0-9a-f-]{36}/g, id).replace(/127.0.0.1:[0-9]+/, '127.0.0.1:8080');
         })",
    );
    take(&browser, "first-steps");
    browser.was_quiet();
    are_in_the_docs(&taken);
}

/// Asserts that these pictures, and no others, are in docs/screenshots, and are shown in docs/dashboard.md.
fn are_in_the_docs(taken: &BTreeSet<String>) {
    let docs = repository().join("docs");
    let pages = fs::read_to_string(docs.join("dashboard.md")).expect("docs/dashboard.md is there");
    let mut there = BTreeSet::new();
    for file in fs::read_dir(docs.join("screenshots")).expect("docs/screenshots is there") {
        let file = file.expect("a file");
        let name = file.file_name().into_string().expect("a name");
        let bytes = file.metadata().expect("a file").len();
        assert!(bytes <= LARGEST, "{name} has {bytes} bytes");
        assert!(pages.contains(&format!("](screenshots/{name})")), "docs/dashboard.md does not show {name}");
        there.insert(name);
    }
    assert_eq!(&there, taken, "`make screenshots` takes them anew");
}
