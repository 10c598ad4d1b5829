//! `tests`.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::value::RawValue;
use slamon_client::Test;
use uuid::Uuid;

use super::arguments::id;
use super::connection::Connection;
use super::failure::{Ending, Failure};
use super::list::add_tasks;
use super::output::Output;
use super::pages::{Listing, PageOptions, read};
use super::show_task;
use super::table::Table;
use super::terminal_text::shown;

/// `tests`.
#[derive(Debug, Args)]
pub(in crate::cli) struct OneTest {
    /// The id of the test
    #[arg(value_name = "ID", value_parser = id)]
    id: Uuid,
    #[command(flatten)]
    pub(super) connection: Connection,
}

impl OneTest {
    pub(super) async fn run(&self, out: &mut Output) -> Result<Ending, Failure> {
        let client = self.connection.client()?;
        let (mut verdict, mut counts) = (String::new(), BTreeMap::<String, u64>::new());
        let listing = Listing {
            client: &client,
            path: &["api", "v1", "tests", &self.id.to_string()],
            query: &[],
            pages: &PageOptions::all(),
            as_json: self.connection.json,
        };
        let add = |page: &RawValue, table: &mut Table| {
            let of_page: Test = read(page)?;
            if weight(&of_page.verdict) >= weight(&verdict) {
                verdict = of_page.verdict;
            }
            for (state, count) in of_page.counts {
                *counts.entry(state).or_default() += count;
            }
            add_tasks(page, table)
        };
        listing.show(out, show_task::list(), add).await?;
        if !self.connection.json {
            let counts = counts.iter().filter(|(_, count)| **count > 0);
            let counts: Vec<String> =
                counts.map(|(state, count)| format!("{count} {}", shown(state))).collect();
            out.line("")?;
            out.line(&format!("test {}: {} ({})", self.id, shown(&verdict), counts.join(", ")))?;
        }
        Ok(if verdict == "failed" { Ending::TaskFailed } else { Ending::Done })
    }
}

/// Which verdict of two pages is that of both: that which weighs more.
fn weight(verdict: &str) -> u8 {
    match verdict {
        "failed" => 3,
        "running" => 2,
        "completed" => 1,
        _ => 0,
    }
}
