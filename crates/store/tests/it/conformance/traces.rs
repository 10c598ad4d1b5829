//! The spans of those who posted tasks.

use std::sync::Arc;

use slamon_store::TraceContext;
use uuid::Uuid;

use crate::driver::Driver;
use crate::fixture::Fixture;
use slamon_domain::testing::commands::{at, completed, poll, submits, task_id};

fn context(n: u8) -> TraceContext {
    [n; 25]
}

async fn save(store: &Driver, traces: &[(Uuid, TraceContext)]) {
    store.save_traces(traces.into()).await.unwrap();
}

/// What is kept of these tasks, in the order of their ids.
async fn kept(store: &Driver, tasks: impl IntoIterator<Item = u128>) -> Vec<(Uuid, TraceContext)> {
    let tasks: Arc<[Uuid]> = tasks.into_iter().map(task_id).collect();
    let mut kept = store.traces_of(tasks).await.unwrap();
    kept.sort_unstable();
    kept
}

pub(crate) async fn the_first_span_of_a_poster_is_kept(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    save(&store, &[]).await;
    save(&store, &[(task_id(2), context(2)), (task_id(1), context(255))]).await;
    save(&store, &[(task_id(1), context(9)), (task_id(3), context(3)), (task_id(3), context(4))]).await;
    let expected = [(task_id(1), context(255)), (task_id(2), context(2)), (task_id(3), context(3))];
    assert_eq!(kept(&store, 1..=4).await, expected);
    assert_eq!(kept(&store, []).await, []);

    store.delete_traces(Arc::new([task_id(1), task_id(4), task_id(3)])).await.unwrap();
    assert_eq!(kept(&store, 1..=4).await, [(task_id(2), context(2))]);
}

pub(crate) async fn spans_of_posters_are_deleted_with_their_tasks(fixture: &impl Fixture) {
    let store = fixture.ready().await;
    // 1 and 2 wait, 3 has ended, 4 ended a moment ago, and 5 is gone.
    store.applied(at(0), submits(3..=3)).await;
    store.applied(at(0), vec![poll(1, 1).into()]).await;
    store.applied(at(1), vec![slamon_domain::Command::Report(completed(3, "3"))]).await;
    store.applied(at(2), submits(4..=4)).await;
    store.applied(at(2), vec![poll(1, 1).into()]).await;
    store.applied(at(9), vec![slamon_domain::Command::Report(completed(4, "4"))]).await;
    store.applied(at(9), submits(1..=2)).await;
    let all: Vec<_> = (1..=5).map(|n| (task_id(n), context(1))).collect();
    save(&store, &all).await;

    let mut after = None;
    let mut steps = 0;
    loop {
        after = store.purge_traces(after, at(5), 2).await.unwrap();
        steps += 1;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(steps, 3);
    assert_eq!(
        kept(&store, 1..=5).await.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [1, 2, 4].map(task_id)
    );
}
