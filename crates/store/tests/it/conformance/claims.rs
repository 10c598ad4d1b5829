//! Agents poll for tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use slamon_domain::Command;
use slamon_domain::MAX_TASKS_PER_POLL;
use tokio::task::JoinSet;

use crate::driver::{Driver, delivered, numbers};
use crate::fixture::{Fixture, SharedFixture};
use slamon_domain::testing::commands::{at, claimed, number, poll, poll_for, submits, task, task_of};

pub(crate) async fn a_claimed_task_is_handed_out_no_more(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1, 2, 3]).await;
    assert_eq!(store.claim(at(1), 1, 2).await, [1, 2]);
    assert_eq!(store.claim(at(1), 2, 2).await, [3]);
    for agent in [1, 2, 3] {
        assert!(store.claim(at(2), agent, 9).await.is_empty());
    }
    assert_eq!(store.state(1).await, claimed(1, 1, at(1)));
    assert_eq!(store.state(2).await, claimed(2, 1, at(1)));
    assert_eq!(store.state(3).await, claimed(3, 2, at(1)));
    assert_eq!(store.waiting().await, 0);
}

pub(crate) async fn claims_are_oldest_first(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let kinds = [("b", 1), ("a", 2), ("b", 2), ("a", 1)];
    // Ids go down while tasks come in.
    let arrivals: Vec<u128> = (1..=20).rev().collect();
    for (arrival, chunk) in (0..).zip(arrivals.chunks(3)) {
        let of = |n: &u128| {
            let (task_type, version) = kinds[(*n * 7 % 4) as usize];
            Command::Submit(task_of(task_type, version, *n))
        };
        store.batch(at(arrival), chunk.iter().map(of).collect()).await;
    }
    let mut claimed = Vec::new();
    for most in [1, 4, 2, 7, 5, 9] {
        claimed.extend(numbers(&store.poll(at(60), poll_for(1, most, &kinds)).await));
    }
    assert_eq!(claimed, arrivals);
}

pub(crate) async fn claims_are_oldest_first_within_a_batch(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let arrivals = [5, 900, 2, 77, 1, 4, 3, 600];
    store.post(at(0), arrivals).await;
    assert_eq!(store.claim(at(1), 1, 3).await, arrivals[..3]);
    assert_eq!(store.claim(at(1), 2, 9).await, arrivals[3..]);
}

pub(crate) async fn claims_go_by_arrival_whatever_the_clock_says(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    for (now, n) in [(100, 1), (50, 2), (50, 3), (0, 4), (200, 5)] {
        store.post(at(now), [n]).await;
    }
    assert_eq!(store.claim(at(25), 1, 9).await, [1, 2, 3, 4, 5]);
    assert_eq!(store.state(5).await, claimed(5, 1, at(25)));
}

pub(crate) async fn type_and_version_must_match(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    for (n, (task_type, version)) in (1..).zip([("a", 1), ("a", 2), ("b", 1), ("b", 2)]) {
        store.batch(at(0), vec![Command::Submit(task_of(task_type, version, n))]).await;
    }
    for (capabilities, expected) in [
        (vec![], vec![]),
        (vec![("c", 1)], vec![]),
        (vec![("a", 3), ("b", 0)], vec![]),
        // Not the type of the one with the version of the other.
        (vec![("b", 1), ("a", 2)], vec![2, 3]),
        (vec![("a", 2), ("b", 1)], vec![]),
        (vec![("a", 1)], vec![1]),
        (vec![("b", 2), ("x", 9)], vec![4]),
    ] {
        let delivered = store.poll(at(1), poll_for(1, 9, &capabilities)).await;
        assert_eq!(numbers(&delivered), expected, "{capabilities:?}");
    }
}

pub(crate) async fn types_differ_by_any_character(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let long = "x".repeat(300);
    let (longer, other_end) = (format!("{long}x"), format!("{long}y"));
    store.batch(at(0), vec![Command::Submit(task_of(&longer, 1, 1))]).await;
    store.batch(at(0), vec![Command::Submit(task_of("Straße é", 1, 2))]).await;
    for strange in [long.as_str(), &other_end, "straße é", "Strasse é", "Straße e\u{301}", "Straße é ", ""]
    {
        assert_eq!(store.poll(at(1), poll_for(1, 9, &[(strange, 1)])).await, [], "{strange:?}");
    }
    let delivered = store.poll(at(1), poll_for(1, 9, &[(&other_end, 1), (&longer, 1)])).await;
    assert_eq!(numbers(&delivered), [1]);
    let delivered = store.poll(at(1), poll_for(1, 9, &[("Straße é", 1)])).await;
    assert_eq!(numbers(&delivered), [2]);
}

pub(crate) async fn max_tasks_is_kept(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), 1..=10).await;
    assert!(store.claim(at(1), 1, 0).await.is_empty());
    assert_eq!(store.claim(at(1), 1, 1).await, [1]);
    assert_eq!(store.claim(at(1), 1, 4).await, [2, 3, 4, 5]);
    assert_eq!(store.claim(at(1), 1, u32::MAX).await, [6, 7, 8, 9, 10]);
    assert!(store.claim(at(1), 1, 1).await.is_empty());
}

