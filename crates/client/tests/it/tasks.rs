//! Tasks, from their posts to their ends.

use std::time::Duration;

use serde_json::json;
use slamon_client::{Change, Client, ClientError, Event, EventFilter, NewTask, Order, Outcome, TaskFilter};
use slamon_testbed::{AfmProcess, built, free_port};
use uuid::Uuid;

use crate::afm::{PATIENCE, poll, report, start, start_on_each_store};

fn add() -> NewTask {
    NewTask::new("add", 1).data(&json!({"a": 1})).expect("it is JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_posted_and_awaited_in_one_call() {
    let (afm, client) = start();
    let url = afm.url();
    let agent = std::thread::spawn(move || {
        let agent_id = Uuid::new_v4();
        for end in [json!({"task_data": {"sum": 1.0}}), json!({"task_error": "no"})] {
            let tasks = poll(&url, agent_id);
            report(&url, &tasks[0], &end);
        }
    });
    match client.run(&add(), PATIENCE).await.unwrap() {
        Outcome::Completed(result) => {
            // As it was reported, which is with blanks.
            assert!(result.get().contains(r#""sum": 1.0"#), "{result}");
        }
        Outcome::Failed(error) => panic!("it failed: {error}"),
    }
    match client.run(&add(), PATIENCE).await.unwrap() {
        Outcome::Completed(result) => panic!("it is completed: {result}"),
        Outcome::Failed(error) => assert_eq!(error, "no"),
    }
    agent.join().unwrap();
}

#[tokio::test]
async fn a_wait_ends_with_its_time_and_the_task_goes_on() {
    let (_afm, client) = start();
    let task = add();
    let problem = client.run(&task, Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(problem, ClientError::NotEnded(_)), "{problem}");
    let task = client.task(task.task_id).await.unwrap();
    assert_eq!(task.task_state.as_deref(), Some("pending"));
    assert_eq!(task.task_waiting.unwrap().code, "no_agent");
}

#[tokio::test]
async fn the_same_task_again_is_no_error_and_another_one_is() {
    let (_afm, client) = start();
    let task = add();
    client.post_task(&task).await.unwrap();
    client.post_task(&task).await.unwrap();
    let other = NewTask { task_version: 2, ..task };
    let problem = client.post_task(&other).await.unwrap_err();
    assert!(matches!(&problem, ClientError::Refused { status: 400, .. }), "{problem:?}");
    let wrong = NewTask { task_timeout: Some(-1.0), ..add() };
    match client.post_task(&wrong).await.unwrap_err() {
        ClientError::Refused { field, .. } => assert_eq!(field.as_deref(), Some("task_timeout")),
        problem => panic!("{problem:?}"),
    }
}

#[tokio::test]
async fn each_of_many_tasks_is_answered_on_each_store() {
    for (_afm, client, _database) in start_on_each_store() {
        let mut tasks: Vec<NewTask> = (0..1_200).map(|_| add()).collect();
        tasks[1_100].task_priority = Some(i32::MAX);
        let answers = client.post_tasks(&tasks).await.unwrap();
        assert_eq!(answers.len(), 1_200);
        for (index, (task, answer)) in tasks.iter().zip(&answers).enumerate() {
            let expected = if index == 1_100 { 400 } else { 200 };
            assert_eq!((answer.task_id, answer.status), (Some(task.task_id), expected), "{answer:?}");
        }
        let filter = TaskFilter { task_type: Some("add".to_owned()), ..TaskFilter::default() };
        let (mut listed, mut cursor) = (0, None);
        loop {
            let page = client.tasks(&filter, Order::Newest, 500, cursor.as_deref()).await.unwrap();
            listed += page.tasks.len();
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(listed, 1_199);
        let changed = client.change_all(Change::Cancel, &filter).await.unwrap();
        assert_eq!(changed.changed, 1_199);
    }
}

#[tokio::test]
async fn what_ended_is_posted_again_and_what_is_unknown_is_not_found() {
    let (_afm, client) = start();
    let task = add();
    client.post_task(&task).await.unwrap();
    assert!(matches!(client.retry(task.task_id).await, Err(ClientError::Refused { .. })));
    let cancelled = client.cancel(task.task_id).await.unwrap();
    assert_eq!(cancelled.task_end.as_deref(), Some("cancelled"));
    assert_eq!(client.delete(task.task_id).await.unwrap().task_state.as_deref(), Some("cancelled"));
    let copy = client.retry(task.task_id).await.unwrap();
    assert_eq!(client.task(copy).await.unwrap().task_data.unwrap().get(), r#"{"a":1}"#);
    let unknown = client.task(Uuid::new_v4()).await.unwrap_err();
    assert!(matches!(unknown, ClientError::NotFound(_)), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_afm_that_is_away_is_waited_for() {
    let port = free_port();
    let client = Client::new(&format!("http://127.0.0.1:{port}")).unwrap();
    let posting = tokio::spawn({
        let client = client.clone();
        async move { client.post_task(&add()).await }
    });
    let at_once = client.clone().retry_for(Duration::ZERO).post_task(&add()).await.unwrap_err();
    assert!(matches!(at_once, ClientError::Unreachable(_)), "{at_once:?}");
    let _afm =
        tokio::task::spawn_blocking(move || AfmProcess::start_at(port, &built("slamon-afm"), &[], &[], None))
            .await
            .unwrap();
    posting.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_is_told() {
    let (_afm, client) = start();
    let test_id = Uuid::new_v4();
    let mut events = client.events(&EventFilter { test_id: Some(test_id), ..EventFilter::default() }, None);
    let first = tokio::spawn(async move { tokio::time::timeout(PATIENCE, events.next()).await });
    // Nothing is told of what happened before the stream began.
    while !first.is_finished() {
        client.post_task(&add().test_id(test_id)).await.unwrap();
    }
    match first.await.unwrap().unwrap().unwrap() {
        Event::Changed(change) => assert_eq!(change.test_id, test_id),
        event => panic!("{event:?}"),
    }
}
