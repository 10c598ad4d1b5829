//! Tests what agents say they execute against what is being claimed for them.

use super::*;

fn says_nothing_runs() -> Option<RunningReport> {
    Some(RunningReport { running: Vec::new(), at: Instant::now() })
}

async fn is_claimed(store: &Layered<FatefulStore>, n: u128) -> bool {
    let task = store.task(Uuid::from_u128(n)).await.unwrap().unwrap();
    matches!(task.state, slamon_domain::State::Claimed(_))
}

#[tokio::test]
async fn of_what_is_being_claimed_an_agent_need_not_know() {
    let (store, committer) = start().await;
    committer.submit(task(1)).await.unwrap().unwrap();
    store.hold();
    let spawned = |reported| {
        let committer = committer.clone();
        tokio::spawn(async move { committer.poll(poll(10), reported).await.map(kept).unwrap() })
    };
    let first = spawned(None);
    assert_eq!(store.begun().await, [1, 1]);
    let second = spawned(says_nothing_runs());
    assert_eq!(store.begun().await, [1, 1]);
    store.let_go();
    assert_eq!(ids(&first.await.unwrap()), [1]);
    assert_eq!(ids(&second.await.unwrap()), [0; 0]);
    assert!(is_claimed(&store, 1).await);
    committer.poll(poll(10), says_nothing_runs()).await.map(kept).unwrap();
    assert!(!is_claimed(&store, 1).await);
}

#[tokio::test]
async fn of_what_an_ended_poll_was_given_an_agent_need_not_know() {
    let (store, committer) = start().await;
    let began = Instant::now();
    committer.submit(task(1)).await.unwrap().unwrap();
    assert_eq!(ids(&committer.poll(poll(10), None).await.map(kept).unwrap()), [1]);
    let reported = says_nothing_runs().map(|reported| reported.before(Some(began)));
    committer.poll(poll(10), reported).await.map(kept).unwrap();
    assert!(is_claimed(&store, 1).await);
    let reported = says_nothing_runs().map(|reported| reported.before(None));
    committer.poll(poll(10), reported).await.map(kept).unwrap();
    assert!(!is_claimed(&store, 1).await);
}
