//! Lists agents, and reads one.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::errors::PgError;
use super::rows;
use super::session::Session;
use crate::fleet::{
    AgentDetails, AgentQuery, AgentState, Candidate, LISTED_CAPABILITIES, ListedAgent, MOST_RUNNING, Page,
    RunningTask, Search,
};
use crate::views::{TEXT_READ, shown};

/// A query for the agents that a search passes over, in the order of the rows `source`, each with its place:
/// a version and an id. `$1` and `$2` say whether their names and their locations are compared.
macro_rules! candidates {
    ($source:literal) => {
        concat!(
            "select source.version, source.place, agent.id, agent.last_seen, pause.paused_at,
                case when $1::boolean then agent.name else '' end as name,
                case when $2::boolean then agent.location::json ->> 'country' end as country,
                case when $2::boolean then agent.location::json ->> 'region' end as region
            from (",
            $source,
            ") as source
            left join agent on agent.id = source.agent_id
            left join pause on pause.agent_id = source.agent_id
            order by source.version, source.place"
        )
    };
}

const ALL: &str = candidates!(
    "select 0::bigint as version, id as place, id as agent_id from agent where id >= $3 order by id limit $4"
);

/// The agents that offer a type, in one version or in any: an agent offers it in one version at most. In the
/// index, types with the same beginning are next to each other.
const OF_TYPE: &str = candidates!(
    "select version, agent_id as place, case when type = $5 then agent_id end as agent_id
     from agent_offer
     where left(type, 100) = left($5, 100) and (version, agent_id) >= ($6, $3)
     order by version, agent_id limit $4"
);

const OF_VERSION: &str = candidates!(
    "select version, agent_id as place, case when type = $5 then agent_id end as agent_id
     from agent_offer
     where left(type, 100) = left($5, 100) and version = $6 and agent_id >= $3
     order by agent_id limit $4"
);

const PAUSED: &str = candidates!(
    "select 0::bigint as version, agent_id as place, agent_id
     from pause where agent_id >= $3 order by agent_id limit $4"
);

const ONE: &str =
    candidates!("select 0::bigint as version, id as place, id as agent_id from agent where id = $3 limit $4");

/// The columns of an agent, as it is in lists (`$2`) or whole.
const AGENTS: &str = "
    select agent.id, agent.last_seen, agent.location, agent.max_tasks,
        case when $2::boolean then left(agent.name, $3::integer) else agent.name end as name,
        (select paused_at from pause where pause.agent_id = agent.id) as paused_at,
        case when not $2 or octet_length(agent.capabilities) <= $4::integer then agent.capabilities end
            as capabilities,
        octet_length(agent.capabilities) as capabilities_bytes,
        (
            select count(*)
            from (select from task where state = 'claimed' and task.agent_id = agent.id order by seq limit $5::integer) as its
        ) as running
    from unnest($1::uuid[]) with ordinality as listed (id, place)
    join agent on agent.id = listed.id
    order by listed.place
";

const RUNNING: &str = "
    select seq, id, test_id, left(type, $2::integer) as type, version, created_at, claimed_at, attempts, due_at
    from task where state = 'claimed' and agent_id = $1
    order by seq
    limit $3::integer
";

/// The place before all agents of all versions.
const START: (i64, Uuid) = (i64::MIN, Uuid::nil());

pub(super) async fn list(session: &Session, query: &AgentQuery) -> Result<Page<ListedAgent>, PgError> {
    let (ids, next) = find(session, query).await?;
    let items = agents(session, &ids, true).await?;
    Ok(Page { items, next })
}

async fn find(session: &Session, query: &AgentQuery) -> Result<(Vec<Uuid>, Option<String>), PgError> {
    let place = query.after.as_deref().and_then(|after| {
        let (version, id) = after.split_once('.')?;
        Some((version.parse().ok()?, id.parse().ok()?))
    });
    let place = match place {
        None => Some(START),
        Some(place) => behind(place, query),
    };
    let Some((mut version, mut id)) = place else { return Ok((Vec::new(), None)) };
    let sql = match (query.id, &query.task_type, query.state) {
        (Some(of), _, _) => {
            id = of;
            ONE
        }
        (None, Some(_), _) if query.task_version.is_some() => OF_VERSION,
        (None, Some(_), _) => OF_TYPE,
        (None, None, Some(AgentState::Paused)) => PAUSED,
        (None, None, _) => ALL,
    };
    let (with_name, with_location) =
        (query.name.is_some(), query.country.is_some() || query.region.is_some());
    let mut search = Search::of(query);
    loop {
        let worth_reading = search.worth_reading();
        let most = i64::from(worth_reading);
        let at = query.task_version.unwrap_or(version);
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&with_name, &with_location, &id, &most];
        if query.id.is_none()
            && let Some(task_type) = &query.task_type
        {
            parameters.extend([task_type as &(dyn ToSql + Sync), &at]);
        }
        let rows = session.query(sql, &parameters).await?;
        let mut last = None;
        for row in &rows {
            let place: (i64, Uuid) = (row.try_get("version")?, row.try_get("place")?);
            last = Some(place);
            let candidate = candidate(row)?;
            if search.pass(candidate.as_ref(), || format!("{}.{}", place.0, place.1)).is_break() {
                return Ok(search.end(false));
            }
        }
        let next = last.filter(|_| rows.len() >= worth_reading as usize).and_then(|last| behind(last, query));
        let Some(next) = next else { return Ok(search.end(true)) };
        (version, id) = next;
    }
}

