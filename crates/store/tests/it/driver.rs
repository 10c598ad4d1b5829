//! A store, asked in single commands and batches that must go well.

use std::ops::Deref;
use std::panic::Location;
use std::sync::Arc;

use jiff::Timestamp;
use slamon_domain::{
    Applied, Command, Delivery, EndedAttempt, LateResult, PendingReason, Polled, Refusal, Reported, State,
    Submitted, Sweep, Swept, Task, pending_reason,
};
use slamon_protocol::{PollRequest, PostTask, ResultPost, Terms};
use slamon_store::{AgentView, AttemptView, Overview, Store};
use uuid::Uuid;

use slamon_domain::testing::commands::{agent_id, number, poll, submits, task_id, task_under};
use slamon_domain::testing::outcome::{Outcome, in_order};

/// A store whose failures end the test, with the line that asked. What it gives back of when agents were
/// seen, it is given at once.
#[derive(Clone)]
pub(crate) struct Driver(Arc<dyn Store>);

impl Deref for Driver {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Driver {
    pub(crate) fn new(store: impl Store) -> Self {
        Self(Arc::new(store))
    }

    #[track_caller]
    pub(crate) fn applied(&self, now: Timestamp, commands: Vec<Command>) -> impl Future<Output = Applied> {
        let from = Location::caller();
        async move {
            let batch: Arc<[Command]> = commands.into();
            let applied = self.apply(Arc::clone(&batch), now).await;
            let applied = applied.unwrap_or_else(|e| panic!("asked at {from}: {e:?}"));
            // Each command has its reply.
            in_order(&batch, applied.replies.clone());
            if !applied.heartbeats.is_empty() {
                let seen = Command::Seen(applied.heartbeats.clone());
                self.apply(Arc::new([seen]), now).await.unwrap_or_else(|e| panic!("asked at {from}: {e:?}"));
            }
            applied
        }
    }

    #[track_caller]
    pub(crate) fn batch(&self, now: Timestamp, commands: Vec<Command>) -> impl Future<Output = Vec<Outcome>> {
        let applied = self.applied(now, commands.clone());
        async move { in_order(&commands, applied.await.replies) }
    }

    #[track_caller]
    fn one(&self, now: Timestamp, command: Command) -> impl Future<Output = Outcome> {
        let mut outcomes = self.batch(now, vec![command.clone()]);
        async move {
            // What somebody else has locked a moment ago is given again.
            loop {
                match outcomes.await.remove(0) {
                    Outcome::Locked => outcomes = self.batch(now, vec![command.clone()]),
                    outcome => return outcome,
                }
            }
        }
    }

    #[track_caller]
    pub(crate) fn submit(
        &self,
        now: Timestamp,
        task: PostTask,
    ) -> impl Future<Output = Result<Submitted, Refusal>> {
        let outcome = self.one(now, Command::Submit(task));
        async move { submitted(&outcome.await) }
    }

    /// Submits task `n`, new and under `terms`.
    #[track_caller]
    pub(crate) fn post_under(&self, now: Timestamp, terms: Terms, n: u128) -> impl Future<Output = ()> {
        let submitted = self.submit(now, task_under(terms, n));
        async move { assert_eq!(submitted.await, Ok(Submitted::Stored)) }
    }

    /// Submits new tasks of type `wait`, version 1, in one batch.
    #[track_caller]
    pub(crate) fn post(
        &self,
        now: Timestamp,
        tasks: impl IntoIterator<Item = u128>,
    ) -> impl Future<Output = ()> {
        let outcomes = self.batch(now, submits(tasks));
        async move {
            for outcome in outcomes.await {
                assert_eq!(outcome, Outcome::Submit(Ok(Submitted::Stored)));
            }
        }
    }

    #[track_caller]
    pub(crate) fn poll(&self, now: Timestamp, poll: PollRequest) -> impl Future<Output = Vec<Delivery>> {
        let polled = self.polled(now, poll);
        async move { polled.await.tasks }
    }

    #[track_caller]
    pub(crate) fn polled(&self, now: Timestamp, poll: PollRequest) -> impl Future<Output = Polled> {
        let outcome = self.one(now, Command::from(poll));
        async move { polled(outcome.await) }
    }

    /// Agent `n` takes the one task of type `wait`, version 1, that there is; the id it gets.
    #[track_caller]
    pub(crate) fn take(&self, now: Timestamp, n: u128) -> impl Future<Output = Uuid> {
        let (delivered, from) = (self.poll(now, poll(n, 9)), Location::caller());
        async move {
            let delivered = delivered.await;
            assert_eq!(delivered.len(), 1, "asked at {from}: {delivered:?}");
            delivered[0].alias
        }
    }

    /// Cancels task `n`, which must be there.
    #[track_caller]
    pub(crate) fn cancel(&self, now: Timestamp, n: u128) -> impl Future<Output = Result<Task, Refusal>> {
        let outcome = self.one(now, Command::Cancel(task_id(n)));
        async move {
            match outcome.await {
                Outcome::Cancel(Some(cancelled)) => cancelled.map(|task| *task),
                other => panic!("{other:?} is not of a task's cancel"),
            }
        }
    }

