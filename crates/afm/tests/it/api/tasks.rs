//! Tests `/api/v1/tasks`: lists, one task, and what is done to one or to many.

mod bulk_post;
mod changes;
mod lists;
mod one;

use std::time::Duration;

use serde_json::Value;

use crate::test_app::{Body, Place, Setup, TestApp, id};

/// Starts an AFM on each of the three stores.
fn everywhere(test: impl Fn(&TestApp)) {
    for place in [Place::Memory, Place::file(), Place::postgres()] {
        test(&Setup { place, ..Setup::default() }.start());
    }
}

/// Returns the ids of listed tasks.
#[track_caller]
fn ids(page: &Value) -> Vec<String> {
    let tasks = page["tasks"].as_array().unwrap_or_else(|| panic!("no tasks: {page}"));
    tasks.iter().map(|task| task["task_id"].as_str().expect("an id").to_owned()).collect()
}

/// Returns the ids of all tasks of a list, page by page.
#[track_caller]
fn list(app: &TestApp, query: &str) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("/api/v1/tasks?{query}{cursor}")).json();
        all.extend(ids(&page));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// Task 1 is completed, 2 failed, 3 cancelled while it ran, 4 claimed, 5 pending, 6 delayed; a second lies
/// between two of them.
fn fill(app: &TestApp) {
    for n in 1..=6 {
        let task = Body::task(n);
        app.post_task(if n == 6 { task.with("task_delay", "1000") } else { task });
        if n <= 4 {
            assert_eq!(app.poll(Body::poll(9)), [id(n)]);
        }
        app.clock.advance(Duration::from_secs(1));
    }
    app.post("/tasks/response", Body::result(1)).is_empty();
    app.post("/tasks/response", Body::failure(2, r#""No \"route\"""#)).is_empty();
    app.delete(&format!("/task/{}", id(3))).json();
}
