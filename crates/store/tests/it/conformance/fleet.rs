//! Agents that fall silent, and what is swept away.

use std::time::Duration;

use jiff::SignedDuration;
use slamon_domain::{AttemptEnd, Command, Locked, Refusal, Reported, State, Sweep, Swept};
use slamon_protocol::{PollRequest, ResultPost, Terms};
use slamon_store::Counts;

use tokio::task::JoinSet;

use crate::fixture::{Fixture, SharedFixture};
use slamon_domain::testing::commands::{
    DUE, MICROSECOND, agent_id, at, attempt, completed, completed_as, failed, poll, poll_for, seconds,
    submits, task_id,
};
use slamon_domain::testing::outcome::Outcome;

const LOST: Sweep = Sweep {
    limit: 100,
    lost_after: Some(seconds(300)),
    forget_after: None,
    delete_after: None,
    heartbeats: Vec::new(),
};

pub(crate) async fn an_agent_is_lost_when_its_silence_exceeds_the_threshold(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1]).await;
    store.claim(at(1), 1, 1).await;
    assert_eq!(store.sweep(at(301), LOST).await.lost, 0);
    assert_eq!(store.sweep(at(999), DUE).await.lost, 0);
    assert_eq!(store.sweep(at(301) + MICROSECOND, LOST).await.lost, 1);
    let words =
        format!(r#""Agent \"agent 1\" ({}) was lost: silent for 300 s, attempt 1 of 1""#, agent_id(1));
    assert_eq!(store.error(1).await, words);
    assert_eq!(store.state(1).await.name(), "failed");
    let [(past, None)] = &store.past(1).await[..] else { panic!("it was not kept") };
    assert_eq!((&past.attempt, &past.end), (&attempt(1, 1, at(1)), &AttemptEnd::Lost));
    assert_eq!(store.sweep(at(999), LOST).await.lost, 0);
    assert_eq!(store.report(at(999), completed(1, "{}")).await, Err(Refusal::TooLate(1)));
    // It lost its task, and is not told: it is as free as any other.
    assert!(store.polled(at(999), poll(1, 1)).await.cancelled.is_empty());
}

pub(crate) async fn a_lost_attempt_is_repeated_while_attempts_remain(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post_under(at(0), Terms { max_attempts: 2, ..Terms::default() }, 1).await;
    store.claim(at(1), 1, 1).await;
    assert_eq!(store.sweep(at(302), LOST).await.lost, 1);
    assert_eq!(store.state(1).await, State::Pending);
    store.take(at(303), 2).await;
    assert_eq!(store.sweep(at(604), LOST).await.lost, 1);
    let words =
        format!(r#""Agent \"agent 2\" ({}) was lost: silent for 301 s, attempt 2 of 2""#, agent_id(2));
    assert_eq!(store.error(1).await, words);
}

pub(crate) async fn polls_and_results_are_signs_of_life(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), 1..=6).await;
    for agent in 1..=3 {
        assert_eq!(store.claim(at(1), agent, 2).await.len(), 2);
    }
    store.poll(at(200), poll_for(1, 0, &[])).await;
    store.report(at(200), completed(3, "{}")).await.unwrap();
    assert_eq!(store.sweep(at(400), LOST).await.lost, 2);
    for (n, state) in
        [(1, "claimed"), (2, "claimed"), (3, "completed"), (4, "claimed"), (5, "failed"), (6, "failed")]
    {
        assert_eq!(store.state(n).await.name(), state, "task {n}");
    }
    // So are a repeat, by agent 2, and a result that is late, by agent 3; but no result for a task that it
    // never had.
    assert_eq!(store.report(at(450), completed(3, "{}")).await, Ok(Reported::Repeated));
    assert_eq!(store.report(at(460), completed(5, "{}")).await, Err(Refusal::TooLate(1)));
    assert_eq!(store.report(at(470), completed(9, "{}")).await, Err(Refusal::UnknownTask));
    assert_eq!((store.agent(2).await.last_seen, store.agent(3).await.last_seen), (at(450), at(460)));
    assert_eq!(store.sweep(at(501), LOST).await.lost, 2);
    assert_eq!(store.state(4).await.name(), "claimed");
}

