//! What has happened to a task, in the order in which it did.

use slamon_domain::{Attempt, End, PendingReason, State, Task};
use slamon_store::AttemptView;
use uuid::Uuid;

use super::presentation::{Badge, Moment, between, duration};
use super::pretty_json::plain;
use crate::http::routes::bpms;

/// One event of a task's life.
pub(super) struct Event {
    /// When it happened; `None`: it is so now.
    pub(super) at: Option<Moment>,
    /// How long after the event before.
    pub(super) after: Option<String>,
    /// The class: `good`, `bad`, `busy` or `calm`.
    pub(super) class: &'static str,
    /// What happened; the name of the agent follows.
    pub(super) what: String,
    pub(super) agent: Option<Agent>,
    /// What a client has said about it, or why it is so.
    pub(super) detail: Option<String>,
}

/// The agent of an event.
pub(super) struct Agent {
    pub(super) id: Uuid,
    pub(super) name: String,
}

/// Of a late result at most this many characters are shown.
const LATE_SHOWN: usize = 400;

/// Lists the events of a task: its post, its attempts with their ends, its own end.
pub(super) fn timeline(task: &Task, why: Option<&PendingReason>, past: &[AttemptView]) -> Vec<Event> {
    let mut events = vec![event(task.created, "calm", "Posted")];
    let delay = task.posted.terms.delay;
    let is_over = task.attempts > 0 || !matches!(task.state, State::Delayed { .. });
    if let Ok(until) = task.created.checked_add(delay)
        && !delay.is_zero()
        && is_over
        && ended_at(task).is_none_or(|end| until <= end)
    {
        events.push(event(until, "calm", "Its delay was over"));
    }
    for attempt in past {
        events.extend(past_attempt(attempt));
    }
    // The last attempt of a task that ended without a result is among those.
    if let Some(last) = task.last_attempt()
        && past.iter().all(|attempt| attempt.number != last.number)
    {
        events.push(handed_out(last.number, last, "busy"));
    }
    events.sort_by_key(|event| event.at);
    for place in (1..events.len()).rev() {
        if let (Some(before), Some(at)) = (events[place - 1].at, events[place].at) {
            events[place].after = Some(duration(between(before.0, at.0)));
        }
    }
    events.extend(present(task, why, events.last().and_then(|event| event.at)));
    events
}

fn event(at: jiff::Timestamp, class: &'static str, what: impl Into<String>) -> Event {
    Event { at: Some(Moment(at)), after: None, class, what: what.into(), agent: None, detail: None }
}

fn ended_at(task: &Task) -> Option<jiff::Timestamp> {
    if let State::Ended { at, .. } = &task.state { Some(*at) } else { None }
}

fn handed_out(number: u32, attempt: &Attempt, class: &'static str) -> Event {
    let what = if number == 1 { "Handed to".to_owned() } else { format!("Attempt {number} handed to") };
    let agent = Agent { id: attempt.agent_id, name: attempt.agent_name.clone() };
    Event { agent: Some(agent), ..event(attempt.at, class, what) }
}

fn past_attempt(attempt: &AttemptView) -> Vec<Event> {
    let number = attempt.number;
    let agent = || Some(Agent { id: attempt.agent_id, name: attempt.agent_name.clone() });
    let begun =
        Event { agent: agent(), ..event(attempt.claimed, "calm", format!("Attempt {number} handed to")) };
    let word = match attempt.end.as_str() {
        "error" => "ended with an error",
        "lost" => "was lost",
        "abandoned" => "was abandoned",
        "timed_out" => "timed out",
        "expired" => "expired",
        "cancelled" => "was cancelled",
        other => other,
    };
    let class = if attempt.end == "cancelled" { "calm" } else { "bad" };
    let reason = attempt.error.clone().unwrap_or_else(|| bpms::why_ended(attempt));
    let ended = Event {
        detail: Some(plain(reason.as_str())),
        ..event(attempt.ended, class, format!("Attempt {number} {word}"))
    };
    let mut events = vec![begun, ended];
    if let Some(late) = &attempt.late {
        let text = match (&late.result, &late.error, late.result_bytes) {
            (Some(result), ..) => result.as_str().to_owned(),
            (None, Some(error), _) => plain(error.as_str()),
            (None, None, Some(bytes)) => format!("{bytes} bytes, too many to be shown"),
            (None, None, None) => String::new(),
        };
        let shown: String = text.chars().take(LATE_SHOWN).collect();
        let shown = if shown.len() < text.len() { format!("{shown}…") } else { shown };
        let what = format!("A late result of attempt {number} came, and does not count");
        events.push(Event { detail: Some(shown), ..event(late.at, "calm", what) });
    }
    events
}

/// What holds for the task now: that it waits or runs, or how it ended.
fn present(task: &Task, why: Option<&PendingReason>, last: Option<Moment>) -> Option<Event> {
    let now = |class, what: &str, detail| Event {
        at: None,
        after: None,
        class,
        what: what.to_owned(),
        agent: None,
        detail,
    };
    match &task.state {
        State::Delayed { .. } => Some(now("calm", "Delayed", why.map(|why| why.sentence.clone()))),
        State::Pending => Some(now("calm", "Waiting", why.map(|why| why.sentence.clone()))),
        State::Claimed(attempt) => {
            let until = attempt.deadline.map(|at| format!("it times out at {}", Moment(at).utc()));
            Some(now("busy", "Running", until))
        }
        State::Ended { at, end, .. } => {
            let badge = Badge::from(&task.state);
            let what = match end {
                End::Completed(_) => "Done".to_owned(),
                End::Failed(_) => "Failed".to_owned(),
                _ => format!("Ended as {}", badge.word),
            };
            let after = last.map(|last| duration(between(last.0, *at)));
            Some(Event { after, ..event(*at, badge.class, what) })
        }
    }
}
