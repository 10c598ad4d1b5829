//! Whether all is well, in one sentence, and why.

use std::borrow::Cow;

use slamon_store::{Counter, Counters};

use super::chart::failed;
use super::presentation::{count, number};
use super::stuck::StuckGroup;
use crate::statistics::{MinutePoint, OverviewFigures};

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

/// So many of the last minutes tell whether tasks fail.
const LATELY: usize = 10;

/// If more than one in so many tasks fail, something is wrong.
const FAILING: u64 = 10;

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
    if let Some(worst) = stuck.iter().find(|group| group.is_bad()) {
        let others = stuck.iter().filter(|group| group.is_bad()).count() - 1;
        let more = if others > 0 {
            format!("; and for {} more", count(others as u64, "reason"))
        } else {
            String::new()
        };
        let reason = format!("{} cannot be handed out: {}{more}.", worst.tasks_in_words(), worst.sentence);
        return of("bad", "Tasks are stuck.", reason);
    }
    let lately = figures.minutes.iter().rev().take(LATELY).fold(Counters::default(), |mut sum, minute| {
        sum.merge(&minute.counters);
        sum
    });
    let (finished, failed_lately) = (lately.get(Counter::Completed), failed(&lately));
    if failed_lately * FAILING > finished + failed_lately {
        let of_all = finished + failed_lately;
        let reason = format!(
            "{} of {} failed in the last {LATELY} minutes.",
            number(failed_lately),
            count(of_all, "task")
        );
        return of("bad", "Tasks are failing.", reason);
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
        let reason = format!("{}: {}. {reason}", group.tasks_in_words(), group.sentence);
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
        return of(
            "good",
            "All is well.",
            format!("{reason} {} wait: {}.", group.tasks_in_words(), group.sentence),
        );
    }
    of("good", "All is well.", reason)
}

/// Whether there are neither agents nor unfinished tasks, and nothing has happened in the last hour.
pub(super) fn is_new(figures: &OverviewFigures) -> bool {
    let agents = &figures.agents;
    let has_tasks = figures.tasks.is_some_and(|tasks| tasks.delayed + tasks.pending + tasks.claimed > 0);
    let happened =
        |minute: &MinutePoint| Counter::ALL.iter().any(|counter| minute.counters.get(*counter) > 0);
    agents.active + agents.lost + agents.paused == 0 && !has_tasks && !figures.minutes.iter().any(happened)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use slamon_protocol::Capability;
    use slamon_store::AgentCounts;
    use uuid::Uuid;

    use super::*;
    fn figures(agents: [u64; 3], happened: &[(Counter, u64)]) -> OverviewFigures {
        let [active, lost, paused] = agents;
        let mut counters = Counters::default();
        for (counter, times) in happened {
            for _ in 0..*times {
                counters.increment(*counter);
            }
        }
        OverviewFigures {
            at: Timestamp::UNIX_EPOCH,
            tasks: None,
            agents: AgentCounts { active, lost, paused, is_complete: true },
            minutes: vec![MinutePoint { minute: Timestamp::UNIX_EPOCH, counters }],
            types: Vec::new(),
            has_all_types: true,
        }
    }

    fn waiting(code: &'static str, sentence: &str) -> StuckGroup {
        StuckGroup {
            capability: Capability { task_type: "wait".to_owned(), version: 1 },
            code,
            sentence: sentence.to_owned(),
            tasks: Some(2),
            oldest: Uuid::nil(),
            waits_for: std::time::Duration::ZERO,
        }
    }

    #[test]
    fn the_worst_comes_first() {
        let happened = [(Counter::Completed, 20), (Counter::Failed, 1)];
        let well = figures([3, 0, 0], &happened);
        let failing =
            figures([3, 1, 1], &[(Counter::Completed, 8), (Counter::TimedOut, 1), (Counter::Cancelled, 9)]);
        let stuck = [waiting("busy", "all are busy"), waiting("no_agent", "no agent offers wait")];
        let paused = [waiting("paused", "wait version 1 is paused")];
        for (figures, stuck, writes, class, answer) in [
            (&failing, &stuck[..], Err("read-only".to_owned()), "bad", "The database takes no writes."),
            (&failing, &stuck[..], Ok(()), "bad", "Tasks are stuck."),
            (&failing, &stuck[..1], Ok(()), "bad", "Tasks are failing."),
            (&figures([2, 1, 1], &happened), &paused[..], Ok(()), "busy", "Agents are missing."),
            (&well, &paused[..], Ok(()), "busy", "Something is paused."),
            (&figures([2, 0, 1], &happened), &[], Ok(()), "busy", "Something is paused."),
            (&figures([0, 0, 0], &happened), &[], Ok(()), "busy", "No agent is at work."),
            (&figures([0, 0, 0], &[]), &[], Ok(()), "calm", "Nothing has happened yet."),
            (&well, &stuck[..1], Ok(()), "good", "All is well."),
            (&well, &[], Ok(()), "good", "All is well."),
        ] {
            let verdict = verdict(figures, stuck, writes);
            assert_eq!((verdict.class, verdict.answer), (class, answer), "{}", verdict.reason);
        }
        let reason = verdict(&well, &[], Ok(())).reason;
        assert_eq!(reason, "3 agents are at work; in the last hour 20 tasks finished and 1 failed.");
        let reason = verdict(&well, &stuck, Ok(())).reason;
        assert_eq!(reason, "2 tasks cannot be handed out: no agent offers wait.");
    }
}
