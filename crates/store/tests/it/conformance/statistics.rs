//! Statistics by the minute, and kept counts.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use slamon_domain::{Applied, Command, StateName, Transition};
use slamon_protocol::{Capability, Terms};
use slamon_store::{
    AgentCounts, CountChange, Counter, MinuteStatistics, Saved, StatisticsUpdate, TaskCounts, TypeCounts,
    TypeFigures,
};
use uuid::Uuid;

use crate::driver::Driver;
use crate::fixture::{Fixture, SharedFixture};
use slamon_domain::testing::commands::{at, completed, poll, poll_for, submits, task_of, task_under};

fn capability(task_type: &str, version: i64) -> Arc<Capability> {
    Arc::new(Capability { task_type: task_type.to_owned(), version })
}

fn counts(delayed: i64, pending: i64, claimed: i64) -> TaskCounts {
    TaskCounts { delayed, pending, claimed }
}

fn change(of_type: usize, by: TaskCounts) -> CountChange {
    CountChange { of_type, commit: None, by }
}

async fn save(store: &Driver, update: StatisticsUpdate) {
    assert_eq!(store.save_statistics(Arc::new(update)).await.unwrap(), Saved::Done);
}

/// What a batch has changed, as an AFM adds it up.
pub(crate) fn changes_of(applied: &[Applied]) -> StatisticsUpdate {
    let mut update = StatisticsUpdate::default();
    for Applied { commit, transitions, .. } in applied {
        assert!(commit.is_some() || transitions.is_empty(), "{transitions:?}");
        for Transition { task_type, task_version, from, to, .. } in transitions {
            let mut by = TaskCounts::default();
            for (state, more) in [(*from, -1), (Some(*to), 1)] {
                match state {
                    Some(StateName::Delayed) => by.delayed += more,
                    Some(StateName::Pending) => by.pending += more,
                    Some(StateName::Claimed) => by.claimed += more,
                    _ => {}
                }
            }
            update.types.push(capability(task_type, *task_version));
            update.changes.push(CountChange { of_type: update.types.len() - 1, commit: *commit, by });
        }
    }
    update
}

async fn kept(store: &Driver) -> Vec<(String, TaskCounts)> {
    let found = store.counts_by_type(1_000, None).await.unwrap();
    found.into_iter().map(|found| (found.capability.task_type, found.counts)).collect()
}

pub(crate) async fn the_statistics_of_afms_are_added_up_by_the_minute(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let [minute_0, minute_1] = [at(0), at(60)];
    let figures = |posted: u64, queued: u64| {
        let mut figures = TypeFigures::default();
        (0..posted).for_each(|_| figures.counters.increment(Counter::Posted));
        figures.queue.record(Duration::from_secs(queued));
        figures
    };
    let minute = |minute, types| MinuteStatistics { minute, types };
    let update = |instance, minutes| StatisticsUpdate {
        instance: Uuid::from_u128(instance),
        minutes,
        ..StatisticsUpdate::default()
    };
    let (named, long) = (Some(capability("wait", 1)), Some(capability(&"ä".repeat(3_000), i64::MIN)));
    save(&store, update(1, vec![minute(minute_0, vec![(named.clone(), figures(1, 1))])])).await;
    // The same minute, as it is known a second later.
    let both = vec![(None, figures(7, 9)), (named.clone(), figures(3, 2)), (long.clone(), figures(1, 1))];
    save(&store, update(1, vec![minute(minute_0, both), minute(minute_1, vec![(None, figures(1, 1))])]))
        .await;
    save(&store, update(2, vec![minute(minute_0, vec![(named.clone(), figures(10, 5))])])).await;

    let found = store.statistics(at(0)).await.unwrap();
    assert_eq!(found.iter().map(|found| found.minute).collect::<Vec<_>>(), [minute_0, minute_1]);
    let mut sum = figures(3, 2);
    sum.merge(&figures(10, 5));
    let expected = [(None, figures(7, 9)), (named, sum), (long, figures(1, 1))];
    assert_eq!(found[0].types.len(), 3);
    for of_type in expected {
        assert!(found[0].types.contains(&of_type), "{of_type:?}");
    }
    assert_eq!(store.statistics(at(1)).await.unwrap().len(), 1);

    assert_eq!(store.purge_statistics(at(60), 1).await.unwrap(), 1);
    assert_eq!(store.statistics(at(0)).await.unwrap().len(), 2);
    assert_eq!(store.purge_statistics(at(60), 9).await.unwrap(), 1);
    assert_eq!(store.purge_statistics(at(60), 9).await.unwrap(), 0);
    assert_eq!(store.statistics(at(0)).await.unwrap()[0].minute, minute_1);
}

