//! A batch is all or nothing.

use slamon_domain::{Command, Refusal, Reported, State, Submitted};
use slamon_protocol::PollRequest;
use slamon_store::StoreError;

use crate::driver::{delivered, numbers};
use crate::fixture::{Fixture, SharedFixture};
use slamon_domain::testing::commands::{
    at, claimed, completed, poll, release, submits, task, task_id, task_of,
};
use slamon_domain::testing::outcome::Outcome;

pub(crate) async fn outcomes_are_in_the_order_of_their_commands(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1, 2]).await;
    store.claim(at(1), 1, 2).await;
    let batch = vec![
        Command::from(poll(2, 1)),
        Command::Report(completed(1, "{}")),
        Command::Submit(task(3)),
        Command::Submit(task(1)),
        Command::from(poll(3, 9)),
        release(1, at(1), &[2]),
        Command::Report(completed(9, "{}")),
    ];
    let mut outcomes = store.batch(at(2), batch).await;
    assert_eq!(numbers(&delivered(outcomes.remove(4))), [3]);
    assert_eq!(numbers(&delivered(outcomes.remove(0))), [2]);
    assert_eq!(
        outcomes,
        [
            Outcome::Report(Ok(Reported::Stored)),
            Outcome::Submit(Ok(Submitted::Stored)),
            Outcome::Submit(Ok(Submitted::Repeated)),
            Outcome::Release(1),
            Outcome::Report(Err(Refusal::UnknownTask)),
        ]
    );
}

pub(crate) async fn a_dropped_call_leaves_no_half_of_a_batch(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    for patience in 0..40_u128 {
        let first = 1_000 * patience;
        let call = store.apply(submits(first..first + 20).into(), at(0));
        let impatience = async {
            for _ in 0..patience {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            outcomes = call => drop(outcomes.unwrap()),
            () = impatience => {}
        }
    }
    // Claimed one by one, after all that came before: of each batch all tasks, or none.
    let mut claimed = vec![0; 40];
    while let [n] = store.claim(at(1), 1, 1).await[..] {
        claimed[(n / 1_000) as usize] += 1;
    }
    assert!(claimed.iter().all(|tasks| [0, 20].contains(tasks)), "{claimed:?}");
}

pub(crate) async fn a_closed_store_is_unavailable(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    store.close().await;
    assert!(matches!(store.apply(submits([1]).into(), at(0)).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.task(task_id(1)).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.check().await, Err(StoreError::Unavailable(_))));
    // Closing again does no harm.
    store.close().await;
}

pub(crate) async fn a_batch_that_fails_in_the_middle_changes_nothing(fixture: &impl SharedFixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1, 2]).await;
    store.claim(at(1), 1, 1).await;
    let before = (store.everything().await, store.stored(1).await, store.stored(2).await);

    fixture.refuse_poison();
    let batch = |poison: &str| {
        vec![
            Command::Submit(task(3)),
            Command::Report(completed(1, "{}")),
            Command::from(PollRequest { agent_name: "renamed".to_owned(), ..poll(1, 9) }),
            Command::Submit(task_of(poison, 1, 4)),
            Command::Submit(task(5)),
        ]
    };
    let applied = store.apply(batch("poison").into(), at(2)).await;
    assert!(matches!(applied, Err(StoreError::Failed(_))), "{applied:?}");
    assert_eq!((store.everything().await, store.stored(1).await, store.stored(2).await), before);
    assert_eq!(store.task(task_id(3)).await.unwrap(), None);

    // The same with nothing wrong in it, and the same once nobody minds.
    let mut outcomes = store.batch(at(3), batch("remedy")).await;
    assert_eq!(numbers(&delivered(outcomes.remove(2))), [2, 3, 5]);
    fixture.take_poison();
    store.batch(at(4), vec![Command::Submit(task_of("poison", 1, 6))]).await;
    assert_eq!(store.waiting().await, 2);
}

pub(crate) async fn a_locked_database_is_unavailable_until_it_is_not<F: SharedFixture>(fixture: &F) {
    fixture.ready().await.post(at(0), [1, 2]).await;
    let store = fixture.impatient();
    assert_eq!(store.claim(at(1), 1, 1).await, [1]);
    let lock = fixture.lock().await;
    let batch =
        || vec![Command::Submit(task(3)), Command::Report(completed(1, "{}")), Command::from(poll(1, 9))];
    for _ in 0..2 {
        let applied = store.apply(batch().into(), at(2)).await;
        assert!(matches!(applied, Err(StoreError::Unavailable(_))), "{applied:?}");
    }
    F::unlock(lock).await;
    assert_eq!(store.task(task_id(3)).await.unwrap(), None);
    assert_eq!(store.state(1).await, claimed(1, 1, at(1)));
    assert_eq!(store.state(2).await, State::Pending);
    let mut outcomes = store.batch(at(3), batch()).await;
    assert_eq!(numbers(&delivered(outcomes.remove(2))), [2, 3]);
    assert_eq!(outcomes[1], Outcome::Report(Ok(Reported::Stored)));
}

pub(crate) async fn two_stores_see_the_same(fixture: &impl SharedFixture) {
    let (one, two) = (fixture.ready().await, fixture.second());
    two.check().await.unwrap();
    one.post(at(0), [1]).await;
    assert_eq!(two.submit(at(0), task(1)).await, Ok(Submitted::Repeated));
    two.post(at(1), [2]).await;
    assert_eq!(one.claim(at(2), 1, 1).await, [1]);
    assert_eq!(two.claim(at(2), 2, 9).await, [2]);
    assert_eq!(two.report(at(3), completed(1, "{}")).await, Ok(Reported::Stored));
    assert_eq!(one.report(at(3), completed(1, "{}")).await, Ok(Reported::Repeated));
    assert_eq!(one.stored(1).await, two.stored(1).await);
    assert_eq!(one.everything().await, two.everything().await);
}
