//! Tasks in a map, moved by the lifecycle rules alone: what every store must agree with.

use std::collections::BTreeMap;

use jiff::Timestamp;
use slamon_protocol::PollRequest;
use slamon_store::lifecycle::{self, MAX_TASKS_PER_POLL};
use slamon_store::{Command, Delivery, Outcome, Reported, State, Submitted, Task};
use uuid::Uuid;

/// Everything that a store would hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) tasks: BTreeMap<Uuid, Task>,
    /// Ids in the order of arrival.
    pub(crate) arrivals: Vec<Uuid>,
    /// Names and last-seen times.
    pub(crate) agents: BTreeMap<Uuid, (String, Timestamp)>,
}

impl Model {
    /// Does what `Store::apply` promises: commands in their order, polls after all others.
    pub(crate) fn apply(&mut self, batch: &[Command], now: Timestamp) -> Vec<Outcome> {
        let mut outcomes = vec![None; batch.len()];
        let is_poll = |n: &usize| matches!(batch[*n], Command::Poll(_));
        let (polls, others): (Vec<_>, Vec<_>) = (0..batch.len()).partition(is_poll);
        for n in others.into_iter().chain(polls) {
            outcomes[n] = Some(self.apply_one(&batch[n], now));
        }
        outcomes.into_iter().flatten().collect()
    }

    fn apply_one(&mut self, command: &Command, now: Timestamp) -> Outcome {
        match command {
            Command::Submit(posted) => {
                let stored = self.tasks.get(&posted.task_id).map(|task| &task.posted);
                let submitted = lifecycle::submit(stored, posted);
                if submitted == Ok(Submitted::Stored) {
                    let task = Task { posted: posted.clone(), created: now, state: State::Pending };
                    self.tasks.insert(posted.task_id, task);
                    self.arrivals.push(posted.task_id);
                }
                Outcome::Submit(submitted)
            }
            Command::Poll(poll) => Outcome::Poll(self.poll(poll, now)),
            Command::Report(report) => {
                let task = self.tasks.get_mut(&report.task_id);
                let reported = lifecycle::report(task.as_ref().map(|t| &t.state), &report.outcome, now);
                if let (Some(task), Ok((Reported::Stored, Some(state)))) = (task, &reported) {
                    task.state = state.clone();
                }
                Outcome::Report(reported.map(|(reported, _)| reported))
            }
            Command::Release { agent_id, claimed_at, task_ids } => {
                let mut released = 0;
                for id in task_ids {
                    let Some(task) = self.tasks.get_mut(id) else { continue };
                    if let Some(state) = lifecycle::release(&task.state, *agent_id, *claimed_at) {
                        task.state = state;
                        released += 1;
                    }
                }
                Outcome::Release(released)
            }
        }
    }

    fn poll(&mut self, poll: &PollRequest, now: Timestamp) -> Vec<Delivery> {
        let agent = self.agents.entry(poll.agent_id).or_insert((String::new(), now));
        *agent = (poll.agent_name.clone(), agent.1.max(now));
        let mut delivered = Vec::new();
        for id in &self.arrivals {
            if delivered.len() >= poll.max_tasks.min(MAX_TASKS_PER_POLL) as usize {
                break;
            }
            let Some(task) = self.tasks.get_mut(id) else { continue };
            let is_capable = poll.agent_capabilities.iter().any(|capability| {
                capability.task_type == task.posted.task_type
                    && capability.version == task.posted.task_version
            });
            if !is_capable {
                continue;
            }
            if let Some(state) = lifecycle::claim(&task.state, poll.agent_id, now) {
                task.state = state;
                delivered.push(Delivery {
                    task_id: *id,
                    task_type: task.posted.task_type.clone(),
                    task_version: task.posted.task_version,
                    task_data: task.posted.task_data.clone(),
                });
            }
        }
        delivered
    }
}
