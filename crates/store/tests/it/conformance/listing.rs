//! Lists of tasks.

use std::sync::Arc;

use jiff::Timestamp;
use slamon_domain::{Command, StateName, Task};
use slamon_protocol::{PostTask, Terms};
use slamon_store::{ListOrder, States, TaskFilter, TaskPage, TaskPlace, TaskQuery, TaskSummary};
use uuid::Uuid;

use crate::driver::Driver;
use crate::fixture::Fixture;
use slamon_domain::testing::commands::{
    DUE, agent_id, at, completed, failed, number, poll_for, seconds, task_id, task_of,
};

const ORDERS: [ListOrder; 2] = [ListOrder::NewestFirst, ListOrder::OldestFirst];

fn test_id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

async fn page(
    store: &Driver,
    filter: &TaskFilter,
    order: ListOrder,
    after: Option<TaskPlace>,
    limit: u32,
) -> TaskPage {
    let query = TaskQuery { filter: filter.clone(), order, after, up_to: None, limit };
    store.list_tasks(Arc::new(query)).await.unwrap()
}

/// All pages of a list, one after the other.
async fn all(store: &Driver, filter: &TaskFilter, order: ListOrder, limit: u32) -> Vec<TaskSummary> {
    let (mut tasks, mut after) = (Vec::new(), None);
    loop {
        let page = page(store, filter, order, after, limit).await;
        assert!(page.tasks.len() <= limit as usize);
        tasks.extend(page.tasks);
        after = page.next;
        if after.is_none() {
            return tasks;
        }
    }
}

fn numbers(tasks: &[TaskSummary]) -> Vec<u128> {
    tasks.iter().map(|task| number(task.task_id)).collect()
}

