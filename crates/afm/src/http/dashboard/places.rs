//! Where agents are: a table by country and region.

use std::pin::pin;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use slamon_store::PlaceCounts;

use super::frame::{Frame, html};
use super::presentation::{Moment, count, number, part};
use crate::http::app::{App, Routes};
use crate::http::error::ApiError;
use crate::statistics::PlaceFigures;

pub(super) fn routes() -> Routes {
    vec![("/dashboard/agents/places", get(page))]
}

/// So many places are shown beside the list of agents.
pub(super) const BESIDE: usize = 5;

#[derive(Template)]
#[template(path = "dashboard/places.html")]
struct PlacesPage<'p> {
    frame: &'p Frame,
    section: &'static str,
    /// `None` while agents are counted for the first time.
    places: Option<PlacesShown>,
}

/// The places, for people.
pub(super) struct PlacesShown {
    pub(super) rows: Vec<PlaceRow>,
    /// When agents were counted.
    pub(super) at: Moment,
    /// What is not in the rows, in words.
    pub(super) others: Vec<String>,
    /// How many places there are, if not all are in the rows.
    pub(super) all: Option<String>,
}

/// A place.
pub(super) struct PlaceRow {
    pub(super) country: String,
    pub(super) region: String,
    pub(super) counts: PlaceCounts,
    /// The query that lists its agents.
    pub(super) query: String,
}

impl PlacesShown {
    /// Shows the places, or as many as are `most` of those with the most agents.
    pub(super) fn of(figures: &PlaceFigures, most: usize) -> Self {
        let PlaceFigures { at, places, elsewhere, others, is_complete } = figures;
        let mut shown: Vec<_> = places.iter().collect();
        if shown.len() > most {
            shown.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.all()));
            shown.truncate(most);
        }
        let rows = shown.into_iter().map(|((country, region), counts)| PlaceRow {
            query: format!("country={}&region={}", part(country), part(region)),
            country: country.clone(),
            region: region.clone(),
            counts: *counts,
        });
        let mut words = Vec::new();
        for (counts, is_silent) in [(elsewhere, true), (others, false)] {
            if counts.all() > 0 {
                words.push(sentence(*counts, is_silent));
            }
        }
        if !is_complete {
            words.push(format!("Only the first {} agents were counted.", number(all_of(figures))));
        }
        let all = (places.len() > most).then(|| number(places.len()));
        Self { rows: rows.collect(), at: Moment(*at), others: words, all }
    }
}

/// Says how many agents are in no row.
fn sentence(counts: PlaceCounts, is_silent: bool) -> String {
    let all = counts.all();
    let PlaceCounts { active, lost, paused } = counts;
    let states = format!("{} active, {} lost, {} paused", number(active), number(lost), number(paused));
    match (is_silent, all) {
        (true, 1) => format!("1 agent does not say where it is: {states}."),
        (true, _) => format!("{} do not say where they are: {states}.", count(all, "agent")),
        (false, _) => format!("In places that are not listed: {states}."),
    }
}

fn all_of(PlaceFigures { places, elsewhere, others, .. }: &PlaceFigures) -> u64 {
    places.iter().map(|(_, counts)| counts.all()).sum::<u64>() + elsewhere.all() + others.all()
}

async fn page(frame: Frame, State(app): State<App>) -> Response {
    let page = pin!(async {
        let places = app.places().await.map_err(|error| app.read_failed(&error))?;
        let places = places.map(|places| PlacesShown::of(&places, usize::MAX));
        Ok::<_, ApiError>(html(&PlacesPage { frame: &frame, section: "agents", places }))
    });
    frame.answer(&app, page).await
}
