//! Polls for tasks and has them executed, until the agent is asked to stop.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use slamon_client::Backoff;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::afm::{Afm, Answered, Poll, PollExtensions, Problem, capabilities};
use crate::delivery::Delivery;
use crate::executor::{Ended, Executor};
use crate::handler::Handlers;
use crate::location::Location;
use crate::metrics::Metrics;
use crate::monitoring::{self, Monitored};
use crate::pace::{SHORTEST, wait_until};

/// So often an agent whose executors are all busy asks what was cancelled.
const BUSY: Duration = Duration::from_secs(10);
/// So long what is said to the AFM may take when the agent stops, each time.
const GOODBYE: Duration = Duration::from_secs(2);
/// An AFM takes so many ids of what an agent executes.
const MOST_RUNNING: usize = slamon_protocol::MOST_RUNNING;

/// An agent that runs.
pub(crate) struct Run {
    pub(crate) afm: Afm,
    pub(crate) agent_id: Uuid,
    pub(crate) name: String,
    pub(crate) location: Option<Location>,
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) executor: Arc<Executor>,
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) metrics: Arc<Metrics>,
    /// Where those who watch over the agent are answered.
    pub(crate) monitoring: Option<TcpListener>,
    pub(crate) default_wait: Duration,
    pub(crate) longest_poll: Duration,
    pub(crate) shutdown_limit: Duration,
}

/// The time by the agent's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "an agent has no clock of the AFM; it says its own, which counts for nothing"
)]
fn now() -> Timestamp {
    Timestamp::now()
}

/// What to do after a poll.
enum Next {
    /// Poll again as soon as an executor is free.
    WhenFree { at_the_latest: Duration },
    /// Poll again after this time.
    After(Duration),
    /// Poll again as after a problem.
    Soon,
}

impl Run {
    /// Runs until `stop` ends, and then as long as tasks that have begun take, within the limit. What is not executed by
    /// then, the AFM gets back.
    pub(crate) async fn until(mut self, stop: impl Future<Output = ()>) {
        let (agent_id, name) = (self.agent_id, &self.name);
        let types: Vec<&str> = self.handlers.keys().map(String::as_str).collect();
        tracing::info!(%agent_id, name, ?types, "the agent has begun");
        // Ends with this function.
        let mut background = JoinSet::new();
        if let Some(listener) = self.monitoring.take() {
            let (metrics, executor, delivery) =
                (Arc::clone(&self.metrics), Arc::clone(&self.executor), Arc::clone(&self.delivery));
            background.spawn(monitoring::serve(listener, Monitored { metrics, executor, delivery }));
        }
        let stopping = CancellationToken::new();
        let mut delivering = pin!(self.delivery.run(&self.afm));
        // It is dropped when it has to end.
        let mut polling = Box::pin(self.poll_until(&stopping));
        tokio::select! {
            () = stop => {}
            () = &mut delivering => {}
            _ = &mut polling => {}
        }
        let running = self.executor.ids().len();
        tracing::info!(running, undelivered = self.delivery.len(), "the agent is stopping");
        stopping.cancel();
        let finished = async {
            self.end_polls(polling).await;
            tracing::info!("the agent takes no more tasks");
            self.executor.finished().await;
            self.delivery.emptied().await;
        };
        let finished = async {
            tokio::select! { () = finished => {}, () = &mut delivering => {} }
        };
        if tokio::time::timeout(self.shutdown_limit, finished).await.is_err() {
            let (running, undelivered) = (self.executor.ids().len(), self.delivery.len());
            tracing::warn!(running, undelivered, "the agent ends with work that has not ended");
            self.hand_back().await;
        } else {
            tracing::info!("the agent has ended");
        }
    }

    /// Ends the poll that is held open, executes what it brings at this moment, and has the AFM take back what did not
    /// arrive or has not begun. `polling` says whether the last poll was answered.
    async fn end_polls(&self, polling: impl Future<Output = bool>) {
        let is_plain = self.afm.is_plain();
        let end_held = async {
            if !is_plain {
                // The next poll of an agent ends the one that is held. What that one brings is not known yet.
                self.say_what_runs(None).await;
            }
            std::future::pending::<()>().await;
        };
        let is_answered = tokio::select! {
            // It is over already if no poll is on its way.
            biased;
            is_answered = polling => is_answered,
            () = tokio::time::sleep(GOODBYE) => false,
            () = end_held => false,
        };
        // A plain AFM takes nothing back: all that it handed out is executed.
        if !is_plain && (self.executor.drop_waiting() || !is_answered) {
            self.say_what_runs(Some(self.held())).await;
        }
    }

    /// Stops what runs, and tells the AFM, so that it can hand it to others at once.
    async fn hand_back(&self) {
        if self.afm.is_plain() {
            return;
        }
        self.executor.cancel_all();
        let _ = tokio::time::timeout(GOODBYE, self.executor.finished()).await;
        self.say_what_runs(Some(self.delivery.stored_ids())).await;
    }

    /// Asks for no tasks, within a time, and names what the agent is executing, and has not delivered.
    async fn say_what_runs(&self, running: Option<Vec<Uuid>>) {
        let running = running.as_deref().filter(|running| running.len() <= MOST_RUNNING);
        let poll = self.poll_for(0, PollExtensions { max_wait: 0, agent_running: running });
        let problem = match tokio::time::timeout(GOODBYE, self.afm.poll(poll)).await {
            Ok(Ok(answered)) => {
                // It may say what was cancelled.
                self.take(answered);
                return;
            }
            Ok(Err(problem)) => problem.to_string(),
            Err(_) => format!("it did not answer within {} s", GOODBYE.as_secs()),
        };
        tracing::warn!(problem, "could not tell the AFM that the agent stops");
    }

