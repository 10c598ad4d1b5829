//! Tests what pages say of what is wrong, and of what was done.

use super::pages::send_form;
use crate::test_app::{Body, Place, Setup, TestApp, id};

#[test]
fn browsers_get_a_page_also_where_there_is_none() {
    let app = TestApp::start();
    let browser = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    for (path, status) in [
        ("/dashboard/nothing", 404),
        ("/dashboard/tasks/a/b/c", 404),
        // Those take forms.
        ("/dashboard/bulk", 405),
        (&format!("/dashboard/tasks/{}/cancel", id(1)), 405),
    ] {
        let page = app.send("GET", path, &browser, "");
        assert_eq!(page.status, status, "{path}");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        assert!(page.body.contains("Go to the overview"), "{}", page.body);
        let answer = app.get(path);
        assert_eq!(answer.header("content-type"), Some("application/problem+json; charset=utf-8"), "{path}");
    }
    let answer = app.send("GET", "/api/v1/nothing", &browser, "");
    assert_eq!(answer.header("content-type"), Some("application/problem+json; charset=utf-8"));
}

#[test]
fn a_filter_that_is_wrong_is_no_empty_list() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    for query in ["cursor=damaged", "order=sideways", "from=yesterday", "task_version=new"] {
        let page = app.get(&format!("/dashboard/tasks?{query}")).body;
        let (name, _) = query.split_once('=').expect("a filter");
        assert!(page.contains(&format!("<bdi>{name}: ")), "{page}");
        for claim in ["No task has been posted yet", "No task matches", "curl"] {
            assert!(!page.contains(claim), "{query}: {page}");
        }
    }
}

#[test]
fn commands_have_the_address_that_a_proxy_names() {
    let app = TestApp::start();
    let headers = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "fleet.example"),
        ("x-forwarded-prefix", "/afm"),
    ];
    let page = app.send("GET", "/dashboard/tasks", &headers, "").body;
    assert!(page.contains("https://fleet.example/afm</span>/task"), "{page}");
}

#[test]
fn pages_say_nothing_that_is_not_so() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    let page = |said: &str| app.get(&format!("/dashboard/tasks/{}?said={said}", id(1))).body;
    assert!(!page("cancelled").contains("The task was cancelled."));
    app.post(&format!("/api/v1/tasks/{}/cancel", id(1)), "{}").json();
    assert!(page("cancelled").contains("The task was cancelled."));
    let answer = send_form(&app, "/dashboard/bulk", &[], &[("act", "cancel")]);
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("Choose at least one task first"), "{}", answer.body);
}

#[test]
fn a_text_that_postgresql_cannot_take_is_no_failure() {
    let app = Setup { place: Place::postgres(), ..Setup::default() }.start();
    for (path, status) in [
        ("/dashboard/agents?task_type=%00", 400),
        ("/dashboard/types/%00/1", 400),
        ("/dashboard/types/one?task_type=a%00&task_version=1", 400),
        ("/dashboard/agents?name=%00&after=%00", 200),
        ("/dashboard/tasks?task_type=%00&q=%00&country=%00", 200),
        ("/dashboard/search?q=%00", 200),
        ("/dashboard/post?task_type=%00", 200),
    ] {
        assert_eq!(app.get(path).status, status, "{path}");
    }
    for path in ["/dashboard/types/pause", "/dashboard/types/resume"] {
        for rest in [("task_version", "1"), ("all", "true")] {
            let answer = send_form(&app, path, &[], &[("task_type", "\0"), rest]);
            assert_eq!(answer.status, 400, "{answer:?}");
        }
    }
    assert_eq!(send_form(&app, "/dashboard/post", &[], &[("task_type", "\0"), ("fill", "last")]).status, 200);
}
