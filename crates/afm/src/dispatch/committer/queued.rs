//! Commands that wait for the store, each with the way back for its reply.

use jiff::Timestamp;
use slamon_domain::{Cancelled, Command, Operated, Polled, Refusal, Reported, Submitted, Swept};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::commit_error::CommitError;

/// A command that waits for the store, and its caller.
#[derive(Debug)]
pub(super) struct QueuedCommand {
    pub(super) command: Command,
    pub(super) caller: Caller,
}

/// The sender of a command.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) reply_to: ReplyTo,
    /// Since when the command is held up by a locked row.
    pub(super) held_up_since: Option<Instant>,
    /// Its place in the queue, which is given back before the reply is sent; `None` if it was never in the
    /// queue.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// The channel for the reply to one command, or for the error if it was not applied.
pub(super) type ReplySender<T> = oneshot::Sender<Result<T, CommitError>>;

/// What a poll has brought, and when it was applied.
pub(super) type PolledAt = (Polled, Timestamp);

/// The channel for a reply, one variant for each kind of command that may be queued.
#[derive(Debug)]
pub(super) enum ReplyTo {
    Submit(ReplySender<Result<Submitted, Refusal>>),
    /// For polls and claims.
    Poll(ReplySender<PolledAt>),
    Report(ReplySender<Result<Reported, Refusal>>),
    Cancel(ReplySender<Cancelled>),
    Seen(ReplySender<Vec<Uuid>>),
    Sweep(ReplySender<Swept>),
    Operate(ReplySender<Operated>),
}

impl QueuedCommand {
    /// Creates a command that was not held up yet.
    pub(super) fn new(command: Command, reply_to: ReplyTo, room: Option<OwnedSemaphorePermit>) -> Self {
        Self { command, caller: Caller { reply_to, held_up_since: None, room } }
    }

    /// Says whether the caller has hung up and would never see the reply.
    pub(super) fn is_given_up(&self) -> bool {
        match &self.caller.reply_to {
            ReplyTo::Submit(sender) => sender.is_closed(),
            ReplyTo::Poll(sender) => sender.is_closed(),
            ReplyTo::Report(sender) => sender.is_closed(),
            ReplyTo::Cancel(sender) => sender.is_closed(),
            ReplyTo::Seen(sender) => sender.is_closed(),
            ReplyTo::Sweep(sender) => sender.is_closed(),
            // What an operator asks for is done, also if the connection breaks meanwhile.
            ReplyTo::Operate(_) => false,
        }
    }
}

impl ReplyTo {
    /// Tells the caller that the command was not applied, unless it has hung up.
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
            Self::Operate(sender) => send(sender, error),
        }
    }
}
