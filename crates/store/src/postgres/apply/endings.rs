//! Finds and locks the tasks that results, cancels and releases name.

use std::collections::BTreeSet;

use slamon_domain::batch::{Executor, LockedTask, Snapshot};
use slamon_domain::{Command, Locked, QueueCursor, State, Task};
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use crate::postgres::errors::PgError;
use crate::postgres::rows;
use crate::postgres::session::Session;

const LOCK: &str = concat!(
    "
    select ",
    rows::nameless_columns!(),
    ", task.place, pg_current_xact_id()::text as transaction,
        -- Only those who cancel are told the agent's name, and errors that time writes.
        case when task.due_at is not null or task.id = any($2::uuid[]) then ",
    rows::agent_name!("task"),
    " end as agent_name,
        -- The client that cancels is answered with all of it.
        case when task.id = any($2::uuid[]) then task.data end as data
    from unnest($1::uuid[]) as named (id)
    -- Nobody is waited for: one row that somebody keeps locked would hold up all others.
    cross join lateral (
        select ctid as place, * from task where task.id = named.id for update skip locked
    ) as task
"
);

/// Finds the tasks that were not locked by the ids in $1, because another session has locked them, or because
/// they were handed out under the ids in $2.
const ELSEWHERE: &str = "
    select id as name, id, true as is_locked from task where id = any($1::uuid[])
    union all
    select alias, id, false from task where alias is not null and alias = any($2::uuid[])
    union all
    select alias, task_id, false from attempt where alias = any($2::uuid[])
";

/// Reads attempts that have ended, once the tasks are locked, so that it sees what another batch has just
/// ended. It locks them too: when an agent is told of its end, an attempt changes without its task.
const PAST: &str = concat!(
    "
    with mine as (
        select * from attempt where alias = any($1::uuid[]) for update skip locked
    )
    select ",
    rows::attempt_columns!(),
    ", false as is_locked from mine as attempt
    union all
    select ",
    rows::attempt_columns!(),
    ", true from attempt where alias = any($1::uuid[]) and alias not in (select alias from mine)
"
);

/// Marks the cancellations again that agents were told of in an answer that they never got.
const TELL_AGAIN: &str = "
    update attempt
    set untold = true
    from (
        select attempt.task_id, attempt.number
        from unnest($1::uuid[], $2::uuid[]) as given (agent_id, alias)
        join attempt on attempt.alias = given.alias and attempt.agent_id = given.agent_id
        where not attempt.untold and attempt.ending in ('expired', 'cancelled')
        for update of attempt skip locked
    ) as mine
    where attempt.task_id = mine.task_id and attempt.number = mine.number
    returning attempt.agent_id
";

/// Finds those of them that were passed over because another session has locked them.
const NOT_TOLD_AGAIN: &str = "
    select attempt.alias
    from unnest($1::uuid[], $2::uuid[]) as given (agent_id, alias)
    join attempt on attempt.alias = given.alias and attempt.agent_id = given.agent_id
    where not attempt.untold and attempt.ending in ('expired', 'cancelled')
";

/// Has agents told again of what was in answers that they never got. A release of which something is locked
/// is to be tried again, whatever its reply was.
pub(super) async fn tell_again(
    session: &Session,
    batch: &[Command],
    executor: &mut Executor<'_>,
) -> Result<(), PgError> {
    let told = || {
        batch.iter().filter_map(|command| match command {
            Command::Release { agent_id, cancelled, .. } => Some((agent_id, cancelled)),
            _ => None,
        })
    };
    let (mut agents, mut aliases) = (Vec::new(), Vec::new());
    for (agent_id, cancelled) in told() {
        for alias in cancelled {
            agents.push(*agent_id);
            aliases.push(*alias);
        }
    }
    if aliases.is_empty() {
        return Ok(());
    }
    for row in session.query(TELL_AGAIN, &[&agents, &aliases]).await? {
        executor.effects.pending_cancellations.push(row.try_get("agent_id")?);
    }
    let locked = session.query(NOT_TOLD_AGAIN, &[&agents, &aliases]).await?;
    let locked = locked.iter().map(|row| row.try_get(0)).collect::<Result<BTreeSet<Uuid>, _>>()?;
    for ((_, cancelled), reply) in told().zip(&mut executor.replies.releases) {
        if cancelled.iter().any(|alias| locked.contains(alias)) {
            *reply = Err(Locked);
        }
    }
    Ok(())
}