    /// Polls until `stopping`, and returns whether the last poll was answered: it may be on its way by then.
    async fn poll_until(&self, stopping: &CancellationToken) -> bool {
        let (mut backoff, mut is_answered) = (Backoff::new(self.default_wait.max(SHORTEST)), true);
        while !stopping.is_cancelled() {
            let polled = self.poll().await;
            is_answered = polled.is_ok();
            self.metrics.polled(is_answered);
            stopping.run_until_cancelled(self.pause(polled, &mut backoff)).await;
        }
        is_answered
    }

    /// Waits until the next poll is due.
    async fn pause(&self, polled: Result<Next, Problem>, backoff: &mut Backoff) {
        match polled {
            Ok(Next::After(wait)) => {
                backoff.reset();
                tokio::time::sleep(wait).await;
            }
            Ok(Next::Soon) => tokio::time::sleep(backoff.wait(None)).await,
            Ok(Next::WhenFree { at_the_latest }) => {
                backoff.reset();
                let _ = tokio::time::timeout(at_the_latest, self.is_free()).await;
            }
            Err(problem) => {
                let wait = match problem.is_final {
                    // The next try is likely to be refused, too, until somebody has mended something.
                    true => self.default_wait.max(SHORTEST),
                    false => problem.wait(backoff),
                };
                tracing::warn!(
                    problem = problem.to_string(),
                    wait_s = wait.as_secs_f64(),
                    "could not poll for tasks"
                );
                self.afm.wait(&problem, wait).await;
            }
        }
    }

    /// How many tasks the agent can take.
    fn free(&self) -> usize {
        if self.delivery.is_full() { 0 } else { self.executor.free() }
    }

    async fn is_free(&self) {
        while self.free() == 0 {
            tokio::select! {
                () = self.executor.freed.notified() => {}
                () = self.delivery.freed.notified() => {}
            }
        }
    }

    /// What the agent executes, and has not delivered.
    fn held(&self) -> Vec<Uuid> {
        // What is executed first: a result is stored before its task counts as over.
        let mut running = self.executor.ids();
        running.extend(self.delivery.ids());
        running.sort_unstable();
        running.dedup();
        running
    }

    fn poll_for<'a>(&'a self, max_tasks: usize, extensions: PollExtensions<'a>) -> Poll<'a> {
        Poll {
            protocol: 1,
            agent_id: self.agent_id,
            agent_name: &self.name,
            agent_time: now(),
            agent_capabilities: capabilities(&self.handlers),
            agent_location: self.location.as_ref(),
            max_tasks,
            extensions: Some(extensions),
        }
    }

    /// Polls, has executed what that brings, and says when to poll next.
    async fn poll(&self) -> Result<Next, Problem> {
        let free = self.free();
        let running = self.held();
        let extensions = PollExtensions {
            max_wait: if free > 0 { self.longest_poll.as_secs() } else { 0 },
            agent_running: (running.len() <= MOST_RUNNING).then_some(&running),
        };
        let began = Instant::now();
        let answered = self.afm.poll(self.poll_for(free, extensions)).await?;
        let took = began.elapsed();
        let wait = match answered.answer.return_time() {
            Some(return_time) => wait_until(return_time, answered.date, now(), self.default_wait),
            None => self.default_wait.max(SHORTEST),
        };
        let is_extended = answered.is_extended;
        let has_cancelled = !answered.answer.cancelled.is_empty();
        let began = self.take(answered);
        // As many as were asked for: there are likely to be more.
        if free == 0 || began >= free {
            // Until then an AFM that tells agents what was cancelled is asked now and then.
            let at_the_latest = if is_extended { wait.min(BUSY) } else { wait };
            return Ok(Next::WhenFree { at_the_latest });
        }
        // An AFM that can hold polls has held this one to the end, or had something to say before.
        let was_held = self.longest_poll > SHORTEST && took + SHORTEST >= self.longest_poll;
        if is_extended && began > 0 {
            return Ok(Next::After(Duration::ZERO));
        }
        if is_extended && (has_cancelled || was_held) {
            return Ok(Next::After(SHORTEST.saturating_sub(took)));
        }
        // An AFM that is told to stop ends the polls that it holds, and it or another one is there soon. So does one that holds
        // too many, which the waits spare that double each time.
        if is_extended && self.longest_poll > SHORTEST {
            return Ok(Next::Soon);
        }
        Ok(Next::After(wait))
    }

    /// Has the tasks of an answer executed, stops those that were cancelled, and returns how many have begun.
    fn take(&self, answered: Answered) -> usize {
        let Answered { answer, date, .. } = answered;
        let now = date.unwrap_or_else(now);
        let mut began = 0;
        for task_id in answer.cancelled {
            self.executor.cancel(task_id);
        }
        for task in answer.tasks {
            if self.delivery.has(task.task_id) {
                tracing::warn!(task_id = %task.task_id, "was handed a task again whose result is not delivered");
                continue;
            }
            // One that can do nothing is no reason to ask for more of it at once.
            let is_known = self.executor.handler(&task).is_some();
            let deadline = task.deadline().map(|deadline| {
                Instant::now() + Duration::try_from(deadline.duration_since(now)).unwrap_or_default()
            });
            let (delivery, task_id) = (Arc::clone(&self.delivery), task.task_id);
            let has_begun = self.executor.start(task, deadline, move |ended| async move {
                if let Ended::With(outcome) = ended {
                    delivery.add(task_id, outcome).await;
                }
            });
            began += usize::from(has_begun && is_known);
        }
        began
    }
}
