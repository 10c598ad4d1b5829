//! What a task may become: state and command in, new state or refusal out.
//!
//! No clock, no I/O, no SQL. Both stores ask these functions, so that they cannot differ.
//!
//! ```text
//!            claim            report
//!  pending ────────▶ claimed ────────▶ completed | failed
//!     ▲                 │
//!     └─────────────────┘
//!            release
//! ```

use jiff::Timestamp;
use slamon_protocol::{PostTask, TaskOutcome};
use uuid::Uuid;

use crate::{Claim, Refusal, Reported, State, Submitted};

/// The most tasks that one poll is given, whatever it asks for: an answer must fit into memory.
pub const MAX_TASKS_PER_POLL: u32 = 1_000;

/// A task is posted while `stored` has its id.
///
/// # Errors
/// [`Refusal::IdTaken`] when the two differ.
pub fn submit(stored: Option<&PostTask>, posted: &PostTask) -> Result<Submitted, Refusal> {
    let Some(stored) = stored else { return Ok(Submitted::Stored) };
    if posted.same_as(stored) {
        return Ok(Submitted::Repeated);
    }
    Err(Refusal::IdTaken(if stored.test_id != posted.test_id {
        "test_id"
    } else if stored.task_type != posted.task_type {
        "task_type"
    } else if stored.task_version != posted.task_version {
        "task_version"
    } else {
        "task_data"
    }))
}

/// An agent takes a task; `None` if it is not to be had.
#[must_use]
pub fn claim(state: &State, agent_id: Uuid, now: Timestamp) -> Option<State> {
    match state {
        State::Pending => Some(State::Claimed(Claim { agent_id, at: now })),
        State::Claimed(_) | State::Completed { .. } | State::Failed { .. } => None,
    }
}

/// The tasks of a claim never reached their agent; `None` if this is not the claim that holds.
///
/// Times are compared to the microsecond, which is what stores keep of them.
#[must_use]
pub fn release(state: &State, agent_id: Uuid, claimed_at: Timestamp) -> Option<State> {
    let holds = |claim: &Claim| {
        claim.agent_id == agent_id && claim.at.as_microsecond() == claimed_at.as_microsecond()
    };
    match state {
        State::Claimed(claim) if holds(claim) => Some(State::Pending),
        State::Pending | State::Claimed(_) | State::Completed { .. } | State::Failed { .. } => None,
    }
}

/// A result comes for a task in `state`; with [`Reported::Stored`] the state that it brings.
///
/// # Errors
/// For a task that is unknown, was never claimed, or has another result.
pub fn report(
    state: Option<&State>,
    outcome: &TaskOutcome,
    now: Timestamp,
) -> Result<(Reported, Option<State>), Refusal> {
    let repeat_of = |stored: TaskOutcome| {
        if outcome.same_as(&stored) { Ok((Reported::Repeated, None)) } else { Err(Refusal::AlreadyFinished) }
    };
    match state {
        None => Err(Refusal::UnknownTask),
        Some(State::Pending) => Err(Refusal::NotClaimed),
        Some(State::Claimed(claim)) => {
            let (claim, at) = (*claim, now);
            let ended = match outcome.clone() {
                TaskOutcome::Completed(result) => State::Completed { claim, at, result },
                TaskOutcome::Failed(error) => State::Failed { claim, at, error },
            };
            Ok((Reported::Stored, Some(ended)))
        }
        Some(State::Completed { result, .. }) => repeat_of(TaskOutcome::Completed(result.clone())),
        Some(State::Failed { error, .. }) => repeat_of(TaskOutcome::Failed(error.clone())),
    }
}

#[cfg(test)]
mod tests;
