//! Sends the replies from the store to the callers of the commands.

use std::sync::Arc;

use jiff::Timestamp;
use slamon_domain::{Command, Locked, Replies, Reply};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::commit_error::CommitError;
use super::held_up::{self, HeldUp};
use super::queued::{Caller, QueuedCommand, ReplySender, ReplyTo};
use super::undelivered::Undelivered;
use crate::logging::failure_log::{FailureLog, ShouldLog};

/// A command that has its reply, and what else belongs to its caller.
struct Replied<'c> {
    command: &'c Command,
    held_up_since: Option<Instant>,
    room: Option<OwnedSemaphorePermit>,
}

/// Sends replies, holds up commands that met a locked row, and releases what nobody takes.
pub(super) struct Replier {
    pub(super) undelivered: Arc<Undelivered>,
    pub(super) held_up: Arc<HeldUp>,
    pub(super) failure_log: Arc<FailureLog>,
}

impl Replier {
    /// Sends the replies to the commands of a batch that was applied at `now`; holds up those that met a
    /// locked row.
    pub(super) fn reply(&self, commands: &[Command], callers: Vec<Caller>, replies: Replies, now: Timestamp) {
        let Replies { submits, polls, reports, cancels, releases: _, seen, sweeps, operations } = replies;
        let (mut submits, mut polls) = (submits.into_iter(), polls.into_iter());
        let (mut reports, mut cancels) = (reports.into_iter(), cancels.into_iter());
        let (mut seen, mut sweeps) = (seen.into_iter(), sweeps.into_iter());
        let mut operations = operations.into_iter();
        for (command, Caller { reply_to, held_up_since, room }) in commands.iter().zip(callers) {
            let replied = Replied { command, held_up_since, room };
            match reply_to {
                ReplyTo::Submit(to) => {
                    self.send(replied, submits.next(), to, ReplyTo::Submit);
                }
                ReplyTo::Poll(to) => {
                    let reply = polls.next().map(|reply| reply.map(|polled| (polled, now)));
                    let untaken = self.send(replied, reply, to, ReplyTo::Poll);
                    // The agent has hung up while its tasks were claimed: they are released at once.
                    if let (Some((polled, claimed_at)), Some(poll)) = (untaken, command.poll()) {
                        self.undelivered.add_polled(poll.agent_id, claimed_at, &polled);
                    }
                }
                ReplyTo::Report(to) => {
                    self.send(replied, reports.next(), to, ReplyTo::Report);
                }
                ReplyTo::Cancel(to) => {
                    self.send(replied, cancels.next(), to, ReplyTo::Cancel);
                }
                ReplyTo::Seen(to) => {
                    self.send(replied, seen.next(), to, ReplyTo::Seen);
                }
                ReplyTo::Sweep(to) => {
                    self.send(replied, sweeps.next(), to, ReplyTo::Sweep);
                }
                ReplyTo::Operate(to) => {
                    self.send(replied, operations.next(), to, ReplyTo::Operate);
                }
            }
        }
    }

    /// Sends a reply, and returns it if nobody takes it. `reply_to` makes a [`ReplyTo`] of `to` again.
    fn send<T>(
        &self,
        Replied { command, held_up_since, room }: Replied<'_>,
        reply: Option<Reply<T>>,
        to: ReplySender<T>,
        reply_to: fn(ReplySender<T>) -> ReplyTo,
    ) -> Option<T> {
        match reply {
            Some(Ok(reply)) => {
                self.note_free(command, held_up_since);
                // The place in the queue is free before the caller has its reply.
                drop(room);
                to.send(Ok(reply)).err().and_then(Result::ok)
            }
            Some(Err(Locked)) => {
                self.hold_up(command, Caller { reply_to: reply_to(to), held_up_since, room });
                None
            }
            None => {
                tracing::error!("the store has not replied to a command");
                let caller = Caller { reply_to: reply_to(to), held_up_since, room };
                self.fail(command, caller, CommitError::Failed);
                None
            }
        }
    }

    /// Tells a caller that its command was not applied; the reason has been logged.
    pub(super) fn fail(&self, command: &Command, caller: Caller, error: CommitError) {
        let Caller { reply_to, held_up_since, room } = caller;
        self.note_free(command, held_up_since);
        drop(room);
        reply_to.fail(error);
    }

    /// Has a command tried again a little later, or gives it up if it was tried for long enough.
    pub(super) fn hold_up(&self, command: &Command, caller: Caller) {
        let Some(request) = self.held_up.add(QueuedCommand { command: command.clone(), caller }) else {
            return;
        };
        let QueuedCommand { command, caller: Caller { reply_to, .. } } = request;
        let locked = held_up::name(&command);
        if let ShouldLog::Yes { not_logged } = self.failure_log.note("locked") {
            tracing::warn!(
                locked = locked.map(tracing::field::display),
                not_logged,
                "a row is locked by another session of the database: \
                 the requests that need it are answered 503"
            );
        }
        reply_to.fail(CommitError::Locked);
    }

    /// Notes that the row that held a command up is not locked any more.
    fn note_free(&self, command: &Command, held_up_since: Option<Instant>) {
        if held_up_since.is_some() {
            self.held_up.note_free(command);
        }
    }
}
