//! Saves the claims of a batch.

use std::collections::HashMap;

use jiff::Timestamp;
use slamon_domain::{Attempt, Delivery, QueueCursor, State, Task};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use crate::encoding::state_name;
use crate::postgres::errors::PgError;
use crate::postgres::row_place::RowPlace;
use crate::postgres::rows;
use crate::postgres::session::Session;

/// The order in which tasks are claimed: by their places in the queue, and their ids.
pub(super) type Order = (QueueCursor, Uuid);

/// A task that was pending when it was looked for.
pub(super) struct Candidate {
    pub(super) order: Order,
    /// How much of a claim budget it takes, in bytes.
    pub(super) size: usize,
    pub(super) task: Task,
    /// Where its row was found.
    pub(super) row_place: RowPlace,
}

/// A task that was chosen for a poll, which gets it unless another AFM is faster.
pub(super) struct Chosen {
    /// Which of the polls of the batch it is for.
    pub(super) poll: usize,
    /// Which of the kinds that the polls name it is of.
    pub(super) kind: usize,
    pub(super) candidate: Candidate,
    pub(super) attempt: Attempt,
}

/// Claims tasks where they were found. A parameter says that they are pending, so that no plan can use the
/// index of waiting tasks: it might read all of it.
const CLAIM: &str = "
    with claimed as (
    update task
    set state = given.state,
        attempts = given.attempts,
        alias = given.alias,
        agent_id = given.agent_id,
        claimed_at = $8,
        deadline_at = given.deadline_at,
        due_at = given.due_at
    from (
        select given.*, locked.at
        from unnest(
            $1::uuid[], $2::text[], $3::integer[], $4::uuid[], $5::uuid[], $6::timestamptz[],
            $7::timestamptz[], $10::tid[]
        ) as given (id, state, attempts, alias, agent_id, deadline_at, due_at, found)
        cross join lateral (
            select ctid as at
            from task
            -- Since it was found, another AFM may have given it out, and its row is elsewhere; it may even
            -- wait for its next attempt by now.
            where task.ctid = given.found and task.id = given.id and task.state = $9 and task.attempts = given.attempts - 1
                -- An id that was made up must be nobody's; the next one will be another. First attempts
                -- have none.
                and (
                    given.alias is null
                    or not exists (select from task as other where other.id = given.alias)
                )
            -- What another AFM is giving out right now is passed over, not waited for: it will not be
            -- pending.
            for update skip locked
        ) as locked
    ) as given
    where task.ctid = given.at
    returning task.id, task.data
    )
    select id, data from claimed
    union all
    -- What goes out with the commit fails as a whole, so that other tasks can be looked for.
    select null, ('claimed ' || number || ' of ' || cardinality($1::uuid[]) || ' tasks')::bigint::text
    from (select count(*) as number from claimed) as counted
    where $11::boolean and number < cardinality($1::uuid[])
";

/// Prepares the statement that saves claims, if there are any.
pub(super) async fn prepare(session: &Session, chosen: &[Chosen]) -> Result<Option<Statement>, PgError> {
    session.prepare_if(!chosen.is_empty(), CLAIM).await
}

/// Saves claims, except those of tasks that do not wait any more, and gives the rows with the tasks' data by
/// id. Where `all` have to be claimed, it fails unless they are. The statement is sent with the first poll of
/// the future.
pub(super) async fn save(
    session: &Session,
    statement: Option<&Statement>,
    chosen: &[Chosen],
    now: Timestamp,
    all: bool,
) -> Result<HashMap<Uuid, Row>, PgError> {
    let Some(statement) = statement else { return Ok(HashMap::new()) };
    let tasks = || chosen.iter().map(|chosen| (&chosen.candidate.task, &chosen.attempt));
    let ids: Vec<Uuid> = tasks().map(|(task, _)| task.posted.task_id).collect();
    let states: Vec<&str> = tasks().map(|(task, _)| state_name(&task.state)).collect();
    let numbers: Vec<i32> = tasks().map(|(_, attempt)| rows::small(attempt.number)).collect();
    let aliases: Vec<Option<Uuid>> = tasks()
        .map(|(task, attempt)| Some(attempt.alias).filter(|alias| *alias != task.posted.task_id))
        .collect();
    let agents: Vec<Uuid> = tasks().map(|(_, attempt)| attempt.agent_id).collect();
    let deadlines: Vec<Option<Timestamp>> = tasks().map(|(_, attempt)| attempt.deadline).collect();
    let due: Vec<Option<Timestamp>> = tasks().map(|(task, _)| task.due()).collect();
    let pending = state_name(&State::Pending);
    let found: Vec<RowPlace> = chosen.iter().map(|chosen| chosen.candidate.row_place).collect();
    let parameters: [&(dyn ToSql + Sync); 11] =
        [&ids, &states, &numbers, &aliases, &agents, &deadlines, &due, &now, &pending, &found, &all];
    let claimed = session.run(statement, &parameters).await?;
    claimed.into_iter().map(|row| Ok((row.try_get("id")?, row))).collect()
}

/// Makes the delivery of a task that was claimed, with the data that its row has.
pub(super) fn deliver(mut task: Task, row: &Row) -> Result<Delivery, PgError> {
    task.posted.task_data = rows::json(row, "data")?;
    let task_id = task.posted.task_id;
    Delivery::of(task)
        .ok_or_else(|| PgError::Unexpected(format!("task {task_id} is claimed, but its row names no agent")))
}