/// The tasks that the reports, cancels and releases of a batch name.
pub(super) struct Endings {
    /// The ids that they name, which are those of tasks or of attempts.
    named: Vec<Uuid>,
    /// The ids under which results were posted.
    posted: Vec<Uuid>,
    cancelled: Vec<Uuid>,
}

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
                | Command::Poll { .. }
                | Command::Claim { .. }
                | Command::Seen(_)
                | Command::Sweep(_)
                | Command::Operate(_) => {}
            }
        }
        let list = |set: BTreeSet<Uuid>| set.into_iter().collect();
        Self { named: list(named), posted: list(posted), cancelled: list(cancelled) }
    }

    pub(super) async fn prepare(&self, session: &Session) -> Result<Option<Statement>, PgError> {
        session.prepare_if(!self.named.is_empty(), LOCK).await
    }

    /// Locks the tasks that are named by their own ids.
    pub(super) async fn lock(
        &self,
        session: &Session,
        statement: Option<&Statement>,
    ) -> Result<Vec<Row>, PgError> {
        session.run_if(statement, &[&self.named, &self.cancelled]).await
    }

    /// Finds what a result may be of, besides the attempt that runs under its id: an attempt of another id,
    /// or one that is over. Most results are of neither.
    pub(super) async fn find_rest(
        &self,
        session: &Session,
        snapshot: &mut Snapshot<'_>,
    ) -> Result<(), PgError> {
        let missing = |ids: &[Uuid]| -> Vec<Uuid> {
            ids.iter().filter(|id| snapshot.task(**id).is_none()).copied().collect()
        };
        let (named, posted) = (missing(&self.named), missing(&self.posted));
        if !named.is_empty() {
            self.find_elsewhere(session, (&named, &posted), snapshot).await?;
        }
        let runs = |alias: &Uuid| match snapshot.task(*alias).map(|task| &task.state) {
            Some(State::Claimed(attempt)) => attempt.alias == *alias,
            _ => false,
        };
        let rest: Vec<Uuid> = self.posted.iter().filter(|alias| !runs(alias)).copied().collect();
        if !rest.is_empty() {
            for row in session.query(PAST, &[&rest]).await? {
                let (task_id, past, late) = rows::attempt(&row)?;
                if row.try_get("is_locked")? {
                    snapshot.add_locked_attempt(past.attempt.alias);
                }
                snapshot.add_past(task_id, past, late.is_some());
            }
        }
        Ok(())
    }

    /// Finds and locks the tasks that were handed out under other ids, and notes those that another session
    /// has locked.
    async fn find_elsewhere(
        &self,
        session: &Session,
        (named, posted): (&[Uuid], &[Uuid]),
        snapshot: &mut Snapshot<'_>,
    ) -> Result<(), PgError> {
        let mut aliased: Vec<(Uuid, Uuid)> = Vec::new();
        for row in session.query(ELSEWHERE, &[&named, &posted]).await? {
            let (name, id) = (row.try_get("name")?, row.try_get("id")?);
            if row.try_get("is_locked")? {
                snapshot.add_locked(name);
            } else {
                aliased.push((name, id));
            }
        }
        let ids: BTreeSet<Uuid> = aliased.iter().map(|(_, id)| *id).collect();
        let ids: Vec<Uuid> = ids.into_iter().collect();
        if !ids.is_empty() {
            add_tasks(&session.query(LOCK, &[&ids, &self.cancelled]).await?, snapshot)?;
        }
        for (name, id) in aliased {
            if snapshot.task(id).is_none() {
                snapshot.add_locked(name);
            }
        }
        Ok(())
    }
}

/// Adds the tasks of rows that were locked just now.
pub(super) fn add_tasks(rows: &[Row], snapshot: &mut Snapshot<'_>) -> Result<(), PgError> {
    for row in rows {
        add_task(row, rows::task(row)?, snapshot)?;
    }
    Ok(())
}

/// Adds the task of a row that was locked just now.
pub(super) fn add_task(row: &Row, task: Task, snapshot: &mut Snapshot<'_>) -> Result<(), PgError> {
    let seq = row.try_get("seq")?;
    let cursor = QueueCursor::of(&task.posted, seq);
    snapshot.add_task(LockedTask { task, seq, cursor });
    Ok(())
}
