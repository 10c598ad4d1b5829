//! Ours, the original and two yardsticks side by side, in one run on one machine.
//!
//! A section starts its servers itself, one after the other, each on an empty database and a port of its own, and puts
//! them under loads that are processes of their own. Every section stands alone: what it found is written to a file as it
//! ends, and with `--write-docs` to docs/performance.md.

mod backlog;
mod batches;
mod dispatch;
mod documents;
mod environment;
mod fill;
mod fleet;
mod held;
mod kind;
mod lists;
mod load;
mod overload;
mod pgbench;
mod place;
mod plots;
mod probe;
mod rates;
mod results;
mod scale;
mod server;
mod spread;
mod start;
mod summary;
mod table;
mod targets;
mod workshop;

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use anyhow::{Context, Result, ensure};

use backlog::Backlogs;
use batches::{Batches, Programs};
use dispatch::Dispatches;
use environment::Environment;
use fleet::Fleets;
use held::Held;
use kind::Kind;
use lists::Lists;
use overload::Overloads;
use rates::Rates;
use results::{Results, Section};
use scale::Size;
use start::Starts;
use workshop::Workshop;

pub(crate) use probe::until_answered;
pub(crate) use spread::grouped;
pub(crate) use table::Table;

/// What a run may write, besides plots: tables.
const DOCUMENT: &str = "docs/performance.md";
const README: &str = "README.md";

/// What to compare
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// How much to measure
    #[arg(long, value_enum, default_value_t = Size::Full)]
    size: Size,
    /// The same as --size quick
    #[arg(long, conflicts_with = "size")]
    quick: bool,
    /// Only these sections
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Name>,
    /// With batches, also other queues: graphile-worker and RabbitMQ, for which npm and rabbitmq-server must be there
    #[arg(long)]
    others: bool,
    /// How often each server has its turn, if not as often as the size says
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: Option<u8>,
    /// Our server [default: slamon-afm beside this program]
    #[arg(long, value_name = "PROGRAM")]
    server: Option<PathBuf>,
    /// Where results.json and temporary files are [default: bench in cargo's target folder]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Write tables into docs/performance.md and README.md, and plots
    #[arg(long)]
    write_docs: bool,
    /// Measure nothing: show, or write, what is in results.json
    #[arg(long)]
    again: bool,
}

/// A section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// Idle polls a second
    Polls,
    /// Whole lives a second
    Lives,
    /// From a post to an agent that waits
    Dispatch,
    /// From the start of a process to its first answer
    Start,
    /// Five times as much as a server can do
    Overload,
    /// A million agents on one core
    Fleet,
    /// Claims with up to ten million stored tasks
    Backlog,
    /// Claims while a transaction is held open
    Held,
    /// Lists of tasks, and the dashboard's pages, with ten thousand and ten million stored tasks
    Lists,
    /// Whole lives in batches of 100
    Batches,
}

/// In lower case, as on the command line.
impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&format!("{self:?}").to_lowercase())
    }
}

const ALL: [Name; 10] = [
    Name::Polls,
    Name::Lives,
    Name::Dispatch,
    Name::Start,
    Name::Overload,
    Name::Fleet,
    Name::Backlog,
    Name::Held,
    Name::Lists,
    Name::Batches,
];

/// Measures, prints each section as it ends, and all targets at the end.
///
/// # Errors
/// When something that is needed is missing, or ours lost, altered or handed out twice; what was measured before is kept.
pub fn run(options: &Options) -> Result<()> {
    let size = if options.quick { Size::Quick } else { options.size };
    let mut scale = size.scale();
    if let Some(rounds) = options.rounds {
        scale.rounds = rounds.into();
    }
    let output = options.output.clone().map_or_else(default_output, Ok)?;
    let file = output.join("results.json");
    let mut results = Results::read(&file)?;
    for document in [DOCUMENT, README].into_iter().filter(|_| options.write_docs) {
        ensure!(Path::new(document).is_file(), "--write-docs: {document} is not in this folder");
    }
    let mut complaints = Vec::new();
    if !options.again {
        let mut workshop = Workshop::new(options.server.as_deref(), &output, scale)?;
        workshop.others = options.others.then(|| Programs::install(&output)).transpose()?;
        results.environment = Some(Environment::of_now(&workshop)?);
        for name in ALL.into_iter().filter(|name| options.only.is_empty() || options.only.contains(name)) {
            println!("== {name:?}");
            measure(name, &workshop, &mut results)?;
            results.write(&file)?;
            println!("\n{}", table_of(name, &results).context("nothing was measured")?.0);
        }
        complaints = workshop.complaints.take();
    }
    if options.write_docs {
        write_documents(&results)?;
    }
    println!("{}", targets::table(&results));
    ensure!(complaints.is_empty(), "ours did wrong: {}", complaints.join("; "));
    Ok(())
}

