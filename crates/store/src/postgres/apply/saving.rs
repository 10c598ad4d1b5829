//! Saves what a batch has changed.

use std::collections::HashMap;

use futures_util::future::try_join3;
use jiff::Timestamp;
use slamon_domain::batch::Executor;
use slamon_domain::{State, Task};
use slamon_protocol::JsonText;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::locks::Locks;
use crate::encoding::{attempt_end_columns, outcome_columns, state_name};
use crate::postgres::errors::PgError;
use crate::postgres::row_place::RowPlace;
use crate::postgres::rows;
use crate::postgres::session::Session;

/// Saves tasks. Statements that change rows find each by its key and change it where it was found: if they
/// joined by the key, a plan made while the table was small might read all of it. A row that another session
/// moves meanwhile would not be changed: so all rows are locked by a statement before it, which may also have
/// said where they are, and this one fails where not all of them have changed. It does so itself, since the
/// commit may be sent right behind it.
const SAVE: &str = "
    with saved as (
    update task
    set state = changed.state,
        attempts = changed.attempts,
        available_at = changed.available_at,
        due_at = changed.due_at,
        alias = changed.alias,
        agent_id = changed.agent_id,
        claimed_at = changed.claimed_at,
        deadline_at = changed.deadline_at,
        finished_at = changed.finished_at,
        result = changed.result,
        error = changed.error
    from (
        select changed.*,
            coalesce(changed.place, (select ctid from task where task.id = changed.id limit 1)) as at
        from unnest(
            $1::uuid[], $2::text[], $3::integer[], $4::timestamptz[], $5::timestamptz[], $6::uuid[],
            $7::uuid[],
            $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::text[],
            $13::tid[]
        ) as changed (
            id, state, attempts, available_at, due_at, alias, agent_id,
            claimed_at, deadline_at, finished_at, result, error, place
        )
    ) as changed
    where task.ctid = changed.at
    returning 1
    )
    select case when count(*) = cardinality($1::uuid[]) then count(*)
        else ('saved ' || count(*) || ' of ' || cardinality($1::uuid[]) || ' locked tasks')::bigint end
    from saved
";

const SAVE_ATTEMPTS: &str = "
    insert into attempt (
        task_id, number, alias, agent_id, claimed_at, deadline_at, ended_at, ending, error, untold
    )
    select task_id, number, alias, agent_id, claimed_at, deadline_at, $9, ending, error,
        ending in ('expired', 'cancelled')
    from unnest(
        $1::uuid[], $2::integer[], $3::uuid[], $4::uuid[], $5::timestamptz[], $6::timestamptz[],
        $7::text[], $8::text[]
    ) as ended (task_id, number, alias, agent_id, claimed_at, deadline_at, ending, error)
    -- Somebody may have posted a task under an alias: that must not stop the sweep of all others.
    on conflict do nothing
    returning task_id
";

/// Saves late results, for attempts that have none: the first one is kept.
const SAVE_LATE: &str = "
    update attempt
    set late_at = $5, late_result = late.result, late_error = late.error
    from (
        select late.*, ended.at
        from unnest($1::uuid[], $2::integer[], $3::text[], $4::text[])
            as late (task_id, number, result, error)
        cross join lateral (
            select ctid as at from attempt
            where attempt.task_id = late.task_id and attempt.number = late.number and attempt.late_at is null
            limit 1
        ) as ended
    ) as late
    where attempt.ctid = late.at
    returning attempt.task_id
";

/// The statements that save; `None` where there is nothing to save.
pub(super) struct Saving {
    tasks: Option<Statement>,
    attempts: Option<Statement>,
    late: Option<Statement>,
    /// Where the rows of tasks are, as far as it is known.
    places: HashMap<Uuid, RowPlace>,
}

impl Saving {
    /// Prepares the statements. `places` are those of rows that this transaction has locked.
    pub(super) async fn prepare(
        session: &Session,
        executor: &Executor<'_>,
        places: HashMap<Uuid, RowPlace>,
    ) -> Result<Self, PgError> {
        let changes = executor.changes();
        Ok(Self {
            tasks: session.prepare_if(executor.changed_tasks().len() > 0, SAVE).await?,
            attempts: session.prepare_if(!changes.ended.is_empty(), SAVE_ATTEMPTS).await?,
            late: session.prepare_if(!changes.late.is_empty(), SAVE_LATE).await?,
            places,
        })
    }

    /// Whether only tasks are saved.
    pub(super) fn is_of_tasks(&self) -> bool {
        self.attempts.is_none() && self.late.is_none()
    }

    /// Saves what has changed, and checks that every row was.
    pub(super) async fn save(
        &self,
        session: &Session,
        executor: &Executor<'_>,
        locks: Locks,
    ) -> Result<(), PgError> {
        let changes = executor.changes();
        let saves = try_join3(
            self.save_tasks(session, executor),
            self.save_attempts(session, executor, locks),
            self.save_late(session, executor),
        );
        let ((), attempts, late) = saves.await?;
        if attempts < changes.ended.len() {
            // PostgreSQL does not say which ones.
            let missing = changes.ended.len() - attempts;
            tracing::warn!(missing, "could not save attempts that ended: other attempts have their ids");
            return Ok(());
        }
        all_of("attempts with a late result", changes.late.len(), late)
    }