/// Stores 40 tasks in all states: of two types and versions, of three process instances, of three agents. They
/// arrive in the order of their numbers.
async fn fill(store: &Driver) {
    let task = |n: u128| {
        let mut terms = Terms::default();
        let country = ["FI", "SE", "fi", "\"é"].map(str::to_owned);
        match n % 10 {
            0 => terms.delay = seconds(1_000),
            5 => terms.ttl = Some(seconds(20)),
            6 => terms.timeout = Some(seconds(5)),
            // Those that no agent is handed.
            1 => {
                terms.agent_filter.country = Some(country[n as usize / 10].clone());
                terms.agent_filter.region = (n == 1).then(|| "18".to_owned());
            }
            _ => {}
        }
        // Those that stay pending are nobody's.
        let task_type = if n % 10 == 1 { "a nobody's" } else { ["a", "b"][n as usize % 3 / 2] };
        PostTask { test_id: test_id(n % 3), terms, ..task_of(task_type, if n % 10 == 1 { 2 } else { 1 }, n) }
    };
    for n in 0..40 {
        store.submit(at(i64::try_from(n).unwrap()), task(n)).await.unwrap();
        if matches!(n % 10, 1 | 0 | 5) {
            continue;
        }
        let polled = store.poll(at(40), poll_for(n % 4, 1, &[("a", 1), ("b", 1)])).await;
        assert_eq!(polled.len(), 1, "{n}");
    }
    store.sweep(at(100), DUE).await;
    for n in 0..40 {
        match n % 10 {
            2 => _ = store.report(at(101), completed(n, r#"{"n": 1}"#)).await.unwrap(),
            3 => _ = store.report(at(101), failed(n, r#""No \"route\" 100%""#)).await.unwrap(),
            7 | 8 => _ = store.cancel(at(101), n).await.unwrap(),
            _ => {}
        }
    }
}

async fn stored(store: &Driver) -> Vec<Task> {
    let mut tasks = Vec::new();
    for n in 0..40 {
        tasks.push(store.stored(n).await);
    }
    tasks
}

/// What the filter says, said once more.
fn is_listed(task: &Task, filter: &TaskFilter) -> bool {
    let error = match &task.state {
        slamon_domain::State::Ended { end, .. } => {
            end.outcome().err().map(|error| error.as_str().replace("\\\"", "\""))
        }
        _ => None,
    };
    filter.task_id.is_none_or(|id| id == task.posted.task_id)
        && filter.test_id.is_none_or(|id| id == task.posted.test_id)
        && filter.task_type.as_ref().is_none_or(|name| *name == task.posted.task_type)
        && filter.task_version.is_none_or(|version| version == task.posted.task_version)
        && filter.states.contains(StateName::from(&task.state))
        && filter.agent_id.is_none_or(|id| task.last_attempt().is_some_and(|last| last.agent_id == id))
        && filter
            .country
            .as_ref()
            .is_none_or(|name| task.posted.terms.agent_filter.country.as_ref() == Some(name))
        && filter.from.is_none_or(|from| task.created >= from)
        && filter.to.is_none_or(|to| task.created < to)
        && filter.error_text.as_ref().is_none_or(|text| {
            error.as_ref().is_some_and(|error| error.to_lowercase().contains(&text.to_lowercase()))
        })
}

pub(crate) async fn lists_are_what_their_filters_say(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    fill(&store).await;
    let tasks = stored(&store).await;
    let in_states = |states| TaskFilter { states, ..TaskFilter::default() };
    let mut filters: Vec<TaskFilter> =
        StateName::ALL.iter().map(|state| in_states(States::of(&[*state]))).collect();
    let states: Vec<_> = tasks.iter().map(|task| StateName::from(&task.state)).collect();
    for state in StateName::ALL {
        assert!(state == StateName::Lost || states.contains(&state), "no task is {state:?}");
    }
    filters.extend(
        [
            States::ALL,
            States::UNFINISHED,
            States::UNSUCCESSFUL,
            States::of(&[StateName::Completed, StateName::Pending]),
        ]
        .map(in_states),
    );
    for each in filters.clone() {
        let base = || each.clone();
        filters.extend([
            TaskFilter { test_id: Some(test_id(2)), ..base() },
            TaskFilter { agent_id: Some(agent_id(3)), ..base() },
            TaskFilter { task_type: Some("a".to_owned()), ..base() },
            TaskFilter { task_type: Some("b".to_owned()), task_version: Some(1), ..base() },
            TaskFilter { task_version: Some(2), ..base() },
            TaskFilter { from: Some(at(10)), to: Some(at(31)), ..base() },
            TaskFilter { error_text: Some("NO \"ROUTE\" 100%".to_owned()), ..base() },
            TaskFilter { task_id: Some(task_id(13)), ..base() },
            TaskFilter {
                test_id: Some(test_id(1)),
                agent_id: Some(agent_id(2)),
                from: Some(at(9)),
                ..base()
            },
            TaskFilter { task_type: Some("A".to_owned()), ..base() },
            TaskFilter { country: Some("FI".to_owned()), ..base() },
            TaskFilter { country: Some("\"é".to_owned()), test_id: Some(test_id(1)), ..base() },
        ]);
    }
    for filter in filters {
        let expected: Vec<u128> = (0..40).filter(|n| is_listed(&tasks[*n as usize], &filter)).collect();
        for (order, limit) in
            ORDERS.into_iter().flat_map(|order| [1, 3, 40, 1_000].map(|limit| (order, limit)))
        {
            let mut listed = numbers(&all(&store, &filter, order, limit).await);
            if order == ListOrder::NewestFirst {
                listed.reverse();
            }
            assert_eq!(listed, expected, "{filter:?} {order:?} {limit}");
        }
    }
}

pub(crate) async fn a_listed_task_says_what_became_of_it(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    fill(&store).await;
    let tasks = stored(&store).await;
    for listed in all(&store, &TaskFilter::default(), ListOrder::OldestFirst, 100).await {
        let task = &tasks[number(listed.task_id) as usize];
        let outcome = match &task.state {
            slamon_domain::State::Ended { end, .. } => Some(end.outcome()),
            _ => None,
        };
        let expected = TaskSummary {
            task_id: task.posted.task_id,
            test_id: task.posted.test_id,
            task_type: task.posted.task_type.clone(),
            task_version: task.posted.task_version,
            agent_filter: task.posted.terms.agent_filter.key(),
            priority: 0,
            created: task.created,
            state: StateName::from(&task.state),
            attempts: task.attempts,
            agent: task.last_attempt().map(|last| (last.agent_id, last.agent_name.clone())),
            claimed: task.last_attempt().map(|last| last.at),
            finished: match &task.state {
                slamon_domain::State::Ended { at, .. } => Some(*at),
                _ => None,
            },
            result: outcome.and_then(Result::ok).cloned(),
            result_bytes: outcome.and_then(Result::ok).map(|result| result.as_str().len() as u64),
            error: outcome.and_then(Result::err).cloned(),
            error_bytes: None,
        };
        assert_eq!(listed, expected);
    }
}

pub(crate) async fn what_is_long_is_listed_in_part(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let (long, result) =
        ("é".repeat(5_000), |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8)));
    for n in 1..=3 {
        store.submit(at(0), task_of(&long, 1, n)).await.unwrap();
    }
    store.poll(at(1), poll_for(1, 3, &[(&long, 1)])).await;
    store.report(at(2), completed(1, &result(1_024))).await.unwrap();
    store.report(at(2), completed(2, &result(1_025))).await.unwrap();
    store.report(at(2), failed(3, &format!("\"{long}\""))).await.unwrap();
    let whole_type = TaskFilter { task_type: Some(long.clone()), ..TaskFilter::default() };
    let listed = all(&store, &whole_type, ListOrder::OldestFirst, 9).await;
    assert_eq!(numbers(&listed), [1, 2, 3]);
    assert_eq!(listed[0].task_type, format!("{}…", "é".repeat(1_023)));
    let results: Vec<_> = listed.iter().map(|task| (task.result.is_some(), task.result_bytes)).collect();
    assert_eq!(results, [(true, Some(1_024)), (false, Some(1_025)), (false, None)]);
    let error = listed[2].error.as_ref().unwrap().as_str().to_owned();
    assert_eq!((error, listed[2].error_bytes), (format!("\"{}…\"", "é".repeat(199)), Some(10_002)));
    // The type counts to its last letter, also where only its beginning is in the index.
    let other =
        TaskFilter { task_type: Some(format!("{long}é")), states: States::UNSUCCESSFUL, ..whole_type };
    assert!(all(&store, &other, ListOrder::NewestFirst, 9).await.is_empty());
}

/// However few tasks are listed, a page passes over a bounded number of others.
pub(crate) async fn a_page_passes_over_a_bounded_number_of_tasks(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.submit(at(0), task_of("rare", 1, 0)).await.unwrap();
    let others = (1..=6_000).map(|n| Command::Submit(task_of("other", 1, n))).collect();
    store.batch(at(1), others).await;
    let rare = TaskFilter { task_type: Some("rare".to_owned()), ..TaskFilter::default() };
    let first = page(&store, &rare, ListOrder::NewestFirst, None, 10).await;
    assert!(first.tasks.is_empty() && first.next.is_some(), "{first:?}");
    let mut pages = 1;
    let (mut found, mut after) = (Vec::new(), first.next);
    while after.is_some() {
        let page = page(&store, &rare, ListOrder::NewestFirst, after, 10).await;
        found.extend(page.tasks);
        after = page.next;
        pages += 1;
    }
    assert_eq!(numbers(&found), [0]);
    assert!((2..=8).contains(&pages), "{pages}");
    // Found at once, the page is full before that.
    let one = page(&store, &rare, ListOrder::OldestFirst, None, 1).await;
    assert_eq!(numbers(&one.tasks), [0]);
    // The same where the time tells how many can be passed over.
    let early = TaskFilter { to: Some(at(1)), ..rare };
    assert_eq!(numbers(&all(&store, &early, ListOrder::NewestFirst, 10).await), [0]);
}

pub(crate) async fn lists_go_by_arrival_whatever_the_clock_says(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let times = [0, 5_000, 4_000, 5_001, 9_000, 8_000, 20_000];
    for (n, time) in (0..).zip(times) {
        store.post(at(time), [n]).await;
    }
    let between = |from: Option<Timestamp>, to: Option<Timestamp>| {
        let (store, filter) = (&store, TaskFilter { from, to, ..TaskFilter::default() });
        async move { numbers(&all(store, &filter, ListOrder::OldestFirst, 2).await) }
    };
    assert_eq!(between(None, None).await, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(between(Some(at(4_500)), Some(at(8_500))).await, [1, 3, 5]);
    assert_eq!(between(Some(at(4_000)), Some(at(5_001))).await, [1, 2]);
    assert_eq!(between(Some(at(20_000)), None).await, [6]);
    assert!(between(Some(at(20_001)), None).await.is_empty());
    assert!(between(None, Some(at(0))).await.is_empty());
    assert!(between(Some(at(9_000)), Some(at(4_000))).await.is_empty());
    assert_eq!(between(Some(Timestamp::MIN), Some(Timestamp::MAX)).await.len(), 7);
    assert!(between(Some(Timestamp::MAX), Some(Timestamp::MIN)).await.is_empty());
}

pub(crate) async fn errors_are_searched_as_they_read(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let errors = [
        r#""100%_ sure""#,
        r#""it's \"quoted\" \\ and \u0000 nul""#,
        r#""\u00c4rger im ÉTAT""#,
        r#""""#,
        r#""half \ud800 of it""#,
    ];
    for (n, error) in (0..).zip(errors) {
        store.post(at(0), [n]).await;
        store.claim(at(1), 1, 1).await;
        store.report(at(2), failed(n, error)).await.unwrap();
    }
    for (text, found) in [
        ("100%", vec![0]),
        ("%", vec![0]),
        ("_", vec![0]),
        ("1%0", vec![]),
        ("IT'S \"quoted\" \\ AND", vec![1]),
        ("\0", vec![1]),
        ("'; drop table task; --", vec![]),
        ("ärger", vec![2]),
        ("état", vec![2]),
        ("HALF", vec![4]),
        ("u0000", vec![]),
    ] {
        let filter = TaskFilter { error_text: Some(text.to_owned()), ..TaskFilter::default() };
        let listed = all(&store, &filter, ListOrder::OldestFirst, 2).await;
        assert_eq!(numbers(&listed), found, "{text:?}");
    }
}

pub(crate) async fn any_text_can_be_asked_for(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1]).await;
    for text in ["\0", "'", "\"", "%", "_", "\\", "{key}", "$1", ":type", "\u{10ffff}", &"x".repeat(100_000)]
    {
        for states in [States::ALL, States::UNSUCCESSFUL] {
            let task_type = Some(text.to_owned());
            let filter = TaskFilter { task_type, states, ..TaskFilter::default() };
            assert!(all(&store, &filter, ListOrder::NewestFirst, 9).await.is_empty(), "{text:?}");
        }
    }
}

pub(crate) async fn large_errors_are_searched_in_parts(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), 0..24).await;
    store.claim(at(1), 1, 24).await;
    for n in 0..24 {
        let error = format!("\"{} {}\"", "x".repeat(1024 * 1024), if n == 0 { "needle" } else { "hay" });
        store.report(at(2), failed(n, &error)).await.unwrap();
    }
    let filter = TaskFilter { error_text: Some("NEEDLE".to_owned()), ..TaskFilter::default() };
    let first = page(&store, &filter, ListOrder::NewestFirst, None, 10).await;
    assert!(first.tasks.is_empty() && first.next.is_some(), "{first:?}");
    assert_eq!(numbers(&all(&store, &filter, ListOrder::NewestFirst, 10).await), [0]);
    assert_eq!(numbers(&all(&store, &filter, ListOrder::OldestFirst, 10).await), [0]);
}

