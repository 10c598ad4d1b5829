//! What a batch changes for those who wait.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use slamon_protocol::PostTask;
use uuid::Uuid;

use crate::command::{Applied, Replies};
use crate::cursor::{KindCursor, QueueCursor, WaitingKind};
use crate::task::State;
use crate::transition::Transition;

/// What a batch changes for those who wait: for tasks, for their ends, or to be told of a cancel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effects {
    /// The tasks that came to wait for an agent, each with its place in its queue.
    pub waiting: Vec<(Uuid, KindCursor)>,
    /// How the states of tasks changed.
    pub transitions: Vec<Transition>,
    /// The tasks that ended.
    pub ended: Vec<Uuid>,
    /// The agents that have pending cancellations by this batch.
    pub pending_cancellations: Vec<Uuid>,
    /// The times at which agents were seen, where these are not saved: of agents that posted results and, as
    /// the store adds them, of those whose rows another session has locked.
    pub heartbeats: BTreeMap<Uuid, Timestamp>,
    /// The agents that said what they execute, and had nothing else.
    pub accounted: Vec<Uuid>,
    /// How many attempts ended because their agent did not say that it executes them.
    pub abandoned: usize,
}

impl Effects {
    /// Notes when an agent was seen. The latest time counts.
    pub fn add_heartbeat(&mut self, agent_id: Uuid, at: Timestamp) {
        let latest = self.heartbeats.entry(agent_id).or_insert(at);
        *latest = at.max(*latest);
    }

    /// Notes that a task is in this state now.
    pub(super) fn note(&mut self, posted: &PostTask, state: &State, cursor: QueueCursor) {
        match state {
            State::Pending => {
                let kind = WaitingKind::of(posted);
                self.waiting.push((posted.task_id, KindCursor { kind, cursor }));
            }
            State::Ended { .. } => self.ended.push(posted.task_id),
            State::Delayed { .. } | State::Claimed(_) => {}
        }
    }

    /// What came of the batch in which these tasks were claimed.
    ///
    /// A task that came to wait, and was claimed or ended in the same batch, does not wait.
    #[must_use]
    pub fn into_applied(mut self, replies: Replies, claimed: impl IntoIterator<Item = Uuid>) -> Applied {
        if !self.waiting.is_empty() {
            let gone: HashSet<Uuid> = claimed.into_iter().chain(self.ended.iter().copied()).collect();
            self.waiting.retain(|(id, _)| !gone.contains(id));
        }
        Applied {
            replies,
            waiting: self.waiting.into_iter().map(|(_, waiting)| waiting).collect(),
            transitions: self.transitions,
            ended: self.ended,
            pending_cancellations: self.pending_cancellations,
            heartbeats: self.heartbeats.into_iter().collect(),
            accounted: self.accounted,
            abandoned: self.abandoned,
            ..Applied::default()
        }
    }
}
