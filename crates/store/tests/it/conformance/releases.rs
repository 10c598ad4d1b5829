//! Claims that are given up.

use jiff::SignedDuration;
use slamon_domain::{Command, Refusal, Reported, State};
use slamon_protocol::Terms;

use crate::driver::{delivered, numbers, polled};
use crate::fixture::Fixture;
use slamon_domain::testing::commands::{
    DUE, agent_id, at, claimed, completed, failed, poll, release, seconds, task_id,
};
use slamon_domain::testing::outcome::Outcome;

pub(crate) async fn a_released_task_waits_in_its_old_place(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [4, 3, 2]).await;
    assert_eq!(store.claim(at(1), 1, 2).await, [4, 3]);
    store.post(at(2), [1]).await;
    let before = store.stored(4).await;
    assert_eq!(store.release(at(3), release(1, at(1), &[3, 4])).await, 2);
    let after = store.stored(4).await;
    assert_eq!(after.state, State::Pending);
    assert_eq!((after.posted, after.created), (before.posted, before.created));
    assert_eq!(store.waiting().await, 4);
    assert!(store.agent(1).await.tasks.is_empty());
    assert_eq!(store.claim(at(4), 2, 9).await, [4, 3, 2, 1]);
    assert_eq!(store.state(4).await, claimed(4, 2, at(4)));
}

pub(crate) async fn only_the_claim_that_holds_is_released(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1, 2, 3]).await;
    store.claim(at(1), 1, 1).await;
    store.claim(at(2), 1, 1).await;
    let microsecond = SignedDuration::from_micros(1);
    for wrong in [
        release(2, at(1), &[1, 2, 3]),
        release(1, at(3), &[1, 2, 3]),
        release(1, at(1) + microsecond, &[1, 2, 3]),
        release(1, at(1) - microsecond, &[1, 2, 3]),
        release(1, at(1), &[2, 3]),
        release(1, at(1), &[]),
    ] {
        assert_eq!(store.release(at(4), wrong.clone()).await, 0, "{wrong:?}");
    }
    assert_eq!(store.release(at(4), release(1, at(1), &[1, 2, 3])).await, 1);
    assert_eq!(store.state(1).await, State::Pending);
    assert_eq!(store.state(2).await, claimed(2, 1, at(2)));
    // A later claim of the same agent is not the one that is given up.
    assert_eq!(store.claim(at(5), 1, 1).await, [1]);
    assert_eq!(store.release(at(6), release(1, at(1), &[1])).await, 0);
    assert_eq!(store.state(1).await, claimed(1, 1, at(5)));
}

pub(crate) async fn finished_and_unknown_tasks_are_not_released(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1, 2]).await;
    store.claim(at(1), 1, 2).await;
    store.report(at(2), completed(1, "{}")).await.unwrap();
    store.report(at(2), failed(2, r#""no""#)).await.unwrap();
    let before = (store.stored(1).await, store.stored(2).await);
    assert_eq!(store.release(at(3), release(1, at(1), &[1, 2, 3])).await, 0);
    assert_eq!((store.stored(1).await, store.stored(2).await), before);
}

pub(crate) async fn a_task_is_released_once(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1, 2]).await;
    store.claim(at(1), 1, 2).await;
    assert_eq!(store.release(at(2), release(1, at(1), &[1, 1, 1])).await, 1);
    let batch = vec![release(1, at(1), &[1, 2]), release(1, at(1), &[2, 1])];
    assert_eq!(store.batch(at(3), batch).await, [Outcome::Release(1), Outcome::Release(0)]);
}

pub(crate) async fn a_release_is_seen_by_the_polls_of_its_batch(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1, 2]).await;
    store.claim(at(1), 1, 1).await;
    let batch = vec![Command::from(poll(2, 9)), release(1, at(1), &[1])];
    let mut outcomes = store.batch(at(2), batch).await;
    assert_eq!(outcomes[1], Outcome::Release(1));
    assert_eq!(numbers(&delivered(outcomes.remove(0))), [1, 2]);
    assert_eq!(store.state(1).await, claimed(1, 2, at(2)));
    // A report and a release of one claim in a batch: the first of them counts.
    let batch = vec![Command::Report(completed(1, "{}")), release(2, at(2), &[1, 2])];
    assert_eq!(store.batch(at(3), batch).await[1], Outcome::Release(1));
    assert_eq!(store.claim(at(4), 3, 9).await, [2]);
    let batch = vec![release(3, at(4), &[2]), Command::Report(completed(2, "{}"))];
    let outcomes = store.batch(at(5), batch).await;
    assert_eq!(outcomes, [Outcome::Release(1), Outcome::Report(Err(Refusal::NotClaimed))]);
    assert_eq!(store.state(2).await, State::Pending);
}

pub(crate) async fn a_claim_is_known_by_its_time_as_it_was_passed(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1]).await;
    // Clocks count nanoseconds, databases microseconds.
    let now = at(1) + SignedDuration::from_nanos(999);
    store.claim(now, 1, 1).await;
    assert_eq!(store.release(at(2), release(1, now, &[1])).await, 1);
    assert_eq!(store.state(1).await, State::Pending);
}

pub(crate) async fn a_report_after_a_release_needs_a_new_claim(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1]).await;
    store.claim(at(1), 1, 1).await;
    store.release(at(2), release(1, at(1), &[1])).await;
    assert_eq!(store.report(at(3), completed(1, "{}")).await, Err(Refusal::NotClaimed));
    assert_eq!(store.claim(at(4), 2, 1).await, [1]);
    assert_eq!(store.report(at(5), completed(1, "{}")).await, Ok(Reported::Stored));
}

pub(crate) async fn what_an_agent_was_told_and_never_heard_is_told_again(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1, 3]).await;
    store.post_under(at(0), Terms { ttl: Some(seconds(9)), ..Terms::default() }, 2).await;
    assert_eq!(store.claim(at(1), 1, 9).await, [1, 3, 2]);
    store.cancel(at(2), 1).await.unwrap();
    store.sweep(at(9), DUE).await;
    let told = async |now| {
        let mut told = store.polled(now, poll(1, 0)).await.cancelled;
        told.sort_unstable();
        told
    };
    let both = [task_id(1), task_id(2)];
    assert_eq!(told(at(10)).await, both);
    assert!(told(at(11)).await.is_empty());
    let give_back = |agent: u128, cancelled: &[u128]| Command::Release {
        agent_id: agent_id(agent),
        claimed_at: at(10),
        task_ids: Vec::new(),
        cancelled: cancelled.iter().map(|n| task_id(*n)).collect(),
    };
    // Not of another agent's, nor of what is wanted or unknown; and once, however often it is given back.
    let applied = store.applied(at(12), vec![give_back(2, &[1, 2]), give_back(1, &[3, 9])]).await;
    assert!(applied.pending_cancellations.is_empty());
    let applied = store.applied(at(12), vec![give_back(1, &[1]), give_back(1, &[1, 2])]).await;
    assert_eq!(applied.pending_cancellations, [agent_id(1); 2]);
    assert_eq!(applied.replies.releases, [Ok(0), Ok(0)]);
    assert_eq!(told(at(13)).await, both);
    assert!(told(at(14)).await.is_empty());
    // It is seen by a poll of its batch.
    let mut outcomes = store.batch(at(15), vec![Command::from(poll(1, 0)), give_back(1, &[2])]).await;
    assert_eq!(polled(outcomes.remove(0)).cancelled, [task_id(2)]);
}
