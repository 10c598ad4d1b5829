//! Claims, as they are saved.

use std::collections::HashMap;

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::polls::Chosen;
use crate::postgres::connection::Session;
use crate::postgres::errors::Problem;
use crate::postgres::rows;
use crate::{Delivery, Task};

const CLAIM: &str = "
    with given as (
        select *
        from unnest(
            $1::uuid[], $2::text[], $3::integer[], $4::uuid[], $5::uuid[], $6::text[], $7::timestamptz[],
            $8::timestamptz[]
        ) as given (id, state, attempts, alias, agent_id, agent_name, deadline_at, due_at)
    ), locked as (
        select task.id
        from task
        join given on given.id = task.id
        -- Since it was found, another AFM may have given it out, and it may wait for its next attempt by now.
        where task.state = 'pending' and task.attempts = given.attempts - 1
        -- What another AFM is giving out right now is passed over, not waited for: it will not be pending.
        for update of task skip locked
    )
    update task
    set state = given.state,
        attempts = given.attempts,
        alias = given.alias,
        agent_id = given.agent_id,
        agent_name = given.agent_name,
        claimed_at = $9,
        deadline_at = given.deadline_at,
        due_at = given.due_at
    from given
    join locked on locked.id = given.id
    where task.id = given.id
    returning task.id, task.data
";

/// Saves claims, but for those of tasks that do not wait any more; the data of the tasks.
pub(super) async fn save(
    session: &Session,
    chosen: &[Chosen],
    now: Timestamp,
) -> Result<HashMap<Uuid, Row>, Problem> {
    if chosen.is_empty() {
        return Ok(HashMap::new());
    }
    let tasks = || chosen.iter().map(|chosen| (&chosen.candidate.task, &chosen.attempt));
    let ids: Vec<Uuid> = tasks().map(|(task, _)| task.posted.task_id).collect();
    let states: Vec<&str> = tasks().map(|(task, _)| rows::state_name(&task.state)).collect();
    let numbers: Vec<i32> = tasks().map(|(_, attempt)| rows::small(attempt.number)).collect();
    let aliases: Vec<Option<Uuid>> = tasks()
        .map(|(task, attempt)| Some(attempt.alias).filter(|alias| *alias != task.posted.task_id))
        .collect();
    let agents: Vec<Uuid> = tasks().map(|(_, attempt)| attempt.agent_id).collect();
    let names: Vec<&str> = tasks().map(|(_, attempt)| attempt.agent_name.as_str()).collect();
    let deadlines: Vec<Option<Timestamp>> = tasks().map(|(_, attempt)| attempt.deadline).collect();
    let due: Vec<Option<Timestamp>> = tasks().map(|(task, _)| task.due()).collect();
    let parameters: [&(dyn ToSql + Sync); 9] =
        [&ids, &states, &numbers, &aliases, &agents, &names, &deadlines, &due, &now];
    let claimed = session.query(CLAIM, &parameters).await?;
    claimed.into_iter().map(|row| Ok((row.try_get("id")?, row))).collect()
}

/// What an agent gets: a task that was chosen, and its row as it was saved.
pub(super) fn deliver(task: Task, row: &Row) -> Result<Delivery, Problem> {
    let alias = task.last_attempt().map_or(task.posted.task_id, |attempt| attempt.alias);
    Ok(Delivery {
        task_id: task.posted.task_id,
        alias,
        task_data: rows::json(row, "data")?,
        attempt: task.attempts,
        // What time changes first about a claimed task is that it is too late.
        deadline: task.due(),
        task_type: task.posted.task_type,
        task_version: task.posted.task_version,
    })
}
