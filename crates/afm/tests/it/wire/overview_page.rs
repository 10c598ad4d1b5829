//! Tests what the first page of the dashboard says.

use std::time::Duration;

use slamon_afm::maintenance::sweeper::SweepPolicy;

use crate::test_app::{Body, Place, Setup, TestApp, eventually, id};

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

/// Posts tasks of a type at the store.
fn store(app: &TestApp, tasks: std::ops::Range<u64>, task_type: &str) {
    let task = |n| Body::task(n).with("task_type", format!("\"{task_type}\""));
    for part in tasks.collect::<Vec<_>>().chunks(500) {
        app.store_tasks(part.iter().map(|n| task(*n)));
    }
}

#[test]
fn what_is_stuck_is_found_behind_thousands_that_wait_for_their_turn() {
    for place in [Place::Memory, Place::postgres()] {
        let app = Setup { place, ..Setup::default() }.start();
        let names: Vec<String> = (0..20).map(|n| format!("served {n}")).collect();
        let offers: Vec<String> = names.iter().map(|name| format!("\"{name}\":{{\"version\":1}}")).collect();
        let offers = format!("{{{}}}", offers.join(","));
        app.poll(Body::poll(9).with("agent_capabilities", offers).with("max_tasks", "0"));
        store(&app, 1..5_200, &names[0]);
        for (n, name) in (6_000..).zip(&names) {
            store(&app, n..n + 1, name);
        }
        app.clock.advance(Duration::from_secs(5));
        store(&app, 7_000..7_003, "zz nobody");
        let lost =
            |n| Body::task(n).with("task_type", r#""served 0""#).with("agent_filter", r#"{"country":"FI"}"#);
        app.store_tasks([lost(8_000)].into_iter());
        let (verdict, waiting) = overview(&app);
        let stuck = "Tasks are stuck. 3 tasks cannot be handed out: no agent offers zz nobody. Nor can at least 1 more, \
                     for 1 reason more.";
        assert!(verdict.ends_with(stuck), "{verdict}");
        assert!(waiting.iter().any(|of| of.contains("3 tasks of zz nobody version 1")), "{waiting:?}");
        let by_filter = "none of 1 agent offering served 0 version 1 matches its agent_filter";
        assert!(waiting.iter().any(|of| of.contains(by_filter)), "{waiting:?}");
        assert_eq!(waiting.len(), 12, "{waiting:?}");
        let page = app.get("/dashboard").body;
        assert!(!page.contains("There are more than 1,000 kinds"), "{page}");
    }
}

#[test]
fn where_there_are_too_many_kinds_they_are_looked_at_in_turn_and_the_page_says_so() {
    let app = TestApp::start();
    app.poll(Body::poll(9).with("max_tasks", "0"));
    let filtered = |n: &u64| {
        let filter = format!("{{\"agent_name\":\"agent 9\",\"region\":\"{n}\"}}");
        Body::task(*n).with("agent_filter", filter)
    };
    // The last kind of these is the one that nobody offers, and no task has waited longer than 200 others.
    store(&app, 1..300, "wait");
    for part in (1_000..2_200).collect::<Vec<u64>>().chunks(400) {
        app.store_tasks(part.iter().map(filtered));
    }
    store(&app, 5_000..5_001, "zz nobody");
    eventually("it is found", || {
        let page = app.get("/dashboard").body;
        assert!(page.contains("There are more than 1,000 kinds of waiting tasks"), "{page}");
        page.contains("no agent offers zz nobody")
    });
}

#[test]
fn many_failures_of_one_type_hide_none_of_another() {
    let app = TestApp::start();
    let fail = |n: u64, task_type: &str, error: &str| {
        app.post_task(Body::task(n).with("task_type", format!("\"{task_type}\"")));
        let offers = format!("{{\"{task_type}\":{{\"version\":1}}}}");
        assert_eq!(app.poll(Body::poll(9).with("agent_capabilities", offers)), [id(n)]);
        assert_eq!(app.post("/tasks/response", Body::failure(n, &format!("\"{error}\""))).status, 200);
    };
    fail(1, "rare", "it broke");
    for n in 2..=230 {
        // A dozen different errors.
        let error = "no ".repeat(usize::try_from(n % 12 + 1).expect("it is small"));
        fail(n, "common", &error);
    }
    let page = app.get("/dashboard").body;
    let failures = page.split("id=\"failures\"").nth(1).expect("the newest failures");
    let failures = failures.split("</section>").next().unwrap_or_default();
    let groups = texts(failures, "<li", "</li>");
    assert!(groups.iter().any(|of| of.contains("1 task of rare version 1")), "{groups:?}");
    assert_eq!(groups.len(), 8, "{groups:?}");
    assert!(failures.contains("Of the newest 200, and of the newest 20 of each other type"), "{failures}");
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
