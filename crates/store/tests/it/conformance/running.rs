//! Agents that say what they execute.

use jiff::{SignedDuration, Timestamp};
use slamon_domain::{Applied, AttemptEnd, Command, End, EndedAttempt, Refusal, Reported, Running, State};
use slamon_protocol::Terms;
use uuid::Uuid;

use crate::driver::numbers;
use crate::fixture::Fixture;
use slamon_domain::testing::commands::{
    agent_id, at, attempt, claimed, completed, completed_as, ended, json, poll, seconds, task_id,
};

/// Agent `n` asks for up to `most` tasks; of what it was given until `until`, it executes these.
fn comes(n: u128, most: u32, aliases: &[Uuid], until: Timestamp) -> Command {
    let running = Some(Running { aliases: aliases.to_vec(), until });
    Command::Poll { poll: poll(n, most), kinds: None, running }
}

fn lost(n: u128, agent: u128, number: u32) -> End {
    let id = agent_id(agent);
    End::Lost(json(format!(
        r#""Agent \"agent {agent}\" ({id}) has lost the task: its agent_running does not name it, attempt {n} of {number}""#
    )))
}

pub(crate) async fn what_an_agent_does_not_name_is_lost(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), 1..=5).await;
    assert_eq!(store.claim(at(1), 1, 3).await, [1, 2, 3]);
    assert_eq!(store.claim(at(1), 2, 1).await, [4]);
    let Applied { ended: over, accounted, abandoned, .. } =
        store.applied(at(9), vec![comes(1, 0, &[task_id(2), task_id(4), task_id(9)], at(8))]).await;
    assert_eq!((over, accounted, abandoned), (vec![task_id(1), task_id(3)], vec![agent_id(1)], 2));
    for n in [1, 3] {
        assert_eq!(store.state(n).await, ended(claimed(n, 1, at(1)), at(9), lost(1, 1, 1)));
        let over = EndedAttempt { attempt: attempt(n, 1, at(1)), at: at(9), end: AttemptEnd::Abandoned };
        assert_eq!(store.past(n).await, [(over, None)]);
        assert_eq!(store.report(at(10), completed(n, "{}")).await, Err(Refusal::TooLate(1)));
    }
    assert_eq!(store.state(2).await, claimed(2, 1, at(1)));
    assert_eq!(store.state(4).await, claimed(4, 2, at(1)), "it is another agent's");
    assert_eq!(store.state(5).await, State::Pending);
    assert_eq!(store.report(at(10), completed(2, "{}")).await, Ok(Reported::Stored));
    // Whoever does not say, says nothing.
    store.polled(at(11), poll(2, 0)).await;
    assert_eq!(store.state(4).await, claimed(4, 2, at(1)));
    let applied = store.applied(at(12), vec![comes(2, 1, &[task_id(4)], at(12))]).await;
    assert_eq!((applied.accounted, applied.abandoned), (vec![agent_id(2)], 0));
}

pub(crate) async fn what_is_lost_is_tried_again_also_by_the_agent_that_lost_it(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let terms = Terms { max_attempts: 2, ..Terms::default() };
    store.post_under(at(0), terms.clone(), 1).await;
    store.post_under(at(0), Terms { retry_delay: seconds(60), ..terms }, 2).await;
    assert_eq!(store.claim(at(1), 1, 9).await, [1, 2]);
    let mut applied = store.applied(at(2), vec![comes(1, 9, &[], at(2))]).await;
    assert_eq!((applied.abandoned, applied.waiting.len()), (2, 0), "what waits again is handed out at once");
    let tasks = applied.replies.polls.remove(0).unwrap().tasks;
    assert_eq!((numbers(&tasks), tasks[0].attempt), (vec![1], 2));
    assert_eq!(store.state(2).await.name(), "delayed");
    // It is known by its new id, and is lost again if only the old one is named.
    let alias = tasks[0].alias;
    let applied = store.applied(at(3), vec![comes(1, 0, &[alias], at(3))]).await;
    assert_eq!((applied.abandoned, &*applied.accounted), (0, &[agent_id(1)][..]));
    let applied = store.applied(at(4), vec![comes(1, 0, &[task_id(1)], at(4))]).await;
    assert_eq!(applied.abandoned, 1);
    let State::Ended { end, .. } = store.state(1).await else { panic!("it has ended") };
    assert_eq!(end, lost(2, 1, 2));
    assert_eq!(store.report(at(5), completed_as(alias, "{}")).await, Err(Refusal::TooLate(2)));
}

pub(crate) async fn of_what_was_claimed_later_an_agent_need_not_know(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1, 2, 3]).await;
    let later = at(1) + SignedDuration::from_micros(1);
    assert_eq!(store.claim(at(1), 1, 1).await, [1]);
    assert_eq!(store.claim(later, 1, 1).await, [2]);
    // Nor of what the poll that says so, or another one of the same batch, is given.
    let batch = vec![Command::from(poll(1, 1)), comes(1, 9, &[], at(1) + SignedDuration::from_nanos(999))];
    let applied = store.applied(at(2), batch).await;
    assert_eq!((applied.abandoned, &*applied.accounted), (1, &[][..]));
    assert_eq!(applied.replies.polls.len(), 2);
    assert_eq!(numbers(&applied.replies.polls[0].as_ref().unwrap().tasks), [3]);
    assert_eq!(store.state(1).await.name(), "failed");
    assert_eq!(store.state(2).await, claimed(2, 1, later));
    assert_eq!(store.state(3).await, claimed(3, 1, at(2)));
    let applied = store.applied(at(3), vec![comes(1, 9, &[task_id(3)], at(2))]).await;
    assert_eq!((applied.abandoned, &*applied.accounted), (1, &[agent_id(1)][..]));
}

pub(crate) async fn what_comes_before_in_its_batch_counts(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1, 2, 3]).await;
    assert_eq!(store.claim(at(1), 1, 9).await, [1, 2, 3]);
    let batch =
        vec![comes(1, 0, &[], at(1)), Command::Report(completed(1, "{}")), Command::Cancel(task_id(2))];
    let applied = store.applied(at(2), batch).await;
    assert_eq!(applied.abandoned, 1);
    assert_eq!(applied.replies.reports, [Ok(Ok(Reported::Stored))]);
    assert_eq!(applied.replies.polls[0].as_ref().unwrap().cancelled, [task_id(2)]);
    let names = [1, 2, 3].map(|n| store.state(n));
    let [one, two, three] = names;
    assert_eq!(
        (one.await.name(), two.await.name(), three.await.name()),
        ("completed", "cancelled", "failed")
    );
}

pub(crate) async fn time_comes_before_what_an_agent_says(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let terms = Terms { timeout: Some(seconds(5)), ..Terms::default() };
    store.post_under(at(0), terms, 1).await;
    assert_eq!(store.claim(at(0), 1, 9).await, [1]);
    let applied = store.applied(at(5), vec![comes(1, 0, &[], at(4))]).await;
    assert_eq!((applied.abandoned, &*applied.accounted), (0, &[agent_id(1)][..]));
    let State::Ended { end: End::TimedOut(_), .. } = store.state(1).await else { panic!("it was too late") };
}