/// No task is listed twice, and none that stays is missed.
pub(crate) async fn pages_fit_together_while_tasks_come_and_go(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), 0..60).await;
    for order in ORDERS {
        let (mut listed, mut after) = (Vec::new(), None);
        let mut next_post = 1_000 + u128::from(order == ListOrder::OldestFirst) * 1_000;
        loop {
            let page = page(&store, &TaskFilter::default(), order, after, 7).await;
            listed.extend(numbers(&page.tasks));
            // In between, tasks arrive, change their states and end.
            store.post(at(1), [next_post, next_post + 1]).await;
            next_post += 2;
            let claimed = store.claim(at(2), 1, 3).await;
            store.report(at(3), completed(claimed[0], "{}")).await.unwrap();
            store.report(at(3), failed(claimed[1], "\"no\"")).await.unwrap();
            after = page.next;
            if after.is_none() || listed.len() > 300 {
                break;
            }
        }
        let mut once = listed.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), listed.len(), "a task is listed twice: {listed:?}");
        assert!((0..60).all(|n| once.contains(&n)), "a task is missed: {listed:?}");
    }
}

pub(crate) async fn what_arrived_behind_a_place_can_be_left_out(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    assert_eq!(store.last_place().await.unwrap(), None);
    store.post(at(0), 0..5).await;
    let up_to = store.last_place().await.unwrap();
    store.claim(at(1), 1, 2).await;
    store.report(at(2), completed(0, "{}")).await.unwrap();
    store.post(at(3), 5..9).await;
    for order in ORDERS {
        let query = TaskQuery { order, up_to, limit: 100, ..TaskQuery::default() };
        let page = store.list_tasks(Arc::new(query)).await.unwrap();
        let mut listed = numbers(&page.tasks);
        listed.sort_unstable();
        assert_eq!((listed, page.next), (vec![0, 1, 2, 3, 4], None));
    }
}

