//! Agents post what came out.

use jiff::Timestamp;
use slamon_domain::{Command, End, Refusal, Reported, State};
use tokio::task::JoinSet;

use super::submits::OBJECTS;
use crate::driver::{Driver, reported};
use crate::fixture::{Fixture, SharedFixture};
use slamon_domain::testing::commands::{
    at, claimed, completed, ended, failed, json, number, poll, task, task_id,
};

/// Task 1, claimed by agent 1 at second 1.
async fn with_claimed_task(fixture: &impl Fixture) -> Driver {
    let store = fixture.ready().await;
    store.post(at(0), [1]).await;
    assert_eq!(store.claim(at(1), 1, 1).await, [1]);
    store
}

pub(crate) async fn a_result_completes_a_task(fixture: &impl Fixture) {
    let store = with_claimed_task(fixture).await;
    assert_eq!(store.report(at(2), completed(1, r#"{"status":200}"#)).await, Ok(Reported::Stored));
    let result = json(r#"{"status":200}"#);
    let stored = store.stored(1).await;
    assert_eq!(stored.state, ended(claimed(1, 1, at(1)), at(2), End::Completed(result)));
    assert_eq!((stored.posted, stored.created), (task(1), at(0)));
}

pub(crate) async fn an_error_fails_a_task(fixture: &impl Fixture) {
    let store = with_claimed_task(fixture).await;
    assert_eq!(store.report(at(2), failed(1, r#""no""#)).await, Ok(Reported::Stored));
    let error = json(r#""no""#);
    assert_eq!(store.state(1).await, ended(claimed(1, 1, at(1)), at(2), End::Failed(error)));
}

pub(crate) async fn results_and_errors_are_kept_to_the_letter(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let errors = [
        r#""""#,
        r#""a\u0000b""#,
        r#""\ud800""#,
        r#""😀 \ud83d\ude00 é""#,
        r#""'; drop table task; --\\\"\n""#,
    ];
    let objects = (1..).zip(OBJECTS).map(|(n, result)| completed(n, result));
    let reports: Vec<_> = objects.chain((101..).zip(errors).map(|(n, error)| failed(n, error))).collect();
    let posted = reports.iter().map(|report| number(report.task_id));
    store.post(at(0), posted).await;
    store.claim(at(1), 1, 100).await;
    let outcomes = store.batch(at(2), reports.into_iter().map(Command::Report).collect()).await;
    assert!(outcomes.iter().all(|outcome| reported(outcome) == Ok(Reported::Stored)));
    for (n, object) in (1..).zip(OBJECTS) {
        assert_eq!(store.state(n).await, ended(claimed(n, 1, at(1)), at(2), End::Completed(json(object))));
    }
    for (n, error) in (101..).zip(errors) {
        assert_eq!(store.state(n).await, ended(claimed(n, 1, at(1)), at(2), End::Failed(json(error))));
    }
}

pub(crate) async fn a_megabyte_of_result_is_kept(fixture: &impl Fixture) {
    let store = with_claimed_task(fixture).await;
    let result = format!(r#"{{"long":"{}"}}"#, "0123456789abcdeé".repeat(1 << 16));
    assert_eq!(store.report(at(2), completed(1, &result)).await, Ok(Reported::Stored));
    assert_eq!(store.report(at(3), completed(1, &result)).await, Ok(Reported::Repeated));
    let State::Ended { end: End::Completed(stored), .. } = store.state(1).await else {
        panic!("is not completed")
    };
    assert!(stored.as_str() == result);
}

pub(crate) async fn a_report_for_an_unknown_task_is_refused(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    assert_eq!(store.report(at(0), completed(1, "{}")).await, Err(Refusal::UnknownTask));
    assert_eq!(store.report(at(0), failed(1, r#""""#)).await, Err(Refusal::UnknownTask));
    assert_eq!(store.task(task_id(1)).await.unwrap(), None);
}

pub(crate) async fn a_report_for_a_task_never_claimed_is_refused(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1]).await;
    assert_eq!(store.report(at(1), completed(1, "{}")).await, Err(Refusal::NotClaimed));
    assert_eq!(store.report(at(1), failed(1, r#""""#)).await, Err(Refusal::NotClaimed));
    // Polls come last in a batch: what they hand out cannot be reported in it.
    let batch = vec![
        Command::Submit(task(2)),
        Command::from(poll(1, 9)),
        Command::Report(completed(2, "{}")),
        Command::Report(completed(1, "{}")),
    ];
    let outcomes = store.batch(at(2), batch).await;
    assert_eq!(reported(&outcomes[2]), Err(Refusal::NotClaimed));
    assert_eq!(reported(&outcomes[3]), Err(Refusal::NotClaimed));
    assert_eq!(store.state(1).await, claimed(1, 1, at(2)));
    assert_eq!(store.state(2).await, claimed(2, 1, at(2)));
}

pub(crate) async fn a_repeated_report_changes_nothing(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1, 2]).await;
    store.claim(at(1), 1, 2).await;
    assert_eq!(store.report(at(2), completed(1, r#"{"s":"é"}"#)).await, Ok(Reported::Stored));
    assert_eq!(store.report(at(2), failed(2, r#""é""#)).await, Ok(Reported::Stored));
    let before = (store.stored(1).await, store.stored(2).await);
    for report in
        [completed(1, r#"{"s":"é"}"#), completed(1, r#"{ "s" : "\u00e9" }"#), failed(2, r#""\u00E9""#)]
    {
        assert_eq!(store.report(at(9), report.clone()).await, Ok(Reported::Repeated), "{report:?}");
    }
    assert_eq!((store.stored(1).await, store.stored(2).await), before);
}

pub(crate) async fn another_report_is_refused(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1, 2]).await;
    store.claim(at(1), 1, 2).await;
    assert_eq!(store.report(at(2), completed(1, r#"{"s":1}"#)).await, Ok(Reported::Stored));
    assert_eq!(store.report(at(2), failed(2, r#""no""#)).await, Ok(Reported::Stored));
    let before = (store.stored(1).await, store.stored(2).await);
    for report in [
        completed(1, r#"{"s":1.0}"#),
        completed(1, "{}"),
        failed(1, r#""no""#),
        failed(2, r#""No""#),
        failed(2, r#""""#),
        completed(2, r#"{"s":1}"#),
    ] {
        assert_eq!(store.report(at(9), report.clone()).await, Err(Refusal::AlreadyFinished), "{report:?}");
    }
    assert_eq!((store.stored(1).await, store.stored(2).await), before);
}

pub(crate) async fn the_same_report_twice_in_a_batch(fixture: &impl Fixture) {
    let store = with_claimed_task(fixture).await;
    let reports = [completed(1, "{}"), completed(1, "{ }"), completed(1, "{}")];
    let outcomes = store.batch(at(2), reports.map(Command::Report).into()).await;
    let outcomes: Vec<_> = outcomes.iter().map(reported).collect();
    assert_eq!(outcomes, [Ok(Reported::Stored), Ok(Reported::Repeated), Ok(Reported::Repeated)]);
    let result = json("{}");
    assert_eq!(store.state(1).await, ended(claimed(1, 1, at(1)), at(2), End::Completed(result)));
}

pub(crate) async fn two_reports_for_one_task_in_a_batch(fixture: &impl Fixture) {
    let store = with_claimed_task(fixture).await;
    let reports = [
        failed(1, r#""no""#),
        completed(1, "{}"),
        failed(1, r#""yes""#),
        failed(1, r#""no""#),
        failed(2, r#""""#),
    ];
    let outcomes = store.batch(at(2), reports.map(Command::Report).into()).await;
    let outcomes: Vec<_> = outcomes.iter().map(reported).collect();
    assert_eq!(
        outcomes,
        [
            Ok(Reported::Stored),
            Err(Refusal::AlreadyFinished),
            Err(Refusal::AlreadyFinished),
            Ok(Reported::Repeated),
            Err(Refusal::UnknownTask),
        ]
    );
    let error = json(r#""no""#);
    assert_eq!(store.state(1).await, ended(claimed(1, 1, at(1)), at(2), End::Failed(error)));
}

pub(crate) async fn times_are_kept_to_the_microsecond(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let time = |microsecond| Timestamp::from_microsecond(microsecond).unwrap();
    // Before 1970, around a whole second, and far ahead.
    for (n, base) in (1..).zip([-1_500_001, 1_795_375_381_999_998, 4_102_444_800_000_001]) {
        let (created, taken, finished) = (time(base), time(base + 1), time(base + 2));
        store.post(created, [n]).await;
        assert_eq!(store.stored(n).await.created, created);
        store.claim(taken, n, 1).await;
        assert_eq!(store.state(n).await, claimed(n, n, taken));
        store.report(finished, completed(n, "{}")).await.unwrap();
        assert_eq!(store.state(n).await, ended(claimed(n, n, taken), finished, End::Completed(json("{}"))));
        assert_eq!(store.stored(n).await.created, created);
        // A result is a sign of life, also a repeated one.
        assert!((taken..=finished).contains(&store.agent(n).await.last_seen));
        let later = time(base + 1_000_002);
        store.report(later, completed(n, "{}")).await.unwrap();
        assert_eq!(store.agent(n).await.last_seen, later);
    }
}

pub(crate) async fn racing_reports_end_a_task_once(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    race(&[store]).await;
}

pub(crate) async fn reports_racing_on_two_stores_end_a_task_once(fixture: &impl SharedFixture) {
    let store = fixture.ready().await;
    store.close().await;
    race(&[fixture.second(), fixture.second()]).await;
}

/// Four agents each say of the same tasks that they did them.
async fn race(stores: &[Driver]) {
    let store = &stores[0];
    store.post(at(0), 0..20).await;
    store.claim(at(1), 1, 100).await;
    let mut agents = JoinSet::new();
    for agent in 0..4 {
        let store = stores[agent % stores.len()].clone();
        agents.spawn(async move {
            let mut stored = Vec::new();
            for n in 0..20 {
                let report = completed(n, &format!(r#"{{"by":{agent}}}"#));
                match store.report(at(2), report).await {
                    Ok(reported) => {
                        assert_eq!(reported, Reported::Stored);
                        stored.push((n, agent));
                    }
                    Err(refusal) => assert_eq!(refusal, Refusal::AlreadyFinished),
                }
            }
            stored
        });
    }
    let mut stored = agents.join_all().await.concat();
    stored.sort_unstable();
    assert_eq!(stored.iter().map(|(n, _)| *n).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    for (n, agent) in stored {
        let result = json(format!(r#"{{"by":{agent}}}"#));
        assert_eq!(store.state(n).await, ended(claimed(n, 1, at(1)), at(2), End::Completed(result)));
    }
}
