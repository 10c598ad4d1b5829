//! `task cancel` and `task retry`.

use std::io::{self, IsTerminal, Write};

use clap::Args;
use serde::Serialize;
use slamon_client::Change;
use uuid::Uuid;

use super::arguments::id;
use super::connection::Connection;
use super::failure::{Ending, Failure};
use super::filter::Filter;
use super::output::{Output, tell};
use super::table::Table;
use super::terminal_text::shown;
use super::words::count;

/// `task cancel` and `task retry`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ChangeTasks {
    /// The ids of the tasks
    #[arg(value_name = "ID", value_parser = id, conflicts_with = "all")]
    ids: Vec<Uuid>,
    /// All tasks that the filters choose, or all there are. Says first how many these are, and asks
    #[arg(long)]
    all: bool,
    /// With --all: do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    pub(super) connection: Connection,
}

impl ChangeTasks {
    pub(super) async fn run(&self, change: Change, out: &mut Output) -> Result<Ending, Failure> {
        if self.all {
            return self.change_all(change, out).await;
        }
        if self.ids.is_empty() {
            return Err(Failure::Arguments(
                "no task is named: give ids, or --all for all tasks that the filters choose".to_owned(),
            ));
        }
        if !self.filter.is_empty() {
            return Err(Failure::Arguments(
                "filters choose among --all tasks, and ids were given".to_owned(),
            ));
        }
        let client = self.connection.client()?;
        let mut ending = Ending::Done;
        let mut table = match change {
            Change::Cancel => Table::new(&["TASK", "STATUS", "DETAIL"]),
            Change::Retry => Table::new(&["TASK", "STATUS", "NEW TASK", "DETAIL"]),
        };
        for answer in client.change_tasks(change, &self.ids).await? {
            ending = ending.max(Ending::of_status(answer.status));
            if self.connection.json {
                out.json(&answer)?;
                continue;
            }
            let id = |id: Option<Uuid>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
            let mut row = vec![id(answer.task_id), answer.status.to_string()];
            if change == Change::Retry {
                row.push(id(answer.new_task_id));
            }
            row.push(answer.detail.as_deref().map_or_else(String::new, shown));
            table.row(row);
        }
        if !self.connection.json {
            out.lines(table.lines(out.room()))?;
        }
        Ok(ending)
    }

    async fn change_all(&self, change: Change, out: &mut Output) -> Result<Ending, Failure> {
        #[derive(Serialize)]
        struct Done {
            changed: u64,
            refused: u64,
        }
        let verb = match change {
            Change::Cancel => "cancel",
            Change::Retry => "retry",
        };
        let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
        if !self.yes && !can_ask {
            let problem =
                format!("--all would {verb} many tasks, and nobody can be asked: confirm with --yes");
            return Err(Failure::Arguments(problem));
        }
        let client = self.connection.client()?;
        let counted = client.count_all(change, &self.filter.to_client()).await?;
        let more = if counted.more { "more than " } else { "" };
        if counted.count > 0
            && !self.yes
            && !asked(&format!("{verb} {more}{}?", count(counted.count, "task")))
        {
            tell("nothing was changed");
            return Ok(Ending::Done);
        }
        let done = client.change_counted(counted).await?;
        if self.connection.json {
            out.json(&Done { changed: done.changed, refused: done.refused })?;
        } else {
            let refused = match done.refused {
                0 => String::new(),
                refused => format!(", {refused} had come to another state"),
            };
            let did = if change == Change::Cancel { "cancelled" } else { "posted again" };
            out.line(&format!("{} {did}{refused}", count(done.changed, "task")))?;
        }
        Ok(Ending::Done)
    }
}

/// Asks on the terminal.
fn asked(question: &str) -> bool {
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}
