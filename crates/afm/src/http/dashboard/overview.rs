//! The page that answers whether all is well.

use std::borrow::Cow;
use std::pin::pin;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use slamon_store::{Counts, Overview};

use super::frame::{Frame, html};
use super::presentation::count;
use crate::http::app::App;
use crate::http::request_deadline;
use crate::http::routes::Routes;

pub(super) fn routes() -> Routes {
    vec![("/dashboard", get(page))]
}

/// A database that does not answer for this long is not available.
const PATIENCE: Duration = Duration::from_secs(5);

/// Each list has at most this many entries.
const LIMIT: u32 = 20;

#[derive(Template)]
#[template(path = "dashboard/overview.html")]
struct OverviewPage<'p> {
    frame: &'p Frame,
    section: &'static str,
    verdict: Verdict,
    /// There are none while the database is away.
    lists: Option<Overview>,
}

struct Verdict {
    class: &'static str,
    answer: &'static str,
    reason: Cow<'static, str>,
}

const NO_DATABASE: Verdict = Verdict {
    class: "bad",
    answer: "The database is not available.",
    reason: Cow::Borrowed("Nothing can be posted or handed out until it is back; the log says why."),
};

fn verdict(counts: Counts) -> Verdict {
    let agents = count(counts.agents, "agent");
    match counts {
        Counts { tasks_waiting: 0, .. } => {
            let reason = format!("No task waits, and {agents} polled lately.").into();
            Verdict { class: "good", answer: "All is well.", reason }
        }
        Counts { agents: 0, tasks_waiting } => {
            let reason = format!("No agent has polled lately, and {} for one.", wait(tasks_waiting)).into();
            Verdict { class: "bad", answer: "Nobody is at work.", reason }
        }
        Counts { tasks_waiting, .. } => {
            let reason = format!("{}, and {agents} polled lately.", wait(tasks_waiting)).into();
            Verdict { class: "calm", answer: "Tasks are waiting.", reason }
        }
    }
}

fn wait(tasks: u64) -> String {
    format!("{} {}", count(tasks, "task"), if tasks == 1 { "waits" } else { "wait" })
}

async fn page(frame: Frame, State(app): State<App>) -> Response {
    let read = pin!(async {
        let counts = app.store.counts(app.active_since().await).await?;
        Ok((counts, app.store.overview(LIMIT, 0).await?))
    });
    let read = request_deadline::within(PATIENCE.min(app.settings.request_timeout), read).await;
    let read = read.and_then(|read| read.map_err(|error| app.read_failed(&error)));
    let (verdict, lists) = match read {
        Ok((counts, lists)) => (verdict(counts), Some(lists)),
        Err(_) => (NO_DATABASE, None),
    };
    html(&OverviewPage { frame: &frame, section: "overview", verdict, lists })
}
