//! Reads what is listed of tasks.

use slamon_protocol::excerpt;
use tokio_postgres::Row;
use uuid::Uuid;

use super::conditions::{Condition, Key, direction};
use crate::encoding::state_of;
use crate::listing::{TaskPlace, TaskQuery, TaskSummary, listed_type};
use crate::postgres::errors::PgError;
use crate::postgres::rows;
use crate::views::{shown, shown_error};

/// Writes the statement that reads tasks of a list by one index. The inner limit bounds what is passed over, the
/// outer one what is given. Where the index has not the order of the list, all of its tasks are read, so that
/// the filter comes before the order.
pub(super) fn statement(condition: Condition, query: &TaskQuery) -> String {
    let direction = direction(query.order);
    let tasks = condition.in_terms_of(|key| match key {
        Key::Task => "$5",
        Key::Test => "$6",
        Key::Type => "$7",
        Key::Agent => "$9",
    });
    // Errors that are searched are weighed by their sizes, which stand in their rows.
    let (before, searched) = if query.filter.error_text.is_some() {
        let rows = "rows between unbounded preceding and 1 preceding";
        (format!("sum(octet_length(error)) over (order by seq {direction} {rows})"), "error")
    } else {
        ("null::bigint".to_owned(), "null::text")
    };
    let agent_name = rows::agent_name!("task");
    let filter = "($5::uuid is null or id = $5) and ($6::uuid is null or test_id = $6)
                 and ($7::text is null or type = $7) and ($8::bigint is null or version = $8)
                 and ($9::uuid is null or agent_id = $9)
                 and ($10::timestamptz is null or created_at >= $10)
                 and ($11::timestamptz is null or created_at < $11)
                 and state = any($12::text[])
                 and ($18::text is null or starts_with(agent_filter, $18))";
    let (before_order, after_limit) = if condition.is_in_order { ("true", filter) } else { (filter, "true") };
    format!(
        "select id, seq, test_id, left(type, $14::integer) as type, version,
             left(agent_filter, $14::integer) as agent_filter, priority, created_at, state, attempts, agent_id,
             left({agent_name}, $15::integer) as agent_name, claimed_at, finished_at,
             case when octet_length(result) <= $16::bigint then result end as result,
             octet_length(result)::bigint as result_bytes,
             left(error, $17::integer) as error, octet_length(error)::bigint as error_bytes,
             {searched} as searched
         from (
             select passed.*, {before} as bytes_before
             from (
                 select * from task where {tasks} and seq between $1 and $2 and {before_order}
                 order by seq {direction}
                 limit $3
             ) as passed
             where {after_limit}
         ) as task
         where bytes_before is null or bytes_before < $13::bigint
         order by seq {direction}
         limit $4"
    )
}

/// Reads a row of [`statement`].
pub(super) fn read(row: &Row) -> Result<(TaskPlace, TaskSummary), PgError> {
    let bytes = |column| Ok::<_, PgError>(row.try_get::<_, Option<i64>>(column)?.map(i64::unsigned_abs));
    let (error, error_bytes) = shown_error(row.try_get("error")?, bytes("error_bytes")?);
    let state: &str = row.try_get("state")?;
    let unknown = || PgError::Unexpected(format!("a task is in the unknown state {}", excerpt(state)));
    let agent_id: Option<Uuid> = row.try_get("agent_id")?;
    let agent_name: &str = row.try_get("agent_name")?;
    let task = TaskSummary {
        task_id: row.try_get("id")?,
        test_id: row.try_get("test_id")?,
        task_type: listed_type(row.try_get("type")?),
        task_version: row.try_get("version")?,
        agent_filter: row.try_get("agent_filter")?,
        priority: row.try_get("priority")?,
        created: row.try_get("created_at")?,
        state: state_of(state).ok_or_else(unknown)?,
        attempts: row.try_get::<_, i32>("attempts")?.unsigned_abs(),
        agent: agent_id.map(|id| (id, shown(agent_name))),
        claimed: row.try_get("claimed_at")?,
        finished: row.try_get("finished_at")?,
        result: rows::json(row, "result")?,
        result_bytes: bytes("result_bytes")?,
        error,
        error_bytes,
    };
    Ok((row.try_get("seq")?, task))
}