pub(crate) async fn max_tasks_has_an_upper_end(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let most = u128::from(MAX_TASKS_PER_POLL);
    store.post(at(0), 0..2 * most + 5).await;
    assert_eq!(store.claim(at(1), 1, u32::MAX).await, (0..most).collect::<Vec<_>>());
    assert_eq!(store.claim(at(1), 1, MAX_TASKS_PER_POLL + 1).await, (most..2 * most).collect::<Vec<_>>());
    assert_eq!(store.claim(at(1), 1, u32::MAX).await, (2 * most..2 * most + 5).collect::<Vec<_>>());
}

pub(crate) async fn a_poll_sees_what_is_submitted_in_its_batch(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1]).await;
    let batch = vec![Command::Submit(task(2)), Command::from(poll(1, 9)), Command::Submit(task(3))];
    let outcome = store.batch(at(1), batch).await.remove(1);
    assert_eq!(numbers(&delivered(outcome)), [1, 2, 3]);
}

pub(crate) async fn polls_of_a_batch_share_no_task(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), 1..=3).await;
    let mut batch = vec![
        Command::from(poll(1, 2)),
        Command::from(poll_for(2, 9, &[("other", 1)])),
        Command::from(poll(3, 2)),
        Command::from(poll(4, 0)),
    ];
    batch.extend(submits(4..=6));
    batch.extend([Command::from(poll(5, 1)), Command::from(poll(6, 9)), Command::from(poll(7, 9))]);
    let outcomes = store.batch(at(1), batch).await;
    let polls = outcomes.into_iter().enumerate().filter(|(n, _)| !(4..7).contains(n));
    let shares: Vec<_> = polls.map(|(_, outcome)| numbers(&delivered(outcome))).collect();
    assert_eq!(shares, [vec![1, 2], vec![], vec![3, 4], vec![], vec![5], vec![6], vec![]]);
    for (n, agent) in [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (6, 6)] {
        assert_eq!(store.state(n).await, claimed(n, agent, at(1)));
    }
}

pub(crate) async fn an_agent_that_polls_twice_in_a_batch_gets_different_tasks(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), 1..=3).await;
    let outcomes = store.batch(at(1), vec![Command::from(poll(1, 2)), Command::from(poll(1, 2))]).await;
    let claimed: Vec<_> = outcomes.into_iter().map(|outcome| numbers(&delivered(outcome))).collect();
    assert_eq!(claimed, [vec![1, 2], vec![3]]);
}

pub(crate) async fn an_agent_with_a_thousand_capabilities(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let types: Vec<_> = (0..1_000).map(|n| format!("type {n}")).collect();
    let capabilities: Vec<_> = types.iter().map(|task_type| (task_type.as_str(), 1)).collect();
    let submit = |n: u128| Command::Submit(task_of(&types[(n * 331 % 1_000) as usize], 1, n));
    store.batch(at(0), (0..50).map(submit).collect()).await;
    let delivered = store.poll(at(1), poll_for(1, 30, &capabilities)).await;
    assert_eq!(numbers(&delivered), (0..30).collect::<Vec<_>>());
}

pub(crate) async fn racing_agents_get_each_task_once(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    race(&[store]).await;
}

pub(crate) async fn agents_racing_on_two_stores_get_each_task_once(fixture: &impl SharedFixture) {
    let store = fixture.ready().await;
    store.close().await;
    race(&[fixture.second(), fixture.second()]).await;
}

/// Eight agents take what four clients post at the same time.
async fn race(stores: &[Driver]) {
    const AGENTS: u128 = 8;
    const CLIENTS: u128 = 4;
    const TASKS: u128 = 240;
    let handed_out = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let store = stores[client as usize % stores.len()].clone();
        clients.spawn(async move {
            for n in (0..TASKS).filter(|n| n % CLIENTS == client) {
                store.post(at(0), [n]).await;
            }
        });
    }
    let mut agents = JoinSet::new();
    for agent in 0..AGENTS {
        let (store, handed_out) = (stores[agent as usize % stores.len()].clone(), Arc::clone(&handed_out));
        agents.spawn(async move {
            let mut mine = Vec::new();
            while handed_out.load(Ordering::SeqCst) < TASKS as usize {
                let delivered = store.claim(at(1), agent, 1 + agent as u32 % 3).await;
                handed_out.fetch_add(delivered.len(), Ordering::SeqCst);
                mine.extend(delivered);
                tokio::task::yield_now().await;
            }
            (agent, mine)
        });
    }
    let ended = async { (clients.join_all().await, agents.join_all().await) };
    let (_, agents) = tokio::time::timeout(Duration::from_secs(120), ended)
        .await
        .unwrap_or_else(|_| panic!("{handed_out:?} of {TASKS} tasks were handed out, and no more"));
    let mut all: Vec<u128> = agents.iter().flat_map(|(_, mine)| mine).copied().collect();
    all.sort_unstable();
    assert_eq!(all, (0..TASKS).collect::<Vec<_>>());
    for (agent, mine) in agents {
        for n in mine {
            assert_eq!(stores[0].state(n).await, claimed(n, agent, at(1)));
        }
    }
    assert_eq!(stores[0].waiting().await, 0);
    let listed = stores[0].everything().await.agents.items;
    let mut held: Vec<_> =
        listed.iter().flat_map(|agent| &agent.tasks).map(|task| number(task.task_id)).collect();
    held.sort_unstable();
    assert_eq!(held, (0..TASKS).collect::<Vec<_>>());
}
