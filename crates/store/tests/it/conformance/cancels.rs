//! Clients that do not want a task any more.

use slamon_domain::{AttemptEnd, Command, End, EndedAttempt, LateResult, Refusal, State};
use slamon_protocol::{TaskOutcome, Terms};

use crate::driver::polled;
use crate::fixture::Fixture;
use slamon_domain::testing::commands::{
    DUE, agent_id, at, attempt, claimed, completed, ended, failed, json, poll, seconds, task_id,
};
use slamon_domain::testing::outcome::Outcome;

pub(crate) async fn a_waiting_task_is_cancelled(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1]).await;
    store
        .post_under(at(0), Terms { delay: seconds(60), ttl: Some(seconds(90)), ..Terms::default() }, 2)
        .await;
    let end = End::Cancelled(json(r#""Task was cancelled while it waited for an agent""#));
    for n in [1, 2] {
        let task = store.cancel(at(5), n).await.unwrap();
        assert_eq!(task.state, State::Ended { at: at(5), last: None, end: end.clone() });
        assert_eq!(store.stored(n).await, task);
    }
    assert_eq!(store.waiting().await, 0);
    assert!(store.claim(at(6), 1, 9).await.is_empty());
    // Nothing is left for time to do.
    let swept = store.sweep(at(90), DUE).await;
    assert_eq!((swept.settled, swept.next_due), (0, None));
    assert_eq!(store.report(at(6), completed(1, "{}")).await, Err(Refusal::AlreadyFinished));
}

pub(crate) async fn a_claimed_task_is_cancelled_and_its_agent_told_once(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), 1..=3).await;
    assert_eq!(store.claim(at(1), 1, 2).await, [1, 2]);
    assert_eq!(store.claim(at(1), 2, 1).await, [3]);
    let words = |agent| {
        json(format!(
            r#""Task was cancelled while agent \"agent {agent}\" ({}) had it, attempt 1 of 1""#,
            agent_id(agent)
        ))
    };
    for (n, agent) in [(1, 1), (2, 1), (3, 2)] {
        let task = store.cancel(at(5), n).await.unwrap();
        assert_eq!(task.state, ended(claimed(n, agent, at(1)), at(5), End::Cancelled(words(agent))));
        assert_eq!(store.stored(n).await, task);
        let over = EndedAttempt { attempt: attempt(n, agent, at(1)), at: at(5), end: AttemptEnd::Cancelled };
        assert_eq!(store.past(n).await, [(over, None)]);
    }
    // Told to those who have it, once, even if they want no work.
    assert!(store.polled(at(6), poll(3, 9)).await.cancelled.is_empty());
    let mut told = store.polled(at(6), poll(1, 0)).await.cancelled;
    told.sort_unstable();
    assert_eq!(told, [task_id(1), task_id(2)]);
    assert!(store.polled(at(7), poll(1, 9)).await.cancelled.is_empty());
    assert_eq!(store.polled(at(7), poll(2, 9)).await.cancelled, [task_id(3)]);
    // What they did nevertheless is kept.
    assert_eq!(store.report(at(8), failed(3, r#""too late""#)).await, Err(Refusal::TooLate(1)));
    let late = LateResult { at: at(8), outcome: TaskOutcome::Failed(json(r#""too late""#)) };
    assert_eq!(store.past(3).await[0].1, Some(late));
}

pub(crate) async fn a_cancelled_second_attempt_is_told_by_the_id_its_agent_knows(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let terms = Terms { timeout: Some(seconds(5)), max_attempts: 2, ..Terms::default() };
    store.post_under(at(0), terms, 1).await;
    store.take(at(0), 1).await;
    store.sweep(at(5), DUE).await;
    let alias = store.take(at(6), 1).await;
    store.cancel(at(7), 1).await.unwrap();
    assert_eq!(store.polled(at(8), poll(1, 9)).await.cancelled, [alias]);
}

pub(crate) async fn a_cancel_sees_what_comes_before_it_in_its_batch(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1, 2, 3]).await;
    assert_eq!(store.claim(at(1), 1, 2).await, [1, 2]);
    let batch = vec![
        Command::from(poll(1, 9)),
        Command::Report(completed(1, "{}")),
        Command::Cancel(task_id(1)),
        Command::Cancel(task_id(2)),
        Command::Cancel(task_id(3)),
        Command::Cancel(task_id(9)),
        Command::Report(completed(2, "{}")),
    ];
    let mut outcomes = store.batch(at(2), batch).await;
    assert_eq!(outcomes[2], Outcome::Cancel(Some(Err(Refusal::CannotCancel))));
    assert!(matches!(&outcomes[3], Outcome::Cancel(Some(Ok(task))) if task.state.name() == "cancelled"));
    assert!(matches!(&outcomes[4], Outcome::Cancel(Some(Ok(task))) if task.state.name() == "cancelled"));
    assert_eq!(outcomes[5], Outcome::Cancel(None));
    assert_eq!(outcomes[6], Outcome::Report(Err(Refusal::TooLate(1))));
    let polled = polled(outcomes.remove(0));
    assert_eq!((polled.tasks, polled.cancelled), (vec![], vec![task_id(2)]));
}

pub(crate) async fn a_cancel_may_be_repeated_and_a_finished_task_stays(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), 1..=3).await;
    store.claim(at(1), 1, 2).await;
    store.report(at(2), completed(1, "{}")).await.unwrap();
    store.report(at(2), failed(2, r#""no""#)).await.unwrap();
    let first = store.cancel(at(3), 3).await.unwrap();
    for (now, twice) in [(at(4), false), (at(5), true)] {
        let outcomes = store.batch(now, vec![Command::Cancel(task_id(3)); 1 + usize::from(twice)]).await;
        for outcome in outcomes {
            assert_eq!(outcome, Outcome::Cancel(Some(Ok(Box::new(first.clone())))));
        }
    }
    for n in [1, 2] {
        let before = store.stored(n).await;
        assert_eq!(store.cancel(at(6), n).await, Err(Refusal::CannotCancel));
        assert_eq!(store.stored(n).await, before);
    }
}
