//! AFMs that go away, have too much to do, or answer as none does.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use slamon_client::{
    Change, Client, ClientError, Event, EventFilter, NewTask, Order, Outcome, TaskFilter, TaskPage,
};
use slamon_testbed::{AfmProcess, OriginalAfm, built, free_port};
use tokio::io::{AsyncReadExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use crate::afm::{PATIENCE, poll, report, start, start_with};

fn add() -> NewTask {
    NewTask::new("add", 1).data(&json!({"a": 1})).expect("it is JSON")
}

async fn all_tasks(client: &Client) -> TaskPage {
    client.tasks(&TaskFilter::default(), Order::Newest, 1_000, None).await.expect("a list")
}

/// A way to an AFM on which the answers of the first connections get lost: what was asked for is done.
async fn losing(afm: SocketAddr, answers: u32) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let left = Arc::new(AtomicU32::new(answers));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let is_lost = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            tokio::spawn(async move {
                let mut afm = TcpStream::connect(afm).await.expect("the AFM is there");
                if is_lost.is_err() {
                    let _ = copy_bidirectional(&mut client, &mut afm).await;
                    return;
                }
                let (mut asks, _answers) = client.split();
                let (mut answered, mut asked) = afm.split();
                tokio::select! {
                    _ = answered.read_u8() => {}
                    _ = copy(&mut asks, &mut asked) => {}
                }
            });
        }
    });
    Client::new(&url).expect("a client")
}

#[tokio::test]
async fn what_is_done_is_done_once_though_its_answer_is_lost() {
    let (afm, client) = start();
    let of = async |answers| losing(afm.address(), answers).await;
    of(1).await.post_task(&add()).await.unwrap();
    let tasks: Vec<NewTask> = (0..3).map(|_| add()).collect();
    let answers = of(1).await.post_tasks(&tasks).await.unwrap();
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(all_tasks(&client).await.tasks.len(), 4);

    let id = tasks[0].task_id;
    assert_eq!(of(1).await.cancel(id).await.unwrap().task_end.as_deref(), Some("cancelled"));
    let copy = of(1).await.retry(id).await.unwrap();
    let copies = of(1).await.change_tasks(Change::Retry, &[id]).await.unwrap();
    assert_ne!(copies[0].new_task_id, Some(copy));
    assert_eq!(all_tasks(&client).await.tasks.len(), 6);
    // One answer of a count, or of a step, is lost.
    let all = TaskFilter { state: Some("cancelled".to_owned()), ..TaskFilter::default() };
    assert_eq!(of(1).await.change_all(Change::Retry, &all).await.unwrap().changed, 1);
    assert_eq!(all_tasks(&client).await.tasks.len(), 7);
}

/// What a scripted AFM answers to one request after the other, and to all others with the last answer.
struct Script {
    answers: Mutex<Vec<Response>>,
    asked: Mutex<Vec<(Uri, HeaderMap, Instant, Bytes)>>,
}

async fn play(State(script): State<Arc<Script>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let mut asked = script.asked.lock().unwrap_or_else(PoisonError::into_inner);
    asked.push((uri, headers, Instant::now(), body));
    let mut answers = script.answers.lock().unwrap_or_else(PoisonError::into_inner);
    match answers.pop() {
        Some(answer) => answer,
        None => StatusCode::IM_A_TEAPOT.into_response(),
    }
}