pub(crate) async fn kept_counts_are_the_sum_of_all_changes(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    assert_eq!(store.task_counts().await.unwrap(), Some(counts(0, 0, 0)));
    let long = "x".repeat(5_000);
    let types = vec![
        capability("b", 2),
        capability("b", 1),
        capability("", -1),
        capability(&format!("{long}1"), 1),
        capability(&format!("{long}2"), 1),
    ];
    let changes = vec![
        change(0, counts(0, 5, 0)),
        change(1, counts(1, 0, 0)),
        change(2, counts(0, 0, 1)),
        change(3, counts(0, 1, 0)),
        change(4, counts(0, 0, 2)),
        change(0, counts(0, -2, 1)),
    ];
    save(&store, StatisticsUpdate { types: types.clone(), changes, ..StatisticsUpdate::default() }).await;
    assert_eq!(store.task_counts().await.unwrap(), Some(counts(1, 4, 4)));
    let expected = [
        (2, counts(0, 0, 1)),
        (1, counts(1, 0, 0)),
        (0, counts(0, 3, 1)),
        (3, counts(0, 1, 0)),
        (4, counts(0, 0, 2)),
    ]
    .map(|(of_type, counts)| TypeCounts { capability: Capability::clone(&types[of_type]), counts });
    let mut paged = Vec::new();
    loop {
        let after = paged.last().map(|last: &TypeCounts| last.capability.clone());
        let page = store.counts_by_type(2, after).await.unwrap();
        assert!(page.len() <= 2);
        let is_last = page.is_empty();
        paged.extend(page);
        if is_last {
            break;
        }
    }
    assert_eq!(paged.len(), 5);
    assert_eq!(paged[..3], expected[..3]);
    for of_type in &expected {
        assert!(paged.contains(of_type), "{of_type:?}");
    }
    let wanted: Arc<[Capability]> =
        [&types[4], &types[0], &capability("nobody", 1)].map(|wanted| Capability::clone(wanted)).into();
    let mut found = store.counts_of_types(wanted).await.unwrap();
    found.sort_unstable_by(|a, b| a.capability.cmp(&b.capability));
    assert_eq!(found, [expected[2].clone(), expected[4].clone()]);

    // What another AFM has claimed may be saved before the post.
    let gone = vec![
        change(0, counts(0, -3, -1)),
        change(2, counts(0, 0, -2)),
        change(3, counts(0, -1, 0)),
        change(4, counts(0, 0, -2)),
    ];
    save(&store, StatisticsUpdate { types: types.clone(), changes: gone, ..StatisticsUpdate::default() })
        .await;
    assert_eq!(kept(&store).await, [(String::new(), counts(0, 0, 0)), ("b".to_owned(), counts(1, 0, 0))]);
    let back = vec![change(2, counts(0, 0, 1))];
    save(&store, StatisticsUpdate { types, changes: back, ..StatisticsUpdate::default() }).await;
    assert_eq!(kept(&store).await, [("b".to_owned(), counts(1, 0, 0))]);
}

pub(crate) async fn a_count_finds_what_waits_and_runs(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let delayed = Terms { delay: Duration::from_secs(60), ..Terms::default() };
    store.applied(at(0), vec![Command::Submit(task_under(delayed, 1))]).await;
    store.applied(at(0), submits([2, 3, 4, 5, 6])).await;
    store.applied(at(1), vec![poll(9, 3).into()]).await;
    store.applied(at(2), vec![Command::Report(completed(2, "{}"))]).await;
    assert_eq!(kept(&store).await, [], "nothing was saved");
    assert_eq!(store.recount_tasks().await.unwrap(), Saved::Done);
    assert_eq!(kept(&store).await, [("wait".to_owned(), counts(1, 2, 2))]);
    assert_eq!(store.task_counts().await.unwrap(), Some(counts(1, 2, 2)));
    // Whatever was wrong is set right, and what is gone is left out.
    let wrong = vec![change(0, counts(3, 3, 3)), change(1, counts(7, 7, 7))];
    let types = vec![capability("nobody", 1), capability("wait", 1)];
    save(&store, StatisticsUpdate { types, changes: wrong, ..StatisticsUpdate::default() }).await;
    store.recount_tasks().await.unwrap();
    assert_eq!(kept(&store).await, [("wait".to_owned(), counts(1, 2, 2))]);
    assert_eq!(store.task_counts().await.unwrap(), Some(counts(1, 2, 2)));
}

