//! `status`: how the fleet does.

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;
use slamon_client::Unfinished;

use super::connection::Connection;
use super::failure::{Ending, Failure};
use super::output::Output;
use super::pages::read;
use super::table::Table;
use super::terminal_text::name;
use super::words::seconds;

/// `status`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Status {
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// The figures of the last hour, as far as they are shown.
#[derive(Debug, Deserialize)]
pub(super) struct Overview {
    pub(super) tasks: Option<Unfinished>,
    pub(super) agents: Agents,
    pub(super) minutes: Vec<Happened>,
    pub(super) types: Vec<OfType>,
}

/// How many agents there are.
#[derive(Debug, Deserialize)]
pub(super) struct Agents {
    active: u64,
    lost: u64,
    paused: u64,
}

/// How often each thing happened in a minute, or an hour.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub(super) struct Happened {
    posted: u64,
    pub(super) finished: u64,
    completed: u64,
    failed: u64,
    expired: u64,
    cancelled: u64,
    retried: u64,
}

/// What happened to the tasks of a type.
#[derive(Debug, Deserialize)]
pub(super) struct OfType {
    task_type: Option<String>,
    task_version: Option<i64>,
    #[serde(flatten)]
    happened: Happened,
    queue_seconds: Option<Percentiles>,
    run_seconds: Option<Percentiles>,
}

#[derive(Debug, Deserialize)]
struct Percentiles {
    p50: f64,
    p95: f64,
}

impl Status {
    pub(super) async fn run(&self, out: &mut Output) -> Result<Ending, Failure> {
        let client = self.connection.client()?;
        let answer: Box<RawValue> = client.get(&["api", "v1", "overview"], &[]).await?;
        if self.connection.json {
            out.raw_json(&answer)?;
            return Ok(Ending::Done);
        }
        let overview: Overview = read(&answer)?;
        out.line(&format!("AFM        {}", client.url()))?;
        out.lines(overview.figures())?;
        if !overview.types.is_empty() {
            out.line("")?;
            out.lines(overview.of_types().lines(out.room()))?;
        }
        Ok(Ending::Done)
    }
}

impl Overview {
    /// What there is, and what happened, a line each.
    pub(super) fn figures(&self) -> Vec<String> {
        let tasks = match self.tasks {
            Some(Unfinished { waiting, running, delayed }) => {
                format!("{waiting} waiting, {running} running, {delayed} delayed")
            }
            None => "not counted yet".to_owned(),
        };
        let Agents { active, lost, paused } = &self.agents;
        let hour = self.minutes.iter().fold(Happened::default(), Happened::plus);
        let five = self.minutes.iter().rev().take(5).fold(Happened::default(), Happened::plus);
        vec![
            format!("Tasks      {tasks}"),
            format!("Agents     {active} active, {lost} lost, {paused} paused"),
            format!("5 minutes  {}", five.sentence()),
            format!("Last hour  {}", hour.sentence()),
        ]
    }

    /// What happened in the last hour by type.
    pub(super) fn of_types(&self) -> Table {
        let mut table = Table::new(&[
            "TYPE",
            "VERSION",
            "POSTED",
            "COMPLETED",
            "FAILED",
            "RETRIED",
            "WAIT P50",
            "WAIT P95",
            "RUN P50",
            "RUN P95",
        ]);
        for of_type in &self.types {
            let time = |of: &Option<Percentiles>, which: fn(&Percentiles) -> f64| {
                of.as_ref().map_or_else(|| "-".to_owned(), |of| seconds(which(of)))
            };
            table.row(vec![
                of_type.task_type.as_deref().map_or_else(|| "(others)".to_owned(), name),
                of_type.task_version.map_or_else(|| "-".to_owned(), |version| version.to_string()),
                of_type.happened.posted.to_string(),
                of_type.happened.completed.to_string(),
                of_type.happened.failed.to_string(),
                of_type.happened.retried.to_string(),
                time(&of_type.queue_seconds, |of| of.p50),
                time(&of_type.queue_seconds, |of| of.p95),
                time(&of_type.run_seconds, |of| of.p50),
                time(&of_type.run_seconds, |of| of.p95),
            ]);
        }
        table
    }
}

impl Happened {
    fn plus(self, other: &Self) -> Self {
        Self {
            posted: self.posted.saturating_add(other.posted),
            finished: self.finished.saturating_add(other.finished),
            completed: self.completed.saturating_add(other.completed),
            failed: self.failed.saturating_add(other.failed),
            expired: self.expired.saturating_add(other.expired),
            cancelled: self.cancelled.saturating_add(other.cancelled),
            retried: self.retried.saturating_add(other.retried),
        }
    }

    fn sentence(&self) -> String {
        let Self { posted, completed, failed, expired, cancelled, retried, .. } = self;
        format!(
            "{posted} posted, {completed} completed, {failed} failed, {expired} expired, \
             {cancelled} cancelled, {retried} retried"
        )
    }
}