async fn scripted(mut answers: Vec<Response>) -> (Arc<Script>, Client) {
    answers.reverse();
    let script = Arc::new(Script { answers: Mutex::new(answers), asked: Mutex::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let afm = Router::new().fallback(play).with_state(Arc::clone(&script));
    tokio::spawn(axum::serve(listener, afm).into_future());
    (script, Client::new(&url).expect("a client"))
}

fn later(status: StatusCode, seconds: u32) -> Response {
    (status, [("retry-after", seconds.to_string())], axum::Json(json!({"detail": "later"}))).into_response()
}

#[tokio::test]
async fn an_afm_that_asks_to_wait_is_given_the_time_or_given_up() {
    let busy = StatusCode::SERVICE_UNAVAILABLE;
    let answers =
        vec![later(busy, 3), later(StatusCode::TOO_MANY_REQUESTS, 2), StatusCode::OK.into_response()];
    let (script, client) = scripted(answers).await;
    client.post_task(&add()).await.unwrap();
    let asked: Vec<Instant> = script.asked.lock().unwrap().iter().map(|asked| asked.2).collect();
    assert_eq!(asked.len(), 3);
    assert!(asked[1] - asked[0] >= Duration::from_secs(3) && asked[2] - asked[1] >= Duration::from_secs(2));

    // Longer than the client has time.
    let (script, client) = scripted(vec![later(busy, 3_600)]).await;
    let problem = client.post_task(&add()).await.unwrap_err();
    assert_eq!(problem.retry_after(), Some(Duration::from_secs(3_600)), "{problem:?}");
    assert_eq!(script.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_tasks_that_could_not_be_stored_in_time_are_posted_again() {
    let results = |statuses: &[u16]| {
        let results: Vec<Value> = statuses.iter().map(|status| json!({ "status": status })).collect();
        axum::Json(json!({ "results": results })).into_response()
    };
    let (script, client) = scripted(vec![results(&[200, 503, 400, 429]), results(&[200, 400])]).await;
    let tasks: Vec<NewTask> = (0..4).map(|_| add()).collect();
    let answers = client.post_tasks(&tasks).await.unwrap();
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 400, 400]);
    let again: Value = serde_json::from_slice(&script.asked.lock().unwrap()[1].3).unwrap();
    assert_eq!(again["tasks"][0]["task_id"], tasks[1].task_id.to_string());
    assert_eq!(again["tasks"][1]["task_id"], tasks[3].task_id.to_string());
    assert_eq!(again["tasks"].as_array().map(Vec::len), Some(2));

    let (_script, client) = scripted(vec![results(&[503])]).await;
    let answers = client.retry_for(Duration::ZERO).post_tasks(&tasks[..1]).await.unwrap();
    assert_eq!(answers[0].status, 503);
}

#[tokio::test]
async fn a_page_of_a_proxy_is_no_answer_of_an_afm() {
    let page = || ([("content-type", "text/html")], "<h1>Log in</h1>").into_response();
    let (_script, client) = scripted(vec![page(), page()]).await;
    for problem in [client.post_task(&add()).await.unwrap_err(), client.overview().await.unwrap_err()] {
        assert!(matches!(problem, ClientError::Unreadable(_)), "{problem:?}");
    }
    let (_script, client) = scripted(vec![StatusCode::NOT_FOUND.into_response()]).await;
    let problem = client.overview().await.unwrap_err().to_string();
    assert!(problem.contains("the URL may be wrong"), "{problem}");
}

#[tokio::test]
async fn a_stream_goes_on_behind_the_last_event_that_was_read() {
    let stream = |text: String| ([("content-type", "text/event-stream")], text).into_response();
    let change = |id: &str| {
        let change = json!({"task_id": Uuid::nil(), "test_id": Uuid::nil(), "task_type": "a", "task_version": 1,
                            "to": "pending", "at": "now"});
        format!("event: task\nid: {id}\ndata: {change}\n\n")
    };
    // The connection ends within an event.
    let cut = change("b-2");
    let first = format!("{}{}", change("b-1"), &cut[..30]);
    let second = format!("{}event: missed\nid: b-3\ndata: {{\"missed\":7}}\n\n", change("b-2"));
    let (script, client) = scripted(vec![stream(first), stream(second)]).await;
    let mut events = client.events(&EventFilter::default(), None);
    for id in ["b-1", "b-2"] {
        assert!(matches!(events.next().await.unwrap(), Event::Changed(_)));
        assert_eq!(events.last_id(), Some(id));
    }
    assert_eq!(events.next().await.unwrap(), Event::Missed(Some(7)));
    let asked = script.asked.lock().unwrap();
    assert_eq!(asked[1].1["last-event-id"], "b-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_awaited_survives_its_afm() {
    let folder = tempfile::tempdir().unwrap();
    let uri = format!("sqlite:///{}", folder.path().join("afm.db").display());
    let port = free_port();
    let serve = move || {
        let args = ["--database-uri", &uri];
        AfmProcess::start_at(port, &built("slamon-afm"), &args, &[], None)
    };
    let afm = tokio::task::spawn_blocking(serve.clone()).await.unwrap();
    let client = Client::new(&afm.url()).unwrap();
    let task = add();
    let running = tokio::spawn({
        let (client, task) = (client.clone(), task.clone());
        async move { client.run(&task, PATIENCE).await }
    });
    while client.task(task.task_id).await.is_err() {}
    afm.kill9();
    let afm = tokio::task::spawn_blocking(serve).await.unwrap();
    let url = afm.url();
    let agent = move || report(&url, &poll(&url, Uuid::new_v4())[0], &json!({"task_data": {"sum": 1}}));
    tokio::task::spawn_blocking(agent).await.unwrap();
    let outcome = running.await.unwrap().unwrap();
    assert!(matches!(&outcome, Outcome::Completed(_)), "{outcome:?}");
    assert_eq!(all_tasks(&client).await.tasks.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_are_awaited_at_once_and_waits_can_be_dropped() {
    let (afm, client) = start();
    let tasks: Vec<NewTask> = (0..1_000).map(|_| add()).collect();
    client.post_tasks(&tasks).await.unwrap();
    let waits: Vec<_> = tasks
        .iter()
        .map(|task| {
            let (client, id) = (client.clone(), task.task_id);
            tokio::spawn(async move { client.wait_for(id, PATIENCE).await })
        })
        .collect();
    let mut dropped = Box::pin(client.wait_for(tasks[0].task_id, PATIENCE));
    tokio::select! {
        biased;
        ended = &mut dropped => panic!("{ended:?}"),
        () = tokio::task::yield_now() => drop(dropped),
    }
    let url = afm.url();
    let agent = move || {
        let agent_id = Uuid::new_v4();
        for _ in 0..10 {
            for task in poll(&url, agent_id) {
                report(&url, &task, &json!({"task_error": "no"}));
            }
        }
    };
    tokio::task::spawn_blocking(agent).await.unwrap();
    for wait in waits {
        assert!(matches!(wait.await.unwrap().unwrap().outcome(), Some(Outcome::Failed(_))));
    }
}

#[tokio::test]
async fn an_afm_that_takes_little_at_once_gets_little_at_once() {
    let (_afm, client) = start_with(&[("MAX_CONTENT_LENGTH", "2000")]);
    let mut tasks: Vec<NewTask> = (0..100).map(|_| add()).collect();
    tasks[50] = add().data(&json!({ "a": "x".repeat(3_000) })).unwrap();
    let answers = client.post_tasks(&tasks).await.unwrap();
    let expected = |place| if place == 50 { 413 } else { 200 };
    for (place, (answer, task)) in answers.iter().zip(&tasks).enumerate() {
        assert_eq!((answer.status, answer.task_id), (expected(place), Some(task.task_id)), "{place}");
    }
    let ids: Vec<Uuid> = tasks.iter().map(|task| task.task_id).collect();
    let answers = client.change_tasks(Change::Cancel, &ids).await.unwrap();
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 99);
    assert_eq!((answers[50].status, answers[50].task_id), (404, Some(ids[50])));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_original_afm_does_what_it_can() {
    let afm = OriginalAfm::start("sqlite://", &[]).unwrap();
    let client = Client::new(&afm.url()).unwrap();
    let tasks =
        [add(), NewTask { task_type: String::new(), ..add() }, NewTask { task_priority: Some(1), ..add() }];
    let answers = client.post_tasks(&tasks).await.unwrap();
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 400]);
    assert_eq!(answers[1].task_id, Some(tasks[1].task_id));
    let task = client.task(tasks[0].task_id).await.unwrap();
    assert!(task.outcome().is_none() && task.task_data.is_some());
    let ended = client.wait_for(tasks[0].task_id, Duration::from_millis(10)).await;
    assert!(matches!(ended, Err(ClientError::NotEnded(_))), "{ended:?}");
    assert_eq!(client.status().await.unwrap().agents, 0);
    for problem in
        [client.overview().await.unwrap_err(), client.whole_task(tasks[0].task_id).await.unwrap_err()]
    {
        assert!(matches!(&problem, ClientError::NotFound(detail) if detail.contains("older")), "{problem:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_original_afm_has_a_task_once_though_its_answer_is_lost() {
    let afm = OriginalAfm::start("sqlite://", &[]).unwrap();
    let client = Client::new(&afm.url()).unwrap();
    let address = afm.url().trim_start_matches("http://").parse().unwrap();
    let of = async |answers| losing(address, answers).await;
    let mut task = add();
    of(1).await.post_task(&task).await.unwrap();
    of(1).await.post_task(&NewTask::new("add", 1)).await.unwrap();
    // It is refused where nothing was lost, as the AFM answers.
    let problem = client.post_task(&task).await.unwrap_err();
    assert!(matches!(problem, ClientError::Refused { status: 400, .. }), "{problem:?}");

    // Another task has the id, or none has.
    task.task_data = add().data(&json!({"a": 1.0})).unwrap().task_data;
    for task in [&task, &NewTask { task_priority: Some(1), ..add() }] {
        let problem = of(1).await.post_task(task).await.unwrap_err();
        assert!(matches!(problem, ClientError::Refused { status: 400, .. }), "{problem:?}");
    }
}

#[tokio::test]
async fn times_without_end_are_no_trouble() {
    let (_afm, client) = start();
    let client = client.answer_within(Duration::MAX).retry_for(Duration::MAX);
    let task = add();
    client.post_task(&task).await.unwrap();
    client.cancel(task.task_id).await.unwrap();
    client.wait_for(task.task_id, Duration::MAX).await.unwrap();
}