pub(crate) async fn a_sign_of_life_counts_however_soon_it_comes_after_another(fixture: &impl Fixture) {
    let at = |ms| at(1) + SignedDuration::from_millis(ms);
    let lost_after = |ms| Sweep { lost_after: Some(Duration::from_millis(ms)), ..LOST };
    let store = fixture.ready().await;
    store.post_under(at(0), Terms { timeout: Some(Duration::from_millis(1)), ..Terms::default() }, 1).await;
    store.post(at(0), [2]).await;
    assert_eq!(store.claim(at(0), 1, 2).await, [1, 2]);
    assert_eq!(store.report(at(300), completed(1, "{}")).await, Err(Refusal::TooLate(1)));
    assert_eq!(store.sweep(at(400), lost_after(100)).await.lost, 0);
    assert_eq!(store.report(at(500), completed(1, "{}")).await, Err(Refusal::TooLate(1)));
    assert_eq!(store.sweep(at(700), lost_after(100)).await.lost, 1);
    assert!(store.error(2).await.contains("was lost"));
}

pub(crate) async fn an_agent_that_is_not_known_was_last_seen_when_it_claimed(fixture: &impl SharedFixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1]).await;
    store.claim(at(1), 1, 1).await;
    fixture.sql("delete from agent");
    assert_eq!(store.sweep(at(301), LOST).await.lost, 0);
    assert_eq!(store.sweep(at(302), LOST).await.lost, 1);
    assert!(store.error(1).await.contains("was lost: silent for 301 s"));
}

pub(crate) async fn a_forgotten_agent_leaves_its_tasks(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1, 2]).await;
    store.claim(at(1), 1, 1).await;
    store.report(at(2), completed(1, "{}")).await.unwrap();
    store.poll(at(3), poll(2, 0)).await;
    let before = store.stored(1).await;
    let sweep = Sweep { forget_after: Some(seconds(600)), ..LOST };
    assert_eq!(store.sweep(at(602), sweep.clone()).await.forgotten, 0);
    assert_eq!(store.sweep(at(602) + MICROSECOND, sweep.clone()).await.forgotten, 1);
    assert_eq!(store.stored(1).await, before);
    assert_eq!(store.stored(1).await.last_attempt().unwrap().agent_name, "agent 1");
    let left: Vec<_> = store.everything().await.agents.items.into_iter().map(|agent| agent.id).collect();
    assert_eq!(left, [agent_id(2)]);
    // What it offered is forgotten with it.
    let diagnostics = store.queue_diagnostics(&store.stored(2).await, at(0)).await.unwrap();
    assert_eq!(diagnostics.capable, 1);
    assert_eq!(store.sweep(at(9_999), sweep.clone()).await.forgotten, 1);
    // It may come back.
    assert_eq!(store.claim(at(10_000), 1, 1).await, [2]);
    assert_eq!(store.counts(at(10_000)).await.unwrap(), Counts { agents: 1, tasks_waiting: 0 });
}

pub(crate) async fn an_agent_is_called_by_its_name_also_after_a_result_that_was_refused(
    fixture: &impl Fixture,
) {
    let store = fixture.ready().await;
    store.post(at(0), [1]).await;
    store.claim(at(1), 1, 1).await;
    let of_another = ResultPost { agent_id: Some(agent_id(2)), ..completed(1, "{}") };
    store.batch(at(302), vec![Command::Report(of_another), Command::Sweep(LOST)]).await;
    assert!(store.error(1).await.contains(r#"Agent \"agent 1\" ("#), "{}", store.error(1).await);
}

pub(crate) async fn an_agent_that_was_renamed_has_one_name(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1, 2]).await;
    store.claim(at(1), 1, 1).await;
    let renamed = PollRequest { agent_name: "Helsinki 3".to_owned(), ..poll(1, 1) };
    store.poll(at(2), renamed).await;
    store.report(at(3), completed(1, "{}")).await.unwrap();
    for n in [1, 2] {
        assert_eq!(store.stored(n).await.last_attempt().unwrap().agent_name, "Helsinki 3");
    }
}

