//! What is large, or has long names.

use slamon_protocol::{EXCERPT, JsonText, PostTask};
use slamon_store::{SMALL_TASK, TaskRead};

use crate::fixture::Fixture;
use slamon_domain::testing::commands::{at, completed, json, poll_for, task, task_id, task_of};

fn text(bytes: usize) -> JsonText {
    json(format!("{{\"x\":\"{}\"}}", "x".repeat(bytes)))
}

pub(crate) async fn of_a_large_task_its_size_is_read_first(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let large = PostTask { task_data: Some(text(3 * SMALL_TASK)), ..task(1) };
    for posted in [large, task(2), PostTask { task_type: "t".repeat(2 * SMALL_TASK), ..task(3) }] {
        store.submit(at(0), posted).await.unwrap();
    }
    store.poll(at(1), poll_for(1, 1, &[("wait", 1)])).await;
    let read = |n| store.small_task(task_id(n));
    let size = |read: Option<TaskRead>| match read {
        Some(TaskRead::Large { bytes, has_ended }) => (bytes, has_ended),
        other => panic!("{other:?}"),
    };
    let (bytes, has_ended) = size(read(1).await.unwrap());
    assert!((3 * SMALL_TASK..4 * SMALL_TASK).contains(&bytes) && !has_ended, "{bytes}");
    assert!(size(read(3).await.unwrap()).0 >= 2 * SMALL_TASK, "a type counts");
    assert_eq!(read(9).await.unwrap(), None);
    assert_eq!(store.large_task(task_id(9)).await.unwrap(), None);
    let both = tokio::join!(read(1), read(2));
    let Some(TaskRead::Small(small)) = both.1.unwrap() else { panic!("it is small") };
    assert_eq!((size(both.0.unwrap()).0, &*small), (bytes, &store.stored(2).await));

    let result = text(5 * SMALL_TASK);
    store.report(at(2), completed(1, result.as_str())).await.unwrap();
    let (bytes, has_ended) = size(read(1).await.unwrap());
    assert!(bytes > 8 * SMALL_TASK && has_ended, "{bytes}");
    let whole = store.large_task(task_id(1)).await.unwrap().unwrap();
    assert_eq!(*whole, store.stored(1).await);
    assert_eq!(whole.posted.task_data, Some(text(3 * SMALL_TASK)));
}

pub(crate) async fn kinds_that_are_too_much_are_told_in_parts(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let types = || (0..20).map(|n| format!("{n} {}", "x".repeat(1024 * 1024)));
    for (n, task_type) in (0..).zip(types()) {
        store.submit(at(0), task_of(&task_type, 1, n)).await.unwrap();
    }
    let backlog = store.backlog(None, 1_000).await.unwrap();
    let bytes: usize = backlog.kinds.iter().map(|known| known.kind.capability.task_type.len()).sum();
    assert!(backlog.next.is_some() && bytes < 10 * 1024 * 1024, "{bytes} bytes of types");
    let (mut told, mut after) = (backlog.kinds.len(), backlog.next);
    while after.is_some() {
        let backlog = store.backlog(after, 1_000).await.unwrap();
        (told, after) = (told + backlog.kinds.len(), backlog.next);
    }
    assert_eq!(told, 20);
    // They can be taken all the same.
    for (n, task_type) in (0..).zip(types()) {
        let taken = store.poll(at(1), poll_for(1, 1, &[(&task_type, 1)])).await;
        assert_eq!(taken.iter().map(|task| task.task_id).collect::<Vec<_>>(), [task_id(n)]);
    }
    let backlog = store.backlog(None, 1_000).await.unwrap();
    assert!(backlog.kinds.is_empty() && backlog.next.is_none());
}

pub(crate) async fn sentences_quote_the_beginning_of_long_names(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    let (long, quoted) = ("n".repeat(1_000), format!("{}…", "n".repeat(EXCERPT - 1)));
    store.submit(at(0), task_of(&long, 1, 1)).await.unwrap();
    let why = store.why(1, at(0)).await.unwrap().sentence;
    assert_eq!(why, format!("no agent offers {quoted}"));
    let mut poll = poll_for(1, 1, &[(&long, 1)]);
    poll.agent_name.clone_from(&long);
    store.poll(at(1), poll).await;
    store.cancel(at(2), 1).await.unwrap();
    let error = store.error(1).await;
    assert!(error.contains(&quoted) && !error.contains(&long), "{error}");
}
