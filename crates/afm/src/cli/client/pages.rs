//! Lists that come in pages.

use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use slamon_client::{Client, ClientError};
use slamon_command_line::whole_number;

use super::failure::Failure;
use super::output::{Output, tell};
use super::table::Table;

/// An AFM gives so many at once.
const AT_ONCE: u32 = 1_000;

/// How much of a list is shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "How many")]
pub(super) struct PageOptions {
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = whole_number(1, u32::MAX))]
    limit: u32,
    /// Go on behind the part before, which has named this
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// All there are, however many
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

impl PageOptions {
    /// The whole list.
    pub(super) fn all() -> Self {
        Self { limit: AT_ONCE, cursor: None, all: true }
    }
}

/// Reads a list page by page until enough is shown, and shows it: as JSON a page a line, else as a table, to
/// which `add` adds the rows of a page and says how many there were.
pub(super) struct Listing<'a> {
    pub(super) client: &'a Client,
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'static str, String)],
    pub(super) pages: &'a PageOptions,
    pub(super) as_json: bool,
}

impl Listing<'_> {
    /// Shows the list.
    pub(super) async fn show(
        &self,
        out: &mut Output,
        mut table: Table,
        mut add: impl FnMut(&RawValue, &mut Table) -> Result<usize, Failure>,
    ) -> Result<(), Failure> {
        let mut left = if self.pages.all { u32::MAX } else { self.pages.limit };
        let mut cursor = self.pages.cursor.clone();
        let mut has_header = self.as_json;
        loop {
            let mut query = self.query.to_vec();
            query.push(("limit", left.min(AT_ONCE).to_string()));
            query.extend(cursor.map(|cursor| ("cursor", cursor)));
            let page: Box<RawValue> = self.client.get(self.path, &query).await?;
            let rows = add(&page, &mut table)?;
            if self.as_json {
                out.raw_json(&page)?;
            }
            let lines = table.take_rows(out.room());
            if !self.as_json && (!has_header || !lines.is_empty()) {
                if !std::mem::replace(&mut has_header, true) {
                    out.line(&table.header(out.room()))?;
                }
                out.lines(lines)?;
            }
            // Whoever reads no more ends the list, and not only the output.
            out.flush()?;
            cursor = read::<Next>(&page)?.next_cursor;
            if !self.pages.all {
                left = left.saturating_sub(u32::try_from(rows).unwrap_or(u32::MAX));
            }
            match &cursor {
                None => return Ok(()),
                Some(cursor) if left == 0 => {
                    if !self.as_json {
                        tell(&format!("there are more: --all, or --cursor {cursor}"));
                    }
                    return Ok(());
                }
                Some(_) => {}
            }
        }
    }
}

#[derive(Deserialize)]
struct Next {
    #[serde(default)]
    next_cursor: Option<String>,
}

/// Reads the answer of an AFM.
pub(super) fn read<T: DeserializeOwned>(answer: &RawValue) -> Result<T, Failure> {
    let read = serde_json::from_str(answer.get());
    read.map_err(|error| ClientError::Unreadable(error.to_string()).into())
}
