mod batches;
mod fateful_store;
mod heartbeats;
mod held_up;
mod one_kind;
mod orders;
mod replies;
mod running_reports;
mod undelivered;

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use slamon_domain::Polled;
use slamon_protocol::PollRequest;
use slamon_store::WriteConcurrency;
use slamon_store::testing::Layered;
use tokio::task::JoinHandle;

use self::fateful_store::{Fate, FatefulStore};
use super::*;
use crate::dispatch::waiters::Waiters;

/// A sweep that does only what is due.
const SWEEP: Sweep =
    Sweep { limit: 9, lost_after: None, forget_after: None, delete_after: None, heartbeats: Vec::new() };

fn task(n: u128) -> PostTask {
    let id = Uuid::from_u128(n);
    PostTask::parse(&format!(r#"{{"task_id":"{id}","test_id":"{id}","task_type":"wait","task_version":1}}"#))
        .unwrap()
}

fn poll(agent: u128) -> PollRequest {
    let id = Uuid::from_u128(agent);
    PollRequest::parse(&format!(
        r#"{{"protocol":1,"agent_id":"{id}","agent_name":"","agent_time":"","max_tasks":9,
            "agent_capabilities":{{"wait":{{"version":1}}}}}}"#
    ))
    .unwrap()
}

/// Returns what a poll has brought, as if its agent had got it.
fn kept(claimed: Claimed) -> Polled {
    claimed.into_parts().0
}

fn ids(polled: &Polled) -> Vec<u128> {
    polled.tasks.iter().map(|task| task.task_id.as_u128()).collect()
}

/// A committer on a store that fails as it is told to.
struct TestParts {
    store: Arc<Layered<FatefulStore>>,
    committer: Committer,
    waiters: Waiters,
    work: JoinHandle<()>,
}

impl TestParts {
    async fn start(concurrency: WriteConcurrency) -> Self {
        let store = FatefulStore::new(concurrency).await;
        let observers = Observers::default();
        let health = Health::new(store.clone());
        let (committer, work) = Committer::new(store.clone(), Clock::system(), observers.clone(), health);
        Self { store, committer, waiters: observers.waiters, work: tokio::spawn(work) }
    }
}

async fn start() -> (Arc<Layered<FatefulStore>>, Committer) {
    start_with(WriteConcurrency::ONE).await
}

async fn start_with(concurrency: WriteConcurrency) -> (Arc<Layered<FatefulStore>>, Committer) {
    let TestParts { store, committer, .. } = TestParts::start(concurrency).await;
    (store, committer)
}

/// Polls a future once.
async fn first_poll<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

/// Posts tasks that are applied in one batch, while another is under way.
fn submit_together(
    committer: &Committer,
    tasks: impl IntoIterator<Item = u128>,
) -> Vec<JoinHandle<Result<Result<Submitted, Refusal>, CommitError>>> {
    let submit = |n| {
        let committer = committer.clone();
        tokio::spawn(async move { committer.submit(task(n)).await })
    };
    tasks.into_iter().map(submit).collect()
}
