//! `types`.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::value::RawValue;
use slamon_client::Paused;

use super::connection::Connection;
use super::failure::{Ending, Failure};
use super::output::Output;
use super::pages::{Listing, PageOptions, read};
use super::table::Table;
use super::terminal_text::name;
use super::words::moment;

/// `types`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(in crate::cli) struct Types {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    pages: PageOptions,
    #[command(flatten)]
    pub(super) connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Hand the tasks of a type to nobody
    #[command(after_help = super::failure::EXIT_STATUS)]
    Pause(OneType),
    /// Hand them out again
    #[command(after_help = super::failure::EXIT_STATUS)]
    Resume(OneType),
}

#[derive(Debug, Args)]
struct OneType {
    /// The name of the type
    #[arg(value_name = "TYPE")]
    task_type: String,
    /// Its version; all of them if nothing is said
    #[arg(value_name = "VERSION", allow_negative_numbers = true)]
    task_version: Option<i64>,
    #[command(flatten)]
    connection: Connection,
}

/// How things ended in the last hour.
#[derive(Deserialize)]
pub(super) struct LastHour {
    completed: u64,
    failed: u64,
}

impl LastHour {
    /// How things ended, in words.
    pub(super) fn sentence(&self) -> String {
        format!("{} completed, {} failed", self.completed, self.failed)
    }
}

/// The types of a page.
#[derive(Deserialize)]
pub(super) struct TypePage {
    pub(super) types: Vec<TaskType>,
}

/// A type in a version, as far as it is shown.
#[derive(Deserialize)]
pub(super) struct TaskType {
    pub(super) task_type: String,
    pub(super) task_version: Option<i64>,
    pub(super) agents: Option<Offering>,
    pub(super) tasks: Option<slamon_client::Unfinished>,
    pub(super) last_hour: Option<LastHour>,
    pub(super) paused_since: Option<String>,
}

/// The agents that offer a type.
#[derive(Deserialize)]
pub(super) struct Offering {
    pub(super) active: u64,
    pub(super) silent: u64,
}

impl TaskType {
    /// Its row in a table with [`header`].
    pub(super) fn row(&self) -> Vec<String> {
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let agents = match &self.agents {
            Some(Offering { active, silent: 0 }) => active.to_string(),
            Some(Offering { active, silent }) => format!("{active} (+{silent} silent)"),
            None => "-".to_owned(),
        };
        vec![
            name(&self.task_type),
            self.task_version.map_or_else(|| "all".to_owned(), |version| version.to_string()),
            agents,
            number(self.tasks.map(|tasks| tasks.delayed)),
            number(self.tasks.map(|tasks| tasks.waiting)),
            number(self.tasks.map(|tasks| tasks.running)),
            number(self.last_hour.as_ref().map(|hour| hour.completed)),
            number(self.last_hour.as_ref().map(|hour| hour.failed)),
            moment(self.paused_since.as_deref()),
        ]
    }
}

/// The columns of a list of types; those of how tasks ended are about the last hour.
pub(super) fn header() -> Table {
    Table::new(&[
        "TYPE",
        "VERSION",
        "AGENTS",
        "DELAYED",
        "WAITING",
        "RUNNING",
        "COMPLETED",
        "FAILED",
        "PAUSED SINCE (UTC)",
    ])
}

impl Types {
    /// The options of the connection that count.
    pub(super) fn connection(&self) -> &Connection {
        match &self.action {
            Some(Action::Pause(one) | Action::Resume(one)) => &one.connection,
            None => &self.connection,
        }
    }

    pub(super) async fn run(&self, out: &mut Output) -> Result<Ending, Failure> {
        let client = self.connection().client()?;
        let (answer, one, did) = match &self.action {
            None => {
                let listing = Listing {
                    client: &client,
                    path: &["api", "v1", "types"],
                    query: &[],
                    pages: &self.pages,
                    as_json: self.connection.json,
                };
                listing.show(out, header(), add_types).await?;
                return Ok(Ending::Done);
            }
            Some(Action::Pause(one)) => (client.pause(one.paused()).await?, one, "is paused"),
            Some(Action::Resume(one)) => (client.resume(one.paused()).await?, one, "is not paused"),
        };
        if one.connection.json {
            out.json(&answer)?;
        } else {
            let version = match one.task_version {
                Some(version) => format!("version {version}"),
                None => "in all versions".to_owned(),
            };
            out.line(&format!("{} {version} {did}", name(&one.task_type)))?;
        }
        Ok(Ending::Done)
    }
}

impl OneType {
    fn paused(&self) -> Paused<'_> {
        Paused::Type(&self.task_type, self.task_version)
    }
}

/// Adds the types of a page to a table with [`header`].
pub(super) fn add_types(page: &RawValue, table: &mut Table) -> Result<usize, Failure> {
    let page: TypePage = read(page)?;
    for task_type in &page.types {
        table.row(task_type.row());
    }
    Ok(page.types.len())
}
