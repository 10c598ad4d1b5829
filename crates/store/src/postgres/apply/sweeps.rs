//! Finds what time has made due, forgets agents and deletes tasks.

#[cfg(test)]
mod plans;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use slamon_domain::batch::{DueTasks, Snapshot};
use slamon_domain::{Sweep, Swept};
use tokio::time::Instant;
use uuid::Uuid;

use super::endings::add_task;
use super::locks::locked_by_others;
use crate::postgres::errors::PgError;
use crate::postgres::rows;
use crate::postgres::session::Session;
use crate::postgres::shared_state::SharedState;
use crate::postgres::sweep_progress::{SweepProgress, SweptSpan};

/// Finds and locks tasks that are due. What another AFM is sweeping is passed over: so it is done once, and
/// nobody waits.
const DUE: &str = concat!(
    "select ",
    rows::task_columns!(),
    "
    from task
    where due_at is not null and due_at <= $1 and due_at >= coalesce($3::timestamptz, '-infinity')
    order by due_at
    limit $2
    for update skip locked
"
);

/// Finds and locks attempts whose agents are silent. An agent was seen when it claimed, and so has not been
/// silent since before.
const SILENT: &str = concat!(
    "select ",
    rows::task_columns!(),
    ",
        -- One that has been forgotten, or was never known, was last seen when it claimed.
        greatest(agent.last_seen, task.claimed_at) as last_seen
    from task
    left join agent on agent.id = task.agent_id
    where task.state = 'claimed'
        and task.claimed_at < $1
        and coalesce(agent.last_seen, task.claimed_at) < $1
    order by task.claimed_at
    limit $2
    for update of task skip locked
"
);

/// Finds and locks silent agents. One that is paused stays, so that operators see what they have paused.
const SILENT_AGENTS: &str = "
    select id from agent
    where last_seen < $1 and not exists (select from pause where pause.agent_id = agent.id)
    limit $2
    for update skip locked
";

/// An expression that is true where an agent has tasks, or had some that have ended, and else null. Each half is
/// ordered, so that no plan reads all that has ended, in the hope to meet one of the agent soon.
macro_rules! has_tasks {
    ($agent:literal) => {
        concat!(
            "coalesce(
                (select true from task where agent_id = ",
            $agent,
            " and state = 'claimed' order by seq limit 1),
                (select true from task where agent_id = ",
            $agent,
            " and finished_at is not null order by seq limit 1)
            )"
        )
    };
}

/// Forgets agents. One of whose offers another session has locked any is left for the next sweep. The name of
/// an agent is kept while there is anything that it has executed.
pub(super) const FORGET: &str = concat!(
    "with ",
    locked_by_others!("agent_offer", "agent_id", "$1::uuid[]"),
    ", gone as (
        select id, name from agent where id = any($1::uuid[]) and id not in (select agent_id from locked)
    ), offers as (
        delete from agent_offer where agent_id = any(array(select id from gone))
    ), names as (
        insert into past_agent (id, name)
        select id, name
        from gone
        -- Values, and no semi-joins, of which a plan might make a join with all tasks.
        where ",
    has_tasks!("gone.id"),
    "
            or (select true from attempt where attempt.agent_id = gone.id limit 1)
        on conflict (id) do update set name = excluded.name
    )
    delete from agent where id = any(array(select id from gone)) returning id"
);

/// Deletes tasks. One of whose attempts another session has locked any is left for the next sweep.
const DELETE: &str = concat!(
    "with old as (
        select id from task
        where finished_at is not null and finished_at < $1
        order by finished_at
        limit $2
        for update skip locked
    ), ",
    locked_by_others!("attempt", "task_id", "array(select id from old)"),
    ", gone as (
        select id from old where id not in (select task_id from locked)
    ), attempts as (
        delete from attempt where task_id = any(array(select id from gone)) returning agent_id
    ), tasks as (
        delete from task where id = any(array(select id from gone)) returning agent_id
    )
    select agent_id, true as is_task from tasks union all select agent_id, false from attempts"
);

