//! `/api/v1/locations`: how many agents there are in each country and region.

use std::pin::pin;

use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use slamon_protocol::iso_time;
use slamon_store::PlaceCounts;
use utoipa::ToSchema;

use crate::http::answer;
use crate::http::app::{App, Routes};
use crate::http::error::ApiError;
use crate::http::request_deadline;
use crate::http::schemas::Problem;
use crate::statistics::PlaceFigures;

pub(super) fn routes() -> Routes {
    vec![("/api/v1/locations", get(list))]
}

/// How many agents there are in each place.
#[derive(Serialize, ToSchema)]
pub(super) struct Locations {
    /// When they were counted; null while that is done for the first time.
    at: Option<String>,
    /// By country and region; of more than 1,000 places, those with the most agents. Null while they are counted for
    /// the first time.
    locations: Option<Vec<Location>>,
    /// Agents that do not say where they are.
    elsewhere: Option<Agents>,
    /// Agents in places that are not listed.
    others: Option<Agents>,
    /// Whether all agents were counted: of more than 1,000,000, only so many are.
    is_complete: bool,
}

/// The agents of a place.
#[derive(Serialize, ToSchema)]
pub(super) struct Location {
    country: String,
    region: String,
    #[serde(flatten)]
    agents: Agents,
}

/// How many agents there are.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentsByState)]
pub(super) struct Agents {
    /// Agents that were seen within AGENT_ACTIVE_THRESHOLD, and are not paused.
    active: u64,
    /// Agents that were not.
    lost: u64,
    /// Agents that are paused, seen or not.
    paused: u64,
}

impl From<PlaceCounts> for Agents {
    fn from(PlaceCounts { active, lost, paused }: PlaceCounts) -> Self {
        Self { active, lost, paused }
    }
}

impl From<Option<&PlaceFigures>> for Locations {
    fn from(figures: Option<&PlaceFigures>) -> Self {
        let Some(PlaceFigures { at, places, elsewhere, others, is_complete }) = figures else {
            return Self { at: None, locations: None, elsewhere: None, others: None, is_complete: false };
        };
        let location = |((country, region), counts): &((String, String), PlaceCounts)| Location {
            country: country.clone(),
            region: region.clone(),
            agents: (*counts).into(),
        };
        Self {
            at: Some(iso_time(*at)),
            locations: Some(places.iter().map(location).collect()),
            elsewhere: Some((*elsewhere).into()),
            others: Some((*others).into()),
            is_complete: *is_complete,
        }
    }
}

/// How many agents there are in each country and region. They are counted beside all else, so that the answer may be
/// a second old, or older where there are many.
#[utoipa::path(
    get,
    path = "/api/v1/locations",
    operation_id = "list_locations",
    tag = "agents",
    responses(
        (status = 200, description = "The agents of each place", body = Locations),
        (status = 400, description = "The path has no parameters", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(super) async fn list(State(app): State<App>) -> Result<Response, ApiError> {
    let counted = pin!(app.places());
    let counted = request_deadline::within(app.settings.request_timeout, counted).await?;
    let counted = counted.map_err(|error| app.read_failed(&error))?;
    answer::json(&Locations::from(counted.as_deref()))
}
