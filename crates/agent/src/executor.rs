//! Executes tasks, as many at a time as the agent has executors.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::afm::HandedOut;
use crate::context::Context;
use crate::failure::Failure;
use crate::handler::{Handler, Handlers, Outcome};
use crate::metrics::Metrics;

/// How long a handler has to end by itself once nobody waits for its result.
const GRACE: Duration = Duration::from_secs(1);

/// The tasks that are being executed.
#[derive(Debug)]
pub(crate) struct Executor {
    executors: usize,
    /// One for each executor: an AFM may hand out more than it was asked for.
    permits: Arc<Semaphore>,
    handlers: Arc<Handlers>,
    metrics: Arc<Metrics>,
    running: Mutex<HashMap<Uuid, Running>>,
    /// Cancelled when no task begins any more that would have to wait for an executor.
    closed: CancellationToken,
    tracker: TaskTracker,
    /// Told whenever an executor becomes free.
    pub(crate) freed: Notify,
}

/// A task that was handed out.
#[derive(Debug)]
struct Running {
    cancellation: CancellationToken,
    /// Whether it has an executor.
    has_begun: bool,
}

/// How the execution of a task ended.
pub(crate) enum Ended {
    With(Outcome),
    /// It was cancelled.
    Cancelled,
    /// Its time was over.
    Late,
    /// It had no executor when the agent was stopped.
    NotBegun,
}

impl Ended {
    fn outcome(&self) -> &'static str {
        match self {
            Self::With(Ok(_)) => "completed",
            Self::With(Err(_)) => "failed",
            Self::Cancelled => "cancelled",
            Self::Late => "late",
            Self::NotBegun => "not begun",
        }
    }
}

impl Executor {
    pub(crate) fn new(executors: usize, handlers: Arc<Handlers>, metrics: Arc<Metrics>) -> Self {
        Self {
            executors,
            permits: Arc::new(Semaphore::new(executors)),
            handlers,
            metrics,
            running: Mutex::default(),
            closed: CancellationToken::new(),
            tracker: TaskTracker::new(),
            freed: Notify::new(),
        }
    }

    /// How many more tasks can be executed at the moment.
    pub(crate) fn free(&self) -> usize {
        self.executors.saturating_sub(self.running().len())
    }

    /// What is being executed.
    pub(crate) fn ids(&self) -> Vec<Uuid> {
        self.running().keys().copied().collect()
    }

    /// Begins to execute a task, and returns whether it has begun: not if it is being executed already. `done` is given
    /// how it ended, before the task counts as over.
    pub(crate) fn start<D, R>(self: &Arc<Self>, task: HandedOut, deadline: Option<Instant>, done: D) -> bool
    where
        D: FnOnce(Ended) -> R + Send + 'static,
        R: Future<Output = ()> + Send,
    {
        let cancellation = CancellationToken::new();
        let task_id = task.task_id;
        let permit = match self.running().entry(task_id) {
            Entry::Vacant(entry) => {
                let permit = Arc::clone(&self.permits).try_acquire_owned().ok();
                entry.insert(Running { cancellation: cancellation.clone(), has_begun: permit.is_some() });
                permit
            }
            Entry::Occupied(_) => {
                tracing::warn!(%task_id, "was handed a task again that it is executing");
                return false;
            }
        };
        let context = Context { task_id, attempt: task.task_attempt, deadline, cancellation };
        let executor = Arc::clone(self);
        self.tracker.spawn(async move {
            let permit = match permit {
                Some(permit) => Ok(permit),
                None => executor.permit(&context).await,
            };
            let began = Instant::now();
            let (ended, permit) = match permit {
                Ok(permit) => (executor.execute(&task, context).await, Some(permit)),
                Err(ended) => (ended, None),
            };
            let took = began.elapsed();
            let (seconds, task_type) = (took.as_secs_f64(), &task.task_type);
            if !matches!(ended, Ended::NotBegun) {
                executor.metrics.executed(executor.label(task_type), ended.outcome(), took);
            }
            match &ended {
                Ended::With(Ok(_)) => tracing::info!(%task_id, task_type, seconds, "executed a task"),
                Ended::With(Err(failure)) => {
                    let failure = failure.to_string();
                    tracing::warn!(%task_id, task_type, seconds, failure, "a task failed");
                }
                Ended::Cancelled => {
                    tracing::info!(%task_id, task_type, seconds, "stopped a task that was cancelled");
                }
                Ended::Late => {
                    tracing::warn!(%task_id, task_type, seconds, "stopped a task whose time was over");
                }
                Ended::NotBegun => {
                    tracing::warn!(%task_id, task_type, "a task has not begun, and goes back to the AFM");
                }
            }
            done(ended).await;
            // Whoever sees that an executor is free finds one.
            drop(permit);
            executor.running().remove(&task_id);
            executor.freed.notify_one();
        });
        true
    }

    /// Stops a task that nobody waits for.
    pub(crate) fn cancel(&self, task_id: Uuid) {
        if let Some(running) = self.running().get(&task_id) {
            running.cancellation.cancel();
        }
    }

