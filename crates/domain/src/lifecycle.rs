//! The rules of what a task may become: from its state and a command to a new state or a refusal.
//!
//! The rules use no clock, no I/O and no SQL. Nothing else decides what becomes of a task.
//!
//! ```text
//!    delayed ──────▶ pending ──────▶ claimed ──────▶ completed | failed
//!       ▲    time    ▲     claim      │ │    report
//!       │            └── release ─────┘ │
//!       └─ lost, abandoned, timed out, ─┘  while attempts remain; else failed
//!                     error
//!
//!    delayed | pending | claimed ──▶ expired (time) | cancelled (cancel)
//! ```
//!
//! A store calls [`advance`] on a task before [`report`] and [`cancel`]: what time alone has done to it comes
//! first. A [`claim`] passes over what has expired, and a [`release`] asks for no time: a sweep will see to
//! both.

mod messages;
mod retry;

use std::time::Duration;

use jiff::Timestamp;
use slamon_protocol::{JsonText, PollRequest, PostTask, ResultPost, TaskOutcome};
use uuid::Uuid;

use crate::command::{Refusal, Running, Submitted};
use crate::task::{Attempt, AttemptEnd, End, EndedAttempt, State, Task};

/// A task's new state, and the attempt that ended with it without finishing the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The new state of the task.
    pub state: State,
    /// The attempt, which is kept because its result may still come, late.
    pub ended: Option<EndedAttempt>,
}

impl From<State> for Change {
    fn from(state: State) -> Self {
        Self { state, ended: None }
    }
}

/// What a result does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "made and taken apart at once, never kept")]
pub enum Report {
    /// It ends the attempt.
    Ends(Change),
    /// The same result was there already.
    Repeated,
    /// It came after this attempt had ended without it: it is refused, and kept with the attempt.
    Late {
        /// The attempt's number.
        attempt: u32,
    },
}

/// Decides a post while `stored` has the same id, or while an attempt of another task was handed out under
/// it.
///
/// # Errors
/// [`Refusal::IdTaken`] when the two differ, [`Refusal::IdOfAttempt`] when a result under this id would be
/// that attempt's.
pub fn submit(
    stored: Option<&PostTask>,
    is_of_attempt: bool,
    posted: &PostTask,
) -> Result<Submitted, Refusal> {
    if is_of_attempt {
        return Err(Refusal::IdOfAttempt);
    }
    let Some(stored) = stored else { return Ok(Submitted::Stored) };
    if posted.same_as(stored) {
        return Ok(Submitted::Repeated);
    }
    // First: whoever posts under another's id learns nothing of the other's task.
    Err(Refusal::IdTaken(if stored.posted_by != posted.posted_by {
        "who posted it"
    } else if stored.test_id != posted.test_id {
        "test_id"
    } else if stored.task_type != posted.task_type {
        "task_type"
    } else if stored.task_version != posted.task_version {
        "task_version"
    } else if stored.terms != posted.terms {
        "its terms"
    } else {
        "task_data"
    }))
}

/// The state of a task that is posted now.
#[must_use]
pub fn first_state(posted: &PostTask, now: Timestamp) -> State {
    wait(posted.terms.delay, now)
}

/// Brings a task to `now`: the change that time alone has made to it, or `None`.
///
/// `fleet` is asked for a sentence on the agents that might have taken a task that expires unclaimed.
#[must_use]
pub fn advance(task: &Task, now: Timestamp, fleet: impl FnOnce() -> String) -> Option<Change> {
    let due = |time: Option<Timestamp>| time.is_some_and(|time| time <= now);
    if matches!(task.state, State::Ended { .. }) {
        return None;
    }
    if due(task.expires()) {
        let error = messages::expired(task, now, fleet);
        return Some(end_without_result(task, now, AttemptEnd::Expired, End::Expired(error)));
    }
    match &task.state {
        State::Delayed { until } if *until <= now => Some(State::Pending.into()),
        State::Claimed(attempt) if due(attempt.deadline) => {
            let error = messages::timed_out(task, attempt);
            Some(try_again_or(task, attempt, now, AttemptEnd::TimedOut, End::TimedOut(error)))
        }
        _ => None,
    }
}

