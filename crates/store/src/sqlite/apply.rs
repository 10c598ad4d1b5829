//! Applies a batch of commands in one transaction.
//!
//! There is no other writer, and a statement is no round trip to a server: so each command is found, executed
//! and saved by itself, and finds what the commands before it have left.

mod agents;
mod find;
mod operations;
mod polls;
mod save;
mod submits;
mod sweep;

use std::slice;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use slamon_domain::batch::Executor;
use slamon_domain::{Applied, Command, QueueCursor, WaitingKind};
use uuid::Uuid;

use super::write_transaction::WriteTransaction;
use crate::error::StoreError;

pub(super) fn apply(
    connection: &mut Connection,
    batch: &[Command],
    now: Timestamp,
    default_timeout: Option<Duration>,
) -> Result<Applied, StoreError> {
    let transaction = WriteTransaction::begin(connection)?;
    let mut work = BatchTransaction {
        transaction: transaction.connection,
        now,
        default_timeout,
        executor: Executor::new(now),
        pauses_changed: false,
        searched: Vec::new(),
        handed_out: Vec::new(),
    };
    for command in batch {
        if command.poll().is_none() {
            work.apply(command)?;
        }
    }
    // What agents have abandoned ends before any of them is given something new.
    for command in batch {
        if matches!(command, Command::Poll { running: Some(_), .. }) {
            work.apply(command)?;
        }
    }
    // Polls come last, so that they see what came in together with them.
    for command in batch {
        work.apply_poll(command)?;
    }
    let applied = work.finish();
    transaction.commit()?;
    Ok(applied)
}

/// A batch that is applied in a transaction.
struct BatchTransaction<'t> {
    transaction: &'t Connection,
    now: Timestamp,
    /// How long an attempt may take of a task that does not say.
    default_timeout: Option<Duration>,
    executor: Executor<'t>,
    /// The kinds that were searched for tasks, and from where on more of them may wait.
    searched: Vec<(WaitingKind, Option<QueueCursor>)>,
    handed_out: Vec<Uuid>,
    pauses_changed: bool,
}

impl<'t> BatchTransaction<'t> {
    /// Applies a command, except that it hands out no tasks.
    fn apply(&mut self, command: &'t Command) -> Result<(), StoreError> {
        match command {
            Command::Seen(agents) => {
                let unknown = self.seen_all(agents)?;
                self.executor.replies.seen.push(Ok(unknown));
                return Ok(());
            }
            Command::Operate(operation) => {
                let operated = self.operate(operation)?;
                self.executor.replies.operations.push(Ok(operated));
                return Ok(());
            }
            Command::Release { agent_id, cancelled, .. } => self.tell_again(*agent_id, cancelled)?,
            _ => {}
        }
        self.find(command)?;
        self.executor.execute(slice::from_ref(command));
        self.save()?;
        self.executor.forget_saved();
        if let Command::Sweep(sweep) = command {
            self.clean(sweep)?;
        }
        Ok(())
    }

    /// Applies a command, if it is a poll or a claim.
    fn apply_poll(&mut self, command: &Command) -> Result<(), StoreError> {
        let polled = match command {
            Command::Poll { poll, kinds, .. } => self.poll(poll, kinds.as_deref())?,
            Command::Claim { poll, kinds } => self.claim(poll, kinds)?,
            _ => return Ok(()),
        };
        self.executor.replies.polls.push(Ok(polled));
        Ok(())
    }

    fn finish(self) -> Applied {
        let Executor { replies, effects, .. } = self.executor;
        let Self { searched, pauses_changed, .. } = self;
        Applied { searched, pauses_changed, ..effects.into_applied(replies, self.handed_out) }
    }
}
