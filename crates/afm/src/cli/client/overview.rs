//! `status`: how the fleet does.

use clap::Args;
use serde_json::value::RawValue;
use slamon_client::{AgentCounts, Happened, OpenTasks, Overview, Percentiles};

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
        out.lines(figures(&overview))?;
        if !overview.types.is_empty() {
            out.line("")?;
            out.lines(of_types(&overview).lines(out.room()))?;
        }
        Ok(Ending::Done)
    }
}

/// What there is, and what happened, a line each.
pub(super) fn figures(overview: &Overview) -> Vec<String> {
    let tasks = match overview.tasks {
        Some(OpenTasks { waiting, running, delayed }) => {
            format!("{waiting} waiting, {running} running, {delayed} delayed")
        }
        None => "not counted yet".to_owned(),
    };
    let AgentCounts { active, lost, paused, .. } = &overview.agents;
    let in_last = |minutes: usize| {
        let happened: Vec<&Happened> =
            overview.minutes.iter().rev().take(minutes).map(|minute| &minute.happened).collect();
        let sum =
            |of: fn(&Happened) -> u64| happened.iter().map(|each| of(each)).fold(0, u64::saturating_add);
        format!(
            "{} posted, {} completed, {} failed, {} expired, {} cancelled, {} retried",
            sum(|each| each.posted),
            sum(|each| each.completed),
            sum(|each| each.failed),
            sum(|each| each.expired),
            sum(|each| each.cancelled),
            sum(|each| each.retried),
        )
    };
    vec![
        format!("Tasks      {tasks}"),
        format!("Agents     {active} active, {lost} lost, {paused} paused"),
        format!("5 minutes  {}", in_last(5)),
        format!("Last hour  {}", in_last(60)),
    ]
}

/// What happened in the last hour by type.
fn of_types(overview: &Overview) -> Table {
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
    for of_type in &overview.types {
        let time = |of: Option<Percentiles>, which: fn(Percentiles) -> f64| {
            of.map_or_else(|| "-".to_owned(), |of| seconds(which(of)))
        };
        table.row(vec![
            of_type.task_type.as_deref().map_or_else(|| "(others)".to_owned(), name),
            of_type.task_version.map_or_else(|| "-".to_owned(), |version| version.to_string()),
            of_type.happened.posted.to_string(),
            of_type.happened.completed.to_string(),
            of_type.happened.failed.to_string(),
            of_type.happened.retried.to_string(),
            time(of_type.queue_seconds, |of| of.p50),
            time(of_type.queue_seconds, |of| of.p95),
            time(of_type.run_seconds, |of| of.p50),
            time(of_type.run_seconds, |of| of.p95),
        ]);
    }
    table
}