pub(crate) async fn the_name_of_a_forgotten_agent_is_kept_as_long_as_anything_was_its(
    fixture: &impl SharedFixture,
) {
    let store = fixture.ready().await;
    let names = || fixture.text("select cast(count(*) as text) from past_agent").unwrap();
    let terms = Terms { max_attempts: 2, retry_errors: true, ..Terms::default() };
    store.post_under(at(0), terms, 1).await;
    // Agent 1 has failed at task 1, which agent 2 has done; agent 3 has never had any.
    store.claim(at(1), 1, 1).await;
    store.report(at(2), failed(1, "\"no\"")).await.unwrap();
    let alias = store.take(at(3), 2).await;
    store.report(at(4), completed_as(alias, "{}")).await.unwrap();
    store.post(at(4), [2]).await;
    store.claim(at(5), 2, 1).await;
    store.poll(at(5), poll(3, 0)).await;
    let forget = Sweep { forget_after: Some(seconds(10)), ..DUE };
    assert_eq!(store.sweep(at(20), forget.clone()).await.forgotten, 3);
    assert_eq!(names(), "2");
    let named = async |n: u128, name: &str| {
        assert_eq!(store.stored(n).await.last_attempt().unwrap().agent_name, name);
    };
    named(1, "agent 2").await;
    assert_eq!(store.past(1).await[0].0.attempt.agent_name, "agent 1");

    // One comes back under another name, and is forgotten again.
    store.poll(at(30), PollRequest { agent_name: "Helsinki 3".to_owned(), ..poll(2, 0) }).await;
    named(1, "Helsinki 3").await;
    assert_eq!(store.sweep(at(50), forget.clone()).await.forgotten, 1);
    named(1, "Helsinki 3").await;

    // Task 1 and its attempts go; task 2 is agent 2's still.
    let delete = Sweep { delete_after: Some(seconds(10)), ..DUE };
    assert_eq!(store.sweep(at(50), delete.clone()).await.deleted, 1);
    assert_eq!(names(), "1");
    named(2, "Helsinki 3").await;
    store.report(at(50), completed(2, "{}")).await.unwrap();
    assert_eq!(store.sweep(at(70), delete.clone()).await.deleted, 1);
    assert_eq!(names(), "0");
}

