//! What there is for agents.

use std::collections::BTreeSet;

use slamon_domain::{Command, KindCursor, QueueCursor, WaitingKind};
use slamon_protocol::{AgentFilter, Capability, PostTask, Terms};
use slamon_store::Backlog;

use crate::driver::Driver;
use crate::fixture::Fixture;
use slamon_domain::testing::commands::{
    agent_id, at, completed, poll_for, release, seconds, task_of, task_under,
};

const ALL: u32 = 1_000;

fn kind(task_type: &str, version: i64, agent_filter: &AgentFilter) -> WaitingKind {
    let capability = Capability { task_type: task_type.to_owned(), version };
    WaitingKind { capability, agent_filter: agent_filter.clone() }
}

fn of_country(country: &str) -> AgentFilter {
    AgentFilter { country: Some(country.to_owned()), ..AgentFilter::default() }
}

/// Kinds have no order.
async fn kinds(store: &Driver) -> BTreeSet<String> {
    let backlog = store.backlog(None, ALL).await.unwrap();
    assert!(backlog.is_complete && backlog.next.is_none());
    let kinds: BTreeSet<String> = backlog.kinds.iter().map(|known| format!("{:?}", known.kind)).collect();
    assert_eq!(kinds.len(), backlog.kinds.len(), "each is told once");
    kinds
}

fn set(kinds: &[WaitingKind]) -> BTreeSet<String> {
    kinds.iter().map(|kind| format!("{kind:?}")).collect()
}

pub(crate) async fn the_kinds_of_waiting_tasks_are_told(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    assert_eq!(store.backlog(None, ALL).await.unwrap(), Backlog { is_complete: true, ..Backlog::default() });
    let any = AgentFilter::default();
    let filtered = |n, country| {
        let terms = Terms { agent_filter: of_country(country), ..Terms::default() };
        PostTask { task_type: "b".to_owned(), ..task_under(terms, n) }
    };
    let delayed = Terms { delay: seconds(60), ..Terms::default() };
    for task in [
        task_of("b", 2, 1),
        task_of("b", 1, 2),
        task_of("a", 1, 3),
        task_of("b", 1, 4),
        task_of("", -1, 5),
        filtered(6, "FI"),
        filtered(7, "SE"),
        filtered(8, "FI"),
        task_under(delayed, 9),
    ] {
        store.submit(at(0), task).await.unwrap();
    }
    let mut expected = vec![
        kind("a", 1, &any),
        kind("b", 1, &any),
        kind("b", 2, &any),
        kind("", -1, &any),
        kind("b", 1, &of_country("FI")),
        kind("b", 1, &of_country("SE")),
    ];
    assert_eq!(kinds(&store).await, set(&expected));
    // Two of "b" version 1 that any agent may have, and "a".
    assert_eq!(store.poll(at(1), poll_for(1, 9, &[("a", 1), ("b", 1)])).await.len(), 3);
    expected.drain(..2);
    assert_eq!(kinds(&store).await, set(&expected));
    store.report(at(2), completed(3, "{}")).await.unwrap();
    store.release(at(2), release(1, at(1), &[2])).await;
    expected.push(kind("b", 1, &any));
    assert_eq!(kinds(&store).await, set(&expected));
}

pub(crate) async fn a_backlog_is_as_long_as_is_asked_for(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    for n in 0..5 {
        store.submit(at(0), task_of(&format!("type {n}"), 1, n)).await.unwrap();
    }
    let (mut seen, mut after, mut lengths) = (BTreeSet::new(), None, Vec::new());
    loop {
        let backlog = store.backlog(after, 2).await.unwrap();
        lengths.push(backlog.kinds.len());
        seen.extend(backlog.kinds.iter().map(|known| format!("{:?}", known.kind)));
        after = backlog.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((lengths, seen), (vec![2, 2, 1], kinds(&store).await));
}

/// Polls that find all that waits say so, and the others where to go on.
pub(crate) async fn what_a_poll_leaves_is_told(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let (a, b) = (kind("a", 1, &AgentFilter::default()), kind("b", 1, &AgentFilter::default()));
    for (n, task_type) in [(1, "a"), (2, "b"), (3, "b"), (4, "b")] {
        store.submit(at(0), task_of(task_type, 1, n)).await.unwrap();
    }
    let claim = async |agent, most, kinds: &[&KindCursor]| {
        let poll = poll_for(agent, most, &[("a", 1), ("b", 1)]);
        let kinds = kinds.iter().copied().cloned().collect();
        let applied = store.applied(at(1), vec![Command::Claim { poll, kinds }]).await;
        let mut searched: Vec<(String, Option<QueueCursor>)> =
            applied.searched.into_iter().map(|(kind, first)| (kind.capability.task_type, first)).collect();
        searched.sort_unstable();
        searched
    };
    let all = store.backlog(None, ALL).await.unwrap().kinds;
    let [(_, None), (_, Some(first))] = claim(1, 3, &all.iter().collect::<Vec<_>>()).await[..] else {
        panic!("one of b is left");
    };
    let (of_a, of_b) = (KindCursor::from(a), KindCursor { kind: b.clone(), cursor: first });
    let known = store.backlog_of([of_a, of_b.clone()].into(), ALL).await.unwrap();
    assert_eq!((known.kinds.len(), &known.kinds[0].kind, known.is_complete), (1, &b, true));
    assert!(known.kinds[0].cursor >= first);
    assert_eq!(claim(2, 9, &[&known.kinds[0]]).await, [("b".to_owned(), None)]);
    assert_eq!(store.waiting().await, 0);
    // Behind the end is what comes to wait in the same batch.
    let at_end = KindCursor { kind: b, cursor: QueueCursor::END };
    let claim = Command::Claim { poll: poll_for(3, 9, &[("b", 1)]), kinds: vec![at_end] };
    let applied = store.applied(at(2), vec![Command::Submit(task_of("b", 1, 5)), claim]).await;
    assert_eq!((applied.waiting, store.waiting().await), (vec![], 0));
}

pub(crate) async fn agents_that_have_something_to_be_told_are_named(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), 1..=4).await;
    store.claim(at(1), 1, 2).await;
    store.claim(at(1), 2, 1).await;
    store.report(at(2), completed(1, "{}")).await.unwrap();
    let applied = store
        .applied(
            at(2),
            [2, 3, 4].map(|n| Command::Cancel(slamon_domain::testing::commands::task_id(n))).to_vec(),
        )
        .await;
    let mut pending_cancellations = applied.pending_cancellations;
    pending_cancellations.sort_unstable();
    assert_eq!(pending_cancellations, [agent_id(1), agent_id(2)], "nobody has task 4");
    let mut pending_cancellations = store.backlog(None, ALL).await.unwrap().pending_cancellations;
    pending_cancellations.sort_unstable();
    assert_eq!(pending_cancellations, [agent_id(1), agent_id(2)]);
    store.polled(at(3), poll_for(1, 0, &[])).await;
    assert_eq!(store.backlog(None, ALL).await.unwrap().pending_cancellations, [agent_id(2)]);
}
