//! What time alone ends: TTLs, and attempts that take too long.

use slamon_domain::{AttemptEnd, End, EndedAttempt, Refusal, State, Submitted};
use slamon_protocol::Terms;

use crate::fixture::Fixture;
use slamon_domain::testing::commands::{
    DUE, MICROSECOND, agent_id, at, attempt, claimed, completed, ended, json, poll, poll_for, seconds,
    task_id,
};

fn ttl(n: u64) -> Terms {
    Terms { ttl: Some(seconds(n)), ..Terms::default() }
}

pub(crate) async fn a_waiting_task_expires_at_the_end_of_its_ttl(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post_under(at(0), ttl(30), 1).await;
    let swept = store.sweep(at(30) - MICROSECOND, DUE).await;
    assert_eq!((swept.settled, swept.next_due), (0, Some(at(30))));
    assert_eq!(store.state(1).await, State::Pending);
    let swept = store.sweep(at(30), DUE).await;
    assert_eq!((swept.settled, swept.next_due), (1, None));
    let words =
        "\"Task TTL of 30 s expired: waited 30.0 s, no agent offering wait version 1 polled in that time\"";
    let end = End::Expired(json(words));
    assert_eq!(store.state(1).await, State::Ended { at: at(30), last: None, end });
    assert_eq!(store.stored(1).await.attempts, 0);
    assert!(store.past(1).await.is_empty());
    assert!(store.claim(at(31), 1, 9).await.is_empty());
    assert_eq!(store.report(at(31), completed(1, "{}")).await, Err(Refusal::AlreadyFinished));
    assert_eq!(store.waiting().await, 0);
}

pub(crate) async fn an_expired_task_says_who_might_have_taken_it(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let waited = "Task TTL of 2.5 s expired: waited 2.5 s,";
    let terms = Terms { ttl: Some(seconds(5) / 2), ..Terms::default() };
    store.poll(at(0), poll_for(1, 0, &[("wait", 7), ("other", 1)])).await;
    store.post_under(at(0), terms.clone(), 1).await;
    store.sweep(at(0) + seconds(5) / 2, DUE).await;
    let words = format!("{waited} no agent offering wait version 1 polled in that time, only version 7");
    assert_eq!(store.error(1).await, format!("\"{words}\""));

    store.post_under(at(10), terms, 2).await;
    store.poll(at(11), poll(1, 0)).await;
    store.sweep(at(10) + seconds(5) / 2, DUE).await;
    let words = format!("{waited} all agents offering wait version 1 were busy");
    assert_eq!(store.error(2).await, format!("\"{words}\""));
}

pub(crate) async fn a_delayed_task_expires_at_the_end_of_its_ttl(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post_under(at(0), Terms { delay: seconds(60), ..ttl(30) }, 1).await;
    assert_eq!(store.sweep(at(30) - MICROSECOND, DUE).await.settled, 0);
    assert_eq!(store.sweep(at(30), DUE).await.settled, 1);
    let until = slamon_protocol::sql_time(at(60));
    let words = format!("\"Task TTL of 30 s expired: it was delayed until {until}\"");
    assert_eq!(store.error(1).await, words);
}

pub(crate) async fn a_claimed_task_expires_at_the_end_of_its_ttl(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post_under(at(0), ttl(30), 1).await;
    let delivered = store.poll(at(10), poll(1, 1)).await;
    assert_eq!((delivered[0].attempt, delivered[0].deadline), (1, Some(at(30))));
    assert_eq!(store.sweep(at(30) - MICROSECOND, DUE).await.settled, 0);
    assert_eq!(store.sweep(at(30), DUE).await.settled, 1);
    let words = format!(
        r#""Task TTL of 30 s expired: agent \"agent 1\" ({}) had it for 20.0 s, attempt 1 of 1""#,
        agent_id(1)
    );
    assert_eq!(store.state(1).await, ended(claimed(1, 1, at(10)), at(30), End::Expired(json(words))));
    let over = EndedAttempt { attempt: attempt(1, 1, at(10)), at: at(30), end: AttemptEnd::Expired };
    assert_eq!(store.past(1).await, [(over, None)]);
    // Its agent is told once, and nobody else.
    assert!(store.polled(at(31), poll(2, 0)).await.cancelled.is_empty());
    assert_eq!(store.polled(at(31), poll(1, 0)).await.cancelled, [task_id(1)]);
    assert!(store.polled(at(32), poll(1, 0)).await.cancelled.is_empty());
}

pub(crate) async fn nothing_but_a_sweep_needs_to_notice_the_end_of_a_ttl(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    for n in 1..=4 {
        store.post_under(at(0), ttl(30), n).await;
    }
    assert_eq!(store.claim(at(1), 1, 2).await, [1, 2]);
    // No sweep has run: the deadline holds all the same, to the microsecond.
    let early = store.report(at(30) - MICROSECOND, completed(1, "{}")).await;
    assert!(early.is_ok(), "{early:?}");
    assert_eq!(store.report(at(30), completed(2, "{}")).await, Err(Refusal::TooLate(1)));
    assert_eq!(store.state(2).await.name(), "expired");
    assert!(store.claim(at(30), 1, 9).await.is_empty());
    assert_eq!(store.cancel(at(30), 3).await, Err(Refusal::CannotCancel));
    assert_eq!(store.state(3).await.name(), "expired");
}