/// Places are searched by time, whichever tasks are running.
pub(crate) async fn times_are_found_whatever_runs(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    // A hundred tasks arrive every 1,000 s. Those that run are at the beginning, all along, and at the end.
    for n in 0..30_u128 {
        let is_run = |task: u128| !(8..=27).contains(&n) || task.is_multiple_of(3);
        let task = |task| task_of(if is_run(task) { "run" } else { "wait" }, 1, task);
        let commands = (n * 100..n * 100 + 100).map(|number| Command::Submit(task(number))).collect();
        store.batch(at(i64::try_from(n).unwrap() * 1_000), commands).await;
    }
    while !store.poll(at(30_000), poll_for(1, 500, &[("run", 1)])).await.is_empty() {}
    for (from, to) in [(0, 2), (3, 4), (5, 12), (12, 13), (14, 29), (26, 30), (29, 30), (30, 31)] {
        let [from_time, to_time] = [from, to].map(|n: u128| Some(at(i64::try_from(n).unwrap() * 1_000)));
        let filter = TaskFilter { from: from_time, to: to_time, ..TaskFilter::default() };
        let expected: Vec<u128> = (from * 100..to.min(30) * 100).collect();
        let mut listed = numbers(&all(&store, &filter, ListOrder::OldestFirst, 1_000).await);
        assert_eq!(listed, expected, "from {from} to {to}");
        listed = numbers(&all(&store, &filter, ListOrder::NewestFirst, 1_000).await);
        listed.reverse();
        assert_eq!(listed, expected, "from {from} to {to}");
    }
}

pub(crate) async fn what_runs_is_listed_page_by_page(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    for first in [0, 1_000, 2_000] {
        let tasks = (first..first + 1_000).map(|n| Command::Submit(task_of("t", 1, n))).collect();
        store.batch(at(0), tasks).await;
    }
    // Three agents have tasks from here and there.
    let mut claimed = 0;
    for agent in (0..3).cycle() {
        let polled = store.poll(at(9), poll_for(agent, 100, &[("t", 1)])).await;
        claimed += polled.len();
        if polled.is_empty() {
            break;
        }
    }
    assert_eq!(claimed, 3_000);
    let running = TaskFilter { states: States::of(&[StateName::Claimed]), ..TaskFilter::default() };
    for order in ORDERS {
        for (filter, limit) in [(&running, 1_000), (&running, 700), (&TaskFilter::default(), 1_000)] {
            let mut listed = numbers(&all(&store, filter, order, limit).await);
            if order == ListOrder::NewestFirst {
                listed.reverse();
            }
            assert!(listed.iter().copied().eq(0..3_000), "{order:?} {limit} {}", listed.len());
        }
    }
}
