//! Single decisions of the executor.

use std::time::Duration;

use uuid::Uuid;

use crate::batch::{DueTasks, Effects, Executor, HeldTasks, LockedTask, PostLookup};
use crate::command::{Command, Locked, Refusal, Replies, Running, Sweep, Swept};
use crate::cursor::QueueCursor;
use crate::task::{Attempt, AttemptEnd, EndedAttempt, State, Task};
use crate::testing::commands::{
    agent_id, at, attempt, claimed, completed, completed_as, poll, release, task, task_id,
};

#[test]
fn an_agent_is_accounted_by_its_last_poll() {
    let (posted, poll) = (task(1), poll(1, 0));
    let (id, agent_id) = (posted.task_id, poll.agent_id);
    let polls = |aliases: &[Uuid]| Command::Poll {
        poll: poll.clone(),
        kinds: None,
        running: Some(Running { aliases: aliases.to_vec(), until: at(1) }),
    };
    for (batch, accounted) in
        [([polls(&[]), polls(&[id])], vec![agent_id]), ([polls(&[id]), polls(&[])], vec![])]
    {
        let mut executor = Executor::new(at(9));
        // It was claimed so late that the agent need not name it.
        let task = Task { posted: posted.clone(), created: at(0), attempts: 1, state: claimed(1, 1, at(5)) };
        executor.snapshot.add_task(LockedTask { task, seq: 0, cursor: QueueCursor::START });
        executor.snapshot.add_held(agent_id, HeldTasks { tasks: vec![id], has_more: false });
        executor.execute(&batch);
        assert_eq!((executor.effects.accounted, executor.effects.abandoned), (accounted, 0));
    }
}

#[test]
fn what_another_session_has_locked_is_replied_locked() {
    let mut executor = Executor::new(at(9));
    let id = task_id(1);
    let batch = [
        Command::Submit(task(1)),
        Command::Report(completed(1, "{}")),
        Command::Cancel(id),
        release(1, at(5), &[1, 2]),
    ];
    executor.snapshot.add_post(id, PostLookup::Locked);
    executor.snapshot.add_locked(id);
    let task = Task { posted: task(2), created: at(0), attempts: 1, state: claimed(2, 1, at(5)) };
    executor.snapshot.add_task(LockedTask { task, seq: 0, cursor: QueueCursor::START });
    executor.execute(&batch);
    let Replies { submits, reports, cancels, releases, .. } = &executor.replies;
    assert_eq!((&submits[..], &reports[..]), (&[Err(Locked)][..], &[Err(Locked)][..]));
    assert_eq!((&cancels[..], &releases[..]), (&[Err(Locked)][..], &[Err(Locked)][..]));
    // The task beside the locked one waits again.
    let released: Vec<Uuid> = executor.changed_tasks().map(|locked| locked.task.posted.task_id).collect();
    assert_eq!(released, [task_id(2)]);
    assert_eq!(executor.snapshot.task(task_id(2)).map(|task| task.attempts), Some(0));
}

