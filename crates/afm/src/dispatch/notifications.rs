//! Notifications from the store of what other AFMs have done.

use std::sync::Arc;

use slamon_store::Store;
use tokio::sync::mpsc;

use super::cache::DispatchCache;
use super::waiters::Waiters;

/// How many hints may wait to be passed on.
const HINTS: usize = 1_024;

/// Passes on what other AFMs do, for as long as the store listens to them.
pub(crate) async fn pass_on(store: Arc<dyn Store>, cache: DispatchCache, waiters: Waiters) {
    let (sender, mut hints) = mpsc::channel(HINTS);
    let pass_on = async {
        while let Some(hint) = hints.recv().await {
            // The cache first: a poll that is woken looks there.
            cache.hint(&hint);
            waiters.hint(&hint);
        }
    };
    tokio::join!(store.listen(sender), pass_on);
}
