//! The page that answers whether all is well.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use slamon_store::{Counter, StoreError};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::chart::{self, Chart};
use super::failures::{self, FailureGroup};
use super::frame::{Frame, html};
use super::presentation::number;
use super::stuck::{self, Seen, StuckGroup};
use super::verdict::{self, NO_DATABASE, Verdict, verdict};
use crate::http::app::{App, Routes};
use crate::http::request_deadline;
use crate::statistics::OverviewFigures;

pub(super) fn routes() -> Routes {
    let lists = Arc::<CachedLists>::default();
    vec![("/dashboard", get(move |frame: Frame, app: State<App>| page(frame, app, Arc::clone(&lists))))]
}

/// A database that does not answer for this long is not available.
const PATIENCE: Duration = Duration::from_secs(5);

/// The times of at most this many types are shown.
const TYPES: usize = 20;

#[derive(Template)]
#[template(path = "dashboard/overview.html")]
struct OverviewPage<'p> {
    frame: &'p Frame,
    section: &'static str,
    verdict: Verdict,
    /// There is nothing while the database is away.
    content: Option<Content>,
}

struct Content {
    /// Whether there are neither agents nor tasks.
    is_new: bool,
    tiles: Vec<Tile>,
    ended: Chart,
    unfinished: Option<Chart>,
    lists: Arc<Lists>,
    figures: Arc<OverviewFigures>,
}

/// What waits, and what has failed.
struct Lists {
    waiting: Vec<StuckGroup>,
    /// Whether all kinds of waiting tasks were looked at.
    is_all_waiting: bool,
    failures: Vec<FailureGroup>,
    /// Whether all failures were looked at.
    is_all_failures: bool,
}

/// The lists that were read last. Whoever reads holds the lock.
#[derive(Default)]
struct CachedLists(Mutex<Cache>);

#[derive(Default)]
struct Cache {
    /// The lists, and until when they are shown to all who ask.
    lists: Option<(Instant, Arc<Lists>)>,
    seen: Seen,
}

/// Lists are shown for so long at least, and for so many times as long as it took to read them, so that the database is
/// not busy with this, however many people look; but for so long at most.
const FRESH: Duration = Duration::from_secs(1);
const SHARE_OF_READING: u32 = 100;
const STALE: Duration = Duration::from_secs(10);

impl CachedLists {
    async fn get(&self, app: &App, figures: &OverviewFigures) -> Result<Arc<Lists>, StoreError> {
        let Cache { lists: cached, seen } = &mut *self.0.lock().await;
        let began = Instant::now();
        if let Some((until, lists)) = cached
            && began < *until
        {
            return Ok(Arc::clone(lists));
        }
        let (waiting, is_all_waiting) = stuck::waiting(app, seen).await?;
        let (failures, is_all_failures) = failures::newest(app, figures).await?;
        let lists = Arc::new(Lists { waiting, is_all_waiting, failures, is_all_failures });
        let shown_for = (began.elapsed() * SHARE_OF_READING).clamp(FRESH, STALE);
        *cached = Some((Instant::now() + shown_for, Arc::clone(&lists)));
        Ok(lists)
    }
}

/// A number with its name, which leads to what it counts.
struct Tile {
    value: String,
    label: &'static str,
    /// The address below that of the overview.
    page: &'static str,
    class: &'static str,
}

async fn page(frame: Frame, State(app): State<App>, lists: Arc<CachedLists>) -> Response {
    let read = pin!(read(&app, &lists));
    let read = request_deadline::within(PATIENCE.min(app.settings.request_timeout), read).await;
    let read = read.and_then(|read| read.map_err(|error| app.read_failed(&error)));
    let (verdict, content) = match read {
        Ok((figures, lists, writes)) => {
            let verdict = verdict(&figures, &lists.waiting, writes);
            let ended = chart::ended(&figures.minutes);
            let unfinished = figures.tasks.map(|tasks| chart::unfinished(&figures.minutes, tasks));
            let tiles = tiles(&figures);
            let is_new = verdict::is_new(&figures) && lists.waiting.is_empty() && lists.failures.is_empty();
            (verdict, Some(Content { is_new, tiles, ended, unfinished, lists, figures }))
        }
        Err(_) => (NO_DATABASE, None),
    };
    html(&OverviewPage { frame: &frame, section: "overview", verdict, content })
}

type Found = (Arc<OverviewFigures>, Arc<Lists>, Result<(), String>);

async fn read(app: &App, lists: &CachedLists) -> Result<Found, StoreError> {
    let figures = app.overview_figures().await?;
    let lists = lists.get(app, &figures).await?;
    let writes = app.health.check().await.map_err(|reason| reason.to_string());
    Ok((figures, lists, writes))
}

fn tiles(figures: &OverviewFigures) -> Vec<Tile> {
    let in_hour = |count: fn(&slamon_store::Counters) -> u64| -> u64 {
        figures.minutes.iter().map(|minute| count(&minute.counters)).sum()
    };
    let failed = in_hour(chart::failed);
    let mut tiles = Vec::new();
    let mut tile = |value: String, label, page, class| tiles.push(Tile { value, label, page, class });
    if let Some(tasks) = figures.tasks {
        tile(number(tasks.pending), "waiting", "tasks?state=pending", "");
        tile(number(tasks.claimed), "running", "tasks?state=claimed", "");
        tile(number(tasks.delayed), "delayed", "tasks?state=delayed", "");
    }
    let finished = in_hour(|counters| counters.get(Counter::Completed));
    tile(number(finished), "finished in the last hour", "tasks?state=completed", "");
    tile(
        number(failed),
        "failed in the last hour",
        "tasks?state=failed",
        if failed > 0 { "bad" } else { "" },
    );
    let agents = &figures.agents;
    let one_or = |count: u64, one: &'static str, many: &'static str| if count == 1 { one } else { many };
    let label = one_or(agents.active, "agent at work", "agents at work");
    tile(number(agents.active), label, "agents?state=active", "");
    if agents.lost > 0 {
        let label = one_or(agents.lost, "agent lost", "agents lost");
        tile(number(agents.lost), label, "agents?state=lost", "bad");
    }
    if agents.paused > 0 {
        let label = one_or(agents.paused, "agent paused", "agents paused");
        tile(number(agents.paused), label, "agents?state=paused", "busy");
    }
    tiles
}
