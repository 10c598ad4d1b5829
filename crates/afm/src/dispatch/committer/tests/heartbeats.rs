//! Tests that no heartbeat is lost on its way through the committer, and that nobody waits for more than they
//! asked for.

use super::*;
use crate::dispatch::heartbeats::Heartbeats;

#[tokio::test]
async fn heartbeats_are_kept_until_they_are_saved() {
    let (store, committer) = start().await;
    let heartbeats = Heartbeats::new(committer.cache.clone(), committer.clone());
    committer.cache.refresh(&*store).await.unwrap();
    assert_eq!(ids(&committer.poll(poll(10), None).await.map(kept).unwrap()), []);
    // This poll is answered from the cache.
    assert_eq!(ids(&committer.poll(poll(10), None).await.map(kept).unwrap()), []);
    let mut given_up = Box::pin(heartbeats.flush());
    assert!(first_poll(given_up.as_mut()).await.is_pending());
    drop(given_up);
    store.comes(&[Fate::Away]);
    assert_eq!(heartbeats.flush().await, Err(CommitError::Unavailable));
    let seen = committer.cache.take_unsaved(9);
    assert_eq!(seen.iter().map(|(id, _)| id.as_u128()).collect::<Vec<_>>(), [10]);
}

#[tokio::test]
async fn heartbeats_that_come_while_others_are_saved_are_left_for_the_next_time() {
    let (store, committer) = start().await;
    let heartbeats = Heartbeats::new(committer.cache.clone(), committer.clone());
    committer.cache.refresh(&*store).await.unwrap();
    for agent in [10, 11] {
        committer.poll(poll(agent), None).await.map(kept).unwrap();
    }
    committer.poll(poll(10), None).await.map(kept).unwrap();
    store.hold();
    let flushing = tokio::spawn(async move { heartbeats.flush().await });
    let before = store.begun().await.len();
    for agent in [10, 11] {
        committer.poll(poll(agent), None).await.map(kept).unwrap();
    }
    store.let_go();
    assert_eq!(flushing.await.unwrap(), Ok(()));
    assert_eq!(store.begun().await.len(), before);
    assert_eq!(committer.cache.unsaved(), 2);
}

#[tokio::test]
async fn those_who_have_heartbeats_flushed_at_the_same_time_share_it() {
    let (store, committer) = start().await;
    let heartbeats = Heartbeats::new(committer.cache.clone(), committer.clone());
    committer.cache.refresh(&*store).await.unwrap();
    for _ in 0..2 {
        committer.poll(poll(10), None).await.map(kept).unwrap();
    }
    store.hold();
    let flush = || {
        let heartbeats = heartbeats.clone();
        tokio::spawn(async move { heartbeats.flush().await })
    };
    let first = flush();
    assert_eq!(store.begun().await, [1, 1], "the poll that was new, and the heartbeats");
    committer.poll(poll(10), None).await.map(kept).unwrap();
    // The flush that is under way may have missed that heartbeat.
    let others = [flush(), flush(), flush()];
    store.begun().await;
    store.let_go();
    first.await.unwrap().unwrap();
    assert_eq!(store.begun().await, [1, 1, 1]);
    committer.poll(poll(10), None).await.map(kept).unwrap();
    store.let_go();
    for other in others {
        other.await.unwrap().unwrap();
    }
    assert_eq!(store.begun().await, [1, 1, 1], "one for all three");
    assert_eq!(committer.cache.unsaved(), 1);
    flush().await.unwrap().unwrap();
    assert_eq!(committer.cache.unsaved(), 0);
}
