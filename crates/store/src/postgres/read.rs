//! Reads tasks and what people look at; every answer is bounded, and found by an index.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::{try_join, try_join5};
use jiff::Timestamp;
use slamon_domain::{EndedAttempt, LateResult, Task};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::errors::PgError;
use super::rows;
use super::session::Session;
use crate::store::{SMALL_TASK, TaskRead};
use crate::views::{
    AgentView, AttemptView, Counts, ERROR_READ, LIST_RESULT_BYTES, LateView, List, Overview, TEXT_READ,
    TaskView, shown, shown_error,
};

/// An SQL expression for the size of a task in bytes: large values are not even read, since their lengths
/// stand in the row.
macro_rules! size {
    () => {
        "(octet_length(type)::bigint + octet_length(agent_filter) + coalesce(octet_length(data), 0)
          + coalesce(octet_length(result), 0) + coalesce(octet_length(error), 0)
          + coalesce(octet_length(posted_by), 0))"
    };
}

pub(super) async fn tasks(session: &Session, ids: &[Uuid]) -> Result<HashMap<Uuid, Arc<Task>>, PgError> {
    let sql = concat!("select ", rows::task_columns!(), ", data from task where id = any($1::uuid[])");
    let task = |row: &Row| rows::task(row).map(|task| (task.posted.task_id, Arc::new(task)));
    session.query(sql, &[&ids]).await?.iter().map(task).collect()
}

/// Reads the tasks with these ids; of large ones, only how large they are.
pub(super) async fn small_tasks(session: &Session, ids: &[Uuid]) -> Result<HashMap<Uuid, TaskRead>, PgError> {
    let sql = concat!(
        "select ",
        rows::task_columns!(),
        ", data from task where id = any($1::uuid[]) and ",
        size!(),
        " <= $2"
    );
    #[expect(clippy::cast_possible_wrap, reason = "it is 16 KiB")]
    let small = SMALL_TASK as i64;
    let task = |row: &Row| rows::task(row).map(|task| (task.posted.task_id, TaskRead::Small(Arc::new(task))));
    let found = session.query(sql, &[&ids, &small]).await?;
    let mut tasks = found.iter().map(task).collect::<Result<HashMap<_, _>, _>>()?;
    let others: Vec<Uuid> = ids.iter().filter(|id| !tasks.contains_key(id)).copied().collect();
    if !others.is_empty() {
        let sql = concat!(
            "select id, ",
            size!(),
            " as bytes, finished_at is not null as has_ended from task where id = any($1::uuid[])"
        );
        for row in session.query(sql, &[&others]).await? {
            let bytes = usize::try_from(row.try_get::<_, i64>("bytes")?).unwrap_or(usize::MAX);
            tasks.insert(row.try_get("id")?, TaskRead::Large { bytes, has_ended: row.try_get("has_ended")? });
        }
    }
    Ok(tasks)
}

pub(super) async fn attempts(
    session: &Session,
    id: Uuid,
) -> Result<Vec<(EndedAttempt, Option<LateResult>)>, PgError> {
    let sql =
        concat!("select ", rows::attempt_columns!(), " from attempt where task_id = $1 order by number");
    let attempt = |row: &Row| rows::attempt(row).map(|(_, ended, late)| (ended, late));
    session.query(sql, &[&id]).await?.iter().map(attempt).collect()
}

/// Reads the attempts of a task that ended without finishing it, as people see them.
pub(super) async fn past(
    session: &Session,
    id: Uuid,
    result_bytes: u32,
) -> Result<Vec<AttemptView>, PgError> {
    let sql = concat!(
        "select number, agent_id, left(",
        rows::agent_name!("attempt"),
        ", $2::integer) as agent_name, claimed_at, deadline_at, ended_at, ending,
            left(error, $3::integer) as error, octet_length(error)::bigint as error_bytes,
            late_at,
            case when octet_length(late_result) <= $4::bigint then late_result end as late_result,
            octet_length(late_result)::bigint as late_result_bytes,
            left(late_error, $3::integer) as late_error, octet_length(late_error)::bigint as late_error_bytes
        from attempt
        where task_id = $1
        order by number"
    );
    let (text_read, error_read) = (TEXT_READ.cast_signed(), ERROR_READ.cast_signed());
    let rows = session.query(sql, &[&id, &text_read, &error_read, &i64::from(result_bytes)]).await?;
    rows.iter().map(attempt_view).collect()
}