    /// Saves the tasks that have changed. The statement is sent with the first poll of the future.
    pub(super) async fn save_tasks(&self, session: &Session, executor: &Executor<'_>) -> Result<(), PgError> {
        let Some(statement) = &self.tasks else { return Ok(()) };
        let places: Vec<Option<RowPlace>> = executor
            .changed_tasks()
            .map(|locked| self.places.get(&locked.task.posted.task_id).copied())
            .collect();
        let columns = TaskColumns::of(executor.changed_tasks().map(|locked| &locked.task));
        session
            .run(
                statement,
                &[
                    &columns.ids,
                    &columns.states,
                    &columns.attempts,
                    &columns.available,
                    &columns.due,
                    &columns.aliases,
                    &columns.agents,
                    &columns.claimed,
                    &columns.deadlines,
                    &columns.finished,
                    &columns.results,
                    &columns.errors,
                    &places,
                ],
            )
            .await?;
        Ok(())
    }

    async fn save_attempts(
        &self,
        session: &Session,
        executor: &Executor<'_>,
        locks: Locks,
    ) -> Result<usize, PgError> {
        let Some(statement) = &self.attempts else { return Ok(0) };
        let (changes, now) = (executor.changes(), executor.now());
        let attempts = || changes.ended.iter().map(|(_, ended)| &ended.attempt);
        let task_ids: Vec<Uuid> = changes.ended.iter().map(|(id, _)| *id).collect();
        let numbers: Vec<i32> = attempts().map(|a| rows::small(a.number)).collect();
        let aliases: Vec<Uuid> = attempts().map(|a| a.alias).collect();
        let agents: Vec<Uuid> = attempts().map(|a| a.agent_id).collect();
        let claimed: Vec<Timestamp> = attempts().map(|a| a.at).collect();
        let deadlines: Vec<Option<Timestamp>> = attempts().map(|a| a.deadline).collect();
        let (endings, errors): (Vec<&str>, Vec<Option<&str>>) =
            changes.ended.iter().map(|(_, ended)| attempt_end_columns(&ended.end)).unzip();
        let parameters: [&(dyn ToSql + Sync); 9] =
            [&task_ids, &numbers, &aliases, &agents, &claimed, &deadlines, &endings, &errors, &now];
        // No row can be left out: the task of each attempt has changed with it.
        Ok(locks.insert_all(session, session.run(statement, &parameters)).await?.len())
    }

    async fn save_late(&self, session: &Session, executor: &Executor<'_>) -> Result<usize, PgError> {
        let Some(statement) = &self.late else { return Ok(0) };
        let (late, now) = (&executor.changes().late, executor.now());
        let task_ids: Vec<Uuid> = late.keys().map(|(id, _)| *id).collect();
        let numbers: Vec<i32> = late.keys().map(|(_, number)| rows::small(*number)).collect();
        let (results, errors): (Vec<Option<&str>>, Vec<Option<&str>>) =
            late.values().map(|outcome| outcome_columns(outcome)).unzip();
        let saved = session.run(statement, &[&task_ids, &numbers, &results, &errors, &now]).await?;
        Ok(saved.len())
    }
}

/// Fails unless all `expected` rows were `saved`.
fn all_of(what: &str, expected: usize, saved: usize) -> Result<(), PgError> {
    if saved == expected {
        return Ok(());
    }
    Err(PgError::Unexpected(format!("could not save all {what}: {saved} of {expected} were changed")))
}

/// The columns of tasks, each as an array.
#[derive(Default)]
struct TaskColumns<'t> {
    ids: Vec<Uuid>,
    states: Vec<&'static str>,
    attempts: Vec<i32>,
    available: Vec<Option<Timestamp>>,
    due: Vec<Option<Timestamp>>,
    aliases: Vec<Option<Uuid>>,
    agents: Vec<Option<Uuid>>,
    claimed: Vec<Option<Timestamp>>,
    deadlines: Vec<Option<Timestamp>>,
    finished: Vec<Option<Timestamp>>,
    results: Vec<Option<&'t str>>,
    errors: Vec<Option<&'t str>>,
}

impl<'t> TaskColumns<'t> {
    fn of(tasks: impl Iterator<Item = &'t Task>) -> Self {
        let mut columns = Self::default();
        for task in tasks {
            let id = task.posted.task_id;
            let attempt = task.last_attempt();
            let (available, finished, end) = match &task.state {
                State::Delayed { until } => (Some(*until), None, None),
                State::Ended { at, end, .. } => (None, Some(*at), Some(end.outcome())),
                State::Pending | State::Claimed(_) => (None, None, None),
            };
            columns.ids.push(id);
            columns.states.push(state_name(&task.state));
            columns.attempts.push(rows::small(task.attempts));
            columns.available.push(available);
            columns.due.push(task.due());
            columns.aliases.push(attempt.map(|a| a.alias).filter(|alias| *alias != id));
            columns.agents.push(attempt.map(|a| a.agent_id));
            columns.claimed.push(attempt.map(|a| a.at));
            columns.deadlines.push(attempt.and_then(|a| a.deadline));
            columns.finished.push(finished);
            columns.results.push(end.and_then(Result::ok).map(JsonText::as_str));
            columns.errors.push(end.and_then(Result::err).map(JsonText::as_str));
        }
        columns
    }
}
