//! Replies one by one, for tests that read a batch in the order of its commands.

use std::vec::IntoIter;

use crate::command::{
    Cancelled, Command, Locked, Operated, Polled, Refusal, Replies, Reply, Reported, Submitted, Swept,
};
use uuid::Uuid;

/// What one command is replied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Submit(Result<Submitted, Refusal>),
    /// Of polls and claims.
    Poll(Polled),
    Report(Result<Reported, Refusal>),
    Cancel(Cancelled),
    Release(usize),
    Seen(Vec<Uuid>),
    Sweep(Swept),
    Operate(Operated),
    /// Of any command.
    Locked,
}

/// The replies in the order of their commands; of each kind, there must be as many.
#[track_caller]
pub fn in_order(batch: &[Command], replies: Replies) -> Vec<Outcome> {
    let Replies { submits, polls, reports, cancels, releases, seen, sweeps, operations } = replies;
    let (mut submits, mut polls, mut reports) = (submits.into_iter(), polls.into_iter(), reports.into_iter());
    let (mut cancels, mut releases) = (cancels.into_iter(), releases.into_iter());
    let (mut seen, mut sweeps) = (seen.into_iter(), sweeps.into_iter());
    let mut operations = operations.into_iter();
    let outcomes = batch
        .iter()
        .map(|command| match command {
            Command::Submit(_) => next(&mut submits, Outcome::Submit),
            Command::Poll { .. } | Command::Claim { .. } => next(&mut polls, Outcome::Poll),
            Command::Report(_) => next(&mut reports, Outcome::Report),
            Command::Cancel(_) => next(&mut cancels, Outcome::Cancel),
            Command::Release { .. } => next(&mut releases, Outcome::Release),
            Command::Seen(_) => next(&mut seen, Outcome::Seen),
            Command::Sweep(_) => next(&mut sweeps, Outcome::Sweep),
            Command::Operate(_) => next(&mut operations, Outcome::Operate),
        })
        .collect();
    let left = submits.len() + polls.len() + reports.len() + cancels.len() + releases.len() + seen.len();
    assert_eq!(left + sweeps.len() + operations.len(), 0, "replies to nothing");
    outcomes
}

fn next<T>(replies: &mut IntoIter<Reply<T>>, outcome: impl FnOnce(T) -> Outcome) -> Outcome {
    match replies.next().expect("a reply to each command") {
        Ok(reply) => outcome(reply),
        Err(Locked) => Outcome::Locked,
    }
}