fn attempt_view(row: &Row) -> Result<AttemptView, PgError> {
    let bytes = |column| Ok::<_, PgError>(row.try_get::<_, Option<i64>>(column)?.map(i64::unsigned_abs));
    let late = |at| {
        let (error, error_bytes) = shown_error(row.try_get("late_error")?, bytes("late_error_bytes")?);
        let result = rows::json(row, "late_result")?;
        Ok::<_, PgError>(LateView {
            at,
            result,
            result_bytes: bytes("late_result_bytes")?,
            error,
            error_bytes,
        })
    };
    let (error, error_bytes) = shown_error(row.try_get("error")?, bytes("error_bytes")?);
    Ok(AttemptView {
        number: row.try_get::<_, i32>("number")?.unsigned_abs(),
        agent_id: row.try_get("agent_id")?,
        agent_name: shown(row.try_get("agent_name")?),
        claimed: row.try_get("claimed_at")?,
        deadline: row.try_get("deadline_at")?,
        ended: row.try_get("ended_at")?,
        end: row.try_get("ending")?,
        error,
        error_bytes,
        late: row.try_get::<_, Option<Timestamp>>("late_at")?.map(late).transpose()?,
    })
}

pub(super) async fn time(session: &Session) -> Result<Timestamp, PgError> {
    let rows = session.query("select clock_timestamp() as now", &[]).await?;
    let row = rows
        .first()
        .ok_or_else(|| PgError::Unexpected("the query of the server's time returned no row".to_owned()))?;
    Ok(row.try_get("now")?)
}

const BEGIN: &str = "begin isolation level repeatable read read only";

/// Lets statements read all rows in the order they lie in: there is no index of agents by time.
const READ_ALL: &str = "set local enable_seqscan = on";
const READ_BY_INDEX: &str = "set local enable_seqscan = off";

/// Counts pending tasks, in the words of the index that is for people.
const WAITING: &str = "
    select count(*) as total from task
    where claimed_at is null and available_at is null and finished_at is null
";

pub(super) async fn counts(session: &Session, seen_since: Timestamp) -> Result<Counts, PgError> {
    let sql = "select count(*) as total from agent where last_seen >= $1";
    let (waiting, agents) = try_join(session.prepare(WAITING), session.prepare(sql)).await?;
    // Once rounded down to what is stored, the time includes an agent that was seen in that very microsecond.
    let seen_since = rows::as_stored(seen_since);
    let seen_since: [&(dyn ToSql + Sync); 1] = [&seen_since];
    let ((), waiting, (), agents, ()) = try_join5(
        session.script(BEGIN),
        session.run(&waiting, &[]),
        session.script(READ_ALL),
        session.run(&agents, &seen_since),
        session.script("commit"),
    )
    .await?;
    Ok(Counts { agents: total(&agents)?, tasks_waiting: total(&waiting)? })
}

