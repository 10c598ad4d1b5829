//! Whether all is well, in one sentence, and why.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use std::time::Duration;

use slamon_store::{Counter, Counters};

use super::chart::{self, failed};
use super::presentation::{count, duration, name, number};
use super::stuck::{SHOWN, StuckGroup};
use crate::statistics::{LATELY, MinutePoint, OverviewFigures};

/// The answer to the question whether all is well.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The class: `good`, `bad`, `busy` or `calm`.
    pub(super) class: &'static str,
    pub(super) answer: &'static str,
    pub(super) reason: Cow<'static, str>,
}

/// While the database cannot be read.
pub(super) const NO_DATABASE: Verdict = Verdict {
    class: "bad",
    answer: "The database is not available.",
    reason: Cow::Borrowed("Nothing can be posted or handed out until it is back; the log says why."),
};

/// If more than one in so many tasks fail, something is wrong.
const FAILING: u64 = 10;

/// So many failures of one type, and more than half of its tasks, mean that the type is broken, however well others do.
const FAILURES_OF_TYPE: u64 = 2;

/// A queue grows if at least so many tasks have come to it lately, and at least one in so many of those that wait now.
const GROWTH: u64 = 20;
const GROWTH_OF_ALL: u64 = 3;

/// Tasks that agents could take should not wait for longer.
const LONG: Duration = Duration::from_mins(10);

/// Says whether all is well.
pub(super) fn verdict(
    figures: &OverviewFigures,
    stuck: &[StuckGroup],
    writes: Result<(), String>,
) -> Verdict {
    let of = |class, answer, reason: String| Verdict { class, answer, reason: reason.into() };
    if let Err(reason) = writes {
        return of(
            "bad",
            "The database takes no writes.",
            format!("Nothing can be posted or handed out: {reason}."),
        );
    }
    let failing = failing(figures);
    if let Some(mut reason) = stuck_reason(stuck) {
        if let Some(failing) = &failing {
            reason.push_str(&format!(" Besides, {}", uncapitalized(failing)));
        }
        return of("bad", "Tasks are stuck.", reason);
    }
    if let Some(reason) = failing {
        return of("bad", "Tasks are failing.", reason);
    }
    if let Some(reason) = falling_behind(figures, stuck) {
        return of("busy", "Tasks come faster than agents take them.", reason);
    }
    if let Some(group) = stuck.iter().find(|group| group.class() == "calm" && group.waits_for >= LONG) {
        let reason = format!(
            "The oldest of {} of {} version {} has waited for {}: {}.",
            group.tasks.in_words(),
            name(&group.capability.task_type),
            group.capability.version,
            duration(group.waits_for),
            group.sentence
        );
        return of("busy", "Tasks wait for long.", reason);
    }
    let agents = &figures.agents;
    if agents.lost > 0 {
        let (are, polls) = if agents.lost == 1 { ("is", "polls") } else { ("are", "poll") };
        let reason = format!(
            "{} {are} lost and no longer {polls}; {} at work.",
            count(agents.lost, "agent"),
            match agents.active {
                0 => "none is".to_owned(),
                1 => "1 is".to_owned(),
                active => format!("{} are", number(active)),
            }
        );
        return of("busy", "Agents are missing.", reason);
    }
    if is_new(figures) && stuck.is_empty() {
        let reason = "No agent has polled, and no task was posted in the last hour.".to_owned();
        return of("calm", "Nothing has happened yet.", reason);
    }
    let hour = figures.minutes.iter().map(|minute| minute.counters.get(Counter::Completed)).sum::<u64>();
    let failed_in_hour = figures.minutes.iter().map(|minute| failed(&minute.counters)).sum::<u64>();
    let reason = format!(
        "{} at work; in the last hour {} finished and {} failed.",
        match agents.active {
            0 => "No agent is".to_owned(),
            1 => "1 agent is".to_owned(),
            active => format!("{} agents are", number(active)),
        },
        count(hour, "task"),
        if failed_in_hour == 0 { "none".to_owned() } else { number(failed_in_hour) },
    );
    if let Some(group) = stuck.iter().find(|group| group.class() == "busy") {
        let wait = if group.tasks.tasks == 1 { "waits" } else { "wait" };
        let reason = format!("{} {wait}: {}. {reason}", group.tasks.in_words(), group.sentence);
        let reason = capitalized(reason);
        return of("busy", "Something is paused.", reason);
    }
    if agents.paused > 0 {
        let are = if agents.paused == 1 { "is" } else { "are" };
        return of(
            "busy",
            "Something is paused.",
            format!("{} {are} paused. {reason}", count(agents.paused, "agent")),
        );
    }
    if agents.active == 0 {
        return of("busy", "No agent is at work.", reason);
    }
    if let Some(group) = stuck.first() {
        let wait = if group.tasks.tasks == 1 { "waits" } else { "wait" };
        let waiting = capitalized(format!("{} {wait}: {}.", group.tasks.in_words(), group.sentence));
        return of("good", "All is well.", format!("{reason} {waiting}"));
    }
    of("good", "All is well.", reason)
}

