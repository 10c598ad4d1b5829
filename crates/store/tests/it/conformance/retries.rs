//! Attempts: how often, when, and under which id.

use slamon_domain::{AttemptEnd, Command, End, LateResult, Refusal, Reported, State, Submitted, Sweep};
use slamon_protocol::{ResultPost, TaskOutcome, Terms};

use crate::driver::Driver;
use crate::fixture::Fixture;
use slamon_domain::testing::commands::{
    DUE, MICROSECOND, agent_id, at, completed, completed_as, failed, failed_as, json, poll, seconds, task_id,
    task_under,
};
use slamon_domain::testing::outcome::Outcome;

/// Attempts time out after 5 seconds, and there may be three of them.
fn thrice() -> Terms {
    Terms { timeout: Some(seconds(5)), max_attempts: 3, ..Terms::default() }
}

pub(crate) async fn what_people_see_of_attempts_is_bounded(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let terms = Terms { retry_errors: true, ..thrice() };
    store.post_under(at(0), terms, 1).await;
    assert!(store.stored(1).await.ended_attempts() == 0 && store.past_view(1).await.is_empty());
    store.take(at(0), 1).await;
    let long = format!(r#""{}""#, "\\u00e9".repeat(100_000));
    store.report(at(1), failed(1, &long)).await.unwrap();
    assert_eq!(store.stored(1).await.ended_attempts(), 1);
    let second = store.take(at(2), 2).await;
    store.sweep(at(7), DUE).await;
    let large = format!(r#"{{"x":"{}"}}"#, "x".repeat(100));
    assert_eq!(store.report(at(8), completed_as(second, &large)).await, Err(Refusal::TooLate(2)));
    store.take(at(9), 3).await;
    assert_eq!(store.stored(1).await.ended_attempts(), 2);
    let past = store.past_view(1).await;
    let ends: Vec<_> =
        past.iter().map(|past| (past.number, past.end.as_str(), past.claimed, past.ended)).collect();
    assert_eq!(ends, [(1, "error", at(0), at(1)), (2, "timed_out", at(2), at(7))]);
    let spans = async |tasks: &[u128], most| {
        let tasks: Vec<_> = tasks.iter().map(|n| task_id(*n)).collect();
        let spans = store.attempt_spans(tasks.into(), most).await.unwrap();
        spans.into_iter().map(|of| (of.task_id, of.number, of.claimed, of.ended, of.end)).collect::<Vec<_>>()
    };
    let [first, second_span] = [(1, 0, 1, "error"), (2, 2, 7, "timed_out")]
        .map(|(number, from, to, end)| (task_id(1), number, at(from), at(to), end.to_owned()));
    assert_eq!(spans(&[2, 1], 9).await, [first, second_span.clone()]);
    assert_eq!(spans(&[1], 1).await, [second_span]);
    assert_eq!(spans(&[], 1).await, []);
    let error = past[0].error.as_ref().unwrap().as_str();
    assert!(error.chars().count() <= 202 && error.ends_with("…\""), "{error}");
    assert_eq!(past[0].error_bytes, Some(600_002));
    let late = past[1].late.as_ref().unwrap();
    assert_eq!((late.at, &late.result, late.result_bytes), (at(8), &None, Some(large.len() as u64)));
    let all = store.past(1).await;
    assert_eq!(all.len(), past.len());
    for (view, (ended, _)) in past.iter().zip(&all) {
        assert_eq!((view.agent_id, &view.agent_name), (ended.attempt.agent_id, &ended.attempt.agent_name));
        assert_eq!(view.deadline, ended.attempt.deadline);
    }
}

pub(crate) async fn each_further_attempt_has_a_fresh_id(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post_under(at(0), thrice(), 1).await;
    let mut aliases = Vec::new();
    for n in 0..3 {
        let delivered = store.poll(at(10 * n), poll(n as u128, 9)).await;
        assert_eq!(delivered.len(), 1);
        assert_eq!((delivered[0].task_id, delivered[0].attempt), (task_id(1), n as u32 + 1));
        aliases.push(delivered[0].alias);
        assert_eq!(store.sweep(at(10 * n + 5), DUE).await.settled, 1);
    }
    assert_eq!(aliases[0], task_id(1));
    aliases.sort_unstable();
    aliases.dedup();
    assert_eq!(aliases.len(), 3);
    // There is no fourth.
    assert!(store.claim(at(40), 1, 9).await.is_empty());
    assert!(store.error(1).await.ends_with("sent no result, attempt 3 of 3\""));
    assert_eq!(store.stored(1).await.attempts, 3);
    let ends: Vec<_> =
        store.past(1).await.into_iter().map(|(past, _)| (past.attempt.number, past.end)).collect();
    assert_eq!(ends, [(1, AttemptEnd::TimedOut), (2, AttemptEnd::TimedOut), (3, AttemptEnd::TimedOut)]);
    // Clients know the task by its own id only.
    for alias in aliases.into_iter().filter(|alias| *alias != task_id(1)) {
        assert_eq!(store.task(alias).await.unwrap(), None);
        assert!(store.attempts(alias).await.unwrap().is_empty());
    }
}

/// Task 1 in its second attempt, agent 2's since second 10; the alias of that.
async fn in_second_attempt(store: &Driver) -> uuid::Uuid {
    store.post_under(at(0), thrice(), 1).await;
    store.take(at(0), 1).await;
    store.sweep(at(5), DUE).await;
    store.take(at(10), 2).await
}

pub(crate) async fn only_the_attempt_that_runs_can_finish_the_task(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let alias = in_second_attempt(&store).await;
    let before = store.stored(1).await;
    assert_eq!(store.report(at(11), completed(1, r#"{"by":1}"#)).await, Err(Refusal::TooLate(1)));
    assert_eq!(store.stored(1).await, before);
    assert_eq!(store.report(at(12), completed_as(alias, r#"{"by":2}"#)).await, Ok(Reported::Stored));
    let State::Ended { last: Some(last), end: End::Completed(result), .. } = store.state(1).await else {
        panic!("it has not ended");
    };
    assert_eq!((last.number, last.alias, last.agent_id), (2, alias, agent_id(2)));
    assert_eq!(result, json(r#"{"by":2}"#));
    assert_eq!(store.report(at(13), completed_as(alias, r#"{ "by": 2 }"#)).await, Ok(Reported::Repeated));
    assert_eq!(store.report(at(13), completed_as(alias, "{}")).await, Err(Refusal::AlreadyFinished));
    assert_eq!(store.report(at(14), completed(1, r#"{"by":2}"#)).await, Err(Refusal::TooLate(1)));
}

pub(crate) async fn the_first_late_result_is_kept_on_its_attempt(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let alias = in_second_attempt(&store).await;
    let late = |at, text: &str| LateResult { at, outcome: TaskOutcome::Completed(json(text)) };
    assert_eq!(store.past(1).await[0].1, None);
    for (second, text) in [(11, r#"{"n":1.0}"#), (12, r#"{"n":2}"#), (13, r#"{"n":1.0}"#)] {
        assert_eq!(store.report(at(second), completed(1, text)).await, Err(Refusal::TooLate(1)));
        assert_eq!(store.past(1).await[0].1, Some(late(at(11), r#"{"n":1.0}"#)));
    }
    // An error may be late as well, and come with the very moment of the deadline.
    let error = failed_as(alias, r#""no\u0000""#);
    assert_eq!(store.report(at(15), error.clone()).await, Err(Refusal::TooLate(2)));
    let past = store.past(1).await;
    assert_eq!(past[1].1, Some(LateResult { at: at(15), outcome: error.outcome }));
    assert_eq!((past.len(), past[1].0.at), (2, at(15)));
    assert_eq!(store.state(1).await, State::Pending);
}

pub(crate) async fn a_result_that_names_another_agent_is_refused(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let alias = in_second_attempt(&store).await;
    let of = |n, result| ResultPost { agent_id: Some(agent_id(n)), ..result };
    let before = (store.stored(1).await, store.past(1).await);
    assert_eq!(store.report(at(11), of(1, completed_as(alias, "{}"))).await, Err(Refusal::AnotherAgent));
    assert_eq!(store.report(at(11), of(2, completed(1, "{}"))).await, Err(Refusal::AnotherAgent));
    assert_eq!((store.stored(1).await, store.past(1).await), before);
    assert_eq!(store.report(at(11), of(1, completed(1, "{}"))).await, Err(Refusal::TooLate(1)));
    assert_eq!(store.report(at(11), of(2, completed_as(alias, "{}"))).await, Ok(Reported::Stored));
    assert_eq!(store.report(at(12), of(3, completed_as(alias, "{}"))).await, Err(Refusal::AnotherAgent));
}

pub(crate) async fn an_error_is_tried_again_only_where_that_was_asked_for(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post_under(at(0), Terms { max_attempts: 2, ..Terms::default() }, 1).await;
    store.take(at(1), 1).await;
    assert_eq!(store.report(at(2), failed(1, r#""no""#)).await, Ok(Reported::Stored));
    assert_eq!((store.state(1).await.name(), store.error(1).await.as_str()), ("failed", r#""no""#));

    let terms = Terms { max_attempts: 2, retry_errors: true, ..Terms::default() };
    store.post_under(at(0), terms.clone(), 2).await;
    store.take(at(1), 1).await;
    assert_eq!(store.report(at(2), failed(2, r#""é""#)).await, Ok(Reported::Stored));
    assert_eq!(store.state(2).await, State::Pending);
    let [(past, None)] = &store.past(2).await[..] else { panic!("it was not kept") };
    assert_eq!((past.at, &past.end), (at(2), &AttemptEnd::Error(json(r#""é""#))));
    // The agent may repeat itself, before the next attempt and during it.
    assert_eq!(store.report(at(3), failed(2, r#""\u00e9""#)).await, Ok(Reported::Repeated));
    assert_eq!(store.report(at(3), failed(2, r#""e""#)).await, Err(Refusal::AlreadyFinished));
    let alias = store.take(at(4), 1).await;
    assert_eq!(store.report(at(5), failed(2, r#""\u00e9""#)).await, Ok(Reported::Repeated));
    assert_eq!(store.past(2).await[0].1, None);
    // The last attempt's error is the task's.
    assert_eq!(store.report(at(6), failed_as(alias, r#""still""#)).await, Ok(Reported::Stored));
    assert_eq!(store.error(2).await, r#""still""#);
    assert_eq!(store.report(at(7), failed_as(alias, r#""still""#)).await, Ok(Reported::Repeated));
    assert_eq!(store.past(2).await.len(), 1);
    // A client that posts the task once more is told that it is there.
    assert_eq!(store.submit(at(8), task_under(terms, 2)).await, Ok(Submitted::Repeated));
}

pub(crate) async fn the_delay_between_attempts_doubles_to_an_hour(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let terms = Terms { max_attempts: 20, retry_errors: true, retry_delay: seconds(600), ..Terms::default() };
    store.post_under(at(0), terms, 1).await;
    let mut now = at(0);
    for longest in [600, 1_200, 2_400, 3_600, 3_600] {
        let alias = store.take(now, 1).await;
        assert_eq!(store.report(now, failed_as(alias, r#""no""#)).await, Ok(Reported::Stored));
        let State::Delayed { until } = store.state(1).await else { panic!("it is not delayed") };
        let longest = seconds(longest);
        assert!((now + longest.mul_f64(0.9) - MICROSECOND..=now + longest).contains(&until), "{until}");
        assert_eq!(store.sweep(until - MICROSECOND, DUE).await.settled, 0);
        assert!(store.claim(until - MICROSECOND, 1, 9).await.is_empty());
        assert_eq!(store.sweep(until, DUE).await.settled, 1);
        now = until;
    }
}

pub(crate) async fn a_released_attempt_does_not_count(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let alias = in_second_attempt(&store).await;
    assert_eq!(store.release(at(11), slamon_domain::testing::commands::release(2, at(10), &[1])).await, 1);
    let task = store.stored(1).await;
    assert_eq!((task.attempts, task.state), (1, State::Pending));
    assert_eq!(store.report(at(12), completed_as(alias, "{}")).await, Err(Refusal::UnknownTask));
    let delivered = store.poll(at(13), poll(3, 9)).await;
    assert_eq!(delivered[0].attempt, 2);
    assert_ne!(delivered[0].alias, alias);
    // Nor is its alias known to what comes after it in its own batch.
    let batch = vec![
        slamon_domain::testing::commands::release(3, at(13), &[1]),
        Command::Report(completed_as(delivered[0].alias, "{}")),
    ];
    let outcomes = store.batch(at(14), batch).await;
    assert_eq!(outcomes, [Outcome::Release(1), Outcome::Report(Err(Refusal::UnknownTask))]);
}

pub(crate) async fn a_task_runs_through_every_kind_of_end_of_an_attempt(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let terms = Terms { max_attempts: 4, retry_errors: true, ttl: Some(seconds(300)), ..thrice() };
    store.post_under(at(0), terms, 1).await;
    store.take(at(0), 1).await;
    store.sweep(at(5), DUE).await;
    let alias = store.take(at(6), 1).await;
    store.report(at(7), failed_as(alias, r#""no""#)).await.unwrap();
    store.take(at(8), 1).await;
    store.sweep(at(9), Sweep { lost_after: Some(seconds(0)), ..DUE }).await;
    store.take(at(296), 1).await;
    store.sweep(at(300), DUE).await;
    let past = store.past(1).await.into_iter();
    let ends: Vec<_> =
        past.map(|(past, _)| (past.attempt.number, past.attempt.at, past.at, past.end)).collect();
    assert_eq!(
        ends,
        [
            (1, at(0), at(5), AttemptEnd::TimedOut),
            (2, at(6), at(7), AttemptEnd::Error(json(r#""no""#))),
            (3, at(8), at(9), AttemptEnd::Lost),
            (4, at(296), at(300), AttemptEnd::Expired),
        ]
    );
    assert_eq!(store.state(1).await.name(), "expired");
}
