//! Commands on their way to the store, each with where its reply goes.

use jiff::Timestamp;
use slamon_store::{Cancelled, Command, Polled, Refusal, Reported, Submitted, Swept};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::commit_error::CommitError;

/// A command on its way to the store, and whoever sent it.
#[derive(Debug)]
pub(super) struct QueuedCommand {
    pub(super) command: Command,
    pub(super) caller: Caller,
}

/// Whoever sent a command.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) reply_to: ReplyTo,
    /// Since when the command is held up by a row that somebody else has locked.
    pub(super) held_up_since: Option<Instant>,
    /// Its place in the queue, given back with the reply; `None` if it was never in there.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// Takes the reply to one command, or why that was not applied.
pub(super) type ReplySender<T> = oneshot::Sender<Result<T, CommitError>>;

/// What a poll or a claim brings, and when it was applied.
pub(super) type PolledAt = (Polled, Timestamp);

/// Where the reply to a command goes: of each kind of command that may wait in the queue, what takes its reply.
#[derive(Debug)]
pub(super) enum ReplyTo {
    Submit(ReplySender<Result<Submitted, Refusal>>),
    /// Of polls and claims.
    Poll(ReplySender<PolledAt>),
    Report(ReplySender<Result<Reported, Refusal>>),
    Cancel(ReplySender<Cancelled>),
    Seen(ReplySender<Vec<Uuid>>),
    Sweep(ReplySender<Swept>),
}

impl QueuedCommand {
    /// One that was not held up yet.
    pub(super) fn new(command: Command, reply_to: ReplyTo, room: Option<OwnedSemaphorePermit>) -> Self {
        Self { command, caller: Caller { reply_to, held_up_since: None, room } }
    }

    /// Whether whoever sent it has hung up, and would never see the reply.
    pub(super) fn is_given_up(&self) -> bool {
        match &self.caller.reply_to {
            ReplyTo::Submit(sender) => sender.is_closed(),
            ReplyTo::Poll(sender) => sender.is_closed(),
            ReplyTo::Report(sender) => sender.is_closed(),
            ReplyTo::Cancel(sender) => sender.is_closed(),
            ReplyTo::Seen(sender) => sender.is_closed(),
            ReplyTo::Sweep(sender) => sender.is_closed(),
        }
    }
}

impl ReplyTo {
    /// Says that the command was not applied. Whoever has hung up need not know.
    pub(super) fn fail(self, error: CommitError) {
        fn send<T>(sender: ReplySender<T>, error: CommitError) {
            let _ = sender.send(Err(error));
        }
        match self {
            Self::Submit(sender) => send(sender, error),
            Self::Poll(sender) => send(sender, error),
            Self::Report(sender) => send(sender, error),
            Self::Cancel(sender) => send(sender, error),
            Self::Seen(sender) => send(sender, error),
            Self::Sweep(sender) => send(sender, error),
        }
    }
}
