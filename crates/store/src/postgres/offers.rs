//! Reads which types agents offer.

use jiff::Timestamp;
use slamon_protocol::Capability;
use tokio_postgres::Row;

use super::errors::PgError;
use super::rows;
use super::session::Session;
use crate::fleet::{MOST_PASSED_OVER, Page};
use crate::offers::{MOST_OFFERING, OfferedType, OffersQuery};
use crate::store::TYPE_BEGINNING;

/// A query that goes from one type and version to the next in the index of offers, and so reads types, not
/// agents. The index has the beginnings of types; those that have the same one are read together.
macro_rules! beginnings {
    ($from:literal) => {
        concat!(
            "with recursive offered (beginning, version) as (
                (
                    select left(type, 100), version from agent_offer ",
            $from,
            " order by left(type, 100), version limit 1
                )
                union all
                select next.beginning, next.version
                from offered
                cross join lateral (
                    select left(type, 100) as beginning, version from agent_offer
                    where (left(type, 100), version) > (offered.beginning, offered.version)
                    order by left(type, 100), version limit 1
                ) as next
            )
            select * from offered limit $1"
        )
    };
}

const BEGINNINGS: &str = beginnings!("");
const BEGINNINGS_AFTER: &str = beginnings!("where (left(type, 100), version) > ($2, $3)");
const BEGINNINGS_FROM: &str = beginnings!("where (left(type, 100), version) >= ($2, $3)");

/// Counts the agents that offer types with these beginnings, by type.
const AGENTS: &str = "
    select offer.type, offered.version, offered.place, count(*) as agents,
        count(*) filter (where agent.last_seen >= $3) as active
    from unnest($1::text[], $2::bigint[]) with ordinality as offered (beginning, version, place)
    cross join lateral (
        select type, agent_id from agent_offer
        where left(type, 100) = offered.beginning and agent_offer.version = offered.version
        limit $4::integer
    ) as offer
    join agent on agent.id = offer.agent_id
    group by offer.type, offered.version, offered.place
    order by offered.place, offer.type
";

/// Counts the agents that offer these types.
const AGENTS_OF: &str = "
    select wanted.type, wanted.version, wanted.place, count(agent.id) as agents,
        count(agent.id) filter (where agent.last_seen >= $3) as active
    from unnest($1::text[], $2::bigint[]) with ordinality as wanted (type, version, place)
    cross join lateral (
        select agent_id from agent_offer
        where left(type, 100) = left(wanted.type, 100) and type = wanted.type
            and agent_offer.version = wanted.version
        limit $4::integer
    ) as offer
    join agent on agent.id = offer.agent_id
    group by wanted.type, wanted.version, wanted.place
";

/// So many types are counted at once, as long as they may have many agents.
const FEW: usize = 5;

pub(super) async fn list(session: &Session, query: &OffersQuery) -> Result<Page<OfferedType>, PgError> {
    let after = query.after.as_deref().and_then(|after| {
        let (version, task_type) = after.split_once('.')?;
        Some((version.parse::<i64>().ok()?, task_type))
    });
    // The first beginning may be one that was listed before, the last one tells whether there are more.
    let most = query.limit as usize + 1;
    let limit = i64::from(query.limit) + 2;
    let rows = match after {
        None => session.query(BEGINNINGS, &[&limit]).await?,
        Some((version, task_type)) => {
            let beginning: String = task_type.chars().take(TYPE_BEGINNING).collect();
            // Others may have the same beginning.
            let is_whole = task_type.chars().count() < TYPE_BEGINNING;
            let sql = if is_whole { BEGINNINGS_AFTER } else { BEGINNINGS_FROM };
            session.query(sql, &[&limit, &beginning, &version]).await?
        }
    };
    let mut offered = Vec::with_capacity(rows.len());
    for row in &rows {
        offered.push((row.try_get::<_, String>("beginning")?, row.try_get::<_, i64>("version")?));
    }
    let has_more = offered.len() > most;
    offered.truncate(most);
    let (mut items, mut passed_over, mut done, mut at_once) = (Vec::new(), 0, 0, FEW);
    while done < offered.len() && passed_over < MOST_PASSED_OVER {
        let part = &offered[done..offered.len().min(done + at_once)];
        let (beginnings, versions): (Vec<&str>, Vec<i64>) =
            part.iter().map(|(beginning, version)| (beginning.as_str(), *version)).unzip();
        let counted = count(session, AGENTS, &beginnings, &versions, query.seen_since).await?;
        let agents = counted.iter().map(|offered| offered.agents).sum::<u32>();
        // While there are few agents for each type, more types are counted at once.
        at_once = if agents < MOST_OFFERING { 2 * at_once } else { FEW };
        passed_over += agents + 1;
        done += part.len();
        items.extend(counted);
    }
    if let Some((version, task_type)) = after {
        let is_listed = |of: &Capability| {
            let mut both = of.task_type.chars().zip(task_type.chars()).take(TYPE_BEGINNING);
            of.version == version
                && of.task_type.as_str() <= task_type
                && both.all(|(one, other)| one == other)
        };
        items.retain(|offered| !is_listed(&offered.capability));
    }
    let is_last = done == offered.len() && !has_more && items.len() <= query.limit as usize;
    items.truncate(query.limit as usize);
    let place = |Capability { task_type, version }: &Capability| format!("{version}.{task_type}");
    let next = items.last().map(|last| place(&last.capability)).filter(|_| !is_last);
    Ok(Page { items, next })
}

pub(super) async fn of_types(
    session: &Session,
    types: &[Capability],
    seen_since: Timestamp,
) -> Result<Vec<OfferedType>, PgError> {
    let (names, versions): (Vec<&str>, Vec<i64>) =
        types.iter().map(|capability| (capability.task_type.as_str(), capability.version)).unzip();
    count(session, AGENTS_OF, &names, &versions, seen_since).await
}

async fn count(
    session: &Session,
    sql: &str,
    types: &[&str],
    versions: &[i64],
    seen_since: Timestamp,
) -> Result<Vec<OfferedType>, PgError> {
    let (since, most) = (rows::as_stored(seen_since), MOST_OFFERING.cast_signed());
    let offered = |row: &Row| {
        let count =
            |column| Ok::<_, PgError>(u32::try_from(row.try_get::<_, i64>(column)?).unwrap_or(u32::MAX));
        let capability = Capability { task_type: row.try_get("type")?, version: row.try_get("version")? };
        Ok::<_, PgError>(OfferedType { capability, agents: count("agents")?, active: count("active")? })
    };
    let rows = session.query(sql, &[&types, &versions, &since, &most]).await?;
    let mut counted = Vec::with_capacity(rows.len());
    for row in &rows {
        counted.push((row.try_get::<_, i64>("place")?, offered(row)?));
    }
    // The order of texts is the database's.
    counted.sort_by(|(place, one), (of_other, other)| {
        (place, &one.capability.task_type).cmp(&(of_other, &other.capability.task_type))
    });
    Ok(counted.into_iter().map(|(_, offered)| offered).collect())
}