/// Has an agent claim a task; `None` if the task is not to be had. From the second attempt on, the agent
/// knows it as `alias`. The attempt of a task without a timeout of its own may take `default_timeout`.
#[must_use]
pub fn claim(
    task: &Task,
    poll: &PollRequest,
    alias: impl FnOnce() -> Uuid,
    now: Timestamp,
    default_timeout: Option<Duration>,
) -> Option<Attempt> {
    let terms = &task.posted.terms;
    let filter = &terms.agent_filter;
    let offered = poll.agent_capabilities.iter().any(|capability| {
        capability.version == task.posted.task_version && capability.task_type == task.posted.task_type
    });
    let wanted = filter.matches(poll.agent_id, &poll.agent_name, poll.agent_location.as_ref());
    let expired = task.expires().is_some_and(|time| time <= now);
    if task.state != State::Pending || !offered || !wanted || expired || task.attempts >= terms.max_attempts {
        return None;
    }
    let number = task.attempts + 1;
    Some(Attempt {
        number,
        alias: if number == 1 { task.posted.task_id } else { alias() },
        agent_id: poll.agent_id,
        agent_name: poll.agent_name.clone(),
        at: now,
        deadline: terms.timeout.or(default_timeout).and_then(|timeout| now.checked_add(timeout).ok()),
    })
}

/// Releases an attempt of which the agent never got the answer: the task waits again, as if it had not been
/// handed out. `None` if this is not the attempt that runs.
///
/// Times are compared to the microsecond, which is what stores keep of them.
#[must_use]
pub fn release(task: &Task, agent_id: Uuid, claimed_at: Timestamp) -> Option<State> {
    match &task.state {
        State::Claimed(attempt)
            if attempt.agent_id == agent_id && attempt.at.as_microsecond() == claimed_at.as_microsecond() =>
        {
            Some(State::Pending)
        }
        _ => None,
    }
}

/// Decides a result that was posted for `task`; `past` is the attempt of the id that it names, if that has
/// ended without finishing the task.
///
/// # Errors
/// For a task that was never claimed, is another agent's, or has another result.
pub fn report(
    task: &Task,
    past: Option<&EndedAttempt>,
    result: &ResultPost,
    now: Timestamp,
) -> Result<Report, Refusal> {
    let is_its = |attempt: &Attempt| result.agent_id.is_none_or(|agent| agent == attempt.agent_id);
    if let Some(past) = past {
        return match &past.end {
            _ if !is_its(&past.attempt) => Err(Refusal::AnotherAgent),
            AttemptEnd::Error(error) => repeat_of(result, &TaskOutcome::Failed(error.clone())),
            _ => Ok(Report::Late { attempt: past.attempt.number }),
        };
    }
    match &task.state {
        State::Claimed(attempt) if attempt.alias == result.task_id => {
            if !is_its(attempt) {
                return Err(Refusal::AnotherAgent);
            }
            Ok(Report::Ends(match &result.outcome {
                TaskOutcome::Completed(data) => ended(attempt, now, End::Completed(data.clone())),
                TaskOutcome::Failed(error) => reported_error(task, attempt, error, now),
            }))
        }
        State::Ended { last: Some(attempt), end, .. } if attempt.alias == result.task_id => match end {
            _ if !is_its(attempt) => Err(Refusal::AnotherAgent),
            End::Completed(data) => repeat_of(result, &TaskOutcome::Completed(data.clone())),
            End::Failed(error) => repeat_of(result, &TaskOutcome::Failed(error.clone())),
            End::Lost(_) | End::TimedOut(_) | End::Expired(_) | End::Cancelled(_) => {
                Err(Refusal::AlreadyFinished)
            }
        },
        State::Ended { .. } => Err(Refusal::AlreadyFinished),
        State::Delayed { .. } | State::Pending | State::Claimed(_) => Err(Refusal::NotClaimed),
    }
}

