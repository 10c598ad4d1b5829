//! A store that tests can hold up or break at any moment.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use slamon_domain::{Applied, Command};
use slamon_store::testing::{Layer, Layered};
use slamon_store::{Store, StoreError};
use tokio::sync::watch;
use uuid::Uuid;

use super::PATIENCE;

/// The gate in front of a store, which is open at first.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    state: watch::Sender<State>,
    /// How many calls wait at the closed gate.
    waiting: watch::Sender<usize>,
    /// How often a task was read, or its past.
    reads: watch::Sender<usize>,
    /// How often a large read was begun: of a large task, of counts or of lists.
    large_reads: watch::Sender<usize>,
    /// The agents whose polls were answered, one entry a poll.
    polls: watch::Sender<Vec<Uuid>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The gate is closed: calls wait.
    Closed,
    /// One call may pass before the gate is closed.
    ClosedAfterOne,
    /// Calls fail as if the database was away.
    Away,
}

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Inner {
            state: watch::Sender::new(State::Open),
            waiting: watch::Sender::default(),
            reads: watch::Sender::default(),
            large_reads: watch::Sender::default(),
            polls: watch::Sender::default(),
        }))
    }
}

impl Gate {
    pub(super) fn before(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Layered(GatedStore { store, gate: self.clone() }))
    }

    pub(crate) fn open(&self) {
        self.0.state.send_replace(State::Open);
    }

    pub(crate) fn close(&self) {
        self.0.state.send_replace(State::Closed);
    }

    /// Lets one call pass the closed gate, and waits until it has.
    #[track_caller]
    pub(crate) fn let_one_pass(&self) {
        self.0.state.send_replace(State::ClosedAfterOne);
        wait_until(&self.0.state, |state| *state == State::Closed);
    }

    /// From now on, calls fail as if the database could not be reached.
    pub(crate) fn take_database_away(&self) {
        self.0.state.send_replace(State::Away);
    }

    /// Waits until a call of the store waits at the closed gate.
    #[track_caller]
    pub(crate) fn wait_until_reached(&self) {
        self.wait_until_reached_by(1);
    }

    /// Waits until this many calls of the store wait at the closed gate.
    #[track_caller]
    pub(crate) fn wait_until_reached_by(&self, calls: usize) {
        wait_until(&self.0.waiting, |waiting| *waiting >= calls);
    }

    /// Returns how often a task was read.
    pub(crate) fn reads(&self) -> usize {
        *self.0.reads.borrow()
    }

    /// How often a large read was begun: of a large task, of counts or of lists.
    pub(crate) fn large_reads(&self) -> usize {
        *self.0.large_reads.borrow()
    }

    /// Waits until a task was read `times` in all.
    #[track_caller]
    pub(crate) fn wait_until_read(&self, times: usize) {
        wait_until(&self.0.reads, |reads| *reads >= times);
    }

    /// Returns how many polls of an agent were answered.
    pub(crate) fn polls(&self, agent_id: Uuid) -> usize {
        count(&self.0.polls.borrow(), agent_id)
    }

    /// Waits until `times` polls of an agent were answered in all.
    #[track_caller]
    pub(crate) fn wait_until_polled(&self, agent_id: Uuid, times: usize) {
        wait_until(&self.0.polls, |polls| count(polls, agent_id) >= times);
    }

    fn fail_if_away(&self) -> Result<(), StoreError> {
        if *self.0.state.borrow() == State::Away {
            return Err(StoreError::Unavailable(std::io::Error::other("taken away").into()));
        }
        Ok(())
    }

    async fn pass(&self) -> Result<(), StoreError> {
        self.0.waiting.send_modify(|n| *n += 1);
        let _left = Left(&self.0.waiting);
        let mut state = self.0.state.subscribe();
        loop {
            let seen = *state.wait_for(|state| *state != State::Closed).await.expect("the sender is ours");
            let passes = match seen {
                State::Away => {
                    return Err(StoreError::Unavailable(std::io::Error::other("taken away").into()));
                }
                State::Open | State::Closed => true,
                State::ClosedAfterOne => self.0.state.send_if_modified(|state| {
                    let is_first = *state == State::ClosedAfterOne;
                    if is_first {
                        *state = State::Closed;
                    }
                    is_first
                }),
            };
            if passes {
                return Ok(());
            }
        }
    }
}

fn count(polls: &[Uuid], agent_id: Uuid) -> usize {
    polls.iter().filter(|id| **id == agent_id).count()
}

#[track_caller]
fn wait_until<T>(seen: &watch::Sender<T>, enough: impl Fn(&T) -> bool) {
    let mut seen = seen.subscribe();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let reached = async { tokio::time::timeout(PATIENCE, seen.wait_for(|seen| enough(seen))).await.is_ok() };
    assert!(runtime.expect("a runtime").block_on(reached), "the store was not asked");
}

/// Counts a call out again when it is dropped, however the call ends.
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
impl Layer for GatedStore {
    fn below(&self) -> &dyn Store {
        &*self.store
    }

    async fn before(&self, call: &'static str) -> Result<(), StoreError> {
        match call {
            "create_tables" | "drop_tables" | "publish" | "time" => return Ok(()),
            // The first poll reads the pauses once.
            "pauses" => return self.gate.fail_if_away(),
            "large_task" | "counts" | "overview" | "list_tasks" => {
                self.gate.0.large_reads.send_modify(|n| *n += 1);
            }
            _ => {}
        }
        self.gate.pass().await
    }

    fn after(&self, call: &'static str) {
        if matches!(call, "small_task" | "past") {
            self.gate.0.reads.send_modify(|n| *n += 1);
        }
    }

    async fn apply(&self, batch: Arc<[Command]>, now: Timestamp) -> Result<Applied, StoreError> {
        let applied = self.store.apply(Arc::clone(&batch), now).await?;
        let polls = batch.iter().filter_map(|command| Some(command.poll()?.agent_id));
        self.gate.0.polls.send_modify(|seen| seen.extend(polls));
        Ok(applied)
    }
}
