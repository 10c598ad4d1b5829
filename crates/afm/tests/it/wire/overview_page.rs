//! Tests what the first page of the dashboard says.

use std::time::Duration;

use slamon_afm::maintenance::sweeper::SweepPolicy;

use crate::test_app::{Body, TestApp, id};

/// Returns the texts of the elements of the page that begin with `tag`, without markup.
fn texts(page: &str, tag: &str, end: &str) -> Vec<String> {
    let parts = page.split(tag).skip(1).map(|part| part.split(end).next().unwrap_or_default());
    let plain = |part: &str| {
        let text: String =
            part.split('<').map(|piece| piece.split_once('>').map_or(piece, |it| it.1)).collect();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    parts.map(plain).collect()
}

/// Returns the sentence, and what waits.
fn overview(app: &TestApp) -> (String, Vec<String>) {
    // What was read last is shown for a second.
    app.count_tasks();
    let page = app.get("/dashboard").body;
    let verdict = texts(&page, "<p class=\"verdict large", "</p>").remove(0);
    let waiting = page.split("id=\"waiting\"").nth(1).expect("what waits");
    let waiting = waiting.split("</section>").next().unwrap_or_default();
    (verdict, texts(waiting, "<li", "</li>"))
}

#[test]
fn what_waits_for_one_reason_is_counted_without_what_waits_for_another() {
    let app = TestApp::start();
    app.poll(Body::poll(9).with("max_tasks", "1"));
    app.post_task(Body::task(1).with("agent_filter", r#"{"agent_name": "nobody"}"#));
    app.clock.advance(Duration::from_secs(5));
    // More than are looked at.
    for n in 2..=300 {
        app.post_task(Body::task(n));
    }
    app.post_task(Body::task(301).with("agent_filter", r#"{"agent_name": "agent 9"}"#));
    let (verdict, waiting) = overview(&app);
    assert!(
        verdict.ends_with(
            "Tasks are stuck. At least 1 task cannot be handed out: none of 1 agent offering wait version 1 \
             matches its agent_filter."
        ),
        "{verdict}"
    );
    let [stuck, others] = &waiting[..] else { panic!("{waiting:?}") };
    assert!(stuck.contains("at least 1 task of wait version 1"), "{stuck}");
    assert!(stuck.contains("has waited for 5.0 s"), "{stuck}");
    assert!(others.contains("300 tasks of wait version 1"), "{others}");
    assert!(others.contains("next in line"), "{others}");
}

#[test]
fn all_tasks_of_a_type_that_nobody_offers_wait_for_one_reason() {
    let app = TestApp::start();
    for n in 1..=10 {
        app.post_task(Body::task(n).with("agent_filter", format!("{{\"agent_name\": \"{n}\"}}")));
    }
    let (verdict, waiting) = overview(&app);
    assert!(verdict.ends_with("10 tasks cannot be handed out: no agent offers wait."), "{verdict}");
    let [all] = &waiting[..] else { panic!("{waiting:?}") };
    assert!(all.contains("10 tasks of wait version 1"), "{all}");
    assert!(app.get("/dashboard").body.contains(&format!("tasks/{}", id(1))));
}

#[test]
fn a_delay_is_no_wait() {
    let app = TestApp::start();
    app.poll(Body::poll(9).with("max_tasks", "0"));
    app.post_task(Body::task(1).with("task_delay", "3600"));
    app.clock.advance(Duration::from_secs(3_660));
    app.poll(Body::poll(9).with("max_tasks", "0"));
    app.sweep(&mut app.sweeper(SweepPolicy { lost_after: None, forget_after: None, delete_after: None }));
    let (verdict, waiting) = overview(&app);
    let [one] = &waiting[..] else { panic!("{verdict} {waiting:?}") };
    assert!(one.contains("has waited for 1 min"), "{one}");
    assert!(!verdict.contains("Tasks wait for long."), "{verdict}");
}
