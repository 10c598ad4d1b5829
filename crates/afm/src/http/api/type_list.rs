//! `/api/v1/types`: which types there are, who offers them, and how many tasks of them there are.
//!
//! The list has three parts: the types that agents offer, then others that have tasks, then others that are paused.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use slamon_domain::Pauses;
use slamon_protocol::{Capability, iso_time};
use slamon_store::{OfferedType, OffersQuery, StoreError, TaskCounts};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::last_hour::LastHour;
use super::overview::Tasks;
use super::place;
use super::query::Query;
use super::types::{TypePath, VersionPath, empty_version_of, version_of};
use crate::http::answer;
use crate::http::app::{App, Routes};
use crate::http::error::ApiError;
use crate::http::request_deadline;
use crate::http::schemas::Problem;
use crate::statistics::OverviewFigures;

pub(super) fn routes() -> Routes {
    vec![
        ("/api/v1/types", get(list)),
        ("/api/v1/types/{task_type}/{task_version}", get(read)),
        // No segment of a path matches the empty type.
        ("/api/v1/types//{task_version}", get(read_of_empty_type)),
    ]
}

/// A part of the list of types.
#[derive(Serialize, ToSchema)]
pub(super) struct TypeList {
    types: Vec<TypeInVersion>,
    /// What to ask for as `cursor` to get the next part; null if there is none.
    next_cursor: Option<String>,
}

/// A type in one version.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct TypeInVersion {
    pub(in crate::http) task_type: String,
    /// The version; null stands for all versions of a type that is paused in all.
    pub(in crate::http) task_version: Option<i64>,
    /// Whether any agent offers it. If none does, its tasks wait.
    pub(in crate::http) offered: bool,
    /// The agents that offer it.
    pub(in crate::http) agents: OfferingAgents,
    /// Its tasks that have not ended; null until tasks have been counted, soon after the start.
    pub(in crate::http) tasks: Option<Tasks>,
    /// How its tasks ended in the last hour, at all AFMs on the database. Those that failed, were lost, timed out or
    /// expired have failed. Null: its figures are counted together with those of other types, or it is all versions.
    pub(in crate::http) last_hour: Option<LastHour>,
    /// Since when it is paused, by itself or with all versions.
    pub(in crate::http) paused_since: Option<String>,
}

/// How many agents offer a type.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct OfferingAgents {
    /// Agents that were seen within AGENT_ACTIVE_THRESHOLD, paused or not.
    pub(in crate::http) active: u64,
    /// Agents that were not.
    pub(in crate::http) silent: u64,
    /// Whether all were counted. Of a type that 1,000 or more offer, the numbers are those of the last census; before the
    /// first one, only 1,000 are counted.
    pub(in crate::http) is_complete: bool,
    /// When that census began; null where agents were counted now.
    #[serde(rename = "counted_at", serialize_with = "as_time")]
    #[schema(value_type = Option<String>)]
    pub(in crate::http) counted: Option<Timestamp>,
}

fn as_time<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(iso_time).serialize(serializer)
}

/// A place in the list.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) enum Place {
    /// Behind this place among the types that are offered.
    Offered(Option<String>),
    /// Behind this type among those that have tasks.
    WithTasks(Option<Capability>),
    /// Behind this type among those that are paused.
    Paused(Option<(String, Option<i64>)>),
}

