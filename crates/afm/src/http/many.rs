//! Sends many commands for one request.

pub(super) mod answers;

use std::collections::HashSet;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use uuid::Uuid;

use crate::http::app::App;

/// Begins work for each of `ids` in their order, of which `at_once` is under way at the same time, and returns
/// what came of each. Where nothing came until `deadline`, it is `None`.
///
/// Work for an id that is given again begins once that of the earlier one has ended.
pub(super) async fn each<T, W>(
    app: &App,
    ids: &[Uuid],
    at_once: usize,
    deadline: Instant,
    mut begin: impl FnMut(usize) -> W,
) -> Vec<Option<T>>
where
    W: Future<Output = T>,
{
    let mut results: Vec<Option<T>> = ids.iter().map(|_| None).collect();
    let all = async {
        let mut running = FuturesUnordered::new();
        let mut under_way: HashSet<Uuid> = HashSet::new();
        for (n, id) in ids.iter().enumerate() {
            let place = app.bulk.place();
            let mut place = std::pin::pin!(place);
            let place = loop {
                let is_free = running.len() < at_once && !under_way.contains(id);
                tokio::select! {
                    biased;
                    Some((done, result)) = running.next() => {
                        let done: usize = done;
                        under_way.remove(&ids[done]);
                        results[done] = Some(result);
                    }
                    place = &mut place, if is_free => break place,
                }
            };
            under_way.insert(*id);
            let work = begin(n);
            running.push(async move {
                let result = work.await;
                drop(place);
                (n, result)
            });
        }
        while let Some((done, result)) = running.next().await {
            results[done] = Some(result);
        }
    };
    // What is under way at the deadline is dropped with its commands, unless they are being applied.
    let _ = tokio::time::timeout_at(deadline, all).await;
    results
}
