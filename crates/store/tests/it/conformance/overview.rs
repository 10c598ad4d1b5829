//! What people look at.

use slamon_domain::Command;
use slamon_protocol::PollRequest;
use slamon_store::{AgentView, LIST_RESULT_BYTES, List, Overview, TaskView};

use crate::fixture::Fixture;
use slamon_domain::testing::commands::{
    at, completed, failed, json, number, poll, poll_for, release, task, task_of,
};

fn numbers(tasks: &[TaskView]) -> Vec<u128> {
    tasks.iter().map(|task| number(task.task_id)).collect()
}

fn names(agents: &[AgentView]) -> Vec<&str> {
    agents.iter().map(|agent| agent.name.as_str()).collect()
}

pub(crate) async fn an_empty_store_has_an_empty_overview(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let empty = Overview {
        waiting: List { items: Vec::new(), total: 0 },
        agents: List { items: Vec::new(), total: 0 },
    };
    assert_eq!(store.overview(100, 100).await.unwrap(), empty);
}

pub(crate) async fn waiting_tasks_are_listed_newest_first(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    // By arrival, in which neither ids nor kinds nor the clock are in order.
    let arrivals = [5, 1, 9, 3, 7, 2, 8];
    for (second, n) in (0..7).rev().zip(arrivals) {
        let kind = ["b", "", "a"][n as usize % 3];
        store.batch(at(second), vec![Command::Submit(task_of(kind, n as i64 % 2, n))]).await;
    }
    let newest: Vec<_> = arrivals.into_iter().rev().collect();
    for limit in [1, 2, 3, 6, 7, 100] {
        let waiting = store.overview(limit, 0).await.unwrap().waiting;
        assert_eq!(numbers(&waiting.items), newest[..newest.len().min(limit as usize)]);
        assert_eq!(waiting.total, 7);
    }
    let expected = task_of("a", 0, 8);
    let view = TaskView {
        task_id: expected.task_id,
        test_id: expected.test_id,
        task_type: "a".to_owned(),
        task_version: 0,
        finished: None,
        result: None,
        result_bytes: None,
        error: None,
        error_bytes: None,
    };
    assert_eq!(store.overview(1, 100).await.unwrap().waiting.items, [view]);
}

pub(crate) async fn agents_are_listed_last_seen_first(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    for (second, n) in [(3, 1), (1, 2), (4, 3), (2, 4)] {
        store.poll(at(second), poll(n, 0)).await;
    }
    store.poll(at(5), poll(2, 0)).await;
    let listed = ["agent 2", "agent 3", "agent 1", "agent 4"];
    for limit in [1, 3, 4, 100] {
        let agents = store.overview(limit, 0).await.unwrap().agents;
        assert_eq!(names(&agents.items), listed[..listed.len().min(limit as usize)]);
        assert_eq!(agents.total, 4);
    }
}