/// Lists task types: first those that agents offer, then others that have tasks or are paused. A part counts some
/// 5,000 agents at most, so that it may be short, or empty, and not the last one.
#[utoipa::path(
    get,
    path = "/api/v1/types",
    operation_id = "list_types",
    tag = "types",
    params(
        ("limit" = Option<String>, Query, pattern = "^([+]?0*([1-9][0-9]{0,2}|1000))?$", description = "The most types to list, 1 to 1000; 50 if absent"),
        ("cursor" = Option<String>, Query, description = "The next_cursor of the part before"),
    ),
    responses(
        (status = 200, description = "Types", body = TypeList),
        (status = 400, description = "A parameter is wrong", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(super) async fn list(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let mut query = Query::of(query.as_deref());
    let limit = query.integer("limit", 1..=1_000)?.unwrap_or(50);
    let place = Place::take(&mut query)?;
    query.end()?;
    let listed = pin!(async {
        let reader = TypeReader::begin(&app).await?;
        let (types, next) = reader.page(place, limit).await?;
        Ok(TypeList { types, next_cursor: next.as_ref().map(Place::cursor) })
    });
    let listed: Result<TypeList, StoreError> =
        request_deadline::within(app.settings.request_timeout, listed).await?;
    answer::json(&listed.map_err(|error| app.read_failed(&error))?)
}

/// A type in one version, which need not be known.
#[utoipa::path(
    get,
    path = "/api/v1/types/{task_type}/{task_version}",
    operation_id = "show_type",
    tag = "types",
    params(
        ("task_type" = String, Path, description = "The type, percent-encoded"),
        ("task_version" = i64, Path, description = "The version"),
    ),
    responses(
        (status = 200, description = "The type", body = TypeInVersion),
        (status = 400, description = "The type or the version is wrong", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(super) async fn read(State(app): State<App>, path: VersionPath) -> Result<Response, ApiError> {
    let (task_type, version) = version_of(&app, path)?;
    read_one(&app, Capability { task_type, version }).await
}

async fn read_of_empty_type(State(app): State<App>, path: TypePath) -> Result<Response, ApiError> {
    let version = empty_version_of(path)?;
    read_one(&app, Capability { task_type: String::new(), version }).await
}

async fn read_one(app: &App, capability: Capability) -> Result<Response, ApiError> {
    let read = pin!(async {
        let reader = TypeReader::begin(app).await?;
        let types: Arc<[Capability]> = Arc::new([capability.clone()]);
        let offered = app.store.offers_of(Arc::clone(&types), reader.seen_since).await?.pop();
        let offered = offered.unwrap_or_else(|| OfferedType::by_nobody(capability));
        Ok(reader.describe(vec![offered]).await?.pop())
    });
    let read: Result<Option<TypeInVersion>, StoreError> =
        request_deadline::within(app.settings.request_timeout, read).await?;
    answer::json(&read.map_err(|error| app.read_failed(&error))?)
}

/// Reads types from their sources.
pub(in crate::http) struct TypeReader<'a> {
    app: &'a App,
    seen_since: Timestamp,
    pauses: Pauses,
    /// Whether the tasks of types have been counted.
    is_counted: bool,
    figures: Arc<OverviewFigures>,
}

impl<'a> TypeReader<'a> {
    pub(in crate::http) async fn begin(app: &'a App) -> Result<Self, StoreError> {
        let figures = app.overview_figures().await?;
        app.statistics.save_for_read().await;
        let seen_since = app.active_since().await;
        let is_counted = app.store.task_counts().await?.is_some();
        Ok(Self { app, seen_since, pauses: app.store.pauses().await?, is_counted, figures })
    }

    /// Reads a part of the list, and the place where the next one begins. While it is not full, and others follow, it
    /// reads on, for a bounded time.
    pub(in crate::http) async fn page(
        &self,
        place: Option<Place>,
        limit: u32,
    ) -> Result<(Vec<TypeInVersion>, Option<Place>), StoreError> {
        let began = Instant::now();
        let (mut types, mut place) = (Vec::new(), place);
        while let Some(at) = place.take() {
            let left = limit - u32::try_from(types.len()).unwrap_or(limit);
            if left == 0 {
                return Ok((types, Some(at)));
            }
            let (mut found, next, goes_on) = match at {
                Place::Offered(after) => self.offered(after, left).await?,
                Place::WithTasks(after) => self.with_tasks(after, left).await?,
                Place::Paused(after) => self.paused(after, left).await?,
            };
            types.append(&mut found);
            if !goes_on && began.elapsed() >= self.app.settings.list_looks_for {
                return Ok((types, next));
            }
            place = next;
        }
        Ok((types, None))
    }

    /// Reads types that agents offer; the place behind them; and whether there is time for more.
    async fn offered(&self, after: Option<String>, limit: u32) -> Result<Part, StoreError> {
        let query = OffersQuery { seen_since: self.seen_since, limit, after };
        let page = self.app.store.list_offers(query).await?;
        let types = self.describe(page.items).await?;
        Ok(match page.next {
            Some(next) => (types, Some(Place::Offered(Some(next))), false),
            None => (types, Some(Place::WithTasks(None)), true),
        })
    }

    /// Reads types that have tasks, and that no agent offers.
    async fn with_tasks(&self, after: Option<Capability>, limit: u32) -> Result<Part, StoreError> {
        let counted = self.app.store.counts_by_type(limit, after).await?;
        let is_last = counted.len() < limit as usize;
        let last = counted.last().map(|last| last.capability.clone());
        let types = counted.into_iter().map(|counted| counted.capability).collect();
        let types = self.describe(self.not_offered(types).await?).await?;
        Ok(match last.filter(|_| !is_last) {
            Some(last) => (types, Some(Place::WithTasks(Some(last))), false),
            None => (types, Some(Place::Paused(None)), true),
        })
    }

    /// Reads types that are paused, that no agent offers, and that have no tasks.
    async fn paused(&self, after: Option<(String, Option<i64>)>, limit: u32) -> Result<Part, StoreError> {
        let types = self.pauses.types.keys().map(|task_type| (task_type.clone(), None));
        let versions = self.pauses.versions.keys().map(|of| (of.task_type.clone(), Some(of.version)));
        let mut paused: Vec<(String, Option<i64>)> = types.chain(versions).collect();
        paused.sort_unstable();
        paused.retain(|of| after.as_ref().is_none_or(|after| after < of));
        let is_last = paused.len() <= limit as usize;
        paused.truncate(limit as usize);
        let last = paused.last().cloned();
        let of_versions = paused.iter().filter_map(|(task_type, version)| {
            Some(Capability { task_type: task_type.clone(), version: (*version)? })
        });
        let not_offered = self.not_offered(of_versions.collect()).await?;
        let mut described = self.describe(not_offered).await?;
        // Those with tasks have been listed.
        described.retain(|of| of.tasks.as_ref().is_none_or(Tasks::is_zero));
        for (task_type, version) in paused {
            if version.is_none() {
                let since = self.pauses.types.get(&task_type).copied();
                described.push(TypeInVersion::of_all_versions(task_type, since));
            }
        }
        described.sort_by(|one, other| {
            (&one.task_type, one.task_version).cmp(&(&other.task_type, other.task_version))
        });
        let next = last.filter(|_| !is_last).map(|last| Place::Paused(Some(last)));
        Ok((described, next, false))
    }

    /// Reads those of `types` that are in no part of the list.
    pub(in crate::http) async fn unlisted(
        &self,
        types: Vec<Capability>,
    ) -> Result<Vec<TypeInVersion>, StoreError> {
        let mut described = self.describe(self.not_offered(types).await?).await?;
        described.retain(|of| {
            let version = of.task_version.unwrap_or_default();
            let capability = Capability { task_type: of.task_type.clone(), version };
            of.tasks.as_ref().is_none_or(Tasks::is_zero) && !self.pauses.versions.contains_key(&capability)
        });
        Ok(described)
    }

    /// Returns those of `types` that no agent offers.
    async fn not_offered(&self, types: Vec<Capability>) -> Result<Vec<OfferedType>, StoreError> {
        let types: Arc<[Capability]> = types.into();
        let offered = self.app.store.offers_of(Arc::clone(&types), self.seen_since).await?;
        let is_offered =
            |of: &Capability| offered.iter().any(|offered| offered.agents > 0 && offered.capability == *of);
        let others = types.iter().filter(|of| !is_offered(of)).cloned();
        Ok(others.map(OfferedType::by_nobody).collect())
    }

    /// Adds what else is known of types.
    async fn describe(&self, offered: Vec<OfferedType>) -> Result<Vec<TypeInVersion>, StoreError> {
        let types = offered.iter().map(|offered| offered.capability.clone()).collect();
        let counts = self.app.store.counts_of_types(types).await?;
        let counts: HashMap<Capability, TaskCounts> =
            counts.into_iter().map(|of| (of.capability, of.counts)).collect();
        let describe = |OfferedType { capability, agents, active, counted_at, is_complete }| TypeInVersion {
            offered: agents > 0,
            agents: OfferingAgents {
                active: u64::from(active),
                silent: u64::from(agents - active),
                is_complete,
                counted: counted_at,
            },
            tasks: self.is_counted.then(|| counts.get(&capability).copied().unwrap_or_default().into()),
            last_hour: self.figures.last_hour_of(&capability).map(|counters| LastHour::from(&counters)),
            paused_since: self.pauses.of_version(&capability).map(iso_time),
            task_version: Some(capability.version),
            task_type: capability.task_type,
        };
        Ok(offered.into_iter().map(describe).collect())
    }
}

/// A part of a source, the place behind it, and whether there is time for more.
type Part = (Vec<TypeInVersion>, Option<Place>, bool);

impl TypeInVersion {
    /// A type that is paused in all versions, none of which is known.
    fn of_all_versions(task_type: String, since: Option<Timestamp>) -> Self {
        Self {
            task_type,
            task_version: None,
            offered: false,
            agents: OfferingAgents { active: 0, silent: 0, is_complete: true, counted: None },
            tasks: None,
            last_hour: None,
            paused_since: since.map(iso_time),
        }
    }
}

impl Place {
    /// Takes the place that a query names, or else the begin of the list; `None` is its end.
    pub(in crate::http) fn take(query: &mut Query<'_>) -> Result<Option<Self>, ApiError> {
        Ok(place::take(query, "types")?.map_or(Some(Self::Offered(None)), |text| Self::read(&text)))
    }

    /// Writes the place for a query.
    pub(in crate::http) fn cursor(&self) -> String {
        place::write("types", &self.to_string())
    }

    fn read(text: &str) -> Option<Self> {
        let (source, place) = text.split_at_checked(1)?;
        let named = || {
            let (version, task_type) = place.split_once('.')?;
            let version = if version.is_empty() { None } else { Some(version.parse().ok()?) };
            Some((task_type.to_owned(), version))
        };
        Some(match source {
            "o" => Self::Offered(Some(place.to_owned()).filter(|place| !place.is_empty())),
            "t" => Self::WithTasks(
                named().and_then(|(task_type, version)| Some(Capability { task_type, version: version? })),
            ),
            _ => Self::Paused(named()),
        })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Offered(place) => write!(f, "o{}", place.as_deref().unwrap_or_default()),
            Self::WithTasks(None) => f.write_str("t"),
            Self::WithTasks(Some(Capability { task_type, version })) => write!(f, "t{version}.{task_type}"),
            Self::Paused(None) => f.write_str("p"),
            Self::Paused(Some((task_type, None))) => write!(f, "p.{task_type}"),
            Self::Paused(Some((task_type, Some(version)))) => write!(f, "p{version}.{task_type}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let capability = |task_type: &str, version| Capability { task_type: task_type.to_owned(), version };
        for place in [
            Place::Offered(None),
            Place::Offered(Some("1.a.b".to_owned())),
            Place::WithTasks(None),
            Place::WithTasks(Some(capability(".a.\u{1f600}", -1))),
            Place::Paused(None),
            Place::Paused(Some((String::new(), None))),
            Place::Paused(Some(("p.1".to_owned(), Some(i64::MIN)))),
        ] {
            assert_eq!(Place::read(&place.to_string()), Some(place));
        }
    }
}