pub(crate) async fn what_waits_behind_an_expired_task_is_handed_out(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post_under(at(0), Terms { priority: 9, ..ttl(30) }, 1).await;
    store.post(at(0), [2]).await;
    assert_eq!(store.claim(at(30), 1, 1).await, [2]);
}

pub(crate) async fn an_attempt_times_out_at_its_deadline(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post_under(at(0), Terms { timeout: Some(seconds(5)), ..Terms::default() }, 1).await;
    let delivered = store.poll(at(100), poll(1, 1)).await;
    assert_eq!(delivered[0].deadline, Some(at(105)));
    let swept = store.sweep(at(105) - MICROSECOND, DUE).await;
    assert_eq!((swept.settled, swept.next_due), (0, Some(at(105))));
    assert_eq!(store.sweep(at(105), DUE).await.settled, 1);
    let words = format!(
        r#""Task timeout of 5 s passed: agent \"agent 1\" ({}) sent no result, attempt 1 of 1""#,
        agent_id(1)
    );
    assert_eq!(store.error(1).await, words);
    assert_eq!(store.state(1).await.name(), "failed");
    let [(over, None)] = &store.past(1).await[..] else { panic!("it was not kept") };
    assert_eq!((over.at, &over.end, over.attempt.deadline), (at(105), &AttemptEnd::TimedOut, Some(at(105))));
    // A timeout is the agent's own to notice: only what the client ended is told.
    assert!(store.polled(at(106), poll(1, 0)).await.cancelled.is_empty());
}

pub(crate) async fn the_sooner_of_ttl_and_timeout_is_the_deadline(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    for (n, timeout) in [(1, 5), (2, 50)] {
        store.post_under(at(0), Terms { timeout: Some(seconds(timeout)), ..ttl(30) }, n).await;
    }
    let delivered = store.poll(at(10), poll(1, 9)).await;
    let deadlines: Vec<_> = delivered.iter().map(|delivery| delivery.deadline).collect();
    assert_eq!(deadlines, [Some(at(15)), Some(at(30))]);
}

pub(crate) async fn a_delayed_task_waits_from_the_end_of_its_delay_on(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post_under(at(0), Terms { delay: seconds(60), ..Terms::default() }, 1).await;
    store.post(at(1), [2]).await;
    assert_eq!(store.state(1).await, State::Delayed { until: at(60) });
    assert_eq!(store.waiting().await, 1);
    let swept = store.sweep(at(60) - MICROSECOND, DUE).await;
    assert_eq!((swept.settled, swept.next_due), (0, Some(at(60))));
    let applied = store.applied(at(60), vec![slamon_domain::Command::Sweep(DUE)]).await;
    let [Ok(swept)] = applied.replies.sweeps[..] else { panic!("{applied:?}") };
    assert_eq!((swept.settled, swept.next_due), (1, None));
    assert_eq!(applied.waiting.len(), 1);
    // It keeps the place of its arrival.
    assert_eq!(store.claim(at(60), 1, 9).await, [1, 2]);
    store.post_under(at(61), Terms { delay: seconds(1), ..Terms::default() }, 3).await;
    assert_eq!(store.report(at(61), completed(3, "{}")).await, Err(Refusal::NotClaimed));
}

pub(crate) async fn a_task_without_a_timeout_has_the_default_of_the_store_that_hands_it_out<F: Fixture>(
    _: &F,
) {
    let fixture = F::with_default_timeout(Some(seconds(5)));
    let store = fixture.ready().await;
    store.post_under(at(0), Terms { max_attempts: 2, ..Terms::default() }, 1).await;
    store.post_under(at(0), Terms { timeout: Some(seconds(60)), ..Terms::default() }, 2).await;
    let deliveries = store.poll(at(3), poll(1, 9)).await;
    let deadlines: Vec<_> = deliveries.iter().map(|delivery| delivery.deadline).collect();
    assert_eq!(deadlines, [Some(at(8)), Some(at(63))]);
    let swept = store.sweep(at(8) - MICROSECOND, DUE).await;
    assert_eq!((swept.settled, swept.next_due), (0, Some(at(8))));
    assert_eq!(store.sweep(at(8), DUE).await.settled, 1);
    assert_eq!(store.past(1).await[0].0.end, AttemptEnd::TimedOut);
    assert_eq!(store.claim(at(9), 2, 9).await, [1]);
    assert_eq!(store.sweep(at(14), DUE).await.settled, 1);
    let agent = agent_id(2);
    let words = format!(
        r#""Task timeout of 5 s passed: agent \"agent 2\" ({agent}) sent no result, attempt 2 of 2""#
    );
    assert_eq!(store.error(1).await, words);
    // What its client posted has not changed.
    assert_eq!(store.submit(at(15), store.stored(1).await.posted).await, Ok(Submitted::Repeated));
    assert_eq!(store.stored(1).await.posted.terms.timeout, None);
}