/// Forgets the names of agents of which nothing is left.
const FORGET_NAMES: &str = concat!(
    "delete from past_agent
    where id = any($1::uuid[])
        and ",
    has_tasks!("past_agent.id"),
    " is null
        and (select true from attempt where attempt.agent_id = past_agent.id limit 1) is null"
);

const NEXT_DUE: &str = "
    select min(due_at) as due_at
    from task
    where due_at is not null and due_at >= coalesce($1::timestamptz, '-infinity')
";

/// Finds and locks what a sweep will change. If it has found all that was due, it gives the span of time of
/// which it has.
pub(super) async fn find(
    session: &Session,
    sweep: &Sweep,
    now: Timestamp,
    snapshot: &mut Snapshot<'_>,
    shared: &SharedState,
) -> Result<Option<SweptSpan>, PgError> {
    let mut found = DueTasks::default();
    let limit = i64::from(sweep.limit);
    let clock = Instant::now();
    let from = shared.sweep_progress.until(clock);
    let due = session.query(DUE, &[&now, &limit, &from]).await?;
    let done = (due.len() < sweep.limit as usize).then_some(SweptSpan { from, now, clock });
    for row in due {
        found.due.push(row.try_get("id")?);
        add_task(&row, rows::task_without_data(&row)?, snapshot)?;
    }
    if let Some(seen_before) = ago(now, sweep.lost_after) {
        for row in session.query(SILENT, &[&seen_before, &limit]).await? {
            let task = rows::task_without_data(&row)?;
            found.silent.push((task.posted.task_id, row.try_get("last_seen")?));
            add_task(&row, task, snapshot)?;
        }
    }
    snapshot.add_due(found);
    Ok(done)
}

/// Forgets agents and deletes tasks, after all changes are saved.
pub(super) async fn clean(
    session: &Session,
    sweep: &Sweep,
    swept: &mut Swept,
    now: Timestamp,
    until: &SweepProgress,
) -> Result<(), PgError> {
    let limit = i64::from(sweep.limit);
    if let Some(before) = ago(now, sweep.delete_after) {
        let mut agents: BTreeSet<Uuid> = BTreeSet::new();
        for row in session.query(DELETE, &[&before, &limit]).await? {
            swept.deleted += u64::from(row.try_get::<_, bool>("is_task")?);
            agents.extend(row.try_get::<_, Option<Uuid>>("agent_id")?);
        }
        if !agents.is_empty() {
            let agents: Vec<Uuid> = agents.into_iter().collect();
            session.query(FORGET_NAMES, &[&agents]).await?;
        }
    }
    if let Some(seen_before) = ago(now, sweep.forget_after) {
        // Agents have no index by time: all of them are read, in the order they lie in.
        session.script("set local enable_seqscan = on").await?;
        let silent = session.query(SILENT_AGENTS, &[&seen_before, &limit]).await?;
        session.script("set local enable_seqscan = off").await?;
        let silent = silent.iter().map(|row| row.try_get("id")).collect::<Result<Vec<Uuid>, _>>()?;
        if !silent.is_empty() {
            swept.forgotten = session.query(FORGET, &[&silent]).await?.len() as u64;
        }
    }
    swept.more |= [swept.forgotten, swept.deleted].contains(&u64::from(sweep.limit));
    swept.next_due = session
        .query(NEXT_DUE, &[&until.until(Instant::now())])
        .await?
        .first()
        .map(|row| row.try_get("due_at"))
        .transpose()?
        .flatten();
    Ok(())
}

/// The time so long before `now`; `None` where nothing is asked for, or where that is before all time.
fn ago(now: Timestamp, after: Option<Duration>) -> Option<Timestamp> {
    after.and_then(|after| now.checked_sub(after).ok()).map(rows::as_stored)
}