    #[track_caller]
    pub(crate) fn sweep(&self, now: Timestamp, sweep: Sweep) -> impl Future<Output = Swept> {
        let outcome = self.one(now, Command::Sweep(sweep));
        async move {
            match outcome.await {
                Outcome::Sweep(swept) => swept,
                other => panic!("{other:?} is not of a sweep"),
            }
        }
    }

    /// The attempts at task `n` that ended without finishing it.
    #[track_caller]
    pub(crate) fn past(&self, n: u128) -> impl Future<Output = Vec<(EndedAttempt, Option<LateResult>)>> {
        let from = Location::caller();
        async move { self.attempts(task_id(n)).await.unwrap_or_else(|e| panic!("asked at {from}: {e:?}")) }
    }

    /// The same, as people see it; late results of more than 100 bytes are left out.
    pub(crate) async fn past_view(&self, n: u128) -> Vec<AttemptView> {
        self.deref().past(task_id(n), 100).await.unwrap()
    }

    /// How task `n` went wrong, in words.
    #[track_caller]
    pub(crate) fn error(&self, n: u128) -> impl Future<Output = String> {
        let (state, from) = (self.state(n), Location::caller());
        async move {
            match state.await {
                State::Ended { end, .. } => end.outcome().unwrap_err().as_str().to_owned(),
                other => panic!("asked at {from}: {other:?} has not ended"),
            }
        }
    }

    /// Why task `n` waits; agents seen at or after `seen_since` are active.
    #[track_caller]
    pub(crate) fn why(&self, n: u128, seen_since: Timestamp) -> impl Future<Output = Option<PendingReason>> {
        let task = self.stored(n);
        async move {
            let task = task.await;
            let diagnostics = self.queue_diagnostics(&task, seen_since).await.unwrap();
            pending_reason(&task, &diagnostics)
        }
    }

    /// Agent `n` takes up to `most` tasks of type `wait`, version 1; the numbers of those it got.
    #[track_caller]
    pub(crate) fn claim(&self, now: Timestamp, n: u128, most: u32) -> impl Future<Output = Vec<u128>> {
        let delivered = self.poll(now, poll(n, most));
        async move { numbers(&delivered.await) }
    }

    #[track_caller]
    pub(crate) fn report(
        &self,
        now: Timestamp,
        report: ResultPost,
    ) -> impl Future<Output = Result<Reported, Refusal>> {
        let outcome = self.one(now, Command::Report(report));
        async move { reported(&outcome.await) }
    }

    /// Applies a release; how many tasks wait again.
    #[track_caller]
    pub(crate) fn release(&self, now: Timestamp, release: Command) -> impl Future<Output = usize> {
        let outcome = self.one(now, release);
        async move {
            match outcome.await {
                Outcome::Release(released) => released,
                other => panic!("{other:?} is not of a release"),
            }
        }
    }

    /// Task `n`, which must be there.
    #[track_caller]
    pub(crate) fn stored(&self, n: u128) -> impl Future<Output = Task> {
        let from = Location::caller();
        async move {
            let task = self.task(task_id(n)).await.unwrap_or_else(|e| panic!("asked at {from}: {e:?}"));
            task.unwrap_or_else(|| panic!("asked at {from}: there is no task {n}"))
        }
    }

    #[track_caller]
    pub(crate) fn state(&self, n: u128) -> impl Future<Output = State> {
        let task = self.stored(n);
        async move { task.await.state }
    }

    /// How many tasks wait.
    pub(crate) async fn waiting(&self) -> u64 {
        self.counts(Timestamp::MAX).await.unwrap().tasks_waiting
    }

    /// An overview without bounds that matter.
    pub(crate) async fn everything(&self) -> Overview {
        self.overview(1_000_000, u32::MAX).await.unwrap()
    }

    /// Agent `n` as people see it.
    pub(crate) async fn agent(&self, n: u128) -> AgentView {
        let agents = self.everything().await.agents.items;
        agents.into_iter().find(|agent| agent.id == agent_id(n)).unwrap()
    }
}

#[track_caller]
pub(crate) fn submitted(outcome: &Outcome) -> Result<Submitted, Refusal> {
    match outcome {
        Outcome::Submit(submitted) => *submitted,
        other => panic!("{other:?} is not of a submit"),
    }
}

#[track_caller]
pub(crate) fn delivered(outcome: Outcome) -> Vec<Delivery> {
    polled(outcome).tasks
}

#[track_caller]
pub(crate) fn polled(outcome: Outcome) -> Polled {
    match outcome {
        Outcome::Poll(polled) => polled,
        other => panic!("{other:?} is not of a poll"),
    }
}

#[track_caller]
pub(crate) fn reported(outcome: &Outcome) -> Result<Reported, Refusal> {
    match outcome {
        Outcome::Report(reported) => *reported,
        other => panic!("{other:?} is not of a report"),
    }
}

/// The numbers of delivered tasks.
pub(crate) fn numbers(delivered: &[Delivery]) -> Vec<u128> {
    delivered.iter().map(|delivery| number(delivery.task_id)).collect()
}
