use jiff::Timestamp;
use slamon_protocol::Capability;
use slamon_store::{AgentCounts, TaskCounts};
use uuid::Uuid;

use super::super::stuck::Number;
use super::*;
use crate::statistics::TypeTimes;

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
        agents: AgentCounts { active, lost, paused, is_complete: true, counted_at: None },
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
        tasks: Number { tasks: 2, is_least: false },
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

#[test]
fn one_type_that_fails_is_named() {
    let of_type = |name: &str, completed: u64, failed: u64| {
        let mut lately = Counters::default();
        for (counter, times) in [(Counter::Completed, completed), (Counter::Failed, failed)] {
            for _ in 0..times {
                lately.increment(counter);
            }
        }
        let capability = Capability { task_type: name.to_owned(), version: 1 };
        TypeTimes { capability: Some(capability.into()), counters: lately, lately, queue: None, run: None }
    };
    let answer = |types: Vec<TypeTimes>| {
        let of_all = |counter| types.iter().map(|it| it.lately.get(counter)).sum();
        let happened = [Counter::Completed, Counter::Failed].map(|counter| (counter, of_all(counter)));
        let verdict = verdict(&OverviewFigures { types, ..figures([3, 0, 0], &happened) }, &[], Ok(()));
        (verdict.answer, verdict.reason.into_owned())
    };
    let failing = |reason: &str| ("Tasks are failing.", reason.to_owned());
    assert_eq!(
        answer(vec![of_type("wait", 100, 0), of_type("dns", 0, 5)]),
        failing("All 5 tasks of dns version 1 that ended in the last 10 minutes failed.")
    );
    assert_eq!(
        answer(vec![of_type("wait", 10, 0), of_type("dns", 2, 8)]),
        failing("8 of 10 tasks of dns version 1 failed in the last 10 minutes.")
    );
    assert_eq!(
        answer(vec![of_type("wait", 8, 2), of_type("dns", 2, 8)]),
        failing("10 of 20 tasks failed in the last 10 minutes.")
    );
    assert_eq!(answer(vec![of_type("wait", 100, 1), of_type("dns", 0, 1)]).0, "All is well.");
}

#[test]
fn a_queue_that_grows_is_told() {
    // In each of the last minutes, the last one last: how many tasks were posted and how many finished.
    let after = |minutes: [(u64, u64); 12], paused: &[StuckGroup]| {
        let minute = |(posted, finished): (u64, u64)| {
            let mut counters = Counters::default();
            for (counter, times) in
                [(Counter::Posted, posted), (Counter::Claimed, finished), (Counter::Completed, finished)]
            {
                for _ in 0..times {
                    counters.increment(counter);
                }
            }
            MinutePoint { minute: Timestamp::UNIX_EPOCH, counters }
        };
        let pending = minutes.iter().map(|(posted, finished)| posted - finished).sum::<u64>();
        let tasks = TaskCounts { pending: i64::try_from(pending).unwrap(), ..TaskCounts::default() };
        let minutes = minutes.map(minute).to_vec();
        verdict(&OverviewFigures { tasks: Some(tasks), minutes, ..figures([2, 1, 0], &[]) }, paused, Ok(()))
    };
    let verdict = after([(10, 5); 12], &[]);
    assert_eq!(verdict.answer, "Tasks come faster than agents take them.");
    assert_eq!(
        verdict.reason,
        "60 tasks wait, 50 more than 10 minutes ago; 2 agents are at work. 1 agent is lost."
    );
    let mut burst = [(5, 5); 12];
    burst[11] = (1_000, 0);
    for calm in [[(5, 5); 12], [(6, 5); 12], burst] {
        assert_eq!(after(calm, &[]).answer, "Agents are missing.", "{calm:?}");
    }
    let paused = waiting("paused", "wait version 1 is paused");
    assert_eq!(after([(10, 5); 12], &[paused]).answer, "Agents are missing.");
    let mut old = waiting("busy", "all are busy");
    assert_eq!(after([(5, 5); 12], &[old]).answer, "Agents are missing.");
    old = waiting("busy", "all are busy");
    old.waits_for = LONG;
    let verdict = after([(5, 5); 12], &[old]);
    assert_eq!(verdict.answer, "Tasks wait for long.");
    assert_eq!(
        verdict.reason,
        "The oldest of 2 tasks of wait version 1 has waited for 10 min: all are busy."
    );
}

#[test]
fn what_fails_is_said_also_where_others_are_stuck() {
    let figures = figures([1, 0, 0], &[(Counter::Completed, 1), (Counter::Failed, 4)]);
    let verdict = verdict(&figures, &[waiting("no_agent", "no agent offers wait")], Ok(()));
    let reason = "2 tasks cannot be handed out: no agent offers wait. Besides, 4 of 5 tasks failed in the last 10 minutes.";
    assert_eq!((verdict.answer, &*verdict.reason), ("Tasks are stuck.", reason));
}

#[test]
fn others_that_are_stuck_are_counted() {
    let mut least = waiting("filter", "none matches");
    least.tasks.is_least = true;
    let stuck = [waiting("no_agent", "no agent offers wait"), waiting("busy", "all are busy"), least];
    let reason =
        "2 tasks cannot be handed out: no agent offers wait. Nor can at least 2 more, for 1 reason more.";
    assert_eq!(stuck_reason(&stuck).as_deref(), Some(reason));
    assert_eq!(stuck_reason(&stuck[1..2]), None);
    // There may be more than are looked at.
    let all: Vec<StuckGroup> = (0..SHOWN).map(|_| waiting("no_agent", "no agent offers wait")).collect();
    let reason = stuck_reason(&all).expect("they are stuck");
    assert!(reason.ends_with(" Nor can at least 22 more, for 11 reasons more."), "{reason}");
}