#[test]
fn a_late_result_of_a_locked_attempt_is_replied_locked() {
    let ended = || EndedAttempt { attempt: attempt(1, 1, at(5)), at: at(7), end: AttemptEnd::TimedOut };
    let batch = [Command::Report(completed(1, "{}")), Command::Report(completed(1, r#"{"again":true}"#))];
    for (is_locked, has_late, reply, kept) in [
        (true, false, Err(Locked), 0),
        (false, true, Ok(Err(Refusal::TooLate(1))), 0),
        (false, false, Ok(Err(Refusal::TooLate(1))), 1),
    ] {
        let mut executor = Executor::new(at(9));
        let task = Task { posted: task(1), created: at(0), attempts: 1, state: State::Pending };
        executor.snapshot.add_task(LockedTask { task, seq: 0, cursor: QueueCursor::START });
        executor.snapshot.add_past(task_id(1), ended(), has_late);
        if is_locked {
            executor.snapshot.add_locked_attempt(task_id(1));
        }
        executor.execute(&batch);
        assert_eq!(executor.replies.reports, [reply, reply]);
        assert_eq!(executor.changes().late.len(), kept);
    }
}

#[test]
fn a_sweep_that_has_changed_as_much_as_it_may_says_that_there_may_be_more() {
    let sweep = Sweep {
        limit: 1,
        lost_after: Some(Duration::from_secs(60)),
        forget_after: None,
        delete_after: None,
        heartbeats: vec![(poll(1, 0).agent_id, at(98))],
    };
    let batch = [Command::Sweep(sweep)];
    let due = DueTasks { due: vec![task_id(1)], silent: Vec::new() };
    let silent = |agent| {
        (
            State::Claimed(attempt(1, agent, at(5))),
            DueTasks { due: vec![], silent: vec![(task_id(1), at(5))] },
        )
    };
    for ((state, due), (settled, lost, more)) in [
        ((State::Delayed { until: at(9) }, due.clone()), (1, 0, true)),
        // Another session has settled it meanwhile.
        ((State::Pending, due), (0, 0, false)),
        (silent(2), (0, 1, true)),
        // Agent 1 is not as silent as it looks, now and in the next sweep.
        (silent(1), (0, 0, false)),
    ] {
        let mut executor = Executor::new(at(99));
        let task = Task { posted: task(1), created: at(0), attempts: 1, state };
        executor.snapshot.add_task(LockedTask { task, seq: 0, cursor: QueueCursor::START });
        executor.snapshot.add_due(due);
        executor.execute(&batch);
        assert_eq!(executor.replies.sweeps, [Ok(Swept { settled, lost, more, ..Swept::default() })]);
    }
}

#[test]
fn the_latest_heartbeat_of_an_agent_counts() {
    let mut effects = Effects::default();
    for (agent, seconds) in [(1, 5), (2, 4), (1, 3), (2, 6)] {
        effects.add_heartbeat(agent_id(agent), at(seconds));
    }
    let applied = effects.into_applied(Replies::default(), []);
    assert_eq!(applied.heartbeats, [(agent_id(1), at(5)), (agent_id(2), at(6))]);
}

#[test]
fn an_agent_that_posts_a_result_is_not_lost_in_the_same_batch() {
    let sweep = Sweep {
        limit: 9,
        lost_after: Some(Duration::from_secs(60)),
        forget_after: None,
        delete_after: None,
        heartbeats: Vec::new(),
    };
    let (result, sweep) = (Command::Report(completed(1, "{}")), Command::Sweep(sweep));
    for (batch, lost) in [([result.clone(), sweep.clone()], 0), ([sweep, result], 1)] {
        let mut executor = Executor::new(at(99));
        for n in [1, 2] {
            let task = Task { posted: task(n), created: at(0), attempts: 1, state: claimed(n, 1, at(5)) };
            executor.snapshot.add_task(LockedTask { task, seq: 0, cursor: QueueCursor::START });
        }
        executor.snapshot.add_due(DueTasks { due: Vec::new(), silent: vec![(task_id(2), at(5))] });
        executor.execute(&batch);
        assert_eq!(executor.replies.sweeps, [Ok(Swept { lost, ..Swept::default() })]);
    }
}

#[test]
fn nobody_knows_the_alias_of_an_attempt_that_was_released() {
    let alias = Uuid::from_u128(7);
    let second = Attempt { number: 2, alias, ..attempt(1, 1, at(5)) };
    let task = Task { posted: task(1), created: at(0), attempts: 2, state: State::Claimed(second) };
    let batch = [release(1, at(5), &[1]), Command::Report(completed_as(alias, "{}"))];
    let mut executor = Executor::new(at(9));
    executor.snapshot.add_task(LockedTask { task, seq: 0, cursor: QueueCursor::START });
    executor.execute(&batch);
    assert_eq!(executor.replies.releases, [Ok(1)]);
    assert_eq!(executor.replies.reports, [Ok(Err(Refusal::UnknownTask))]);
}

#[test]
fn an_agent_is_as_silent_as_its_last_heartbeat_says_saved_or_not() {
    let lost_after = Some(Duration::from_secs(60));
    let agent_id = poll(1, 0).agent_id;
    for (seen_at, lost) in [(38, 1), (39, 0)] {
        let heartbeats = vec![(agent_id, at(7)), (Uuid::nil(), at(98)), (agent_id, at(seen_at))];
        let sweep = Sweep { limit: 9, lost_after, forget_after: None, delete_after: None, heartbeats };
        let batch = [Command::Sweep(sweep)];
        let mut executor = Executor::new(at(99));
        let task = Task { posted: task(1), created: at(0), attempts: 1, state: claimed(1, 1, at(5)) };
        executor.snapshot.add_task(LockedTask { task, seq: 0, cursor: QueueCursor::START });
        executor.snapshot.add_due(DueTasks { due: Vec::new(), silent: vec![(task_id(1), at(5))] });
        executor.execute(&batch);
        assert_eq!(executor.replies.sweeps, [Ok(Swept { lost, ..Swept::default() })]);
    }
}
