//! Tests how much may wait, and what is applied together.

use super::*;

#[tokio::test]
async fn what_waits_is_bounded_in_bytes() {
    let megabyte = "x".repeat(1_024 * 1_024);
    let data = slamon_protocol::JsonText::from_stored(format!("{{\"x\":\"{megabyte}\"}}"));
    for large in
        [PostTask { task_data: Some(data), ..task(1) }, PostTask { task_type: megabyte.clone(), ..task(1) }]
    {
        waits_up_to_a_bound(&large).await;
    }
}

async fn waits_up_to_a_bound(large: &PostTask) {
    let (_store, committer) = start().await;
    let mut waiting = Vec::new();
    for n in 0..QUEUE_KIB / 1_024 + 1 {
        let mut task = large.clone();
        task.task_id = Uuid::from_u128(u128::from(n));
        waiting.push(Box::pin(committer.submit(task)));
    }
    let mut busy = 0;
    for submit in &mut waiting {
        let first = first_poll(submit.as_mut()).await;
        busy += usize::from(matches!(first, std::task::Poll::Ready(Err(CommitError::Busy))));
    }
    assert!((1..10).contains(&busy), "{busy} of {} were turned away", waiting.len());
}

#[tokio::test]
async fn a_batch_is_bounded_in_bytes() {
    let (store, committer) = start().await;
    store.hold();
    let submit = |n, kib: usize| {
        let committer = committer.clone();
        let task = PostTask { task_type: "x".repeat(kib * 1_024), ..task(n) };
        tokio::spawn(async move { committer.submit(task).await.unwrap().unwrap() })
    };
    let mut submits = vec![submit(1, 0)];
    assert_eq!(store.begun().await, [1]);
    for n in 2..=9 {
        submits.push(submit(n, 3_000));
    }
    submits.push(submit(10, 10_000));
    submits.push(submit(11, 0));
    submits.push(submit(12, 0));
    store.begun().await;
    store.let_go();
    for submit in submits {
        assert_eq!(submit.await.unwrap(), Submitted::Stored);
    }
    assert_eq!(store.begun().await, [1, 2, 2, 2, 2, 1, 2]);
}

#[tokio::test]
async fn large_commands_of_one_kind_do_not_keep_others_waiting() {
    let (store, committer) = start_with(WriteConcurrency { max: 1, min_batch: 1, one_kind_below: 100 }).await;
    store.hold();
    let mut submits = submit_together(&committer, [1]);
    assert_eq!(store.begun().await, [1]);
    for n in 2..=5 {
        let committer = committer.clone();
        let task = PostTask { task_type: "x".repeat(3_000 * 1_024), ..task(n) };
        submits.push(tokio::spawn(async move { committer.submit(task).await }));
        store.begun().await;
    }
    let reports = [8, 9].map(|n| {
        let committer = committer.clone();
        tokio::spawn(async move { committer.report(one_kind::result(n)).await.is_ok() })
    });
    store.begun().await;
    store.let_go();
    for submit in submits {
        assert_eq!(submit.await.unwrap(), Ok(Ok(Submitted::Stored)));
    }
    for report in reports {
        assert!(report.await.unwrap());
    }
    // Two of the large posts fit into a batch, and the results come before the other two.
    assert_eq!(store.begun().await, [1, 2, 2, 2]);
}

#[tokio::test]
async fn another_batch_is_begun_while_one_is_under_way_once_it_is_worth_it() {
    // Another batch has half of all commands, or three.
    for (first, begun) in
        [(4, vec![vec![4], vec![4, 2], vec![4, 2]]), (9, vec![vec![9], vec![9], vec![9, 3]])]
    {
        let (store, committer) =
            start_with(WriteConcurrency { max: 2, min_batch: 3, one_kind_below: 0 }).await;
        store.hold();
        let mut submits = submit_together(&committer, 1..=first);
        assert_eq!(store.begun().await, [first as usize]);
        for (n, begun) in (first + 1..).zip(&begun) {
            submits.extend(submit_together(&committer, [n]));
            assert_eq!(store.begun().await, *begun, "after task {n}");
        }
        store.let_go();
        for submit in submits {
            assert_eq!(submit.await.unwrap(), Ok(Ok(Submitted::Stored)));
        }
    }
}

#[tokio::test]
async fn what_waits_for_a_lane_is_done_before_the_end() {
    let TestParts { store, committer, work, .. } =
        TestParts::start(WriteConcurrency { max: 2, min_batch: 3, one_kind_below: 0 }).await;
    store.hold();
    let mut submits = submit_together(&committer, 1..=4);
    assert_eq!(store.begun().await, [4]);
    submits.extend(submit_together(&committer, [5]));
    assert_eq!(store.begun().await, [4]);
    drop(committer);
    store.let_go();
    for submit in submits {
        assert_eq!(submit.await.unwrap(), Ok(Ok(Submitted::Stored)));
    }
    work.await.unwrap();
}