pub(crate) async fn tasks_of_an_agent_are_listed_newest_first(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [4, 1, 3, 2, 5]).await;
    store.claim(at(1), 1, 3).await;
    store.claim(at(4), 2, 1).await;
    store.report(at(3), completed(1, r#"{"a":1}"#)).await.unwrap();
    let agents = store.overview(3, 100).await.unwrap().agents.items;
    assert_eq!(names(&agents), ["agent 2", "agent 1"]);
    assert_eq!((numbers(&agents[0].tasks), agents[0].more_tasks), (vec![2], false));
    assert_eq!((numbers(&agents[1].tasks), agents[1].more_tasks), (vec![3, 1, 4], false));
    let ended = TaskView {
        task_id: task(1).task_id,
        test_id: task(1).test_id,
        task_type: "wait".to_owned(),
        task_version: 1,
        finished: Some(at(3)),
        result: Some(json(r#"{"a":1}"#)),
        result_bytes: Some(7),
        error: None,
        error_bytes: None,
    };
    assert_eq!(agents[1].tasks[1], ended);

    let agents = store.overview(2, 100).await.unwrap().agents.items;
    assert_eq!((numbers(&agents[1].tasks), agents[1].more_tasks), (vec![3, 1], true));
    assert!(!agents[0].more_tasks);

    store.release(at(4), release(1, at(1), &[3])).await;
    let agents = store.overview(2, 100).await.unwrap().agents.items;
    assert_eq!((numbers(&agents[1].tasks), agents[1].more_tasks), (vec![1, 4], false));
}

pub(crate) async fn large_results_are_left_out(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1, 2]).await;
    store.claim(at(1), 1, 2).await;
    // 13 bytes, 9 characters.
    let result = r#"{"é":"😀"}"#;
    assert_eq!(result.len(), 13);
    store.report(at(2), completed(1, result)).await.unwrap();
    store.report(at(2), completed(2, "{}")).await.unwrap();
    for (result_bytes, shown) in [(13, true), (u32::MAX, true), (12, false), (9, false), (0, false)] {
        let agents = store.overview(9, result_bytes).await.unwrap().agents.items;
        let view = &agents[0].tasks[1];
        assert_eq!(view.result, shown.then(|| json(result)), "{result_bytes}");
        assert_eq!(view.result_bytes, Some(13));
        assert_eq!(agents[0].tasks[0].result_bytes, Some(2));
    }
}

pub(crate) async fn errors_are_listed_as_json(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1]).await;
    store.claim(at(1), 1, 1).await;
    store.report(at(2), failed(1, r#""no\u0000 \"é\"""#)).await.unwrap();
    let agents = store.overview(9, 0).await.unwrap().agents.items;
    let view = &agents[0].tasks[0];
    assert_eq!((view.finished, view.error.clone()), (Some(at(2)), Some(json(r#""no\u0000 \"é\"""#))));
    assert_eq!((view.result.clone(), view.result_bytes), (None, None));
}

pub(crate) async fn what_is_long_is_cut(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let long = "ä".repeat(500_000);
    let cut = format!("{}…", "ä".repeat(199));
    for n in [1, 2] {
        store.submit(at(0), task_of(&long, 1, n)).await.unwrap();
    }
    let agent = PollRequest { agent_name: long.clone(), ..poll_for(1, 1, &[(&long, 1)]) };
    store.poll(at(1), agent).await;
    store.report(at(2), failed(1, &format!("\"{long}\""))).await.unwrap();
    let overview = store.overview(9, 0).await.unwrap();
    assert_eq!(overview.waiting.items[0].task_type, cut);
    let agent = &overview.agents.items[0];
    assert_eq!((&agent.name, &agent.tasks[0].task_type), (&cut, &cut));
    assert_eq!(agent.tasks[0].error, Some(json(format!("\"{cut}\""))));
    assert_eq!(agent.tasks[0].error_bytes, Some(1_000_002));
    // Elsewhere it is whole.
    let task = store.task(task_of("", 1, 1).task_id).await.unwrap().unwrap();
    assert_eq!(task.posted.task_type, long);
}

pub(crate) async fn the_results_of_an_agent_are_listed_up_to_a_bound(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), 1..=9).await;
    store.claim(at(1), 1, 9).await;
    let result = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
    let quarter = LIST_RESULT_BYTES as usize / 4;
    // The newest first; what is left out for its own size does not count.
    for (n, bytes) in [(9, quarter), (8, quarter), (7, quarter + 1), (6, quarter), (5, 10)] {
        store.report(at(2), completed(n, &result(bytes))).await.unwrap();
    }
    store.report(at(2), completed(4, &result(quarter))).await.unwrap();
    store.report(at(2), completed(3, &result(10))).await.unwrap();
    let agents = store.overview(9, LIST_RESULT_BYTES / 4).await.unwrap().agents.items;
    let tasks = &agents[0].tasks;
    let listed: Vec<_> = tasks.iter().map(|task| task.result.is_some()).collect();
    assert_eq!(listed, [true, true, false, true, true, false, false, false, false]);
    assert_eq!(tasks[5].result_bytes, Some(quarter as u64));
}

pub(crate) async fn any_limit_will_do(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), 1..=4).await;
    store.claim(at(1), 1, 2).await;
    let none = store.overview(0, u32::MAX).await.unwrap();
    assert!(none.waiting.items.is_empty() && none.agents.items.is_empty());
    assert_eq!((none.waiting.total, none.agents.total), (2, 1));
    for limit in [u32::MAX, i32::MAX as u32] {
        let all = store.overview(limit, u32::MAX).await.unwrap();
        assert_eq!(numbers(&all.waiting.items), [4, 3]);
        assert_eq!(numbers(&all.agents.items[0].tasks), [2, 1]);
    }
    // And the store lives on.
    store.post(at(2), [5]).await;
}
