//! Tests that each command gets its own reply, whatever becomes of the others.

use super::*;

#[tokio::test]
async fn a_command_that_the_store_leaves_without_a_reply_fails_and_no_other() {
    let (store, committer) = start().await;
    committer.submit(task(1)).await.unwrap().unwrap();
    store.comes(&[Fate::Unreplied]);
    let (submitted, polled) = tokio::join!(committer.submit(task(2)), committer.poll(poll(10), None));
    assert_eq!(submitted, Err(CommitError::Failed));
    assert_eq!(ids(&polled.unwrap()), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn replies_come_to_the_callers_of_their_commands_whatever_comes_between() {
    let (store, committer) = start().await;
    store.hold();
    let first = submit_together(&committer, [1]);
    assert_eq!(store.begun().await, [1]);
    store.lock([3]);
    let together = async {
        tokio::join!(
            committer.submit(task(2)),
            committer.cancel(Uuid::from_u128(9)),
            committer.submit(task(3)),
            committer.poll(poll(10), None),
            committer.submit(task(2)),
            committer.sweep(SWEEP),
        )
    };
    let release = async {
        assert_eq!(store.begun().await, [1]);
        store.let_go();
    };
    let ((second, cancelled, locked, polled, again, swept), ()) = tokio::join!(together, release);
    assert_eq!((second, again), (Ok(Ok(Submitted::Stored)), Ok(Ok(Submitted::Repeated))));
    assert_eq!((cancelled, locked), (Ok(None), Err(CommitError::Locked)));
    assert_eq!((ids(&polled.unwrap()), swept.unwrap().settled), (vec![1, 2], 0));
    for submit in first {
        assert_eq!(submit.await.unwrap(), Ok(Ok(Submitted::Stored)));
    }
    assert_eq!(store.begun().await[..2], [1, 6]);
}

#[tokio::test]
async fn a_command_that_is_refused_is_found_by_halves() {
    let (store, committer) = start().await;
    store.hold();
    let mut submits = submit_together(&committer, [1]);
    assert_eq!(store.begun().await, [1]);
    store.refuse([77]);
    submits.extend(submit_together(&committer, 2..130));
    store.let_go();
    for (n, submit) in (1..).zip(submits) {
        let expected = if n == 77 { Err(CommitError::Failed) } else { Ok(Ok(Submitted::Stored)) };
        assert_eq!(submit.await.unwrap(), expected, "task {n}");
    }
    let begun = store.begun().await;
    assert_eq!(begun[..3], [1, 128, 64]);
    assert_eq!(begun.len(), 2 + 2 * 7, "{begun:?}");
}

#[tokio::test]
async fn a_command_that_is_refused_leaves_what_is_known_as_it_is() {
    let (store, committer) = start().await;
    committer.cache.refresh(&*store).await.unwrap();
    committer.poll(poll(10), None).await.map(kept).unwrap();
    store.refuse([1]);
    assert_eq!(committer.submit(task(1)).await, Err(CommitError::Failed));
    let before = store.begun().await;
    committer.poll(poll(10), None).await.map(kept).unwrap();
    assert_eq!(store.begun().await, before, "the poll is answered from memory");
}
