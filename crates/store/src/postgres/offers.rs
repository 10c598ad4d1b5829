//! Reads which types agents offer.

use std::collections::BTreeMap;

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

/// Reads the last census of types with these beginnings.
const KEPT: &str = "
    select offer_count.type, offer_count.version, offered.place, agents, offer_count.active, counted_at
    from unnest($1::text[], $2::bigint[]) with ordinality as offered (beginning, version, place)
    join offer_count
        on left(offer_count.type, 100) = offered.beginning and offer_count.version = offered.version
    cross join agent_census
    where counted_at is not null
";

/// Reads the last census of these types.
const KEPT_OF: &str = "
    select offer_count.type, offer_count.version, wanted.place, agents, offer_count.active, counted_at
    from unnest($1::text[], $2::bigint[]) with ordinality as wanted (type, version, place)
    join offer_count on left(offer_count.type, 100) = left(wanted.type, 100)
        and md5(offer_count.type) = md5(wanted.type) and offer_count.version = wanted.version
    cross join agent_census
    where counted_at is not null
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
        let types = part.iter().map(|(beginning, version)| (beginning.as_str(), *version)).collect();
        let counted = count(session, Named::Beginnings, types, query.seen_since).await?;
        // Those of a census were not counted now.
        let of_now = counted.iter().filter(|offered| offered.counted_at.is_none());
        let agents = of_now.map(|offered| offered.agents).sum::<u32>();
        // While there are few agents for each type, more types are counted at once.
        at_once = if agents < MOST_OFFERING { 2 * at_once } else { FEW };
        passed_over += agents + u32::try_from(part.len()).unwrap_or(u32::MAX);
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
    let types = types.iter().map(|capability| (capability.task_type.as_str(), capability.version)).collect();
    count(session, Named::Types, types, seen_since).await
}

/// How types are named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    Beginnings,
    Types,
}

/// How many agents offer types: those of the last census, or else those that are counted now.
async fn count(
    session: &Session,
    named: Named,
    types: Vec<(&str, i64)>,
    seen_since: Timestamp,
) -> Result<Vec<OfferedType>, PgError> {
    let (kept, now) = match named {
        Named::Beginnings => (KEPT, AGENTS),
        Named::Types => (KEPT_OF, AGENTS_OF),
    };
    let (names, versions): (Vec<&str>, Vec<i64>) = types.iter().copied().unzip();
    let mut counted: BTreeMap<(i64, String), OfferedType> = BTreeMap::new();
    for row in session.query(kept, &[&names, &versions]).await? {
        let of_type = offered(&row, Some(row.try_get("counted_at")?), true)?;
        counted.insert((row.try_get("place")?, of_type.capability.task_type.clone()), of_type);
    }
    // Places count from one. Several types may have a beginning that is not a whole name.
    let is_kept = |place: i64, name: &str| {
        let is_whole = named == Named::Types || name.chars().count() < TYPE_BEGINNING;
        is_whole && counted.keys().any(|(of, _)| *of == place)
    };
    let left: Vec<(i64, &str, i64)> = (1..)
        .zip(&types)
        .map(|(place, (name, version))| (place, *name, *version))
        .filter(|(place, name, _)| !is_kept(*place, name))
        .collect();
    if !left.is_empty() {
        let (names, versions): (Vec<&str>, Vec<i64>) =
            left.iter().map(|(_, name, version)| (*name, *version)).unzip();
        let (since, most) = (rows::as_stored(seen_since), MOST_OFFERING.cast_signed());
        let rows = session.query(now, &[&names, &versions, &since, &most]).await?;
        let mut sums: BTreeMap<i64, u32> = BTreeMap::new();
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let of_type = offered(row, None, true)?;
            let place: i64 = row.try_get("place")?;
            *sums.entry(place).or_default() += of_type.agents;
            found.push((place, of_type));
        }
        for (place, mut of_type) in found {
            of_type.is_complete = sums.get(&place).is_none_or(|sum| *sum < MOST_OFFERING);
            let of_all = usize::try_from(place - 1).ok().and_then(|place| left.get(place));
            let Some((place, ..)) = of_all else { continue };
            counted.entry((*place, of_type.capability.task_type.clone())).or_insert(of_type);
        }
    }
    // The order of texts is the database's, and that of the places is what was asked for.
    Ok(counted.into_values().collect())
}

/// Reads a row that has a type with its agents.
pub(super) fn offered(
    row: &Row,
    counted_at: Option<Timestamp>,
    is_complete: bool,
) -> Result<OfferedType, PgError> {
    let count = |column| Ok::<_, PgError>(u32::try_from(row.try_get::<_, i64>(column)?).unwrap_or(u32::MAX));
    let capability = Capability { task_type: row.try_get("type")?, version: row.try_get("version")? };
    let (agents, active) = (count("agents")?, count("active")?);
    Ok(OfferedType { capability, agents, active, counted_at, is_complete })
}
