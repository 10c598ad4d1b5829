//! Lists of tasks, filter by filter, and the pages of the dashboard, on a small store and on a large one.

mod readings;
#[cfg(test)]
mod tests;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::backlog::{KINDS, filled};
use super::fill::Contents;
use super::kind::Kind;
use super::load::{self, Latency};
use super::server::Server;
use super::spread::{Spread, grouped, short};
use super::table::Table;
use super::workshop::Workshop;
use readings::{Reading, readings};

/// Before each reading, in seconds: its pages of the database come into memory.
const WARM_UP: &str = "0.05";

/// Far beyond what any answer takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Measurements of both stores, in each round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lists {
    small: u64,
    large: u64,
    of: Vec<Read>,
}

/// One reading, on both stores within a moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Read {
    kind: Kind,
    name: String,
    what: What,
    /// Whether a page ends after so many tasks were passed over, which a small store may not have.
    #[serde(default)]
    finds_little: bool,
    /// Whether the first page of the large store's list has no task, although there are some.
    #[serde(default)]
    is_empty: bool,
    at_small: Latency,
    at_large: Latency,
}

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    NewestFirst,
    OldestFirst,
    /// Of the dashboard.
    Page,
}

impl What {
    fn label(self) -> &'static str {
        match self {
            Self::NewestFirst => "newest first",
            Self::OldestFirst => "oldest first",
            Self::Page => "page",
        }
    }

    /// What every answer has in it, however few tasks it lists.
    fn mark(self) -> &'static str {
        match self {
            Self::NewestFirst | Self::OldestFirst => "\"next_cursor\":",
            Self::Page => "</html>",
        }
    }
}

/// The reading that is furthest from what was asked for.
#[derive(Debug)]
pub(crate) struct Worst {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) measured: String,
}

impl Lists {
    /// Fills the stores; then servers on both of a kind run at the same time, and are asked in turn.
    ///
    /// # Errors
    /// When there is no room, or a server or load does not run.
    pub(crate) fn measure(workshop: &Workshop) -> Result<Self> {
        let [small, large] = workshop.scale.listed;
        let mut of = Vec::new();
        for kind in KINDS {
            let at_small = filled(workshop, kind, small, Contents::Varied)?;
            let at_large = filled(workshop, kind, large, Contents::Varied)?;
            for _ in 0..workshop.scale.rounds {
                let small_server = Server::start(workshop, kind, &at_small, None)?;
                let large_server = Server::start(workshop, kind, &at_large, None)?;
                for (for_small, for_large) in readings(small).into_iter().zip(readings(large)) {
                    let at_small = read(workshop, &small_server, &for_small)?;
                    let at_large = read(workshop, &large_server, &for_large)?;
                    let is_empty = !for_large.finds_little() && !has(&large_server, &for_large)?;
                    let finds_little = for_large.finds_little() || is_empty;
                    let Reading { name, what, .. } = for_large;
                    of.push(Read { kind, name, what, finds_little, is_empty, at_small, at_large });
                }
            }
            eprintln!("{}: {} readings", kind.label(), of.len());
        }
        Ok(Self { small, large, of })
    }

    pub(crate) fn small(&self) -> u64 {
        self.small
    }

    pub(crate) fn large(&self) -> u64 {
        self.large
    }

    /// The list whose median time grows most from the small store to the large one, of those that fill a page on both.
    pub(crate) fn worst_list(&self, kind: Kind) -> Option<Worst> {
        let is_full = |name, what| self.of(kind, name, what).all(|read| !read.finds_little);
        let lists = self.readings(kind).into_iter();
        let lists = lists.filter(|(name, what)| *what != What::Page && is_full(name, *what));
        let all = lists.filter_map(|(name, what)| {
            let growth = self.growth(kind, name, what)?;
            let [at_small, at_large] = self.times(kind, name, what, |latency| latency.p50)?;
            let measured = format!("{} by {} ms (p50)", short(at_large.median), short(at_small.median));
            Some(Worst { name: format!("{name}, {}", what.label()), value: growth.median, measured })
        });
        all.max_by(|one, other| one.value.total_cmp(&other.value))
    }

    /// The page that takes longest on the large store at p99, in milliseconds.
    pub(crate) fn worst_page(&self, kind: Kind) -> Option<Worst> {
        let pages = self.readings(kind).into_iter().filter(|(_, what)| *what == What::Page);
        let all = pages.filter_map(|(name, what)| {
            let [_, p50] = self.times(kind, name, what, |latency| latency.p50)?;
            let [_, p99] = self.times(kind, name, what, |latency| latency.p99)?;
            let measured = format!("p50 {} ms", short(p50.median));
            Some(Worst { name: name.to_owned(), value: p99.median, measured })
        });
        all.max_by(|one, other| one.value.total_cmp(&other.value))
    }

    /// What was read, each once.
    fn readings(&self, kind: Kind) -> Vec<(&str, What)> {
        let mut all: Vec<(&str, What)> = Vec::new();
        for read in self.of.iter().filter(|read| read.kind == kind) {
            let this = (read.name.as_str(), read.what);
            if !all.contains(&this) {
                all.push(this);
            }
        }
        all
    }

