//! Claims tasks for held polls in the transaction that posts the tasks. On its way from its client to such an
//! agent, a task is written to the disk once.

use std::sync::Arc;

use slamon_domain::{Command, WaitingKind};
use slamon_protocol::PollRequest;
use tokio::sync::oneshot;

use super::queued::{QueuedCommand, ReplyTo};
use super::undelivered::{Awaited, Undelivered};
use crate::clock::Clock;
use crate::dispatch::cache::DispatchCache;
use crate::dispatch::waiters::{HandOff, Waiters};

/// Adds claims for held polls to batches.
pub(super) struct HandOffs {
    pub(super) waiters: Waiters,
    pub(super) cache: DispatchCache,
    pub(super) clock: Clock,
    pub(super) undelivered: Arc<Undelivered>,
}

impl HandOffs {
    /// Adds a claim to the batch for each task in it that a held poll could take.
    pub(super) fn add_claims(&self, batch: &mut Vec<QueuedCommand>) {
        let posted = batch.iter().filter_map(|request| match &request.command {
            Command::Submit(task) if task.terms.delay.is_zero() => Some(task),
            _ => None,
        });
        let mut claims = Vec::new();
        self.waiters.hand_off(posted, |poll, kind| self.claim(poll.clone(), kind, &mut claims));
        batch.append(&mut claims);
    }

    /// Claims tasks of a kind for a poll. Neither the poll nor the post depends on whether the other one
    /// still waits for its answer. If the poll has gone by then, its tasks wait again.
    fn claim(&self, poll: PollRequest, kind: WaitingKind, claims: &mut Vec<QueuedCommand>) -> HandOff {
        let agent_id = poll.agent_id;
        let (sender, reply) = oneshot::channel();
        let lookup = self.cache.lookup(&poll, None, self.clock.now()).with(kind);
        let command = lookup.into_command(poll);
        claims.extend(command.map(|command| QueuedCommand::new(command, ReplyTo::Poll(sender), None)));
        let mut awaited = Awaited::new(reply, agent_id, Arc::clone(&self.undelivered));
        // If nothing was claimed, the reason has been logged, and the poll asks again.
        Box::pin(async move { awaited.claimed().await.unwrap_or_default() })
    }
}