pub(crate) async fn finished_tasks_are_deleted_with_their_attempts(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let terms = Terms { max_attempts: 2, retry_errors: true, ..Terms::default() };
    store.post_under(at(0), terms, 1).await;
    store.post(at(0), 2..=4).await;
    assert_eq!(store.claim(at(1), 1, 3).await, [1, 2, 3]);
    store.report(at(2), failed(1, r#""no""#)).await.unwrap();
    store.cancel(at(5), 2).await.unwrap();
    store.cancel(at(5), 1).await.unwrap();
    let sweep = Sweep { delete_after: Some(seconds(60)), ..DUE };
    assert_eq!(store.sweep(at(65), sweep.clone()).await.deleted, 0);
    assert_eq!(store.sweep(at(65) + MICROSECOND, sweep.clone()).await.deleted, 2);
    for n in [1, 2] {
        assert_eq!(store.task(task_id(n)).await.unwrap(), None);
        assert!(store.past(n).await.is_empty());
        assert_eq!(store.report(at(66), completed(n, "{}")).await, Err(Refusal::UnknownTask));
    }
    // What is not finished never is too old.
    assert_eq!(store.sweep(at(1_000_000), sweep.clone()).await.deleted, 0);
    assert_eq!((store.state(3).await.name(), store.state(4).await.name()), ("claimed", "pending"));
    // An id is free again.
    store.post(at(1_000_000), [1]).await;
    assert_eq!(store.stored(1).await.attempts, 0);
}

pub(crate) async fn a_sweep_keeps_to_its_limit_and_says_when_there_is_more(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let (short, long) = (seconds(10), seconds(500));
    for n in 0..5 {
        store.post_under(at(0), Terms { ttl: Some(short), ..Terms::default() }, n).await;
    }
    store.batch(at(0), submits(10..15)).await;
    store.post_under(at(0), Terms { ttl: Some(long), ..Terms::default() }, 20).await;
    for agent in 0..5 {
        // Those with a TTL are not for these.
        let delivered = store.poll(at(10), poll(agent, 1)).await;
        assert_eq!(delivered.len(), 1);
    }
    let all = Sweep {
        limit: 2,
        lost_after: Some(seconds(20)),
        forget_after: Some(seconds(30)),
        delete_after: Some(seconds(100)),
        heartbeats: Vec::new(),
    };
    let done = |settled, lost, forgotten, deleted, more, next_due| Swept {
        settled,
        lost,
        forgotten,
        deleted,
        more,
        next_due: Some(at(next_due)),
    };
    assert_eq!(store.sweep(at(10), all.clone()).await, done(2, 0, 0, 0, true, 10));
    assert_eq!(store.sweep(at(11), all.clone()).await, done(2, 0, 0, 0, true, 10));
    assert_eq!(store.sweep(at(12), all.clone()).await, done(1, 0, 0, 0, false, 500));
    assert_eq!(store.sweep(at(31), all.clone()).await, done(0, 2, 0, 0, true, 500));
    assert_eq!(store.sweep(at(50), all.clone()).await, done(0, 2, 2, 0, true, 500));
    assert_eq!(store.sweep(at(50), all.clone()).await, done(0, 1, 2, 0, true, 500));
    assert_eq!(store.sweep(at(50), all.clone()).await, done(0, 0, 1, 0, false, 500));
    let mut deleted = 0;
    while deleted < 10 {
        let swept = store.sweep(at(200), all.clone()).await;
        assert_eq!((swept.deleted, swept.more), (2, true));
        deleted += swept.deleted;
    }
    assert_eq!(store.sweep(at(200), all.clone()).await, done(0, 0, 0, 0, false, 500));
}

pub(crate) async fn a_sweep_comes_in_the_order_of_its_batch(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post_under(at(0), Terms { max_attempts: 2, ..Terms::default() }, 1).await;
    store.claim(at(1), 1, 1).await;
    let batch = vec![Command::from(poll(2, 1)), Command::Sweep(LOST), Command::Report(completed(1, "{}"))];
    let outcomes = store.batch(at(302), batch).await;
    assert!(matches!(&outcomes[0], Outcome::Poll(polled) if polled.tasks[0].attempt == 2));
    assert_eq!(outcomes[2], Outcome::Report(Err(Refusal::TooLate(1))));
    // And the other way round: the result is in time, however silent its agent was.
    let alias = store.stored(1).await.last_attempt().unwrap().alias;
    let result = slamon_domain::testing::commands::completed_as(alias, "{}");
    let outcomes = store.batch(at(900), vec![Command::Report(result), Command::Sweep(LOST)]).await;
    assert_eq!(outcomes[0], Outcome::Report(Ok(Reported::Stored)));
    assert!(matches!(&outcomes[1], Outcome::Sweep(swept) if swept.lost == 0));
}

pub(crate) async fn sweeps_racing_on_two_stores_end_each_task_once(fixture: &impl SharedFixture) {
    const EACH: u128 = 30;
    let store = fixture.ready().await;
    let terms = [
        Terms { ttl: Some(seconds(100)), ..Terms::default() },
        Terms { timeout: Some(seconds(50)), max_attempts: 2, ..Terms::default() },
        Terms { max_attempts: 2, ..Terms::default() },
    ];
    for n in 0..3 * EACH {
        store.post_under(at(0), terms[n as usize % 3].clone(), n).await;
    }
    for agent in 0..3 {
        assert_eq!(store.claim(at(1), agent, EACH as u32 - 5).await.len() as u128, EACH - 5);
    }
    // Agents 0 to 2 are silent from now on. Others take what waits again, and hand in some of it.
    let mut racing = JoinSet::new();
    for racer in 0..4_u128 {
        let store = if racer % 2 == 0 { store.clone() } else { fixture.second() };
        racing.spawn(async move {
            let (mut ended, mut lost) = (Vec::new(), 0);
            for round in 0..30 {
                let sweep = Command::Sweep(Sweep { limit: 7, lost_after: Some(seconds(60)), ..DUE });
                let poll = Command::from(poll(10 + racer, 1));
                let applied = store.applied(at(101 + round), vec![sweep, poll]).await;
                let (swept, polled) = (&applied.replies.sweeps[0], &applied.replies.polls[0]);
                let (swept, polled) = (swept.as_ref().unwrap(), polled.as_ref().unwrap());
                lost += swept.lost;
                ended.extend(applied.ended);
                for delivery in &polled.tasks {
                    let result = slamon_domain::testing::commands::completed_as(delivery.alias, "{}");
                    let report = || store.applied(at(101 + round), vec![Command::Report(result.clone())]);
                    let mut applied = report().await;
                    // A claim that looks whether it still waits may have it locked for a moment.
                    while applied.replies.reports == [Err(Locked)] {
                        applied = report().await;
                    }
                    assert_eq!(applied.replies.reports, [Ok(Ok(Reported::Stored))]);
                    ended.extend(applied.ended);
                }
            }
            (ended, lost)
        });
    }
    let (mut ended, mut lost) = (Vec::new(), 0);
    for (theirs, lost_by_them) in racing.join_all().await {
        ended.extend(theirs);
        lost += lost_by_them;
    }
    let total = ended.len();
    ended.sort_unstable();
    ended.dedup();
    assert_eq!(ended.len(), total, "a task ended twice");
    let mut attempts_lost = 0;
    for n in 0..3 * EACH {
        let task = store.stored(n).await;
        assert_eq!(matches!(task.state, State::Ended { .. }), ended.contains(&task_id(n)), "{task:?}");
        let past = store.past(n).await;
        let numbers: Vec<_> = past.iter().map(|(past, _)| past.attempt.number).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b) && numbers.len() <= task.attempts as usize);
        attempts_lost += past.iter().filter(|(past, _)| past.end == AttemptEnd::Lost).count() as u64;
        if n % 3 == 0 {
            assert_eq!(task.state.name(), "expired");
        }
    }
    assert_eq!(lost, attempts_lost);
}
