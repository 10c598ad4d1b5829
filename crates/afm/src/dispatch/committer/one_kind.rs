//! Makes small batches of one kind of command, where the store does better with those.
//!
//! Each kind of command takes statements of its own, and a statement costs PostgreSQL nearly as much for one row
//! as for ten. A batch of twenty posts, then, takes a third of the statements of three batches that have seven
//! posts, seven claims and seven reports each.

use std::mem::{self, Discriminant, discriminant};

use slamon_domain::Command;

use super::queued::QueuedCommand;

/// Fewer commands are a batch together, whatever they are: nobody else waits.
const SMALLEST: usize = 4;

/// What a command is, if it is one of those that come in numbers.
fn kind(command: &Command) -> Option<Discriminant<Command>> {
    match command {
        Command::Submit(_) | Command::Report(_) | Command::Claim { .. } => Some(discriminant(command)),
        Command::Poll { .. }
        | Command::Cancel(_)
        | Command::Release { .. }
        | Command::Seen(_)
        | Command::Sweep(_)
        | Command::Operate(_) => None,
    }
}

/// Moves to the front what makes a batch of one kind, and returns how many commands these are: those that are what
/// the one is that has waited longest, and with them all that come rarely. Batches of `below` commands and more are
/// left as they are.
pub(super) fn move_to_front(commands: &mut Vec<QueuedCommand>, below: usize) -> usize {
    if commands.len() < SMALLEST || commands.len() >= below {
        return commands.len();
    }
    let Some(first) = commands.iter().find_map(|queued| kind(&queued.command)) else { return commands.len() };
    let belongs = |queued: &QueuedCommand| kind(&queued.command).is_none_or(|kind| kind == first);
    let (batch, others): (Vec<_>, Vec<_>) = mem::take(commands).into_iter().partition(belongs);
    let length = batch.len();
    *commands = batch;
    commands.extend(others);
    length
}
