//! Claims while somebody else holds a transaction open: what they leave dead cannot be tidied away until it ends.

use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use slamon_testbed::TestDatabase;

use super::backlog::filled;
use super::fill::{Contents, TASK_TYPE};
use super::kind::Kind;
use super::load::{self, Measured};
use super::server::Server;
use super::spread::{grouped, short};
use super::table::Table;
use super::workshop::Workshop;

const CONNECTIONS: &str = "16";

/// The share of what the server can do that it is asked for, from the first slice to the last.
const SHARE: f64 = 0.5;

/// Claims over time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Held {
    /// Tasks in the store; a tenth of them waits.
    pub(crate) stored: u64,
    /// Claims a second that were asked for.
    rate: f64,
    slices: Vec<Slice>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Slice {
    part: Part,
    /// When it ended, counted from when the transaction began.
    seconds: f64,
    /// Tasks that the transaction keeps from being tidied away, as PostgreSQL counts them.
    dead: u64,
    measured: Measured,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Before,
    During,
    After,
}

impl Held {
    /// Claims of the largest store, in front of all that waits there: before, while the transaction is open, and after.
    ///
    /// # Errors
    /// When the server, the load or the transaction does not run.
    pub(crate) fn measure(workshop: &Workshop) -> Result<Self> {
        let stored = workshop.scale.stored.last().copied().unwrap_or_default();
        let place = filled(workshop, Kind::Postgres, stored, Contents::WaitingLine)?;
        let database = place.database().context("this is about PostgreSQL")?;
        let server = Server::start(workshop, Kind::Postgres, &place, None)?;
        let claims = |args: &[&str]| {
            let seconds = workshop.scale.slice.as_secs().to_string();
            let fixed =
                ["--no-fill", "--type", TASK_TYPE, "--connections", CONNECTIONS, "--seconds", &seconds];
            load::run(workshop, "backlog", &server, &[&fixed, args].concat(), None)
        };
        let rate = (SHARE * claims(&[])?.per_second).max(1.0).floor();
        let mut slices = Vec::new();
        let mut slice = |part, began: Instant| -> Result<()> {
            let measured = claims(&["--rate", &rate.to_string()])?;
            let seconds = began.elapsed().as_secs_f64();
            let dead = "select coalesce(sum(n_dead_tup), 0) from pg_stat_user_tables";
            let dead = database.try_sql(dead)?.parse()?;
            let claim = measured.steps.get("claim").map_or(f64::NAN, |claim| claim.p50 / 1e3);
            eprintln!("{part:?} {seconds:.0} s: claim {} ms, {dead} dead", short(claim));
            slices.push(Slice { part, seconds, dead, measured });
            Ok(())
        };
        slice(Part::Before, Instant::now())?;
        let transaction = Transaction::begin(workshop, database)?;
        let began = Instant::now();
        while began.elapsed() < workshop.scale.held {
            slice(Part::During, began)?;
        }
        transaction.end()?;
        slice(Part::After, began)?;
        Ok(Self { stored, rate, slices })
    }

    /// Median time of a claim before the transaction, in milliseconds.
    pub(crate) fn before(&self) -> Option<f64> {
        self.of(Part::Before).next().map(|(_, claim)| claim)
    }

    /// The same in the last slice that it was open.
    pub(crate) fn last(&self) -> Option<f64> {
        self.of(Part::During).last().map(|(_, claim)| claim)
    }

    /// How long it was open.
    pub(crate) fn seconds(&self) -> u64 {
        self.of(Part::During).last().map_or(0, |(seconds, _)| seconds as u64)
    }

    /// Time, and the median time of a claim, of each slice while it was open.
    pub(crate) fn during(&self) -> Vec<(f64, f64)> {
        self.of(Part::During).collect()
    }

    fn of(&self, part: Part) -> impl Iterator<Item = (f64, f64)> {
        self.slices
            .iter()
            .filter(move |slice| slice.part == part)
            .filter_map(|slice| Some((slice.seconds, slice.measured.steps.get("claim")?.p50 / 1e3)))
    }

    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new([
            "transaction",
            "seconds",
            "claims a second, asked for",
            "done",
            "claim p50, ms",
            "claim p99, ms",
            "dead rows",
        ]);
        for slice in &self.slices {
            let (part, seconds) = match slice.part {
                Part::Before => ("not begun", "–".to_owned()),
                Part::During => ("open", short(slice.seconds)),
                Part::After => ("ended", "–".to_owned()),
            };
            let claim = slice.measured.steps.get("claim").copied().unwrap_or_default();
            table.row([
                part.to_owned(),
                seconds,
                short(self.rate),
                short(slice.measured.per_second),
                short(claim.p50 / 1e3),
                short(claim.p99 / 1e3),
                grouped(slice.dead as f64),
            ]);
        }
        table
    }
}

/// A transaction that has read something and does nothing more: its snapshot stays.
struct Transaction {
    psql: Child,
    statements: ChildStdin,
}

impl Transaction {
    fn begin(workshop: &Workshop, database: &TestDatabase) -> Result<Self> {
        let mut psql = Command::new(workshop.cluster()?.program("psql"))
            .args(["-X", "-q", "-f", "-"])
            .arg(database.uri())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start psql")?;
        let mut statements = psql.stdin.take().context("psql has no stdin")?;
        writeln!(statements, "begin isolation level repeatable read; select 1 from task limit 1;")?;
        let transaction = Self { psql, statements };
        let open = "select count(*) from pg_stat_activity where state = 'idle in transaction' and backend_xmin is not null";
        let began = Instant::now();
        while database.try_sql(open)? == "0" {
            ensure!(began.elapsed() < Duration::from_secs(30), "the transaction does not begin");
        }
        Ok(transaction)
    }

    fn end(self) -> Result<()> {
        let Self { mut psql, statements } = self;
        drop(statements);
        ensure!(psql.wait()?.success(), "psql failed");
        Ok(())
    }
}
