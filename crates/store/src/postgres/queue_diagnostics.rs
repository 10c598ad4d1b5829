//! Reads which agents might take a task, and how many tasks come before it.

use std::collections::HashMap;

use futures_util::future::{try_join_all, try_join3};
use jiff::Timestamp;
use slamon_domain::{AHEAD_COUNTED, QueueDiagnostics, Task};
use slamon_protocol::AgentFilter;
use uuid::Uuid;

use super::errors::PgError;
use super::rows;
use super::session::Session;

/// How many other versions are named.
const VERSIONS: u32 = 5;

/// A query for the lowest versions of a type that agents offer, from each to the next above it: one look into
/// the index each, however many agents offer it.
const OFFERED: &str = "
    with recursive offered as (
        (
            select version from agent_offer
            where left(type, 100) = left($1, 100) and type = $1
            order by version
            limit 1
        )
        union all
        select (
            select version from agent_offer
            where left(type, 100) = left($1, 100) and type = $1 and version > offered.version
            order by version
            limit 1
        )
        from offered
        where offered.version is not null
    )
    select version from offered where version is not null limit $2
";

const CAPABLE: &str = "
    select
        count(*) as capable,
        count(*) filter (where matching) as matching,
        count(*) filter (where matching and active) as active,
        count(*) filter (where matching and active and unpaused) as unpaused,
        count(*) filter (where matching and active and unpaused and free) as free,
        exists (
            select from pause
            where left(type, 100) = left($1, 100) and type = $1 and (version is null or version = $2)
        ) as paused
    from (
        select
            agent.last_seen >= $3 as active,
            agent.max_tasks > 0 as free,
            not exists (select from pause where pause.agent_id = agent.id) as unpaused,
            -- Read only where somebody asks for it.
            case when $4::text is null then true else location::json ->> 'country' is not distinct from $4 end
            and case
                when $5::text is null then true else location::json ->> 'region' is not distinct from $5
            end
            and coalesce(agent.id = $6, true)
            and coalesce(agent.name = $7, true) as matching
        from (
            -- The only one that may take it.
            select agent_id from agent_offer
            where left(type, 100) = left($1, 100) and type = $1 and version = $2 and agent_id = $6
            union all
            select agent_id from (
                select agent_id from agent_offer
                where left(type, 100) = left($1, 100) and type = $1 and version = $2
                -- Many are as good as all: this is asked of each task that expires while it waits.
                limit 1000
            ) as others
            where agent_id is distinct from $6
        ) as offer
        join agent on agent.id = offer.agent_id
    ) as offering
";

/// Counts the tasks before another, among those for any agent and those with the same filter: a range of the
/// index of waiting tasks each, read only as far as it is counted.
const AHEAD: &str = "
    select coalesce(sum(before.n), 0)::bigint as ahead
    from unnest($3::text[]) as wanted (filter)
    cross join (select seq from task where id = $5) as this
    cross join lateral (
        select count(*) as n
        from (
            select from task
            where state = 'pending' and left(type, 100) = left($1, 100) and type = $1 and version = $2
                and left(agent_filter, 100) = left(wanted.filter, 100) and agent_filter = wanted.filter
                and (-priority, seq) < (-$4::integer, this.seq)
            limit $6
        ) as ahead
    ) as before
";

pub(super) async fn of(
    session: &Session,
    task: &Task,
    seen_since: Timestamp,
) -> Result<QueueDiagnostics, PgError> {
    let posted = &task.posted;
    let filter = &posted.terms.agent_filter;
    let (task_type, version) = (&posted.task_type, &posted.task_version);
    // The task's own version may be among the lowest ones.
    let versions = i64::from(VERSIONS) + 1;
    let seen_since = rows::as_stored(seen_since);
    let mut filters = vec![filter.key(), AgentFilter::default().key()];
    filters.dedup();
    let counted = AHEAD_COUNTED.cast_signed();
    let (offered, capable, ahead) = try_join3(
        session.query(OFFERED, &[task_type, &versions]),
        session.query(
            CAPABLE,
            &[
                task_type,
                version,
                &seen_since,
                &filter.country,
                &filter.region,
                &filter.agent_id,
                &filter.agent_name,
            ],
        ),
        session
            .query(AHEAD, &[task_type, version, &filters, &posted.terms.priority, &posted.task_id, &counted]),
    )
    .await?;
    let mut other_versions =
        offered.iter().map(|row| row.try_get("version")).collect::<Result<Vec<i64>, _>>()?;
    other_versions.retain(|other| other != version);
    other_versions.truncate(VERSIONS as usize);
    let (Some(capable), Some(ahead)) = (capable.first(), ahead.first()) else {
        return Err(PgError::Unexpected("a query that counts returned no row".to_owned()));
    };
    let count = |column| Ok::<_, PgError>(capable.try_get::<_, i64>(column)?.unsigned_abs());
    Ok(QueueDiagnostics {
        other_versions,
        capable: count("capable")?,
        matching: count("matching")?,
        active: count("active")?,
        unpaused: count("unpaused")?,
        free: count("free")?,
        paused: capable.try_get("paused")?,
        ahead: ahead.try_get::<_, i64>("ahead")?.unsigned_abs().min(AHEAD_COUNTED),
    })
}

/// Reads the queue diagnostics of tasks that expire unclaimed, for the time since they were posted. All are
/// asked for at once.
pub(super) async fn of_expired<'t>(
    session: &Session,
    tasks: impl Iterator<Item = &'t Task>,
) -> Result<HashMap<Uuid, QueueDiagnostics>, PgError> {
    let ask = |task: &'t Task| async move {
        Ok::<_, PgError>((task.posted.task_id, of(session, task, task.created).await?))
    };
    Ok(try_join_all(tasks.map(ask)).await?.into_iter().collect())
}