/// Returns the first place behind another; `None` if that was the last one.
fn behind((version, id): (i64, Uuid), query: &AgentQuery) -> Option<(i64, Uuid)> {
    let next = id.as_u128().checked_add(1).map(|id| (version, Uuid::from_u128(id)));
    let goes_on = query.task_type.is_some() && query.task_version.is_none();
    next.or_else(|| version.checked_add(1).filter(|_| goes_on).map(|version| (version, Uuid::nil())))
}

fn candidate(row: &Row) -> Result<Option<Candidate>, PgError> {
    let Some(id) = row.try_get("id")? else { return Ok(None) };
    Ok(Some(Candidate {
        id,
        name: row.try_get("name")?,
        last_seen: row.try_get("last_seen")?,
        paused_since: row.try_get("paused_at")?,
        country: row.try_get("country")?,
        region: row.try_get("region")?,
    }))
}

async fn agents(session: &Session, ids: &[Uuid], is_listed: bool) -> Result<Vec<ListedAgent>, PgError> {
    let (text, capabilities, running) =
        (TEXT_READ.cast_signed(), LISTED_CAPABILITIES.cast_signed(), MOST_RUNNING.cast_signed());
    let rows = session.query(AGENTS, &[&ids, &is_listed, &text, &capabilities, &running]).await?;
    let agent = |row: &Row| {
        let name: &str = row.try_get("name")?;
        Ok(ListedAgent {
            id: row.try_get("id")?,
            name: if is_listed { shown(name) } else { name.to_owned() },
            last_seen: row.try_get("last_seen")?,
            paused_since: row.try_get("paused_at")?,
            capabilities: rows::json(row, "capabilities")?,
            capabilities_bytes: u64::from(row.try_get::<_, i32>("capabilities_bytes")?.unsigned_abs()),
            location: rows::json(row, "location")?,
            max_tasks: row.try_get::<_, i32>("max_tasks")?.unsigned_abs(),
            running: u32::try_from(row.try_get::<_, i64>("running")?).unwrap_or(u32::MAX),
        })
    };
    rows.iter().map(agent).collect()
}

pub(super) async fn agent(session: &Session, id: Uuid) -> Result<Option<AgentDetails>, PgError> {
    let Some(agent) = agents(session, &[id], false).await?.pop() else { return Ok(None) };
    let (text, most) = (TEXT_READ.cast_signed(), MOST_RUNNING.cast_signed() + 1);
    let rows = session.query(RUNNING, &[&id, &text, &most]).await?;
    let mut tasks = rows.iter().map(running_task).collect::<Result<Vec<_>, _>>()?;
    let more_tasks = tasks.len() > MOST_RUNNING as usize;
    tasks.truncate(MOST_RUNNING as usize);
    tasks.sort_unstable_by_key(|(seq, _)| *seq);
    let tasks = tasks.into_iter().map(|(_, task)| task).collect();
    Ok(Some(AgentDetails { agent, tasks, more_tasks }))
}

fn running_task(row: &Row) -> Result<(i64, RunningTask), PgError> {
    let task = RunningTask {
        task_id: row.try_get("id")?,
        test_id: row.try_get("test_id")?,
        task_type: shown(row.try_get("type")?),
        task_version: row.try_get("version")?,
        created: row.try_get("created_at")?,
        claimed: row.try_get("claimed_at")?,
        attempt: row.try_get::<_, i32>("attempts")?.unsigned_abs(),
        deadline: row.try_get("due_at")?,
    };
    Ok((row.try_get("seq")?, task))
}