pub(super) async fn overview(session: &Session, limit: u32, result_bytes: u32) -> Result<Overview, PgError> {
    let (limit_rows, result_bytes) = (i64::from(limit), i64::from(result_bytes));
    let list_bytes = i64::from(LIST_RESULT_BYTES);
    session.script(BEGIN).await?;
    let waiting_total = total(&session.query(WAITING, &[]).await?)?;
    let (text_read, error_read) = (TEXT_READ.cast_signed(), ERROR_READ.cast_signed());
    let sql = "
        select id, test_id, left(type, $2::integer) as type, version,
            null::timestamptz as finished_at, null::text as result, null::bigint as result_bytes,
            null::text as error, null::bigint as error_bytes
        from task
        where claimed_at is null and available_at is null and finished_at is null
        order by seq desc
        limit $1
    ";
    let waiting = session
        .query(sql, &[&limit_rows, &text_read])
        .await?
        .iter()
        .map(task_view)
        .collect::<Result<_, _>>()?;

    session.script(READ_ALL).await?;
    let agents_total = total(&session.query("select count(*) as total from agent", &[]).await?)?;
    let sql = "
        select id, left(name, $2::integer) as name, last_seen
        from agent
        order by last_seen desc, id
        limit $1
    ";
    let mut agents = session
        .query(sql, &[&limit_rows, &text_read])
        .await?
        .iter()
        .map(agent_view)
        .collect::<Result<Vec<_>, _>>()?;

    // One more than is shown tells whether there are more.
    let sql = "
        select shown.place, newest.*
        from unnest($1::uuid[]) with ordinality as shown (agent_id, place)
        cross join lateral (
            select id, test_id, left(type, $5::integer) as type, version, finished_at, seq,
                left(error, $6::integer) as error,
                octet_length(error)::bigint as error_bytes,
                -- What is too large is not even read: its length stands in the row.
                case
                    when octet_length(result) <= $3::bigint
                        and sum(octet_length(result)) filter (where octet_length(result) <= $3::bigint)
                            over (order by seq desc) <= $4::bigint
                    then result
                end as result,
                octet_length(result)::bigint as result_bytes
            from (
                select * from (
                    (
                        select * from task
                        where task.agent_id = shown.agent_id and state = 'claimed'
                        order by seq desc
                        limit $2
                    )
                    union all (
                        select * from task
                        where task.agent_id = shown.agent_id and finished_at is not null
                        order by seq desc
                        limit $2
                    )
                ) as either
                order by seq desc
                limit $2
            ) as its
        ) as newest
        order by shown.place, newest.seq desc
    ";
    session.script(READ_BY_INDEX).await?;
    let ids: Vec<Uuid> = agents.iter().map(|agent| agent.id).collect();
    for row in session
        .query(sql, &[&ids, &(limit_rows + 1), &result_bytes, &list_bytes, &text_read, &error_read])
        .await?
    {
        let place = usize::try_from(row.try_get::<_, i64>("place")? - 1).unwrap_or(usize::MAX);
        let Some(agent) = agents.get_mut(place) else { continue };
        if agent.tasks.len() < limit as usize {
            agent.tasks.push(task_view(&row)?);
        } else {
            agent.more_tasks = true;
        }
    }

    session.script("commit").await?;

    Ok(Overview {
        waiting: List { items: waiting, total: waiting_total },
        agents: List { items: agents, total: agents_total },
    })
}

fn task_view(row: &Row) -> Result<TaskView, PgError> {
    let bytes = |column| Ok::<_, PgError>(row.try_get::<_, Option<i64>>(column)?.map(i64::unsigned_abs));
    let (error, error_bytes) = shown_error(row.try_get("error")?, bytes("error_bytes")?);
    Ok(TaskView {
        task_id: row.try_get("id")?,
        test_id: row.try_get("test_id")?,
        task_type: shown(row.try_get("type")?),
        task_version: row.try_get("version")?,
        finished: row.try_get("finished_at")?,
        result: rows::json(row, "result")?,
        result_bytes: bytes("result_bytes")?,
        error,
        error_bytes,
    })
}

fn agent_view(row: &Row) -> Result<AgentView, PgError> {
    Ok(AgentView {
        id: row.try_get("id")?,
        name: shown(row.try_get("name")?),
        last_seen: row.try_get("last_seen")?,
        tasks: Vec::new(),
        more_tasks: false,
    })
}

fn total(rows: &[Row]) -> Result<u64, PgError> {
    let row =
        rows.first().ok_or_else(|| PgError::Unexpected("a query that counts returned no row".to_owned()))?;
    Ok(row.try_get::<_, i64>("total")?.unsigned_abs())
}
