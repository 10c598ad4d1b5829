//! `task list`.

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::value::RawValue;
use slamon_client::Order;

use super::connection::Connection;
use super::failure::{Ending, Failure};
use super::filter::Filter;
use super::output::Output;
use super::pages::{Listing, PageOptions, read};
use super::show_task::{self, Shown};
use super::table::Table;

/// `task list`.
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// Which come first, by the order of arrival
    #[arg(long, value_enum, default_value_t = First::Newest)]
    order: First,
    #[command(flatten)]
    pages: PageOptions,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    pub(super) connection: Connection,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum First {
    Newest,
    Oldest,
}

/// The tasks of a page.
#[derive(Deserialize)]
pub(super) struct Page {
    pub(super) tasks: Vec<Shown>,
}

impl List {
    pub(super) async fn run(&self, out: &mut Output) -> Result<Ending, Failure> {
        let mut query = self.filter.to_client().query();
        query.extend(match self.order {
            First::Newest => Order::Newest.query(),
            First::Oldest => Order::Oldest.query(),
        });
        let client = self.connection.client()?;
        let listing = Listing {
            client: &client,
            path: &["api", "v1", "tasks"],
            query: &query,
            pages: &self.pages,
            as_json: self.connection.json,
        };
        listing.show(out, show_task::list(), add_tasks).await?;
        Ok(Ending::Done)
    }
}

/// Adds the tasks of a page to a list.
pub(super) fn add_tasks(page: &RawValue, table: &mut Table) -> Result<usize, Failure> {
    let page: Page = read(page)?;
    for task in &page.tasks {
        table.row(task.row());
    }
    Ok(page.tasks.len())
}