    /// Stops all tasks.
    pub(crate) fn cancel_all(&self) {
        self.running().values().for_each(|running| running.cancellation.cancel());
    }

    /// Drops the tasks that wait for an executor, and returns whether there were any. From now on a task begins at once or
    /// not at all.
    pub(crate) fn drop_waiting(&self) -> bool {
        let mut running = self.running();
        self.closed.cancel();
        let before = running.len();
        running.retain(|_, running| running.has_begun);
        running.len() < before
    }

    /// Waits for an executor.
    async fn permit(&self, context: &Context) -> Result<OwnedSemaphorePermit, Ended> {
        let acquired = tokio::select! {
            biased;
            () = self.closed.cancelled() => return Err(Ended::NotBegun),
            () = context.cancelled() => return Err(Ended::Cancelled),
            () = context.deadline_passed() => return Err(Ended::Late),
            acquired = Arc::clone(&self.permits).acquire_owned() => acquired,
        };
        match (acquired, self.running().get_mut(&context.task_id)) {
            (Ok(permit), Some(running)) => {
                running.has_begun = true;
                Ok(permit)
            }
            // Dropped at this moment.
            _ => Err(Ended::NotBegun),
        }
    }

    /// Waits until no task is being executed.
    pub(crate) async fn finished(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// The handler for a task; `None` if the AFM should not have handed it to this agent.
    pub(crate) fn handler(&self, task: &HandedOut) -> Option<&Handler> {
        self.handlers.get(&task.task_type).filter(|handler| handler.version == task.task_version)
    }

    /// A type as metrics name it, which are as many as there are handlers.
    fn label<'a>(&self, task_type: &'a str) -> &'a str {
        if self.handlers.contains_key(task_type) { task_type } else { "unknown" }
    }

    async fn execute(&self, task: &HandedOut, context: Context) -> Ended {
        let (task_type, version) = (&task.task_type, task.task_version);
        let Some(handler) = self.handler(task) else {
            let sentence = format!("this agent has no handler for {task_type:?} version {version}");
            return Ended::With(Err(Failure::new(sentence)));
        };
        let none = || RawValue::from_string("{}".to_owned()).unwrap_or_default();
        let data = task.task_data.clone().unwrap_or_else(none);
        let (handler, its_context) = (handler.clone(), context.clone());
        // A task of its own, so that a handler that panics ends nothing else, also before its future begins.
        let mut executing = tokio::spawn(async move { handler.execute(&data, its_context).await });
        let ended = tokio::select! {
            // A handler may end because it is cancelled: that is no outcome.
            biased;
            () = context.cancelled() => Ended::Cancelled,
            outcome = &mut executing => return Ended::With(outcome.unwrap_or_else(|_| {
                // What it says may have a secret of the task in it.
                tracing::error!(%context.task_id, task_type, "a handler panicked");
                Err(Failure::new("the handler ended unexpectedly: the agent's log says more"))
            })),
            () = context.deadline_passed() => Ended::Late,
        };
        context.cancellation.cancel();
        if tokio::time::timeout(GRACE, &mut executing).await.is_err() {
            executing.abort();
        }
        ended
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Uuid, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::sync::mpsc;

    use super::*;

    fn handed_out(n: u128) -> HandedOut {
        let task = json!({"task_id": Uuid::from_u128(n), "task_type": "held", "task_version": 1});
        serde_json::from_value(task).unwrap()
    }

    /// An executor of one task at a time, whose tasks end when they are cancelled.
    fn executor() -> Arc<Executor> {
        let held = Handler::new(1, |_: Value, context: Context| async move {
            context.cancelled().await;
            Ok(json!({}))
        });
        let handlers = Handlers::from([("held".to_owned(), held)]);
        let metrics = Metrics::new(Duration::from_secs(60)).unwrap();
        Arc::new(Executor::new(1, Arc::new(handlers), Arc::new(metrics)))
    }

    #[tokio::test]
    async fn what_waits_for_an_executor_can_be_dropped() {
        let (executor, (ends, mut ended)) = (executor(), mpsc::unbounded_channel());
        let start = |n| {
            let ends = ends.clone();
            executor.start(handed_out(n), None, move |end| async move {
                ends.send((n, end.outcome())).unwrap();
            });
        };
        start(1);
        assert!(!executor.drop_waiting());
        start(2);
        assert_eq!(ended.recv().await, Some((2, "not begun")));
        executor.cancel_all();
        assert_eq!(ended.recv().await, Some((1, "cancelled")));
        executor.finished().await;
    }

    #[tokio::test]
    async fn a_task_that_is_handed_out_again_can_be_cancelled() {
        let (executor, (ends, mut ended)) = (executor(), mpsc::unbounded_channel());
        let start = || {
            let ends = ends.clone();
            executor.start(handed_out(1), None, move |end| async move {
                ends.send(end.outcome()).unwrap();
            })
        };
        assert_eq!([start(), start()], [true, false]);
        executor.cancel(Uuid::from_u128(1));
        assert_eq!(ended.recv().await, Some("cancelled"));
        executor.finished().await;
        assert!(ended.try_recv().is_err());
    }
}
