//! An AFM that does what none should, and something else in the place of an AFM.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use slamon_agent::{Agent, Context};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::fake::{Fake, all_stored, handed_out};
use crate::fleet::{PATIENCE, agent};

/// Puts a result into the state folder of an agent that is to be started.
pub(crate) fn store_result(state: &Path, place: usize, id: Uuid) {
    store_body(state, place, &json!({"protocol": 1, "task_id": id, "task_data": {}}));
}

/// Puts the body of a result into the state folder of an agent that is to be started.
fn store_body(state: &Path, place: usize, body: &Value) {
    let folder = state.join("results");
    std::fs::create_dir_all(&folder).expect("the folder is made");
    std::fs::write(folder.join(format!("{place:020}.json")), body.to_string())
        .expect("the result is written");
}

fn ids(results: &[Value]) -> Vec<Value> {
    let one = |body: &Value| match body["results"].as_array() {
        Some(results) => results.iter().map(|result| result["task_id"].clone()).collect(),
        None => vec![body["task_id"].clone()],
    };
    results.iter().flat_map(one).collect()
}

#[test]
fn while_very_many_results_wait_an_agent_says_it_is_busy_and_does_not_ask_again_and_again() {
    let state = tempfile::tempdir().unwrap();
    let stored: Vec<_> = (0..10_000).map(|_| Uuid::new_v4()).collect();
    for (place, id) in stored.iter().enumerate() {
        store_result(state.path(), place + 1, *id);
    }
    let is_back = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&is_back);
    let afm = Fake::start(move |request| match request.path.as_str() {
        "tasks" => handed_out(&[]),
        _ if answers.load(Ordering::Relaxed) => all_stored(request),
        _ => (503, "application/problem+json", "{}".to_owned()),
    });
    let _agent = agent(&afm.url(), state.path(), "first", &[]);
    let refused = afm.wait_for("tasks/response", |results| results.len() == 4).len();
    let polls = afm.requests("tasks");
    // Three waits after problems have passed, of half a second, of one and of two at least.
    assert!(polls.len() <= 8 && polls.iter().all(|poll| poll["max_tasks"] == 0), "{} polls", polls.len());
    is_back.store(true, Ordering::Relaxed);
    afm.wait_for("tasks", |polls| polls.iter().any(|poll| poll["max_tasks"] == 2));
    let delivered = afm.wait_for("tasks/response", |results| ids(&results[refused..]).len() >= 10_000);
    let expected: Vec<_> = stored.iter().map(|id| json!(id)).collect();
    assert!(ids(&delivered[refused..]) == expected, "not each once and in order");
}

#[test]
fn results_that_are_too_large_together_are_delivered_one_by_one_in_their_order() {
    let state = tempfile::tempdir().unwrap();
    let stored: Vec<_> = (0..5).map(|_| Uuid::new_v4()).collect();
    for (place, id) in stored.iter().enumerate() {
        store_result(state.path(), place + 1, *id);
    }
    let afm = Fake::start(|request| match request.path.as_str() {
        "tasks" => handed_out(&[]),
        _ if request.body["results"].is_array() => (413, "text/html", "<html>".to_owned()),
        _ => (200, "application/json", String::new()),
    });
    let _agent = agent(&afm.url(), state.path(), "first", &[]);
    let one_by_one = |results: &[Value]| -> Vec<Value> {
        results.iter().filter(|body| body["results"].is_null()).map(|body| body["task_id"].clone()).collect()
    };
    let delivered = afm.wait_for("tasks/response", |results| one_by_one(results).len() >= 5);
    assert_eq!(one_by_one(&delivered), stored.iter().map(|id| json!(id)).collect::<Vec<_>>());
}

#[test]
fn a_result_is_not_lost_to_something_in_the_place_of_the_afm() {
    let state = tempfile::tempdir().unwrap();
    let id = Uuid::new_v4();
    store_result(state.path(), 1, id);
    // The login page of a network, a server that wants TLS, and the AFM.
    let tries = AtomicUsize::new(0);
    let afm = Fake::start(move |request| match (request.path.as_str(), tries.load(Ordering::Relaxed)) {
        ("tasks", _) => (502, "text/html", "<html>".to_owned()),
        (_, tried) => {
            tries.store(tried + 1, Ordering::Relaxed);
            match tried {
                0 => (200, "text/html", "<html>Welcome to our hotel".to_owned()),
                1 => (400, "text/html", "The plain HTTP request was sent to HTTPS port".to_owned()),
                _ => (200, "application/json", String::new()),
            }
        }
    });
    let agent = agent(&afm.url(), state.path(), "first", &[]);
    let tried = afm.wait_for("tasks/response", |results| results.len() == 3);
    assert_eq!(ids(&tried), [json!(id), json!(id), json!(id)]);
    let log = agent.log_lines().join("\n");
    assert!(!log.contains("dropped a result") && !log.contains('\u{1b}'), "{log}");
}