/// Says which tasks no agent can take; `None` if there are none.
fn stuck_reason(stuck: &[StuckGroup]) -> Option<String> {
    let mut bad = stuck.iter().filter(|group| group.is_bad());
    let worst = bad.next()?;
    let mut reason = format!("{} cannot be handed out: {}.", worst.tasks.in_words(), worst.sentence);
    let others: Vec<&StuckGroup> = bad.collect();
    if !others.is_empty() {
        let tasks = others.iter().map(|group| group.tasks.tasks).sum::<u64>();
        // Only so many groups are looked at.
        let is_least = stuck.len() >= SHOWN || others.iter().any(|group| group.tasks.is_least);
        reason.push_str(&format!(
            " Nor can {}{} more, for {} more.",
            if is_least { "at least " } else { "" },
            number(tasks),
            count(others.len() as u64, "reason")
        ));
    }
    Some(capitalized(reason))
}

/// Says how many tasks fail: of all, or else of one type; `None` if few do.
fn failing(figures: &OverviewFigures) -> Option<String> {
    let ended = |counters: &Counters| counters.get(Counter::Completed) + failed(counters);
    let says = |counters: &Counters, of_type: &str| {
        let (failed, of_all) = (failed(counters), ended(counters));
        let tasks = count(of_all, "task");
        if failed == of_all && of_all > 1 {
            format!("All {tasks}{of_type} that ended in the last {LATELY} minutes failed.")
        } else {
            format!("{} of {tasks}{of_type} failed in the last {LATELY} minutes.", number(failed))
        }
    };
    let mut lately = Counters::default();
    for minute in figures.minutes.iter().rev().take(LATELY) {
        lately.merge(&minute.counters);
    }
    let is_broken =
        |counters: &Counters| failed(counters) >= FAILURES_OF_TYPE && failed(counters) * 2 > ended(counters);
    let broken = figures.types.iter().filter(|of_type| is_broken(&of_type.lately));
    let broken = broken.max_by_key(|of_type| failed(&of_type.lately));
    let of_type = broken.map(|of_type| {
        let name = match &of_type.capability {
            Some(capability) => format!("{} version {}", name(&capability.task_type), capability.version),
            None => "other types".to_owned(),
        };
        says(&of_type.lately, &format!(" of {name}"))
    });
    if failed(&lately) * FAILING > ended(&lately) {
        let all = says(&lately, "");
        // Where one type is the whole trouble, it is said which one.
        let is_alone = broken.is_some_and(|of_type| failed(&of_type.lately) == failed(&lately));
        return Some(if is_alone { of_type.unwrap_or(all) } else { all });
    }
    of_type
}

/// Says how fast the queue grows; `None` if it does not, or because somebody has paused something.
fn falling_behind(figures: &OverviewFigures, stuck: &[StuckGroup]) -> Option<String> {
    let tasks = figures.tasks?;
    if stuck.iter().any(StuckGroup::is_paused) {
        return None;
    }
    let levels = chart::levels(&figures.minutes, tasks);
    let ago = |minutes: usize| levels.iter().rev().nth(minutes).map(|level| level.waiting);
    let (now, between, before) = (ago(0)?, ago(LATELY / 2)?, ago(LATELY)?);
    // Many that were posted at once are no trend, and those that are delayed wait for no agent.
    let pending = u64::try_from(tasks.pending).unwrap_or(0);
    let growth = now.saturating_sub(before).min(pending);
    if !(before < between && between < now) || growth < GROWTH || growth * GROWTH_OF_ALL < pending {
        return None;
    }
    let agents = &figures.agents;
    let missing = match agents.lost {
        0 => String::new(),
        1 => " 1 agent is lost.".to_owned(),
        lost => format!(" {} agents are lost.", number(lost)),
    };
    let (more, active) = (number(growth), count(agents.active, "agent"));
    let at_work = if agents.active == 1 { "is" } else { "are" };
    Some(format!(
        "{} wait, {more} more than {LATELY} minutes ago; {active} {at_work} at work.{missing}",
        count(pending, "task")
    ))
}

/// Writes a sentence as a part of another one.
fn uncapitalized(sentence: &str) -> String {
    let mut sentence = sentence.to_owned();
    if let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    sentence
}

/// Writes the beginning of a sentence.
fn capitalized(mut sentence: String) -> String {
    if let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    sentence
}

/// Whether there are neither agents nor unfinished tasks, and nothing has happened in the last hour.
pub(super) fn is_new(figures: &OverviewFigures) -> bool {
    let agents = &figures.agents;
    let has_tasks = figures.tasks.is_some_and(|tasks| tasks.delayed + tasks.pending + tasks.claimed > 0);
    let happened =
        |minute: &MinutePoint| Counter::ALL.iter().any(|counter| minute.counters.get(*counter) > 0);
    agents.active + agents.lost + agents.paused == 0 && !has_tasks && !figures.minutes.iter().any(happened)
}
