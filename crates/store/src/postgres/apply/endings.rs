//! Attempts that end: by a result, because their task is cancelled, or because they are released.

use std::collections::BTreeSet;

use slamon_protocol::ResultPost;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::submits::Submits;
use super::tasks::{News, Tasks};
use crate::lifecycle::{self, Report};
use crate::postgres::connection::Session;
use crate::postgres::errors::Problem;
use crate::postgres::rows;
use crate::{Command, Outcome, Refusal, Reported, Task};

const LOCK: &str = concat!(
    "
    select ",
    rows::task_columns!(),
    ",
        -- The client that cancels is answered with all of it.
        case when task.id = any($3::uuid[]) then task.data end as data
    from (
        select id from unnest($1::uuid[]) as named (id)
        union
        select task.id from task join unnest($2::uuid[]) as posted (alias) on task.alias = posted.alias
        where task.alias is not null
        union
        select attempt.task_id from attempt join unnest($2::uuid[]) as posted (alias) on attempt.alias = posted.alias
        -- In one order in all batches, so that none waits for one that waits for it.
        order by id
    ) as asked
    cross join lateral (select * from task where task.id = asked.id for update) as task
"
);

/// Read once the tasks are locked: what another batch has just ended is seen.
const PAST: &str =
    concat!("select ", rows::attempt_columns!(), " from attempt where alias = any($1::uuid[])");

/// The reports, cancels and releases of a batch.
pub(super) struct Endings {
    /// The tasks that they name, by their own id or another.
    named: Vec<Uuid>,
    /// The ids under which results were posted.
    posted: Vec<Uuid>,
    cancelled: Vec<Uuid>,
}

/// The statements that find and lock.
pub(super) struct Finding(Option<(Statement, Statement)>);

impl Endings {
    pub(super) fn of(batch: &[Command]) -> Self {
        let (mut named, mut posted, mut cancelled) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for command in batch {
            match command {
                Command::Report(result) => {
                    named.insert(result.task_id);
                    posted.insert(result.task_id);
                }
                Command::Cancel(id) => {
                    named.insert(*id);
                    cancelled.insert(*id);
                }
                Command::Release { task_ids, .. } => named.extend(task_ids),
                Command::Submit(_)
                | Command::Poll(_)
                | Command::Claim { .. }
                | Command::Seen(_)
                | Command::Sweep(_) => {}
            }
        }
        let list = |set: BTreeSet<Uuid>| set.into_iter().collect();
        Self { named: list(named), posted: list(posted), cancelled: list(cancelled) }
    }

    pub(super) async fn prepare(&self, session: &Session) -> Result<Finding, Problem> {
        Ok(Finding(if self.named.is_empty() {
            None
        } else {
            Some((session.prepare(LOCK).await?, session.prepare(PAST).await?))
        }))
    }

    /// Locks the tasks that are named; those tasks, and the attempts under which results were posted.
    pub(super) async fn lock(
        &self,
        session: &Session,
        finding: &Finding,
    ) -> Result<(Vec<Row>, Vec<Row>), Problem> {
        let Some((lock, past)) = &finding.0 else { return Ok((Vec::new(), Vec::new())) };
        let named: [&(dyn ToSql + Sync); 3] = [&self.named, &self.posted, &self.cancelled];
        let posted: [&(dyn ToSql + Sync); 1] = [&self.posted];
        futures_util::future::try_join(session.run(lock, &named), session.run(past, &posted)).await
    }
}

/// Decides a command in its turn, by the tasks as they were locked and as the commands before left them.
/// `None`: it is none of those that end attempts.
pub(super) fn decide(
    (place, command): (usize, &Command),
    tasks: &mut Tasks,
    submits: &Submits<'_>,
    news: &mut News,
) -> Option<Outcome> {
    let is_there = |id: &Uuid| !submits.is_unborn(*id, place);
    match command {
        Command::Report(result) => {
            let id = tasks.id_of(result.task_id).filter(is_there);
            let outcome = id.map_or(Err(Refusal::UnknownTask), |id| report(id, result, tasks, news));
            Some(Outcome::Report(outcome))
        }
        Command::Cancel(id) => {
            Some(Outcome::Cancel(Some(*id).filter(is_there).and_then(|id| cancel(id, tasks, news))))
        }
        Command::Release { agent_id, claimed_at, task_ids } => {
            let claimed_at = rows::as_stored(*claimed_at);
            let mut released = 0;
            for id in task_ids {
                let state = tasks.get(*id).and_then(|task| lifecycle::release(task, *agent_id, claimed_at));
                if let Some(state) = state {
                    tasks.release(*id, state, news);
                    released += 1;
                }
            }
            Some(Outcome::Release(released))
        }
        Command::Submit(_)
        | Command::Poll(_)
        | Command::Claim { .. }
        | Command::Seen(_)
        | Command::Sweep(_) => None,
    }
}

fn report(id: Uuid, result: &ResultPost, tasks: &mut Tasks, news: &mut News) -> Result<Reported, Refusal> {
    tasks.settle(id, news);
    let now = tasks.now;
    let Some(task) = tasks.get(id) else { return Err(Refusal::UnknownTask) };
    let past = tasks.past(result.task_id);
    let attempt = past.map(|past| &past.attempt).or(task.last_attempt());
    let agent = attempt.map(|attempt| attempt.agent_id);
    let report = lifecycle::report(task, past, result, now)?;
    // A result is a sign of life, also a late or a repeated one.
    tasks.seen.extend(agent);
    match report {
        Report::Ends(change) => {
            tasks.change(id, change, news);
            Ok(Reported::Stored)
        }
        Report::Repeated => Ok(Reported::Repeated),
        Report::Late { attempt } => {
            tasks.keep_late(id, attempt, &result.outcome);
            Err(Refusal::TooLate(attempt))
        }
    }
}

fn cancel(id: Uuid, tasks: &mut Tasks, news: &mut News) -> Option<Result<Box<Task>, Refusal>> {
    tasks.get(id)?;
    tasks.settle(id, news);
    let decision = tasks.get(id).map(|task| lifecycle::cancel(task, tasks.now))?;
    Some(match decision {
        Ok(change) => {
            if let Some(change) = change {
                tasks.change(id, change, news);
            }
            Ok(Box::new(tasks.get(id)?.clone()))
        }
        Err(refusal) => Err(refusal),
    })
}