#[test]
fn small_results_outlast_a_proxy_that_calls_all_of_them_too_large() {
    for outcome in [json!({"task_data": {"status": 200}}), json!({"task_error": "the host is away"})] {
        let state = tempfile::tempdir().unwrap();
        let mut result = json!({"protocol": 1, "task_id": Uuid::new_v4()});
        result.as_object_mut().unwrap().extend(outcome.as_object().unwrap().clone());
        store_body(state.path(), 1, &result);
        let tries = AtomicUsize::new(0);
        let afm = Fake::start(move |request| match request.path.as_str() {
            "tasks" => handed_out(&[]),
            _ if tries.fetch_add(1, Ordering::Relaxed) < 2 => (413, "text/html", "<html>".to_owned()),
            _ => (200, "application/json", String::new()),
        });
        let agent = agent(&afm.url(), state.path(), "first", &[]);
        for _ in 0..2 {
            agent.wait_for_line(|line| line.contains("could not deliver results"), PATIENCE);
        }
        let tried = afm.wait_for("tasks/response", |results| results.len() == 3);
        assert_eq!(tried, [result.clone(), result.clone(), result]);
    }
}

#[test]
fn an_error_that_an_afm_calls_too_large_is_made_small_and_then_dropped() {
    let state = tempfile::tempdir().unwrap();
    let (id, next) = (Uuid::new_v4(), Uuid::new_v4());
    store_body(state.path(), 1, &json!({"protocol": 1, "task_id": id, "task_error": "x".repeat(20_000)}));
    let refusal = json!({"status": 413, "detail": "y".repeat(4_000)}).to_string();
    let afm = Fake::start(move |request| match request.path.as_str() {
        "tasks" => handed_out(&[]),
        _ if request.body["task_id"] == json!(id) => (413, "application/problem+json", refusal.clone()),
        _ => (200, "application/json", String::new()),
    });
    let agent = agent(&afm.url(), state.path(), "first", &[]);
    agent.wait_for_line(
        |line| line.contains("dropped a result that the AFM does not want") && line.contains(&id.to_string()),
        PATIENCE,
    );
    let tried = afm.requests("tasks/response");
    assert_eq!(ids(&tried), [json!(id), json!(id)]);
    assert!(tried[1].to_string().len() < 3_000, "{}", tried[1]);
    agent.signal("TERM");
    assert!(agent.wait_exit(PATIENCE).success());
    store_result(state.path(), 1, next);
    let _agent = crate::fleet::agent(&afm.url(), state.path(), "first", &[]);
    let tried = afm.wait_for("tasks/response", |results| results.len() >= 3);
    assert_eq!(ids(&tried), [json!(id), json!(id), json!(next)]);
}

fn task(id: &str, task_type: &str) -> Value {
    json!({"task_id": id, "task_type": task_type, "task_version": 1, "task_data": {}})
}

#[tokio::test]
async fn what_an_afm_hands_out_against_the_rules_is_executed_once_and_no_more_at_a_time_than_asked() {
    let known: Vec<_> = (0..6).map(|_| Uuid::new_v4().to_string()).collect();
    let mut tasks: Vec<_> = known.iter().map(|id| task(id, "count")).collect();
    let strange = Uuid::new_v4().to_string();
    tasks.extend([task("no id", "count"), json!(5), task(&known[0], "count"), task(&strange, "a\n\"type")]);
    let polls = AtomicUsize::new(0);
    let afm = Fake::start(move |request| match request.path.as_str() {
        "tasks" if polls.fetch_add(1, Ordering::Relaxed) == 0 => handed_out(&tasks),
        "tasks" => handed_out(&[]),
        _ => all_stored(request),
    });
    let running = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let counted = Arc::clone(&running);
    let count = move |_: Value, _: Context| {
        let counted = Arc::clone(&counted);
        async move {
            let (now, most) = &*counted;
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            now.fetch_sub(1, Ordering::Relaxed);
            Ok(json!({}))
        }
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let agent = Agent::new(afm.url()).handler("count", 1, count);
    let agent = tokio::spawn(agent.run_until(async move { drop(stopped.await) }));
    let afm = tokio::task::spawn_blocking(move || {
        afm.wait_for("tasks/response", |results| ids(results).len() >= 7);
        afm
    });
    let afm = afm.await.unwrap();
    stop.send(()).unwrap();
    agent.await.unwrap().unwrap();
    let mut delivered = ids(&afm.requests("tasks/response"));
    delivered.sort_by_key(ToString::to_string);
    let mut expected: Vec<_> = known.iter().chain([&strange]).map(|id| json!(id)).collect();
    expected.sort_by_key(ToString::to_string);
    assert_eq!(delivered, expected);
    assert_eq!(running.1.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_handler_that_panics_before_it_waits_for_anything_fails_its_task_alone() {
    let (id, other) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    let tasks = [task(&id, "panic"), task(&other, "fine")];
    let polls = AtomicUsize::new(0);
    let afm = Fake::start(move |request| match request.path.as_str() {
        "tasks" if polls.fetch_add(1, Ordering::Relaxed) == 0 => handed_out(&tasks),
        "tasks" => handed_out(&[]),
        _ => all_stored(request),
    });
    let panics = |data: Value, _: Context| {
        assert!(data["there"].is_u64(), "it is not there");
        async { Ok(json!({})) }
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let agent = Agent::new(afm.url())
        .handler("panic", 1, panics)
        .handler("fine", 1, |_: Value, _| async { Ok(json!({})) })
        .run_until(async move { drop(stopped.await) });
    let agent = tokio::spawn(agent);
    let results = tokio::task::spawn_blocking(move || {
        afm.wait_for("tasks/response", |results| ids(results).len() >= 2)
    });
    let results = serde_json::to_string(&results.await.unwrap()).unwrap();
    stop.send(()).unwrap();
    agent.await.unwrap().unwrap();
    assert!(results.contains("the handler ended unexpectedly"), "{results}");
}