pub(crate) async fn what_a_count_has_seen_is_not_added_again(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let delayed = Terms { delay: Duration::from_secs(60), ..Terms::default() };
    let before = [
        store.applied(at(0), vec![Command::Submit(task_under(delayed, 1))]).await,
        store.applied(at(0), submits([2, 3, 4])).await,
        store.applied(at(1), vec![poll(9, 2).into()]).await,
        store.applied(at(2), vec![Command::Report(completed(2, "{}"))]).await,
    ];
    store.recount_tasks().await.unwrap();
    let after = [
        store.applied(at(3), vec![Command::Submit(task_of("other", 1, 5))]).await,
        store
            .applied(at(4), vec![Command::Report(completed(3, "{}")), poll_for(9, 1, &[("other", 1)]).into()])
            .await,
    ];
    save(&store, changes_of(&before)).await;
    assert_eq!(kept(&store).await, [("wait".to_owned(), counts(1, 1, 1))]);
    save(&store, changes_of(&after)).await;
    let expected = [("other".to_owned(), counts(0, 0, 1)), ("wait".to_owned(), counts(1, 1, 0))];
    assert_eq!(kept(&store).await, expected);
    assert_eq!(store.task_counts().await.unwrap(), Some(counts(1, 1, 1)));
}

pub(crate) async fn counts_are_right_however_often_tasks_are_counted(fixture: &impl SharedFixture) {
    let first = fixture.ready().await;
    let working = |store: Driver, from: u128| async move {
        for n in (from..from + 40).step_by(4) {
            let applied = [
                store.applied(at(0), submits(n..n + 4)).await,
                store.applied(at(1), vec![poll(from, 2).into()]).await,
            ];
            let update = Arc::new(changes_of(&applied));
            // Somebody else may be counting.
            while store.save_statistics(Arc::clone(&update)).await.unwrap() == Saved::Busy {
                tokio::task::yield_now().await;
            }
        }
    };
    let counting = |store: Driver| async move {
        for _ in 0..20 {
            store.recount_tasks().await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let tasks = [
        tokio::spawn(working(first.clone(), 1_000)),
        tokio::spawn(working(first.clone(), 2_000)),
        tokio::spawn(counting(first.clone())),
    ];
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(kept(&first).await, [("wait".to_owned(), counts(0, 40, 40))]);
}

pub(crate) async fn agents_are_counted_up_to_a_bound(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    for (n, second) in [(1, 0), (2, 5), (3, 9)] {
        store.applied(at(second), vec![Command::from(poll(n, 1))]).await;
    }
    let read = |limit| store.count_agents(at(5), limit);
    let all = AgentCounts { active: 2, lost: 1, paused: 0, is_complete: true, counted_at: None };
    assert_eq!(read(4).await.unwrap(), all);
    super::agent_lists::pause(&store, at(9), 3).await;
    let with_paused = AgentCounts { active: 1, paused: 1, ..all };
    assert_eq!(read(4).await.unwrap(), with_paused);
    let some = read(2).await.unwrap();
    assert_eq!((some.active + some.lost + some.paused, some.is_complete), (2, false));
}

pub(crate) async fn statistics_outlive_their_store(fixture: &impl SharedFixture) {
    let store = fixture.ready().await;
    let minute =
        MinuteStatistics { minute: Timestamp::UNIX_EPOCH, types: vec![(None, TypeFigures::default())] };
    let update = StatisticsUpdate {
        minutes: vec![minute],
        types: vec![capability("a", 1)],
        changes: vec![change(0, counts(1, 2, 3))],
        ..StatisticsUpdate::default()
    };
    save(&store, update).await;
    store.close().await;
    let again = fixture.second();
    assert_eq!(kept(&again).await, [("a".to_owned(), counts(1, 2, 3))]);
    assert_eq!(again.task_counts().await.unwrap(), Some(counts(1, 2, 3)));
    assert_eq!(again.statistics(Timestamp::UNIX_EPOCH).await.unwrap().len(), 1);
}