    fn of(&self, kind: Kind, name: &str, what: What) -> impl Iterator<Item = &Read> {
        self.of.iter().filter(move |read| read.kind == kind && read.name == name && read.what == what)
    }

    /// Milliseconds on the small store and on the large one.
    fn times(&self, kind: Kind, name: &str, what: What, pick: fn(&Latency) -> f64) -> Option<[Spread; 2]> {
        let at_small = Spread::of(self.of(kind, name, what).map(|read| pick(&read.at_small) / 1e3))?;
        let at_large = Spread::of(self.of(kind, name, what).map(|read| pick(&read.at_large) / 1e3))?;
        Some([at_small, at_large])
    }

    /// The median time on the large store by that on the small one, of each round.
    fn growth(&self, kind: Kind, name: &str, what: What) -> Option<Spread> {
        Spread::of(self.of(kind, name, what).map(|read| read.at_large.p50 / read.at_small.p50))
    }

    pub(crate) fn table(&self) -> Table {
        let [small, large] = [self.small, self.large].map(|stored| grouped(stored as f64));
        let mut table = Table::new([
            "store",
            "what",
            "order",
            &format!("{small} stored: p50, ms"),
            "p99, ms",
            &format!("{large} stored: p50, ms"),
            "p99, ms",
            "p50 ÷ the smaller's",
        ]);
        for kind in KINDS {
            for (name, what) in self.readings(kind) {
                let (Some(p50), Some(p99), Some(growth)) = (
                    self.times(kind, name, what, |latency| latency.p50),
                    self.times(kind, name, what, |latency| latency.p99),
                    self.growth(kind, name, what),
                ) else {
                    continue;
                };
                let ([small_p50, large_p50], [small_p99, large_p99]) =
                    (p50.map(|of| short(of.median)), p99.map(|of| short(of.median)));
                let is_empty = self.of(kind, name, what).any(|read| read.is_empty);
                table.row([
                    kind.label().to_owned(),
                    format!("{name}{}", if is_empty { " (first page empty)" } else { "" }),
                    what.label().to_owned(),
                    small_p50,
                    small_p99,
                    large_p50,
                    large_p99,
                    growth.to_string(),
                ]);
            }
        }
        table
    }
}

/// Asks as often as the scale says, one request after the other.
fn read(workshop: &Workshop, server: &Server, reading: &Reading) -> Result<Latency> {
    let count = workshop.scale.reads.to_string();
    let args =
        ["--path", &reading.path, "--has", reading.what.mark(), "--count", &count, "--warm-up", WARM_UP];
    let measured = load::run(workshop, "read", server, &[&args[..], &["--quiet"]].concat(), None)?;
    (measured.done > 0).then_some(measured.latency_us).with_context(|| {
        format!("{}, {}: no request was answered as it should be", reading.name, server.kind.label())
    })
}

/// Whether the answer has what the reading is about.
fn has(server: &Server, reading: &Reading) -> Result<bool> {
    let mut stream = TcpStream::connect(server.address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let (path, host) = (&reading.path, server.address);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).contains(reading.has))
}

#[cfg(test)]
mod table_tests {
    use super::*;

    fn read(name: &str, what: What, at_small: f64, at_large: f64) -> Read {
        let latency = |p50| Latency { p50, p99: 2.0 * p50, ..Latency::default() };
        let (at_small, at_large) = (latency(at_small), latency(at_large));
        let finds_little = name == "rare";
        Read {
            kind: Kind::File,
            name: name.to_owned(),
            what,
            finds_little,
            is_empty: finds_little,
            at_small,
            at_large,
        }
    }

    #[test]
    fn the_worst_are_found_among_medians() {
        let of = vec![
            read("all", What::NewestFirst, 1_000.0, 1_100.0),
            read("all", What::NewestFirst, 1_000.0, 9_000.0),
            read("all", What::NewestFirst, 1_000.0, 1_300.0),
            read("all", What::OldestFirst, 1_000.0, 2_000.0),
            read("rare", What::OldestFirst, 1_000.0, 3_000.0),
            read("/dashboard", What::Page, 1_000.0, 50_000.0),
            read("/dashboard/tasks", What::Page, 1_000.0, 60_000.0),
        ];
        let lists = Lists { small: 10, large: 10_000, of };
        let list = lists.worst_list(Kind::File).unwrap();
        assert_eq!((list.name.as_str(), list.value), ("all, oldest first", 2.0));
        assert_eq!(list.measured, "2.00 by 1.00 ms (p50)");
        let page = lists.worst_page(Kind::File).unwrap();
        assert_eq!((page.name.as_str(), page.value), ("/dashboard/tasks", 120.0));
        assert!(lists.worst_list(Kind::Postgres).is_none());
        assert!(lists.table().to_string().contains("| rare (first page empty) | oldest first |"));
        assert!(lists.table().to_string().contains("1.30 (1.10–9.00)"), "{}", lists.table());
    }
}
