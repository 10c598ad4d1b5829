//! Holds up or breaks a store, at the moment a test wants it.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use slamon_store::{Command, Counts, Outcome, Overview, Prepared, Store, StoreError, Task};
use tokio::sync::watch;
use uuid::Uuid;

use super::PATIENCE;

/// Open at first.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    state: watch::Sender<State>,
    /// Calls that wait at the closed gate.
    waiting: watch::Sender<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Calls wait.
    Closed,
    /// Calls fail: the database is away.
    Away,
}

impl Default for Gate {
    fn default() -> Self {
        let (state, waiting) = (watch::Sender::new(State::Open), watch::Sender::new(0));
        Self(Arc::new(Inner { state, waiting }))
    }
}

impl Gate {
    pub(super) fn before(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(GatedStore { store, gate: self.clone() })
    }

    pub(crate) fn open(&self) {
        self.0.state.send_replace(State::Open);
    }

    pub(crate) fn close(&self) {
        self.0.state.send_replace(State::Closed);
    }

    /// From now on, calls fail as if the database could not be reached.
    pub(crate) fn take_database_away(&self) {
        self.0.state.send_replace(State::Away);
    }

    /// Waits until a call of the store stands at the closed gate.
    #[track_caller]
    pub(crate) fn wait_until_reached(&self) {
        let mut waiting = self.0.waiting.subscribe();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let reached = async { tokio::time::timeout(PATIENCE, waiting.wait_for(|n| *n > 0)).await.is_ok() };
        assert!(runtime.expect("a runtime").block_on(reached), "nothing reached the store");
    }

    async fn pass(&self) -> Result<(), StoreError> {
        self.0.waiting.send_modify(|n| *n += 1);
        let _left = Left(&self.0.waiting);
        let mut state = self.0.state.subscribe();
        let state = state.wait_for(|state| *state != State::Closed).await.expect("the sender is ours");
        match *state {
            State::Away => Err(StoreError::Unavailable(std::io::Error::other("taken away").into())),
            State::Open | State::Closed => Ok(()),
        }
    }
}

/// Counts a call out again, however it ends.
struct Left<'a>(&'a watch::Sender<usize>);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n -= 1);
    }
}

struct GatedStore {
    store: Arc<dyn Store>,
    gate: Gate,
}

#[async_trait]
impl Store for GatedStore {
    async fn create_tables(&self) -> Result<Prepared, StoreError> {
        self.store.create_tables().await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.gate.pass().await?;
        self.store.check().await
    }

    async fn drop_tables(&self) -> Result<bool, StoreError> {
        self.store.drop_tables().await
    }

    async fn apply(&self, batch: Arc<[Command]>, now: Timestamp) -> Result<Vec<Outcome>, StoreError> {
        self.gate.pass().await?;
        self.store.apply(batch, now).await
    }

    async fn task(&self, id: Uuid) -> Result<Option<Task>, StoreError> {
        self.gate.pass().await?;
        self.store.task(id).await
    }

    async fn counts(&self, seen_since: Timestamp) -> Result<Counts, StoreError> {
        self.gate.pass().await?;
        self.store.counts(seen_since).await
    }

    async fn overview(&self, limit: u32, result_bytes: u32) -> Result<Overview, StoreError> {
        self.gate.pass().await?;
        self.store.overview(limit, result_bytes).await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
