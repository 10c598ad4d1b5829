//! Tests that what was claimed or told and did not reach its agent goes back.

use super::*;

#[tokio::test]
async fn an_answer_that_nobody_takes_gives_its_tasks_back() {
    let (_store, committer) = start().await;
    committer.submit(task(1)).await.unwrap().unwrap();
    let mut gone = Box::pin(committer.poll(poll(10), None));
    assert!(first_poll(gone.as_mut()).await.is_pending());
    // When this is answered, so is the poll before it, whose future is not polled any more.
    committer.submit(task(2)).await.unwrap().unwrap();
    drop(gone);
    assert_eq!(ids(&committer.poll(poll(11), None).await.map(kept).unwrap()), [1, 2]);
}

#[tokio::test]
async fn what_a_poll_has_brought_goes_back_where_nobody_sends_it() {
    let (_store, committer) = start().await;
    committer.submit(task(1)).await.unwrap().unwrap();
    let claimed = committer.poll(poll(10), None).await.unwrap();
    assert_eq!(ids(&claimed), [1]);
    drop(claimed);
    assert_eq!(ids(&committer.poll(poll(11), None).await.map(kept).unwrap()), [1]);
}

#[tokio::test(start_paused = true)]
async fn tasks_of_a_doubtful_commit_go_back_although_the_database_stays_away_and_requests_keep_coming() {
    let (store, committer) = start().await;
    committer.submit(task(1)).await.unwrap().unwrap();
    store.comes(&[Fate::InDoubt, Fate::Away, Fate::Away]);
    assert_eq!(committer.poll(poll(10), None).await.map(kept), Err(CommitError::Unavailable));
    // A request every tenth of a second: less than the time after which a release is tried again.
    for n in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let polled = committer.poll(poll(11), None).await.map(kept).unwrap_or_default();
        if !polled.tasks.is_empty() {
            assert_eq!(ids(&polled), [1]);
            return;
        }
        assert!(n < 99, "the task was never given back");
    }
}

#[tokio::test]
async fn what_is_handed_off_comes_to_nothing_where_nothing_is_committed() {
    let TestParts { store, committer, waiters, .. } = TestParts::start(WriteConcurrency::ONE).await;
    committer.poll(poll(10), None).await.map(kept).unwrap();
    let waiting = waiters.poll(&poll(10)).unwrap();
    let handed = async || {
        let submit = async {
            while !waiters.is_waiting(Uuid::from_u128(10)) {
                tokio::task::yield_now().await;
            }
            committer.submit(task(1)).await
        };
        let (handed, submitted) = tokio::join!(waiting.woken(Duration::from_secs(3_600)), submit);
        (handed.unwrap().await, submitted)
    };
    store.comes(&[Fate::Away]);
    assert_eq!(handed().await, (Claimed::default(), Err(CommitError::Unavailable)));
    // The batch may be committed: then the task is released before anybody else asks.
    store.comes(&[Fate::InDoubt]);
    assert_eq!(handed().await, (Claimed::default(), Err(CommitError::Unavailable)));
    assert_eq!(ids(&committer.poll(poll(11), None).await.map(kept).unwrap()), [1]);
    assert_eq!(*store.begun.lock().unwrap(), [1, 2, 2, 1, 1], "a poll, both posts, a release, a poll");
}

#[tokio::test]
async fn what_an_agent_was_told_goes_back_where_it_never_heard_it() {
    let (store, committer) = start().await;
    let told = async || committer.poll(poll(10), None).await.map(kept).map(|polled| polled.cancelled);
    for fate in [None, Some(Fate::InDoubt)] {
        let n = if fate.is_none() { 1 } else { 2 };
        committer.submit(task(n)).await.unwrap().unwrap();
        assert_eq!(ids(&committer.poll(poll(10), None).await.map(kept).unwrap()), [n]);
        committer.cancel(Uuid::from_u128(n)).await.unwrap().unwrap().unwrap();
        if let Some(fate) = fate {
            store.comes(&[fate]);
            assert_eq!(told().await, Err(CommitError::Unavailable));
        } else {
            store.hold();
            let begun = store.begun().await.len();
            let gone = tokio::spawn({
                let committer = committer.clone();
                async move { committer.poll(poll(10), None).await.map(kept) }
            });
            assert_eq!(store.begun().await.len(), begun + 1);
            gone.abort();
            assert!(gone.await.unwrap_err().is_cancelled());
            store.let_go();
        }
        assert_eq!(told().await.unwrap(), [Uuid::from_u128(n)]);
        assert_eq!(told().await.unwrap(), [] as [Uuid; 0]);
    }
}
