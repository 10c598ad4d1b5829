//! Searches of the store: what they find goes into the cache, unless it was noted meanwhile.

use jiff::Timestamp;
use slamon_domain::{Applied, Command};
use slamon_store::Backlog;
use tokio::time::Instant;

use super::shared::SharedCache;
use super::waiting_index::{Epoch, ReadScope, SearchNumber};

/// The search of a batch that is being applied. If it is dropped before [`Search::committed`], it has found
/// nothing.
#[derive(Debug)]
#[must_use]
pub struct Search<'k> {
    cache: &'k SharedCache,
    epoch: Epoch,
    /// `None` if the batch looks for no tasks.
    number: Option<SearchNumber>,
}

impl<'k> Search<'k> {
    pub(super) fn begin(cache: &'k SharedCache, batch: &mut [Command]) -> Self {
        let mut waiting = cache.waiting();
        Self { cache, epoch: waiting.now(), number: waiting.begin_search(batch) }
    }

    /// Notes what the batch has done; to be called once it is committed, and before anybody is answered.
    pub fn committed(mut self, commands: &[Command], applied: &Applied, now: Timestamp) {
        let mut waiting = self.cache.waiting();
        if let Some(number) = self.number.take() {
            waiting.end_search(number, applied.searched.iter().map(|(kind, first)| (kind, *first)));
        }
        for kind in &applied.waiting {
            waiting.note(kind);
        }
        for agent_id in &applied.pending_cancellations {
            waiting.note_cancellation(*agent_id);
        }
        let polls = commands.iter().filter_map(|command| Some((command, command.poll()?)));
        let polls = polls.zip(&applied.replies.polls);
        let registered = polls.clone().filter_map(|((command, poll), reply)| match (command, reply) {
            (Command::Poll { .. }, Ok(_)) => Some(poll),
            _ => None,
        });
        for poll in registered.clone() {
            waiting.told(poll.agent_id, self.epoch);
        }
        drop(waiting);
        let mut agents = self.cache.agents();
        // These agents say it again with their next poll.
        agents.forget(&applied.unsaved);
        for (agent_id, at) in &applied.heartbeats {
            agents.add_heartbeat(*agent_id, *at);
        }
        for poll in registered.filter(|poll| !applied.unsaved.contains(&poll.agent_id)) {
            agents.saved(poll, now);
        }
        if !applied.accounted.is_empty() {
            for command in commands {
                if let Command::Poll { poll, running: Some(running), .. } = command
                    && applied.accounted.contains(&poll.agent_id)
                {
                    agents.accounted(poll.agent_id, &running.aliases, now);
                }
            }
        }
        // This comes last: of what the batch gives, the agents did not know when they polled.
        for ((_, poll), reply) in polls {
            if reply.as_ref().is_ok_and(|polled| !polled.tasks.is_empty()) {
                agents.given(poll.agent_id);
            }
        }
    }
}

impl Drop for Search<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.cache.waiting().give_up(number);
        }
    }
}

/// A refresh of the waiting tasks that is under way. If it is dropped before [`Reading::ended`], it has found
/// nothing.
#[derive(Debug)]
#[must_use]
pub(super) struct Reading<'k> {
    cache: &'k SharedCache,
    epoch: Epoch,
    number: SearchNumber,
    began: Instant,
    pub(super) scope: ReadScope,
}

impl<'k> Reading<'k> {
    pub(super) fn begin(cache: &'k SharedCache) -> Self {
        let mut waiting = cache.waiting();
        let epoch = waiting.now();
        let (number, scope) = waiting.begin_reading();
        Self { cache, epoch, number, began: Instant::now(), scope }
    }

    /// Notes what was read; returns whether all waiting tasks are known now.
    pub(super) fn ended(self, backlog: &Backlog) -> bool {
        let mut waiting = self.cache.waiting();
        waiting.end_reading(self.number, self.epoch, self.began.elapsed(), &self.scope, backlog);
        waiting.is_complete()
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.cache.waiting().give_up(self.number);
    }
}