/// Cancels a task; `None` if it is cancelled already.
///
/// # Errors
/// For a task that ended otherwise.
pub fn cancel(task: &Task, now: Timestamp) -> Result<Option<Change>, Refusal> {
    match &task.state {
        State::Ended { end: End::Cancelled(_), .. } => Ok(None),
        State::Ended { .. } => Err(Refusal::CannotCancel),
        State::Delayed { .. } | State::Pending | State::Claimed(_) => {
            let error = messages::cancelled(task);
            Ok(Some(end_without_result(task, now, AttemptEnd::Cancelled, End::Cancelled(error))))
        }
    }
}

/// Ends the running attempt of an agent that has been silent for too long; `None` if no attempt runs.
#[must_use]
pub fn agent_lost(task: &Task, agent_id: Uuid, silent_for: Duration, now: Timestamp) -> Option<Change> {
    match &task.state {
        State::Claimed(attempt) if attempt.agent_id == agent_id => {
            let error = messages::lost(task, attempt, silent_for);
            Some(try_again_or(task, attempt, now, AttemptEnd::Lost, End::Lost(error)))
        }
        _ => None,
    }
}

/// Ends the running attempt if its agent, which says what it executes, does not name it. `None` if no attempt
/// runs, or if this one is named, or was claimed so late that the agent need not have known of it.
///
/// Times are compared to the microsecond, which is what stores keep of them.
#[must_use]
pub fn abandon(task: &Task, agent_id: Uuid, running: &Running, now: Timestamp) -> Option<Change> {
    match &task.state {
        State::Claimed(attempt)
            if attempt.agent_id == agent_id
                && attempt.at.as_microsecond() <= running.until.as_microsecond()
                && !running.names(attempt) =>
        {
            let error = messages::abandoned(task, attempt);
            Some(try_again_or(task, attempt, now, AttemptEnd::Abandoned, End::Lost(error)))
        }
        _ => None,
    }
}

fn wait(delay: Duration, now: Timestamp) -> State {
    match now.checked_add(delay) {
        Ok(until) if !delay.is_zero() => State::Delayed { until },
        _ => State::Pending,
    }
}

fn ended(attempt: &Attempt, at: Timestamp, end: End) -> Change {
    State::Ended { at, last: Some(attempt.clone()), end }.into()
}

fn reported_error(task: &Task, attempt: &Attempt, error: &JsonText, now: Timestamp) -> Change {
    let finally = End::Failed(error.clone());
    if task.posted.terms.retry_errors && task.attempts < task.posted.terms.max_attempts {
        return try_again_or(task, attempt, now, AttemptEnd::Error(error.clone()), finally);
    }
    ended(attempt, now, finally)
}

/// Ends the running attempt: the task waits for its next one or, if none is left, ends.
fn try_again_or(task: &Task, attempt: &Attempt, now: Timestamp, end: AttemptEnd, finally: End) -> Change {
    let over = EndedAttempt { attempt: attempt.clone(), at: now, end };
    let state = if task.attempts < task.posted.terms.max_attempts {
        wait(retry::delay(task), now)
    } else {
        State::Ended { at: now, last: Some(attempt.clone()), end: finally }
    };
    Change { state, ended: Some(over) }
}

/// Ends the task, and with it the attempt that runs.
fn end_without_result(task: &Task, now: Timestamp, end: AttemptEnd, finally: End) -> Change {
    let running = match &task.state {
        State::Claimed(attempt) => Some(attempt.clone()),
        _ => None,
    };
    Change {
        state: State::Ended { at: now, last: running.clone(), end: finally },
        ended: running.map(|attempt| EndedAttempt { attempt, at: now, end }),
    }
}

fn repeat_of(result: &ResultPost, stored: &TaskOutcome) -> Result<Report, Refusal> {
    if result.outcome.same_as(stored) { Ok(Report::Repeated) } else { Err(Refusal::AlreadyFinished) }
}

#[cfg(test)]
mod tests;