fn measure(name: Name, workshop: &Workshop, results: &mut Results) -> Result<()> {
    match name {
        Name::Polls => results.polls = Some(Section::of(workshop, Rates::of_polls)?),
        Name::Lives => results.lives = Some(Section::of(workshop, Rates::of_lives)?),
        Name::Dispatch => results.dispatch = Some(Section::of(workshop, Dispatches::measure)?),
        Name::Start => results.start = Some(Section::of(workshop, Starts::measure)?),
        Name::Overload => results.overload = Some(Section::of(workshop, Overloads::measure)?),
        Name::Fleet => results.fleet = Some(Section::of(workshop, Fleets::measure)?),
        Name::Backlog => results.backlog = Some(Section::of(workshop, Backlogs::measure)?),
        Name::Held => results.held = Some(Section::of(workshop, Held::measure)?),
        Name::Lists => results.lists = Some(Section::of(workshop, Lists::measure)?),
        Name::Batches => results.batches = Some(Section::of(workshop, Batches::measure)?),
    }
    Ok(())
}

/// The table of a section, and what stands below it.
fn table_of(name: Name, results: &Results) -> Option<(Table, String)> {
    fn of<T>(section: &Option<Section<T>>, table: impl Fn(&T) -> Table) -> Option<(Table, String)> {
        section.as_ref().map(|section| (table(&section.found), section.note()))
    }
    match name {
        Name::Polls => of(&results.polls, |polls| polls.table("polls", Kind::Bare)),
        Name::Lives => of(&results.lives, |lives| lives.table("lives", Kind::Bare)),
        Name::Dispatch => of(&results.dispatch, Dispatches::table),
        Name::Start => of(&results.start, Starts::table),
        Name::Overload => of(&results.overload, Overloads::table),
        Name::Fleet => of(&results.fleet, Fleets::table),
        Name::Backlog => of(&results.backlog, Backlogs::table),
        Name::Held => of(&results.held, Held::table),
        Name::Lists => of(&results.lists, Lists::table),
        Name::Batches => of(&results.batches, Batches::table),
    }
}

/// `bench` beside the folder of the profile that this program is in.
///
/// # Errors
/// When it is in no such folder.
pub(crate) fn default_output() -> Result<PathBuf> {
    let itself = std::env::current_exe()?;
    let target =
        itself.ancestors().nth(2).context("this program is in no target folder: --output names one")?;
    Ok(target.join("bench"))
}

/// Puts one table into [`DOCUMENT`].
///
/// # Errors
/// When it is not in this folder, or there is no place for it in it.
pub(crate) fn replace_table(name: &str, table: &str) -> Result<()> {
    replace_table_in(DOCUMENT, name, table)
}

fn replace_table_in(file: &str, name: &str, table: &str) -> Result<()> {
    let document = fs::read_to_string(file).with_context(|| format!("{file} is not in this folder"))?;
    Ok(fs::write(file, documents::replace(&document, name, table)?)?)
}

fn write_documents(results: &Results) -> Result<()> {
    if let Some(environment) = &results.environment {
        replace_table("environment", &environment.table().to_string())?;
    }
    for name in ALL {
        // What was measured long ago by another program must not be left standing.
        let text = table_of(name, results).map_or_else(
            || "Not measured yet.".to_owned(),
            |(table, note)| format!("{table}\n{note}\n{}", plots::link(&name.to_string())),
        );
        replace_table(&name.to_string(), &text)?;
    }
    replace_table("targets", &targets::table(results).to_string())?;
    if let Some(table) = summary::table(results) {
        replace_table_in(README, "summary", &table.to_string())?;
    }
    plots::write(&Path::new(DOCUMENT).with_extension(""), results)
}
