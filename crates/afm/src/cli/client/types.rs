//! `types`.

use clap::{Args, Subcommand};
use serde_json::value::RawValue;
use slamon_client::{OfferingAgents, TaskType, TypePage};
use slamon_command_line::integer;

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
    #[arg(value_name = "VERSION", value_parser = integer, allow_negative_numbers = true)]
    task_version: Option<i64>,
    #[command(flatten)]
    connection: Connection,
}

/// The row of a type in a table with [`header`].
fn row(of: &TaskType) -> Vec<String> {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let agents = match &of.agents {
        OfferingAgents { active, silent: 0, .. } => active.to_string(),
        OfferingAgents { active, silent, .. } => format!("{active} (+{silent} silent)"),
    };
    vec![
        name(&of.task_type),
        of.task_version.map_or_else(|| "all".to_owned(), |version| version.to_string()),
        agents,
        number(of.tasks.map(|tasks| tasks.delayed)),
        number(of.tasks.map(|tasks| tasks.waiting)),
        number(of.tasks.map(|tasks| tasks.running)),
        number(of.last_hour.map(|hour| hour.completed)),
        number(of.last_hour.map(|hour| hour.failed)),
        moment(of.paused_since.as_deref()),
    ]
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
            Some(Action::Pause(one)) => {
                (client.pause_type(&one.task_type, one.task_version).await?, one, "is paused")
            }
            Some(Action::Resume(one)) => {
                (client.resume_type(&one.task_type, one.task_version).await?, one, "is not paused")
            }
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

/// Adds the types of a page to a table with [`header`].
pub(super) fn add_types(page: &RawValue, table: &mut Table) -> Result<usize, Failure> {
    let page: TypePage = read(page)?;
    for task_type in &page.types {
        table.row(row(task_type));
    }
    Ok(page.types.len())
}
