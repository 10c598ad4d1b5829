//! What an agent that is told to stop says to the AFM.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};
use slamon_agent::{Agent, AgentError, Context};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::fake::{Fake, all_stored, handed_out};
use crate::fleet::PATIENCE;

fn task(id: Uuid) -> Value {
    json!({"task_id": id, "task_type": "test", "task_version": 1, "task_data": {}})
}

/// An agent whose tasks wait until they are let go.
struct Tested {
    begun: Arc<Notify>,
    go: Arc<Notify>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), AgentError>>,
}

impl Tested {
    fn start(afm: &Fake) -> Self {
        let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (stop, stopped) = oneshot::channel::<()>();
        let (has_begun, let_go) = (Arc::clone(&begun), Arc::clone(&go));
        let handler = move |_: Value, _: Context| {
            has_begun.notify_one();
            let go = Arc::clone(&let_go);
            async move {
                go.notified().await;
                Ok(json!({}))
            }
        };
        let agent = Agent::new(afm.url()).executors(1).handler("test", 1, handler);
        let ended = tokio::spawn(agent.run_until(async move { drop(stopped.await) }));
        Self { begun, go, stop, ended }
    }
}

fn is_last(poll: &Value) -> bool {
    poll["max_tasks"] == 0 && poll["max_wait"] == 0
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_answer_brings_that_is_on_its_way_is_executed() {
    let id = Uuid::new_v4();
    let (told, polled) = ((Mutex::new(false), Condvar::new()), Arc::new(Notify::new()));
    let has_polled = Arc::clone(&polled);
    let afm = Fake::start(move |request| match request.path.as_str() {
        "tasks" if is_last(&request.body) => {
            *told.0.lock().unwrap() = true;
            told.1.notify_all();
            handed_out(&[])
        }
        // The poll is held, and answered when the next one comes.
        "tasks" => {
            has_polled.notify_one();
            let waited = told.1.wait_timeout_while(told.0.lock().unwrap(), PATIENCE, |told| !*told);
            assert!(!waited.unwrap().1.timed_out(), "no other poll came");
            handed_out(&[task(id)])
        }
        _ => all_stored(request),
    });
    let agent = Tested::start(&afm);
    agent.go.notify_one();
    polled.notified().await;
    agent.stop.send(()).unwrap();
    agent.ended.await.unwrap().unwrap();
    assert_eq!(afm.requests("tasks/response")[0]["task_id"], json!(id));
    let polls = afm.requests("tasks");
    assert_eq!(polls.len(), 2, "{polls:?}");
    assert!(
        polls.iter().filter(|poll| is_last(poll)).all(|poll| poll["agent_running"].is_null()),
        "{polls:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_wait_for_an_executor_go_back() {
    let ids: [Uuid; 3] = std::array::from_fn(|_| Uuid::new_v4());
    let polls = AtomicUsize::new(0);
    let afm = Fake::start(move |request| match request.path.as_str() {
        "tasks" if polls.fetch_add(1, Ordering::Relaxed) == 0 => handed_out(&ids.map(task)),
        "tasks" => handed_out(&[]),
        _ => all_stored(request),
    });
    let agent = Tested::start(&afm);
    agent.begun.notified().await;
    agent.stop.send(()).unwrap();
    let polls = afm.wait_for("tasks", |polls| polls.len() == 2);
    assert_eq!((&polls[1]["max_tasks"], &polls[1]["agent_running"]), (&json!(0), &json!([ids[0]])));
    agent.go.notify_one();
    agent.ended.await.unwrap().unwrap();
    let results = afm.requests("tasks/response");
    assert_eq!(results.iter().map(|result| &result["task_id"]).collect::<Vec<_>>(), [&json!(ids[0])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_afm_is_told_nothing_and_gets_all_results() {
    let ids: [Uuid; 3] = std::array::from_fn(|_| Uuid::new_v4());
    let polls = AtomicUsize::new(0);
    let afm = Fake::start(move |request| match request.path.as_str() {
        "tasks" if request.body.get("max_wait").is_some() => (400, "text/html", String::new()),
        "tasks" if polls.fetch_add(1, Ordering::Relaxed) == 0 => handed_out(&ids.map(task)),
        "tasks" => handed_out(&[]),
        _ => all_stored(request),
    });
    let agent = Tested::start(&afm);
    agent.begun.notified().await;
    agent.stop.send(()).unwrap();
    for delivered in 1..=3 {
        agent.go.notify_one();
        afm.wait_for("tasks/response", |results| results.len() == delivered);
    }
    agent.ended.await.unwrap().unwrap();
    assert_eq!(afm.requests("tasks").len(), 2);
}
