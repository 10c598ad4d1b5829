//! Tests commands that need a locked row.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_is_locked_is_tried_for_a_while_and_holds_up_nobody() {
    let (store, committer) = start().await;
    store.lock(2..1_000);
    let began = Instant::now();
    let locked = submit_together(&committer, 2..1_000);
    for submit in submit_together(&committer, [1, 1_000]) {
        assert_eq!(submit.await.unwrap(), Ok(Ok(Submitted::Stored)));
    }
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    for submit in locked {
        assert_eq!(submit.await.unwrap(), Err(CommitError::Locked));
    }
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_locked_any_more_is_done() {
    let (store, committer) = start().await;
    store.lock([1]);
    let submits = submit_together(&committer, [1]);
    let began = Instant::now();
    tokio::time::sleep(Duration::from_millis(300)).await;
    store.lock([]);
    for submit in submits {
        assert_eq!(submit.await.unwrap(), Ok(Ok(Submitted::Stored)));
    }
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn commands_that_name_what_is_locked_are_not_tried_with_others() {
    let (store, committer) = start().await;
    store.lock([1]);
    assert_eq!(committer.submit(task(1)).await, Err(CommitError::Locked));
    store.hold();
    let mut submits = submit_together(&committer, [2]);
    assert_eq!(store.begun().await.last(), Some(&1));
    let before = store.begun().await.len();
    submits.extend(submit_together(&committer, [1, 3, 4]));
    store.begun().await;
    store.let_go();
    let mut answers = Vec::new();
    for submit in submits {
        answers.push(submit.await.unwrap().map(|submitted| submitted.unwrap()));
    }
    let stored = Ok(Submitted::Stored);
    assert_eq!(answers, [stored, Err(CommitError::Locked), stored, stored]);
    let begun = store.begun().await;
    assert!(begun[before..].contains(&2) && !begun[before..].contains(&3), "{begun:?}");
}
